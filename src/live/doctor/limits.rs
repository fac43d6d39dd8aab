//! What the system allows this process, as it says itself.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use procfs::process::Process;
use procfs::{Current, LoadAverage, Meminfo};
use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

use super::super::groups::Groups;

/// Which machine, and since when it runs: what was measured on another one, or before it was started again, says nothing here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Its name.
    pub hostname: String,
    /// System and release of its kernel.
    pub kernel: String,
    /// Drawn by the kernel as it starts (`/proc/sys/kernel/random/boot_id`); absent where that cannot be read.
    pub boot: Option<String>,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let system = rustix::system::uname();
        Self {
            hostname: system.nodename().to_string_lossy().into_owned(),
            kernel: format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
            boot: procfs::sys::kernel::random::boot_id().ok(),
        }
    }
}

/// What this process may use. `None` where the system does not say, or sets no bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Cores that it may run on.
    pub cores: u64,
    /// CPU time that its control groups let it have, in cores.
    pub quota_cores: Option<f64>,
    /// Memory that is available, also within its control groups, in bytes.
    pub memory_bytes: Option<u64>,
    /// Open files and sockets.
    pub descriptors: Descriptors,
    /// Ports that the system gives to connections that ask for none.
    pub ports: Option<Ports>,
    /// Largest receive buffer that a socket may ask for, in bytes (`net.core.rmem_max`).
    pub receive_buffer_bytes: Option<u64>,
    /// Largest send buffer, likewise (`net.core.wmem_max`).
    pub send_buffer_bytes: Option<u64>,
    /// UDP datagrams that came since the system started, those dropped not among them.
    pub datagrams_received: Option<u64>,
    /// UDP datagrams that were dropped because a receive buffer was full, since then.
    pub datagrams_dropped: Option<u64>,
    /// Tasks that ran or waited to run, on average over the last minute.
    pub load: Option<f64>,
}

/// Limits of open descriptors; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Descriptors {
    /// The one that holds.
    pub soft: Option<u64>,
    /// Up to which the process may raise it.
    pub hard: Option<u64>,
}

/// A range of port numbers, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Ports {
    /// How many.
    #[must_use]
    pub fn count(self) -> u64 {
        u64::from(self.last).saturating_sub(u64::from(self.first)) + 1
    }
}

impl Limits {
    /// Those of this process, now.
    #[must_use]
    pub fn read() -> Self {
        let files = getrlimit(Resource::Nofile);
        let snmp = procfs::net::snmp().ok();
        let groups = Process::myself().map(|own| Groups::of(&own)).unwrap_or_default();
        let machine = Meminfo::current().ok().and_then(|memory| memory.mem_available);
        Self {
            cores: allowed_cores(),
            quota_cores: groups.quota(),
            memory_bytes: machine.into_iter().chain(groups.memory()).min(),
            descriptors: Descriptors { soft: files.current, hard: files.maximum },
            ports: ports(&fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default()),
            receive_buffer_bytes: number(Path::new("/proc/sys/net/core/rmem_max")),
            send_buffer_bytes: number(Path::new("/proc/sys/net/core/wmem_max")),
            datagrams_received: snmp.as_ref().map(|counts| counts.udp_in_datagrams),
            datagrams_dropped: snmp.as_ref().map(|counts| counts.udp_rcvbuf_errors),
            load: LoadAverage::current().ok().map(|load| f64::from(load.one)),
        }
    }

    /// Cores that it can keep busy.
    #[must_use]
    pub fn usable_cores(&self) -> f64 {
        self.quota_cores.map_or(self.cores as f64, |quota| quota.min(self.cores as f64))
    }
}

/// Cores of the affinity mask.
fn allowed_cores() -> u64 {
    let mask = Process::myself().and_then(|own| own.status()).ok().and_then(|status| status.cpus_allowed);
    let cores = mask.map_or(0, |mask| mask.iter().map(|word| u64::from(word.count_ones())).sum());
    if cores > 0 { cores } else { std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64) }
}

fn ports(text: &str) -> Option<Ports> {
    let mut numbers = text.split_whitespace().map(u16::from_str);
    let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (first <= last).then_some(Ports { first, last })
}

fn number<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_may_use_something() {
        let limits = Limits::read();
        assert!(
            limits.cores >= 1 && limits.usable_cores() > 0.0 && limits.usable_cores() <= limits.cores as f64
        );
        assert!(limits.memory_bytes.unwrap() > 1 << 20);
        assert!(limits.descriptors.soft <= limits.descriptors.hard || limits.descriptors.hard.is_none());
        assert!(limits.ports.unwrap().count() > 1);
        assert!(limits.load.unwrap() >= 0.0);
        assert_eq!(Machine::this(), Machine::this());
    }

    #[test]
    fn ranges_are_read_as_the_kernel_writes_them() {
        assert_eq!(ports("32768\t60999\n"), Some(Ports { first: 32_768, last: 60_999 }));
        assert_eq!(ports("32768\t60999\n").unwrap().count(), 28_232);
        assert_eq!(["", "5", "9 8", "1 70000"].map(ports), [None; 4]);
    }
}

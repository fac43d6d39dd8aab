//! Control groups of a process, as folders with their ancestors: each of them can set a bound. By hand: the crates for control groups
//! make them, and reading takes few files.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use procfs::process::Process;

/// The control groups of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Groups {
    /// Of version 2, where one is mounted.
    unified: Vec<String>,
    /// Of version 1: of CPU time, and of memory.
    cpu: Vec<String>,
    memory: Vec<String>,
}

impl Groups {
    /// Those of this process.
    pub(super) fn of(process: &Process) -> Self {
        let groups = process.cgroups().map(|all| all.0).unwrap_or_default();
        let folders = |mount: &str, controller: &str| -> Vec<String> {
            let is_it = |controllers: &[String]| match controller {
                "" => controllers.iter().all(String::is_empty),
                name => controllers.iter().any(|it| it == name),
            };
            let group = groups.iter().find(|group| is_it(&group.controllers));
            let ancestors = group.into_iter().flat_map(|group| Path::new(&group.pathname).ancestors());
            // In a container the path may be the host's, and the container's own group stands at the mount.
            let folders = ancestors.map(|path| format!("{mount}{}", path.display()));
            folders.filter(|folder| Path::new(folder).is_dir()).collect()
        };
        Self {
            unified: folders("/sys/fs/cgroup", ""),
            cpu: folders("/sys/fs/cgroup/cpu", "cpu"),
            memory: folders("/sys/fs/cgroup/memory", "memory"),
        }
    }

    /// CPU that they let it have, in cores.
    pub(super) fn quota(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|folder| quota(&text(folder, "cpu.max")));
        let first = self.cpu.iter().filter_map(|folder| {
            quota(&format!("{} {}", text(folder, "cpu.cfs_quota_us"), text(folder, "cpu.cfs_period_us")))
        });
        unified.chain(first).min_by(f64::total_cmp)
    }

    /// For how long the quota of one of them kept it from the CPU so far, in seconds.
    pub(super) fn throttled(&self) -> Option<f64> {
        let unified = self.unified.iter().filter_map(|it| throttled(&text(it, "cpu.stat")));
        let first = self.cpu.iter().filter_map(|it| throttled(&text(it, "cpu.stat")));
        unified.chain(first).max_by(f64::total_cmp)
    }

    /// Memory that is left in the tightest of them, in bytes.
    pub(super) fn memory(&self) -> Option<u64> {
        let left = |folder: &String, limit: &str, used: &str| {
            let number = |name| text(folder, name).trim().parse::<u64>().ok();
            Some(number(limit)?.saturating_sub(number(used)?))
        };
        let unified = self.unified.iter().filter_map(|it| left(it, "memory.max", "memory.current"));
        let first =
            self.memory.iter().filter_map(|it| left(it, "memory.limit_in_bytes", "memory.usage_in_bytes"));
        unified.chain(first).min()
    }
}

/// A file of a group; empty where there is none.
fn text(folder: &str, name: &str) -> String {
    fs::read_to_string(Path::new(folder).join(name)).unwrap_or_default()
}

/// Cores of a quota and its period, such as `150000 100000`; `None` for `max` or a negative one, which set no bound.
fn quota(text: &str) -> Option<f64> {
    let mut numbers = text.split_whitespace().map(f64::from_str);
    let (quota, period) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// Seconds of `throttled_usec` (version 2) or `throttled_time`, in nanoseconds (version 1), of a `cpu.stat`.
fn throttled(text: &str) -> Option<f64> {
    text.lines().find_map(|line| match line.split_once(' ')? {
        ("throttled_usec", time) => Some(time.trim().parse::<f64>().ok()? / 1e6),
        ("throttled_time", time) => Some(time.trim().parse::<f64>().ok()? / 1e9),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_as_the_kernel_writes_them() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(["max 100000\n", "-1\n 100000\n", "", "100000", "0 0"].map(quota), [None; 5]);
        assert_eq!(throttled("nr_periods 3\nnr_throttled 1\nthrottled_time 1500000000\n"), Some(1.5));
        assert_eq!(throttled("usage_usec 9\nthrottled_usec 2500000\nnr_bursts 0\n"), Some(2.5));
        assert_eq!(["", "usage_usec 9\n", "throttled_usec x\n"].map(throttled), [None; 3]);
    }
}

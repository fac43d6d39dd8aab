//! This machine's ceilings on a terminal, one a line, and what a plan lacks here.

use crate::analysis::{Ceiling, Checkup, Grade};
use crate::live::doctor::{Descriptors, Limits, Rate, Rates};
use crate::record::{Bound, Shortage};

use super::quantity::{bytes, percent, rate, seconds, three_digits};
use super::table::{Align, table};
use super::text::colored;

/// The ceilings with marks, figures, and what to do about those that are low; with ANSI colours where `color`.
#[must_use]
pub fn text(checkup: &Checkup, color: bool) -> String {
    let head = match checkup.grade() {
        Grade::Good => "✓ ready: nothing here is low",
        Grade::Low => "! ready, with ceilings that a large plan will find",
        Grade::Bad => "✗ not fit: hardly any run on this machine will be valid",
    };
    let Checkup { machine, rates, .. } = checkup;
    let rows = checkup.findings.iter().map(|finding| {
        let mark = match finding.grade {
            Grade::Good => '✓',
            Grade::Low => '!',
            Grade::Bad => '✗',
        };
        let (name, figures) = figures(finding.ceiling, &checkup.limits, rates);
        vec![mark.to_string(), name.to_owned(), figures]
    });
    let rows: Vec<_> = rows.collect();
    let lines = table(&[Align::Left; 3], &rows);
    let mut text = format!(
        "{head}\n  {}, {}, measured for {} from one thread, both ends on loopback\n\n",
        machine.hostname,
        machine.kernel,
        seconds(Some(rates.seconds))
    );
    for (line, finding) in lines.lines().zip(&checkup.findings) {
        text += &format!("{line}\n");
        if finding.grade != Grade::Good {
            text += &format!("   hint: {}\n", hint(finding.ceiling, &checkup.limits));
        }
    }
    if color { colored(&text) } else { text }
}

/// The same as JSON.
///
/// # Errors
/// Never for a check-up; the encoder's type demands it.
pub fn json(checkup: &Checkup) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(checkup).map(|text| text + "\n")
}

/// What a ceiling is called, and its figures.
fn figures(ceiling: Ceiling, limits: &Limits, rates: &Rates) -> (&'static str, String) {
    let known = |value: Option<String>| value.unwrap_or_else(|| "not known".to_owned());
    match ceiling {
        Ceiling::Timer => {
            let lag = &rates.timer;
            let [p50, p99, max] =
                [lag.p50_seconds, lag.p99_seconds, lag.max_seconds].map(|it| seconds(Some(it)));
            ("timer lag", format!("p50 {p50}, p99 {p99}, max {max} over {} steps of 1 ms", lag.steps))
        }
        Ceiling::Clock => {
            let clock = &rates.clock;
            let source = clock.source.as_deref().unwrap_or("unknown source");
            let cost = three_digits(clock.read_nanoseconds);
            ("clock", format!("{source}, counts in {} ns, {cost} ns a read", clock.resolution_nanoseconds))
        }
        Ceiling::Udp => ("UDP", format!("{} datagrams there and back, one a call", spread(rates.udp))),
        Ceiling::UdpSegments => {
            let segmented = rates.udp_segmented.map(|it| {
                format!("{} there and back, {} a call (UDP_SEGMENT, UDP_GRO)", spread(it.rate), it.segments)
            });
            ("UDP in batches", segmented.unwrap_or_else(|| "the kernel has no UDP_SEGMENT".to_owned()))
        }
        Ceiling::TcpRequests => {
            ("TCP requests", format!("{} over one connection that is kept", spread(rates.tcp_requests)))
        }
        Ceiling::TcpConnections => {
            ("TCP connections", format!("{} opened, used once and closed", spread(rates.tcp_connections)))
        }
        Ceiling::Descriptors => {
            let limit = |limit: Option<u64>| limit.map_or("unlimited".to_owned(), |limit| limit.to_string());
            let descriptors = limits.descriptors;
            ("descriptors", format!("{} (hard {})", limit(descriptors.soft), limit(descriptors.hard)))
        }
        Ceiling::Ports => {
            let ports = limits.ports.map(|ports| {
                let count = ports.count();
                format!("{count} ({} to {}) towards one server from one address", ports.first, ports.last)
            });
            ("ports", known(ports))
        }
        Ceiling::Cores => {
            let quota = limits.quota_cores.map(|it| format!(", a quota of {}", cores(it)));
            ("cores", format!("{}{}", limits.cores, quota.unwrap_or_default()))
        }
        Ceiling::Memory => {
            ("memory", known(limits.memory_bytes.map(|it| format!("{} available", bytes(it)))))
        }
        Ceiling::Buffers => {
            let [receive, send] =
                [limits.receive_buffer_bytes, limits.send_buffer_bytes].map(|it| known(it.map(bytes)));
            ("socket buffers", format!("receive up to {receive}, send up to {send}"))
        }
        Ceiling::Drops => {
            let dropped = limits.datagrams_dropped.map(|dropped| {
                let share = dropped as f64 / (dropped + limits.datagrams_received.unwrap_or(0)).max(1) as f64;
                format!("{dropped} datagrams ({}) since the machine started", percent(share))
            });
            ("dropped UDP", known(dropped))
        }
        Ceiling::Load => {
            let load = limits.load.map(|load| {
                format!(
                    "{} in the last minute, of {} cores",
                    three_digits(load),
                    cores(limits.usable_cores())
                )
            });
            ("load average", known(load))
        }
    }
}

/// `2`, `1.50`.
fn cores(cores: f64) -> String {
    if cores.fract() == 0.0 { format!("{cores:.0}") } else { three_digits(cores) }
}

fn spread(measured: Rate) -> String {
    format!("{} (≥ {})", rate(measured.per_second), rate(measured.least_per_second))
}

/// What to do about a ceiling that is low.
fn hint(ceiling: Ceiling, limits: &Limits) -> String {
    match ceiling {
        Ceiling::Timer => {
            "runs whose lag p99 is over 1 ms can be void: end what else runs, ask for whole cores, \
                           switch off power saving"
                .to_owned()
        }
        Ceiling::Clock => {
            "a clock that is read without a system call (tsc, kvm-clock) costs 20 to 50 ns: see \
                           /sys/devices/system/clocksource/clocksource0/available_clocksource"
                .to_owned()
        }
        Ceiling::Udp | Ceiling::TcpRequests | Ceiling::TcpConnections => {
            "a debug build, a firewall with connection tracking, or other work on the same cores?".to_owned()
        }
        Ceiling::UdpSegments => "Linux 4.18 has it; every datagram costs a system call until then".to_owned(),
        Ceiling::Descriptors => more_descriptors(limits.descriptors),
        Ceiling::Ports => {
            "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or give visitors addresses of their own \
                           (`visitors.addresses` of the target's profile; they have them on IPv4 loopback)"
                .to_owned()
        }
        Ceiling::Cores => {
            "the embedded testbed needs a core beside the workers: raise the quota, or aim at another \
                           machine with --target"
                .to_owned()
        }
        Ceiling::Memory => "end what else runs, or raise the limit of the control group".to_owned(),
        Ceiling::Buffers => {
            "answers that come at once are dropped: sysctl -w net.core.rmem_max=4194304".to_owned()
        }
        Ceiling::Drops => {
            "someone read too late; watch `nstat -az UdpRcvbufErrors` during a run: what is lost here looks \
                           like the target's loss"
                .to_owned()
        }
        Ceiling::Load => {
            "something else is at work: the rates above are too low, and a run now would be disturbed"
                .to_owned()
        }
    }
}

fn more_descriptors(limit: Descriptors) -> String {
    let beyond =
        "`nofile` in /etc/security/limits.conf, LimitNOFILE= of a systemd unit, or --ulimit of a container";
    match limit.hard {
        Some(hard) if Some(hard) == limit.soft => format!("raise the hard limit: {beyond}"),
        Some(hard) => format!("ulimit -n {hard}; beyond that {beyond}"),
        None => "ulimit -n 1048576".to_owned(),
    }
}

/// What a plan lacks on this machine, or lacked, and what to do about it; one line.
#[must_use]
pub fn shortage(shortage: &Shortage) -> String {
    let Shortage { of, needed, available, certain } = *shortage;
    let sure = |it: &'static str, maybe: &'static str| if certain { it } else { maybe };
    match of {
        Bound::Workers => format!(
            "the busiest second {} {} cores of its workers, of {}: raise --workers, lower --scale",
            sure("takes at least", "may take"),
            cores(needed),
            cores(available)
        ),
        Bound::Cores => format!(
            "CPU: {} cores {}, of {}: ask for more cores, or {}",
            cores(needed),
            sure("were used, the target's processes here among them", "for as many workers"),
            cores(available),
            sure("lower --scale", "lower --workers")
        ),
        Bound::Descriptors => format!(
            "descriptors: {} {needed:.0}, the limit is {available:.0}: raise `ulimit -n`, lower --scale",
            sure("at least", "up to")
        ),
        Bound::Ports => format!(
            "ports: up to {needed:.0} visitors at a time from one address, which has {available:.0}: name networks in \
             `visitors.addresses` of the target's profile"
        ),
        Bound::Memory => format!(
            "memory: about {} for visitors, {} available: lower --scale",
            bytes(needed as u64),
            bytes(available as u64)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::ceilings::tests::checkup;

    #[test]
    fn a_line_for_each_ceiling_and_a_hint_for_each_that_is_low() {
        let mut checkup = checkup();
        let good = text(&checkup, false);
        assert!(good.starts_with("✓ ready") && !good.contains("hint"), "{good}");
        assert_eq!(good.lines().filter(|line| line.starts_with('✓')).count(), 1 + checkup.findings.len());
        for finding in &mut checkup.findings {
            finding.grade = Grade::Low;
        }
        let low = text(&checkup, true);
        assert_eq!(low.matches("   hint: ").count(), checkup.findings.len());
        assert!(low.starts_with("\u{1b}[33m!"), "{low}");
        checkup.findings[0].grade = Grade::Bad;
        assert!(text(&checkup, false).starts_with("✗ not fit"));
    }

    #[test]
    fn nobody_is_told_to_raise_a_limit_to_where_it_is() {
        let hint = |soft, hard| more_descriptors(Descriptors { soft, hard });
        assert!(hint(Some(1_024), Some(4_096)).starts_with("ulimit -n 4096; beyond"));
        assert!(hint(Some(300), Some(300)).starts_with("raise the hard limit"));
        assert_eq!(hint(Some(300), None), "ulimit -n 1048576");
    }

    #[test]
    fn shortages_say_how_much_and_what_to_do() {
        let of = |of, certain| shortage(&Shortage { of, needed: 1200.0, available: 300.0, certain });
        assert!(
            of(Bound::Descriptors, true).starts_with("descriptors: at least 1200, the limit is 300: raise")
        );
        assert!(of(Bound::Descriptors, false).contains("up to 1200"));
        assert!(of(Bound::Workers, true).contains("takes at least 1200 cores"));
    }
}

//! This machine's ceilings: which of them are low, whatever the plan.

use serde::{Deserialize, Serialize};

use crate::live::doctor::{Limits, Machine, Rates};

/// Name and version of the format of `squall doctor`; the number grows when a reader would have to change.
pub const DOCTOR_SCHEMA: &str = "urn:squall:doctor:1";

/// What `squall doctor` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkup {
    /// Names the format.
    #[serde(rename = "$schema")]
    #[schemars(extend("const" = DOCTOR_SCHEMA))]
    pub schema: String,
    /// Version of the program.
    pub squall: String,
    /// When it was measured.
    pub at: jiff::Timestamp,
    /// Where.
    pub machine: Machine,
    /// What the machine allowed then.
    pub limits: Limits,
    /// What it did.
    pub rates: Rates,
    /// Each ceiling that is known, with what is to be thought of it.
    pub findings: Vec<CeilingFinding>,
}

impl Checkup {
    /// Judges what was measured.
    #[must_use]
    pub fn new(squall: &str, at: jiff::Timestamp, machine: Machine, limits: Limits, rates: Rates) -> Self {
        let findings = examine(&limits, &rates);
        Self {
            schema: DOCTOR_SCHEMA.to_owned(),
            squall: squall.to_owned(),
            at,
            machine,
            limits,
            rates,
            findings,
        }
    }

    /// Whether it says something of a machine with these limits: the same, not started again since, with as many cores.
    #[must_use]
    pub fn holds_for(&self, machine: &Machine, limits: &Limits) -> bool {
        self.machine == *machine
            && self.limits.cores == limits.cores
            && self.limits.quota_cores == limits.quota_cores
    }

    /// The worst of its grades.
    #[must_use]
    pub fn grade(&self) -> Grade {
        self.findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Good)
    }
}

/// Something that bounds a generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ceiling {
    /// How late alarms ring.
    Timer,
    /// The clock.
    Clock,
    /// UDP datagrams, one a call.
    Udp,
    /// UDP datagrams, many a call.
    UdpSegments,
    /// Requests over a TCP connection that is kept.
    TcpRequests,
    /// New TCP connections.
    TcpConnections,
    /// Open descriptors.
    Descriptors,
    /// Ports for connections from one address.
    Ports,
    /// Cores.
    Cores,
    /// Memory.
    Memory,
    /// Buffers of sockets.
    Buffers,
    /// Datagrams that were dropped so far.
    Drops,
    /// What else the machine does at the time.
    Load,
}

/// What is to be thought of a ceiling.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// High enough for most plans.
    Good,
    /// A large plan will find it.
    Low,
    /// Hardly any run on this machine will be valid.
    Bad,
}

/// A ceiling and what is to be thought of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CeilingFinding {
    /// Which.
    pub ceiling: Ceiling,
    /// How high.
    pub grade: Grade,
}

/// `Bad` beyond `bad`, `Low` beyond `low`.
fn above(value: f64, low: f64, bad: f64) -> Grade {
    match value {
        value if value > bad => Grade::Bad,
        value if value > low => Grade::Low,
        _ => Grade::Good,
    }
}

/// The same for what should be high.
fn below(value: f64, low: f64, bad: f64) -> Grade {
    above(-value, -low, -bad)
}

/// Bytes that the sockets of a run ask for as their receive buffer.
const WANTED_BUFFER: f64 = (4 << 20) as f64;
/// A lag above this voids a run (`domain.md` section 3).
const LAG_SECONDS: f64 = 0.001;
/// No grade is that bad.
const NEVER: f64 = f64::NEG_INFINITY;

/// Each ceiling that is known. Rates are called low where an ordinary machine of two cores of 2020 does several times as much.
fn examine(limits: &Limits, rates: &Rates) -> Vec<CeilingFinding> {
    use Ceiling as C;
    let usable = limits.usable_cores();
    let clock = above(rates.clock.read_nanoseconds, 250.0, f64::INFINITY).max(above(
        rates.clock.resolution_nanoseconds as f64,
        1_000.0,
        f64::INFINITY,
    ));
    let segmented = if rates.udp_segmented.is_some() { Grade::Good } else { Grade::Low };
    let dropped = limits.datagrams_dropped.zip(limits.datagrams_received);
    let dropped = dropped.map(|(dropped, received)| dropped as f64 / (dropped + received).max(1) as f64);
    let buffer = limits.receive_buffer_bytes.map(|bytes| below(bytes as f64, WANTED_BUFFER, NEVER));
    let memory = limits.memory_bytes.map(|bytes| below(bytes as f64, (1_u64 << 30) as f64, (1 << 28) as f64));
    // 256 are kept for everything but operations, of which fewer than 64 are no load.
    let descriptors = limits.descriptors.soft.map_or(Grade::Good, |soft| below(soft as f64, 4_096.0, 320.0));
    let findings = [
        (C::Timer, Some(above(rates.timer.p99_seconds, LAG_SECONDS / 2.0, LAG_SECONDS))),
        (C::Clock, Some(clock)),
        (C::Udp, Some(below(rates.udp.per_second, 20_000.0, NEVER))),
        (C::UdpSegments, Some(segmented)),
        (C::TcpRequests, Some(below(rates.tcp_requests.per_second, 10_000.0, NEVER))),
        (C::TcpConnections, Some(below(rates.tcp_connections.per_second, 2_000.0, NEVER))),
        (C::Descriptors, Some(descriptors)),
        (C::Ports, limits.ports.map(|ports| below(ports.count() as f64, 16_384.0, NEVER))),
        (C::Cores, Some(below(usable, 2.0, 0.5))),
        (C::Memory, memory),
        (C::Buffers, buffer),
        (C::Drops, dropped.map(|share| above(share, 0.001, f64::INFINITY))),
        (C::Load, limits.load.map(|load| above(load, usable / 2.0, f64::INFINITY))),
    ];
    findings
        .into_iter()
        .filter_map(|(ceiling, grade)| grade.map(|grade| CeilingFinding { ceiling, grade }))
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::live::doctor::{ClockSource, Descriptors, Ports, Rate, Segmented, TimerLag};

    /// A machine of which nothing is low.
    pub(crate) fn limits() -> Limits {
        Limits {
            cores: 4,
            quota_cores: None,
            memory_bytes: Some(8 << 30),
            descriptors: Descriptors { soft: Some(20_000), hard: Some(20_000) },
            ports: Some(Ports { first: 32_768, last: 60_999 }),
            receive_buffer_bytes: Some(4 << 20),
            send_buffer_bytes: Some(4 << 20),
            datagrams_received: Some(1_000_000),
            datagrams_dropped: Some(10),
            load: Some(0.5),
        }
    }

    pub(crate) fn rates() -> Rates {
        let rate = |per_second: f64| Rate { per_second, least_per_second: per_second / 2.0 };
        Rates {
            seconds: 20.0,
            timer: TimerLag { steps: 6_000, p50_seconds: 6e-5, p99_seconds: 2e-4, max_seconds: 3e-3 },
            clock: ClockSource {
                source: Some("tsc".to_owned()),
                resolution_nanoseconds: 1,
                read_nanoseconds: 25.0,
            },
            udp: rate(100_000.0),
            udp_segmented: Some(Segmented { segments: 64, rate: rate(500_000.0) }),
            tcp_requests: rate(50_000.0),
            tcp_connections: rate(10_000.0),
        }
    }

    /// What a good machine's check-up says.
    pub(crate) fn checkup() -> Checkup {
        let machine = Machine { hostname: "one".into(), kernel: "Linux 6".into(), boot: Some("a".into()) };
        Checkup::new("0.1.0", jiff::Timestamp::UNIX_EPOCH, machine, limits(), rates())
    }

    fn grades(change: impl Fn(&mut Limits, &mut Rates)) -> Vec<(Ceiling, Grade)> {
        let (mut limits, mut rates) = (limits(), rates());
        change(&mut limits, &mut rates);
        let low = examine(&limits, &rates).into_iter().filter(|finding| finding.grade != Grade::Good);
        low.map(|finding| (finding.ceiling, finding.grade)).collect()
    }

    #[test]
    fn each_ceiling_is_found_low_by_its_own_figure() {
        use Ceiling as C;
        use Grade::{Bad, Low};
        assert_eq!(examine(&limits(), &rates()).len(), 13);
        assert_eq!(grades(|_, _| {}), []);
        assert_eq!(grades(|_, rates| rates.timer.p99_seconds = 6e-4), [(C::Timer, Low)]);
        assert_eq!(grades(|_, rates| rates.timer.p99_seconds = 1.1e-3), [(C::Timer, Bad)]);
        assert_eq!(grades(|_, rates| rates.clock.read_nanoseconds = 800.0), [(C::Clock, Low)]);
        assert_eq!(grades(|_, rates| rates.clock.resolution_nanoseconds = 4_000_000), [(C::Clock, Low)]);
        assert_eq!(grades(|_, rates| rates.udp.per_second = 1e4), [(C::Udp, Low)]);
        assert_eq!(grades(|_, rates| rates.udp_segmented = None), [(C::UdpSegments, Low)]);
        assert_eq!(grades(|_, rates| rates.tcp_requests.per_second = 9e3), [(C::TcpRequests, Low)]);
        assert_eq!(grades(|_, rates| rates.tcp_connections.per_second = 1e3), [(C::TcpConnections, Low)]);
        assert_eq!(grades(|limits, _| limits.descriptors.soft = Some(1_024)), [(C::Descriptors, Low)]);
        assert_eq!(grades(|limits, _| limits.descriptors.soft = Some(256)), [(C::Descriptors, Bad)]);
        assert_eq!(grades(|limits, _| limits.descriptors.soft = None), []);
        let few = Some(Ports { first: 60_000, last: 60_999 });
        assert_eq!(grades(|limits, _| limits.ports = few), [(C::Ports, Low)]);
        assert_eq!(grades(|limits, _| limits.quota_cores = Some(1.5)), [(C::Cores, Low)]);
        // With so little, what else goes on weighs more.
        assert_eq!(grades(|limits, _| limits.quota_cores = Some(0.4)), [(C::Cores, Bad), (C::Load, Low)]);
        assert_eq!(grades(|limits, _| limits.memory_bytes = Some(1 << 29)), [(C::Memory, Low)]);
        assert_eq!(grades(|limits, _| limits.memory_bytes = Some(1 << 27)), [(C::Memory, Bad)]);
        assert_eq!(grades(|limits, _| limits.receive_buffer_bytes = Some(212_992)), [(C::Buffers, Low)]);
        assert_eq!(grades(|limits, _| limits.datagrams_dropped = Some(2_000)), [(C::Drops, Low)]);
        assert_eq!(grades(|limits, _| limits.load = Some(2.1)), [(C::Load, Low)]);
    }

    #[test]
    fn a_checkup_holds_for_its_machine_until_that_is_another() {
        let checkup = checkup();
        let machine = checkup.machine.clone();
        assert_eq!(checkup.grade(), Grade::Good);
        assert!(checkup.holds_for(&machine, &Limits { load: Some(9.0), ..limits() }));
        assert!(!checkup.holds_for(&machine, &Limits { quota_cores: Some(1.0), ..limits() }));
        assert!(!checkup.holds_for(&Machine { boot: Some("b".into()), ..machine }, &limits()));
        let text = serde_json::to_string(&checkup).unwrap();
        assert_eq!(serde_json::from_str::<Checkup>(&text).unwrap(), checkup);
    }
}

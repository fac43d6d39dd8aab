//! What a plan asks of the machine that is to drive it, and what of that the machine does not have.
//!
//! Before a run this is a forecast, and kept low on purpose: the bare sockets of the busiest second, and the visitors who are there if no
//! transfer is slower than its access line. A warning therefore means something; no warning is no promise. Whether the generator was the
//! limit is judged after the run, by what it did (`validity`).

use std::time::Duration;

use crate::live::doctor::{Limits, Rates};
use crate::plan::{Arrival, Stage, What};
use crate::record::{Bound, Shortage};
use crate::scenario::Scenario;

/// Connections that a download keeps to peers that have something of use (`live::client` opens so many by itself).
const PEERS_A_DOWNLOAD: u64 = 8;
/// Descriptors for everything but visitors: logs, timers, listeners, shared sockets.
const OTHER_DESCRIPTORS: u64 = 64;
/// Queries of a lookup [measured: 13 in a rehearsal of a listing day].
const QUERIES_A_LOOKUP: f64 = 13.0;
/// Memory of a visitor who is connected [measured: 79 MiB more for 1,780 connections more, in a rehearsal of a listing day].
const VISITOR_BYTES: f64 = (64 << 10) as f64;
/// Part of its cores that the bare sockets may take: the rest is what the visitors themselves cost.
const SOCKET_SHARE: f64 = 0.5;
/// What any machine carries: a plan that asks for little of this needs no look at the machine.
const ANY_MACHINE: Carried = Carried { exchanges: 20_000.0, requests: 10_000.0, connections: 2_000.0 };

/// What one core carries per second, if it does nothing else.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Carried {
    exchanges: f64,
    requests: f64,
    connections: f64,
}

impl From<&Rates> for Carried {
    fn from(rates: &Rates) -> Self {
        Self {
            exchanges: rates.udp.per_second,
            requests: rates.tcp_requests.per_second,
            connections: rates.tcp_connections.per_second,
        }
    }
}

/// What a run has to drive a plan with.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    /// What the machine allows.
    pub limits: &'a Limits,
    /// What it was measured to carry, if it was.
    pub rates: Option<&'a Rates>,
    /// Worker threads.
    pub workers: usize,
    /// Whether visitors have addresses of their own, each with all ports.
    pub own_addresses: bool,
    /// Whether trackers are asked over UDP.
    pub udp_trackers: bool,
    /// Assets of a page.
    pub assets: u32,
}

/// A second of the plan.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    /// Steps that are due, by stage.
    steps: [u32; 5],
    /// By how many the visitors under way become more.
    visitors: i64,
    /// By how many the downloads under way become more.
    downloads: i64,
}

/// What a plan asks for, second by second.
#[derive(Clone, Debug)]
pub struct Demand {
    seconds: Vec<Second>,
    /// Bytes of each content, by rank.
    sizes: Vec<u64>,
    /// Bytes per second of each access line.
    lines: Vec<f64>,
}

impl Demand {
    /// Nothing yet, of a plan of this length.
    #[must_use]
    pub fn new(scenario: &Scenario, length: Duration) -> Self {
        Self {
            seconds: vec![Second::default(); length.as_secs() as usize + 2],
            sizes: scenario.content.sizes().collect(),
            lines: scenario.access.members.iter().map(|(line, _)| line.down).collect(),
        }
    }

    /// Counts an arrival in.
    pub fn add(&mut self, arrival: &Arrival) {
        let mut connected: Option<(u64, u64)> = None;
        for step in &arrival.steps {
            let from = step.at.second();
            self.second(from).steps[step.what.stage() as usize] += 1;
            let until = match step.what {
                What::Announce(_) | What::Lookup | What::Crawl | What::Resolve => continue,
                What::Transfer { until } | What::Read { until } => {
                    let end = from + self.shortest(arrival, until).as_secs();
                    self.second(from).downloads += 1;
                    self.second(end + 1).downloads -= 1;
                    end
                }
                What::Visit | What::Torrent | What::Magnet | What::Root => from,
            };
            let (first, last) = connected.unwrap_or((from, from));
            connected = Some((first.min(from), last.max(until)));
        }
        if let Some((first, last)) = connected {
            self.second(first).visitors += 1;
            self.second(last + 1).visitors -= 1;
        }
    }

    /// How long a part of a content takes at least: as long as the access line needs.
    fn shortest(&self, arrival: &Arrival, part: f32) -> Duration {
        let size = self.sizes.get(usize::from(arrival.content)).copied().unwrap_or_default();
        let line = self.lines.get(usize::from(arrival.access)).copied().unwrap_or(f64::INFINITY);
        Duration::try_from_secs_f64(size as f64 * f64::from(part) / line).unwrap_or_default()
    }

    /// The last one stands for all that comes later.
    fn second(&mut self, number: u64) -> &mut Second {
        let last = self.seconds.len() - 1;
        &mut self.seconds[(number as usize).min(last)]
    }

    /// Cores that the bare sockets of the busiest second take.
    fn cores(&self, carried: Carried, means: &Means<'_>) -> f64 {
        // A lookup is many queries; whoever comes to a page, a server or a peer opens a connection.
        let announces = if means.udp_trackers {
            // A connect and an announce.
            2.0 / carried.exchanges
        } else {
            1.0 / carried.requests + 1.0 / carried.connections
        };
        let exchange = 1.0 / carried.requests + 1.0 / carried.connections;
        let cost = |stage: Stage| match stage {
            Stage::Index => exchange + f64::from(means.assets) / carried.requests,
            Stage::Metadata | Stage::Pieces => exchange,
            Stage::Announce => announces,
            Stage::Dht => QUERIES_A_LOOKUP / carried.exchanges,
        };
        let costs = Stage::ALL.map(cost);
        let of = |second: &Second| second.steps.iter().zip(costs).map(|(&n, cost)| f64::from(n) * cost).sum();
        self.seconds.iter().map(of).fold(0.0, f64::max)
    }

    /// Most visitors, and most downloads, under way in a second; with the most connections that both come to.
    fn crowd(&self) -> Crowd {
        let (mut visitors, mut downloads) = (0_i64, 0_i64);
        let mut most = Crowd::default();
        for second in &self.seconds {
            visitors += second.visitors;
            downloads += second.downloads;
            let (visitors, downloads) = (visitors.max(0) as u64, downloads.max(0) as u64);
            most.visitors = most.visitors.max(visitors);
            most.downloads = most.downloads.max(downloads);
            most.connections = most.connections.max(visitors + PEERS_A_DOWNLOAD * downloads);
        }
        most
    }

    /// Whether any machine carries it, so that nobody has to measure this one.
    #[must_use]
    pub fn is_small(&self, means: &Means<'_>) -> bool {
        self.cores(ANY_MACHINE, means) < SOCKET_SHARE
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Crowd {
    visitors: u64,
    downloads: u64,
    connections: u64,
}

/// What the plan needs and the machine does not have.
#[must_use]
pub fn shortages(demand: &Demand, means: &Means<'_>) -> Vec<Shortage> {
    let crowd = demand.crowd();
    let Limits { descriptors, ports, memory_bytes, .. } = means.limits;
    let usable = means.limits.usable_cores();
    let cores = (means.workers as f64).min(usable);
    // What it takes at the least, what is to be expected, and what there is.
    let workers = means.rates.map(|rates| {
        let sockets = demand.cores(rates.into(), means);
        (Bound::Workers, sockets, sockets / SOCKET_SHARE, cores)
    });
    let threads = Some((Bound::Cores, 0.0, means.workers as f64, usable));
    let descriptors = descriptors.soft.map(|soft| {
        let least = (crowd.downloads + OTHER_DESCRIPTORS) as f64;
        (Bound::Descriptors, least, (crowd.connections + OTHER_DESCRIPTORS) as f64, soft as f64)
    });
    let ports = ports.filter(|_| !means.own_addresses);
    let ports = ports.map(|ports| (Bound::Ports, 0.0, crowd.visitors as f64, ports.count() as f64));
    let memory =
        memory_bytes.map(|bytes| (Bound::Memory, 0.0, crowd.visitors as f64 * VISITOR_BYTES, bytes as f64));
    let all = [workers, threads, descriptors, ports, memory].into_iter().flatten();
    all.filter_map(|(of, least, expected, available)| match () {
        () if least > available => Some(Shortage { of, needed: least, available, certain: true }),
        () if expected > available => Some(Shortage { of, needed: expected, available, certain: false }),
        () => None,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::super::ceilings::tests::{limits, rates};
    use super::*;
    use crate::live::doctor::{Descriptors, Ports};
    use crate::plan::{AnnounceEvent, Cohort, Origin, PlannedStep};
    use crate::scenario::sample;
    use crate::unit::Tick;

    const LENGTH: Duration = Duration::from_secs(60);

    fn means<'a>(limits: &'a Limits, rates: &'a Rates) -> Means<'a> {
        let rates = Some(rates);
        Means { limits, rates, workers: 1, own_addresses: true, udp_trackers: true, assets: 1 }
    }

    /// So many arrivals that do this in second 10.
    fn demand(count: u64, what: &[What]) -> Demand {
        let scenario = sample::sample();
        let mut demand = Demand::new(&scenario, LENGTH);
        let steps = what.iter().map(|&what| PlannedStep { at: Tick::from_millis(10_500), what });
        let mut arrival = Arrival {
            index: 0,
            origin: Origin::Visit,
            cohort: Cohort::NewCluster,
            region: 0,
            client: 0,
            access: 0,
            content: 0,
            cached: false,
            reachable: true,
            seed: 0,
            steps: smallvec![],
        };
        arrival.steps.extend(steps);
        (0..count).for_each(|_| demand.add(&arrival));
        demand
    }

    fn found(demand: &Demand, means: &Means<'_>) -> Vec<(Bound, bool)> {
        shortages(demand, means).into_iter().map(|it| (it.of, it.certain)).collect()
    }

    #[test]
    fn the_busiest_second_is_held_against_the_rates() {
        let (limits, rates) = (limits(), rates());
        let means = means(&limits, &rates);
        let announce = [What::Announce(AnnounceEvent::Interval)];
        // An announce is two exchanges, of which a core carries 100,000 a second: 20,000 leave room, 60,000 cannot be sent.
        assert_eq!(found(&demand(20_000, &announce), &means), []);
        assert_eq!(found(&demand(30_000, &announce), &means), [(Bound::Workers, false)]);
        assert_eq!(found(&demand(60_000, &announce), &means), [(Bound::Workers, true)]);
        let [shortage] = shortages(&demand(60_000, &announce), &means)[..] else { panic!() };
        assert!((shortage.needed - 1.2).abs() < 1e-9 && shortage.available == 1.0, "{shortage:?}");
        let two = Means { workers: 2, ..means };
        assert_eq!(found(&demand(60_000, &announce), &two), [(Bound::Workers, false)]);
        let http = Means { udp_trackers: false, ..means };
        assert_eq!(found(&demand(9_000, &announce), &http), [(Bound::Workers, true)]);
        // Nothing is said about what nobody measured.
        assert_eq!(found(&demand(60_000, &announce), &Means { rates: None, ..means }), []);
        assert!(demand(4_000, &announce).is_small(&means) && !demand(6_000, &announce).is_small(&means));
        assert!(
            demand(700, &[What::Lookup]).is_small(&means) && !demand(800, &[What::Lookup]).is_small(&means)
        );
    }

    #[test]
    fn a_quota_bounds_the_workers() {
        let limits = Limits { quota_cores: Some(1.5), ..limits() };
        let rates = rates();
        assert_eq!(found(&demand(1, &[What::Visit]), &means(&limits, &rates)), []);
        let two = Means { workers: 2, ..means(&limits, &rates) };
        assert_eq!(found(&demand(1, &[What::Visit]), &two), [(Bound::Cores, false)]);
    }

    #[test]
    fn visitors_and_downloads_need_descriptors_ports_and_memory() {
        let (mut limits, rates) = (limits(), rates());
        limits.descriptors = Descriptors { soft: Some(300), hard: Some(300) };
        let download = [What::Visit, What::Transfer { until: 1.0 }];
        assert_eq!(found(&demand(26, &download), &means(&limits, &rates)), []);
        assert_eq!(found(&demand(27, &download), &means(&limits, &rates)), [(Bound::Descriptors, false)]);
        assert_eq!(found(&demand(240, &download), &means(&limits, &rates)), [(Bound::Descriptors, true)]);
        limits.descriptors.soft = None;
        limits.ports = Some(Ports { first: 1_001, last: 1_100 });
        assert_eq!(found(&demand(240, &download), &means(&limits, &rates)), []);
        let one_address = Means { own_addresses: false, ..means(&limits, &rates) };
        assert_eq!(found(&demand(240, &download), &one_address), [(Bound::Ports, false)]);
        limits.memory_bytes = Some(1 << 20);
        assert_eq!(found(&demand(240, &download), &means(&limits, &rates)), [(Bound::Memory, false)]);
    }

    #[test]
    fn a_download_lasts_as_long_as_its_line_needs_and_the_peaks_are_those_of_a_second() {
        let mut demand = demand(10, &[What::Transfer { until: 1.0 }]);
        let (size, line) = (demand.sizes[0] as f64, demand.lines[0]);
        demand.lines[0] = size / 5.5;
        assert!(line > 0.0);
        let mut late = Demand { seconds: vec![Second::default(); 62], ..demand.clone() };
        let arrival = |second: u64| Arrival {
            index: 0,
            origin: Origin::Visit,
            cohort: Cohort::NewCluster,
            region: 0,
            client: 0,
            access: 0,
            content: 0,
            cached: false,
            reachable: true,
            seed: 0,
            steps: smallvec![PlannedStep {
                at: Tick::from_millis(second * 1000),
                what: What::Transfer { until: 1.0 }
            }],
        };
        // One every three seconds, each of which takes five: two at a time.
        (0..20).for_each(|n| late.add(&arrival(3 * n)));
        assert_eq!(late.crowd(), Crowd { visitors: 2, downloads: 2, connections: 18 });
        assert_eq!(demand.crowd().downloads, 10);
    }
}

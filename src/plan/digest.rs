//! The fingerprint of a plan.

use sha2::{Digest as _, Sha256};

use super::{AnnounceEvent, Arrival, Cohort, Origin, Parts, Plan, What};

/// Ticks of which arrivals are taken.
const TICKS: u64 = 64;
/// Most arrivals that are taken of such a tick.
const ARRIVALS: u64 = 4096;

/// SHA-256 over what a plan is made of, every number little-endian:
///
/// ```text
/// header    "squall plan 3\n" · length u64 (run ns) · tick u64 (ns) · seed u64
/// sampler   shares, alias tables of the mixes and of the content, delays: f64 each
/// tick      arrivals of each cell, u64 each, in order of numbering
/// arrival   index u64 · origin u8 (0 visit, 1 population, 2 side, 3 abuse, 4 logged) · number u8 (of side or abuse, else 0) ·
///           cohort u8 (0 returning, 1 old cluster, 2 new cluster) · region u8 · client u8 · access u8 · cached u8 · reachable u8 ·
///           content u16 · seed u64 ·
///           number of steps u8 · steps
/// step      at u64 (run ns) · what u8 (0 visit, 1 torrent, 2 magnet, 3 announce, 4 lookup, 5 transfer, 6 crawl, 7 root, 8 read) ·
///           detail u32 (announce: 0 started, 1 interval, 2 completed, 3 stopped; transfer and read: bits of `until`; else 0)
/// ```
///
/// All ticks are counted. Every n-th tick, n the smallest number that leaves 64 of them, is followed by its first 4096 arrivals in order
/// of index: an arrival depends on its index, its cell and the sampler alone, so two plans that agree in all this agree in the rest.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    hash: Sha256,
    record: Vec<u8>,
}

impl Digest {
    pub(super) fn new(plan: &Parts) -> Self {
        let mut digest = Self { hash: Sha256::new_with_prefix("squall plan 3\n"), record: Vec::new() };
        let mut put = |bytes: &[u8]| digest.hash.update(bytes);
        for number in [plan.length, plan.tick, plan.seed] {
            put(&number.to_le_bytes());
        }
        plan.sampler.put(&mut put);
        digest
    }

    /// Adds a tick: the arrivals of each cell, the first of which has the index `first`.
    pub(super) fn tick(&mut self, plan: &Parts, tick: u64, first: u64, counts: &[u64]) {
        for count in counts {
            self.hash.update(count.to_le_bytes());
        }
        let Some((start, span)) = plan.tick(tick) else { return };
        if !tick.is_multiple_of(plan.ticks().div_ceil(TICKS)) {
            return;
        }
        let mut index = first;
        for (cell, count) in plan.cells.iter().zip(counts) {
            for _ in 0..(*count).min((first + ARRIVALS).saturating_sub(index)) {
                let due = start + plan.sampler.place(index, span);
                self.arrival(&plan.sampler.arrival(index, due, cell.entry, cell.region));
                index += 1;
            }
        }
    }

    fn arrival(&mut self, arrival: &Arrival) {
        self.record.clear();
        let mut put = |bytes: &[u8]| self.record.extend_from_slice(bytes);
        put(&arrival.index.to_le_bytes());
        put(&match arrival.origin {
            Origin::Visit => [0, 0],
            Origin::Population => [1, 0],
            Origin::Side(side) => [2, side],
            Origin::Abuse(abuse) => [3, abuse],
            // A replay has a fingerprint of its own.
            Origin::Logged(_) => [4, 0],
        });
        put(&[match arrival.cohort {
            Cohort::Returning => 0,
            Cohort::OldCluster => 1,
            Cohort::NewCluster => 2,
        }]);
        put(&[arrival.region, arrival.client, arrival.access]);
        put(&[u8::from(arrival.cached), u8::from(arrival.reachable)]);
        put(&arrival.content.to_le_bytes());
        put(&arrival.seed.to_le_bytes());
        put(&[arrival.steps.len() as u8]);
        for step in &arrival.steps {
            let (what, detail) = code(step.what);
            put(&step.at.0.to_le_bytes());
            put(&[what]);
            put(&detail.to_le_bytes());
        }
        self.hash.update(&self.record);
    }

    /// The fingerprint in hexadecimal.
    pub(super) fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

const fn code(what: What) -> (u8, u32) {
    match what {
        What::Visit => (0, 0),
        What::Torrent => (1, 0),
        What::Magnet => (2, 0),
        What::Announce(AnnounceEvent::Started) => (3, 0),
        What::Announce(AnnounceEvent::Interval) => (3, 1),
        What::Announce(AnnounceEvent::Completed) => (3, 2),
        What::Announce(AnnounceEvent::Stopped) => (3, 3),
        What::Lookup => (4, 0),
        What::Transfer { until } => (5, until.to_bits()),
        What::Crawl => (6, 0),
        What::Root => (7, 0),
        What::Read { until } => (8, until.to_bits()),
        What::Resolve => (9, 0),
    }
}

impl Plan {
    /// The plan's fingerprint, SHA-256 in hexadecimal: its parameters, the number of arrivals of every tick, region and origin, and the
    /// arrivals of 64 ticks spread over it. The cost depends on its length, not on the number of its arrivals.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Digest::new(&self.parts);
        self.parts.count_all(|tick| digest.tick(&self.parts, tick.number, tick.first, tick.counts));
        digest.finish()
    }
}

//! The plan: a lazy, seeded stream of arrivals; or a log that is replayed ([`replay`]), behind the same seam ([`Schedule`]).
//!
//! Self-excitation is drawn first, as a path of attention at full audience ([`Demand::drawn`]): the same whatever the cut. Given that
//! path all arrivals are Poisson. The run clock is cut into ticks. In every tick the number of arrivals of each origin and region is Poisson, drawn from a stream of
//! its own (seed, origin, region, tick), with what the demand expects in the tick as its mean. Arrivals are numbered in the
//! order in which they are counted, and arrival k draws all the rest, its place inside the tick included, from its own stream
//! (seed, k). So a shard counts everything and draws only what is its own: any number of shards together give the unsharded plan,
//! event for event, and a plan needs the memory of one tick however long it is.
//!
//! Visitors who entered *before* the window are not drawn and then mostly thrown away: those who are due for their next step at a
//! moment of the window are a Poisson stream too (displacement theorem), whose rate the demand knows ([`crate::demand::Residue`]). They
//! are drawn where they surface, by the step that they surface with, so no stage has a warm-up artefact at the window's start.

mod arrival;
mod choice;
mod crowd;
mod curves;
mod digest;
mod draw;
mod explain;
mod overview;
pub mod replay;
mod schedule;
mod shard;
#[cfg(test)]
mod tests;

pub use arrival::{AnnounceEvent, Arrival, Cohort, Logged, Origin, PlannedStep, Stage, What};
pub use crowd::Crowd;
pub use curves::{Curves, Row, StageSummary};
pub use explain::{Effect, Explanation};
pub use overview::{Overview, SignalMark};
pub use schedule::{Arrivals, Schedule};
pub use shard::Shard;

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand_xoshiro::SplitMix64;

use crate::demand::stream::{COUNTS, key as key_of};
use crate::demand::{Demand, Residue, poisson};
use crate::scenario::{Scenario, VariantName};

use draw::{Entry, Sampler};

/// Longest tick in run time, nanoseconds: what a shard holds at once.
const TICK: u64 = 1_000_000_000;
/// Fewest ticks of a plan, so that rates may change within short runs too.
const TICKS: u64 = 1024;

/// Everything that a run will ask of the target. Cheap to clone; the same scenario, variant and seed give the same plan everywhere.
#[derive(Clone, Debug)]
pub struct Plan {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    scenario: Arc<Scenario>,
    variant: VariantName,
    seed: u64,
    demand: Demand,
    sampler: Sampler,
    /// What is counted in every tick, in order of numbering.
    cells: Vec<Cell>,
    /// Nanoseconds of a tick, a whole part of a second.
    tick: u64,
    /// Nanoseconds of the plan.
    length: u64,
}

/// Arrivals that are counted together.
#[derive(Debug)]
struct Cell {
    entry: Entry,
    region: usize,
    /// The rate of those who entered before the window; for [`Entry::Metadata`], [`Entry::Start`] and [`Entry::Stop`] only.
    residue: Option<Residue>,
}

impl Plan {
    /// The plan of a scenario, cut as [`Scenario::cut`] says.
    #[must_use]
    pub fn new(scenario: Arc<Scenario>, variant: VariantName, seed: u64) -> Self {
        let demand = Demand::drawn(&scenario, variant, seed);
        let length = u64::try_from(scenario.cut.length().as_nanos()).unwrap_or(u64::MAX);
        let tick = whole_part(length / TICKS);
        let sampler = Sampler::new(&scenario, &demand, seed, length);
        let cells = cells(&scenario, &demand);
        Self { parts: Arc::new(Parts { scenario, variant, seed, demand, sampler, cells, tick, length }) }
    }

    /// How long it takes on the run clock.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.parts.length)
    }

    /// Every arrival, in order of due, then index.
    #[must_use]
    pub fn arrivals(&self) -> Shard {
        self.shard(0, 1)
    }

    /// Shard `i` of `n`: the arrivals whose index leaves `i` when divided by `n`, in order of due, then index. Empty for `i` ≥ `n`.
    #[must_use]
    pub fn shard(&self, i: u32, n: u32) -> Shard {
        Shard::new(Arc::clone(&self.parts), i, n)
    }

    /// The scenario that it was made from.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.parts.scenario
    }

    /// The forecast that it drives.
    #[must_use]
    pub fn variant(&self) -> VariantName {
        self.parts.variant
    }

    /// The seed that it was drawn with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.parts.seed
    }

    /// The rates behind it, at full audience in scenario time: its cascades on the path that the seed draws.
    #[must_use]
    pub fn demand(&self) -> &Demand {
        &self.parts.demand
    }
}

/// The longest time that is a whole part of a second and not longer than `span`, nanoseconds.
fn whole_part(span: u64) -> u64 {
    let shortest = TICK.div_ceil(span.max(1));
    // Whole parts of a nanosecond grid: the next divisor of 10^9.
    (shortest..=TICK).find(|parts| TICK.is_multiple_of(*parts)).map_or(1, |parts| TICK / parts)
}

fn cells(scenario: &Scenario, demand: &Demand) -> Vec<Cell> {
    let cut = &scenario.cut;
    let (from, length) = (cut.from.as_secs_f64(), (cut.until - cut.from).as_secs_f64());
    let mut cells = Vec::new();
    for (region, flow) in demand.regions.iter().enumerate() {
        let mut add = |entry, residue| cells.push(Cell { entry, region, residue });
        add(Entry::Visit, None);
        let metadata = flow.visits.residue(demand.metadata_share, &demand.to_metadata, from, length);
        add(Entry::Metadata, Some(metadata));
        let starts = flow.metadata.residue(demand.start_share, &demand.to_start, from, length);
        add(Entry::Start, Some(starts));
        add(Entry::Stop, Some(flow.starts.residue(demand.swarm_share, &demand.seeding, from, length)));
        add(Entry::Population, None);
        if !scenario.restarts.is_empty() {
            add(Entry::Restart, None);
        }
        if !scenario.exoduses.is_empty() {
            add(Entry::Leave, None);
        }
        (0..=u8::MAX).take(flow.sides.len()).for_each(|side| add(Entry::Side(side), None));
        for (number, abuse) in (0..=u8::MAX).zip(&scenario.abuse) {
            if abuse.regions.is_empty() || abuse.regions.contains(&region) {
                add(Entry::Abuse(number), None);
            }
        }
    }
    cells
}

/// A slice of the window.
#[derive(Clone, Copy, Debug)]
struct Slice {
    /// Scenario seconds.
    from: f64,
    /// Scenario seconds.
    until: f64,
    /// Scenario seconds since the window's beginning, in the middle.
    age: f64,
    /// What a rate of 1 per scenario second at full audience comes to.
    weight: f64,
}

impl Slice {
    /// What as many events of the scenario come to.
    fn thinned(&self, events: f64) -> f64 {
        events * self.weight / (self.until - self.from)
    }
}

/// A tick whose arrivals are counted.
#[derive(Debug)]
struct Counted<'a> {
    number: u64,
    /// Nanoseconds.
    start: u64,
    /// Nanoseconds.
    span: u64,
    slice: Slice,
    /// Index of its first arrival.
    first: u64,
    /// Arrivals of each cell.
    counts: &'a [u64],
}

impl Parts {
    /// A slice of the run, nanoseconds.
    fn slice(&self, start: u64, span: u64) -> Slice {
        let cut = &self.scenario.cut;
        let (run, length) = (start as f64 / 1e9, span as f64 / 1e9);
        let from = cut.from.as_secs_f64() + run * cut.speed;
        let age = (run + length / 2.0) * cut.speed;
        Slice { from, until: from + length * cut.speed, age, weight: length * cut.scale }
    }

    /// Arrivals of a cell that are to be expected in a slice.
    fn expected(&self, cell: &Cell, slice: &Slice) -> f64 {
        match &cell.residue {
            Some(residue) => residue.at(slice.age) * slice.weight,
            None => self.entering(&self.demand, cell.entry, cell.region, slice),
        }
    }

    /// Those who come to an entry in a slice, wherever they were before.
    fn entering(&self, demand: &Demand, entry: Entry, region: usize, slice: &Slice) -> f64 {
        let (flow, middle) = (&demand.regions[region], f64::midpoint(slice.from, slice.until));
        match entry {
            Entry::Visit => flow.visits.at(middle) * slice.weight,
            Entry::Metadata => flow.metadata.at(middle) * slice.weight,
            Entry::Start => flow.starts.at(middle) * slice.weight,
            Entry::Stop => flow.stops.at(middle) * slice.weight,
            Entry::Side(side) => {
                flow.sides.get(usize::from(side)).map_or(0.0, |side| side.at(middle)) * slice.weight
            }
            Entry::Population => slice.thinned(flow.swarm.reannounces(slice.from, slice.until)),
            Entry::Restart => slice.thinned(flow.swarm.restarts(slice.from, slice.until)),
            Entry::Leave => slice.thinned(flow.swarm.leaves(slice.from, slice.until)),
            Entry::Abuse(number) => slice.thinned(self.abuse(usize::from(number), region, slice)),
        }
    }

    /// Requests of one abuse from one region in a slice, at full audience.
    fn abuse(&self, number: usize, region: usize, slice: &Slice) -> f64 {
        let (Some(abuse), regions) = (self.scenario.abuse.get(number), &self.scenario.audience.regions)
        else {
            return 0.0;
        };
        let from = slice.from.max(abuse.from.as_secs_f64());
        let until = slice.until.min(abuse.until.as_secs_f64());
        let all: f64 = match abuse.regions.as_slice() {
            [] => 1.0,
            reached => reached.iter().map(|region| regions[*region].share).sum(),
        };
        abuse.rate * regions[region].share / all * (until - from).max(0.0)
    }

    /// Arrivals of a cell in a tick.
    fn count(&self, cell: &Cell, tick: u64, slice: &Slice) -> u64 {
        let expected = self.expected(cell, slice);
        if expected <= 0.0 {
            return 0;
        }
        let key = [COUNTS, cell.entry.key(), cell.region as u64, tick];
        poisson(expected, &mut SplitMix64::seed_from_u64(key_of(self.seed, &key))) as u64
    }

    /// How many ticks there are.
    const fn ticks(&self) -> u64 {
        self.length.div_ceil(self.tick)
    }

    /// Counts the arrivals of all ticks, in order, without drawing any.
    fn count_all(&self, mut see: impl FnMut(&Counted<'_>)) {
        let (mut first, mut counts) = (0, vec![0; self.cells.len()]);
        for number in 0..self.ticks() {
            let Some((start, span)) = self.tick(number) else { return };
            let slice = self.slice(start, span);
            for (count, cell) in counts.iter_mut().zip(&self.cells) {
                *count = self.count(cell, number, &slice);
            }
            see(&Counted { number, start, span, slice, first, counts: &counts });
            first += counts.iter().sum::<u64>();
        }
    }

    /// The first moment of a tick and its length, nanoseconds; `None` after the end.
    fn tick(&self, number: u64) -> Option<(u64, u64)> {
        let start = number.checked_mul(self.tick).filter(|start| *start < self.length)?;
        Some((start, self.tick.min(self.length - start)))
    }
}

impl IntoIterator for &Plan {
    type Item = Arrival;
    type IntoIter = Shard;

    fn into_iter(self) -> Shard {
        self.arrivals()
    }
}

//! The plan: a lazy, seeded stream of arrivals.
//!
//! The run clock is cut into ticks. In every tick the number of arrivals of each origin and region is Poisson, drawn from a stream of
//! its own (seed, origin, region, tick), with the demand's rate in the middle of the tick as its mean. Arrivals are numbered in the
//! order in which they are counted, and arrival k draws all the rest, its place inside the tick included, from its own stream
//! (seed, k). So a shard counts everything and draws only what is its own: any number of shards together give the unsharded plan,
//! event for event, and a plan needs the memory of one tick however long it is.
//!
//! Visitors who entered *before* the window are not drawn and then mostly thrown away: those who are due for their next step at a
//! moment of the window are a Poisson stream too (displacement theorem), whose rate the demand knows ([`crate::demand::Residue`]). They
//! are drawn where they surface, by the step that they surface with, so no stage has a warm-up artefact at the window's start.

mod arrival;
mod choice;
mod curves;
mod digest;
mod draw;
mod explain;
mod shard;
mod stream;
#[cfg(test)]
mod tests;

pub use arrival::{AnnounceEvent, Arrival, Origin, PlannedStep, Stage, What};
pub use curves::{Curves, Overview, Row, SignalMark, StageSummary};
pub use digest::Digest;
pub use explain::{Effect, Explanation};
pub use shard::Shard;

use std::sync::Arc;
use std::time::Duration;

use crate::demand::{Demand, Residue};
use crate::scenario::{Scenario, VariantName};
use crate::unit::Tick;

use draw::{Entry, Sampler};

/// Longest tick in run time: what a shard holds at once.
const TICK: Duration = Duration::from_millis(100);
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
    /// Nanoseconds of a tick.
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
        let demand = Demand::new(&scenario, variant);
        let length = u64::try_from(scenario.cut.length().as_nanos()).unwrap_or(u64::MAX);
        let tick = (length / TICKS).clamp(1, TICK.as_nanos() as u64);
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

    /// The expected rates behind it, at full audience in scenario time.
    #[must_use]
    pub fn demand(&self) -> &Demand {
        &self.parts.demand
    }
}

fn cells(scenario: &Scenario, demand: &Demand) -> Vec<Cell> {
    let cut = &scenario.cut;
    let (from, length) = (cut.from.as_secs_f64(), (cut.until - cut.from).as_secs_f64());
    let sides = (0..demand.sides()).map(|side| Entry::Side(u8::try_from(side).unwrap_or(u8::MAX)));
    let mut cells = Vec::new();
    for (region, flow) in demand.regions.iter().enumerate() {
        let mut add = |entry, residue| cells.push(Cell { entry, region, residue });
        add(Entry::Visit, None);
        let metadata = flow.visits.residue(demand.metadata_share, &demand.to_metadata, from, length);
        add(Entry::Metadata, Some(metadata));
        let starts = flow.metadata.residue(demand.start_share, &demand.to_start, from, length);
        add(Entry::Start, Some(starts));
        add(Entry::Stop, Some(flow.starts.residue(1.0, &demand.seeding, from, length)));
        add(Entry::Population, None);
        sides.clone().for_each(|side| add(side, None));
    }
    cells
}

impl Parts {
    /// Arrivals of a cell per second of the run at a moment of the run.
    fn rate(&self, cell: &Cell, run_seconds: f64) -> f64 {
        let cut = &self.scenario.cut;
        let age = run_seconds * cut.speed;
        let t = cut.from.as_secs_f64() + age;
        let full = match (&cell.residue, cell.entry) {
            (Some(residue), _) => residue.at(age),
            (None, Entry::Population) => self.demand.reannounces(cell.region, t),
            (None, Entry::Side(side)) => self.demand.side(usize::from(side), cell.region, t),
            (None, _) => self.demand.regions[cell.region].visits.at(t),
        };
        full * cut.scale
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

/// The moment in the middle of a tick, seconds of the run.
fn middle(start: u64, span: u64) -> f64 {
    Tick(start + span / 2).as_secs_f64()
}

//! Walking through a plan.

use std::sync::Arc;

use rand_distr::{Distribution, Poisson};

use super::stream::{COUNTS, stream};
use super::{Arrival, Cell, Parts, middle};

/// The arrivals of one shard of a plan, in order of due, then index. Holds one tick of them.
#[derive(Clone, Debug)]
pub struct Shard {
    plan: Arc<Parts>,
    shard: u64,
    of: u64,
    /// Next tick to be counted.
    tick: u64,
    /// Index of the next arrival to be counted, over all shards.
    counted: u64,
    /// The shard's arrivals of the present tick, last first.
    drafts: Vec<Draft>,
}

/// An arrival of which only the moment is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Draft {
    due: u64,
    index: u64,
    cell: u32,
}

impl Shard {
    pub(super) fn new(plan: Arc<Parts>, shard: u32, of: u32) -> Self {
        let (shard, of) = (u64::from(shard), u64::from(of));
        // A shard that does not exist begins at its end.
        let tick = if shard < of { 0 } else { u64::MAX };
        Self { plan, shard, of, tick, counted: 0, drafts: Vec::new() }
    }

    /// Counts the next tick and draws the moments of the shard's own arrivals; `None` after the last tick.
    fn advance(&mut self) -> Option<()> {
        let (start, span) = self.plan.tick(self.tick)?;
        for (number, cell) in (0..).zip(&self.plan.cells) {
            let count = poisson(&self.plan, cell, self.tick, start, span);
            let skip = (self.shard + self.of - self.counted % self.of) % self.of;
            let mut index = self.counted + skip;
            self.counted += count;
            while index < self.counted {
                let due = self.plan.sampler.due(index, start, span);
                self.drafts.push(Draft { due, index, cell: number });
                index += self.of;
            }
        }
        self.drafts.sort_unstable_by(|a, b| b.cmp(a));
        self.tick += 1;
        Some(())
    }
}

fn poisson(plan: &Parts, cell: &Cell, tick: u64, start: u64, span: u64) -> u64 {
    let mean = plan.rate(cell, middle(start, span)) * span as f64 / 1e9;
    // No distribution: nothing is expected.
    let Ok(distribution) = Poisson::new(mean) else { return 0 };
    let key = [COUNTS, cell.entry.key(), cell.region as u64, tick];
    distribution.sample(&mut stream(plan.seed, &key)) as u64
}

impl Iterator for Shard {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(draft) = self.drafts.pop() {
                let cell = &self.plan.cells[draft.cell as usize];
                return Some(self.plan.sampler.arrival(draft.index, draft.due, cell.entry, cell.region));
            }
            self.advance()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;
    use crate::scenario::{VariantName, sample};

    #[test]
    fn a_long_plan_needs_the_memory_of_one_tick() {
        let most = |speed: f64| {
            let mut scenario = sample::sample();
            (scenario.cut.speed, scenario.cut.scale) = (speed, 0.5);
            let mut arrivals = Plan::new(Arc::new(scenario), VariantName::Baseline, 1).arrivals();
            let count = arrivals.by_ref().count();
            (count, arrivals.drafts.capacity())
        };
        let ((short, small), (long, large)) = (most(1440.0), most(72.0));
        assert!(long > 15 * short, "{long} arrivals against {short}");
        assert!(large <= 64.max(4 * small), "{large} drafts held against {small}");
    }
}

//! Walking through a plan.

use std::sync::Arc;

use super::{Arrival, Cell, Parts};

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
    /// Index of the first arrival of the present tick.
    first: u64,
    /// First nanosecond of the present tick.
    start: u64,
    /// Index after the last arrival of each cell in the present tick.
    ends: Vec<u64>,
    /// The shard's arrivals of the present tick, last first.
    drafts: Vec<Draft>,
}

/// An arrival of which only the moment is drawn: nanoseconds after the tick's beginning in the upper [`PLACE_BITS`], its number within the
/// tick in the lower ones. One number sorts faster than a pair.
type Draft = u64;

/// A tick is a second at most.
const PLACE_BITS: u32 = 30;
const NUMBER_BITS: u32 = 64 - PLACE_BITS;

impl Shard {
    pub(super) fn new(plan: Arc<Parts>, shard: u32, of: u32) -> Self {
        let (shard, of) = (u64::from(shard), u64::from(of));
        // A shard that does not exist begins at its end.
        let tick = if shard < of { 0 } else { u64::MAX };
        Self { plan, shard, of, tick, counted: 0, first: 0, start: 0, ends: Vec::new(), drafts: Vec::new() }
    }

    /// Counts the next tick and draws the moments of the shard's own arrivals; `None` after the last tick.
    fn advance(&mut self) -> Option<()> {
        let (start, span) = self.plan.tick(self.tick)?;
        let slice = self.plan.slice(start, span);
        (self.start, self.first) = (start, self.counted);
        self.ends.clear();
        for cell in &self.plan.cells {
            self.counted += self.plan.count(cell, self.tick, &slice);
            self.ends.push(self.counted);
        }
        let skip = (self.shard + self.of - self.first % self.of) % self.of;
        let mut index = self.first + skip;
        while index < self.counted {
            let place = self.plan.sampler.place(index, span);
            self.drafts.push(place << NUMBER_BITS | (index - self.first));
            index += self.of;
        }
        self.drafts.sort_unstable_by(|a, b| b.cmp(a));
        self.tick += 1;
        Some(())
    }

    fn pop(&mut self) -> Option<Arrival> {
        let draft = self.drafts.pop()?;
        let index = self.first + (draft & ((1 << NUMBER_BITS) - 1));
        let due = self.start + (draft >> NUMBER_BITS);
        let cell: &Cell = &self.plan.cells[self.ends.partition_point(|end| *end <= index)];
        Some(self.plan.sampler.arrival(index, due, cell.entry, cell.region))
    }
}

impl Iterator for Shard {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.pop() {
                return Some(arrival);
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
        let ((short, small), (long, large)) = (most(72.0), most(7.2));
        assert!(long > 8 * short, "{long} arrivals against {short}");
        assert!(large <= 2 * small, "{large} drafts held against {small}");
    }
}

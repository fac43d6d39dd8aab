//! One layer: an M/M/c/K queue, first come first served.

use std::collections::VecDeque;

use rand_distr::{Distribution, Exp1};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::unit::Tick;

use super::Capacity;

/// What became of an arriving job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Being served until then.
    Serving(Tick),
    /// It waits.
    Waiting,
    /// There was no room.
    Full,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    capacity: Capacity,
    busy: u32,
    waiting: VecDeque<u64>,
}

impl Queue {
    pub(super) const fn new(capacity: Capacity) -> Self {
        Self { capacity, busy: 0, waiting: VecDeque::new() }
    }

    /// A job arrives.
    pub(super) fn admit(&mut self, job: u64, now: Tick, rng: &mut Xoshiro256PlusPlus) -> Admission {
        if self.busy < self.capacity.servers {
            self.busy += 1;
            return Admission::Serving(now + self.service(rng));
        }
        if self.waiting.len() < self.capacity.waiting as usize {
            self.waiting.push_back(job);
            return Admission::Waiting;
        }
        Admission::Full
    }

    /// A job has been served: the next one that is served now, and until when.
    pub(super) fn served(&mut self, now: Tick, rng: &mut Xoshiro256PlusPlus) -> Option<(u64, Tick)> {
        self.busy -= 1;
        self.begin(now, rng)
    }

    /// The layer has another capacity from now on: those of the waiting that are served now, and until when. Whoever is being served is
    /// served to the end.
    pub(super) fn change(
        &mut self,
        capacity: Capacity,
        now: Tick,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Vec<(u64, Tick)> {
        self.capacity = capacity;
        std::iter::from_fn(|| self.begin(now, rng)).collect()
    }

    /// Serves the first of those that wait, if there is a server.
    fn begin(&mut self, now: Tick, rng: &mut Xoshiro256PlusPlus) -> Option<(u64, Tick)> {
        if self.busy >= self.capacity.servers {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.busy += 1;
        Some((job, now + self.service(rng)))
    }

    fn service(&self, rng: &mut Xoshiro256PlusPlus) -> std::time::Duration {
        let exponential: f64 = Exp1.sample(rng);
        self.capacity.service.mul_f64(exponential)
    }
}

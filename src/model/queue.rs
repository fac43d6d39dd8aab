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
        if let Some(job) = self.waiting.pop_front() {
            return Some((job, now + self.service(rng)));
        }
        self.busy -= 1;
        None
    }

    fn service(&self, rng: &mut Xoshiro256PlusPlus) -> std::time::Duration {
        let exponential: f64 = Exp1.sample(rng);
        self.capacity.service.mul_f64(exponential)
    }
}

//! Self-excitation on counts per tick ("Tick-Hawkes"): the cost depends on the number of ticks, not of events.

use rand::Rng;
use rand_distr::{Distribution, Poisson};

use super::Memory;

/// A Hawkes process seen tick by tick: events that arrive by themselves (immigrants), and `branching` further ones that each event
/// sets off on average, after waiting times of a [`Memory`].
///
/// With q = e^(−βd) for an exponential of rate β and ticks of d, an event somewhere in a tick has its child in the same tick with
/// probability 1 − (1−q)/(βd), in the next one with (1−q)²/(βd), and in each later one with q times that of the one before.
#[derive(Clone, Debug)]
pub struct Cascade {
    branching: f64,
    /// Probability that a child comes in its parent's tick.
    same: f64,
    waiting: Vec<Waiting>,
}

/// Children that one exponential of the memory still owes.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// Due in the present tick, for a branching ratio of 1.
    due: f64,
    /// Added by each event, for the next tick.
    added: f64,
    /// Left from tick to tick.
    kept: f64,
}

/// What happened in a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    /// Events.
    pub events: f64,
    /// Events that were to be expected given all that came before each of them (the compensator).
    pub expected: f64,
}

impl Cascade {
    /// A cascade at rest, in ticks of `step` seconds; `branching` below 1.
    #[must_use]
    pub fn new(memory: &Memory, branching: f64, step: f64) -> Self {
        let mut same = 0.0;
        let waiting = memory.terms().iter().map(|term| {
            let phase = term.rate * step;
            let gone = -libm::expm1(-phase);
            same += term.weight * (1.0 - gone / phase);
            Waiting { due: 0.0, added: term.weight * gone * gone / phase, kept: 1.0 - gone }
        });
        let waiting = waiting.collect();
        Self { branching, same, waiting }
    }

    /// The cascade after `events` in every tick of an endless past.
    #[must_use]
    pub fn settled(mut self, events: f64) -> Self {
        for waiting in &mut self.waiting {
            waiting.due = events * waiting.added / (1.0 - waiting.kept);
        }
        self
    }

    /// Draws a tick into which `immigrants` are expected.
    pub fn draw(&mut self, immigrants: f64, random: &mut impl Rng) -> Count {
        let first = self.first(immigrants);
        let mut generation = poisson(first, random);
        let mut events = generation;
        while generation > 0.0 {
            generation = poisson(self.branching * self.same * generation, random);
            events += generation;
        }
        self.remember(events);
        Count { events, expected: first + self.branching * self.same * events }
    }

    /// The events of a tick into which `immigrants` are expected, on average over everything that may have come before.
    pub fn mean(&mut self, immigrants: f64) -> f64 {
        let events = self.first(immigrants) / (1.0 - self.branching * self.same);
        self.remember(events);
        events
    }

    /// Expected events of a tick that no other event of it sets off.
    fn first(&self, immigrants: f64) -> f64 {
        immigrants + self.branching * self.waiting.iter().map(|waiting| waiting.due).sum::<f64>()
    }

    fn remember(&mut self, events: f64) {
        for waiting in &mut self.waiting {
            waiting.due = waiting.due * waiting.kept + waiting.added * events;
        }
    }
}

/// A Poisson count; none where none is expected.
pub(crate) fn poisson(mean: f64, random: &mut impl Rng) -> f64 {
    Poisson::new(mean).map_or(0.0, |distribution| distribution.sample(random))
}

#[cfg(test)]
mod tests;

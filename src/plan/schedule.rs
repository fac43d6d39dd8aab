//! What a run drives.

use std::time::Duration;

use super::replay::{self, Replay};
use super::{Arrival, Plan, Shard};

/// A plan that is drawn from a scenario, or a log that is replayed under one. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Drawn.
    Drawn(Plan),
    /// Replayed.
    Replayed(Replay),
}

impl Schedule {
    /// How long it takes on the run clock.
    #[must_use]
    pub fn length(&self) -> Duration {
        match self {
            Self::Drawn(plan) => plan.length(),
            Self::Replayed(replay) => replay.length(),
        }
    }

    /// Its fingerprint, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Drawn(plan) => plan.digest(),
            Self::Replayed(replay) => replay.digest(),
        }
    }

    /// Shard `i` of `n`: the arrivals whose index leaves `i` when divided by `n`, in order of due.
    #[must_use]
    pub fn shard(&self, i: u32, n: u32) -> Arrivals {
        match self {
            Self::Drawn(plan) => Arrivals::Drawn(plan.shard(i, n)),
            Self::Replayed(replay) => Arrivals::Replayed(replay.shard(i, n)),
        }
    }
}

/// The arrivals of a shard, in order of due.
#[derive(Debug)]
pub enum Arrivals {
    /// Drawn.
    Drawn(Shard),
    /// Replayed.
    Replayed(replay::Shard),
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        match self {
            Self::Drawn(shard) => shard.next(),
            Self::Replayed(shard) => shard.next(),
        }
    }
}

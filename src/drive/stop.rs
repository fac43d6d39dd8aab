//! The one signal that flows back to the workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// How urgently a run is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopLevel {
    /// Not at all.
    Run,
    /// Start nothing new, let what is under way finish.
    Drain,
    /// Now: what is under way is cut.
    Now,
}

/// The stop signal, shared by everybody who may raise it and every worker.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicU8>);

impl Stop {
    /// Raises the signal to at least `level`; it never falls.
    pub fn raise(&self, level: StopLevel) {
        // A lone flag, nothing is published through it: relaxed is enough.
        self.0.fetch_max(level as u8, Ordering::Relaxed);
    }

    /// The present level.
    #[must_use]
    pub fn level(&self) -> StopLevel {
        match self.0.load(Ordering::Relaxed) {
            0 => StopLevel::Run,
            1 => StopLevel::Drain,
            _ => StopLevel::Now,
        }
    }
}

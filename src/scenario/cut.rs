//! How a run is cut out of a scenario.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::unit::Tick;

/// The part of a scenario that a run drives, and how fast.
///
/// Under compression the *rate* of every stage at scenario time t stays what it is in real time: a run at speed 500 sees 1/500 of the
/// visitors, each `speed` times as fast from stage to stage. What happens inside a stage (a transfer, a time-out) takes its real time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cut {
    /// Scenario seconds per run second, > 0.
    pub speed: f64,
    /// Part of the audience that is driven, > 0; 0.1 is a tenth of every rate.
    pub scale: f64,
    /// First scenario moment that is driven.
    pub from: Duration,
    /// First scenario moment that is not driven any more; later than `from`.
    pub until: Duration,
}

impl Cut {
    /// How long the plan takes on the run clock.
    #[must_use]
    pub fn length(&self) -> Duration {
        (self.until - self.from).div_f64(self.speed)
    }

    /// The scenario moment at a tick.
    #[must_use]
    pub fn scenario_at(&self, tick: Tick) -> Duration {
        self.from + Duration::from_secs_f64(tick.as_secs_f64() * self.speed)
    }

    /// The tick of a scenario moment; `None` before the window.
    #[must_use]
    pub fn tick_of(&self, scenario: Duration) -> Option<Tick> {
        let span = scenario.checked_sub(self.from)?;
        Some(Tick::from_secs_f64(span.as_secs_f64() / self.speed))
    }
}

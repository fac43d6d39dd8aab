//! The run clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A moment on the run clock: nanoseconds since the run began.
///
/// The run clock is what workers schedule on. In the live world it advances with the machine's monotonic clock, in the
/// model world it jumps. Scenario time is another clock: a [`Duration`] since the scenario's start, mapped to ticks by
/// [`crate::scenario::Cut`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);

impl Tick {
    /// The moment the run began.
    pub const ZERO: Self = Self(0);
    /// Later than anything a run schedules.
    pub const MAX: Self = Self(u64::MAX);

    /// The tick `seconds` after the run began; negative or non-finite seconds give [`Tick::ZERO`].
    #[must_use]
    pub fn from_secs_f64(seconds: f64) -> Self {
        // A float-to-integer `as` saturates and maps NaN to 0: exactly the documented behaviour.
        Self((seconds * 1e9) as u64)
    }

    /// The tick `milliseconds` after the run began.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds.saturating_mul(1_000_000))
    }

    /// Seconds since the run began.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The whole second of the run that this tick lies in.
    #[must_use]
    pub const fn second(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Time from `earlier` to this tick; zero where `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Tick {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

//! How a run is cut out of a scenario.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::unit::{Quantity, Tick};

/// The part of a scenario that a run drives, and how fast.
///
/// Under compression the *rate* of every stage at scenario time t stays what it is in real time: a run at speed 500 sees 1/500 of the
/// visitors, each `speed` times as fast from stage to stage. What happens inside a stage (a transfer, a time-out) takes its real time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cut {
    /// Scenario seconds per run second, 0.1..=1,000,000.
    pub speed: f64,
    /// Part of the audience that is driven, > 0 and at most 1,000,000; 0.1 is a tenth of every rate.
    pub scale: f64,
    /// First scenario moment that is driven.
    pub from: Duration,
    /// First scenario moment that is not driven any more; later than `from`.
    pub until: Duration,
}

/// What flags change about a cut; `None` leaves it as the file has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CutFlags {
    /// Scenario seconds per run second.
    pub speed: Option<f64>,
    /// Part of the audience that is driven.
    pub scale: Option<f64>,
    /// A slice of the scenario, `10h..22h`.
    pub window: Option<String>,
}

/// A slice of scenario time, `"10h..22h"`; an open end reaches to the scenario's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    from: Duration,
    until: Option<Duration>,
}

/// What is wrong with a cut: the key or flag that is to blame, and why.
pub(super) type CutError = (&'static str, String);

impl Cut {
    /// The cut with these speeds, of the whole scenario or of a window.
    pub(super) fn new(
        speed: f64,
        scale: f64,
        window: Option<Window>,
        duration: Duration,
    ) -> Result<Self, CutError> {
        let (from, until) = window.map_or((Duration::ZERO, None), |window| (window.from, window.until));
        Self { speed, scale, from, until: until.unwrap_or(duration) }.checked(duration)
    }

    /// This cut, changed by flags; `duration` is the scenario's.
    ///
    /// # Errors
    /// A flag is no such value, or the run would be empty or too short; one line that names the flag.
    pub fn with(&self, flags: &CutFlags, duration: Duration) -> Result<Self, String> {
        let mut cut = self.clone();
        cut.speed = flags.speed.unwrap_or(cut.speed);
        cut.scale = flags.scale.unwrap_or(cut.scale);
        if let Some(text) = &flags.window {
            let window = Window::read(text).map_err(|error| format!("--window {error}"))?;
            cut.from = window.from;
            cut.until = window.until.unwrap_or(duration);
        }
        cut.checked(duration).map_err(|(flag, why)| format!("--{flag} {why}"))
    }

    /// The one place that knows what a cut may be.
    fn checked(self, duration: Duration) -> Result<Self, CutError> {
        // Slower than 0.1, ten years would leave the range of ticks.
        if !(0.1..=1e6).contains(&self.speed) {
            return Err(("speed", "must be a number from 0.1 to 1000000".to_owned()));
        }
        if !(self.scale > 0.0 && self.scale <= 1e6) {
            return Err(("scale", "must be a number above 0 and at most 1000000".to_owned()));
        }
        if self.until > duration {
            return Err((
                "window",
                format!("must end within the scenario, which lasts {}", duration.write()),
            ));
        }
        if self.from >= self.until {
            return Err(("window", "must end later than it begins, within the scenario".to_owned()));
        }
        if self.length() < Duration::from_secs(1) {
            let (length, longest) = (self.length().as_secs_f64(), (self.until - self.from).as_secs_f64());
            let why = format!(
                "{} leaves a run of {length:.3} s of this window, and the shortest is 1 s: at most {longest}, or a wider window",
                self.speed
            );
            return Err(("speed", why));
        }
        Ok(self)
    }

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

impl Quantity for Window {
    const NOUN: &'static str = "a window of scenario time";
    const FORMS: &'static str = "\"10h..22h\", \"10h..\" or \"..22h\"";
    const PATTERN: &'static str = r"\.\.";

    fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once("..")?;
        let moment = |text: &str| match text.trim() {
            "" => Some(None),
            text => Duration::parse(text).map(Some),
        };
        Some(Self { from: moment(from)?.unwrap_or_default(), until: moment(until)? })
    }

    fn write(&self) -> String {
        let until = self.until.map(|until| until.write()).unwrap_or_default();
        format!("{}..{until}", self.from.write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn whole() -> Cut {
        Cut { speed: 1.0, scale: 1.0, from: Duration::ZERO, until: 48 * HOUR }
    }

    fn with(speed: Option<f64>, scale: Option<f64>, window: Option<&str>) -> Result<Cut, String> {
        whole().with(&CutFlags { speed, scale, window: window.map(str::to_owned) }, 48 * HOUR)
    }

    #[test]
    fn flags_change_only_what_they_name() {
        assert_eq!(with(None, None, None), Ok(whole()));
        assert_eq!(with(Some(2880.0), None, None), Ok(Cut { speed: 2880.0, ..whole() }));
        assert_eq!(with(None, Some(0.1), None), Ok(Cut { scale: 0.1, ..whole() }));
        let slice = Cut { from: 10 * HOUR, until: 22 * HOUR, ..whole() };
        assert_eq!(with(None, None, Some("10h..22h")), Ok(slice));
        assert_eq!(with(None, None, Some("10h ..")), Ok(Cut { from: 10 * HOUR, ..whole() }));
        assert_eq!(with(None, None, Some("..22h")), Ok(Cut { until: 22 * HOUR, ..whole() }));
    }

    #[test]
    fn a_run_is_never_empty_endless_or_outside_the_scenario() {
        let why = |cut: Result<Cut, String>| cut.err().unwrap_or_default();
        assert_eq!(why(with(Some(0.0), None, None)), "--speed must be a number from 0.1 to 1000000");
        assert_eq!(why(with(Some(f64::NAN), None, None)), "--speed must be a number from 0.1 to 1000000");
        assert_eq!(
            why(with(None, Some(f64::INFINITY), None)),
            "--scale must be a number above 0 and at most 1000000"
        );
        assert_eq!(
            why(with(None, None, Some("10h..50h"))),
            "--window must end within the scenario, which lasts 2d"
        );
        assert_eq!(
            why(with(None, None, Some("22h..10h"))),
            "--window must end later than it begins, within the scenario"
        );
        assert_eq!(
            why(with(None, None, Some("50h.."))),
            "--window must end later than it begins, within the scenario"
        );
        assert_eq!(
            why(with(Some(1e6), None, None)),
            "--speed 1000000 leaves a run of 0.173 s of this window, and the shortest is 1 s: at most 172800, or a wider window"
        );
        assert_eq!(
            why(with(None, None, Some("noon"))),
            "--window must be a window of scenario time, for example \"10h..22h\", \"10h..\" or \"..22h\""
        );
    }

    proptest! {
        #[test]
        fn the_two_clocks_map_onto_each_other(speed in 0.1..5000.0f64, seconds in 0..48 * 3600u64) {
            let cut = with(Some(speed), None, None).unwrap();
            let moment = Duration::from_secs(seconds);
            let back = cut.scenario_at(cut.tick_of(moment).unwrap());
            // A tick is a nanosecond of the run, `speed` nanoseconds of the scenario; floats of 48 h resolve better than 100 ns.
            prop_assert!(back.abs_diff(moment).as_nanos() as f64 <= speed + 100.0);
        }

        #[test]
        fn windows_are_read_back(from in 0..1000u64, until in proptest::option::of(0..1000u64)) {
            let window = Window { from: HOUR * from as u32, until: until.map(|hours| HOUR * hours as u32) };
            prop_assert_eq!(Window::parse(&window.write()), Some(window));
        }
    }
}

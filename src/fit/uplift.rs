//! An event against the same clock window of the weeks before it (`domain.md` section 4).

use super::Series;
use super::stats::{DRAWS, Estimate, mean, random, resample};

const HOUR: i64 = 3600;
const WEEK: i64 = 7 * 24 * HOUR;
/// The window of an event: from a day before it to two days after it.
const BEFORE: i64 = 24 * HOUR;
const AFTER: i64 = 48 * HOUR;
/// Weeks that are looked back.
const WEEKS: i64 = 4;
/// Fewest weeks that make a baseline.
const FEWEST: usize = 2;

/// What an event brought, against the mean of the same clock window one to four weeks earlier.
#[derive(Clone, Debug, PartialEq)]
pub struct Uplift {
    /// Sum over the event's window [T − 24 h, T + 48 h).
    pub event: f64,
    /// The same of each week that counts, the latest first.
    pub weeks: Vec<f64>,
    /// Weeks that do not count: another event's window reaches into them, or the series does not.
    pub dropped: usize,
    /// Event over baseline, whole window; interval by a bootstrap over the weeks.
    pub whole: Estimate,
    /// The same of the first six hours [T, T + 6 h).
    pub first_hours: Estimate,
    /// The fullest bin over the mean of the weeks' fullest bins.
    pub peak: Estimate,
    /// Each week against the mean of the others: what "nothing happened" looks like.
    pub placebo: Vec<f64>,
}

impl Uplift {
    /// Whether the event brought more than any week without it did against the others.
    #[must_use]
    pub fn unusual(&self) -> bool {
        self.placebo.iter().all(|week| self.whole.value > *week)
    }
}

/// Why there is no baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooFewWeeks {
    /// The event's own window is not whole.
    #[error("the series does not cover the event's window, 24 h before it to 48 h after it")]
    NoEvent,
    /// Fewer than two weeks are left.
    #[error("{left} of the 4 weeks before the event can serve as its baseline, and 2 are needed")]
    NoBaseline {
        /// Weeks that are left.
        left: usize,
    },
}

/// What one window holds.
#[derive(Clone, Copy, Debug)]
struct Sums {
    whole: f64,
    first_hours: f64,
    peak: f64,
}

/// The uplift of the event at a Unix second. Weeks that the window of one of the `other` events touches are dropped.
///
/// # Errors
/// The series does not hold the event's window, or fewer than two weeks are left.
pub fn uplift(series: &Series, at: i64, others: &[i64], seed: u64) -> Result<Uplift, TooFewWeeks> {
    let event = sums(series, at).ok_or(TooFewWeeks::NoEvent)?;
    let touched =
        |week: i64| others.iter().any(|other| *other != at && (other - week).abs() < BEFORE + AFTER);
    let moments = (1..=WEEKS).map(|week| at - week * WEEK);
    let weeks: Vec<Sums> =
        moments.filter(|week| !touched(*week)).filter_map(|week| sums(series, week)).collect();
    if weeks.len() < FEWEST {
        return Err(TooFewWeeks::NoBaseline { left: weeks.len() });
    }
    let ratio = |part: fn(&Sums) -> f64| {
        let baseline: Vec<f64> = weeks.iter().map(part).collect();
        let over = |weeks: &[f64]| part(&event) / mean(weeks).unwrap_or(f64::NAN);
        let mut random = random(seed, 1);
        Estimate::of(over(&baseline), (0..DRAWS).map(|_| over(&resample(&baseline, &mut random))))
    };
    let all: f64 = weeks.iter().map(|week| week.whole).sum();
    let others = (weeks.len() - 1) as f64;
    Ok(Uplift {
        event: event.whole,
        dropped: WEEKS as usize - weeks.len(),
        whole: ratio(|sums| sums.whole),
        first_hours: ratio(|sums| sums.first_hours),
        peak: ratio(|sums| sums.peak),
        placebo: weeks.iter().map(|week| week.whole * others / (all - week.whole)).collect(),
        weeks: weeks.iter().map(|week| week.whole).collect(),
    })
}

fn sums(series: &Series, at: i64) -> Option<Sums> {
    let bin = |second| series.bin(second);
    let (from, until) = (bin(at - BEFORE), bin(at + AFTER));
    let peak = (from..until).filter_map(|bin| series.value(bin)).fold(0.0, f64::max);
    Some(Sums {
        whole: series.sum(from, until)?,
        first_hours: series.sum(bin(at), bin(at + 6 * HOUR).max(bin(at) + 1))?,
        peak,
    })
}

/// An event's uplift against that of a series that should not have noticed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// ln(E1/B1) − ln(E0/B0).
    pub log_ratio: f64,
    /// The same for each week without the event, against the other weeks.
    pub placebo: Vec<f64>,
    /// The uplift of the control itself.
    pub control: Uplift,
    /// Whether the control can serve.
    pub state: Control,
}

/// How a control behaved during the event, by its own placebo weeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// As in other weeks.
    Steady,
    /// It rose more than in any other week: the event reached it too, and the difference understates the event.
    Contaminated,
    /// It fell more than in any other week: the difference overstates the event.
    Fell,
}

/// The difference in differences of an event, where the control has a baseline of the same weeks.
///
/// # Errors
/// As [`uplift`], for the control.
pub fn compare(
    event: &Uplift,
    control: &Series,
    at: i64,
    others: &[i64],
    seed: u64,
) -> Result<Comparison, TooFewWeeks> {
    let control = uplift(control, at, others, seed)?;
    let rise = control.whole.value;
    let state = if control.placebo.iter().all(|week| rise > *week && rise > 1.0) {
        Control::Contaminated
    } else if control.placebo.iter().all(|week| rise < *week && rise < 1.0) {
        Control::Fell
    } else {
        Control::Steady
    };
    let difference = |(one, zero): (&f64, &f64)| one.ln() - zero.ln();
    Ok(Comparison {
        log_ratio: difference((&event.whole.value, &rise)),
        placebo: event.placebo.iter().zip(&control.placebo).map(difference).collect(),
        control,
        state,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Six weeks of hours: 10 each, `lift` times as much in the three days around the event in the sixth.
    fn hours(lift: f64) -> (Series, i64) {
        let at = 5 * WEEK + 48 * HOUR;
        let value = |hour: i64| {
            let second = hour * HOUR;
            Some(if (at - BEFORE..at + AFTER).contains(&second) { 10.0 * lift } else { 10.0 })
        };
        let values = (0..6 * WEEK / HOUR).map(value).collect();
        (Series { start: 0, step: HOUR, values, gaps: Vec::new() }, at)
    }

    #[test]
    fn an_uplift_is_the_event_over_its_weeks() {
        let (series, at) = hours(3.0);
        let found = uplift(&series, at, &[at], 1).unwrap();
        assert_eq!((found.whole.value, found.first_hours.value, found.peak.value), (3.0, 3.0, 3.0));
        assert_eq!((found.weeks.len(), found.dropped, found.placebo.clone()), (4, 0, vec![1.0; 4]));
    }

    #[test]
    fn weeks_with_another_event_are_dropped_and_one_week_is_no_baseline() {
        let (series, at) = hours(3.0);
        let left = uplift(&series, at, &[at - WEEK, at - 2 * WEEK - HOUR], 1).unwrap();
        assert_eq!((left.weeks.len(), left.dropped), (2, 2));
        let others = [1, 2, 3].map(|week| at - week * WEEK);
        assert_eq!(uplift(&series, at, &others, 1), Err(TooFewWeeks::NoBaseline { left: 1 }));
        assert_eq!(uplift(&series, at + WEEK, &[], 1), Err(TooFewWeeks::NoEvent));
    }

    #[test]
    fn a_control_that_rose_as_well_is_contaminated() {
        let ((event, at), (control, _), (calm, _)) = (hours(4.0), hours(2.0), hours(1.0));
        let found = uplift(&event, at, &[], 1).unwrap();
        let both = compare(&found, &control, at, &[], 1).unwrap();
        assert!((both.log_ratio - 2.0_f64.ln()).abs() < 1e-12);
        assert_eq!(both.state, Control::Contaminated);
        assert_eq!(compare(&found, &calm, at, &[], 1).unwrap().state, Control::Steady);
        assert_eq!(compare(&found, &hours(0.5).0, at, &[], 1).unwrap().state, Control::Fell);
    }
}

//! The search for a layer's capacity: which trial comes next, and what they come to.
//!
//! Pure: no clock, no socket. [`Search`] says which trial comes next, its caller drives that in whichever world, [`measure`] reads the
//! recording, and [`Search::take`] draws the conclusion. The stages:
//!
//! 1. *Seek.* From a low rate, which shows whether the layer is there and what its latency is without load, the rate is doubled until a
//!    trial fails, then the bracket of the highest rate that was kept and the lowest that was not is halved (geometrically) until it is
//!    narrow. Trials are longer in a narrow bracket, where chance has more say.
//! 2. *Settle.* Once, after the first failure: is what was good before still good? If not, lower and lower until it is.
//! 3. *Confirm.* A longer trial at the rate found; if it fails, another at a lower rate.
//! 4. *Recover.* The layer is overloaded for as long as visitors are patient, and then asked for less than its capacity without a pause
//!    between. A layer that serves what nobody waits for any more, to visitors who ask again, stays down then (a metastable failure,
//!    Bronson et al., HotOS 2021): the rate has to be lowered until it comes back.
//!
//! A trial that fails is repeated, and the majority of up to three counts, unless a fifth of what it offered was not served: chance does
//! not do that. A trial is kept if it keeps the SLO, 99 % of what it offers is served ([`Limit::Goodput`]), and its backlog does not
//! grow.

mod found;
mod measure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use crate::profile::Slo;

pub use found::{Capacities, Found, LayerFound, Recovery, SEARCH_SCHEMA, Stopped, Tried};
pub use measure::{Measured, measure};

/// What a search may do, and what it holds a layer to.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What a rate that is kept has to keep.
    pub slo: Slo,
    /// The first rate, operations per second.
    pub first: f64,
    /// The highest rate, operations per second.
    pub ceiling: f64,
    /// Length of what is judged of a trial, at least 1 s; trials near the edge are up to three times as long.
    pub trial: Duration,
    /// Width of the bracket at which its lower end is taken for the capacity: 0.05 is 5 %.
    pub precision: f64,
    /// How long the layer is overloaded before it is seen whether it recovers; `None` leaves that out.
    pub overload: Option<Duration>,
    /// Longest time of all trials together, drains not counted.
    pub budget: Option<Duration>,
}

/// What a trial is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// How many operations one visitor asks for.
    Weigh,
    /// Whether the layer is there, and what it is like without load.
    Probe,
    /// Twice the rate that was kept.
    Rise,
    /// Half the rate that was not.
    Fall,
    /// Between the two.
    Bisect,
    /// What was kept before the first failure, again.
    Settle,
    /// The rate found, for longer.
    Confirm,
    /// Less than the capacity, after an overload.
    Recover,
}

impl Purpose {
    /// The name used in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weigh => "weigh",
            Self::Probe => "probe",
            Self::Rise => "rise",
            Self::Fall => "fall",
            Self::Bisect => "bisect",
            Self::Settle => "settle",
            Self::Confirm => "confirm",
            Self::Recover => "recover",
        }
    }
}

/// A constant rate for some time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// Operations per second.
    pub rate: f64,
    /// Whole seconds.
    pub lasts: Duration,
}

/// One trial: what comes before, which is not judged, and what is. No pause between.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What it is for.
    pub purpose: Purpose,
    /// Warm-up, and the overload where there is one.
    pub before: Vec<Segment>,
    /// What is judged.
    pub judged: Segment,
}

impl Trial {
    /// A trial of a constant rate.
    fn steady(purpose: Purpose, rate: f64, warm_up: Duration, lasts: Duration) -> Self {
        Self { purpose, before: vec![Segment { rate, lasts: warm_up }], judged: Segment { rate, lasts } }
    }

    /// The trial that tells how many operations a visitor asks for.
    #[must_use]
    pub fn weigh(options: &Options) -> Self {
        Self::steady(Purpose::Weigh, options.first, Duration::from_secs(1), options.trial)
    }

    /// Everything, in order.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        self.before.iter().copied().chain([self.judged])
    }

    /// How long it warms up.
    #[must_use]
    pub fn warm_up(&self) -> Duration {
        self.before.iter().map(|segment| segment.lasts).sum()
    }

    /// How long it takes, its drain not counted.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.warm_up() + self.judged.lasts
    }
}

/// What a rate failed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Too many operations were longer than the SLO's limit, or did not come back.
    Latency,
    /// Too many operations failed.
    Errors,
    /// Less was served than was offered: operations were lost, or the backlog grew.
    Goodput,
    /// The generator could not ask for as much.
    Generator,
    /// The ceiling of the target's authorization held operations back.
    Ceiling,
}

/// A rate that a layer was held to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kept {
    rate: f64,
    goodput: Option<f64>,
    quantile_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Seek,
    /// At this rate.
    Settle(f64),
    /// How often it has failed.
    Confirm(u32),
    /// At which of [`STEPS`].
    Recover(usize),
    Done,
}

/// Shares of the capacity at which it is seen whether a layer recovers.
const STEPS: [f64; 4] = [0.75, 0.5, 0.25, 0.1];
/// The overload, as a multiple of the capacity; and the least of it that is one.
const OVERLOAD: (f64, f64) = (2.0, 1.2);
/// How long a layer gets to recover, in overloads: a backlog of twice the capacity is served by a quarter of it in four, what visitors'
/// retries make of it takes longer. At most a minute.
const RECOVERY: (u32, Duration) = (20, Duration::from_secs(60));
/// The lowest rate, as a part of the first: below it a trial has too few operations to be judged.
const LOWEST: f64 = 1.0 / 8.0;
/// A bracket that is narrower than this gets trials of twice the length.
const NARROW: f64 = 1.3;
/// Less served than this, and a failure needs no repetition.
const CLEAR: f64 = 0.8;

/// The votes of trials of one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ballot {
    kept: u8,
    failed: u8,
}

impl Ballot {
    /// Counts a trial; what it comes to, once that is clear.
    fn vote(&mut self, kept: bool, clear: bool) -> Option<bool> {
        *(if kept { &mut self.kept } else { &mut self.failed }) += 1;
        let alone = self.kept + self.failed == 1 && (kept || clear);
        (alone || self.kept.max(self.failed) == 2).then_some(kept)
    }
}

/// The search for the capacity of one layer.
#[derive(Clone, Debug)]
pub struct Search {
    options: Options,
    stage: Stage,
    ballot: Ballot,
    /// The highest rate that was kept.
    low: Option<Kept>,
    /// The lowest rate that was not, and why.
    high: Option<(f64, Limit)>,
    /// The SLO's quantile at the lowest rate that was kept.
    unloaded_seconds: Option<f64>,
    /// Whether `low` was confirmed.
    confirmed: bool,
    settled: bool,
    /// A rate below `low` to which the layer had to be lowered after the first failure.
    settled_at: Option<f64>,
    recovery: Recovery,
    /// Why it ended, where that is not what `high` says.
    stopped: Option<Stopped>,
    spent: Duration,
}

impl Search {
    /// Before the first trial.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            stage: Stage::Seek,
            ballot: Ballot::default(),
            low: None,
            high: None,
            unloaded_seconds: None,
            confirmed: false,
            settled: false,
            settled_at: None,
            recovery: Recovery::NotTried,
            stopped: None,
            spent: Duration::ZERO,
        }
    }

    /// The next trial; `None` once the search is over.
    pub fn next_trial(&mut self) -> Option<Trial> {
        let trial = self.trial()?;
        if self.options.budget.is_some_and(|budget| self.spent + trial.length() > budget) {
            self.end(Stopped::Budget);
            return None;
        }
        Some(trial)
    }

    /// Somebody wants the search to end here.
    pub fn interrupt(&mut self) {
        self.end(Stopped::Interrupted);
    }

    fn end(&mut self, why: Stopped) {
        // What is known of the capacity stays known where only the recovery is not.
        if !self.confirmed {
            self.stopped = Some(why);
        }
        self.stage = Stage::Done;
    }

    fn trial(&self) -> Option<Trial> {
        let Options { trial, .. } = self.options;
        let steady =
            |purpose, rate, times: u32| Some(Trial::steady(purpose, rate, self.warm_up(), trial * times));
        match self.stage {
            Stage::Seek => {
                let (purpose, rate) = self.sought();
                let narrow = self.bracket().is_some_and(|width| width < NARROW);
                steady(purpose, rate, if narrow { 2 } else { 1 })
            }
            Stage::Settle(rate) => steady(Purpose::Settle, rate, 1),
            Stage::Confirm(_) => steady(Purpose::Confirm, self.low?.rate, 3),
            Stage::Recover(step) => {
                let (overload, rate) = (self.options.overload?, self.low?.rate * STEPS.get(step)?);
                let (times, most) = RECOVERY;
                let before = vec![
                    Segment { rate: self.overload_rate()?, lasts: overload },
                    Segment { rate, lasts: (overload * times).min(most).max(self.warm_up()) },
                ];
                Some(Trial { purpose: Purpose::Recover, before, judged: Segment { rate, lasts: trial } })
            }
            Stage::Done => None,
        }
    }

    /// A fifth of a trial, a second at least, and long enough for what a layer has under way without load to have come and gone.
    fn warm_up(&self) -> Duration {
        let unloaded = (2.0 * self.unloaded_seconds.unwrap_or(0.0)).min(15.0);
        Duration::from_secs_f64(unloaded.max(self.options.trial.as_secs_f64() / 5.0).max(1.0).ceil())
    }

    fn sought(&self) -> (Purpose, f64) {
        match (self.low, self.high) {
            (None, None) => (Purpose::Probe, self.options.first.min(self.options.ceiling)),
            (None, Some((high, _))) => (Purpose::Fall, high / 2.0),
            (Some(low), None) => (Purpose::Rise, (2.0 * low.rate).min(self.options.ceiling)),
            (Some(low), Some((high, _))) => (Purpose::Bisect, (low.rate * high).sqrt()),
        }
    }

    /// High over low.
    fn bracket(&self) -> Option<f64> {
        Some(self.high?.0 / self.low?.rate)
    }

    fn overload_rate(&self) -> Option<f64> {
        let capacity = self.low?.rate;
        let rate = (OVERLOAD.0 * capacity).min(self.options.ceiling);
        (rate >= OVERLOAD.1 * capacity).then_some(rate)
    }

    /// Takes what the last trial came to.
    pub fn take(&mut self, trial: &Trial, measured: &Measured) {
        self.spent += trial.length();
        let kept = measured.limit.is_none();
        let Some(kept) = self.ballot.vote(kept, measured.served_share < CLEAR) else { return };
        self.ballot = Ballot::default();
        let rate = trial.judged.rate;
        let limit = measured.limit.filter(|_| !kept);
        let held = Kept {
            rate,
            goodput: Some(measured.goodput_per_second),
            quantile_seconds: measured.quantile_seconds,
        };
        match self.stage {
            Stage::Seek => self.sought_one(held, limit, measured.goodput_per_second > 0.0),
            Stage::Settle(_) => self.settle(rate, kept),
            Stage::Confirm(failures) => self.confirm(held, limit, failures),
            Stage::Recover(step) => self.recover(step, rate, kept),
            Stage::Done => {}
        }
    }

    fn sought_one(&mut self, held: Kept, limit: Option<Limit>, answers: bool) {
        match limit {
            None => {
                if self.low.is_none() {
                    self.unloaded_seconds = held.quantile_seconds;
                }
                self.low = Some(held);
            }
            Some(limit) => self.high = Some((held.rate, limit)),
        }
        let first_failure = limit.is_some() && !self.settled;
        match (self.low, self.high) {
            (None, Some((rate, _))) if !answers || rate / 2.0 < self.options.first * LOWEST => {
                self.end(Stopped::Unreachable);
            }
            (Some(low), _) if first_failure => self.stage = Stage::Settle(low.rate),
            _ => self.narrowed(),
        }
    }

    /// Goes on with the bracket, or with what it holds once it is narrow.
    fn narrowed(&mut self) {
        let narrow = match (self.low, self.high) {
            (Some(low), None) => low.rate >= self.options.ceiling,
            (Some(low), Some((high, _))) => high / low.rate <= 1.0 + self.options.precision,
            (None, _) => false,
        };
        self.stage = if narrow { Stage::Confirm(0) } else { Stage::Seek };
    }

    fn settle(&mut self, rate: f64, kept: bool) {
        if kept {
            self.settled = true;
            self.settled_at = self.low.map(|low| low.rate).filter(|low| rate < *low).map(|_| rate);
            self.narrowed();
        } else if rate / 2.0 < self.options.first * LOWEST {
            self.recovery = Recovery::NotAbove { per_second: rate };
            self.end(Stopped::Down);
        } else {
            self.stage = Stage::Settle(rate / 2.0);
        }
    }

    fn confirm(&mut self, held: Kept, limit: Option<Limit>, failures: u32) {
        let Some(limit) = limit else {
            (self.low, self.confirmed) = (Some(held), true);
            let by_target = matches!(self.high, Some((_, Limit::Latency | Limit::Errors | Limit::Goodput)));
            let recovers = by_target && self.options.overload.is_some() && self.overload_rate().is_some();
            self.stage = if recovers { Stage::Recover(0) } else { Stage::Done };
            if let Some(per_second) = self.settled_at {
                self.recovery = Recovery::At { per_second };
            }
            return;
        };
        self.high = Some((held.rate, limit));
        // Lower and lower, by more every third time: what was kept once and is not any more may be much too high.
        let times = f64::from(1u32 << (failures / 3).min(16));
        let lower = held.rate * (1.0 - (self.options.precision * times).min(0.5));
        if lower < self.options.first * LOWEST {
            self.low = None;
            self.end(Stopped::Unreachable);
        } else {
            self.low = Some(Kept { rate: lower, goodput: None, quantile_seconds: None });
            self.stage = Stage::Confirm(failures + 1);
        }
    }

    fn recover(&mut self, step: usize, rate: f64, kept: bool) {
        (self.recovery, self.stage) = match (kept, step) {
            // What the layer had to be lowered to earlier it has to be lowered to.
            (true, 0) => (
                self.settled_at.map_or(Recovery::NoHysteresis, |per_second| Recovery::At { per_second }),
                Stage::Done,
            ),
            (true, _) => {
                (Recovery::At { per_second: self.settled_at.map_or(rate, |at| at.min(rate)) }, Stage::Done)
            }
            (false, _) => {
                let next = if step + 1 < STEPS.len() { Stage::Recover(step + 1) } else { Stage::Done };
                (Recovery::NotAbove { per_second: rate }, next)
            }
        };
    }

    /// What is known so far.
    #[must_use]
    pub fn found(&self) -> Found {
        let stopped_by = match (self.stopped, self.high) {
            (Some(stopped), _) => stopped,
            (None, Some((_, limit))) => limit.into(),
            (None, None) => Stopped::Ceiling,
        };
        Found {
            capacity_per_second: self.low.map(|low| low.rate),
            at_least: stopped_by.is_at_least(),
            confirmed: self.confirmed,
            stopped_by,
            failed_at_per_second: self.high.map(|(rate, _)| rate),
            goodput_per_second: self.low.and_then(|low| low.goodput),
            quantile_seconds: self.low.and_then(|low| low.quantile_seconds),
            unloaded_seconds: self.unloaded_seconds,
            recovery: self.recovery,
        }
    }
}

//! A plan at a glance.

use std::time::Duration;

use serde::Serialize;

use crate::scenario::VariantName;

use super::curves::{Curves, Tally};
use super::digest::Digest;
use super::{Crowd, Explanation, Plan};

/// Most arrivals that are walked through for an overview: half a second on one core of 2020.
const WALKED: u64 = 1 << 22;

/// A plan at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// Name of the scenario.
    pub scenario: String,
    /// Its line for people.
    pub title: String,
    /// The forecast.
    pub variant: VariantName,
    /// The seed.
    pub seed: u64,
    /// Fingerprint of the plan ([`Plan::digest`]).
    pub digest: String,
    /// Scenario seconds per run second.
    pub speed: f64,
    /// Part of the audience that is driven.
    pub scale: f64,
    /// First scenario second that is driven.
    pub from_seconds: f64,
    /// First scenario second that is not driven any more.
    pub until_seconds: f64,
    /// Length on the run clock.
    pub run_seconds: f64,
    /// Arrivals of the plan.
    pub arrivals: u64,
    /// Who its visitors are.
    pub crowd: Crowd,
    /// What the market does, also outside the window.
    pub signals: Vec<SignalMark>,
    /// What moves demand besides: echoes of signals, confounders, abuse, and what happens to the swarms; also outside the window.
    pub confounders: Vec<SignalMark>,
    /// Why the load moves; `None` where nothing moves it.
    pub explanation: Option<Explanation>,
    /// Rates over time.
    pub curves: Curves,
}

/// A moment at which something begins.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalMark {
    /// Its name; a listing's start of trading is marked on its own.
    pub name: String,
    /// Scenario seconds.
    pub at_seconds: f64,
}

impl Plan {
    /// The plan at a glance, with curves over `buckets` equal parts of the window. Counts every tick; a plan that has not too many
    /// arrivals is walked through, so that its figures are those of a run.
    #[must_use]
    pub fn overview(&self, buckets: usize) -> Overview {
        let mut tally = Tally::new(&self.parts, buckets);
        let mut digest = Digest::new(&self.parts);
        self.parts.count_all(|tick| {
            digest.tick(&self.parts, tick.number, tick.first, tick.counts);
            tally.add(&self.parts, tick);
        });
        if tally.arrivals() <= WALKED {
            tally.recount(self.arrivals());
        }
        let (scenario, cut) = (self.scenario(), &self.scenario().cut);
        Overview {
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            variant: self.variant(),
            seed: self.seed(),
            digest: digest.finish(),
            speed: cut.speed,
            scale: cut.scale,
            from_seconds: cut.from.as_secs_f64(),
            until_seconds: cut.until.as_secs_f64(),
            run_seconds: self.length().as_secs_f64(),
            arrivals: tally.arrivals(),
            crowd: self.crowd(),
            signals: marks(scenario.signals.iter().flat_map(|signal| signal.moments())),
            confounders: marks(self.others()),
            explanation: self.explain(),
            curves: tally.curves(self),
        }
    }

    fn others(&self) -> impl Iterator<Item = (String, Duration)> + '_ {
        let scenario = self.scenario();
        let echoes = scenario.signals.iter().flat_map(|signal| {
            // What a signal does last comes again: of a listing, its start of trading.
            let effect = signal.go_live.unwrap_or(signal.at) + signal.lag;
            signal.echoes.iter().map(move |echo| (format!("{} again", signal.name), effect + echo.delay))
        });
        let confounders = scenario.confounders.iter().map(|it| (it.name.clone(), it.at));
        let abuse = scenario.abuse.iter().map(|it| (it.name.clone(), it.from));
        let incidents = scenario.restarts.iter().chain(&scenario.exoduses).map(|it| (it.name.clone(), it.at));
        echoes.chain(confounders).chain(abuse).chain(incidents)
    }
}

fn marks(moments: impl Iterator<Item = (String, Duration)>) -> Vec<SignalMark> {
    let mark = |(name, at): (String, Duration)| SignalMark { name, at_seconds: at.as_secs_f64() };
    let mut marks: Vec<_> = moments.map(mark).collect();
    marks.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
    marks
}

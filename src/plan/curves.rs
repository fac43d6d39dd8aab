//! A plan at a glance: expected rates, and what was drawn.

use serde::Serialize;

use crate::demand::Demand;
use crate::scenario::{Channel, VariantName};

use super::{Arrival, Digest, Explanation, Plan, Stage};

/// Moments of the window at which peaks are looked for.
const MOMENTS: u32 = 1024;

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
    /// Arrivals drawn.
    pub arrivals: u64,
    /// What the market does, also outside the window.
    pub signals: Vec<SignalMark>,
    /// Why the load moves; `None` where nothing moves it.
    pub explanation: Option<Explanation>,
    /// Rates over time.
    pub curves: Curves,
}

/// A moment of a signal.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignalMark {
    /// Name of the signal; a listing's start of trading is marked on its own.
    pub name: String,
    /// Scenario seconds.
    pub at_seconds: f64,
}

/// Rates over time and what they come to. Rates count planned steps per second of the run: a page counts once however many assets it
/// has, and a magnet link counts once, as metadata (the lookup inside it shows under the DHT when it happens, not in the plan).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curves {
    /// Names of the regions, in the order of [`Row::interest`].
    pub regions: Vec<String>,
    /// Totals and peaks, in order of [`Stage::ALL`].
    pub stages: Vec<StageSummary>,
    /// Equal buckets of the window, in order of time.
    pub rows: Vec<Row>,
}

/// What a stage comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSummary {
    /// The stage.
    pub stage: Stage,
    /// Steps drawn.
    pub total: u64,
    /// Highest expected rate, steps per second of the run.
    pub peak_rate: f64,
    /// Scenario seconds of it.
    pub peak_at_seconds: f64,
    /// Steps drawn in the fullest second of the run.
    pub busiest_second: u64,
    /// Scenario seconds at which that second begins.
    pub busiest_at_seconds: f64,
}

/// One bucket. Stages are in order of [`Stage::ALL`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its beginning, scenario seconds.
    pub scenario_seconds: f64,
    /// Its beginning, run seconds.
    pub run_seconds: f64,
    /// Expected rate in its middle, steps per second of the run.
    pub expected: [f64; 5],
    /// Steps drawn in it, per second of the run.
    pub drawn: [f64; 5],
    /// Modelled peers in swarms in its middle, thinned like the audience.
    pub population: f64,
    /// Level of interest in its middle, region by region; 1 is a normal day.
    pub interest: Vec<f64>,
    /// Level of concern likewise.
    pub concern: Vec<f64>,
}

impl Plan {
    /// Rates over `buckets` equal parts of the window. Walks through the whole plan.
    #[must_use]
    pub fn curves(&self, buckets: usize) -> Curves {
        self.overview(buckets).curves
    }

    /// The plan at a glance, in one walk through it.
    #[must_use]
    pub fn overview(&self, buckets: usize) -> Overview {
        let mut tally = Tally::new(self.parts.length, buckets);
        let mut digest = Digest::default();
        for arrival in self {
            digest.add(&arrival);
            tally.add(&arrival);
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
            arrivals: tally.arrivals,
            signals: self.marks(),
            explanation: self.explain(),
            curves: Curves {
                regions: scenario.audience.regions.iter().map(|region| region.name.clone()).collect(),
                stages: Stage::ALL.into_iter().map(|stage| self.summary(stage, &tally)).collect(),
                rows: (0..tally.buckets.len()).map(|i| self.row(i, &tally)).collect(),
            },
        }
    }

    /// Expected steps of a stage per second of the run, at a scenario second.
    #[must_use]
    pub fn expected(&self, stage: Stage, t: f64) -> f64 {
        self.rate(self.demand(), stage, t)
    }

    pub(super) fn rate(&self, demand: &Demand, stage: Stage, t: f64) -> f64 {
        let funnel = &self.scenario().funnel;
        let starts = |flow: usize| demand.regions[flow].starts.at(t);
        let region = |r: usize| match stage {
            Stage::Index => {
                let side: f64 = (0..demand.sides()).map(|side| demand.side(side, r, t)).sum();
                demand.regions[r].visits.at(t) + side
            }
            Stage::Metadata => demand.regions[r].metadata.at(t),
            Stage::Announce => {
                let completed = (1.0 - funnel.abort_share) * starts(r);
                starts(r) + completed + demand.regions[r].stops.at(t) + demand.reannounces(r, t)
            }
            Stage::Dht => self.dht_share() * starts(r),
            Stage::Pieces => starts(r),
        };
        self.scenario().cut.scale * (0..demand.regions.len()).map(region).sum::<f64>()
    }

    /// Evenly spaced scenario seconds of the window.
    pub(super) fn moments(&self) -> impl Iterator<Item = f64> + use<> {
        let (from, until) = (self.scenario().cut.from.as_secs_f64(), self.scenario().cut.until.as_secs_f64());
        (0..MOMENTS).map(move |i| from + (until - from) * f64::from(i) / f64::from(MOMENTS))
    }

    fn dht_share(&self) -> f64 {
        let members = &self.scenario().clients.members;
        let all: f64 = members.iter().map(|(_, share)| share).sum();
        members.iter().filter(|(client, _)| client.dht).map(|(_, share)| share / all).sum()
    }

    fn marks(&self) -> Vec<SignalMark> {
        let moments = self.scenario().signals.iter().flat_map(|signal| signal.moments());
        let mark =
            |(name, at): (String, std::time::Duration)| SignalMark { name, at_seconds: at.as_secs_f64() };
        let mut marks: Vec<_> = moments.map(mark).collect();
        marks.sort_by(|a, b| a.at_seconds.total_cmp(&b.at_seconds));
        marks
    }

    fn summary(&self, stage: Stage, tally: &Tally) -> StageSummary {
        let rates = self.moments().map(|t| (self.expected(stage, t), t));
        let (peak_rate, peak_at_seconds) =
            rates.fold((0.0, 0.0), |best, next| if next.0 > best.0 { next } else { best });
        let column = tally.seconds.iter().map(|second| second[stage as usize]);
        let (busiest_second, second) =
            (0_u64..).zip(column).fold((0, 0), |best, (at, n)| if n > best.0 { (n, at) } else { best });
        let cut = &self.scenario().cut;
        StageSummary {
            stage,
            total: tally.buckets.iter().map(|bucket| bucket[stage as usize]).sum(),
            peak_rate,
            peak_at_seconds,
            busiest_second,
            busiest_at_seconds: cut.from.as_secs_f64() + second as f64 * cut.speed,
        }
    }

    fn row(&self, bucket: usize, tally: &Tally) -> Row {
        let cut = &self.scenario().cut;
        let span = self.length().as_secs_f64() / tally.buckets.len() as f64;
        let run_seconds = bucket as f64 * span;
        let scenario_at = |run: f64| cut.from.as_secs_f64() + run * cut.speed;
        let middle = scenario_at(run_seconds + span / 2.0);
        let levels = |channel| -> Vec<f64> {
            self.demand().regions.iter().map(|flow| flow.level.at(channel, middle)).collect()
        };
        Row {
            scenario_seconds: scenario_at(run_seconds),
            run_seconds,
            expected: Stage::ALL.map(|stage| self.expected(stage, middle)),
            drawn: tally.buckets[bucket].map(|count| count as f64 / span),
            population: cut.scale * self.demand().population(middle),
            interest: levels(Channel::Interest),
            concern: levels(Channel::Concern),
        }
    }
}

/// Steps counted, by bucket and by second of the run.
struct Tally {
    length: u64,
    arrivals: u64,
    buckets: Vec<[u64; 5]>,
    seconds: Vec<[u64; 5]>,
}

impl Tally {
    fn new(length: u64, buckets: usize) -> Self {
        let seconds = usize::try_from(length.div_ceil(1_000_000_000)).unwrap_or(usize::MAX);
        Self { length, arrivals: 0, buckets: vec![[0; 5]; buckets.max(1)], seconds: vec![[0; 5]; seconds] }
    }

    fn add(&mut self, arrival: &Arrival) {
        self.arrivals += 1;
        for step in &arrival.steps {
            let part = step.at.0 as f64 / self.length as f64;
            let bucket = (part * self.buckets.len() as f64) as usize;
            let last = self.buckets.len() - 1;
            self.buckets[bucket.min(last)][step.what.stage() as usize] += 1;
            if let Some(second) = self.seconds.get_mut(step.at.second() as usize) {
                second[step.what.stage() as usize] += 1;
            }
        }
    }
}

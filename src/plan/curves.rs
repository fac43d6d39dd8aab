//! Rates over time: what is to be expected, and what the counts of the ticks come to.

use rand::SeedableRng;
use rand_distr::{Binomial, Distribution};
use rand_xoshiro::SplitMix64;
use serde::Serialize;

use crate::demand::stream::{GLANCES, key};
use crate::demand::{Demand, poisson};
use crate::scenario::Channel;

use super::draw::Entry;
use super::{Arrival, Counted, Parts, Plan, Slice, Stage};

/// Moments of the window at which an explanation is looked for.
const MOMENTS: u32 = 1024;

/// Rates over time and what they come to. Rates count planned steps per second of the run: a page counts once however many assets it
/// has, and a magnet link counts once, as metadata (the lookup inside it shows under the DHT when it happens, not in the plan).
///
/// "Drawn" steps are the plan's own in an [`super::Overview`] of up to 4,194,304 arrivals, which are walked through one by one. In larger
/// ones, and in [`Plan::curves`], those that open an arrival (visits, side traffic, abuse, announces of the population) are the plan's own,
/// tick by tick, and those that follow after a lag are drawn for the glance, with the rate that the plan's have (displaced Poisson
/// streams are Poisson): the same distribution and another draw, so that no single arrival has to be looked at.
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
    /// Highest expected rate of a tick, steps per second of the run.
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
    /// Expected rate over it, steps per second of the run.
    pub expected: [f64; 5],
    /// Steps drawn in it, per second of the run.
    pub drawn: [f64; 5],
    /// Modelled peers in swarms in its middle, thinned like the audience.
    pub population: f64,
    /// Peers that download in its middle, by the fluid model, thinned likewise.
    pub leechers: f64,
    /// Peers that have everything, likewise.
    pub seeds: f64,
    /// Level of interest in its middle, region by region; 1 is a normal day.
    pub interest: Vec<f64>,
    /// Level of concern likewise.
    pub concern: Vec<f64>,
}

/// Steps of a slice, by why they happen.
#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    /// Steps that open an arrival of another kind than a visitor's later ones, by stage.
    opening: [f64; 5],
    /// Metadata requests of visitors.
    metadata: f64,
    /// Client starts.
    starts: f64,
    /// Client starts that join a swarm.
    joins: f64,
    /// Of these, that complete.
    completed: f64,
    /// Of these, that look up.
    lookups: f64,
    /// Client stops.
    stops: f64,
}

impl Steps {
    fn by_stage(&self) -> [f64; 5] {
        let [index, metadata, announce, dht, pieces] = self.opening;
        [
            index,
            metadata + self.metadata,
            announce + self.joins + self.completed + self.stops,
            dht + self.lookups,
            pieces + self.starts,
        ]
    }
}

impl Plan {
    /// Rates over `buckets` equal parts of the window. Counts ticks and draws no arrival.
    #[must_use]
    pub fn curves(&self, buckets: usize) -> Curves {
        let mut tally = Tally::new(&self.parts, buckets);
        self.parts.count_all(|tick| tally.add(&self.parts, tick));
        tally.curves(self)
    }

    /// Expected steps of a stage per second of the run, at a scenario second, given the path that the seed draws.
    #[must_use]
    pub fn expected(&self, stage: Stage, t: f64) -> f64 {
        self.rate(self.demand(), stage, t)
    }

    /// Expected steps of a stage per second of the run under some demand of this plan's scenario, such as its mean.
    #[must_use]
    pub fn rate(&self, demand: &Demand, stage: Stage, t: f64) -> f64 {
        let cut = &self.scenario().cut;
        // A millisecond of the run: short against everything that happens, long enough to measure pulses by their integral.
        let half = 5e-4 * cut.speed;
        let age = t - cut.from.as_secs_f64();
        let slice = Slice { from: t - half, until: t + half, age, weight: cut.scale };
        self.parts.steps(demand, &slice).by_stage()[stage as usize]
    }

    /// Evenly spaced scenario seconds of the window.
    pub(super) fn moments(&self) -> impl Iterator<Item = f64> + use<> {
        let (from, until) = (self.scenario().cut.from.as_secs_f64(), self.scenario().cut.until.as_secs_f64());
        (0..MOMENTS).map(move |i| from + (until - from) * f64::from(i) / f64::from(MOMENTS))
    }
}

impl Parts {
    /// Steps to be expected in a slice.
    fn steps(&self, demand: &Demand, slice: &Slice) -> Steps {
        let mut steps = Steps::default();
        for cell in &self.cells {
            let entering = self.entering(demand, cell.entry, cell.region, slice);
            match cell.entry {
                Entry::Metadata => steps.metadata += entering,
                Entry::Start => steps.starts += entering,
                Entry::Stop => steps.stops += entering,
                _ => steps.opening[self.stage(cell.entry) as usize] += entering,
            }
        }
        steps.joins = steps.starts * demand.swarm_share;
        steps.completed = steps.joins * (1.0 - self.scenario.funnel.abort_share);
        steps.lookups = steps.joins * self.sampler.dht_share();
        steps
    }

    /// Steps of a tick: the plan's own counts of what opens an arrival, and draws of what follows.
    fn draw(&self, expected: &Steps, tick: &Counted<'_>) -> Steps {
        let mut random = SplitMix64::seed_from_u64(key(self.seed, &[GLANCES, tick.number]));
        let mut steps = Steps::default();
        for (cell, count) in self.cells.iter().zip(tick.counts) {
            if cell.residue.is_none() {
                steps.opening[self.stage(cell.entry) as usize] += *count as f64;
            }
        }
        steps.metadata = poisson(expected.metadata, &mut random);
        steps.starts = poisson(expected.starts, &mut random);
        steps.stops = poisson(expected.stops, &mut random);
        let mut some = |of: f64, share: f64| {
            let binomial = Binomial::new(of as u64, share.clamp(0.0, 1.0));
            binomial.map_or(0.0, |binomial| binomial.sample(&mut random) as f64)
        };
        steps.joins = some(steps.starts, self.demand.swarm_share);
        steps.completed = some(steps.joins, 1.0 - self.scenario.funnel.abort_share);
        steps.lookups = some(steps.joins, self.sampler.dht_share());
        steps
    }

    /// The stage at which an entry's first step is.
    fn stage(&self, entry: Entry) -> Stage {
        match entry {
            Entry::Visit | Entry::Side(_) => Stage::Index,
            Entry::Metadata => Stage::Metadata,
            Entry::Start | Entry::Stop | Entry::Population | Entry::Restart | Entry::Leave => Stage::Announce,
            Entry::Abuse(number) => self.sampler.abuse(number).map_or(Stage::Index, |what| what.stage()),
        }
    }
}

/// Steps counted tick by tick. Its size depends on the number of buckets alone.
pub(super) struct Tally {
    length: u64,
    arrivals: u64,
    buckets: Vec<Bucket>,
    totals: [f64; 5],
    /// Highest expected rate of a tick, and its nanosecond.
    peaks: [(f64, u64); 5],
    /// The present second of the run, and the steps in it so far.
    second: (u64, [f64; 5]),
    /// Most steps of a second, and which.
    busiest: [(f64, u64); 5],
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    expected: [f64; 5],
    drawn: [f64; 5],
}

impl Tally {
    pub(super) fn new(plan: &Parts, buckets: usize) -> Self {
        Self {
            length: plan.length,
            arrivals: 0,
            buckets: vec![Bucket::default(); buckets.max(1)],
            totals: [0.0; 5],
            peaks: [(0.0, 0); 5],
            second: (0, [0.0; 5]),
            busiest: [(0.0, 0); 5],
        }
    }

    pub(super) const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    pub(super) fn add(&mut self, plan: &Parts, tick: &Counted<'_>) {
        self.arrivals += tick.counts.iter().sum::<u64>();
        let expected = plan.steps(&plan.demand, &tick.slice);
        let drawn = plan.draw(&expected, tick).by_stage();
        let expected = expected.by_stage();
        self.spread(tick, &expected, &drawn);
        let second = tick.start / 1_000_000_000;
        if second != self.second.0 {
            self.second = (second, [0.0; 5]);
        }
        for stage in 0..5 {
            self.totals[stage] += drawn[stage];
            let rate = expected[stage] / (tick.span as f64 / 1e9);
            if rate > self.peaks[stage].0 {
                self.peaks[stage] = (rate, tick.start);
            }
            // A tick is a whole part of a second: none lies in two of them.
            self.second.1[stage] += drawn[stage];
            if self.second.1[stage] > self.busiest[stage].0 {
                self.busiest[stage] = (self.second.1[stage], second);
            }
        }
    }

    /// Puts the steps of the arrivals themselves in the place of what was drawn for the glance.
    pub(super) fn recount(&mut self, arrivals: impl Iterator<Item = Arrival>) {
        let width = self.length as f64 / self.buckets.len() as f64;
        let mut seconds = vec![[0_u64; 5]; (self.length / 1_000_000_000 + 1) as usize];
        self.totals = [0.0; 5];
        self.buckets.iter_mut().for_each(|bucket| bucket.drawn = [0.0; 5]);
        for step in arrivals.flat_map(|arrival| arrival.steps) {
            let stage = step.what.stage() as usize;
            self.totals[stage] += 1.0;
            if let Some(bucket) = self.buckets.get_mut((step.at.0 as f64 / width) as usize) {
                bucket.drawn[stage] += 1.0;
            }
            if let Some(second) = seconds.get_mut(step.at.second() as usize) {
                second[stage] += 1;
            }
        }
        for stage in 0..5 {
            // The first of equals.
            let fullest = seconds.iter().enumerate().rev().max_by_key(|(_, steps)| steps[stage]);
            self.busiest[stage] =
                fullest.map_or((0.0, 0), |(second, steps)| (steps[stage] as f64, second as u64));
        }
    }

    /// Spreads a tick over the buckets that it lies in.
    fn spread(&mut self, tick: &Counted<'_>, expected: &[f64; 5], drawn: &[f64; 5]) {
        let width = self.length as f64 / self.buckets.len() as f64;
        let (from, until) = (tick.start as f64, (tick.start + tick.span) as f64);
        let (first, last) = ((from / width) as usize, (until / width).ceil() as usize);
        for (i, bucket) in self.buckets.iter_mut().enumerate().take(last).skip(first) {
            let (low, high) = (i as f64 * width, (i + 1) as f64 * width);
            let part = (high.min(until) - low.max(from)).max(0.0) / (until - from);
            for stage in 0..5 {
                bucket.expected[stage] += part * expected[stage];
                bucket.drawn[stage] += part * drawn[stage];
            }
        }
    }

    pub(super) fn curves(&self, plan: &Plan) -> Curves {
        Curves {
            regions: plan.scenario().audience.regions.iter().map(|region| region.name.clone()).collect(),
            stages: Stage::ALL.into_iter().map(|stage| self.summary(stage, plan)).collect(),
            rows: (0..self.buckets.len()).map(|i| self.row(i, plan)).collect(),
        }
    }

    fn summary(&self, stage: Stage, plan: &Plan) -> StageSummary {
        let cut = &plan.scenario().cut;
        let scenario_at = |run: f64| cut.from.as_secs_f64() + run * cut.speed;
        let ((peak_rate, peak), (busiest, second)) =
            (self.peaks[stage as usize], self.busiest[stage as usize]);
        StageSummary {
            stage,
            total: self.totals[stage as usize] as u64,
            peak_rate,
            peak_at_seconds: scenario_at(peak as f64 / 1e9),
            busiest_second: busiest as u64,
            busiest_at_seconds: scenario_at(second as f64),
        }
    }

    fn row(&self, bucket: usize, plan: &Plan) -> Row {
        let (cut, demand) = (&plan.scenario().cut, plan.demand());
        let span = plan.length().as_secs_f64() / self.buckets.len() as f64;
        let run_seconds = bucket as f64 * span;
        let scenario_at = |run: f64| cut.from.as_secs_f64() + run * cut.speed;
        let middle = scenario_at(run_seconds + span / 2.0);
        let levels = |channel| demand.regions.iter().map(|flow| flow.level.at(channel, middle)).collect();
        let Bucket { expected, drawn } = self.buckets[bucket];
        Row {
            scenario_seconds: scenario_at(run_seconds),
            run_seconds,
            expected: expected.map(|steps| steps / span),
            drawn: drawn.map(|steps| steps / span),
            population: cut.scale * demand.population(middle),
            leechers: cut.scale * demand.leechers.at(middle),
            seeds: cut.scale * demand.seeds.at(middle),
            interest: levels(Channel::Interest),
            concern: levels(Channel::Concern),
        }
    }
}

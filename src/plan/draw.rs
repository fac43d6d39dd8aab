//! Drawing one arrival from its own stream.

use rand::RngExt;
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;
use smallvec::SmallVec;

use crate::demand::{Delay, Demand};
use crate::scenario::Scenario;
use crate::unit::Tick;

use super::choice::Choice;
use super::stream::{ARRIVALS, stream};
use super::{AnnounceEvent, Arrival, Origin, PlannedStep, What};

/// Where an arrival enters the window. The first four are the funnel in its order: a visitor who came before the window enters it
/// with a later step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Visit,
    Metadata,
    Start,
    Stop,
    Population,
    Side(u8),
}

impl Entry {
    /// Its part of a stream's key.
    pub(super) const fn key(self) -> u64 {
        match self {
            Self::Visit => 0,
            Self::Metadata => 1,
            Self::Start => 2,
            Self::Stop => 3,
            Self::Population => 4,
            Self::Side(side) => 256 + side as u64,
        }
    }

    const fn origin(self) -> Origin {
        match self {
            Self::Visit | Self::Metadata | Self::Start | Self::Stop => Origin::Visit,
            Self::Population => Origin::Population,
            Self::Side(side) => Origin::Side(side),
        }
    }
}

/// What all arrivals of a plan have in common.
#[derive(Debug)]
pub(super) struct Sampler {
    seed: u64,
    clients: Choice,
    dht: Vec<bool>,
    access: Choice,
    content: Choice,
    metadata_share: f64,
    magnet_share: f64,
    start_share: f64,
    abort_share: f64,
    to_metadata: Delay,
    to_start: Delay,
    seeding: Delay,
    /// Run nanoseconds per scenario second.
    pace: f64,
    /// First run nanosecond after the plan.
    end: u64,
}

impl Sampler {
    pub(super) fn new(scenario: &Scenario, demand: &Demand, seed: u64, end: u64) -> Self {
        let clients = &scenario.clients.members;
        Self {
            seed,
            clients: Choice::new(clients.iter().map(|(_, share)| *share)),
            dht: clients.iter().map(|(client, _)| client.dht).collect(),
            access: Choice::new(scenario.access.members.iter().map(|(_, share)| *share)),
            content: Choice::zipf(&scenario.content),
            metadata_share: demand.metadata_share,
            magnet_share: scenario.funnel.magnet_share,
            start_share: demand.start_share,
            abort_share: scenario.funnel.abort_share,
            to_metadata: demand.to_metadata.clone(),
            to_start: demand.to_start.clone(),
            seeding: demand.seeding.clone(),
            pace: 1e9 / scenario.cut.speed,
            end,
        }
    }

    /// When arrival `index` comes: a moment of its tick, nanoseconds.
    pub(super) fn due(&self, index: u64, start: u64, span: u64) -> u64 {
        let (place, _) = self.open(index);
        start + (place * span as f64) as u64
    }

    /// Arrival `index`, which enters the window at `due`. Whatever it does, it draws the same things in the same order; lags come last.
    pub(super) fn arrival(&self, index: u64, due: u64, entry: Entry, region: usize) -> Arrival {
        let (_, mut random) = self.open(index);
        let seed = random.random();
        let client = self.clients.pick(random.random());
        let access = self.access.pick(random.random());
        let content = self.content.pick(random.random());
        let steps = match entry {
            Entry::Population => SmallVec::from_iter([step(due, What::Announce(AnnounceEvent::Interval))]),
            Entry::Side(_) => SmallVec::from_iter([step(due, What::Visit)]),
            Entry::Visit | Entry::Metadata | Entry::Start | Entry::Stop => {
                self.visit(due, entry, self.dht.get(client).is_some_and(|dht| *dht), &mut random)
            }
        };
        Arrival {
            index,
            origin: entry.origin(),
            region: narrow(region),
            client: narrow(client),
            access: narrow(access),
            content: u16::try_from(content).unwrap_or(u16::MAX),
            seed,
            steps,
        }
    }

    /// The stream of an arrival, opened: its place within its tick, 0..1, and the rest.
    fn open(&self, index: u64) -> (f64, Xoshiro256PlusPlus) {
        let mut random = stream(self.seed, &[ARRIVALS, index]);
        (random.random(), random)
    }

    /// The way down the funnel from `entry` on.
    fn visit(&self, due: u64, entry: Entry, dht: bool, random: &mut Xoshiro256PlusPlus) -> Steps {
        let (asks, starts, magnet, aborts) = (
            random.random::<f64>() < self.metadata_share,
            random.random::<f64>() < self.start_share,
            random.random::<f64>() < self.magnet_share,
            random.random::<f64>() < self.abort_share,
        );
        // f32 draws stay below 1, which would mean a completed transfer.
        let given_up: f32 = random.random();
        let mut steps = Steps::new();
        let mut now = due;
        if entry <= Entry::Visit {
            self.plan(&mut steps, now, What::Visit);
            if !asks {
                return steps;
            }
            now = self.after(now, &self.to_metadata, random);
        }
        if entry <= Entry::Metadata {
            self.plan(&mut steps, now, if magnet { What::Magnet } else { What::Torrent });
            if !starts {
                return steps;
            }
            now = self.after(now, &self.to_start, random);
        }
        if entry <= Entry::Start {
            self.plan(&mut steps, now, What::Announce(AnnounceEvent::Started));
            if dht {
                self.plan(&mut steps, now, What::Lookup);
            }
            self.plan(&mut steps, now, What::Transfer { until: if aborts { given_up } else { 1.0 } });
            if !aborts {
                self.plan(&mut steps, now, What::Announce(AnnounceEvent::Completed));
            }
            now = self.after(now, &self.seeding, random);
        }
        self.plan(&mut steps, now, What::Announce(AnnounceEvent::Stopped));
        steps
    }

    /// Adds a step, unless it lies after the window.
    fn plan(&self, steps: &mut Steps, at: u64, what: What) {
        if at < self.end {
            steps.push(step(at, what));
        }
    }

    /// The moment one delay later; the end at most, after which nothing is planned.
    fn after(&self, now: u64, delay: &Delay, random: &mut Xoshiro256PlusPlus) -> u64 {
        let lag = delay.at_normal(random.sample(StandardNormal)) * self.pace;
        now.saturating_add(lag as u64).min(self.end)
    }
}

type Steps = SmallVec<[PlannedStep; 7]>;

const fn step(at: u64, what: What) -> PlannedStep {
    PlannedStep { at: Tick(at), what }
}

fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

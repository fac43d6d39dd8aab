//! Drawing one arrival from its own stream.

use rand::RngExt;
use rand_distr::StandardNormal;
use rand_xoshiro::SplitMix64;
use smallvec::SmallVec;

use crate::demand::stream::{ARRIVALS, key, short_stream};
use crate::demand::{Delay, Demand};
use crate::scenario::{AbuseKind, Scenario, Via};
use crate::unit::Tick;

use super::choice::Choice;
use super::{AnnounceEvent, Arrival, Cohort, Origin, PlannedStep, Stage, What};

/// Where an arrival enters the window. The first four are the funnel in its order: a visitor who came before the window enters it
/// with a later step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Visit,
    Metadata,
    Start,
    Stop,
    Population,
    Restart,
    Leave,
    Side(u8),
    Abuse(u8),
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
            Self::Restart => 5,
            Self::Leave => 6,
            Self::Side(side) => 256 + side as u64,
            Self::Abuse(abuse) => 512 + abuse as u64,
        }
    }

    const fn origin(self) -> Origin {
        match self {
            Self::Visit | Self::Metadata | Self::Start | Self::Stop => Origin::Visit,
            Self::Population | Self::Restart | Self::Leave => Origin::Population,
            Self::Side(side) => Origin::Side(side),
            Self::Abuse(abuse) => Origin::Abuse(abuse),
        }
    }
}

/// What all arrivals of a plan have in common.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Key of all streams.
    key: u64,
    returning: f64,
    old_clusters: f64,
    cached: f64,
    abuse: Vec<(What, f64)>,
    clients: Choice,
    dht: Vec<bool>,
    dht_share: f64,
    access: Choice,
    /// Of each access line.
    unreachable: Vec<f64>,
    content: Choice,
    /// Where some content is of no swarm: what those choose who come to a tracker or to the DHT.
    swarm_content: Option<Choice>,
    /// How the content of each rank is had.
    vias: Vec<Via>,
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
        let all: f64 = clients.iter().map(|(_, share)| share).sum();
        Self {
            key: key(seed, &[ARRIVALS]),
            returning: scenario.audience.returning,
            old_clusters: scenario.audience.old_clusters,
            cached: scenario.funnel.cached,
            abuse: scenario.abuse.iter().map(|abuse| (asks(abuse.what), abuse.old_clusters)).collect(),
            clients: Choice::new(clients.iter().map(|(_, share)| *share)),
            dht: clients.iter().map(|(client, _)| client.dht).collect(),
            dht_share: clients.iter().filter(|(client, _)| client.dht).map(|(_, share)| share).sum::<f64>()
                / all,
            access: Choice::new(scenario.access.members.iter().map(|(_, share)| *share)),
            unreachable: scenario.access.members.iter().map(|(line, _)| line.unreachable).collect(),
            content: Choice::content(&scenario.content),
            swarm_content: Choice::swarm_content(&scenario.content),
            vias: scenario.content.vias().collect(),
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

    /// When arrival `index` comes: nanoseconds after the beginning of its tick of `span` nanoseconds.
    pub(super) fn place(&self, index: u64, span: u64) -> u64 {
        let (place, _) = self.open(index);
        (place * span as f64) as u64
    }

    /// Arrival `index`, which enters the window at `due`. Whatever it does, it draws the same things in the same order; lags come last.
    pub(super) fn arrival(&self, index: u64, due: u64, entry: Entry, region: usize) -> Arrival {
        let (_, mut random) = self.open(index);
        let seed: u64 = random.random();
        let (client, access) = halves(random.random());
        let (client, access) = (self.clients.pick(client), self.access.pick(access));
        let content = self.choice(entry).pick(random.random());
        let (cohort, asks) = halves(random.random());
        let reach: f64 = random.random();
        let announce = |event| one(due, What::Announce(event));
        let steps = match entry {
            Entry::Population => announce(AnnounceEvent::Interval),
            Entry::Restart => announce(AnnounceEvent::Started),
            Entry::Leave => announce(AnnounceEvent::Stopped),
            Entry::Side(_) => one(due, What::Visit),
            Entry::Abuse(number) => one(due, self.abuse(number).unwrap_or(What::Visit)),
            Entry::Visit | Entry::Metadata | Entry::Start | Entry::Stop => {
                let dht = self.dht.get(client).is_some_and(|dht| *dht);
                let via = self.vias.get(content).copied().unwrap_or_default();
                self.visit(due, entry, asks < self.metadata_share, (via, dht), &mut random)
            }
        };
        Arrival {
            index,
            origin: entry.origin(),
            cohort: self.cohort(entry, cohort),
            region: narrow(region),
            client: narrow(client),
            access: narrow(access),
            content: u16::try_from(content).unwrap_or(u16::MAX),
            // Those who return are the lowest part of the cohorts, and of them this.
            cached: entry.origin() == Origin::Visit && cohort < self.returning * self.cached,
            reachable: self.unreachable.get(access).is_none_or(|share| reach >= *share),
            seed,
            steps,
        }
    }

    /// What an arrival chooses its content from.
    fn choice(&self, entry: Entry) -> &Choice {
        let of_swarm = match entry {
            Entry::Stop | Entry::Population | Entry::Restart | Entry::Leave => true,
            Entry::Abuse(number) => {
                let needs_swarm =
                    |what: What| matches!(what.stage(), Stage::Announce | Stage::Dht | Stage::Pieces);
                self.abuse(number).is_some_and(needs_swarm)
            }
            Entry::Visit | Entry::Metadata | Entry::Start | Entry::Side(_) => false,
        };
        self.swarm_content.as_ref().filter(|_| of_swarm).unwrap_or(&self.content)
    }

    /// The stream of an arrival, opened: its place within its tick, 0..1, and the rest.
    fn open(&self, index: u64) -> (f64, SplitMix64) {
        let mut random = short_stream(self.key, index);
        (random.random(), random)
    }

    fn cohort(&self, entry: Entry, uniform: f64) -> Cohort {
        let (returning, old_clusters) = match entry {
            // Who announces again was there before.
            Entry::Population | Entry::Restart | Entry::Leave => (1.0, 1.0),
            Entry::Abuse(number) => (0.0, self.abuse.get(usize::from(number)).map_or(0.0, |(_, old)| *old)),
            _ => (self.returning, self.old_clusters),
        };
        match uniform {
            uniform if uniform < returning => Cohort::Returning,
            uniform if uniform < old_clusters => Cohort::OldCluster,
            _ => Cohort::NewCluster,
        }
    }

    /// The way down the funnel from `entry` on; through a gateway it has no part for trackers, the DHT and peers.
    fn visit(
        &self,
        due: u64,
        entry: Entry,
        asks: bool,
        (via, dht): (Via, bool),
        random: &mut SplitMix64,
    ) -> Steps {
        let mut steps = Steps::new();
        let mut now = due;
        if entry <= Entry::Visit {
            self.plan(&mut steps, now, What::Visit);
            if !asks {
                return steps;
            }
        }
        let (starts, magnet) = halves(random.random());
        let (aborts, given_up) = halves(random.random());
        if entry <= Entry::Visit {
            now = self.after(now, &self.to_metadata, random);
        }
        if entry <= Entry::Metadata {
            let what = match via {
                Via::Gateway => What::Root,
                Via::Swarm if magnet < self.magnet_share => What::Magnet,
                Via::Swarm => What::Torrent,
            };
            self.plan(&mut steps, now, what);
            if starts >= self.start_share {
                return steps;
            }
            now = self.after(now, &self.to_start, random);
        }
        let aborts = aborts < self.abort_share;
        // A whole transfer is 1: what is given up stays below that as an f32 too.
        let until = if aborts { (given_up as f32).min(1.0_f32.next_down()) } else { 1.0 };
        if via == Via::Gateway {
            self.plan(&mut steps, now, What::Read { until });
            return steps;
        }
        if entry <= Entry::Start {
            self.plan(&mut steps, now, What::Announce(AnnounceEvent::Started));
            if dht {
                self.plan(&mut steps, now, What::Lookup);
            }
            self.plan(&mut steps, now, What::Transfer { until });
            if !aborts {
                self.plan(&mut steps, now, What::Announce(AnnounceEvent::Completed));
            }
            now = self.after(now, &self.seeding, random);
        }
        self.plan(&mut steps, now, What::Announce(AnnounceEvent::Stopped));
        steps
    }

    /// Share of the clients that look up in the DHT.
    pub(super) const fn dht_share(&self) -> f64 {
        self.dht_share
    }

    /// What an abuse asks for.
    pub(super) fn abuse(&self, number: u8) -> Option<What> {
        self.abuse.get(usize::from(number)).map(|(what, _)| *what)
    }

    /// Everything but the streams that decides what an arrival is.
    pub(super) fn put(&self, put: &mut impl FnMut(&[u8])) {
        let shares = [
            self.returning,
            self.old_clusters,
            self.cached,
            self.metadata_share,
            self.magnet_share,
            self.start_share,
            self.abort_share,
            self.pace,
        ];
        let tables = [&self.clients, &self.access, &self.content].into_iter().chain(&self.swarm_content);
        let dht = self.dht.iter().map(|dht| f64::from(u8::from(*dht)));
        let delays =
            [&self.to_metadata, &self.to_start, &self.seeding].map(|d| [d.at_normal(0.0), d.at_normal(1.0)]);
        let abuse = self.abuse.iter().map(|(_, old)| *old);
        let numbers = shares.into_iter().chain(tables.flat_map(Choice::numbers));
        let numbers = numbers.chain(self.unreachable.iter().copied());
        for number in numbers.chain(dht).chain(delays.into_iter().flatten()).chain(abuse) {
            put(&number.to_bits().to_le_bytes());
        }
    }

    /// Adds a step, unless it lies after the window.
    fn plan(&self, steps: &mut Steps, at: u64, what: What) {
        if at < self.end {
            steps.push(step(at, what));
        }
    }

    /// The moment one delay later; the end at most, after which nothing is planned.
    fn after(&self, now: u64, delay: &Delay, random: &mut SplitMix64) -> u64 {
        let lag = delay.at_normal(random.sample(StandardNormal)) * self.pace;
        now.saturating_add(lag as u64).min(self.end)
    }
}

type Steps = SmallVec<[PlannedStep; 7]>;

fn one(at: u64, what: What) -> Steps {
    let mut steps = Steps::new();
    steps.push(step(at, what));
    steps
}

const fn step(at: u64, what: What) -> PlannedStep {
    PlannedStep { at: Tick(at), what }
}

/// What abuse asks for, as a step.
const fn asks(what: AbuseKind) -> What {
    match what {
        AbuseKind::Index => What::Visit,
        AbuseKind::Metadata => What::Torrent,
        AbuseKind::Announce => What::Announce(AnnounceEvent::Started),
        AbuseKind::Dht => What::Lookup,
        AbuseKind::DhtCrawl => What::Crawl,
        AbuseKind::Dns => What::Resolve,
        AbuseKind::Pieces => What::Transfer { until: 1.0 },
    }
}

/// Two numbers in 0..1, of 32 bits each.
fn halves(bits: u64) -> (f64, f64) {
    const RANGE: f64 = 4_294_967_296.0;
    ((bits >> 32) as f64 / RANGE, (bits & 0xffff_ffff) as f64 / RANGE)
}

fn narrow(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

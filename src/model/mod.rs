//! The model world: the target as queues, in virtual time.
//!
//! Each layer is an M/M/c/K queue: Poisson-like arrivals (whatever the journeys send), exponential service times, c servers, room for a
//! stated number of waiting operations, first come first served. An operation that finds the queue full fails at once
//! ([`Cause::Overloaded`]); one that outwaits the visitor's patience fails with [`Cause::Timeout`], *and is served all the same*: work
//! that nobody waits for any more is how retries make an overloaded layer collapse. A layer may also lose a share of what is asked of
//! it, which is never answered, and answers may go out on a line of stated bandwidth.
//!
//! The same seed gives the same bytes: one generator, drawn from in the order of events, and no clock.

mod capacity;
mod fault;
mod line;
mod queue;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub use capacity::{Capacity, ModelTarget};

use crate::drive::{JourneyId, OpId, World};
use crate::journey::{Cause, Operation, Outcome, Peer, Reply, Visitor, Web};
use crate::plan::Stage;
use crate::profile::Layer;
use crate::scenario::{Funnel, Scenario, piece_length};
use crate::unit::Tick;

use fault::Faults;
use line::{Line, Next, Turns};
use queue::{Admission, Queue};

/// How long the model's names may be kept [assumed].
const NAME_LIFE: Duration = Duration::from_secs(60);

/// Bytes per second of a line that is never the limit.
const WIDE: f64 = 1e15;

/// Bytes of a block that a gateway serves, Kubo's own; the model's trees have one level.
const BLOCK: u64 = 256 << 10;

/// Runs a future of the model world: nothing in it ever waits for the machine.
pub fn complete<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// The model world. See the module's page.
#[derive(Debug)]
pub struct ModelWorld {
    /// Bytes of each content, by rank.
    sizes: Vec<u64>,
    /// Bytes per second of each access line.
    down: Vec<f64>,
    funnel: Funnel,
    round_trip: Duration,
    now: Tick,
    rng: Xoshiro256PlusPlus,
    queues: BTreeMap<Layer, Queue>,
    /// The lines that answers of a layer share, of those that have one, or are to have.
    lines: BTreeMap<Layer, Line>,
    /// What the layers have a capacity for where no fault holds.
    stated: BTreeMap<Layer, Capacity>,
    faults: Faults,
    /// What happens when, in order of time and then of cause.
    agenda: BinaryHeap<Reverse<(Tick, u64, Happening)>>,
    /// Order of entry into the agenda.
    entries: u64,
    /// The job of each operation that its journey still waits for.
    waited_for: HashMap<OpId, u64>,
    jobs: HashMap<u64, Job>,
    next_job: u64,
}

/// An operation inside the model.
#[derive(Debug)]
struct Job {
    id: OpId,
    layer: Layer,
    started: Tick,
    reply: Reply,
    bytes_in: u64,
    /// The access line cannot deliver the answer before this.
    line_free: Tick,
    /// A fault makes the answer so much later.
    late: Duration,
    /// It never came to be served: whoever gives it up is the last to know of it.
    lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// A server of the layer is done with the job.
    Served(Layer, u64),
    /// An answer has gone out over the layer's line, if the load has not changed since that was foretold.
    GoneOut(Layer, u64),
    /// The answer is with the visitor.
    Answered(u64),
    /// The visitor's patience is over.
    GivenUp(u64),
    /// The queue had no room.
    TurnedAway(u64),
    /// A fault of the layer begins or ends.
    Changed(Layer),
}

impl ModelWorld {
    /// The one peer of the model's swarms.
    pub const SEEDBOX: Peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6881);

    /// The target that `target` describes, under the visitors of `scenario`.
    #[must_use]
    pub fn new(scenario: &Scenario, target: &ModelTarget, seed: u64) -> Self {
        let stated: BTreeMap<Layer, Capacity> =
            Layer::ALL.into_iter().map(|layer| (layer, target.layer(layer))).collect();
        let queues = stated.iter().map(|(layer, capacity)| (*layer, Queue::new(*capacity)));
        let faults = Faults::of(scenario);
        let line = |(layer, capacity): (&Layer, &Capacity)| {
            let bandwidth = capacity.bandwidth.or_else(|| faults.narrow(*layer).then_some(WIDE))?;
            let turns = match layer {
                Layer::Dns | Layer::Tracker | Layer::Dht => Turns::Datagrams,
                _ => Turns::Streams,
            };
            Some((*layer, Line::new(turns, bandwidth)))
        };
        let changes: Vec<_> = faults.changes().collect();
        let mut world = Self {
            sizes: scenario.content.sizes().collect(),
            down: scenario.access.members.iter().map(|(access, _)| access.down).collect(),
            funnel: scenario.funnel.clone(),
            round_trip: target.round_trip,
            now: Tick::ZERO,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            queues: queues.collect(),
            lines: stated.iter().filter_map(line).collect(),
            stated,
            faults,
            agenda: BinaryHeap::new(),
            entries: 0,
            waited_for: HashMap::new(),
            jobs: HashMap::new(),
            next_job: 0,
        };
        for (at, layer) in changes {
            world.at(at, Happening::Changed(layer));
        }
        world
    }

    fn at(&mut self, tick: Tick, happening: Happening) {
        self.entries += 1;
        self.agenda.push(Reverse((tick, self.entries, happening)));
    }

    /// Bytes and pieces of a content rank.
    fn content(&self, rank: u16) -> (u64, u32) {
        let size = self.sizes.get(usize::from(rank)).copied().unwrap_or(1);
        let pieces = size.div_ceil(piece_length(size)).max(1);
        (size, u32::try_from(pieces).unwrap_or(u32::MAX))
    }

    /// What the layer answers, and how many bytes that is.
    fn reply(&self, visitor: &Visitor, operation: &Operation) -> (Reply, u64) {
        let (size, pieces) = self.content(visitor.content);
        let blocks = u32::try_from(size.div_ceil(BLOCK).max(1)).unwrap_or(u32::MAX);
        match operation {
            Operation::Resolve(_) => (Reply::Resolved { ttl: NAME_LIFE }, 100),
            Operation::AnnouncePeer | Operation::Crawl => (Reply::Done, 400),
            Operation::Page | Operation::Asset(_) | Operation::Side(_) => (Reply::Done, 8 * 1024),
            Operation::Torrent | Operation::PeerMetadata { .. } => {
                (Reply::Metadata { pieces, size, web_seeds: false }, 20 * u64::from(pieces) + 200)
            }
            Operation::Announce { .. } | Operation::Lookup { .. } => (Reply::Peers(vec![Self::SEEDBOX]), 200),
            Operation::Handshake { .. } => (Reply::Handshake { pieces, size }, 200),
            Operation::Root => {
                (Reply::Metadata { pieces: blocks, size, web_seeds: false }, 50 * u64::from(blocks))
            }
            Operation::Open => (Reply::Handshake { pieces: blocks, size }, 50 * u64::from(blocks)),
            Operation::Block { .. } => (Reply::Done, BLOCK.min(size)),
            Operation::Piece { .. } => (Reply::Done, piece_length(size).min(size)),
        }
    }

    /// Lets one thing happen; the outcome, if it is one that a journey waits for.
    fn happen(&mut self, happening: Happening) -> Option<(OpId, Outcome)> {
        match happening {
            Happening::Served(layer, job) => {
                let next =
                    self.queues.get_mut(&layer).and_then(|queue| queue.served(self.now, &mut self.rng));
                if let Some((job, at)) = next {
                    self.at(at, Happening::Served(layer, job));
                }
                match self.lines.get_mut(&layer) {
                    None => self.gone_out(job)?,
                    Some(line) => {
                        let next = line.begin(job, self.jobs.get(&job)?.bytes_in, self.now);
                        self.foretell(layer, next);
                    }
                }
                None
            }
            Happening::GoneOut(layer, version) => {
                let (job, next) = self.lines.get_mut(&layer)?.ended(version, self.now)?;
                self.foretell(layer, next);
                self.gone_out(job)?;
                None
            }
            Happening::Answered(job) => self.settle(job, None),
            Happening::GivenUp(job) => self.settle(job, Some(Cause::Timeout)),
            Happening::TurnedAway(job) => self.settle(job, Some(Cause::Overloaded)),
            Happening::Changed(layer) => {
                let capacity = self.faults.capacity(layer, self.now, *self.stated.get(&layer)?);
                let begun = self.queues.get_mut(&layer)?.change(capacity, self.now, &mut self.rng);
                for (job, at) in begun {
                    self.at(at, Happening::Served(layer, job));
                }
                let next = self.lines.get_mut(&layer)?.change(capacity.bandwidth.unwrap_or(WIDE), self.now);
                self.foretell(layer, next);
                None
            }
        }
    }

    /// The next answer of a line will have gone out then.
    fn foretell(&mut self, layer: Layer, next: Next) {
        if let Some((at, version)) = next {
            self.at(at, Happening::GoneOut(layer, version));
        }
    }

    /// The layer has sent its answer; `None` where there is no such job.
    fn gone_out(&mut self, job: u64) -> Option<()> {
        let Job { line_free, late, .. } = *self.jobs.get(&job)?;
        self.at((self.now + self.round_trip + late).max(line_free), Happening::Answered(job));
        Some(())
    }

    /// A visitor gives up: the bytes that it has. What is in a queue stays there (see the module's page), what is on a line leaves it
    /// for good.
    fn hang_up(&mut self, number: u64) -> u64 {
        let Some(&Job { layer, bytes_in, .. }) = self.jobs.get(&number) else { return 0 };
        let hung_up = self.lines.get_mut(&layer).and_then(|line| line.give_up(number, self.now));
        let Some((left, next)) = hung_up else { return 0 };
        self.jobs.remove(&number);
        self.foretell(layer, next);
        bytes_in.saturating_sub(left)
    }

    /// Whether an operation of the layer is lost: by its own doing, or a fault's.
    fn is_lost(&mut self, layer: Layer) -> bool {
        let loss = self.stated.get(&layer).map_or(0.0, |capacity| capacity.loss);
        loss > 0.0 && self.rng.random_bool(loss.min(1.0)) || self.faults.loses(layer, self.now, &mut self.rng)
    }

    /// The end of a job as its visitor sees it; `None` where the visitor is no longer there to see it.
    fn settle(&mut self, number: u64, failure: Option<Cause>) -> Option<(OpId, Outcome)> {
        let Job { id, lost, started, .. } = *self.jobs.get(&number)?;
        if self.waited_for.get(&id) != Some(&number) {
            // Given up or released earlier: this is the work that nobody waits for. It is over once it is answered or turned away.
            if lost || failure != Some(Cause::Timeout) {
                self.jobs.remove(&number);
            }
            return None;
        }
        self.waited_for.remove(&id);
        let (result, bytes_in) = match failure {
            Some(cause @ Cause::Timeout) if !lost => (Err(cause), self.hang_up(number)),
            Some(cause) => {
                self.jobs.remove(&number);
                (Err(cause), 0)
            }
            None => {
                let job = self.jobs.remove(&number)?;
                (Ok(job.reply), job.bytes_in)
            }
        };
        let outcome = Outcome {
            started,
            ended: self.now,
            result,
            bytes_in,
            bytes_out: 100,
            foreign: 0,
            retransmits: 0,
            web: Web::default(),
            not_before: None,
            oddities: Vec::new(),
            parts: Vec::new(),
        };
        Some((id, outcome))
    }
}

impl World for ModelWorld {
    fn now(&self) -> Tick {
        self.now
    }

    fn perform(&mut self, id: OpId, visitor: &Visitor, operation: Operation) {
        let layer = operation.kind().layer();
        let (reply, bytes_in) = self.reply(visitor, &operation);
        let down = self.down.get(usize::from(visitor.access)).copied().unwrap_or(f64::INFINITY);
        let line_free = self.now + Duration::from_secs_f64(bytes_in as f64 / down.max(1.0));
        let number = self.next_job;
        self.next_job += 1;
        let late = self.faults.latency(layer, self.now, &mut self.rng);
        let lost = self.is_lost(layer);
        self.jobs
            .insert(number, Job { id, layer, started: self.now, reply, bytes_in, line_free, late, lost });
        self.waited_for.insert(id, number);
        self.at(self.now + operation.patience(&self.funnel), Happening::GivenUp(number));
        if lost {
            return;
        }
        let admission = self.queues.get_mut(&layer).map(|queue| queue.admit(number, self.now, &mut self.rng));
        match admission {
            Some(Admission::Serving(at)) => self.at(at, Happening::Served(layer, number)),
            Some(Admission::Waiting) => {}
            Some(Admission::Full) | None => {
                self.at(self.now + self.round_trip, Happening::TurnedAway(number))
            }
        }
    }

    fn release(&mut self, journey: JourneyId) {
        for stage in Stage::ALL {
            self.waited_for.remove(&OpId { journey, stage });
        }
    }

    async fn wait(&mut self, until: Tick) -> Option<(OpId, Outcome)> {
        while let Some(Reverse((at, ..))) = self.agenda.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, happening))) = self.agenda.pop() else { break };
            self.now = self.now.max(at);
            if let Some(outcome) = self.happen(happening) {
                return Some(outcome);
            }
        }
        self.now = self.now.max(until);
        None
    }
}

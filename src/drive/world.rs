//! The seams of the worker loop: the world that performs operations, and the observer that sees them.

use std::future::Future;

use crate::journey::{Cause, Download, Group, Kind, Oddity, Operation, Outcome, Swarm, Visitor, Web};
use crate::plan::Stage;
use crate::unit::Tick;

/// A journey of one worker; never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JourneyId(pub u64);

/// An operation under way: each stage of a journey has at most one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The journey that asked.
    pub journey: JourneyId,
    /// The stage of the journey that asked.
    pub stage: Stage,
}

/// Where operations happen: sockets and the clock ([`crate::live`]), or queues and virtual time ([`crate::model`]).
pub trait World {
    /// The run clock.
    fn now(&self) -> Tick;

    /// Whether an operation may hold a descriptor of its own while it is under way.
    fn holds_descriptor(&self, _: &Operation) -> bool {
        true
    }

    /// Starts an operation; its outcome comes out of [`World::wait`]. Never blocks.
    fn perform(&mut self, id: OpId, visitor: &Visitor, operation: Operation);

    /// The journey is over: closes its connections, forgets its state. Operations of it that are still under way give no outcome.
    fn release(&mut self, journey: JourneyId);

    /// What the visitors' part in the swarms was like since this was last asked, by group, and what belongs to none: connections live
    /// between operations, and go on after them.
    fn swarm(&mut self) -> Vec<(Option<Group>, Swarm)> {
        Vec::new()
    }

    /// The next outcome, or `None` once the clock has reached `until`. Live: sleeps or polls; model: jumps.
    fn wait(&mut self, until: Tick) -> impl Future<Output = Option<(OpId, Outcome)>>;
}

/// What the observer is told. Every operation is `Planned` once, then `Released` or `Shed` once; a released one is `Settled` once.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The clock has reached this tick: sent at least once a second of the run, so that a recorder can close what lies before.
    Clock(Tick),
    /// A journey became due.
    JourneyDue(Tick),
    /// It was let go.
    JourneyReleased(Tick),
    /// It could not be let go.
    JourneyShed(Tick),
    /// It ended: `Ok` at the end of its intentions, `Failed` after a stage gave up, `Cut` with the run.
    JourneyEnded(Tick, Settled),
    /// An operation became due: its kind, when, and which try of the visitor it is (0 the first).
    Planned(Kind, Tick, u32),
    /// An operation was handed to the world: its kind, when it was due and when it was released.
    Released(Kind, Tick, Tick),
    /// An operation was not handed to the world: its kind, when it was due, and why not.
    Shed(Kind, Tick, Shed),
    /// A released operation ended.
    Settled(Observation),
    /// What the part in the swarms of a group of visitors, or of nobody that is known, was like, up to this tick.
    Swarm(Tick, Option<Group>, Box<Swarm>),
    /// A download has come to a milestone. Each that is begun has a first piece at most once, and ends once.
    Download(Group, Download),
    /// A part of an operation ended. `due` and `released` equal `started`.
    Part(Observation),
}

/// Why an operation was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shed {
    /// The worker had as many operations under way as it may.
    Full,
    /// The worker came too late for it.
    Late,
    /// The ceiling of the target's authorisation was reached.
    Ceiling,
}

/// One operation, measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What it was.
    pub kind: Kind,
    /// When it was intended.
    pub due: Tick,
    /// When it was handed to the world.
    pub released: Tick,
    /// When its first byte left.
    pub started: Tick,
    /// When it ended.
    pub ended: Tick,
    /// How it ended.
    pub settled: Settled,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Peers outside the allowed networks.
    pub foreign: u32,
    /// Retransmissions by the protocol.
    pub retransmits: u32,
    /// What its HTTP exchanges were like.
    pub web: Web,
    /// What was noticed about answers, and how often.
    pub oddities: Vec<(Oddity, u32)>,
    /// Which try of the visitor it was; 0 the first.
    pub attempt: u32,
    /// Region of the visitor.
    pub region: u8,
    /// Client of the visitor.
    pub client: u8,
    /// Access line of the visitor.
    pub access: u8,
    /// Content rank.
    pub content: u16,
}

/// How something that was released ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settled {
    /// As it should.
    Ok,
    /// Not as it should.
    Failed(Cause),
    /// Still under way when the run ended.
    Cut,
}

//! The steps of a journey.

use crate::plan::{AnnounceEvent, Logged, Origin, What};
use crate::scenario::Via;
use crate::unit::Tick;

use super::stage::{Ending, Facts, Machine, Step};
use super::{Cause, Operation, Outcome, Reply, Service};

/// Any step.
#[derive(Clone, Debug)]
pub(super) enum AnyMachine {
    Visit(Visit),
    Single(Single),
    Magnet(Magnet),
    Search(Search),
    Announce(Announce),
    Transfer(Transfer),
}

impl AnyMachine {
    /// The machine for an intention; a page has this many assets to fetch.
    pub(super) fn new(what: What, origin: Origin, assets: u32) -> Self {
        match (what, origin) {
            (What::Visit, Origin::Side(side)) => Self::Single(Single(Operation::Side(side))),
            (What::Visit, _) => Self::Visit(Visit { assets, fetched: 0 }),
            (What::Resolve, _) => Self::Single(Single(Operation::Resolve(Service::Index))),
            (What::Torrent, _) => Self::Single(Single(Operation::Torrent)),
            (What::Magnet, _) => Self::Magnet(Magnet),
            (What::Lookup, _) => Self::Search(Search),
            (What::Crawl, _) => Self::Single(Single(Operation::Crawl)),
            (What::Announce(event), Origin::Logged(logged)) => Self::Announce(Announce(event, Some(logged))),
            (What::Announce(event), _) => Self::Announce(Announce(event, None)),
            (What::Root, _) => Self::Single(Single(Operation::Root)),
            (What::Transfer { until }, _) => Self::Transfer(Transfer::new(until, Via::Swarm)),
            (What::Read { until }, _) => Self::Transfer(Transfer::new(until, Via::Gateway)),
        }
    }
}

impl Machine for AnyMachine {
    fn instead(&self, failed: &Operation, facts: &Facts) -> Operation {
        match self {
            Self::Visit(machine) => machine.instead(failed, facts),
            Self::Single(machine) => machine.instead(failed, facts),
            Self::Magnet(machine) => machine.instead(failed, facts),
            Self::Search(machine) => machine.instead(failed, facts),
            Self::Announce(machine) => machine.instead(failed, facts),
            Self::Transfer(machine) => machine.instead(failed, facts),
        }
    }

    fn begin(&mut self, due: Tick, facts: &mut Facts) -> Step {
        match self {
            Self::Visit(stage) => stage.begin(due, facts),
            Self::Single(stage) => stage.begin(due, facts),
            Self::Magnet(stage) => stage.begin(due, facts),
            Self::Search(stage) => stage.begin(due, facts),
            Self::Announce(stage) => stage.begin(due, facts),
            Self::Transfer(stage) => stage.begin(due, facts),
        }
    }

    fn resume(&mut self, outcome: &Outcome, facts: &mut Facts) -> Step {
        match self {
            Self::Visit(stage) => stage.resume(outcome, facts),
            Self::Single(stage) => stage.resume(outcome, facts),
            Self::Magnet(stage) => stage.resume(outcome, facts),
            Self::Search(stage) => stage.resume(outcome, facts),
            Self::Announce(stage) => stage.resume(outcome, facts),
            Self::Transfer(stage) => stage.resume(outcome, facts),
        }
    }
}

/// A page, then its assets one by one on the same connection.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Assets of the page.
    assets: u32,
    /// How many were asked for.
    fetched: u32,
}

impl Machine for Visit {
    fn begin(&mut self, due: Tick, _: &mut Facts) -> Step {
        Step::Do(Operation::Page, due)
    }

    fn resume(&mut self, outcome: &Outcome, _: &mut Facts) -> Step {
        if self.fetched == self.assets {
            return Step::End(Ending::Done);
        }
        self.fetched += 1;
        Step::Do(Operation::Asset(self.fetched - 1), outcome.ended)
    }
}

/// One operation and no more.
#[derive(Clone, Debug)]
pub(super) struct Single(Operation);

impl Machine for Single {
    fn begin(&mut self, due: Tick, _: &mut Facts) -> Step {
        Step::Do(self.0.clone(), due)
    }

    fn resume(&mut self, _: &Outcome, _: &mut Facts) -> Step {
        Step::End(Ending::Done)
    }
}

/// A magnet link: find peers in the DHT, ask them for the info dictionary. Where none of them gives it, others are looked for.
#[derive(Clone, Debug)]
pub(super) struct Magnet;

impl Machine for Magnet {
    fn begin(&mut self, due: Tick, _: &mut Facts) -> Step {
        Step::Do(Self::LOOKUP, due)
    }

    fn resume(&mut self, outcome: &Outcome, facts: &mut Facts) -> Step {
        if !matches!(outcome.result, Ok(Reply::Peers(_))) {
            return Step::End(Ending::Done);
        }
        if facts.peers.is_empty() {
            return Step::End(Ending::Failed(Cause::NoPeers));
        }
        Step::Do(Operation::PeerMetadata { peers: facts.peers.clone() }, outcome.ended)
    }

    fn instead(&self, _: &Operation, _: &Facts) -> Operation {
        Self::LOOKUP
    }
}

impl Magnet {
    const LOOKUP: Operation = Operation::Lookup { announce: false };
}

/// A lookup, then `announce_peer` to the nodes that it found. Peers are there to be used after the first.
#[derive(Clone, Debug)]
pub(super) struct Search;

impl Machine for Search {
    fn begin(&mut self, due: Tick, _: &mut Facts) -> Step {
        Step::Do(Operation::Lookup { announce: true }, due)
    }

    fn resume(&mut self, outcome: &Outcome, facts: &mut Facts) -> Step {
        if facts.searched.is_some() {
            return Step::End(Ending::Done);
        }
        facts.searched = Some(outcome.ended);
        Step::Do(Operation::AnnouncePeer, outcome.ended)
    }
}

/// One announce; what a log has of it counts for more than what the visitor knows.
#[derive(Clone, Debug)]
pub(super) struct Announce(AnnounceEvent, Option<Logged>);

impl Machine for Announce {
    fn begin(&mut self, due: Tick, facts: &mut Facts) -> Step {
        let Self(event, logged) = *self;
        let downloaded = facts.downloaded();
        let left = match event {
            AnnounceEvent::Completed => 0,
            _ => facts.size.saturating_sub(downloaded),
        };
        let operation = Operation::Announce {
            event,
            left: logged.and_then(|logged| logged.left).unwrap_or(left),
            downloaded: logged.and_then(|logged| logged.downloaded).unwrap_or(downloaded),
            numwant: logged.map(|logged| logged.numwant),
        };
        Step::Do(operation, due)
    }

    fn resume(&mut self, _: &Outcome, _: &mut Facts) -> Step {
        Step::End(Ending::Done)
    }
}

/// A handshake with one of the known peers or a web seed, or a connection to the gateway, then piece after piece from the first.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    via: Via,
    /// Part of the pieces that is fetched.
    until: f32,
    /// Pieces that are fetched before the visitor has enough.
    wanted: u32,
    /// Pieces of the content.
    last: u32,
}

impl Transfer {
    const fn new(until: f32, via: Via) -> Self {
        Self { via, until, wanted: 0, last: 0 }
    }

    fn open(&self, facts: &Facts) -> Operation {
        match self.via {
            Via::Swarm => Operation::Handshake { peers: facts.peers.clone() },
            Via::Gateway => Operation::Open,
        }
    }

    fn next(&self, due: Tick, facts: &Facts) -> Step {
        if facts.have == self.wanted {
            return Step::End(if self.wanted == self.last { Ending::Done } else { Ending::Aborted });
        }
        let index = facts.have;
        let piece = match self.via {
            Via::Swarm => Operation::Piece { index, until: self.wanted },
            Via::Gateway => Operation::Block { index },
        };
        Step::Do(piece, due)
    }
}

impl Machine for Transfer {
    fn begin(&mut self, due: Tick, facts: &mut Facts) -> Step {
        if self.via == Via::Swarm && facts.peers.is_empty() && !facts.web_seeds {
            return Step::End(Ending::Failed(Cause::NoPeers));
        }
        Step::Do(self.open(facts), due)
    }

    fn resume(&mut self, outcome: &Outcome, facts: &mut Facts) -> Step {
        if let Ok(Reply::Handshake { .. }) = outcome.result {
            self.last = facts.pieces;
            // An aborted transfer has fetched at least one piece: who gives up earlier shows up as a shorter funnel, not here.
            self.wanted =
                ((f64::from(self.last) * f64::from(self.until)).ceil() as u32).clamp(1, self.last.max(1));
        } else {
            facts.have += 1;
        }
        self.next(outcome.ended, facts)
    }

    /// With a piece goes the connection it was to come over: what follows is a handshake, beginning with another peer.
    fn instead(&self, failed: &Operation, facts: &Facts) -> Operation {
        let mut again = match failed {
            Operation::Handshake { .. } => failed.clone(),
            _ => self.open(facts),
        };
        again.ask_others_first();
        again
    }
}

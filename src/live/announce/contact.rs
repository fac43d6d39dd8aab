//! What a visitor keeps from announce to announce, and one announce from its beginning to its end.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::journey::{Cause, Oddity, Peer};
use crate::plan::AnnounceEvent;
use crate::unit::Tick;

use super::super::Clock;
use super::super::meter::Meter;
use super::super::swarm::{Before, Key, SwarmId, Swarms};
use super::super::tracker::{Announce, Answer, Refused};
use super::udp::ConnectionId;
use super::ws::Socket;

/// What a visitor keeps from announce to announce.
#[derive(Debug, Default)]
pub(in super::super) struct Contact {
    /// Trackers that failed it, one after the other, since one answered.
    pub(super) failed: Cell<usize>,
    /// Trackers that answered it, the last one first.
    answered: RefCell<SmallVec<[usize; 2]>>,
    /// What trackers want to be told again (BEP 3).
    ids: RefCell<Vec<(SocketAddr, Vec<u8>)>>,
    pub(super) connection: Cell<Option<ConnectionId>>,
    pub(super) socket: RefCell<Option<Socket>>,
    /// Until when a tracker does not want to be asked (BEP 31).
    barred: Cell<Option<(SocketAddr, Tick)>>,
    /// The swarm that it is in.
    joined: Cell<Option<SwarmId>>,
    presence: RefCell<Option<Presence>>,
}

impl Contact {
    /// Which turn the n-th tracker has within its tier: one that answered comes before the others (BEP 12).
    pub(super) fn turn(&self, n: usize) -> usize {
        self.answered.borrow().iter().position(|&answered| answered == n).unwrap_or(usize::MAX)
    }

    /// Whether it was at this tracker before.
    pub(super) fn knows(&self, tracker: SocketAddr) -> bool {
        self.joined.get().is_some_and(|(at, _)| at == tracker)
    }

    /// What this tracker wants to be told again.
    pub(super) fn tracker_id(&self, tracker: SocketAddr) -> Option<Vec<u8>> {
        self.ids.borrow().iter().find(|(at, _)| *at == tracker).map(|(_, id)| id.clone())
    }

    /// The n-th tracker, which is at this address, gave an answer.
    pub(super) fn note(&self, n: usize, tracker: SocketAddr, answer: &Answer) {
        self.failed.set(0);
        let mut answered = self.answered.borrow_mut();
        answered.retain(|former| *former != n);
        answered.insert(0, n);
        // One that it does not repeat stays as it is.
        if let Some(id) = &answer.tracker_id {
            let mut ids = self.ids.borrow_mut();
            ids.retain(|(at, _)| *at != tracker);
            ids.push((tracker, id.clone()));
        }
    }

    pub(super) fn is_barred(&self, tracker: SocketAddr, now: Tick) -> bool {
        self.barred.get().is_some_and(|(barred, until)| barred == tracker && now < until)
    }
}

/// Being in a swarm for as long as a connection lasts.
#[derive(Debug)]
struct Presence {
    swarms: Rc<RefCell<Swarms>>,
    id: SwarmId,
    key: Key,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.swarms.borrow_mut().gone(self.id, self.key);
    }
}

/// An announce under way. Dropped before its end, it was given up.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    swarms: &'a Rc<RefCell<Swarms>>,
    clock: Clock,
    contact: &'a Contact,
    id: SwarmId,
    key: Key,
    announce: &'a Announce,
    before: Before,
    over: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.swarms.borrow_mut().given_up(self.id, self.key);
            self.contact.failed.set(self.contact.failed.get() + 1);
        }
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn begin(
        swarms: &'a Rc<RefCell<Swarms>>,
        clock: Clock,
        contact: &'a Contact,
        id: SwarmId,
        key: Key,
        announce: &'a Announce,
    ) -> Self {
        let new = contact.joined.get() != Some(id);
        let before = swarms.borrow_mut().begin(id, key, new, clock.now());
        Self { swarms, clock, contact, id, key, announce, before, over: false }
    }

    /// The tracker gave no answer: where it wants to be left alone, it is.
    pub(super) fn refused(self, refused: Refused) -> Cause {
        if let Some(wait) = refused.retry_in {
            self.contact.barred.set(Some((self.id.0, self.clock.now() + wait)));
        }
        refused.cause
    }

    /// The tracker answered the peer at `own`.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] where that cannot be right.
    pub(super) fn answered(mut self, own: Peer, answer: Answer, meter: &Meter) -> Result<Vec<Peer>, Cause> {
        self.over = true;
        let stops = self.announce.event == AnnounceEvent::Stopped;
        let inside = self.contact.joined.get() == Some(self.id);
        let mut swarms = self.swarms.borrow_mut();
        // Where only the system knows the visitor's address, the tracker may know it too (BEP 24).
        let own = if own.ip().is_unspecified() {
            answer.external.map(|ip| SocketAddr::new(ip, own.port()))
        } else {
            Some(own)
        };
        let odd = swarms.judge(self.id, own, self.announce, &answer, &self.before);
        swarms.answered(self.id, self.key, self.announce, inside == stops, &answer, self.clock.now());
        drop(swarms);
        self.contact.joined.set(Some(self.id).filter(|_| !stops));
        if let Key::Id(_) = self.key {
            let presence = || Presence { swarms: Rc::clone(self.swarms), id: self.id, key: self.key };
            let goes_on = |former: &Presence| (former.id, former.key) == (self.id, self.key);
            let former = self.contact.presence.take().filter(goes_on);
            self.contact.presence.replace(Some(former.unwrap_or_else(presence)));
        }
        odd.iter().for_each(|&oddity| meter.odd(oddity, 1));
        if odd.iter().copied().any(Oddity::fails) { Err(Cause::Incorrect) } else { Ok(answer.peers) }
    }
}

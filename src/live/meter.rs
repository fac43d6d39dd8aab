//! What is counted while an operation is under way. It outlives the operation's future, so that an operation that is given up
//! still tells what it did.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::journey::{Cause, Oddity, Outcome, Part, Reply, Web};
use crate::unit::Tick;

use super::Clock;

/// Bytes are counted above the transport: HTTP bodies, whole datagrams, whole peer-wire messages.
#[derive(Debug)]
pub(super) struct Meter {
    clock: Clock,
    created: Tick,
    started: Cell<Option<Tick>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    foreign: Cell<u32>,
    retransmits: Cell<u32>,
    web: Cell<Web>,
    not_before: Cell<Option<Tick>>,
    oddities: RefCell<Vec<(Oddity, u32)>>,
    parts: RefCell<Vec<Part>>,
    overdue: Cell<Cause>,
}

impl Meter {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            created: clock.now(),
            started: Cell::new(None),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            foreign: Cell::new(0),
            retransmits: Cell::new(0),
            web: Cell::default(),
            not_before: Cell::new(None),
            oddities: RefCell::default(),
            parts: RefCell::default(),
            overdue: Cell::new(Cause::Timeout),
        }
    }

    /// The first byte, or the first attempt to get a connection, goes out now. Only the first call counts.
    pub(super) fn start(&self) {
        if self.started.get().is_none() {
            self.started.set(Some(self.clock.now()));
        }
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes_out.set(self.bytes_out.get() + bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
    }

    pub(super) fn foreign(&self, peers: u32) {
        self.foreign.set(self.foreign.get().saturating_add(peers));
    }

    pub(super) fn retransmitted(&self) {
        self.retransmits.set(self.retransmits.get() + 1);
    }

    /// Counts what an HTTP exchange was like.
    pub(super) fn web(&self, count: impl FnOnce(&mut Web)) {
        let mut web = self.web.get();
        count(&mut web);
        self.web.set(web);
    }

    /// What HTTP exchanges were like since this was last asked.
    pub(super) fn take_web(&self) -> Web {
        self.web.take()
    }

    /// The target does not want to be asked again before `pause` has passed.
    pub(super) fn asked_to_wait(&self, pause: Duration) {
        self.not_before.set(Some(self.clock.now() + pause));
    }

    pub(super) fn odd(&self, oddity: Oddity, times: u32) {
        self.oddities.borrow_mut().push((oddity, times));
    }

    pub(super) fn part(&self, part: Part) {
        self.parts.borrow_mut().push(part);
    }

    /// What it means if patience ends now: [`Cause::Timeout`] unless the target is known to say no by silence (a choking peer).
    pub(super) fn set_overdue(&self, cause: Cause) {
        self.overdue.set(cause);
    }

    /// The outcome of an operation that ended now; `None` says that patience ended first.
    pub(super) fn outcome(&self, result: Option<Result<Reply, Cause>>) -> Outcome {
        Outcome {
            started: self.started.get().unwrap_or(self.created),
            ended: self.clock.now(),
            result: result.unwrap_or(Err(self.overdue.get())),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            foreign: self.foreign.get(),
            retransmits: self.retransmits.get(),
            web: self.web.get(),
            not_before: self.not_before.get(),
            oddities: self.oddities.take(),
            parts: self.parts.take(),
        }
    }
}

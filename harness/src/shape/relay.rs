//! What relays of connections and of datagrams have in common: limits that change on a schedule, and counters.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::limits::Limits;
use super::{Protocol, RelayAssignment};

/// What a relay has seen. Everything counts from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Operations that came.
    pub operations: u64,
    /// Operations that reached the server.
    pub passed: u64,
    /// Operations that found too many waiting.
    pub turned_away: u64,
    /// Operations that were lost, or went into a black hole.
    pub dropped: u64,
    /// Connections that came.
    pub connections: u64,
    /// Connections that were reset because there were too many, or too many waiting.
    pub connections_turned_away: u64,
    /// Connections that are there now.
    pub open: u64,
    /// Connections, and datagrams, for which there was no server, no descriptor or no place in a buffer of the system.
    pub failed: u64,
    /// Bytes from clients to the server.
    pub bytes_in: u64,
    /// Bytes from the server to clients.
    pub bytes_out: u64,
    /// Operations that waited at once, at most.
    pub longest_queue: u64,
}

/// A relay, whatever it relays.
pub(super) struct Relay {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The server; nobody is served while there is none.
    pub(super) upstream: Cell<Option<SocketAddr>>,
    /// Least bytes of a datagram that is an operation.
    pub(super) smallest: usize,
    base: Limits,
    faults: RefCell<Vec<Fault>>,
    limits: RefCell<Limits>,
    pub(super) counters: RefCell<Counters>,
    rng: RefCell<fastrand::Rng>,
    on_change: RefCell<Vec<Listener>>,
}

type Listener = Box<dyn Fn(&Limits)>;

/// Limits that hold for a while.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    /// The connection that handed it over, by its number.
    pub(super) owner: u64,
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) set: Limits,
}

/// What becomes of an operation before it comes to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    On,
    /// It is lost on the way.
    Lost,
    /// Nothing is ever answered.
    Swallowed,
}

impl Relay {
    pub(super) fn new(assignment: RelayAssignment, address: SocketAddr, seed: u64) -> Rc<Self> {
        let RelayAssignment { name, protocol, upstream, smallest, limits, .. } = assignment;
        Rc::new(Self {
            name,
            protocol,
            address,
            upstream: Cell::new(upstream),
            smallest,
            limits: RefCell::new(limits.clone()),
            base: limits,
            faults: RefCell::default(),
            counters: RefCell::default(),
            rng: RefCell::new(fastrand::Rng::with_seed(seed)),
            on_change: RefCell::default(),
        })
    }

    pub(super) fn limits(&self) -> std::cell::Ref<'_, Limits> {
        self.limits.borrow()
    }

    /// Calls `listener` with the limits whenever they change.
    pub(super) fn on_change(&self, listener: impl Fn(&Limits) + 'static) {
        self.on_change.borrow_mut().push(Box::new(listener));
    }

    /// Whether these limits could hold here for a while.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn check(&self, set: &Limits) -> Result<(), String> {
        set.over(&self.base).check(self.protocol == Protocol::Tcp)
    }

    /// Other faults in the place of those that this owner had; what others have handed over stays.
    pub(super) fn schedule(&self, owner: u64, faults: Vec<Fault>) {
        let mut all = self.faults.borrow_mut();
        all.retain(|fault| fault.owner != owner);
        all.extend(faults);
        drop(all);
        self.refresh();
    }

    /// Lets those limits hold that are due now.
    pub(super) fn refresh(&self) {
        let now = Instant::now();
        let faults = self.faults.borrow();
        let active = faults.iter().filter(|fault| fault.from <= now && now < fault.until);
        let limits = active.fold(self.base.clone(), |limits, fault| fault.set.over(&limits));
        drop(faults);
        if *self.limits() == limits {
            return;
        }
        self.limits.replace(limits.clone());
        self.on_change.borrow().iter().for_each(|listener| listener(&limits));
    }

    /// Counts an operation that came, and says what becomes of it.
    pub(super) fn fate(&self) -> Fate {
        let limits = self.limits();
        let lost = limits.loss.is_some_and(|loss| self.rng.borrow_mut().f64() < loss);
        let mut counters = self.counters.borrow_mut();
        counters.operations += 1;
        if !lost && !limits.is_black_hole() {
            return Fate::On;
        }
        counters.dropped += 1;
        if limits.is_black_hole() { Fate::Swallowed } else { Fate::Lost }
    }

    /// Changes counters.
    pub(super) fn count(&self, change: impl FnOnce(&mut Counters)) {
        change(&mut self.counters.borrow_mut());
    }
}

//! The seam of a step: begin, resume, and what it asks for.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::profile::Target;
use crate::unit::Tick;

use super::{Cause, Operation, Outcome, Peer, Reply, Service};

/// How journeys behave, the same for all of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Drive each stage at its planned moments, whatever happens upstream.
    pub isolated: bool,
    /// Assets fetched with a page.
    pub assets: u32,
    /// Further tries after a failed operation.
    pub retries: u32,
    /// Pause before the first retry; doubled each time.
    pub retry_after: Duration,
    /// Bytes of each content, by rank: what an announce says is left before the metadata is known.
    pub sizes: Vec<u64>,
    /// Class of each content, by rank.
    pub classes: Vec<u16>,
    /// Seeds that are known beforehand: used where an isolated transfer has no tracker or DHT answer to go by.
    pub seeds: Vec<Peer>,
    /// What is resolved before it is used.
    pub names: Names,
}

/// Which servers visitors know by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// These; the addresses of the others are known.
    pub services: Vec<Service>,
    /// Share of the visitors whose machine or network has a name in its cache when they come [assumed].
    pub cached: f64,
}

impl Names {
    /// Those of a target that names resolvers; nothing is resolved for any other.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        let Some(dns) = &target.dns else { return Self::default() };
        let named =
            |service: &Service| service.endpoint(target).is_some_and(|server| server.name().is_some());
        Self { services: Service::ALL.into_iter().filter(named).collect(), cached: dns.cached }
    }

    /// Whether a visitor resolves the name of `service`: its own seed says whether the name was cached when it came.
    pub(super) fn resolves(&self, service: Service, seed: u64) -> bool {
        let chance = || SplitMix64::seed_from_u64(seed ^ (0x6e61_6d65 + service as u64)).random::<f64>();
        self.services.contains(&service) && chance() >= self.cached
    }
}

/// What a step's machine wants next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// This operation, intended for this moment.
    Do(Operation, Tick),
    /// Nothing more.
    End(Ending),
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It got what it wanted.
    Done,
    /// The visitor had enough before the end (an aborted transfer): as intended, but nothing follows from it.
    Aborted,
    /// It gave up.
    Failed(Cause),
}

/// What a visitor has learned on its way.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Peers of the swarm, in order of discovery.
    pub(super) peers: Vec<Peer>,
    /// Bytes of the content.
    pub(super) size: u64,
    /// Pieces of the content; 0 while unknown.
    pub(super) pieces: u32,
    /// Whether web seeds can be asked for it.
    pub(super) web_seeds: bool,
    /// Pieces that were fetched.
    pub(super) have: u32,
    /// When its own lookup was over.
    pub(super) searched: Option<Tick>,
    /// Until when each service's address is known, in order of [`Service::ALL`].
    pub(super) resolved: [Option<Tick>; Service::ALL.len()],
}

impl Facts {
    /// Most peers that a visitor remembers (libtorrent's `max_peerlist_size` is far larger, but nobody asks that many).
    const MAX_PEERS: usize = 200;

    /// Takes over what a reply says.
    pub(super) fn learn(&mut self, reply: &Reply) {
        match reply {
            Reply::Peers(peers) => {
                for peer in peers {
                    if self.peers.len() < Self::MAX_PEERS && !self.peers.contains(peer) {
                        self.peers.push(*peer);
                    }
                }
            }
            Reply::Metadata { pieces, size, web_seeds } => {
                (self.pieces, self.size, self.web_seeds) = (*pieces, *size, *web_seeds);
            }
            Reply::Handshake { pieces, size } => (self.pieces, self.size) = (*pieces, *size),
            Reply::Done | Reply::Resolved { .. } => {}
        }
    }

    /// Bytes fetched so far; pieces are taken as equally long.
    pub(super) fn downloaded(&self) -> u64 {
        if self.pieces == 0 { 0 } else { self.size * u64::from(self.have) / u64::from(self.pieces) }
    }
}

/// One planned step of a journey as a state machine of its own. It sees successes only: failures are retried, and given up, by the
/// journey, the same way for every step.
pub(super) trait Machine {
    /// The first thing it wants, intended for `due`.
    fn begin(&mut self, due: Tick, facts: &mut Facts) -> Step;
    /// What it wants after its operation succeeded; the facts have learned from the outcome already.
    fn resume(&mut self, outcome: &Outcome, facts: &mut Facts) -> Step;
    /// What is to be tried again in the place of an operation that failed.
    fn instead(&self, failed: &Operation, _: &Facts) -> Operation {
        let mut again = failed.clone();
        again.ask_others_first();
        again
    }
}

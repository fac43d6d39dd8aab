//! DHT lookups of visitors (BEP 5): drives a [`Lookup`] over UDP.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::journey::{Cause, Kind, Part, Peer};
use crate::unit::Tick;

use super::krpc::{self, Id, Node};
use super::lookup::{K, Lookup, distance};
use super::meter::Meter;
use super::udp::{self, Inbox, Pool, Ticket};
use super::{Clock, Guard};

/// Good nodes that a worker remembers, as the routing tables of its visitors' clients would.
const MAX_REMEMBERED: usize = 256;
/// How long a node is good after its last answer (BEP 5).
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);
/// Peers of one lookup; more are not of use to a visitor.
const MAX_PEERS: usize = 1_000;

/// How long a query is waited for (libtorrent).
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryTimes {
    /// Then others are asked in its stead.
    pub(super) short: Duration,
    /// Then it has failed.
    pub(super) long: Duration,
}

impl QueryTimes {
    /// Libtorrent's.
    pub(super) const USUAL: Self = Self { short: Duration::from_secs(1), long: Duration::from_secs(15) };
}

/// A worker's way into the DHT.
#[derive(Debug)]
pub(super) struct Dht {
    guard: Arc<Guard>,
    clock: Clock,
    bootstrap: Vec<SocketAddr>,
    pool: Pool,
    good: RefCell<VecDeque<(Node, Tick)>>,
    times: QueryTimes,
}

/// What a lookup is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// What the visitor's source address follows from.
    pub(super) source: u64,
    /// Id of the visitor's own node.
    pub(super) own: Id,
    pub(super) info_hash: Id,
    /// Announce a peer on this port afterwards.
    pub(super) announce: Option<u16>,
}

impl Dht {
    /// Opens the sockets; within a `LocalSet`. All bootstrap nodes are of one address family; nodes of the other are not asked.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        bootstrap: Vec<SocketAddr>,
        worker: u32,
        times: QueryTimes,
    ) -> io::Result<Self> {
        let pool = match bootstrap.first() {
            Some(&towards) => Pool::open(guard, clock, towards, worker, krpc::transaction)?,
            None => Pool::default(),
        };
        Ok(Self { guard: Arc::clone(guard), clock, bootstrap, pool, good: RefCell::default(), times })
    }

    /// Looks the info-hash up and, where asked, announces to the closest nodes. Returns every peer that was named.
    ///
    /// # Errors
    /// [`Cause::NoPeers`] where there is no node to begin at; where no node answered, the cause of the last failure; the same
    /// where nobody took the announce.
    pub(super) async fn search(&self, search: Search, meter: &Meter) -> Result<Vec<Peer>, Cause> {
        let port = self.pool.port(search.source).ok_or(Cause::NoPeers)?;
        let inbox = Inbox::default();
        let ask = |to, query: &dyn Fn(u32) -> Vec<u8>| {
            let ticket = port.ticket(to, &inbox)?;
            let datagram = query(ticket.transaction);
            Ok::<_, Cause>((ticket, datagram))
        };
        let mut lookup = Lookup::new(search.info_hash, self.remembered(&search.info_hash), self.bootstrap());
        let mut flights = Flights::new(self.clock, self.times, meter);
        let mut peers = Vec::new();
        let mut last = Cause::NoPeers;
        let mut answers = 0_u32;
        while !lookup.is_over() {
            while let Some(to) = lookup.next_query() {
                let (ticket, datagram) = ask(to, &|id| krpc::get_peers(id, &search.own, &search.info_hash))?;
                flights.launch(ticket, &datagram).await?;
            }
            match flights.landing(&inbox).await {
                Landing::Slow(from) => lookup.slow(from),
                Landing::Lost(from) => {
                    last = Cause::Timeout;
                    self.forget(from);
                    lookup.failed(from);
                }
                Landing::Answer(flight, answer) => {
                    let from = flight.ticket.peer;
                    let result = krpc::read(&answer.data).and_then(|answer| {
                        let honest = lookup.answered(from, answer.id, answer.token.clone());
                        if honest { Ok(answer) } else { Err(Cause::Incorrect) }
                    });
                    flights.record(&flight, answer.at, result.as_ref().map(|_| ()).map_err(|&cause| cause));
                    match result {
                        Ok(answer) => {
                            answers += 1;
                            self.remember(Node { id: answer.id, address: from });
                            lookup.offer(self.allowed(answer.nodes, meter));
                            peers.extend(
                                answer.peers.into_iter().take(MAX_PEERS - peers.len().min(MAX_PEERS)),
                            );
                        }
                        Err(cause) => {
                            last = cause;
                            self.forget(from);
                            lookup.failed(from);
                        }
                    }
                }
            }
        }
        flights.give_up_slow();
        if answers == 0 {
            return Err(last);
        }
        if let Some(own_port) = search.announce {
            for (to, token) in lookup.holders() {
                let query = |id| krpc::announce_peer(id, &search.own, &search.info_hash, own_port, token);
                let (ticket, datagram) = ask(to, &query)?;
                flights.launch(ticket, &datagram).await?;
            }
            flights.acknowledged(&inbox).await?;
        }
        let mut seen = HashSet::new();
        peers.retain(|&peer| seen.insert(peer));
        Ok(peers)
    }

    /// The bootstrap nodes, as long as too few others are known.
    fn bootstrap(&self) -> impl Iterator<Item = SocketAddr> {
        let needed = self.good.borrow().len() < K;
        self.bootstrap.iter().copied().filter(move |_| needed)
    }

    /// The nodes that may be contacted and can be; the others that may not are counted.
    fn allowed(&self, nodes: Vec<Node>, meter: &Meter) -> impl Iterator<Item = Node> {
        nodes.into_iter().filter(move |node| {
            let allowed = self.guard.allows(node.address);
            meter.foreign(u32::from(!allowed));
            allowed && self.bootstrap.iter().any(|it| it.is_ipv4() == node.address.is_ipv4())
        })
    }

    /// The closest good nodes.
    fn remembered(&self, key: &Id) -> Vec<Node> {
        let now = self.clock.now();
        let mut good = self.good.borrow_mut();
        good.retain(|(_, seen)| now.since(*seen) < GOOD_FOR);
        let mut nodes: Vec<Node> = good.iter().map(|(node, _)| *node).collect();
        nodes.sort_unstable_by_key(|node| distance(key, &node.id));
        nodes.truncate(K);
        nodes
    }

    fn remember(&self, node: Node) {
        let now = self.clock.now();
        let mut good = self.good.borrow_mut();
        if let Some(known) = good.iter_mut().find(|(known, _)| known.address == node.address) {
            *known = (node, now);
            return;
        }
        if good.len() >= MAX_REMEMBERED {
            good.pop_front();
        }
        good.push_back((node, now));
    }

    fn forget(&self, address: SocketAddr) {
        self.good.borrow_mut().retain(|(node, _)| node.address != address);
    }
}

/// A query under way.
#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    started: Tick,
    slow: bool,
}

/// The queries of one lookup that are under way. Those that patience cuts off are recorded as timed out.
struct Flights<'a> {
    clock: Clock,
    times: QueryTimes,
    meter: &'a Meter,
    list: Vec<Flight>,
}

enum Landing {
    Answer(Flight, udp::Answer),
    Slow(SocketAddr),
    Lost(SocketAddr),
}

impl Drop for Flights<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        for flight in &self.list {
            self.record(flight, now, Err(Cause::Timeout));
        }
    }
}

impl<'a> Flights<'a> {
    fn new(clock: Clock, times: QueryTimes, meter: &'a Meter) -> Self {
        Self { clock, times, meter, list: Vec::new() }
    }

    async fn launch(&mut self, ticket: Ticket, datagram: &[u8]) -> Result<(), Cause> {
        self.meter.start();
        let started = self.clock.now();
        ticket.send(datagram).await?;
        self.meter.sent(datagram.len());
        self.list.push(Flight { ticket, started, slow: false });
        Ok(())
    }

    /// The next thing that happens to a query.
    async fn landing(&mut self, inbox: &Inbox) -> Landing {
        loop {
            // Without a query under way a lookup is over, so that there always is one to wait for.
            let next = self.list.iter().map(|flight| self.deadline(flight)).min().unwrap_or(Tick::MAX);
            let wait = next.since(self.clock.now());
            match tokio::time::timeout(wait, inbox.pop()).await {
                Ok(answer) => {
                    self.meter.received(answer.data.len());
                    let found = self.list.iter().position(|it| it.ticket.transaction == answer.transaction);
                    if let Some(at) = found {
                        return Landing::Answer(self.list.swap_remove(at), answer);
                    }
                }
                Err(_) => {
                    if let Some(landing) = self.overdue() {
                        return landing;
                    }
                }
            }
        }
    }

    fn deadline(&self, flight: &Flight) -> Tick {
        flight.started + if flight.slow { self.times.long } else { self.times.short }
    }

    fn overdue(&mut self) -> Option<Landing> {
        let now = self.clock.now();
        let at = self.list.iter().position(|flight| self.deadline(flight) <= now)?;
        let flight = self.list.get_mut(at)?;
        if !flight.slow {
            flight.slow = true;
            return Some(Landing::Slow(flight.ticket.peer));
        }
        let flight = self.list.swap_remove(at);
        self.record(&flight, now, Err(Cause::Timeout));
        Some(Landing::Lost(flight.ticket.peer))
    }

    fn record(&self, flight: &Flight, at: Tick, result: Result<(), Cause>) {
        let took = at.since(flight.started);
        self.meter.part(Part { kind: Kind::Query, started: flight.started, took, result });
    }

    /// The lookup is over: slow queries have failed, the others do not matter any more.
    fn give_up_slow(&mut self) {
        let now = self.clock.now();
        for flight in std::mem::take(&mut self.list) {
            if flight.slow {
                self.record(&flight, now, Err(Cause::Timeout));
            }
        }
    }

    /// Waits for the answers to announces, not longer than the short time-out for any: no client waits for stragglers here.
    async fn acknowledged(&mut self, inbox: &Inbox) -> Result<(), Cause> {
        let mut result = Err(Cause::Rejected);
        while !self.list.is_empty() {
            match self.landing(inbox).await {
                Landing::Answer(flight, answer) => {
                    let taken = krpc::read(&answer.data).map(|_| ());
                    self.record(&flight, answer.at, taken);
                    result = result.or(taken);
                }
                Landing::Slow(from) => {
                    let now = self.clock.now();
                    let late =
                        self.list.extract_if(.., |flight| flight.ticket.peer == from).collect::<Vec<_>>();
                    late.iter().for_each(|flight| self.record(flight, now, Err(Cause::Timeout)));
                    result = result.or(Err(Cause::Timeout));
                }
                Landing::Lost(_) => {}
            }
        }
        result
    }
}

#[cfg(test)]
mod tests;

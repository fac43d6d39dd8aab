//! The DHT as visitors use it (BEP 5, 32, 42, 43): as nodes that ask and, where they can be reached, answer.
//!
//! A visitor keeps its routing table, and the tokens that it was given, from operation to operation ([`OwnNode`]). Visitors at one address
//! are one node, which answers once one of them can be reached ([`Nodes`]); others say with `ro` that they do not. Where the target names
//! nodes of both address families there are two networks, which every lookup searches at the same time (BEP 32).

mod announced;
mod flights;
mod id;
mod node;
mod table;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::journey::{Cause, Oddity, Peer};
use crate::profile::{DhtHabits, DhtNodes, Target};
use crate::unit::Tick;

use super::krpc::{self, Answer, Fault, Id, Node, Query, Want};
use super::lookup::{Breadth, Lookup};
use super::meter::Meter;
use super::source::Sources;
use super::udp::{Inbox, Pool, Port, Serve, Served, Ticket};
use super::{Clock, Guard};

use flights::{Flights, Landing};
use node::Nodes;
use table::Table;

/// Peers of one lookup; more are not of use to a visitor.
const MAX_PEERS: usize = 1_000;
/// With fewer nodes than this a lookup asks the bootstrap nodes too (libtorrent's `find_data`).
const ENOUGH: usize = 3;
/// Longest pause, in seconds, that a node may ask of those who sample it (BEP 51).
const MAX_SAMPLE_INTERVAL: i64 = 21_600;
/// How long nodes accept a token (BEP 5).
const TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);

/// A worker's way into the DHT.
#[derive(Debug)]
pub(super) struct Dht {
    guard: Arc<Guard>,
    clock: Clock,
    expected: DhtNodes,
    networks: Vec<Network>,
    nodes: Rc<RefCell<Nodes>>,
}

/// The DHT of one address family.
#[derive(Debug)]
struct Network {
    bootstrap: Vec<SocketAddr>,
    pool: Pool,
}

/// The worker's nodes at its sockets.
#[derive(Debug)]
struct Answering {
    nodes: Rc<RefCell<Nodes>>,
    clock: Clock,
}

impl Serve for Answering {
    fn serve(&self, datagram: &[u8], from: SocketAddr, local: IpAddr) -> Served {
        self.nodes.borrow_mut().serve(datagram, from, local, self.clock.now())
    }
}

/// What a visitor's node keeps, until the visitor leaves.
#[derive(Debug, Default)]
pub(super) struct OwnNode {
    tables: [RefCell<Option<Table>>; 2],
    holders: RefCell<Vec<Holder>>,
    present: RefCell<Vec<Presence>>,
}

/// A peer that was announced, and is there. Dropping it says that it is not any more to those of its worker's nodes that were told of it;
/// nothing says so to the others, as in BEP 5.
#[derive(Debug)]
struct Presence {
    peer: SocketAddr,
    nodes: Rc<RefCell<Nodes>>,
    clock: Clock,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.nodes.borrow_mut().left(self.peer, self.clock.now());
    }
}

/// A node that takes announces.
#[derive(Clone, Debug)]
struct Holder {
    network: usize,
    address: SocketAddr,
    token: Vec<u8>,
    since: Tick,
}

/// Who searches for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search<'a> {
    /// Seed of the visitor: its table.
    pub(super) seed: u64,
    /// What the visitor's source address follows from, and so its node's id.
    pub(super) source: u64,
    /// Whether others can ask it something.
    pub(super) reachable: bool,
    pub(super) habits: &'a DhtHabits,
    pub(super) node: &'a OwnNode,
    pub(super) info_hash: Id,
}

/// What a walk through the network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// The nodes around an id.
    Nodes,
    /// Peers.
    Peers,
    /// Peers, and tokens to announce with.
    Tokens,
    /// Info-hashes that nodes hold.
    Samples,
}

/// One visitor in one network.
struct Walker<'a> {
    dht: &'a Dht,
    network: usize,
    port: Port,
    own: Id,
    read_only: bool,
    search: Search<'a>,
    meter: &'a Meter,
    inbox: Inbox,
    /// Nodes of either family that the walk through the other network has heard of.
    heard: &'a [RefCell<Vec<Node>>; 2],
}

impl Dht {
    /// Opens the sockets; within a `LocalSet`. The scenario's clock is `speed` times as fast as the run's.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        target: &Target,
        sources: &Sources,
        speed: f64,
    ) -> io::Result<Self> {
        let mut networks = Vec::new();
        for ipv6 in [false, true] {
            let bootstrap: Vec<_> = target.dht.iter().copied().filter(|it| it.is_ipv6() == ipv6).collect();
            if let Some(&towards) = bootstrap.first() {
                let pool = Pool::open(guard, clock, towards, sources, krpc::transaction)?;
                networks.push(Network { bootstrap, pool });
            }
        }
        // The port differs from run to run: nodes do not take a known id at a new port, so that ids must differ too.
        let number = networks.iter().map(|network| network.pool.number()).max().unwrap_or(0);
        let seed = u64::from(sources.worker) << 16 | u64::from(number);
        let nodes = Rc::new(RefCell::new(Nodes::new(seed, speed)));
        for network in &networks {
            network.pool.serve(Rc::new(Answering { nodes: Rc::clone(&nodes), clock }));
        }
        Ok(Self { guard: Arc::clone(guard), clock, expected: target.dht_nodes, networks, nodes })
    }

    /// Looks the info-hash up. Returns every peer that was named; with `tokens`, the visitor's node keeps what an announce needs.
    ///
    /// # Errors
    /// [`Cause::NoPeers`] where there is no node to begin at; where no node gave a good answer, the cause of the last failure.
    pub(super) async fn search(
        &self,
        search: Search<'_>,
        tokens: bool,
        meter: &Meter,
    ) -> Result<Vec<Peer>, Cause> {
        self.walk_all(search, if tokens { Goal::Tokens } else { Goal::Peers }, meter).await
    }

    /// Gathers info-hashes on the way to the place that `search` names.
    ///
    /// # Errors
    /// As [`Dht::search`]. Nodes that do not know BEP 51 refuse, or answer as to `find_node`, which is how it falls back.
    pub(super) async fn crawl(&self, search: Search<'_>, meter: &Meter) -> Result<(), Cause> {
        let mut info_hash = [0; 20];
        SplitMix64::seed_from_u64(search.seed ^ CRAWL_STREAM).fill_bytes(&mut info_hash);
        self.walk_all(Search { info_hash, ..search }, Goal::Samples, meter).await.map(drop)
    }

    async fn walk_all(&self, search: Search<'_>, goal: Goal, meter: &Meter) -> Result<Vec<Peer>, Cause> {
        search.node.holders.take();
        let heard = <[RefCell<Vec<Node>>; 2]>::default();
        let walk = async |network| {
            let walker = self.walker(network, search, meter, &heard)?;
            walker.search(goal).await
        };
        let found = match self.networks.len() {
            0 => Err(Cause::NoPeers),
            1 => walk(0).await,
            _ => match tokio::join!(walk(0), walk(1)) {
                (Ok(four), Ok(six)) => Ok([four, six].concat()),
                (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
                (Err(cause), Err(_)) => Err(cause),
            },
        };
        let mut seen = HashSet::new();
        found.map(|mut peers| {
            peers.retain(|&peer| seen.insert(peer));
            peers
        })
    }

    /// Announces a peer on `port` to the nodes of the last lookup that gave tokens; one that `leaves` is there as long as its visitor.
    ///
    /// # Errors
    /// [`Cause::NoPeers`] where there is no such node, or its token is too old; where nobody took it, what the last one did.
    pub(super) async fn announce(
        &self,
        search: Search<'_>,
        (port, leaves): (u16, bool),
        meter: &Meter,
    ) -> Result<(), Cause> {
        let now = self.clock.now();
        if leaves {
            let locals = self.networks.iter().map(|network| network.pool.port(search.source).local);
            let presence = |local| Presence {
                peer: SocketAddr::new(local, port),
                nodes: Rc::clone(&self.nodes),
                clock: self.clock,
            };
            search.node.present.replace(locals.map(presence).collect());
        }
        let mut holders = search.node.holders.borrow().clone();
        holders.retain(|holder| now.since(holder.since) < TOKEN_LIFE);
        let heard = Default::default();
        let inbox = Inbox::default();
        let mut flights = Flights::new(self.clock, search.habits, meter);
        for holder in &holders {
            let walker = self.walker(holder.network, search, meter, &heard)?;
            let query = Query::AnnouncePeer { info_hash: &search.info_hash, port, token: &holder.token };
            let ticket = walker.port.ticket(holder.address, &inbox)?;
            let datagram = walker.encode(&query, &ticket);
            flights.launch(ticket, &datagram)?;
        }
        flights.acknowledged(&inbox, |_, _| ()).await
    }

    fn walker<'a>(
        &'a self,
        network: usize,
        search: Search<'a>,
        meter: &'a Meter,
        heard: &'a [RefCell<Vec<Node>>; 2],
    ) -> Result<Walker<'a>, Cause> {
        let pool = &self.networks.get(network).ok_or(Cause::NoPeers)?.pool;
        let port = pool.port(search.source);
        let mut nodes = self.nodes.borrow_mut();
        if search.reachable {
            nodes.open(port.local);
        }
        let (own, read_only) = (nodes.id(port.local), !nodes.is_open(port.local));
        Ok(Walker { dht: self, network, port, own, read_only, search, meter, inbox: Inbox::default(), heard })
    }
}

/// What keeps the place that it crawls towards apart.
const CRAWL_STREAM: u64 = 0x6372_6177;

impl Walker<'_> {
    fn network(&self) -> &Network {
        &self.dht.networks[self.network]
    }

    fn encode(&self, query: &Query<'_>, ticket: &Ticket) -> Vec<u8> {
        query.encode(ticket.transaction, &self.own, self.read_only)
    }

    async fn search(&self, goal: Goal) -> Result<Vec<Peer>, Cause> {
        let own_table = &self.search.node.tables[self.network];
        let kept = own_table.take();
        let mut table = match kept {
            Some(table) => table,
            None => self.first_table().await?,
        };
        let now = self.dht.clock.now();
        let width = self.search.habits.width as usize;
        let nearest = table.closest(&self.search.info_hash, width, now);
        let bootstrap = if nearest.len() < ENOUGH { self.network().bootstrap.clone() } else { Vec::new() };
        let mut lookup = Lookup::new(self.search.info_hash, self.breadth(), nearest, bootstrap);
        let found = self.walk(&mut lookup, goal, &mut table).await;
        self.dht.nodes.borrow_mut().learn(self.port.local, &table);
        own_table.replace(Some(table));
        if goal == Goal::Tokens {
            let since = self.dht.clock.now();
            let holder = |(address, token): (_, &[u8])| Holder {
                network: self.network,
                address,
                token: token.to_vec(),
                since,
            };
            self.search.node.holders.borrow_mut().extend(lookup.holders().map(holder));
        }
        self.network().pool.count_strays(self.meter);
        found
    }

    /// The table that the visitor comes with. One that is fresh, or cannot be otherwise since the worker itself knows nobody yet, is filled
    /// as a client fills it when it begins: with a lookup of its own id.
    async fn first_table(&self) -> Result<Table, Cause> {
        let Search { seed, habits, .. } = self.search;
        let is_fresh = SplitMix64::seed_from_u64(seed ^ FRESH_STREAM).random::<f64>() < habits.fresh;
        let now = self.dht.clock.now();
        let mut table = Table::fresh(self.own);
        if !is_fresh {
            table = self.dht.nodes.borrow().known[self.family()].table(self.own, seed, now);
        }
        if !table.closest(&self.own, 1, now).is_empty() {
            return Ok(table);
        }
        if habits.pings {
            self.ping(&mut table).await?;
        }
        let bootstrap = self.network().bootstrap.iter().copied();
        let mut lookup = Lookup::new(self.own, self.breadth(), [], bootstrap);
        self.walk(&mut lookup, Goal::Nodes, &mut table).await?;
        Ok(table)
    }

    async fn ping(&self, table: &mut Table) -> Result<(), Cause> {
        let mut flights = Flights::new(self.dht.clock, self.search.habits, self.meter);
        for &node in &self.network().bootstrap {
            let ticket = self.port.ticket(node, &self.inbox)?;
            let datagram = self.encode(&Query::Ping, &ticket);
            flights.launch(ticket, &datagram)?;
        }
        let heard = |address, answer: &Answer| self.met(Node { id: answer.id, address }, table);
        flights.acknowledged(&self.inbox, heard).await
    }

    /// Follows a lookup to its end. The peers that were named on the way.
    async fn walk(&self, lookup: &mut Lookup, goal: Goal, table: &mut Table) -> Result<Vec<Peer>, Cause> {
        let mut flights = Flights::new(self.dht.clock, self.search.habits, self.meter);
        let mut peers = Vec::new();
        let mut last = Cause::NoPeers;
        let mut answers = 0_u32;
        while !lookup.is_over() {
            lookup.offer(self.heard[self.family()].take());
            while let Some(to) = lookup.next_query() {
                let ticket = self.port.ticket(to, &self.inbox)?;
                let datagram = self.encode(&self.query(goal), &ticket);
                flights.launch(ticket, &datagram)?;
            }
            match flights.landing(&self.inbox).await {
                Landing::Slow(from) => lookup.slow(from),
                Landing::Lost(from, cause) => {
                    last = cause;
                    self.lost(from, table);
                    lookup.failed(from);
                }
                Landing::Answer(flight, at, datagram) => {
                    let from = flight.ticket.peer;
                    let result = self.read(&datagram, from, lookup, goal);
                    flights.record(&flight, at, result.as_ref().map(|_| ()).map_err(|&cause| cause));
                    match result {
                        Ok(answer) => {
                            answers += 1;
                            self.met(Node { id: answer.id, address: from }, table);
                            lookup.answered(from, answer.id, answer.token);
                            lookup.offer(self.usable(answer.nodes));
                            let room = MAX_PEERS - peers.len().min(MAX_PEERS);
                            peers.extend(answer.peers.into_iter().take(room));
                        }
                        Err(cause) => {
                            last = cause;
                            self.lost(from, table);
                            lookup.failed(from);
                        }
                    }
                }
            }
        }
        flights.give_up_slow();
        if answers == 0 { Err(last) } else { Ok(peers) }
    }

    fn query(&self, goal: Goal) -> Query<'_> {
        let want = if self.dht.networks.len() > 1 { Want::Both } else { Want::Same };
        match goal {
            Goal::Nodes => Query::FindNode { target: &self.own, want },
            Goal::Samples => Query::SampleInfohashes { target: &self.search.info_hash, want },
            Goal::Peers | Goal::Tokens => Query::GetPeers { info_hash: &self.search.info_hash, want },
        }
    }

    fn breadth(&self) -> Breadth {
        let DhtHabits { alpha, width, .. } = *self.search.habits;
        Breadth { alpha: alpha as usize, width: width as usize }
    }

    /// 0 for IPv4, 1 for IPv6: whose nodes this network is made of.
    fn family(&self) -> usize {
        usize::from(self.network().bootstrap.iter().any(SocketAddr::is_ipv6))
    }

    /// Reads an answer and holds it against the question.
    fn read(&self, datagram: &[u8], from: SocketAddr, lookup: &Lookup, goal: Goal) -> Result<Answer, Cause> {
        let answer = krpc::read(datagram).map_err(|fault| {
            if fault == Fault::Length {
                self.meter.odd(Oddity::Length, 1);
            }
            fault.cause()
        })?;
        if let Some(address) = answer.seen_as {
            self.dht.nodes.borrow_mut().seen_as(address);
        }
        let is_bound = self.dht.expected.check_local_ids || !id::is_local(from.ip());
        if is_bound && !id::allows(from.ip(), &answer.id) {
            self.meter.odd(Oddity::InsecureId, 1);
        }
        match self.wrong(&answer, lookup.known_id(from), goal) {
            None => Ok(answer),
            Some(oddity) => {
                self.meter.odd(oddity, 1);
                Err(Cause::Incorrect)
            }
        }
    }

    /// What is wrong with a well-formed answer, if anything is.
    fn wrong(&self, answer: &Answer, known: Option<Id>, goal: Goal) -> Option<Oddity> {
        let of = |ipv6: bool| answer.nodes.iter().filter(|node| node.address.is_ipv6() == ipv6).count();
        let most = self.dht.expected.k as usize;
        if known.is_some_and(|known| known != answer.id) {
            Some(Oddity::OtherId)
        } else if of(false) > most || of(true) > most {
            Some(Oddity::TooMany)
        } else if answer.samples.is_some_and(|it| !(0..=MAX_SAMPLE_INTERVAL).contains(&it.interval)) {
            Some(Oddity::Interval)
        } else {
            (goal == Goal::Tokens && answer.token.is_none()).then_some(Oddity::NoToken)
        }
    }

    /// The nodes that may be contacted in this network, without the own one. Those of the other network are told to the walk there; the
    /// others are counted.
    fn usable(&self, nodes: Vec<Node>) -> Vec<Node> {
        let own = self.family();
        let mut usable = Vec::new();
        for node in nodes {
            let family = usize::from(node.address.is_ipv6());
            if !self.dht.guard.allows(node.address) {
                self.meter.foreign(1);
            } else if family == own {
                if node.id != self.own {
                    usable.push(node);
                }
            } else if self.dht.networks.len() > 1 {
                self.heard[family].borrow_mut().push(node);
            }
        }
        usable
    }

    fn met(&self, node: Node, table: &mut Table) {
        let now = self.dht.clock.now();
        table.add(node, now);
        self.dht.nodes.borrow_mut().known[self.family()].add(node, now);
    }

    fn lost(&self, address: SocketAddr, table: &mut Table) {
        table.remove(address);
        self.dht.nodes.borrow_mut().known[self.family()].remove(address);
    }
}

/// What keeps the draw of whether a node is fresh apart.
const FRESH_STREAM: u64 = 0x0066_7265_7368;

#[cfg(test)]
mod tests;

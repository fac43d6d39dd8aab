//! From an operation to the protocol that performs it.

mod gateway;
mod lookups;
mod pages;
mod swarm;
mod web_seeds;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::journey::{Cause, Group, Operation, Peer, Reply, Service, Swarm, Visitor};
use crate::plan::AnnounceEvent;
use crate::profile::{
    Client, ContentItem, HttpVersion, InfoHash, Target, TorrentItem, TrackerKind, Transport,
};
use crate::scenario::Scenario;

use super::announce::{Announcer, Asker, Contact, RETRANSMIT};
use super::client::{self, Clients, Persona, Seat};
use super::dht::{Dht, OwnNode};
use super::dns::{Stub, StubTimes, Wanted};
use super::gateway::Reader;
use super::http::{Agent, Browser, Kept, Pool, Request};
use super::metainfo::{Layout, MAX_METADATA};
use super::meter::Meter;
use super::patience::Patience;
use super::source::{Owner, Sources};
use super::torrent::Generator;
use super::tracker::Announce;
use super::{Clock, Guard, LiveConfig};

/// Peers that a client serves at a time, beside the one by chance (BEP 3).
const SLOTS: usize = 4;
/// Layouts that a worker remembers.
const MAX_LAYOUTS: usize = 1_024;

/// What all journeys of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    target: Arc<Target>,
    pub(super) scenario: Arc<Scenario>,
    guard: Arc<Guard>,
    pub(super) clock: Clock,
    sources: Sources,
    agent: Rc<Agent>,
    /// What the traffic beside the funnel shares, where it keeps connections; as the scenario has it.
    pools: Vec<Option<Pool>>,
    announcer: Announcer,
    dht: Dht,
    stub: Stub,
    clients: Rc<Clients>,
    layouts: RefCell<HashMap<InfoHash, Rc<Layout>>>,
}

/// What one journey keeps open from operation to operation. Nearly all of a million visitors are idle and have little of it.
#[derive(Debug, Default)]
pub(super) struct Connections {
    page: RefCell<Kept>,
    seat: RefCell<Option<Seat>>,
    reader: RefCell<Option<Box<Reader>>>,
    tracker: OnceCell<Box<Contact>>,
    node: OnceCell<Box<OwnNode>>,
    /// Whether the visitor came by a magnet link, and has never seen the `.torrent`.
    by_magnet: Cell<bool>,
}

impl Connections {
    fn tracker(&self) -> &Contact {
        self.tracker.get_or_init(Box::default)
    }

    fn node(&self) -> &OwnNode {
        self.node.get_or_init(Box::default)
    }
}

/// What a visitor calls itself, drawn from its seed.
struct Identity {
    peer_id: [u8; 20],
    key: u32,
    /// A port that nobody listens on.
    own_port: u16,
    /// What is left of its stream, for choices among peers.
    random: SplitMix64,
}

impl Shared {
    /// Opens the worker's sockets; within a `LocalSet`.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn open(config: LiveConfig, patience: &Patience) -> io::Result<Self> {
        let LiveConfig { target, scenario, guard, clock, worker, workers } = config;
        let sources = Sources::new(&target.visitor_networks, (worker, workers)).map_err(io::Error::other)?;
        check_routed(&guard, &target, &sources)?;
        let announcer = Announcer::open(&guard, clock, &target, &sources, workers, (patience, RETRANSMIT))?;
        let dht = Dht::open(&guard, clock, &target, &sources, scenario.cut.speed)?;
        let agent = Rc::new(Agent::new(&target, Arc::clone(&guard), sources.clone())?);
        let pool = |kept: u32| Pool::new(kept, (worker, workers));
        let pools = scenario.side.iter().map(|side| side.connections.map(pool)).collect();
        let resolvers = target.dns.as_ref().map_or_else(Vec::new, |dns| dns.resolvers.clone());
        let stub = Stub::new(Arc::clone(&guard), clock, resolvers, sources.clone(), StubTimes::USUAL);
        let clients = Clients::open(&guard, clock, &target, sources.clone())?;
        let layouts = RefCell::default();
        Ok(Self {
            target,
            scenario,
            guard,
            clock,
            sources,
            agent,
            pools,
            announcer,
            dht,
            stub,
            clients,
            layouts,
        })
    }

    /// What the visitors' part in the swarms was like since this was last asked, by group.
    pub(super) fn swarm(&self) -> Vec<(Option<Group>, Swarm)> {
        self.clients.tallies()
    }

    /// Whether one more operation may begin: not beyond the ceiling of the target's authorization.
    pub(super) fn admits(&self) -> bool {
        self.guard.admits(|| self.clock.now())
    }

    /// Whether an operation may hold a descriptor of its own: datagrams leave by the worker's sockets, and who shares connections has none.
    pub(super) fn holds_descriptor(&self, operation: &Operation) -> bool {
        match operation {
            Operation::Announce { .. } => self.target.trackers.iter().any(|it| it.kind != TrackerKind::Udp),
            Operation::Lookup { .. } | Operation::AnnouncePeer | Operation::Crawl => false,
            Operation::Side(n) => self.pool(*n).is_none(),
            _ => true,
        }
    }

    /// What this traffic beside the funnel shares, where it keeps connections.
    fn pool(&self, side: u8) -> Option<&Pool> {
        self.pools.get(usize::from(side))?.as_ref()
    }

    /// Performs one operation. An index that the target or the scenario does not have is [`Cause::Local`].
    ///
    /// Each kind is a future of its own on the heap: a future is as large as the largest thing that it may do, and what a task carries
    /// itself is copied whenever that moves.
    pub(super) fn perform<'a>(
        &'a self,
        visitor: &'a Visitor,
        operation: Operation,
        connections: &'a Connections,
        meter: &'a Meter,
    ) -> LocalBoxFuture<'a, Result<Reply, Cause>> {
        match operation {
            Operation::Resolve(service) => Box::pin(self.resolve(visitor, service, meter)),
            Operation::Page | Operation::Asset(_) | Operation::Side(_) => {
                Box::pin(self.browse(visitor, operation, connections, meter))
            }
            Operation::Torrent => Box::pin(self.torrent(visitor, connections, meter)),
            Operation::Root => Box::pin(self.root(visitor, meter)),
            Operation::Open => Box::pin(self.open_gateway(visitor, connections, meter)),
            Operation::Block { index } => Box::pin(self.block(visitor, index, connections, meter)),
            Operation::Announce { .. } => Box::pin(self.announce(visitor, operation, connections, meter)),
            Operation::Lookup { .. } | Operation::AnnouncePeer | Operation::Crawl => {
                Box::pin(self.query(visitor, operation, connections, meter))
            }
            Operation::PeerMetadata { peers } => {
                Box::pin(self.peer_metadata(visitor, peers, connections, meter))
            }
            Operation::Handshake { peers } => Box::pin(self.handshake(visitor, peers, connections, meter)),
            Operation::Piece { until, .. } => Box::pin(self.piece(visitor, until, connections, meter)),
        }
    }

    async fn resolve(&self, visitor: &Visitor, service: Service, meter: &Meter) -> Result<Reply, Cause> {
        let server = service.endpoint(&self.target).ok_or(Cause::Local)?;
        let name = server.name().ok_or(Cause::Local)?;
        let wanted = Wanted { seed: visitor.seed, source: visitor.source, name, address: server.address };
        let ttl = self.stub.resolve(wanted, meter).await?;
        Ok(Reply::Resolved { ttl })
    }

    async fn announce(
        &self,
        visitor: &Visitor,
        operation: Operation,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let Operation::Announce { event, left, downloaded, numwant } = operation else {
            return Err(Cause::Local);
        };
        let (client, item) = self.who(visitor)?;
        let Identity { peer_id, key, own_port, .. } = self.identity(visitor, client);
        let (port, shared) = self.ports(visitor, own_port);
        let usual = if event == AnnounceEvent::Stopped { 0 } else { client.numwant };
        let (info_hash, numwant) = (torrent(item)?.info_hash.on_the_wire(), numwant.unwrap_or(usual));
        let player =
            visitor.transfers.then(|| self.player(visitor, item, client, connections)).transpose()?;
        let uploaded = player.as_ref().map_or(0, |player| player.uploaded());
        let announce = Announce { info_hash, peer_id, downloaded, left, uploaded, event, key, numwant, port };
        let asker = Asker { seed: visitor.seed, source: visitor.source, own_port, shared, client };
        let peers = self.announcer.announce(asker, &announce, connections.tracker(), meter).await?;
        self.admit(peers, connections, meter)
    }

    /// The visitor's BitTorrent client, which lives as long as its journey.
    fn player(
        &self,
        visitor: &Visitor,
        item: &ContentItem,
        client: &Client,
        connections: &Connections,
    ) -> Result<Rc<client::Client>, Cause> {
        let mut seat = connections.seat.borrow_mut();
        if let Some(seat) = seat.as_ref() {
            return Ok(Rc::clone(seat.client()));
        }
        let access = &self.scenario.access.members.get(usize::from(visitor.access)).ok_or(Cause::Local)?.0;
        let Identity { peer_id, random, .. } = self.identity(visitor, client);
        let persona = Persona {
            info_hash: torrent(item)?.info_hash,
            peer_id,
            client: client.user_agent.as_str().into(),
            group: visitor.group(),
            slots: SLOTS,
            reachable: visitor.reachable,
            utp: self.target.transports.contains(&Transport::Utp)
                && draw(visitor, TRANSPORT_STREAM) < client.utp,
            encryption: client.encryption,
            addresses: self.own_addresses(visitor),
            source: visitor.source,
            line: (access.down, access.up),
            random,
        };
        // Who knows only the hash has to ask peers for the rest, whatever others have found out.
        let known = !connections.by_magnet.get();
        let layout = self.layouts.borrow().get(&persona.info_hash).filter(|_| known).cloned();
        Ok(Rc::clone(seat.insert(self.clients.start(persona, layout)).client()))
    }

    /// Tells a visitor's client of peers, in an order of its own: everybody knows the same few, and must not load the same one first.
    fn introduce(
        &self,
        visitor: &Visitor,
        client: &Client,
        player: &Rc<client::Client>,
        peers: &[Peer],
        meter: &Meter,
    ) -> Result<(), Cause> {
        let mut allowed = self.allowed(peers, meter);
        if allowed.is_empty() && !peers.is_empty() {
            return Err(Cause::Foreign);
        }
        allowed.shuffle(&mut self.identity(visitor, client).random);
        player.meet(&allowed, true);
        Ok(())
    }

    async fn torrent(
        &self,
        visitor: &Visitor,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (client, item) = self.who(visitor)?;
        let torrent = torrent(item)?;
        let get = get(&torrent.path, client);
        let browser = browser(visitor, client);
        let file = self.agent.fetch(self.agent.metadata(), get, browser, meter, MAX_METADATA).await?;
        let layout = Rc::new(Layout::from_torrent(&file, &torrent.info_hash)?);
        self.remember(item, &layout);
        Ok(self.metadata(item, connections, &layout))
    }

    /// The peers that a journey may use; those outside the allowed networks are counted and dropped.
    fn admit(&self, peers: Vec<Peer>, connections: &Connections, meter: &Meter) -> Result<Reply, Cause> {
        let allowed = self.allowed(&peers, meter);
        let usable = peers.iter().filter(|peer| peer.port() != 0).count();
        if let Some(seat) = connections.seat.borrow().as_ref() {
            seat.client().hear(&allowed);
        }
        if allowed.is_empty() && usable > 0 { Err(Cause::Foreign) } else { Ok(Reply::Peers(allowed)) }
    }

    fn allowed(&self, peers: &[Peer], meter: &Meter) -> Vec<SocketAddr> {
        let (allowed, foreign): (Vec<_>, Vec<_>) =
            peers.iter().copied().filter(|peer| peer.port() != 0).partition(|&peer| self.guard.allows(peer));
        meter.foreign(u32::try_from(foreign.len()).unwrap_or(u32::MAX));
        allowed
    }

    fn remember(&self, item: &ContentItem, layout: &Rc<Layout>) {
        let mut layouts = self.layouts.borrow_mut();
        let Some(info_hash) = item.info_hash().copied() else { return };
        let says_no_more =
            |known: &Rc<Layout>| !known.web_seeds().is_empty() || layout.web_seeds().is_empty();
        if layouts.len() >= MAX_LAYOUTS || layouts.get(&info_hash).is_some_and(says_no_more) {
            return;
        }
        layouts.insert(info_hash, Rc::clone(layout));
        if let Some(seed) = item.seed {
            let generator = Generator::new(seed, &item.name);
            self.clients.store().generate(info_hash.on_the_wire(), generator, layout.piece_length());
        }
    }

    /// The port that a visitor announces, and whether it is one that others of its worker announce too: right only from an address of its own.
    fn ports(&self, visitor: &Visitor, own_port: u16) -> (u16, bool) {
        match visitor.transfers {
            true if visitor.reachable && !self.own_addresses(visitor).is_empty() => {
                (self.clients.port(), true)
            }
            // It cannot be reached there or elsewhere, and its client does not know.
            true => (own_port, false),
            false => (self.target.stand_in_port.unwrap_or(own_port), false),
        }
    }

    /// The addresses that no other worker's visitors have, by which peers know this one.
    fn own_addresses(&self, visitor: &Visitor) -> Vec<IpAddr> {
        let towards = |server: SocketAddr| self.sources.towards(server.ip(), visitor.source);
        let own = self.target.servers().filter_map(towards);
        let mut own: Vec<_> = own.filter(|address| self.sources.owner(*address) == Owner::Own).collect();
        own.sort_unstable();
        own.dedup();
        own
    }

    /// The visitor's client, and what it is after.
    fn who(&self, visitor: &Visitor) -> Result<(&Client, &ContentItem), Cause> {
        self.client(visitor).zip(self.item(visitor)).ok_or(Cause::Local)
    }

    fn client(&self, visitor: &Visitor) -> Option<&Client> {
        self.scenario.clients.members.get(usize::from(visitor.client)).map(|(client, _)| client)
    }

    fn item(&self, visitor: &Visitor) -> Option<&ContentItem> {
        let rank = usize::from(visitor.content).checked_rem(self.target.content.len())?;
        self.target.content.get(rank)
    }

    fn identity(&self, visitor: &Visitor, client: &Client) -> Identity {
        let mut random = SplitMix64::seed_from_u64(visitor.seed);
        let mut peer_id = [0; 20];
        random.fill_bytes(&mut peer_id);
        peer_id[..8].copy_from_slice(&client.peer_id_prefix);
        let key = random.next_u32();
        // Any port that needs no privilege.
        let own_port = 1_024 + (random.next_u32() % (65_536 - 1_024)) as u16;
        Identity { peer_id, key, own_port, random }
    }
}

/// The item's torrent; content that no swarm has is never looked for in one.
fn torrent(item: &ContentItem) -> Result<&TorrentItem, Cause> {
    item.torrent.as_ref().ok_or(Cause::Local)
}

/// Finds out before the first visitor comes where an IPv4 network of the profile does not lead to this machine. (IPv6 networks that do
/// are no different to a socket from those that do not.)
fn check_routed(guard: &Arc<Guard>, target: &Target, sources: &Sources) -> io::Result<()> {
    for local in target.servers().filter_map(|server| sources.towards(server.ip(), 0)) {
        guard.bind(local).map_err(|error| {
            let way_out =
                "route the networks in `visitors.addresses` here: ip route add local NETWORK dev lo";
            io::Error::new(error.kind(), format!("a visitor's address {local}: {error}; {way_out}"))
        })?;
    }
    Ok(())
}

fn get<'a>(path: &'a str, client: &'a Client) -> Request<'a> {
    Request { path, user_agent: &client.user_agent, accept: None, body: None }
}

/// Part a visitor's draws of its HTTP version and of its transport from each other and from its other draws.
const VERSION_STREAM: u64 = 0x4854_5450;
const TRANSPORT_STREAM: u64 = 0x7554_5031;

/// One draw of a visitor's own, uniform on 0..1.
fn draw(visitor: &Visitor, stream: u64) -> f64 {
    SplitMix64::seed_from_u64(visitor.seed ^ stream).random()
}

/// How a visitor uses the web: its version of HTTP is drawn from its seed, by the shares of its client.
fn browser(visitor: &Visitor, client: &Client) -> Browser {
    let draw = draw(visitor, VERSION_STREAM);
    let newest = if draw < client.http3 {
        HttpVersion::Three
    } else if draw < client.http2 {
        HttpVersion::Two
    } else {
        HttpVersion::One
    };
    Browser { newest, returning: visitor.returning, source: visitor.source }
}

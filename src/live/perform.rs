//! From an operation to the protocol that performs it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;

use crate::journey::{Cause, Operation, Peer, Reply, Visitor};
use crate::plan::AnnounceEvent;
use crate::profile::{Client, ContentItem, HttpEndpoint, Target};
use crate::scenario::Scenario;

use super::announce::{Announcer, Asker, Contact};
use super::dht::{Dht, OwnNode, Search};
use super::dns::{Stub, Wanted};
use super::http::{Ask, HttpConnection};
use super::metainfo::{Layout, MAX_METADATA};
use super::meter::Meter;
use super::peer::{Introduction, PeerConnection};
use super::shaper::Bucket;
use super::tracker::Announce;
use super::{Clock, Guard};

/// Peers that are tried in one operation.
const MAX_TRIED: usize = 8;
/// Layouts that a worker remembers.
const MAX_LAYOUTS: usize = 1_024;
/// What stays as it is in a path segment (RFC 3986 unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What all journeys of a worker share.
#[derive(Debug)]
pub(super) struct Shared {
    target: Arc<Target>,
    pub(super) scenario: Arc<Scenario>,
    guard: Arc<Guard>,
    pub(super) clock: Clock,
    announcer: Announcer,
    dht: Dht,
    stub: Stub,
    layouts: RefCell<HashMap<[u8; 20], Rc<Layout>>>,
}

/// What one journey keeps open from operation to operation.
#[derive(Debug, Default)]
pub(super) struct Connections {
    page: RefCell<Option<HttpConnection>>,
    peer: RefCell<Option<(PeerConnection, Bucket)>>,
    tracker: Contact,
    node: OwnNode,
}

/// What a visitor calls itself, drawn from its seed.
struct Identity {
    peer_id: [u8; 20],
    key: u32,
    port: u16,
    /// What is left of its stream, for choices among peers.
    random: SplitMix64,
}

impl Shared {
    pub(super) fn new(
        target: Arc<Target>,
        scenario: Arc<Scenario>,
        guard: Arc<Guard>,
        clock: Clock,
        announcer: Announcer,
        dht: Dht,
        stub: Stub,
    ) -> Self {
        Self { target, scenario, guard, clock, announcer, dht, stub, layouts: RefCell::default() }
    }

    /// Performs one operation. An index that the target or the scenario does not have is [`Cause::Local`], and so is an operation beyond
    /// the ceiling of the target's authorization.
    pub(super) async fn perform(
        &self,
        visitor: &Visitor,
        operation: Operation,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        if !self.guard.admits(self.clock.now()) {
            return Err(Cause::Local);
        }
        let client = self.client(visitor).ok_or(Cause::Local)?;
        let item = self.item(visitor).ok_or(Cause::Local)?;
        match operation {
            Operation::Resolve(service) => {
                let server = service.endpoint(&self.target);
                let name = server.name().ok_or(Cause::Local)?;
                let wanted = Wanted { seed: visitor.seed, name, address: server.address };
                let ttl = self.stub.resolve(wanted, meter).await?;
                Ok(Reply::Resolved { ttl })
            }
            Operation::Page => {
                let name = utf8_percent_encode(&item.name, SEGMENT).to_string();
                let path = self.target.index.page.replace("{name}", &name);
                connections.page.take();
                let mut connection = self.connect(&self.target.index.server, meter).await?;
                connection.drain(get(&self.target.index.server, &path, client), meter).await?;
                connections.page.replace(Some(connection).filter(|_| !visitor.cached && self.has_asset(0)));
                Ok(Reply::Done)
            }
            Operation::Asset(n) => self.asset(n, client, connections, meter).await,
            Operation::Side(n) => {
                let side = self.scenario.side.get(usize::from(n)).ok_or(Cause::Local)?;
                let server = &self.target.index.server;
                let ask = Ask { body: side.body.as_deref(), ..get(server, &side.path, client) };
                self.connect(server, meter).await?.drain(ask, meter).await?;
                Ok(Reply::Done)
            }
            Operation::Torrent => self.torrent(item, client, meter).await,
            Operation::Announce { event, left, downloaded, numwant } => {
                let Identity { peer_id, key, port, .. } = self.identity(visitor, client);
                let usual = if event == AnnounceEvent::Stopped { 0 } else { client.numwant };
                let (info_hash, numwant) = (item.info_hash, numwant.unwrap_or(usual));
                let announce =
                    Announce { info_hash, peer_id, downloaded, left, uploaded: 0, event, key, numwant, port };
                let asker = Asker { seed: visitor.seed, source: visitor.source, client };
                let peers = self.announcer.announce(asker, &announce, &connections.tracker, meter).await?;
                self.admit(peers, meter)
            }
            Operation::Lookup { announce } => {
                let search = search(visitor, client, item, connections);
                let peers = self.dht.search(search, announce, meter).await?;
                // A lookup that finds no peer has failed, unless it was made to announce: the first peer of a swarm finds nobody.
                if peers.is_empty() && !announce {
                    return Err(Cause::NoPeers);
                }
                self.admit(peers, meter)
            }
            Operation::AnnouncePeer => {
                let port = self.identity(visitor, client).port;
                self.dht.announce(search(visitor, client, item, connections), port, meter).await?;
                Ok(Reply::Done)
            }
            Operation::Crawl => {
                self.dht.crawl(search(visitor, client, item, connections), meter).await?;
                Ok(Reply::Done)
            }
            Operation::PeerMetadata { peers } => {
                let fetch = async |mut peer: PeerConnection| peer.metadata(meter).await;
                let layout = self.try_peers(visitor, &peers, None, meter, fetch).await?;
                self.remember(item, &layout);
                Ok(layout.reply())
            }
            Operation::Handshake { peers } => self.handshake(visitor, item, &peers, connections, meter).await,
            Operation::Piece { index, until } => {
                let kept = connections.peer.take();
                // Without a connection there is nobody to ask: the journey did not wait for a handshake.
                let (mut peer, mut line) = kept.ok_or(Cause::NoPeers)?;
                peer.piece(index..until, &mut line, self.clock, meter).await?;
                // The last piece ends the connection, as between any two peers that need nothing of each other.
                connections.peer.replace(Some((peer, line)).filter(|_| index + 1 < until));
                Ok(Reply::Done)
            }
        }
    }

    /// An asset on the connection of its page. Where the server closed that meanwhile, on a new one, as RFC 9110 (9.2.2) lets clients do.
    async fn asset(
        &self,
        n: u32,
        client: &Client,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let index = &self.target.index;
        let nth = (n as usize).checked_rem(index.assets.len()).and_then(|n| index.assets.get(n));
        let get = get(&index.server, nth.ok_or(Cause::Local)?, client);
        let kept = connections.page.take().filter(HttpConnection::is_open);
        if let Some(mut connection) = kept {
            match connection.drain(get, meter).await {
                Err(Cause::Closed) => meter.retransmitted(),
                result => {
                    connections.page.replace(Some(connection).filter(|_| self.has_asset(n + 1)));
                    return result.map(|()| Reply::Done);
                }
            }
        }
        let mut connection = self.connect(&index.server, meter).await?;
        connection.drain(get, meter).await?;
        connections.page.replace(Some(connection).filter(|_| self.has_asset(n + 1)));
        Ok(Reply::Done)
    }

    /// Whether a visit goes on to asset `n`. Its connection is kept until then and not beyond: a visitor who reads holds no descriptor.
    fn has_asset(&self, n: u32) -> bool {
        n < self.scenario.funnel.assets && !self.target.index.assets.is_empty()
    }

    async fn torrent(&self, item: &ContentItem, client: &Client, meter: &Meter) -> Result<Reply, Cause> {
        let server = &self.target.metadata;
        let mut connection = self.connect(server, meter).await?;
        let file = connection.fetch(get(server, &item.torrent_path, client), meter, MAX_METADATA).await?;
        let layout = Rc::new(Layout::from_torrent(&file, &item.info_hash)?);
        self.remember(item, &layout);
        Ok(layout.reply())
    }

    async fn handshake(
        &self,
        visitor: &Visitor,
        item: &ContentItem,
        peers: &[Peer],
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let access = &self.scenario.access.members.get(usize::from(visitor.access)).ok_or(Cause::Local)?.0;
        let layout = self.layouts.borrow().get(&item.info_hash).cloned();
        connections.peer.take();
        let ready = async |mut peer: PeerConnection| {
            let layout = peer.ready(meter).await?;
            Ok((peer, layout))
        };
        let (peer, layout) = self.try_peers(visitor, peers, layout, meter, ready).await?;
        self.remember(item, &layout);
        let line = Bucket::new(access.down, self.clock.now());
        connections.peer.replace(Some((peer, line)));
        Ok(Reply::Handshake { pieces: layout.pieces(), size: layout.size() })
    }

    /// Tries peers until `each` succeeds with one, in an order that is the visitor's own: everybody knows the same few, and must not
    /// load the same one first. All but the last share patience evenly, so that one that is silent does not use up all of it.
    async fn try_peers<T>(
        &self,
        visitor: &Visitor,
        peers: &[Peer],
        layout: Option<Rc<Layout>>,
        meter: &Meter,
        mut each: impl AsyncFnMut(PeerConnection) -> Result<T, Cause>,
    ) -> Result<T, Cause> {
        let client = self.client(visitor).ok_or(Cause::Local)?;
        let item = self.item(visitor).ok_or(Cause::Local)?;
        let Identity { peer_id, mut random, .. } = self.identity(visitor, client);
        let who = Introduction { info_hash: item.info_hash, peer_id, client: &client.user_agent };
        let mut allowed = self.allowed(peers, meter);
        allowed.shuffle(&mut random);
        allowed.truncate(MAX_TRIED);
        let share = self.scenario.funnel.patience / u32::try_from(allowed.len()).unwrap_or(1).max(1);
        let mut last = if peers.is_empty() || !allowed.is_empty() { Cause::NoPeers } else { Cause::Foreign };
        for (n, &address) in allowed.iter().enumerate() {
            meter.set_overdue(Cause::Timeout);
            let work = async {
                let peer = PeerConnection::open(&self.guard, address, &who, layout.clone(), meter).await?;
                each(peer).await
            };
            if n + 1 == allowed.len() {
                return work.await;
            }
            match tokio::time::timeout(share, work).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(cause)) => last = cause,
                Err(_) => last = Cause::Timeout,
            }
        }
        Err(last)
    }

    /// The peers that a journey may use; those outside the allowed networks are counted and dropped.
    fn admit(&self, peers: Vec<Peer>, meter: &Meter) -> Result<Reply, Cause> {
        let allowed = self.allowed(&peers, meter);
        let usable = peers.iter().filter(|peer| peer.port() != 0).count();
        if allowed.is_empty() && usable > 0 { Err(Cause::Foreign) } else { Ok(Reply::Peers(allowed)) }
    }

    fn allowed(&self, peers: &[Peer], meter: &Meter) -> Vec<SocketAddr> {
        let (allowed, foreign): (Vec<_>, Vec<_>) =
            peers.iter().copied().filter(|peer| peer.port() != 0).partition(|&peer| self.guard.allows(peer));
        meter.foreign(u32::try_from(foreign.len()).unwrap_or(u32::MAX));
        allowed
    }

    async fn connect(&self, server: &HttpEndpoint, meter: &Meter) -> Result<HttpConnection, Cause> {
        HttpConnection::open(&self.guard, server.address, meter).await
    }

    fn remember(&self, item: &ContentItem, layout: &Rc<Layout>) {
        let mut layouts = self.layouts.borrow_mut();
        if layouts.len() < MAX_LAYOUTS {
            layouts.entry(item.info_hash).or_insert_with(|| Rc::clone(layout));
        }
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
        let own = 1_024 + (random.next_u32() % (65_536 - 1_024)) as u16;
        Identity { peer_id, key, port: self.target.stand_in_port.unwrap_or(own), random }
    }
}

fn search<'a>(
    visitor: &Visitor,
    client: &'a Client,
    item: &ContentItem,
    connections: &'a Connections,
) -> Search<'a> {
    let info_hash = item.info_hash;
    Search {
        seed: visitor.seed,
        source: visitor.source,
        habits: &client.lookup,
        node: &connections.node,
        info_hash,
    }
}

fn get<'a>(server: &'a HttpEndpoint, path: &'a str, client: &'a Client) -> Ask<'a> {
    Ask { host: &server.host, path, user_agent: &client.user_agent, body: None }
}

//! A visitor's BitTorrent client at work on one torrent: moves bytes between its connections and its [`Torrent`].

mod intake;
mod listen;
mod persona;
mod stream;
mod tallies;
mod utp;
mod web_seed;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::journey::{Cause, Group, Swarm};
use crate::profile::{Encryption, Target, Transport};

use super::guard::cause;
use super::metainfo::Layout;
use super::meter::Meter;
use super::shaper::Bucket;
use super::source::{Owner, Sources};
use super::torrent::{Meeting, Own, PeerKey, Store, Torrent};
use super::wire::{self, Frames, Handshake, Message};
use super::{Clock, Guard};

use intake::{Intake, Sending, read_handshake};
use listen::Listener;
pub(super) use persona::Persona;
use stream::Stream;
use tallies::Tallies;
use utp::{Door, Doors};
pub(super) use web_seed::WebSeed;
use web_seed::WebSeeds;

/// Connections to peers that have something of use, up to which a client opens more by itself. Real clients open far more (libtorrent: 200
/// in all); a generator's descriptors set the bound, and most of a swarm's exchange happens with a few.
const MAX_DIALLED: usize = 8;
/// Connections up to which it opens more while none of them has anything of use; the rest is for those who come.
const MAX_TRIED: usize = 16;
/// Connections in all.
const MAX_CONNECTIONS: usize = 24;
/// Time for a connection and both handshakes (libtorrent: `handshake_timeout`).
const MEETING_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a keep-alive is sent, and a peer is given up (BEP 3: two minutes).
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(100);
const DEAD_AFTER: Duration = Duration::from_secs(120);
/// Bytes that wait to be sent, beyond which a peer that asks for more and takes nothing is not listened to.
const MAX_UNSENT: usize = 1 << 20;
/// Bytes read at a time: little while only short messages come, since thousands of peers wait at a time; several blocks in a piece.
const SMALL_READ: usize = 2 << 10;
const LARGE_READ: usize = 4 * wire::BLOCK as usize;
/// Peers that a client remembers as tried.
const MAX_KNOWN: usize = 500;

/// What the clients of all visitors of a worker share.
#[derive(Debug)]
pub(super) struct Clients {
    guard: Arc<Guard>,
    clock: Clock,
    store: Rc<Store>,
    listener: Listener,
    doors: Doors,
    /// Whether the target's peers speak TCP.
    tcp: bool,
    /// For keys and paddings of encrypted connections.
    random: RefCell<SplitMix64>,
    /// The port where the target answers in the place of visitors who only announce.
    stand_in_port: Option<u16>,
    /// The target's own peers, as far as it says who they are.
    own_peers: Vec<SocketAddr>,
    sources: Sources,
    tallies: RefCell<Tallies>,
}

impl Clients {
    /// Opens the worker's listener; within a `LocalSet`.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        target: &Target,
        sources: Sources,
    ) -> io::Result<Rc<Self>> {
        let loopback = target.trackers.iter().all(|tracker| tracker.address.ip().is_loopback());
        let listener = Listener::open(guard, loopback)?;
        let clients = Rc::new(Self {
            guard: Arc::clone(guard),
            clock,
            store: Rc::default(),
            doors: Doors::default(),
            random: RefCell::new(SplitMix64::seed_from_u64(listener.port().into())),
            listener,
            tcp: target.transports.contains(&Transport::Tcp),
            stand_in_port: target.stand_in_port,
            own_peers: target.own_peers.clone(),
            sources,
            tallies: RefCell::default(),
        });
        listen::accept(&clients);
        Ok(clients)
    }

    /// Where the worker's visitors listen.
    pub(super) fn port(&self) -> u16 {
        self.listener.port()
    }

    /// The content that visitors can give.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What was counted since this was last asked, by group.
    pub(super) fn tallies(&self) -> Vec<(Option<Group>, Swarm)> {
        self.tallies.borrow_mut().take()
    }

    /// A stream of random numbers of its own.
    fn random(&self) -> SplitMix64 {
        SplitMix64::seed_from_u64(self.random.borrow_mut().next_u64())
    }

    fn count(&self, group: Option<Group>, count: impl FnOnce(&mut Swarm)) {
        count(self.tallies.borrow_mut().of(group));
    }

    /// Whether another visitor is to be found at this address, rather than a peer of the target's. On `::1`, where all have the same one, and
    /// on other machines only a target that names its peers lets one tell.
    fn is_visitor(&self, address: SocketAddr) -> bool {
        if self.stand_in_port == Some(address.port()) {
            return false;
        }
        if !self.own_peers.is_empty() {
            return !self.own_peers.contains(&address);
        }
        let owner = self.sources.owner(address.ip());
        matches!(owner, Owner::Own | Owner::Visitors) && address.ip() != Ipv6Addr::LOCALHOST
    }

    /// A new client; it listens where its visitor can be reached.
    pub(super) fn start(self: &Rc<Self>, persona: Persona, layout: Option<Rc<Layout>>) -> Seat {
        let now = self.clock.now();
        let (down, up) = persona.line;
        let own = Own {
            info_hash: persona.info_hash,
            client: Rc::clone(&persona.client),
            port: persona.reachable.then(|| self.port()),
            slots: persona.slots,
        };
        let torrent = Torrent::new(own, layout, Rc::clone(&self.store), persona.random.clone());
        let client = Rc::new(Client {
            clients: Rc::clone(self),
            torrent: RefCell::new(torrent),
            down: RefCell::new(Bucket::new(down, now)),
            up: RefCell::new(Bucket::new(up, now)),
            persona,
            web_seeds: WebSeeds::default(),
            candidates: RefCell::default(),
            known: RefCell::default(),
            dialling: Cell::new(0),
            approached: Cell::new(0),
            bells: RefCell::default(),
            changed: Notify::new(),
            last: Cell::new(None),
            bytes: Cell::new((0, 0)),
            doors: RefCell::default(),
            tasks: RefCell::default(),
            gone: Cell::default(),
        });
        if client.persona.reachable {
            self.listener.register(&client);
            for &address in &client.persona.addresses {
                client.door(address);
            }
        }
        Seat(client)
    }
}

/// A visitor's client. Dropping it closes its connections.
#[derive(Debug)]
pub(super) struct Seat(Rc<Client>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.gone.set(true);
        self.0.tasks.borrow_mut().abort_all();
        let open = self.0.torrent.borrow().connections() as u64;
        self.0.count(|swarm| swarm.ended += open);
        self.0.clients.listener.forget(&self.0);
        self.0.clients.doors.leave(self.0.doors.take(), self.0.clients.clock.now());
    }
}

impl Seat {
    pub(super) fn client(&self) -> &Rc<Client> {
        &self.0
    }
}

/// A client at work. Its connections are tasks that share it.
#[derive(Debug)]
pub(super) struct Client {
    clients: Rc<Clients>,
    persona: Persona,
    torrent: RefCell<Torrent>,
    down: RefCell<Bucket>,
    up: RefCell<Bucket>,
    web_seeds: WebSeeds,
    candidates: RefCell<VecDeque<SocketAddr>>,
    known: RefCell<HashSet<SocketAddr>>,
    dialling: Cell<usize>,
    /// Peers of the target's that it dials or talks to.
    approached: Cell<usize>,
    /// What wakes the task of each connection.
    bells: RefCell<HashMap<PeerKey, Rc<Notify>>>,
    /// Wakes the operation that waits.
    changed: Notify,
    /// How the last connection to a peer of the target's ended or failed; [`Cause::Visitors`] while there were visitors alone.
    last: Cell<Option<Cause>>,
    /// Bytes in and out that no operation has counted yet.
    bytes: Cell<(u64, u64)>,
    /// Where it speaks uTP.
    doors: RefCell<Vec<Rc<Door>>>,
    tasks: RefCell<JoinSet<()>>,
    /// Whether the visitor has left. Who was about to be let in may hold the client for a moment longer.
    gone: Cell<bool>,
}

impl Client {
    fn count(&self, count: impl FnOnce(&mut Swarm)) {
        self.clients.count(Some(self.persona.group), count);
    }

    /// Payload bytes given to peers so far.
    pub(super) fn uploaded(&self) -> u64 {
        self.torrent.borrow().uploaded()
    }

    /// Tells the client of peers, and lets it connect to as many as it wants.
    pub(super) fn meet(self: &Rc<Self>, peers: &[SocketAddr], again: bool) {
        {
            let (mut known, mut candidates) = (self.known.borrow_mut(), self.candidates.borrow_mut());
            for &peer in peers {
                let own = self.persona.addresses.contains(&peer.ip()) && peer.port() == self.clients.port();
                let new = known.len() < MAX_KNOWN && known.insert(peer);
                if !own && (new || again) && !candidates.contains(&peer) {
                    candidates.push_back(peer);
                }
            }
        }
        self.dial();
    }

    /// Tells the client of peers without hurry: they are tried where it is looking for some.
    pub(super) fn hear(self: &Rc<Self>, peers: &[SocketAddr]) {
        if self.torrent.borrow().connections() > 0 {
            self.meet(peers, false);
        }
    }

    /// Waits until the layout is known.
    ///
    /// # Errors
    /// [`Cause::NoPeers`] where there is nobody to ask; [`Cause::Visitors`], or what the last of the target's peers did, where all fail.
    pub(super) async fn metadata(self: &Rc<Self>, meter: &Meter) -> Result<Rc<Layout>, Cause> {
        self.until(meter, |torrent| torrent.layout().cloned()).await
    }

    /// Waits until some peer lets itself be asked for pieces.
    ///
    /// # Errors
    /// As [`Client::metadata`]; patience that ends while all peers choke is [`Cause::Rejected`].
    pub(super) async fn ready(self: &Rc<Self>, meter: &Meter) -> Result<Rc<Layout>, Cause> {
        self.torrent.borrow_mut().want(u32::MAX);
        self.ring();
        let result =
            self.until(meter, |torrent| torrent.layout().cloned().filter(|_| torrent.is_ready())).await;
        // What is wanted is for the operations that follow to say.
        let mut torrent = self.torrent.borrow_mut();
        let all = torrent.pieces();
        torrent.want(all);
        result
    }

    /// Waits for the next piece of `until` in all to be whole and checked.
    ///
    /// # Errors
    /// As [`Client::ready`].
    pub(super) async fn piece(self: &Rc<Self>, until: u32, meter: &Meter) -> Result<(), Cause> {
        self.torrent.borrow_mut().want(until);
        self.ring();
        self.until(meter, |torrent| torrent.take_piece().then_some(())).await
    }

    /// Waits until `found` finds something, for as long as there is somebody from whom it can come.
    async fn until<T>(
        self: &Rc<Self>,
        meter: &Meter,
        mut found: impl FnMut(&mut Torrent) -> Option<T>,
    ) -> Result<T, Cause> {
        meter.start();
        let result = loop {
            let changed = self.changed.notified();
            {
                let mut torrent = self.torrent.borrow_mut();
                if let Some(found) = found(&mut torrent) {
                    break Ok(found);
                }
                if torrent.connections() == 0
                    && !torrent.hopes_for_web()
                    && self.dialling.get() == 0
                    && self.candidates.borrow().is_empty()
                {
                    break Err(self.last.take().unwrap_or(Cause::NoPeers));
                }
                let alone = self.is_among_visitors(&torrent);
                meter.set_overdue(if alone { Cause::Visitors } else { torrent.overdue() });
            }
            changed.await;
        };
        let (bytes_in, bytes_out) = self.bytes.take();
        meter.sent(bytes_out as usize);
        meter.received(bytes_in as usize);
        meter.web(|web| *web += &self.web_seeds.tally());
        result
    }

    /// Whether nobody of the target's is there to ask, or to be tried, or was tried since this was last asked.
    fn is_among_visitors(&self, torrent: &Torrent) -> bool {
        !torrent.hopes_for_web()
            && self.approached.get() == 0
            && self.last.get().is_none_or(|last| last == Cause::Visitors)
            && !self.candidates.borrow().iter().any(|peer| !self.clients.is_visitor(*peer))
    }

    /// Opens connections while more are wanted and there is somebody to try.
    fn dial(self: &Rc<Self>) {
        loop {
            {
                let (torrent, dialling) = (self.torrent.borrow(), self.dialling.get());
                let enough = torrent.promising() + dialling >= MAX_DIALLED;
                if enough || torrent.connections() + dialling >= MAX_TRIED || torrent.is_done() {
                    return;
                }
            }
            let Some(address) = self.candidates.borrow_mut().pop_front() else { return };
            let is_visitor = self.clients.is_visitor(address);
            self.dialling.update(|dialling| dialling + 1);
            self.approached.update(|approached| approached + usize::from(!is_visitor));
            let client = Rc::clone(self);
            self.spawn(async move {
                client.count(|swarm| swarm.dials += 1);
                let reached = Cell::new(false);
                let met = tokio::time::timeout(MEETING_TIMEOUT, client.approach(address, &reached)).await;
                client.dialling.update(|dialling| dialling - 1);
                client.approached.update(|approached| approached - usize::from(!is_visitor));
                match met.unwrap_or(Err(Cause::Timeout)) {
                    Ok((stream, frames, theirs)) => {
                        let meeting = client.meeting(address, false, &theirs);
                        client.talk(stream, frames, meeting).await;
                    }
                    Err(cause) => {
                        client.count(|swarm| swarm.failed_dial(cause, reached.get()));
                        client.parted(is_visitor, cause);
                        client.dial();
                        client.changed.notify_waiters();
                    }
                }
            });
        }
    }

    /// A connection ended, or never came about. What other visitors do is not the target's fault.
    fn parted(&self, visitor: bool, cause: Cause) {
        self.last.set(Some(if visitor { self.last.get().unwrap_or(Cause::Visitors) } else { cause }));
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(task);
    }

    fn meeting(&self, address: SocketAddr, incoming: bool, theirs: &Handshake) -> Meeting {
        let Handshake { peer_id, extended, fast, .. } = *theirs;
        let owner = self.clients.sources.owner(address.ip());
        let visitor = matches!(owner, Owner::Own | Owner::Visitors)
            && (incoming || self.clients.stand_in_port != Some(address.port()));
        Meeting { address, incoming, peer_id, extended, fast, visitor }
    }

    /// Connects to a peer and exchanges handshakes; says whether it was reached.
    async fn approach(
        &self,
        address: SocketAddr,
        reached: &Cell<bool>,
    ) -> Result<(Stream, Frames, Handshake), Cause> {
        let mut stream = self.connect(address).await?;
        reached.set(true);
        let (encryption, info_hash) = (self.persona.encryption, self.persona.info_hash.on_the_wire());
        if encryption != Encryption::Disabled {
            match stream.encrypt(&info_hash, encryption, self.clients.random()).await {
                Err(_) if encryption == Encryption::Prefer => stream = self.connect(address).await?,
                result => result?,
            }
        }
        let own = self.persona.handshake();
        stream.write_all(&own).await.map_err(|error| cause(&error))?;
        let (frames, theirs) = read_handshake(&mut stream).await?;
        self.moved(wire::HANDSHAKE + frames.unread(), wire::HANDSHAKE);
        if !self.persona.info_hash.is_named_by(&theirs.info_hash) {
            return Err(Cause::Incorrect);
        }
        if theirs.peer_id == self.persona.peer_id {
            return Err(Cause::NoPeers);
        }
        Ok((stream, frames, theirs))
    }

    /// Takes over a connection that a peer opened, after its handshake was answered.
    fn adopt(self: &Rc<Self>, stream: Stream, frames: Frames, address: SocketAddr, theirs: &Handshake) {
        if self.gone.get() {
            self.count(|swarm| swarm.turned_away += 1);
            return;
        }
        self.moved(wire::HANDSHAKE + frames.unread(), wire::HANDSHAKE);
        let meeting = self.meeting(address, true, theirs);
        let client = Rc::clone(self);
        self.spawn(async move { client.talk(stream, frames, meeting).await });
    }

    /// A conversation from its beginning to its end.
    async fn talk(self: &Rc<Self>, stream: Stream, frames: Frames, meeting: Meeting) {
        let full = self.torrent.borrow().connections() >= MAX_CONNECTIONS;
        if full || self.torrent.borrow().knows(&meeting.peer_id) {
            self.count(|swarm| swarm.surplus += 1);
            // One peer may have many names: who has one to ask does not try all of them.
            if self.torrent.borrow().promising() == 0 {
                self.dial();
            }
            self.changed.notify_waiters();
            return;
        }
        self.count(|swarm| {
            swarm.accepted += u64::from(meeting.incoming);
            swarm.met += u64::from(!meeting.incoming);
            swarm.utp += u64::from(stream.is_utp());
            swarm.encrypted += u64::from(stream.is_encrypted());
        });
        let is_visitor =
            if meeting.incoming { meeting.visitor } else { self.clients.is_visitor(meeting.address) };
        let key = self.torrent.borrow_mut().join(meeting, self.clients.clock.now());
        let bell = Rc::new(Notify::new());
        self.bells.borrow_mut().insert(key, Rc::clone(&bell));
        self.approached.update(|approached| approached + usize::from(!is_visitor));
        let Err(cause) = self.converse(key, stream, frames, &bell).await;
        self.approached.update(|approached| approached - usize::from(!is_visitor));
        self.bells.borrow_mut().remove(&key);
        self.torrent.borrow_mut().leave(key, self.clients.clock.now());
        self.count(|swarm| swarm.ended(cause));
        self.parted(is_visitor, cause);
        self.ring();
        self.dial();
        self.changed.notify_waiters();
    }

    /// Exchanges messages until the connection ends; why it did.
    async fn converse(
        self: &Rc<Self>,
        key: PeerKey,
        stream: Stream,
        frames: Frames,
        bell: &Notify,
    ) -> Result<std::convert::Infallible, Cause> {
        let mut intake = Intake::new(self, key, &stream, frames);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut sending = Sending::default();
        // When something last came, and went.
        let mut heard = self.clients.clock.now();
        let mut said = heard;
        loop {
            let frames = &mut intake.frames;
            self.take_in(key, frames)?;
            let (wait, room) = self.plan(key, &mut sending)?;
            if room == SMALL_READ {
                frames.rest();
            }
            self.ring();
            let now = self.clients.clock.now();
            if now.since(heard) >= DEAD_AFTER {
                return Err(Cause::Timeout);
            }
            if sending.rest().is_empty() && now.since(said) >= KEEP_ALIVE_AFTER {
                sending.bytes.extend(wire::KEEP_ALIVE);
                said = now;
            }
            let dead = DEAD_AFTER.saturating_sub(now.since(heard));
            let quiet = KEEP_ALIVE_AFTER.saturating_sub(now.since(said));
            let idle = if sending.rest().is_empty() { dead.min(quiet) } else { dead };
            tokio::select! {
                read = reader.read_buf(frames.space(room)), if sending.rest().len() < MAX_UNSENT => {
                    let read = read.map_err(|error| cause(&error))?;
                    if read == 0 {
                        return Err(Cause::Closed);
                    }
                    self.moved(read, 0);
                    heard = self.clients.clock.now();
                }
                wrote = writer.write(sending.rest()), if !sending.rest().is_empty() => {
                    let wrote = wrote.map_err(|error| cause(&error))?;
                    self.moved(0, wrote);
                    sending.advance(wrote);
                    said = self.clients.clock.now();
                }
                () = bell.notified() => {}
                () = tokio::time::sleep(wait.map_or(idle, |wait| wait.min(idle))) => {}
            }
        }
    }

    /// Hands every message that is whole to the torrent.
    fn take_in(self: &Rc<Self>, key: PeerKey, frames: &mut Frames) -> Result<(), Cause> {
        let now = self.clients.clock.now();
        let mut heard = false;
        while let Some(message) = frames.next().map_err(|_| Cause::Malformed)? {
            heard = true;
            if let Message::Peers(peers) = &message {
                let allowed: Vec<_> = peers
                    .iter()
                    .copied()
                    .filter(|peer| peer.port() != 0 && self.clients.guard.allows(*peer))
                    .collect();
                self.count(|swarm| swarm.exchanged += allowed.len() as u64);
                self.meet(&allowed, false);
            } else {
                self.torrent.borrow_mut().handle(key, message, now)?;
            }
        }
        if heard {
            self.changed.notify_waiters();
            // One who has nothing leaves room for another.
            if !self.candidates.borrow().is_empty() && self.torrent.borrow().has_unpromising() {
                self.dial();
            }
        }
        Ok(())
    }

    /// Decides what is to be sent, how long until something is due, and how much may be read at a time.
    fn plan(&self, key: PeerKey, sending: &mut Sending) -> Result<(Option<Duration>, usize), Cause> {
        let now = self.clients.clock.now();
        let mut torrent = self.torrent.borrow_mut();
        let due = torrent.turn(key, now)?.map(|due| due.since(now));
        if torrent.is_useless(key) {
            return Err(Cause::Closed);
        }
        let asking = torrent.ask(key, &mut self.down.borrow_mut(), now);
        let serving = torrent.serve(key, sending.rest().len(), &mut self.up.borrow_mut(), now);
        torrent.tell_peers(key, now);
        torrent.take_out(key, &mut sending.bytes);
        let room = if torrent.owes(key) { LARGE_READ } else { SMALL_READ };
        Ok(([due, asking, serving].into_iter().flatten().min(), room))
    }

    /// Wakes whoever has something to do.
    fn ring(&self) {
        let (awake, tally) = {
            let mut torrent = self.torrent.borrow_mut();
            (torrent.awake(), torrent.tally())
        };
        if !tally.is_empty() {
            self.count(|swarm| *swarm += &tally);
        }
        let bells = self.bells.borrow();
        awake.iter().filter_map(|key| bells.get(key)).for_each(|bell| bell.notify_one());
    }

    fn moved(&self, bytes_in: usize, bytes_out: usize) {
        let (before_in, before_out) = self.bytes.get();
        self.bytes.set((before_in + bytes_in as u64, before_out + bytes_out as u64));
    }
}

#[cfg(test)]
mod tests;

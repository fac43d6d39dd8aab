//! A visitor's part in a swarm, as a pure state machine: messages of its peers in, messages to them out. No socket, no clock.
//!
//! A [`Torrent`] is what all connections of a visitor in one swarm share: what it has and wants, whom it asks for what, to whom it
//! gives. [`client`](super::client) moves its bytes.

mod bits;
mod choke;
mod fast;
mod fetch;
mod give;
mod layers;
mod metadata;
mod picker;
mod proof;
mod remote;
mod store;
mod turns;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand_xoshiro::SplitMix64;

use crate::journey::{Cause, Swarm};
use crate::profile::InfoHash;
use crate::unit::Tick;

use super::metainfo::{Layout, MAX_PIECES};
use super::wire::{self, Message, Offer, Plain, Spanning};

use bits::Bits;
use metadata::Fetch;
use picker::Picker;
use remote::Remote;
use turns::Turns;
use web::Web;

pub(super) use picker::PeerKey;
pub(super) use proof::Proof;
pub(super) use remote::Meeting;
pub(super) use store::{Generator, Store};
pub(super) use web::{Run, Standing};

/// Requests that we let wait, as we tell peers.
const OWN_QUEUE: u32 = 250;
/// Peers are told of others no more often (BEP 11).
const PEX_EVERY: Duration = Duration::from_secs(60);

/// What a visitor is like as a peer.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) info_hash: InfoHash,
    /// Name and version of its client.
    pub(super) client: Rc<str>,
    /// Where peers reach it; `None` where none can.
    pub(super) port: Option<u16>,
    /// Peers that are served at a time, not counting the optimistic one (BEP 3: four).
    pub(super) slots: usize,
}

/// All connections of a visitor in one swarm.
#[derive(Debug)]
pub(super) struct Torrent {
    own: Own,
    layout: Option<Rc<Layout>>,
    metadata: Option<Fetch>,
    /// The hash that peers are told, under which pieces are kept.
    hash: [u8; 20],
    picker: Option<Picker>,
    wanted: u32,
    remotes: BTreeMap<PeerKey, Remote>,
    web: Web,
    next_key: PeerKey,
    /// Pieces that are whole and that nobody has been told of.
    fresh: u32,
    uploaded: u64,
    choking: choke::Rounds,
    /// Who may ask next, and who may give.
    asking: Turns,
    serving: Turns,
    /// Bytes of requests that the line was charged for and that will not be answered.
    void: u64,
    /// Connections whose peer has something to read.
    awake: Vec<PeerKey>,
    tally: Swarm,
    store: Rc<Store>,
    random: SplitMix64,
}

impl Torrent {
    pub(super) fn new(own: Own, layout: Option<Rc<Layout>>, store: Rc<Store>, random: SplitMix64) -> Self {
        let mut torrent = Self {
            hash: own.info_hash.on_the_wire(),
            own,
            layout: None,
            metadata: None,
            picker: None,
            wanted: 0,
            remotes: BTreeMap::new(),
            web: Web::default(),
            next_key: 0,
            fresh: 0,
            uploaded: 0,
            choking: choke::Rounds::default(),
            asking: Turns::default(),
            serving: Turns::default(),
            void: 0,
            awake: Vec::new(),
            tally: Swarm::default(),
            store,
            random,
        };
        if let Some(layout) = layout {
            torrent.know(layout);
        }
        torrent
    }

    /// The layout, once known.
    pub(super) fn layout(&self) -> Option<&Rc<Layout>> {
        self.layout.as_ref()
    }

    /// Fetches so many pieces in all.
    pub(super) fn want(&mut self, pieces: u32) {
        self.wanted = pieces;
        if let Some(picker) = &mut self.picker {
            picker.want(pieces);
        }
        self.web.stir();
        for key in self.keys() {
            self.show_interest(key);
        }
    }

    /// Takes a piece that was fetched and not taken yet.
    pub(super) fn take_piece(&mut self) -> bool {
        let there = self.fresh > 0;
        self.fresh -= u32::from(there);
        there
    }

    /// Whether a peer lets itself be asked for something that is wanted, or did.
    pub(super) fn is_ready(&self) -> bool {
        let Some(picker) = &self.picker else { return false };
        // Whoever has a piece already was let in.
        picker.have().count() > 0
            || self.web.gives()
            || self.remotes.values().any(|it| !it.chokes_us && it.has.offers(picker.have()))
    }

    /// Whether it is the peers who make us wait: all of them choke, or none has what is missing.
    pub(super) fn is_held_back(&self) -> bool {
        let open = self
            .remotes
            .values()
            .any(|it| !it.chokes_us && self.picker.as_ref().is_some_and(|picker| picker.wants_of(&it.has)));
        !open && self.remotes.values().all(|it| it.asked.is_empty())
    }

    /// Number of pieces; 0 while unknown.
    pub(super) fn pieces(&self) -> u32 {
        self.layout.as_ref().map_or(0, |layout| layout.pieces())
    }

    /// Whether all is there that was wanted.
    pub(super) fn is_done(&self) -> bool {
        self.picker.as_ref().is_some_and(|picker| picker.is_done())
    }

    /// Whether a peer owes blocks.
    pub(super) fn owes(&self, key: PeerKey) -> bool {
        self.remotes.get(&key).is_some_and(|remote| !remote.asked.is_empty())
    }

    /// Number of connections.
    pub(super) fn connections(&self) -> usize {
        self.remotes.len()
    }

    /// Number of connections that something wanted may come from.
    pub(super) fn promising(&self) -> usize {
        self.remotes.values().filter(|it| it.is_promising()).count()
    }

    /// Whether there is a connection from which nothing wanted comes.
    pub(super) fn has_unpromising(&self) -> bool {
        !self.remotes.values().all(Remote::is_promising)
    }

    /// Whether there is a connection to the peer of this id.
    pub(super) fn knows(&self, peer_id: &[u8; 20]) -> bool {
        self.remotes.values().any(|it| it.meeting.peer_id == *peer_id)
    }

    /// Payload bytes given to peers so far.
    pub(super) fn uploaded(&self) -> u64 {
        self.uploaded
    }

    /// What was counted since this was last asked.
    pub(super) fn tally(&mut self) -> Swarm {
        std::mem::take(&mut self.tally)
    }

    /// Connections that have something to do since this was last asked.
    pub(super) fn awake(&mut self) -> Vec<PeerKey> {
        let mut awake = std::mem::take(&mut self.awake);
        awake.extend(self.web.awake());
        awake
    }

    /// Appends what is to be sent to a peer.
    pub(super) fn take_out(&mut self, key: PeerKey, out: &mut Vec<u8>) {
        if let Some(remote) = self.remotes.get_mut(&key) {
            out.append(&mut remote.out);
        }
    }

    /// Begins a conversation after both handshakes.
    pub(super) fn join(&mut self, meeting: Meeting, now: Tick) -> PeerKey {
        let key = self.next_key;
        self.next_key += 1;
        let mut remote = Remote::new(meeting, now);
        if meeting.extended {
            let introduction = wire::Introduction {
                client: &self.own.client,
                port: self.own.port,
                metadata_size: self.layout.as_ref().map(|layout| layout.info().len()),
                reqq: OWN_QUEUE,
                your_ip: meeting.address.ip(),
            };
            wire::hello(&mut remote.out, &introduction);
        }
        self.say_what_we_have(&mut remote);
        self.allow_some(&mut remote);
        self.remotes.insert(key, remote);
        key
    }

    /// Ends a conversation.
    pub(super) fn leave(&mut self, key: PeerKey, now: Tick) {
        let Some(remote) = self.remotes.remove(&key) else { return };
        if let Some(picker) = &mut self.picker {
            picker.lost(&remote.has);
        }
        self.give_up(&remote.asked);
        self.awake.extend(self.asking.leave(key));
        self.awake.extend(self.serving.leave(key));
        if !remote.choked {
            self.fill_slots(now);
        }
        // Who is left may have the metadata too; one who has not is no worse for it.
        let _ = self.metadata_refused(key, now);
        self.wake_others(key);
    }

    /// What was asked of one peer is free for the others.
    fn wake_others(&mut self, key: PeerKey) {
        self.awake.extend(self.remotes.keys().filter(|other| **other != key));
        self.web.stir();
    }

    /// Takes a message in.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where the peer breaks the protocol, [`Cause::Incorrect`] where it gave wrong bytes, [`Cause::Rejected`]
    /// where it is of no use.
    pub(super) fn handle(&mut self, key: PeerKey, message: Message<'_>, now: Tick) -> Result<(), Cause> {
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        remote.heard = true;
        match message {
            Message::KeepAlive | Message::Other => Ok(()),
            Message::MetadataReject => self.metadata_refused(key, now),
            Message::Choke => {
                remote.chokes_us = true;
                // With the Fast extension each request is refused by name (BEP 6).
                if !remote.meeting.fast {
                    self.take_back(key);
                }
                Ok(())
            }
            Message::Unchoke => {
                remote.chokes_us = false;
                Ok(())
            }
            Message::Interested => {
                remote.wants_us = true;
                self.fill_slots(now);
                Ok(())
            }
            Message::NotInterested => {
                remote.wants_us = false;
                Ok(())
            }
            Message::Have(piece) => self.have(key, piece),
            Message::Bitfield(bits) => {
                let bits = Bits::from_wire(bits);
                self.has(key, bits)
            }
            Message::HaveAll => {
                remote.has_all = true;
                match self.layout.as_ref().map(|layout| layout.pieces()) {
                    Some(pieces) => self.has(key, Bits::all(pieces)),
                    None => Ok(()),
                }
            }
            Message::HaveNone => Ok(()),
            Message::AllowedFast(piece) => {
                // More than any client gives (BEP 6: ten).
                if remote.allowed.len() < 64 {
                    remote.allowed.push(piece);
                }
                Ok(())
            }
            Message::Request(span) => self.requested(key, span),
            Message::Cancel(span) => {
                let before = remote.queue.len();
                remote.queue.retain(|other| *other != span);
                if remote.meeting.fast && remote.queue.len() < before {
                    wire::spanning(&mut remote.out, Spanning::Reject, span);
                }
                Ok(())
            }
            Message::Reject(span) => self.rejected(key, span),
            Message::Block { piece, begin, data } => self.block(key, piece, begin, data, now),
            Message::Offer(offer) => {
                self.offered(key, offer, now)?;
                Ok(())
            }
            Message::MetadataRequest(block) => {
                self.give_metadata(key, block);
                Ok(())
            }
            Message::MetadataBlock { block, data } => self.metadata_block(key, block, data, now),
            Message::Hashes { request, hashes } => self.hashes(key, &request, hashes, now),
            Message::HashReject(_) => self.metadata_refused(key, now),
            // What a visitor has of a v2 torrent's hashes it has from others, who have them too.
            Message::HashRequest(request) => {
                wire::hash_reject(&mut remote.out, &request);
                Ok(())
            }
            // Handed out by `Torrent::peers_in`.
            Message::Peers(_) => Ok(()),
        }
    }

    fn keys(&self) -> Vec<PeerKey> {
        self.remotes.keys().copied().collect()
    }

    /// The layout has become known.
    fn know(&mut self, layout: Rc<Layout>) {
        let store = Rc::clone(&self.store);
        let random = self.random.clone();
        let mut picker = Picker::new(Rc::clone(&layout), self.hash, self.wanted, store, random);
        let pieces = layout.pieces();
        for remote in self.remotes.values_mut() {
            if remote.has_all {
                remote.has = Bits::all(pieces);
            }
            if remote.has.fits(pieces) {
                remote.has.iter().for_each(|piece| picker.gained(piece));
            } else {
                remote.has = Bits::none(pieces);
                remote.doomed = Some(Cause::Malformed);
            }
        }
        self.layout = Some(layout);
        self.picker = Some(picker);
        self.metadata = None;
        for key in self.keys() {
            self.show_interest(key);
        }
        self.awake = self.keys();
        self.web.stir();
    }

    fn have(&mut self, key: PeerKey, piece: u32) -> Result<(), Cause> {
        let limit = self.layout.as_ref().map_or(MAX_PIECES, |layout| layout.pieces());
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        if piece >= limit {
            return Err(Cause::Malformed);
        }
        if remote.has.add(piece)
            && let Some(picker) = &mut self.picker
        {
            picker.gained(piece);
        }
        self.show_interest(key);
        Ok(())
    }

    fn has(&mut self, key: PeerKey, bits: Bits) -> Result<(), Cause> {
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        if self.layout.as_ref().is_some_and(|layout| !bits.fits(layout.pieces())) {
            return Err(Cause::Malformed);
        }
        if let Some(picker) = &mut self.picker {
            picker.lost(&remote.has);
            bits.iter().for_each(|piece| picker.gained(piece));
        }
        remote.has = bits;
        self.show_interest(key);
        Ok(())
    }

    /// Says whether a peer has something that is wanted, where that has changed.
    fn show_interest(&mut self, key: PeerKey) {
        let Some(remote) = self.remotes.get_mut(&key) else { return };
        let wanted = match &self.picker {
            Some(picker) => picker.wants_of(&remote.has),
            // Whoever has anything will have something of use.
            None => remote.has_all || remote.has.count() > 0,
        };
        if wanted != remote.wanted {
            remote.wanted = wanted;
            wire::plain(&mut remote.out, if wanted { Plain::Interested } else { Plain::NotInterested });
            self.awake.push(key);
        }
    }

    /// Does what is due, and says when something will be.
    ///
    /// # Errors
    /// Why the connection must end.
    pub(super) fn turn(&mut self, key: PeerKey, now: Tick) -> Result<Option<Tick>, Cause> {
        let round = self.choke_round(now);
        let Some(remote) = self.remotes.get_mut(&key) else { return Err(Cause::Closed) };
        if let Some(cause) = remote.doomed {
            return Err(cause);
        }
        let silent = remote.silent_at();
        if silent.is_some_and(|at| at <= now) {
            remote.snubbed = true;
            self.tally.snubs += 1;
            self.take_back(key);
            return Ok(round);
        }
        let metadata = self.metadata_due(key);
        if metadata.is_some_and(|at| at <= now) {
            self.metadata_refused(key, now).map_err(|_| Cause::Timeout)?;
            return Ok(round);
        }
        Ok([round, silent, metadata].into_iter().flatten().min())
    }

    /// Whether nothing can come of the connection: both have everything.
    pub(super) fn is_useless(&self, key: PeerKey) -> bool {
        let (Some(picker), Some(layout), Some(remote)) = (&self.picker, &self.layout, self.remotes.get(&key))
        else {
            return false;
        };
        remote.has.count() == layout.pieces() && picker.is_done()
    }

    fn offered(&mut self, key: PeerKey, offer: Offer, now: Tick) -> Result<(), Cause> {
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        self.tally.holepunch += u64::from(offer.holepunch);
        remote.offer = offer;
        self.want_metadata(key, now)
    }

    /// Tells a peer of the others, where it wants to know and it is time.
    pub(super) fn tell_peers(&mut self, key: PeerKey, now: Tick) {
        let due = |remote: &Remote| {
            remote.offer.ut_pex != 0 && remote.told_peers.is_none_or(|at| now.since(at) >= PEX_EVERY)
        };
        if !self.remotes.get(&key).is_some_and(due) {
            return;
        }
        let others: Vec<SocketAddr> = self
            .remotes
            .iter()
            .filter(|(other, _)| **other != key)
            .filter_map(|(_, it)| it.listens())
            .collect();
        if let Some(remote) = self.remotes.get_mut(&key).filter(|_| !others.is_empty()) {
            wire::pex(&mut remote.out, remote.offer.ut_pex, &others);
            remote.told_peers = Some(now);
        }
    }
}

#[cfg(test)]
mod tests;

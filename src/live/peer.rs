//! Peer connections: moves bytes between a guarded socket and a [`Session`].

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::journey::Cause;
use crate::profile::InfoHash;

use super::guard::{Connection, cause};
use super::metainfo::Layout;
use super::meter::Meter;
use super::session::Session;
use super::shaper::Bucket;
use super::wire::{self, Frames};
use super::{Clock, Guard};

/// Silence after which a keep-alive is sent (BEP 3: two minutes end a connection).
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(100);

/// Bytes read at a time: little while only short messages come, since thousands of peers wait at a time; several blocks in a piece.
const SMALL_READ: usize = 2 << 10;
const LARGE_READ: usize = 4 * wire::BLOCK as usize;

/// What a visitor says of itself to peers.
#[derive(Clone, Debug)]
pub(super) struct Introduction<'a> {
    pub(super) info_hash: InfoHash,
    pub(super) peer_id: [u8; 20],
    pub(super) client: &'a str,
}

/// A connection to a peer after the handshake. Dropping it closes it.
#[derive(Debug)]
pub(super) struct PeerConnection {
    stream: Connection,
    frames: Frames,
    session: Session,
    out: Vec<u8>,
}

impl PeerConnection {
    /// Connects to this address from a local one, or from the system's choice, and exchanges handshakes.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] where the peer serves another torrent, [`Cause::Malformed`] where it is no peer, or the network's.
    pub(super) async fn open(
        guard: &Guard,
        (address, source): (SocketAddr, Option<IpAddr>),
        who: &Introduction<'_>,
        layout: Option<Rc<Layout>>,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        meter.start();
        let mut stream = guard.connect(address, source).await?;
        let mut frames = Frames::default();
        let hello = wire::handshake(&who.info_hash.on_the_wire(), who.info_hash.v2().is_some(), &who.peer_id);
        stream.write_all(&hello).await.map_err(|error| cause(&error))?;
        meter.sent(hello.len());
        let (info_hash, extended) = loop {
            receive(&mut stream, &mut frames, SMALL_READ, meter).await?;
            if let Some(theirs) = frames.handshake() {
                break wire::read_handshake(theirs).map_err(|_| Cause::Malformed)?;
            }
        };
        if !who.info_hash.is_named_by(&info_hash) {
            return Err(Cause::Incorrect);
        }
        let mut out = Vec::new();
        if extended {
            wire::extension_handshake(&mut out, who.client);
        }
        let session = Session::new(who.info_hash, layout, extended);
        session.check_metadata()?;
        Ok(Self { stream, frames, session, out })
    }

    /// Waits until the layout is known, fetching it from the peer if need be.
    ///
    /// # Errors
    /// [`Cause::Rejected`] where the peer does not give it, [`Cause::Incorrect`] where its hash is wrong, or the network's.
    pub(super) async fn metadata(&mut self, meter: &Meter) -> Result<Rc<Layout>, Cause> {
        loop {
            self.take_in()?;
            if let Some(layout) = self.session.layout() {
                return Ok(Rc::clone(layout));
            }
            self.exchange(meter, None).await?;
        }
    }

    /// Waits until the peer can be asked for pieces.
    ///
    /// # Errors
    /// As [`PeerConnection::metadata`]; patience that ends while the peer chokes is [`Cause::Rejected`].
    pub(super) async fn ready(&mut self, meter: &Meter) -> Result<Rc<Layout>, Cause> {
        let layout = self.metadata(meter).await?;
        loop {
            self.take_in()?;
            if self.session.is_ready() {
                self.frames.rest();
                meter.set_overdue(Cause::Timeout);
                return Ok(layout);
            }
            meter.set_overdue(Cause::Rejected);
            self.exchange(meter, None).await?;
        }
    }

    /// Fetches the first of these pieces, no faster than `line` allows, and checks it. Requests go on with the others, which are wanted
    /// next; what those take from the line and what they bring count when it happens, so that a piece may find blocks there already.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] for a bad hash, [`Cause::Malformed`] for a block that was not asked for, or the network's; patience that
    /// ends while the peer chokes is [`Cause::Rejected`].
    pub(super) async fn piece(
        &mut self,
        pieces: Range<u32>,
        line: &mut Bucket,
        clock: Clock,
        meter: &Meter,
    ) -> Result<(), Cause> {
        meter.start();
        self.session.fetch(pieces.clone(), line.pipeline())?;
        loop {
            self.take_in()?;
            let wait = self.ask(line, clock);
            if self.session.finished()? {
                if pieces.len() == 1 {
                    self.frames.rest();
                }
                return self.send(meter).await;
            }
            let held_back = self.session.is_held_back();
            meter.set_overdue(if held_back { Cause::Rejected } else { Cause::Timeout });
            self.exchange(meter, wait).await?;
        }
    }

    /// Asks for as many blocks as peer and line allow; returns how long the line makes the next one wait.
    fn ask(&mut self, line: &mut Bucket, clock: Clock) -> Option<Duration> {
        while let Some(bytes) = self.session.wanted() {
            if let Err(wait) = line.take(clock.now(), bytes) {
                return Some(wait);
            }
            self.session.ask(&mut self.out);
        }
        None
    }

    /// Hands every message that is whole to the session.
    fn take_in(&mut self) -> Result<(), Cause> {
        while let Some(message) = self.frames.next().map_err(|_| Cause::Malformed)? {
            self.session.handle(message, &mut self.out)?;
        }
        Ok(())
    }

    /// Sends what is due.
    async fn send(&mut self, meter: &Meter) -> Result<(), Cause> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out).await.map_err(|error| cause(&error))?;
            meter.sent(self.out.len());
            self.out.clear();
        }
        Ok(())
    }

    /// Sends what is due, then waits for bytes from the peer, at most for `wait`.
    async fn exchange(&mut self, meter: &Meter, wait: Option<Duration>) -> Result<(), Cause> {
        self.send(meter).await?;
        let quiet = wait.unwrap_or(KEEP_ALIVE_AFTER);
        let room = if self.session.is_fetching() { LARGE_READ } else { SMALL_READ };
        match tokio::time::timeout(quiet, receive(&mut self.stream, &mut self.frames, room, meter)).await {
            Ok(received) => received,
            Err(_) => {
                if wait.is_none() {
                    self.out.extend(wire::KEEP_ALIVE);
                }
                Ok(())
            }
        }
    }
}

/// Reads what is there, at least a byte.
async fn receive(
    stream: &mut Connection,
    frames: &mut Frames,
    room: usize,
    meter: &Meter,
) -> Result<(), Cause> {
    let read = stream.read_buf(frames.space(room)).await.map_err(|error| cause(&error))?;
    meter.received(read);
    if read == 0 { Err(Cause::Closed) } else { Ok(()) }
}

#[cfg(test)]
mod tests;

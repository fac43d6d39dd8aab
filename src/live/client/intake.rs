//! Both directions of a conversation between the socket and the torrent.

use std::cell::Cell;
use std::rc::Rc;

use tokio::io::AsyncReadExt;

use super::super::guard::cause;
use super::super::torrent::PeerKey;
use super::super::wire::{Frames, Handshake};
use super::stream::Stream;
use super::{Client, SMALL_READ};
use crate::journey::Cause;

/// Bytes on their way in. However the conversation ends, what its peer sent by then is counted: the peer counts it too, and its operator pays
/// for it.
pub(super) struct Intake {
    pub(super) frames: Frames,
    client: Rc<Client>,
    key: PeerKey,
    /// Bytes that the socket held when it was closed.
    unread: Rc<Cell<u64>>,
}

impl Intake {
    /// Must be dropped after the stream.
    pub(super) fn new(client: &Rc<Client>, key: PeerKey, stream: &Stream, frames: Frames) -> Self {
        Self { frames, client: Rc::clone(client), key, unread: stream.unread() }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        let bytes = self.unread.get() + self.frames.unread() as u64;
        if bytes > 0 {
            self.client.torrent.borrow_mut().came_too_late(self.key, bytes);
            self.client.ring();
        }
    }
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pub(super) bytes: Vec<u8>,
    at: usize,
}

impl Sending {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        if self.at >= self.bytes.len() {
            // Between blocks a connection holds no buffer: thousands are idle at a time.
            *self = Self::default();
        }
    }
}

/// Reads a peer's handshake, and what came with it.
pub(super) async fn read_handshake(stream: &mut Stream) -> Result<(Frames, Handshake), Cause> {
    let mut frames = Frames::default();
    loop {
        let read = stream.read_buf(frames.space(SMALL_READ)).await.map_err(|error| cause(&error))?;
        if read == 0 {
            return Err(Cause::Closed);
        }
        if let Some(theirs) = frames.handshake() {
            let theirs = Handshake::read(theirs).map_err(|_| Cause::Malformed)?;
            return Ok((frames, theirs));
        }
    }
}

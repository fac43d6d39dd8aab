//! What carries the bytes of a conversation.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use librqbit_utp::UtpStream;
use rand_xoshiro::SplitMix64;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::super::guard::{Connection, cause};
use super::super::mse::{self, Agreed, Asked, Ciphers};
use super::super::wire::PROTOCOL;
use crate::journey::Cause;
use crate::profile::Encryption;

/// Encrypted bytes that wait to be taken, at most.
const MAX_SEALED: usize = 16 << 10;

/// A connection to a peer.
pub(super) struct Stream {
    carrier: Carrier,
    /// What was read already, and is still to be handed out.
    ahead: Vec<u8>,
    ciphers: Option<Box<Ciphers>>,
    /// The beginning of what is to be written, encrypted.
    sealed: Vec<u8>,
    /// What nobody had read when it was closed.
    unread: Rc<Cell<u64>>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Carrier::Tcp(connection) = &self.carrier {
            self.unread.set(connection.unread());
        }
    }
}

enum Carrier {
    Tcp(Connection),
    Utp(UtpStream),
}

impl From<Connection> for Stream {
    fn from(connection: Connection) -> Self {
        Self::new(Carrier::Tcp(connection))
    }
}

impl From<UtpStream> for Stream {
    fn from(stream: UtpStream) -> Self {
        Self::new(Carrier::Utp(stream))
    }
}

impl Stream {
    fn new(carrier: Carrier) -> Self {
        Self { carrier, ahead: Vec::new(), ciphers: None, sealed: Vec::new(), unread: Rc::default() }
    }

    /// Bytes that wait in the socket when the stream is dropped, once it is. Over uTP they are not known.
    pub(super) fn unread(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.unread)
    }

    pub(super) fn is_utp(&self) -> bool {
        matches!(self.carrier, Carrier::Utp(_))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.ciphers.is_some()
    }

    /// Begins to encrypt a connection that this side has opened.
    ///
    /// # Errors
    /// As [`mse::initiate`].
    pub(super) async fn encrypt(
        &mut self,
        info_hash: &[u8; 20],
        encryption: Encryption,
        mut random: SplitMix64,
    ) -> Result<(), Cause> {
        let agreed = mse::initiate(&mut self.carrier, info_hash, methods(encryption), &mut random).await?;
        self.go_on(agreed);
        Ok(())
    }

    /// Whether a connection that a peer has opened begins with the handshake of the peer wire protocol. Whatever else it begins with may
    /// be a key.
    ///
    /// # Errors
    /// What became of the connection.
    pub(super) async fn is_plain(&mut self) -> Result<bool, Cause> {
        while self.ahead.len() < PROTOCOL.len() && PROTOCOL.starts_with(&self.ahead) {
            let read = self.carrier.read_buf(&mut self.ahead).await.map_err(|error| cause(&error))?;
            if read == 0 {
                return Err(Cause::Closed);
            }
        }
        Ok(self.ahead.starts_with(PROTOCOL))
    }

    /// Answers a peer that begins to encrypt.
    ///
    /// # Errors
    /// As [`mse::receive`].
    pub(super) async fn asked(&mut self, mut random: SplitMix64) -> Result<Asked, Cause> {
        let first = std::mem::take(&mut self.ahead);
        mse::receive(&mut self.carrier, first, &mut random).await
    }

    /// Goes on with the torrent that the peer wants.
    ///
    /// # Errors
    /// As [`Asked::accept`].
    pub(super) async fn accept(
        &mut self,
        asked: Asked,
        info_hash: &[u8; 20],
        encryption: Encryption,
    ) -> Result<(), Cause> {
        let agreed = asked.accept(&mut self.carrier, info_hash, methods(encryption)).await?;
        self.go_on(agreed);
        Ok(())
    }

    fn go_on(&mut self, agreed: Agreed) {
        self.ciphers = agreed.ciphers;
        self.ahead = agreed.ahead;
    }
}

/// What a client goes on with after the encrypted handshake.
fn methods(encryption: Encryption) -> u32 {
    match encryption {
        Encryption::Disabled => mse::PLAINTEXT,
        Encryption::Prefer => mse::PLAINTEXT | mse::ARC4,
        Encryption::Require => mse::ARC4,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead[..length]);
            this.ahead.drain(..length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.carrier).poll_read(context, buffer);
        if let Some(ciphers) = &mut this.ciphers {
            ciphers.decrypt(&mut buffer.filled_mut()[before..]);
        }
        read
    }
}

/// What is not taken at once has to come again, with more behind it perhaps: its beginning may be encrypted already, and can be so only
/// once.
impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let carrier = Pin::new(&mut this.carrier);
        let Some(ciphers) = &mut this.ciphers else { return carrier.poll_write(context, bytes) };
        let (sealed, more) = (this.sealed.len(), bytes.len().min(MAX_SEALED));
        this.sealed.extend_from_slice(bytes.get(sealed..more).unwrap_or_default());
        ciphers.encrypt(&mut this.sealed[sealed..]);
        carrier.poll_write(context, &this.sealed).map_ok(|taken| {
            this.sealed.drain(..taken);
            if this.sealed.is_empty() {
                // An idle connection holds no buffer.
                this.sealed = Vec::new();
            }
            taken
        })
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_shutdown(context)
    }
}

/// librqbit-utp has no kinds of errors: what goes wrong once a connection is there ends it.
fn closed(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Utp(stream) => Pin::new(stream).poll_read(context, buffer).map_err(closed),
        }
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Utp(stream) => Pin::new(stream).poll_write(context, bytes).map_err(closed),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Utp(stream) => Pin::new(stream).poll_flush(context).map_err(closed),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Utp(stream) => Pin::new(stream).poll_shutdown(context).map_err(closed),
        }
    }
}

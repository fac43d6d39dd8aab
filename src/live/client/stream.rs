//! What carries the bytes of a conversation.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use librqbit_utp::UtpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::guard::Connection;

/// A connection to a peer.
pub(super) enum Stream {
    Tcp(Connection),
    Utp(UtpStream),
}

impl Stream {
    pub(super) fn is_utp(&self) -> bool {
        matches!(self, Self::Utp(_))
    }
}

/// librqbit-utp has no kinds of errors: what goes wrong once a connection is there ends it.
fn closed(error: io::Error) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}

impl AsyncRead for Stream {
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

impl AsyncWrite for Stream {
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

//! The socket of uTP (BEP 29), guarded. The protocol is librqbit-utp's, which paces itself by CUBIC and not by LEDBAT: its senders yield to
//! TCP no more than TCP does.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dontfrag::UdpSocketExt;
use librqbit_dualstack_sockets::PollSendToVectored;
use librqbit_utp::{SocketOpts, Transport, UtpSocketUdp, UtpStream};
use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::journey::Cause;

use super::{Guard, cause};

/// Bytes that a connection may have received and nobody read, and sent and not acknowledged. It begins with a small part of the latter:
/// thousands of connections rest at a time.
const WINDOW: NonZeroUsize = NonZeroUsize::new(256 << 10).unwrap();
const FIRST_WINDOW: NonZeroUsize = NonZeroUsize::new(8 << 10).unwrap();
/// Connections at one address: where visitors share the machine's, all of theirs.
const MAX_STREAMS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();
/// The library gives up a peer that has been silent for as long. Longer than two minutes: the peer wire protocol has its own limit.
const SILENCE: Duration = Duration::from_secs(180);

/// The clock and the dice of librqbit-utp, a type that it does not name.
type Environment = <UtpSocketUdp as HasEnvironment>::Environment;

trait HasEnvironment {
    type Environment;
}

impl<T, E> HasEnvironment for librqbit_utp::UtpSocket<T, E> {
    type Environment = E;
}

/// uTP at one address, to and from allowed addresses only. Dropping it ends its connections without a word.
#[derive(Debug)]
pub(in super::super) struct UtpSocket {
    socket: Arc<librqbit_utp::UtpSocket<Guarded, Environment>>,
    guard: Arc<Guard>,
    _end: DropGuard,
}

impl UtpSocket {
    /// Connects. The first packet is not sent again, and a refusal goes unheard: the caller has to give up after a while.
    ///
    /// # Errors
    /// [`Cause::Foreign`] before a packet leaves where the address is not allowed, else [`Cause::Local`] or what [`cause`] makes of the
    /// failure.
    pub(in super::super) async fn connect(&self, address: SocketAddr) -> Result<UtpStream, Cause> {
        if !self.guard.allows(address) {
            return Err(Cause::Foreign);
        }
        self.socket.connect(address).await.map_err(|error| match error {
            librqbit_utp::Error::ErrorSendingSyn(error) => cause(&error),
            _ => Cause::Local,
        })
    }

    /// Waits for a connection that a peer opens.
    ///
    /// # Errors
    /// None comes any more.
    pub(in super::super) async fn accept(&self) -> librqbit_utp::Result<UtpStream> {
        self.socket.accept().await
    }
}

pub(super) fn open(guard: &Arc<Guard>, socket: std::net::UdpSocket) -> io::Result<UtpSocket> {
    let socket = UdpSocket::from_std(socket)?;
    // The library finds out what goes through in one piece, and would find that everything does.
    if socket.local_addr()?.is_ipv4() {
        socket.set_dontfrag_v4(true)?
    } else {
        socket.set_dontfrag_v6(true)?
    }
    let transport = Guarded { socket, guard: Arc::clone(guard) };
    let end = CancellationToken::new();
    let options = SocketOpts {
        vsock_rx_bufsize_bytes: Some(WINDOW),
        vsock_tx_bufsize_bytes_initial: Some(FIRST_WINDOW),
        vsock_tx_bufsize_bytes_max: Some(WINDOW),
        disable_nagle: true,
        cancellation_token: end.clone(),
        remote_inactivity_timeout: Some(SILENCE),
        max_live_vsocks: Some(MAX_STREAMS),
        ..SocketOpts::default()
    };
    let socket = librqbit_utp::UtpSocket::new_with_opts(transport, Environment::default(), options);
    let socket = socket.map_err(io::Error::other)?;
    Ok(UtpSocket { socket, guard: Arc::clone(guard), _end: end.drop_guard() })
}

/// A UDP socket that sends to allowed addresses only, whatever the library makes of what a peer says, and hears nobody else.
#[derive(Debug)]
struct Guarded {
    socket: UdpSocket,
    guard: Arc<Guard>,
}

/// A datagram that may not leave is lost, as datagrams are: the connection ends by its own time-outs.
impl Transport for Guarded {
    async fn recv_from<'a>(&'a self, buffer: &'a mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let (length, from) = self.socket.recv_from(buffer).await?;
            if self.guard.allows(from) {
                return Ok((length, from));
            }
        }
    }

    async fn send_to<'a>(&'a self, bytes: &'a [u8], to: SocketAddr) -> io::Result<usize> {
        if self.guard.allows(to) { self.socket.send_to(bytes, to).await } else { Ok(bytes.len()) }
    }

    fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        if self.guard.allows(to) {
            self.socket.poll_send_to(context, bytes, to)
        } else {
            Poll::Ready(Ok(bytes.len()))
        }
    }

    /// What it calls itself in its own log.
    fn bind_addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap_or_else(|_| SocketAddr::from(([0; 4], 0)))
    }
}

impl PollSendToVectored for Guarded {
    fn poll_send_to_vectored(
        &self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
        to: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        if self.guard.allows(to) {
            self.socket.poll_send_to_vectored(context, parts, to)
        } else {
            Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()))
        }
    }
}

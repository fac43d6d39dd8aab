//! The socket of a QUIC endpoint, guarded.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, TokioRuntime, UdpPoller};

use super::Guard;

/// An endpoint that connects and never accepts. Its tasks run on the current tokio runtime.
pub(super) fn endpoint(guard: &Arc<Guard>, socket: std::net::UdpSocket) -> io::Result<Endpoint> {
    let socket = TokioRuntime.wrap_udp_socket(socket)?;
    let guarded = Arc::new(Guarded { socket, guard: Arc::clone(guard) });
    Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, guarded, Arc::new(TokioRuntime))
}

/// A UDP socket that sends to allowed addresses only, whatever quinn makes of what a server says.
#[derive(Debug)]
struct Guarded {
    socket: Arc<dyn AsyncUdpSocket>,
    guard: Arc<Guard>,
}

impl AsyncUdpSocket for Guarded {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    /// A datagram that may not leave is lost, as datagrams are: the connection ends by its own time-outs.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.guard.allows(transmit.destination) { self.socket.try_send(transmit) } else { Ok(()) }
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(context, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

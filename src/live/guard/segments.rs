//! A UDP socket that is bound to one address and sends many datagrams by one call: what the machine's own ceiling is measured with.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::Guard;

/// A UDP socket on one local address.
pub(in super::super) struct Segments {
    socket: UdpSocket,
    state: UdpSocketState,
    guard: Arc<Guard>,
}

impl Segments {
    /// The most that one call receives, in bytes.
    pub(in super::super) const ROOM: usize = 64 << 10;

    pub(super) fn new(socket: std::net::UdpSocket, guard: Arc<Guard>) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, guard })
    }

    /// Its own address.
    pub(in super::super) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Datagrams that one call may send; 1 where the kernel cannot segment.
    pub(in super::super) fn most(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Sends the contents as datagrams of so many bytes each.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] where the address is not allowed, else the system's.
    pub(in super::super) async fn send(
        &self,
        contents: &[u8],
        each: usize,
        to: SocketAddr,
    ) -> io::Result<()> {
        if !self.guard.allows(to) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let segment_size = (contents.len() > each).then_some(each);
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
        let send = || self.state.try_send((&self.socket).into(), &transmit);
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// Waits for datagrams and takes in what one call gives; how many there were.
    ///
    /// # Errors
    /// The system's.
    pub(in super::super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let receive = || {
            let mut meta = [RecvMeta::default()];
            let mut slices = [IoSliceMut::new(buffer)];
            self.state.recv((&self.socket).into(), &mut slices, &mut meta)?;
            let [meta] = meta;
            Ok(meta.len.div_ceil(meta.stride.max(1)))
        };
        self.socket.async_io(Interest::READABLE, receive).await
    }
}

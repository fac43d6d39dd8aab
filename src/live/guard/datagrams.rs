//! UDP sockets that send to allowed addresses only.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn::udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::journey::Cause;

use super::super::udp::outbox::{Batch, MOST};
use super::{Guard, cause};

/// A UDP socket on one local address.
#[derive(Debug)]
pub(in super::super) struct Datagrams {
    pub(super) socket: UdpSocket,
    pub(super) guard: Arc<Guard>,
}

impl Datagrams {
    /// Sends one datagram.
    ///
    /// # Errors
    /// [`Cause::Foreign`] before a packet leaves where the address is not allowed, else what [`cause`] makes of the failure.
    pub(in super::super) async fn send(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Cause> {
        if !self.guard.allows(to) {
            return Err(Cause::Foreign);
        }
        self.socket.send_to(bytes, to).await.map(|_| ()).map_err(|error| cause(&error))
    }

    /// Waits until there is something to receive.
    pub(in super::super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives one datagram where one is there.
    pub(in super::super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buffer)
    }
}

/// The longest that the kernel hands over at a time: one datagram, or several of one length that came together (UDP_GRO).
const MAX_RECEIVED: usize = 64 << 10;

/// Batches that are taken in at one go before others have their turn.
const BATCHES: usize = 4;

/// A UDP socket on any of the machine's addresses: each datagram says from which it goes, and to which it came.
pub(in super::super) struct ManyDatagrams {
    socket: UdpSocket,
    /// quinn's, which does no more with QUIC than with anything else: batches, and addresses of single datagrams.
    state: UdpSocketState,
    guard: Arc<Guard>,
    /// Where datagrams are received to: [`BATCH_SIZE`] times [`MAX_RECEIVED`] bytes, of which the system gives what is used.
    buffer: RefCell<Vec<u8>>,
}

/// A datagram that came in.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Received<'a> {
    pub(in super::super) data: &'a [u8],
    /// Who sent it.
    pub(in super::super) from: SocketAddr,
    /// To which of the machine's addresses, where the kernel says.
    pub(in super::super) local: Option<IpAddr>,
}

impl fmt::Debug for ManyDatagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManyDatagrams").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl ManyDatagrams {
    pub(super) fn new(socket: std::net::UdpSocket, guard: Arc<Guard>) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let buffer = RefCell::new(vec![0; BATCH_SIZE * MAX_RECEIVED]);
        Ok(Self { socket: UdpSocket::from_std(socket)?, state, guard, buffer })
    }

    /// Whether datagrams may be sent there.
    pub(in super::super) fn allows(&self, to: SocketAddr) -> bool {
        self.guard.allows(to)
    }

    /// Sends a batch, as many datagrams at a time as the system takes.
    ///
    /// # Errors
    /// How many left before one did not, and why: [`Cause::Foreign`] where the address is not allowed, else what [`cause`] makes of the
    /// failure.
    pub(in super::super) async fn send(&self, batch: &Batch) -> Result<(), (usize, Cause)> {
        if !self.guard.allows(batch.to) {
            return Err((0, Cause::Foreign));
        }
        let mut left = batch.contents.as_slice();
        loop {
            // A device that cannot cut datagrams out of a buffer says so once; from then on they leave one by one.
            let most = self.at_once() * batch.length.max(1);
            let contents = &left[..left.len().min(most)];
            let segment_size = (contents.len() > batch.length).then_some(batch.length);
            let transmit =
                Transmit { destination: batch.to, ecn: None, contents, segment_size, src_ip: batch.from };
            let send = || self.state.try_send((&self.socket).into(), &transmit);
            match self.socket.async_io(Interest::WRITABLE, send).await {
                Err(_) if segment_size.is_some() && self.state.max_gso_segments() == 1 => continue,
                Err(error) => {
                    let gone = batch.contents.len() - left.len();
                    return Err((gone / batch.length.max(1), cause(&error)));
                }
                Ok(()) => {}
            }
            left = &left[contents.len()..];
            if left.is_empty() {
                return Ok(());
            }
        }
    }

    /// Datagrams that the system takes at a time; 1 where it cannot cut them out of a buffer.
    pub(in super::super) fn at_once(&self) -> usize {
        self.state.max_gso_segments().min(MOST)
    }

    /// Its port number.
    pub(in super::super) fn number(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Waits until something came in, says so with `begin`, and takes in what is there, [`BATCHES`] at most. Errors that the kernel
    /// reports for earlier datagrams are cleared by being reported.
    ///
    /// # Errors
    /// The runtime's, where it has ended.
    pub(in super::super) async fn receive(
        &self,
        begin: impl FnOnce(),
        mut each: impl FnMut(Received<'_>),
    ) -> io::Result<()> {
        self.socket.readable().await?;
        begin();
        let mut buffer = self.buffer.borrow_mut();
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        for _ in 0..BATCHES {
            let mut slices: Vec<_> = buffer.chunks_mut(MAX_RECEIVED).map(IoSliceMut::new).collect();
            let receive = || self.state.recv((&self.socket).into(), &mut slices, &mut meta);
            let received = self.socket.try_io(Interest::READABLE, receive).unwrap_or(0);
            for (buffer, meta) in buffer.chunks(MAX_RECEIVED).zip(&meta).take(received) {
                let whole = buffer.get(..meta.len).unwrap_or_default();
                // An empty datagram is one, too.
                let stride = meta.stride.max(1);
                let empty = whole.is_empty().then_some(whole);
                for data in empty.into_iter().chain(whole.chunks(stride)) {
                    each(Received { data, from: meta.addr, local: meta.dst_ip });
                }
            }
            if received < BATCH_SIZE {
                break;
            }
        }
        Ok(())
    }
}

//! The sockets of a relay, and what is read into.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{IpBindAddressNoPort, RcvBufForce, SndBufForce};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// Connections that wait to be taken; the system cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// Receive buffer of a UDP socket: more than a second of what one core can take in. The system allows less to who is not root.
const UDP_BUFFER: usize = 8 << 20;
/// The longest datagram, and what the system joins to one read at most.
const DATAGRAM: usize = 64 << 10;

thread_local! {
    /// Every socket is read into this, so that a connection that is idle holds no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH_SIZE * DATAGRAM]);
}

/// Lends at most `length` bytes to read into, for as long as `use_it` takes.
pub(super) fn with_scratch<T>(length: usize, use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let length = length.min(scratch.len());
        use_it(&mut scratch[..length])
    })
}

/// A socket of `domain` at `address`. On loopback nobody else can reach it, whatever its address: it is bound to the device.
fn bound(kind: Type, address: SocketAddr, loopback: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if loopback {
        socket.bind_device(Some(b"lo"))?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Listens for connections.
pub(super) fn listen(address: SocketAddr, loopback: bool) -> io::Result<TcpListener> {
    let socket = bound(Type::STREAM, address, loopback)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Connects to `upstream`, from the client's own address where it is one of this machine.
pub(super) async fn connect(upstream: SocketAddr, client: IpAddr) -> io::Result<TcpStream> {
    let socket = if upstream.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source(upstream, client) {
        // The port is chosen as the connection is made: one port serves connections to several servers.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(upstream).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The address that the server is to see. Only on loopback is it the client's: elsewhere the answers would not come back here.
pub(super) fn source(upstream: SocketAddr, client: IpAddr) -> Option<IpAddr> {
    let both = upstream.ip().is_loopback() && client.is_loopback();
    (both && upstream.is_ipv4() == client.is_ipv4()).then_some(client)
}

/// Makes closing a connection a reset.
pub(super) fn reset(stream: &TcpStream) {
    // A socket for which this fails is gone already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// A socket for datagrams from and to many addresses.
pub(super) struct Datagrams {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Datagrams {
    pub(super) fn bind(address: SocketAddr, loopback: bool) -> io::Result<Self> {
        let socket = bound(Type::DGRAM, address, loopback)?;
        if setsockopt(&socket, RcvBufForce, &UDP_BUFFER).is_err() {
            socket.set_recv_buffer_size(UDP_BUFFER)?;
        }
        if setsockopt(&socket, SndBufForce, &UDP_BUFFER).is_err() {
            socket.set_send_buffer_size(UDP_BUFFER)?;
        }
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, state })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends one datagram, from the address `from` where one is given.
    pub(super) fn send(&self, to: SocketAddr, from: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
        let transmit =
            Transmit { destination: to, ecn: None, contents: bytes, segment_size: None, src_ip: from };
        // Not by way of the runtime, to which a new socket is not writable yet. Where the buffer is full, the datagram is lost anyway.
        self.state.try_send((&self.socket).into(), &transmit)
    }

    /// Hands every datagram to `take`, with who sent it and the address it was sent to, until the socket fails.
    pub(super) async fn receive(&self, mut take: impl FnMut(SocketAddr, Option<IpAddr>, &[u8])) -> io::Error {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        loop {
            if let Err(error) = self.socket.readable().await {
                return error;
            }
            let received: io::Result<()> = with_scratch(usize::MAX, |scratch| {
                let mut places: Vec<_> = scratch.chunks_mut(DATAGRAM).map(IoSliceMut::new).collect();
                let read = || self.state.recv((&self.socket).into(), &mut places, &mut metas);
                let count = self.socket.try_io(Interest::READABLE, read)?;
                for (meta, place) in metas.iter().zip(&places).take(count) {
                    let datagrams = place[..meta.len].chunks(meta.stride.max(1));
                    datagrams.for_each(|datagram| take(meta.addr, meta.dst_ip, datagram));
                }
                Ok(())
            });
            match received {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What the system says of datagrams that were sent earlier (nobody listens there) is no reason to end.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return error,
            }
        }
    }
}

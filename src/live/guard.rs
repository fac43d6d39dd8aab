//! The guard: the only file that opens sockets, and what they may be aimed at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ipnet::IpNet;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{IpBindAddressNoPort, RcvBufForce};
use socket2::{Domain, SockRef, Socket, Type};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

use crate::journey::Cause;
use crate::profile::{Authorization, Target};
use crate::unit::Tick;

mod datagrams;
mod quic;
mod utp;

pub(super) use datagrams::{Datagrams, ManyDatagrams, Received};
pub(super) use utp::UtpSocket;

/// Why a target is not loaded. The message names the address, the profile and the way out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// An address that nothing permits.
    #[error(
        "{address} of target `{target}` lies outside loopback and outside every network that its profile authorises; \
         aim at loopback, or let the owner of {address} add it to `authorization.networks` of the profile"
    )]
    Outside {
        /// The address.
        address: SocketAddr,
        /// Name of the profile.
        target: String,
    },
    /// An authorization that cannot be valid.
    #[error("the authorization of target `{target}` is not complete: {missing}; complete it in the profile")]
    Incomplete {
        /// Name of the profile.
        target: String,
        /// What is missing.
        missing: &'static str,
    },
    /// Too early or too late.
    #[error(
        "the authorization of target `{target}` is valid from {from} until {until}, and it is {now}; \
         run inside the window or have its owner ({contact}) move it"
    )]
    Window {
        /// Name of the profile.
        target: String,
        /// First moment of the window.
        from: jiff::Timestamp,
        /// Last moment of the window.
        until: jiff::Timestamp,
        /// The moment of the check.
        now: jiff::Timestamp,
        /// Whom to call.
        contact: String,
    },
    /// A host that does not agree.
    #[error(
        "{address} of target `{target}` does not prove that it agrees to be loaded: {reason}; \
         serve the profile's token at http://{address}/.well-known/squall-authorization"
    )]
    Unproven {
        /// The address.
        address: SocketAddr,
        /// Name of the profile.
        target: String,
        /// What was found instead of the token.
        reason: String,
    },
}

/// Which addresses may be contacted: loopback, and the networks of the target's valid authorization until it is withdrawn.
#[derive(Debug)]
pub struct Guard {
    target: String,
    free: Vec<IpNet>,
    authorised: Vec<IpNet>,
    withdrawn: AtomicBool,
    ceiling: Option<Ceiling>,
}

impl Guard {
    /// The guard of a run against this target.
    ///
    /// # Errors
    /// The target's authorization is incomplete or outside its window, or an address of the target is not allowed.
    pub fn new(target: &Target) -> Result<Self, Refusal> {
        Self::with_free(target, loopback(), jiff::Timestamp::now())
    }

    /// A guard that lets nothing go but to loopback.
    pub(super) fn loopback() -> Self {
        Self {
            target: "loopback".to_owned(),
            free: loopback(),
            authorised: Vec::new(),
            withdrawn: AtomicBool::new(false),
            ceiling: None,
        }
    }

    /// As [`Guard::new`], with other networks in the place of loopback: a test has only loopback addresses to be strict about.
    pub(super) fn with_free(
        target: &Target,
        free: Vec<IpNet>,
        now: jiff::Timestamp,
    ) -> Result<Self, Refusal> {
        let authorised = match &target.authorization {
            Some(authorization) => {
                check_authorization(&target.name, authorization, now)?;
                authorization.networks.clone()
            }
            None => Vec::new(),
        };
        let mut guard = Self {
            target: target.name.clone(),
            free,
            authorised,
            withdrawn: AtomicBool::new(false),
            ceiling: None,
        };
        guard.check_target(target)?;
        let needs_leave = target.addresses().any(|address| !guard.is_free(address));
        let leave = target.authorization.as_ref().filter(|_| needs_leave);
        guard.ceiling = leave.map(|leave| Ceiling { limit: leave.ceiling as u32, count: AtomicU64::new(0) });
        Ok(guard)
    }

    /// Whether this address may be contacted.
    ///
    /// # Errors
    /// [`Refusal::Outside`] where not.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refusal> {
        if self.allows(address) {
            return Ok(());
        }
        Err(Refusal::Outside { address, target: self.target.clone() })
    }

    /// Whether every address that the profile names may be contacted.
    ///
    /// # Errors
    /// [`Refusal::Outside`] for the first that may not.
    pub fn check_target(&self, target: &Target) -> Result<(), Refusal> {
        target.addresses().try_for_each(|address| self.check(address))
    }

    /// Whether this address may be contacted, for those who count instead of stopping.
    pub(super) fn allows(&self, address: SocketAddr) -> bool {
        self.is_free(address)
            || (contains(&self.authorised, address.ip()) && !self.withdrawn.load(Ordering::Relaxed))
    }

    /// Whether this address needs nobody's leave.
    pub(super) fn is_free(&self, address: SocketAddr) -> bool {
        contains(&self.free, address.ip())
    }

    /// Whether one more operation may begin: no more in any second of the run clock than the authorization's ceiling, over all workers.
    /// Targets on loopback have no ceiling.
    pub(super) fn admits(&self, now: impl FnOnce() -> Tick) -> bool {
        self.ceiling.as_ref().is_none_or(|ceiling| ceiling.admits(now()))
    }

    /// Another run clock begins: its seconds have nothing to do with those of the one before, whose operations are all over.
    pub fn restart(&self) {
        self.ceiling.iter().for_each(|ceiling| ceiling.count.store(0, Ordering::Relaxed));
    }

    /// From now on only what needs no leave may be contacted.
    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
    }

    /// Opens a TCP connection from this local address, or from the system's choice.
    ///
    /// # Errors
    /// [`Cause::Foreign`] before a packet leaves where the address is not allowed, else what [`cause`] makes of the failure.
    pub(super) async fn connect(
        &self,
        address: SocketAddr,
        source: Option<IpAddr>,
    ) -> Result<Connection, Cause> {
        if !self.allows(address) {
            return Err(Cause::Foreign);
        }
        let stream = open(address, source).await.map_err(|error| cause(&error))?;
        prepared(stream).map_err(|error| cause(&error))
    }

    /// Listens for peers. `loopback` binds to the loopback device, so that nobody outside can connect whatever the address.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn listen(&self, local: SocketAddr, loopback: bool) -> io::Result<TcpListener> {
        let socket = if local.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if loopback {
            socket.bind_device(Some(b"lo"))?;
        }
        if local.is_ipv6() {
            SockRef::from(&socket).set_only_v6(true)?;
        }
        socket.bind(local)?;
        socket.listen(BACKLOG)
    }

    /// Takes a connection that a peer opened, where the peer's address is allowed.
    pub(super) fn accepted(&self, stream: TcpStream, from: SocketAddr) -> Option<Connection> {
        if !self.allows(from) {
            return None;
        }
        prepared(stream).ok()
    }

    /// Opens a UDP socket on a free port of this address.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn bind(self: &Arc<Self>, local: IpAddr) -> io::Result<Datagrams> {
        Ok(Datagrams {
            socket: UdpSocket::from_std(socket(SocketAddr::new(local, 0), None)?)?,
            guard: Arc::clone(self),
        })
    }

    /// Opens a socket for uTP at this address, which connects and accepts.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn utp(self: &Arc<Self>, local: SocketAddr) -> io::Result<UtpSocket> {
        utp::open(self, socket(local, None)?)
    }

    /// Opens a UDP socket that sends to servers such as `remote` from any address of this machine.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn bind_any(self: &Arc<Self>, remote: IpAddr) -> io::Result<ManyDatagrams> {
        let any: IpAddr =
            if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        // Nobody outside reaches a socket that belongs to the loopback device.
        let device = remote.is_loopback().then_some(&b"lo"[..]);
        ManyDatagrams::new(socket(SocketAddr::new(any, 0), device)?, Arc::clone(self))
    }

    /// Opens a QUIC endpoint with a UDP socket of its own on a free port of this address.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn quic(self: &Arc<Self>, local: IpAddr) -> io::Result<quinn::Endpoint> {
        quic::endpoint(self, socket(SocketAddr::new(local, 0), None)?)
    }
}

/// Counts the operations of the present second. The one counter that workers share; without an authorization there is none.
#[derive(Debug)]
struct Ceiling {
    limit: u32,
    /// The second in the upper half, the operations in it in the lower.
    count: AtomicU64,
}

impl Ceiling {
    fn admits(&self, now: Tick) -> bool {
        let second = now.second() << 32;
        let one_more = |count: u64| match count.max(second) {
            count if (count as u32) < self.limit => Some(count + 1),
            _ => None,
        };
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

fn socket(local: SocketAddr, device: Option<&[u8]>) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_freebind_v6(true)?;
    }
    if device.is_some() {
        // Without privileges only since Linux 5.7; before, what outsiders send is no answer to anything, and dropped.
        let _ = socket.bind_device(device);
    }
    // Thousands of answers can arrive between two turns of the worker, and those of a whole second from a server that stood still. The
    // system caps this at its own limit, where it does not let privileged users have more.
    if setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).is_err() {
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    }
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// Peers that wait to be accepted.
const BACKLOG: u32 = 1_024;

fn prepared(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(Connection(stream))
}

/// Connects, from a port of the system's choice.
async fn open(address: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        // The port is chosen as it connects, and is taken towards this one server only.
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        if source.is_ipv6() {
            // An IPv6 network that is routed to this machine is none of its addresses, as it is in IPv4.
            SockRef::from(&socket).set_freebind_v6(true)?;
        }
        socket.bind(SocketAddr::new(source, 0))?;
    }
    socket.connect(address).await
}

/// The least that a datagram takes in it is some 800 bytes.
const RECEIVE_BUFFER: usize = 32 << 20;

/// Whether an authorization may be used at all, now.
pub(super) fn check_authorization(
    target: &str,
    authorization: &Authorization,
    now: jiff::Timestamp,
) -> Result<(), Refusal> {
    let incomplete = |missing| Err(Refusal::Incomplete { target: target.to_owned(), missing });
    if authorization.contact.trim().is_empty() {
        return incomplete("it names no contact");
    }
    if authorization.token.trim().is_empty() {
        return incomplete("it names no token");
    }
    // NaN is no ceiling either.
    if authorization.ceiling.is_nan() || authorization.ceiling < 1.0 {
        return incomplete("it names no ceiling of at least 1 operation per second");
    }
    if authorization.networks.iter().any(|network| network.prefix_len() == 0) {
        return incomplete("its networks are the whole internet");
    }
    if now < authorization.from || now > authorization.until {
        return Err(Refusal::Window {
            target: target.to_owned(),
            from: authorization.from,
            until: authorization.until,
            now,
            contact: authorization.contact.clone(),
        });
    }
    Ok(())
}

fn loopback() -> Vec<IpNet> {
    vec![network(Ipv4Addr::LOCALHOST.into(), 8), network(Ipv6Addr::LOCALHOST.into(), 128)]
}

fn network(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new_assert(address, prefix).trunc()
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    // ::ffff:192.0.2.1 reaches 192.0.2.1.
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// What a failed system call means for an operation.
pub(super) fn cause(error: &io::Error) -> Cause {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused => Cause::Refused,
        K::TimedOut | K::HostUnreachable => Cause::Timeout,
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected => {
            Cause::Closed
        }
        // No port, no descriptor, no buffer, no route: nothing that the target could change.
        _ => Cause::Local,
    }
}

/// A TCP connection to an allowed address.
///
/// Closing it sends FIN and then RST (zero linger). The target reads a clean end, and then its side is gone as well: what it had still
/// to send is dropped, and a write after that fails. Nothing waits in TIME_WAIT on this side, where clients keep a port for a minute:
/// that state belongs to the visitors' machines, which here are all one. A target that closes first has its own TIME_WAIT, as always.
#[derive(Debug)]
pub(super) struct Connection(TcpStream);

impl Connection {
    /// The address on this side.
    ///
    /// # Errors
    /// The system's, where the connection is gone.
    pub(super) fn local_ip(&self) -> io::Result<IpAddr> {
        Ok(self.0.local_addr()?.ip())
    }

    /// Bytes that came and were not read yet.
    pub(super) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(&self.0).unwrap_or(0)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Fails only where the connection is gone already.
        let _ = SockRef::from(&self.0).shutdown(std::net::Shutdown::Write);
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;

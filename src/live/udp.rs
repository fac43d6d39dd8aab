//! Requests and answers over a few shared UDP sockets: an answer finds its request by transaction id and source address.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::journey::{Cause, Oddity};
use crate::unit::Tick;

use super::guard::Datagrams;
use super::queue::Queue;
use super::{Clock, Guard};

/// Requests that may be under way on one socket.
const MAX_PENDING: usize = 1 << 16;
/// Longer datagrams are cut off by the receive call; no tracker or node sends them.
const MAX_DATAGRAM: usize = 8 << 10;
/// Requests that are over and still known, on one socket: whose answer came late, or twice.
const REMEMBERED: usize = 1_024;
/// Datagrams that are taken in at one go before others have their turn.
const BATCH: usize = 64;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request that it belongs to.
    pub(super) transaction: u32,
    /// When it was taken from the socket.
    pub(super) at: Tick,
    /// The datagram.
    pub(super) data: Vec<u8>,
}

/// Where the answers to someone's requests arrive.
pub(super) type Inbox = Rc<Queue<Answer>>;

/// Addresses of one worker on loopback: a swarm holds as many of its visitors, since trackers tell peers apart by address and port and
/// the port is the target's stand-in port.
const LOOPBACK_ADDRESSES: u8 = 32;
/// Sockets of one worker elsewhere, all at the system's own address.
const SOCKETS: usize = 4;

/// The local address of each socket of a worker's pool. On IPv4 loopback they are 127.16.*worker*.1 to .32 (beyond 256 workers 127.17
/// and so on, never above 127.143): no worker shares them, and nothing else of a testbed is there.
fn local_addresses(towards: SocketAddr, worker: u32) -> Vec<IpAddr> {
    match (towards.ip(), towards.ip().is_loopback()) {
        (IpAddr::V4(_), true) => {
            let [a, b, c] = own_network(worker);
            (1..=LOOPBACK_ADDRESSES).map(|n| Ipv4Addr::new(a, b, c, n).into()).collect()
        }
        (IpAddr::V4(_), false) => vec![Ipv4Addr::UNSPECIFIED.into(); SOCKETS],
        (IpAddr::V6(_), true) => vec![Ipv6Addr::LOCALHOST.into(); SOCKETS],
        (IpAddr::V6(_), false) => vec![Ipv6Addr::UNSPECIFIED.into(); SOCKETS],
    }
}

/// The first bytes of a worker's IPv4 addresses on loopback.
pub(super) fn own_network(worker: u32) -> [u8; 3] {
    let [.., high, low] = worker.to_be_bytes();
    [127, 16 + high % 128, low]
}

/// The address from which visitors with this source connect to `towards`: on IPv4 loopback the one that its datagrams come from, else the system's
/// choice.
pub(super) fn source(towards: SocketAddr, worker: u32, visitor: u64) -> Option<IpAddr> {
    let addresses = local_addresses(towards, worker);
    let n = visitor.checked_rem(addresses.len() as u64)?;
    addresses.get(n as usize).copied().filter(|address| !address.is_unspecified())
}

/// Finds the transaction id in a datagram; `None` where it cannot be an answer.
pub(super) type Identify = fn(&[u8]) -> Option<u32>;

/// What becomes of a datagram that may be a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It is none.
    NoQuery,
    /// Nobody answers it.
    Silence,
    /// This goes back.
    Answer(Vec<u8>),
}

/// Answers the queries that come to a worker's sockets.
pub(super) trait Serve: fmt::Debug {
    /// What to do about a datagram that came to this local address.
    fn serve(&self, datagram: &[u8], from: SocketAddr, local: IpAddr) -> Served;
}

/// Who answers, where anybody does.
type Server = Rc<OnceCell<Rc<dyn Serve>>>;

/// The sockets of a worker. A visitor keeps to one of them, and so to one address. Dropping it ends their readers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    ports: Vec<Rc<Port>>,
    readers: Vec<AbortHandle>,
    strays: Strays,
    server: Server,
}

/// Datagrams that nobody waited for, by what they were.
type Strays = Rc<RefCell<Vec<(Oddity, u32)>>>;

impl Drop for Pool {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

impl Pool {
    /// Opens sockets that can reach `towards` and reads them; within a `LocalSet`. `worker` keeps addresses and ids of workers apart.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        towards: SocketAddr,
        worker: u32,
        identify: Identify,
    ) -> io::Result<Self> {
        let mut pool = Self::default();
        for (n, local) in local_addresses(towards, worker).into_iter().enumerate() {
            let port = Rc::new(Port {
                socket: guard.bind(local)?,
                local,
                pending: RefCell::default(),
                over: RefCell::default(),
                strays: Rc::clone(&pool.strays),
                server: Rc::clone(&pool.server),
                serial: Cell::new(worker.wrapping_mul(0x9E37_79B9).wrapping_add(n as u32)),
            });
            let reader = tokio::task::spawn_local(Rc::clone(&port).read(clock, identify));
            pool.readers.push(reader.abort_handle());
            pool.ports.push(port);
        }
        Ok(pool)
    }

    /// The port number of its first socket.
    pub(super) fn number(&self) -> u16 {
        self.ports.first().map_or(0, |port| port.socket.number())
    }

    /// From now on queries that come to the sockets are answered by `server`; to be called once.
    pub(super) fn serve(&self, server: Rc<dyn Serve>) {
        let _ = self.server.set(server);
    }

    /// The datagrams that nobody waited for, on any of the sockets, since this was last asked.
    pub(super) fn strays(&self) -> Vec<(Oddity, u32)> {
        self.strays.take()
    }

    /// The socket of the visitors with this source.
    pub(super) fn port(&self, source: u64) -> Option<&Rc<Port>> {
        let n = source.checked_rem(self.ports.len() as u64)?;
        self.ports.get(n as usize)
    }
}

/// A socket and the requests that wait for answers on it.
#[derive(Debug)]
pub(super) struct Port {
    socket: Datagrams,
    /// Its address; unspecified where the system chooses one for each datagram.
    pub(super) local: IpAddr,
    pending: RefCell<HashMap<u32, Pending>>,
    /// The latest requests that are over, and how many answers each still had to come.
    over: RefCell<VecDeque<(u32, SocketAddr, u32)>>,
    strays: Strays,
    server: Server,
    serial: Cell<u32>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    peer: SocketAddr,
    inbox: Inbox,
    /// Datagrams sent that have no answer.
    open: u32,
}

impl Port {
    fn stray(&self, oddity: Oddity) {
        let mut strays = self.strays.borrow_mut();
        match strays.iter_mut().find(|(other, _)| *other == oddity) {
            Some((_, times)) => *times += 1,
            None => strays.push((oddity, 1)),
        }
    }

    /// Announces a request to `peer`, whose answers shall go to `inbox` for as long as the ticket lives.
    ///
    /// # Errors
    /// [`Cause::Local`] where too many are under way.
    pub(super) fn ticket(self: &Rc<Self>, peer: SocketAddr, inbox: &Inbox) -> Result<Ticket, Cause> {
        let mut pending = self.pending.borrow_mut();
        if pending.len() >= MAX_PENDING {
            return Err(Cause::Local);
        }
        let transaction = loop {
            let serial = self.serial.replace(self.serial.get().wrapping_add(1));
            // An odd factor: each id comes once in 2^32, and neighbours in time are not neighbours in value.
            let id = serial.wrapping_mul(0x9E37_79B1);
            if !pending.contains_key(&id) {
                break id;
            }
        };
        pending.insert(transaction, Pending { peer, inbox: Rc::clone(inbox), open: 0 });
        drop(pending);
        Ok(Ticket { transaction, peer, port: Rc::clone(self) })
    }

    async fn read(self: Rc<Self>, clock: Clock, identify: Identify) {
        let mut buffer = [0; MAX_DATAGRAM];
        while self.socket.readable().await.is_ok() {
            for _ in 0..BATCH {
                match self.socket.try_receive(&mut buffer) {
                    Ok((length, from)) => {
                        self.deliver(buffer.get(..length).unwrap_or_default(), from, clock, identify);
                    }
                    // Empty, or an error that the kernel reports for an earlier datagram and that is cleared by reporting it.
                    Err(_) => break,
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn deliver(&self, data: &[u8], from: SocketAddr, clock: Clock, identify: Identify) {
        match self.server.get().map_or(Served::NoQuery, |server| server.serve(data, from, self.local)) {
            Served::Answer(answer) => return self.socket.offer(&answer, from),
            Served::Silence => return,
            Served::NoQuery => {}
        }
        let Some(transaction) = identify(data) else { return self.stray(Oddity::Broken) };
        match self.pending.borrow_mut().get_mut(&transaction) {
            Some(pending) if pending.peer == from && pending.open > 0 => {
                pending.open -= 1;
                pending.inbox.push(Answer { transaction, at: clock.now(), data: data.to_vec() });
            }
            Some(pending) if pending.peer == from => self.stray(Oddity::Duplicate),
            Some(_) => self.stray(Oddity::OtherSource),
            None => self.stray(self.oddity_of_over(transaction, from)),
        }
    }

    /// What an answer is that belongs to no request under way.
    fn oddity_of_over(&self, transaction: u32, from: SocketAddr) -> Oddity {
        let mut over = self.over.borrow_mut();
        match over.iter_mut().find(|(id, peer, _)| (*id, *peer) == (transaction, from)) {
            Some((.., 0)) => Oddity::Duplicate,
            Some((.., open)) => {
                *open -= 1;
                Oddity::Late
            }
            None => Oddity::Unasked,
        }
    }
}

/// A request that waits for its answer. Dropping it makes later answers unknown.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The id that the request must carry.
    pub(super) transaction: u32,
    /// Whom it asks.
    pub(super) peer: SocketAddr,
    port: Rc<Port>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(pending) = self.port.pending.borrow_mut().remove(&self.transaction) else { return };
        let mut over = self.port.over.borrow_mut();
        if over.len() >= REMEMBERED {
            over.pop_front();
        }
        over.push_back((self.transaction, pending.peer, pending.open));
    }
}

impl Ticket {
    /// Sends a request that carries the ticket's id.
    pub(super) async fn send(&self, datagram: &[u8]) -> Result<(), Cause> {
        self.port.socket.send(datagram, self.peer).await?;
        if let Some(pending) = self.port.pending.borrow_mut().get_mut(&self.transaction) {
            pending.open += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::target;
    use super::*;
    use std::time::Duration;
    use tokio::net::UdpSocket;

    fn first_four(data: &[u8]) -> Option<u32> {
        data.first_chunk().copied().map(u32::from_be_bytes)
    }

    #[test]
    fn only_loopback_gives_visitors_addresses() {
        let of = |towards: &str, worker| local_addresses(towards.parse().unwrap(), worker);
        let mut seen = std::collections::HashSet::new();
        for worker in [0, 1, 255, 256, 70_000] {
            let addresses = of("127.0.0.1:6969", worker);
            assert_eq!(addresses.len(), 32);
            assert!(addresses.iter().all(|ip| ip.is_loopback() && seen.insert(*ip)), "{addresses:?}");
        }
        assert_eq!(of("127.0.0.1:6969", 3)[31].to_string(), "127.16.3.32");
        for (towards, local) in [("192.0.2.1:80", "0.0.0.0"), ("[::1]:80", "::1"), ("[2001:db8::1]:80", "::")]
        {
            assert!(of(towards, 3).iter().all(|ip| ip.to_string() == local), "{towards}");
        }
    }

    #[tokio::test]
    async fn answers_find_their_request_by_id_and_source() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, 3, first_four).unwrap();
            let port = pool.port(7).unwrap();
            let inbox = Inbox::default();
            let ticket = port.ticket(address, &inbox).unwrap();
            ticket.send(&ticket.transaction.to_be_bytes()).await.unwrap();
            let mut buffer = [0; 16];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(first_four(&buffer[..length]), Some(ticket.transaction));
            stranger.send_to(&buffer[..length], from).await.unwrap();
            server.send_to(b"x", from).await.unwrap();
            server.send_to(&(!ticket.transaction).to_be_bytes(), from).await.unwrap();
            buffer[4] = 99;
            server.send_to(&buffer[..5], from).await.unwrap();
            let answer = inbox.pop().await;
            assert_eq!((answer.transaction, answer.data[4]), (ticket.transaction, 99));
            assert_eq!(pool.strays(), [(Oddity::OtherSource, 1), (Oddity::Broken, 1), (Oddity::Unasked, 1)]);
            drop(ticket);
            assert!(port.pending.borrow().is_empty());
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }

    #[tokio::test]
    async fn answers_to_what_is_over_are_late_or_duplicates() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, 3, first_four).unwrap();
            let port = pool.port(7).unwrap();
            let (inbox, mut buffer) = (Inbox::default(), [0; 16]);
            let given_up = port.ticket(address, &inbox).unwrap();
            let late = given_up.transaction.to_be_bytes();
            given_up.send(&late).await.unwrap();
            let (_, from) = server.recv_from(&mut buffer).await.unwrap();
            drop(given_up);
            let ticket = port.ticket(address, &inbox).unwrap();
            let id = ticket.transaction.to_be_bytes();
            // Sent twice: two answers are no more than it asked for.
            ticket.send(&id).await.unwrap();
            ticket.send(&id).await.unwrap();
            for answer in [late, late, id, id, id] {
                server.send_to(&answer, from).await.unwrap();
            }
            while port.strays.borrow().len() < 2 || port.strays.borrow()[1].1 < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(pool.strays(), [(Oddity::Late, 1), (Oddity::Duplicate, 2)]);
            assert!(inbox.try_pop().is_some() && inbox.try_pop().is_some() && inbox.try_pop().is_none());
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }
}

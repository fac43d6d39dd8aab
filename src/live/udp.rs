//! Requests and answers over a few shared UDP sockets: an answer finds its request by transaction id and source address.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::journey::Cause;
use crate::unit::Tick;

use super::guard::Datagrams;
use super::queue::Queue;
use super::{Clock, Guard};

/// Requests that may be under way on one socket.
const MAX_PENDING: usize = 1 << 16;
/// Longer datagrams are cut off by the receive call; no tracker or node sends them.
const MAX_DATAGRAM: usize = 8 << 10;
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
            let [.., high, low] = worker.to_be_bytes();
            (1..=LOOPBACK_ADDRESSES).map(|n| Ipv4Addr::new(127, 16 + high % 128, low, n).into()).collect()
        }
        (IpAddr::V4(_), false) => vec![Ipv4Addr::UNSPECIFIED.into(); SOCKETS],
        (IpAddr::V6(_), true) => vec![Ipv6Addr::LOCALHOST.into(); SOCKETS],
        (IpAddr::V6(_), false) => vec![Ipv6Addr::UNSPECIFIED.into(); SOCKETS],
    }
}

/// Finds the transaction id in a datagram; `None` where it cannot be an answer.
pub(super) type Identify = fn(&[u8]) -> Option<u32>;

/// The sockets of a worker. A visitor keeps to one of them, and so to one address. Dropping it ends their readers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    ports: Vec<Rc<Port>>,
    readers: Vec<AbortHandle>,
}

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
                pending: RefCell::default(),
                serial: Cell::new(worker.wrapping_mul(0x9E37_79B9).wrapping_add(n as u32)),
            });
            let reader = tokio::task::spawn_local(Rc::clone(&port).read(clock, identify));
            pool.readers.push(reader.abort_handle());
            pool.ports.push(port);
        }
        Ok(pool)
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
    pending: RefCell<HashMap<u32, (SocketAddr, Inbox)>>,
    serial: Cell<u32>,
}

impl Port {
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
        pending.insert(transaction, (peer, Rc::clone(inbox)));
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
        let Some(transaction) = identify(data) else { return };
        let pending = self.pending.borrow();
        let Some((peer, inbox)) = pending.get(&transaction) else { return };
        if *peer == from {
            inbox.push(Answer { transaction, at: clock.now(), data: data.to_vec() });
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
        self.port.pending.borrow_mut().remove(&self.transaction);
    }
}

impl Ticket {
    /// Sends a request that carries the ticket's id.
    pub(super) async fn send(&self, datagram: &[u8]) -> Result<(), Cause> {
        self.port.socket.send(datagram, self.peer).await
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
            drop(ticket);
            assert!(port.pending.borrow().is_empty());
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }
}

//! Requests and answers over a few shared UDP sockets: an answer finds its request by transaction id and source address.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
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

/// Finds the transaction id in a datagram; `None` where it cannot be an answer.
pub(super) type Identify = fn(&[u8]) -> Option<u32>;

/// A few sockets, used in turn. Dropping it ends their readers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    ports: Vec<Rc<Port>>,
    readers: Vec<AbortHandle>,
    next: Cell<usize>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.readers.iter().for_each(AbortHandle::abort);
    }
}

impl Pool {
    /// Opens `size` sockets that can reach `towards` and reads them; within a `LocalSet`. `salt` keeps the ids of workers apart.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        towards: SocketAddr,
        size: usize,
        salt: u32,
        identify: Identify,
    ) -> io::Result<Self> {
        let mut pool = Self::default();
        for n in 0..size {
            let port = Rc::new(Port {
                socket: guard.bind(towards)?,
                pending: RefCell::default(),
                serial: Cell::new(salt.wrapping_mul(0x9E37_79B9).wrapping_add(n as u32)),
            });
            let reader = tokio::task::spawn_local(Rc::clone(&port).read(clock, identify));
            pool.readers.push(reader.abort_handle());
            pool.ports.push(port);
        }
        Ok(pool)
    }

    /// The socket whose turn it is, and its place in the pool.
    pub(super) fn port(&self) -> Option<(usize, &Rc<Port>)> {
        let turn = self.next.replace(self.next.get().wrapping_add(1)) % self.ports.len().max(1);
        self.ports.get(turn).map(|port| (turn, port))
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

    #[tokio::test]
    async fn answers_find_their_request_by_id_and_source() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, 2, 3, first_four).unwrap();
            let (_, port) = pool.port().unwrap();
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

//! Relaying datagrams.
//!
//! An operation is a datagram of a client of at least a stated size: connects of BEP 15 (16 bytes) pass, announces (98 and more) are held.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use super::flows::{Client, Flows};
use super::limits::{Delay, Limits};
use super::pump::Pump;
use super::relay::{Fate, Relay};
use super::sockets::{Datagrams, source};

/// How long a client is known at least after its last datagram.
const GENERATION: Duration = Duration::from_secs(60);
/// Datagrams towards clients that wait for bandwidth at most, as in a router's queue.
const CHUNKS: usize = 1024;

/// A relay of datagrams.
pub(super) struct UdpRelay {
    relay: Rc<Relay>,
    listener: Rc<Datagrams>,
    flows: RefCell<Flows>,
    /// The sockets that the server sees, and where the server was when they were opened.
    pool: RefCell<Vec<Rc<Datagrams>>>,
}

struct Datagram {
    client: Client,
    bytes: Vec<u8>,
}

/// The two ways through a relay.
struct Ways {
    operations: Rc<Pump<Datagram>>,
    answers: Rc<Pump<Datagram>>,
}

impl UdpRelay {
    /// Starts to relay. Only inside a `LocalSet`.
    pub(super) fn start(relay: Rc<Relay>, listener: Datagrams, seed: u64) {
        let limits = relay.limits().clone();
        let this = Rc::new(Self {
            relay: Rc::clone(&relay),
            listener: Rc::new(listener),
            flows: RefCell::default(),
            pool: RefCell::default(),
        });
        let back = Rc::clone(&this);
        let answers = Pump::start(limits.bytes(CHUNKS), Delay::default(), seed, move |datagram| {
            back.answer(&datagram);
        });
        let (there, way_back) = (Rc::clone(&this), Rc::clone(&answers));
        let operations = Pump::start(
            limits.operations(),
            limits.delay(),
            seed.wrapping_add(2),
            move |datagram: Datagram| {
                there.relay.count(|counters| counters.passed += 1);
                there.forward(&datagram, &way_back);
            },
        );
        let ways = Rc::new(Ways { operations, answers });
        let changed = Rc::clone(&ways);
        relay.on_change(move |limits| changed.change(limits));
        let aging = Rc::clone(&this);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(GENERATION).await;
                aging.flows.borrow_mut().age();
            }
        });
        tokio::task::spawn_local(async move {
            let listener = Rc::clone(&this.listener);
            let error = listener.receive(|from, to, bytes| this.take(from, to, bytes, &ways)).await;
            tracing::error!("relay {}: {error}", this.relay.name);
        });
    }

    /// A datagram of a client.
    fn take(self: &Rc<Self>, from: SocketAddr, to: Option<IpAddr>, bytes: &[u8], ways: &Ways) {
        let datagram = Datagram { client: Client { address: from, asked: to }, bytes: bytes.to_vec() };
        if bytes.len() < self.relay.smallest {
            if !self.relay.limits().is_black_hole() {
                self.forward(&datagram, &ways.answers);
            }
            return;
        }
        if self.relay.fate() != Fate::On {
            return;
        }
        let taken = ways.operations.take(1.0, datagram);
        let longest = ways.operations.longest() as u64;
        self.relay.count(|counters| {
            counters.turned_away += u64::from(taken.is_err());
            counters.longest_queue = longest;
        });
    }

    /// Sends a datagram to the server.
    fn forward(self: &Rc<Self>, datagram: &Datagram, answers: &Rc<Pump<Datagram>>) {
        let sent = self.way(datagram.client, answers).and_then(|(socket, upstream, source)| {
            socket.send(upstream, source, &datagram.bytes)?;
            Ok(datagram.bytes.len() as u64)
        });
        self.relay.count(|counters| match sent {
            Ok(bytes) => counters.bytes_in += bytes,
            Err(_) => counters.failed += 1,
        });
    }

    /// How a client's datagrams reach the server: by which socket, where the server is, and what it is to see.
    fn way(
        self: &Rc<Self>,
        client: Client,
        answers: &Rc<Pump<Datagram>>,
    ) -> io::Result<(Rc<Datagrams>, SocketAddr, Option<IpAddr>)> {
        let upstream = self.relay.upstream.get().ok_or(io::ErrorKind::NotConnected)?;
        let source = source(upstream, client.address.ip());
        let place = source.unwrap_or(unspecified(upstream));
        let number = self.flows.borrow_mut().socket(client, place).ok_or(io::ErrorKind::AddrInUse)?;
        let mut pool = self.pool.borrow_mut();
        while pool.len() <= usize::from(number) {
            let any = SocketAddr::new(unspecified(upstream), 0);
            let socket = Rc::new(Datagrams::bind(any, upstream.ip().is_loopback())?);
            tokio::task::spawn_local(Rc::clone(self).answers(
                Rc::clone(&socket),
                pool.len() as u16,
                Rc::clone(answers),
            ));
            pool.push(socket);
        }
        Ok((Rc::clone(&pool[usize::from(number)]), upstream, source))
    }

    /// Takes what the server sends to one of the sockets.
    async fn answers(self: Rc<Self>, socket: Rc<Datagrams>, number: u16, answers: Rc<Pump<Datagram>>) {
        let take = |from: SocketAddr, to: Option<IpAddr>, bytes: &[u8]| {
            // Strangers are not passed on.
            let Some(upstream) = self.relay.upstream.get().filter(|upstream| *upstream == from) else {
                return;
            };
            let place = to.filter(|to| source(upstream, *to).is_some()).unwrap_or(unspecified(upstream));
            let Some(client) = self.client(place, number, upstream) else { return };
            if self.relay.limits().is_black_hole() {
                return;
            }
            let datagram = Datagram { client, bytes: bytes.to_vec() };
            // One that finds the router's queue full is gone, as it would be there.
            if answers.take(bytes.len() as f64, datagram).is_err() {
                self.relay.count(|counters| counters.failed += 1);
            }
        };
        let error = socket.receive(take).await;
        tracing::error!("relay {}: {error}", self.relay.name);
    }

    fn client(&self, place: IpAddr, number: u16, upstream: SocketAddr) -> Option<Client> {
        let flows = self.flows.borrow();
        // A client that is not of this machine stands under no address.
        flows.client(place, number).or_else(|| flows.client(unspecified(upstream), number))
    }

    /// Sends a datagram to its client, from the address that it had asked.
    fn answer(&self, datagram: &Datagram) {
        let Client { address, asked } = datagram.client;
        let sent = self.listener.send(address, asked, &datagram.bytes);
        self.relay.count(|counters| match sent {
            Ok(()) => counters.bytes_out += datagram.bytes.len() as u64,
            Err(_) => counters.failed += 1,
        });
    }
}

impl Ways {
    fn change(&self, limits: &Limits) {
        self.operations.change(limits.operations(), limits.delay());
        self.answers.change(limits.bytes(CHUNKS), Delay::default());
    }
}

fn unspecified(like: SocketAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

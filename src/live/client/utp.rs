//! Where the visitors of a worker speak uTP: a UDP socket for each address that they have, at the port where they listen for TCP too.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::super::guard::UtpSocket;
use super::listen::welcome;
use super::stream::Stream;
use super::{Client, Clients};
use crate::journey::Cause;
use crate::unit::Tick;

/// How long a peer's answer over uTP is waited for (libtorrent: `utp_connect_timeout`).
const UTP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an address stays open whose last visitor has left, so that the ends of its connections arrive.
const LINGER: Duration = Duration::from_secs(3);

/// Connections to one peer that the library can have in the making at one address.
const MAX_CONNECTING: usize = 4;

/// The doors of a worker, by local address.
#[derive(Debug, Default)]
pub(super) struct Doors {
    open: RefCell<HashMap<IpAddr, Weak<Door>>>,
    /// What visitors left behind, the earliest first.
    left: RefCell<VecDeque<(Tick, Vec<Rc<Door>>)>>,
}

impl Doors {
    /// A visitor has left at `now`, and used these.
    pub(super) fn leave(&self, doors: Vec<Rc<Door>>, now: Tick) {
        let mut left = self.left.borrow_mut();
        let over = left.iter().take_while(|(since, _)| now.since(*since) > LINGER).count();
        for door in left.drain(..over).flat_map(|(_, doors)| doors) {
            if Rc::strong_count(&door) == 1 {
                self.open.borrow_mut().remove(&door.local);
            }
        }
        left.push_back((now, doors));
    }
}

/// uTP at one address, for the visitors there.
#[derive(Debug)]
pub(super) struct Door {
    local: IpAddr,
    socket: Rc<UtpSocket>,
    acceptor: AbortHandle,
    /// Whose turn it is to connect, by peer.
    turns: RefCell<HashMap<SocketAddr, Weak<Semaphore>>>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl Door {
    fn open(clients: &Rc<Clients>, local: IpAddr) -> io::Result<Self> {
        let socket = clients.guard.utp(SocketAddr::new(local, clients.port()))?;
        let socket = Rc::new(socket);
        let (door, weak) = (Rc::clone(&socket), Rc::downgrade(clients));
        let acceptor = tokio::task::spawn_local(async move {
            while let Ok(stream) = door.accept().await {
                let Some(clients) = weak.upgrade() else { return };
                let address = stream.remote_addr();
                tokio::task::spawn_local(welcome(clients, stream.into(), address, local));
            }
        });
        Ok(Self { local, socket, acceptor: acceptor.abort_handle(), turns: RefCell::default() })
    }

    /// Connects to a peer.
    ///
    /// # Errors
    /// As [`UtpSocket::connect`]; [`Cause::Timeout`] where nobody has answered after a while.
    pub(super) async fn connect(&self, peer: SocketAddr) -> Result<Stream, Cause> {
        let connect = async {
            let turns = self.turns(peer);
            let _turn = turns.acquire().await.map_err(|_| Cause::Local)?;
            self.socket.connect(peer).await
        };
        let answer = tokio::time::timeout(UTP_TIMEOUT, connect).await;
        answer.unwrap_or(Err(Cause::Timeout)).map(Stream::from)
    }

    fn turns(&self, peer: SocketAddr) -> Rc<Semaphore> {
        let mut turns = self.turns.borrow_mut();
        turns.retain(|_, turns| turns.strong_count() > 0);
        turns.get(&peer).and_then(Weak::upgrade).unwrap_or_else(|| {
            let fresh = Rc::new(Semaphore::new(MAX_CONNECTING));
            turns.insert(peer, Rc::downgrade(&fresh));
            fresh
        })
    }
}

impl Clients {
    /// The door at a local address. `None` where somebody else has its port there: a visitor without it speaks TCP.
    fn door(self: &Rc<Self>, local: IpAddr) -> Option<Rc<Door>> {
        let open = self.doors.open.borrow().get(&local).and_then(Weak::upgrade);
        open.or_else(|| {
            let door = Rc::new(Door::open(self, local).ok()?);
            self.doors.open.borrow_mut().insert(local, Rc::downgrade(&door));
            Some(door)
        })
    }
}

impl Client {
    /// Opens the door at one of this visitor's addresses, where its client speaks uTP.
    pub(super) fn door(&self, local: IpAddr) -> Option<Rc<Door>> {
        if !self.persona.utp {
            return None;
        }
        let mut doors = self.doors.borrow_mut();
        if let Some(door) = doors.iter().find(|door| door.local == local) {
            return Some(Rc::clone(door));
        }
        let door = self.clients.door(local)?;
        doors.push(Rc::clone(&door));
        Some(door)
    }

    /// Connects over uTP where the visitor's client speaks it, and over TCP where it does not or gets no answer.
    pub(super) async fn connect(&self, address: SocketAddr) -> Result<Stream, Cause> {
        let (sources, visitor) = (&self.clients.sources, self.persona.source);
        if let Some(door) = self.door(sources.local(address.ip(), visitor)) {
            let met = door.connect(address).await;
            if met.is_ok() || !self.clients.tcp {
                return met;
            }
        }
        let source = sources.towards(address.ip(), visitor);
        self.clients.guard.connect(address, source).await.map(Stream::from)
    }
}

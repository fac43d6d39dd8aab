//! Where the visitors of a worker are reached: one port on all of their addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::super::guard::{Connection, Guard, cause};
use super::{Client, Clients, MEETING_TIMEOUT, read_handshake};
use crate::journey::Cause;

/// A worker's open door.
#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<Rc<TcpListener>>,
    port: u16,
    /// Visitors by torrent and address.
    visitors: RefCell<HashMap<([u8; 20], IpAddr), Vec<Weak<Client>>>>,
    tasks: RefCell<Vec<AbortHandle>>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tasks.borrow().iter().for_each(AbortHandle::abort);
    }
}

impl Listener {
    pub(super) fn open(guard: &Guard, loopback: bool) -> io::Result<Self> {
        let four = guard.listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), loopback)?;
        let port = four.local_addr()?.port();
        let mut sockets = vec![Rc::new(four)];
        // The same port over IPv6 where it is free, since a visitor announces one port.
        let six = if loopback { Ipv6Addr::LOCALHOST } else { Ipv6Addr::UNSPECIFIED };
        sockets.extend(guard.listen(SocketAddr::new(six.into(), port), false).ok().map(Rc::new));
        Ok(Self { sockets, port, visitors: RefCell::default(), tasks: RefCell::default() })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn register(&self, client: &Rc<Client>) {
        let hash = client.persona.info_hash.on_the_wire();
        for address in &client.persona.addresses {
            let mut visitors = self.visitors.borrow_mut();
            visitors.entry((hash, *address)).or_default().push(Rc::downgrade(client));
        }
    }

    pub(super) fn forget(&self, client: &Rc<Client>) {
        let hash = client.persona.info_hash.on_the_wire();
        let mut visitors = self.visitors.borrow_mut();
        for address in &client.persona.addresses {
            let key = (hash, *address);
            if let Some(there) = visitors.get_mut(&key) {
                there.retain(|other| !Weak::ptr_eq(other, &Rc::downgrade(client)));
                if there.is_empty() {
                    visitors.remove(&key);
                }
            }
        }
    }

    /// Whom a handshake at this address is for; visitors of one address cluster share it.
    fn visitor(&self, info_hash: [u8; 20], local: IpAddr) -> Option<Rc<Client>> {
        let visitors = self.visitors.borrow();
        let there = visitors.get(&(info_hash, local))?;
        there.iter().filter_map(Weak::upgrade).min_by_key(|client| client.torrent.borrow().connections())
    }
}

/// Answers at the worker's port for as long as the clients live.
pub(super) fn accept(clients: &Rc<Clients>) {
    for socket in &clients.listener.sockets {
        let (socket, weak) = (Rc::clone(socket), Rc::downgrade(clients));
        let task = tokio::task::spawn_local(async move {
            loop {
                let accepted = socket.accept().await;
                let Some(clients) = weak.upgrade() else { return };
                match accepted {
                    Ok((stream, address)) => {
                        if let Some(stream) = clients.guard.accepted(stream, address) {
                            tokio::task::spawn_local(welcome(clients, stream, address));
                        }
                    }
                    // No descriptor is left, most likely: others must be closed first.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        });
        clients.listener.tasks.borrow_mut().push(task.abort_handle());
    }
}

/// A peer that connects: its handshake says whom it wants. Whoever cannot be reached, or has left, is not there.
async fn welcome(clients: Rc<Clients>, mut stream: Connection, address: SocketAddr) {
    let Ok(local) = stream.local_ip() else { return };
    let answer = async {
        let (frames, theirs) = read_handshake(&mut stream).await?;
        let client = clients.listener.visitor(theirs.info_hash, local).ok_or(Cause::NoPeers)?;
        let own = client.persona.handshake();
        stream.write_all(&own).await.map_err(|error| cause(&error))?;
        Ok::<_, Cause>((client, frames, theirs))
    };
    match tokio::time::timeout(MEETING_TIMEOUT, answer).await {
        Ok(Ok((client, frames, theirs))) => client.adopt(stream, frames, address, &theirs),
        _ => clients.count(|swarm| swarm.turned_away += 1),
    }
}

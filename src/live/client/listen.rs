//! Where the visitors of a worker are reached: one port on all of their addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::super::guard::{Guard, cause};
use super::super::wire::{Frames, Handshake};
use super::intake::read_handshake;
use super::stream::Stream;
use super::{Client, Clients, MEETING_TIMEOUT};
use crate::journey::Cause;
use crate::profile::Encryption;

/// A torrent, and an address where it is asked for.
type Place = ([u8; 20], IpAddr);

/// A worker's open door.
#[derive(Debug)]
pub(super) struct Listener {
    sockets: Vec<Rc<TcpListener>>,
    port: u16,
    /// Visitors by torrent and address.
    visitors: RefCell<HashMap<Place, Vec<Weak<Client>>>>,
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

    /// Who is at this address and understands encryption.
    fn encrypting(&self, local: IpAddr) -> Vec<Rc<Client>> {
        let visitors = self.visitors.borrow();
        let there = visitors.iter().filter(|((_, address), _)| *address == local);
        let clients = there.flat_map(|(_, clients)| clients.iter().filter_map(Weak::upgrade));
        clients.filter(|client| client.persona.encryption != Encryption::Disabled).collect()
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
                        let Some(stream) = clients.guard.accepted(stream, address) else { continue };
                        let Ok(local) = stream.local_ip() else { continue };
                        tokio::task::spawn_local(welcome(clients, stream.into(), address, local));
                    }
                    // No descriptor is left, most likely: others must be closed first.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        });
        clients.listener.tasks.borrow_mut().push(task.abort_handle());
    }
}

/// A peer that connects to this local address: its handshake says whom it wants. Whoever cannot be reached, or has left, is not there.
pub(super) async fn welcome(clients: Rc<Clients>, mut stream: Stream, address: SocketAddr, local: IpAddr) {
    match tokio::time::timeout(MEETING_TIMEOUT, answer(&clients, &mut stream, local)).await {
        Ok(Ok((client, frames, theirs))) => client.adopt(stream, frames, address, &theirs),
        _ => clients.count(None, |swarm| swarm.turned_away += 1),
    }
}

async fn answer(
    clients: &Clients,
    stream: &mut Stream,
    local: IpAddr,
) -> Result<(Rc<Client>, Frames, Handshake), Cause> {
    let wanted = decrypt(clients, stream, local).await?;
    let (frames, theirs) = read_handshake(stream).await?;
    let client = match wanted {
        Some(client) if client.persona.info_hash.is_named_by(&theirs.info_hash) => client,
        Some(_) => return Err(Cause::Malformed),
        None => clients
            .listener
            .visitor(theirs.info_hash, local)
            .filter(|client| client.persona.encryption != Encryption::Require)
            .ok_or(Cause::NoPeers)?,
    };
    stream.write_all(&client.persona.handshake()).await.map_err(|error| cause(&error))?;
    Ok((client, frames, theirs))
}

/// Where the peer begins to encrypt, goes on with that for the visitor whom it wants.
async fn decrypt(clients: &Clients, stream: &mut Stream, local: IpAddr) -> Result<Option<Rc<Client>>, Cause> {
    if stream.is_plain().await? {
        return Ok(None);
    }
    let there = clients.listener.encrypting(local);
    if there.is_empty() {
        return Err(Cause::Malformed);
    }
    let asked = stream.asked(clients.random()).await?;
    let meant = there.into_iter().filter(|client| asked.is_for(&client.persona.info_hash.on_the_wire()));
    let client = meant.min_by_key(|client| client.torrent.borrow().connections()).ok_or(Cause::NoPeers)?;
    stream.accept(asked, &client.persona.info_hash.on_the_wire(), client.persona.encryption).await?;
    Ok(Some(client))
}

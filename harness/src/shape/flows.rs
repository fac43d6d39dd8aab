//! Which client is behind which address and port that a server sees.
//!
//! The server sees each client's own IP address, and for a port one of the relay's: the number of the socket in a pool. Clients at one
//! address are told apart by the socket, so that a pool is as large as one address has clients, however many addresses there are.
//!
//! Two generations: what is used moves to the young one, and what has not been used for a whole generation is forgotten. That bounds age
//! and number without a look at any single flow.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Sockets of a pool at most: clients at one address at a time.
const SOCKETS: u16 = 4096;
/// Flows of a generation at most.
const FLOWS: usize = 1 << 17;

/// A client as the relay sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// The address that it has sent to, from which it expects the answers.
    pub(super) asked: Option<IpAddr>,
}

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Flows {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    sockets: HashMap<SocketAddr, u16>,
    clients: HashMap<(IpAddr, u16), Client>,
}

impl Flows {
    /// The socket for a client that the server sees as `source`; `None` where all are taken.
    pub(super) fn socket(&mut self, client: Client, source: IpAddr) -> Option<u16> {
        if let Some(socket) = self.young.sockets.get(&client.address) {
            return Some(*socket);
        }
        if self.young.sockets.len() >= FLOWS {
            self.age();
        }
        let known = self.old.sockets.get(&client.address).copied();
        let is_free = |socket: &u16| {
            let place = (source, *socket);
            !self.young.clients.contains_key(&place) && !self.old.clients.contains_key(&place)
        };
        let socket = known.or_else(|| (0..SOCKETS).find(is_free))?;
        self.young.sockets.insert(client.address, socket);
        self.young.clients.insert((source, socket), client);
        Some(socket)
    }

    /// The client that the server sees as `source` at this socket.
    pub(super) fn client(&self, source: IpAddr, socket: u16) -> Option<Client> {
        let place = (source, socket);
        self.young.clients.get(&place).or_else(|| self.old.clients.get(&place)).copied()
    }

    /// A generation has passed.
    pub(super) fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Client {
        Client { address: address.parse().unwrap(), asked: None }
    }

    fn socket(flows: &mut Flows, client: Client) -> Option<u16> {
        flows.socket(client, client.address.ip())
    }

    #[test]
    fn clients_at_one_address_have_sockets_of_their_own_and_keep_them() {
        let mut flows = Flows::default();
        let (first, second, other) =
            (client("127.0.0.1:1000"), client("127.0.0.1:1001"), client("127.0.0.2:1000"));
        assert_eq!([first, second, other].map(|it| socket(&mut flows, it)), [Some(0), Some(1), Some(0)]);
        flows.age();
        assert_eq!(socket(&mut flows, second), Some(1));
        assert_eq!(socket(&mut flows, client("127.0.0.1:1002")), Some(2), "0 and 1 are still known");
        assert_eq!(flows.client(first.address.ip(), 0), Some(first));
        // The first has been silent for a whole generation, the second not.
        flows.age();
        assert_eq!(flows.client(first.address.ip(), 0), None);
        assert_eq!(flows.client(second.address.ip(), 1), Some(second));
        assert_eq!(socket(&mut flows, client("127.0.0.1:1003")), Some(0));
    }

    #[test]
    fn there_are_never_more_flows_than_two_generations() {
        let mut flows = Flows::default();
        for n in 0..3 * FLOWS as u32 {
            let address = SocketAddr::from((std::net::Ipv4Addr::from(0x7f10_0000 + n), 1));
            assert_eq!(socket(&mut flows, Client { address, asked: None }), Some(0));
        }
        assert!(flows.young.clients.len() + flows.old.clients.len() <= 2 * FLOWS);
        // One address has as many clients as there are sockets.
        let ports = (1..=SOCKETS + 1).map(|port| client(&format!("127.9.9.9:{port}")));
        assert_eq!(ports.filter_map(|it| socket(&mut flows, it)).count(), usize::from(SOCKETS));
    }
}

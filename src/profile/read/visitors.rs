//! Reading where visitors connect from.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::problem::{Reported, Table};
use crate::profile::Target;
use crate::profile::values::Network;

/// The table `visitors` of a target.
pub(super) fn networks(table: &mut Table<'_>) -> Result<Vec<IpNet>, Reported> {
    let networks = table.filled_list::<Network>(
        "addresses",
        "Networks that are routed to this machine: each visitor has an address of its own in them.",
    );
    Ok(networks?.into_iter().map(|network| network.into_inner().0.trunc()).collect())
}

/// A visitor at the address of a server would talk to itself.
pub(super) fn apart(table: &Table<'_>, target: &Target) -> Result<(), Reported> {
    let servers = target.addresses().chain(target.own_peers.iter().copied());
    let among = |server: &SocketAddr| target.visitor_networks.iter().any(|it| it.contains(&server.ip()));
    let Some(server) = servers.map(|it| SocketAddr::new(it.ip().to_canonical(), it.port())).find(among)
    else {
        return Ok(());
    };
    let message = format!("{server} of the target lies in the visitors' own networks");
    Err(table.wrong("visitors", message, Some("name networks that hold nobody but visitors".to_owned())))
}

//! Reading what profiles say of the DHT: of its nodes, and of the clients that ask them.

use std::net::SocketAddr;

use crate::problem::{PositiveDuration, Reported, Table};
use crate::profile::values::{Address, Nodes};
use crate::profile::{DhtHabits, DhtNodes};
use crate::unit::Share;

/// The table `dht` of a target: where a lookup begins, and what its nodes promise.
pub(super) fn nodes(table: &mut Table<'_>) -> Result<(Vec<SocketAddr>, DhtNodes), Reported> {
    let bootstrap = table.filled_list::<Address>("bootstrap", "Nodes that a lookup starts from.");
    let usual = DhtNodes::default();
    let k = table.or(
        "k",
        "Nodes that an answer names at most, of each address family (BEP 5); more are an `incorrect` answer.",
        Nodes(usual.k),
    );
    let check_local_ids = table.or(
        "check_local_ids",
        "Whether ids of nodes at local addresses are held against BEP 42 too, which exempts them.",
        usual.check_local_ids,
    );
    let bootstrap = bootstrap?.into_iter().map(|node| node.into_inner().0).collect();
    Ok((bootstrap, DhtNodes { k: k?.0, check_local_ids: check_local_ids? }))
}

/// The table `lookup` of a client.
pub(super) fn habits(table: &mut Table<'_>) -> Result<DhtHabits, Reported> {
    let usual = DhtHabits::default();
    let alpha = table.or("alpha", "Queries under way at a time.", Nodes(usual.alpha));
    let width = table.or(
        "width",
        "Closest nodes that have to answer, and that are announced to.",
        Nodes(usual.width),
    );
    let short_timeout = table.or(
        "short_timeout",
        "After this another node is asked in the place of one that is silent.",
        PositiveDuration(usual.short_timeout),
    );
    let timeout =
        table.or("timeout", "After this a silent node is given up.", PositiveDuration(usual.timeout));
    let fresh = table.or(
        "fresh",
        "Share of its visitors whose node begins with an empty table and looks its own id up first (assumed).",
        Share(usual.fresh),
    );
    let pings =
        table.or("pings", "Whether such a node pings the bootstrap nodes before it asks them.", usual.pings);
    Ok(DhtHabits {
        alpha: alpha?.0,
        width: width?.0,
        short_timeout: short_timeout?.0,
        timeout: timeout?.0,
        fresh: fresh?.0,
        pings: pings?,
    })
}

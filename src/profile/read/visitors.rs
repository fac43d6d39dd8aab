//! Reading where visitors connect from.

use ipnet::IpNet;

use crate::problem::{Reported, Table};
use crate::profile::values::Network;

/// The table `visitors` of a target.
pub(super) fn networks(table: &mut Table<'_>) -> Result<Vec<IpNet>, Reported> {
    let networks = table.filled_list::<Network>(
        "addresses",
        "Networks that are routed to this machine: each visitor has an address of its own in them.",
    );
    Ok(networks?.into_iter().map(|network| network.into_inner().0.trunc()).collect())
}

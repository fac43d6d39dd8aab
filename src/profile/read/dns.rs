//! Reading what a target says of its resolvers.

use crate::problem::{Reported, Table};
use crate::profile::values::Address;
use crate::profile::{Dns, HttpEndpoint};
use crate::unit::Share;

/// The table `dns` of a target.
pub(super) fn dns(table: &mut Table<'_>) -> Result<Dns, Reported> {
    let resolvers =
        table.filled_list::<Address>("resolvers", "Where they listen, in the order in which they are asked.");
    let cached = table.or(
        "cached",
        "Share of the visitors who come with a name in their machine's or network's cache (assumed).",
        Share(0.6),
    );
    Ok(Dns { resolvers: resolvers?.into_iter().map(|it| it.into_inner().0).collect(), cached: cached?.0 })
}

/// Resolvers without a name to resolve are a slip.
pub(super) fn names<'a>(
    table: &Table<'_>,
    mut servers: impl Iterator<Item = &'a HttpEndpoint>,
) -> Result<(), Reported> {
    if servers.any(|server| server.name().is_some()) {
        return Ok(());
    }
    let message = "there are resolvers, but no server has a name".to_owned();
    Err(table.wrong("dns", message, Some("give `index`, `metadata` or `gateway` a `host`".to_owned())))
}

//! What a scenario file says of the target's faults.

use std::time::Duration;

use crate::problem::{Name, Names, OneOf, PositiveDuration, PositiveRate, Reported, Table};
use crate::profile::Layer;
use crate::scenario::fault::{Fault, FaultLimits};
use crate::scenario::values::{Bandwidth, Connections, Delay, Servers};
use crate::unit::Share;

use super::within;

pub(super) fn faults(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
) -> Result<Vec<Fault>, Reported> {
    let mut unique = Names::default();
    let doc = "What goes wrong with a layer of the target for a while: needs relays before it (`shaper` in the target's profile).";
    table.tables("fault", doc, |table| {
        let name = table.required::<Name>("name", "Name in charts and reports.");
        let layer = table.required::<OneOf<Layer>>("layer", "The layer that it concerns.");
        let at = table.required::<Duration>("at", "Scenario time of its beginning.");
        let lasts = table.required::<PositiveDuration>("for", "How long it lasts, in scenario time.");
        let limits = limits(table);
        let (name, at) = (name?.0.0, at?);
        unique.claim(table, "name", &name)?;
        within(table, "at", at, duration)?;
        let limits = limits?;
        // An unknown key is probably what it says, misspelt.
        if limits == FaultLimits::default() && !table.has_unknown() {
            let hint = "add `rate`, `service`, `bandwidth`, `connections`, `latency`, `loss` or `black_hole`";
            return Err(table.wrong_here("this fault changes nothing".to_owned(), Some(hint.to_owned())));
        }
        Ok(Fault { name, layer: layer?.0, at, lasts: lasts?.0, limits })
    })
}

fn limits(table: &mut Table<'_>) -> Result<FaultLimits, Reported> {
    let rate = table.optional::<PositiveRate>("rate", "Operations that are served.");
    let service = table
        .optional::<PositiveDuration>("service", "How long a server works on an operation, in run time.");
    let parallelism = table.optional::<Servers>("parallelism", "Operations that are served at a time.");
    let bandwidth = table.optional::<Bandwidth>("bandwidth", "Towards visitors.");
    let connections =
        table.optional::<Connections>("connections", "Connections at a time; one more is refused.");
    let new = table.optional::<PositiveRate>("connections_per_second", "New connections.");
    let latency =
        table.optional::<Delay>("latency", "How much later operations reach the layer, in run time.");
    let jitter = table.optional::<Delay>("jitter", "By how much that varies, either way, in run time.");
    let loss = table.optional::<Share>("loss", "Operations that are lost.");
    let black_hole = table.or("black_hole", "Nothing is answered.", false);
    Ok(FaultLimits {
        rate: rate?.map(|rate| rate.0.0),
        service: service?.map(|service| service.0),
        parallelism: parallelism?.map(|servers| servers.0),
        bandwidth: bandwidth?.map(|bandwidth| bandwidth.0.0),
        connections: connections?.map(|connections| connections.0),
        connections_per_second: new?.map(|rate| rate.0.0),
        latency: latency?.map(|delay| delay.0),
        jitter: jitter?.map(|delay| delay.0),
        loss: loss?.map(|loss| loss.0),
        black_hole: black_hole?,
    })
}

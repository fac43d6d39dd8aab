//! What a target profile says of stated capacities, and of the relays that state them.

use std::collections::BTreeMap;

use crate::problem::{Name, OneOf, PositiveRate, Reported, Table};

use super::super::values::{Address, Bandwidth, Connections};
use super::super::{Capacity, Layer, Shaper};

/// The table `capacity`.
pub(super) fn capacities(table: &mut Table<'_>) -> Result<BTreeMap<Layer, Capacity>, Reported> {
    let doc =
        "What layers are known to carry, where something states it: the answer that a rehearsal should find.";
    table.table_of_defaults("capacity", doc, |table| {
        // Every layer is read before the first that is wrong ends the reading.
        let layers = Layer::ALL.map(|layer| {
            let stated = table.optional_table(layer.name(), "What this layer carries.", capacity);
            stated.map(|stated| stated.map(|stated| (layer, stated)))
        });
        let layers: Result<Vec<_>, Reported> = layers.into_iter().collect();
        Ok(layers?.into_iter().flatten().collect())
    })
}

fn capacity(table: &mut Table<'_>) -> Result<Capacity, Reported> {
    let rate = table.optional::<PositiveRate>("rate", "Operations.");
    let new = table.optional::<PositiveRate>("connections_per_second", "New connections.");
    let connections = table.optional::<Connections>("connections", "Connections at a time.");
    let bandwidth = table.optional::<Bandwidth>("bandwidth", "Towards visitors.");
    let capacity = Capacity {
        rate: rate?.map(|rate| rate.0.0),
        connections_per_second: new?.map(|rate| rate.0.0),
        connections: connections?.map(|connections| connections.0),
        bandwidth: bandwidth?.map(|bandwidth| bandwidth.0.0),
    };
    if capacity == Capacity::default() && !table.has_unknown() {
        let hint = "add `rate`, `connections_per_second`, `connections` or `bandwidth`".to_owned();
        return Err(table.wrong_here("this capacity states nothing".to_owned(), Some(hint)));
    }
    Ok(capacity)
}

/// The tables `shaper`.
pub(super) fn shapers(table: &mut Table<'_>) -> Result<Vec<Shaper>, Reported> {
    let doc = "A relay before a layer (`squall-shape`), by which a scenario's faults are brought about.";
    table.tables("shaper", doc, |table| {
        let layer = table.required::<OneOf<Layer>>("layer", "The layer that it stands before.");
        let control = table.required::<Address>("control", "Where it is steered, on loopback.");
        let relay = table.required::<Name>("relay", "Its name there.");
        let control = control?.0;
        // Steering sends no load, but the rule is that nothing is sent to a stranger.
        if !control.ip().is_loopback() {
            let message = "`control` must be an address of loopback".to_owned();
            let hint = "forward its port, for example with `ssh -L`".to_owned();
            return Err(table.wrong("control", message, Some(hint)));
        }
        Ok(Shaper { layer: layer?.0, control, relay: relay?.0.0 })
    })
}

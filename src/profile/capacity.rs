//! What a fleet is known to carry, and how that can be changed.

use std::net::SocketAddr;

use crate::unit::{BitRate, Quantity, Rate};

use super::Layer;

/// What a layer carries, where that is known because something states it: a relay before it, a quota. Unlike an envelope it is no promise:
/// it is the answer that a rehearsal should find.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    /// Operations per second.
    pub rate: Option<f64>,
    /// New connections per second.
    pub connections_per_second: Option<f64>,
    /// Connections at a time.
    pub connections: Option<u32>,
    /// Bytes per second towards visitors.
    pub bandwidth: Option<f64>,
}

impl std::fmt::Display for Capacity {
    /// All that is stated, as a profile writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stated = [
            self.rate.map(|rate| Rate(rate).write()),
            self.connections_per_second.map(|rate| format!("{} new connections", Rate(rate).write())),
            self.connections.map(|connections| format!("{connections} connections")),
            self.bandwidth.map(|bandwidth| BitRate(bandwidth).write()),
        ];
        f.write_str(&stated.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A relay before a layer, by which faults are brought about (`squall-shape`, harness/README.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaper {
    /// The layer that it stands before.
    pub layer: Layer,
    /// Where its process is steered.
    pub control: SocketAddr,
    /// Its name there.
    pub relay: String,
}

//! Stated capacities of the modelled target.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::profile::Layer;

/// A target as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelTarget {
    /// Network time from a layer's answer to the visitor and of the request there, together.
    pub round_trip: Duration,
    /// The queue of each layer.
    pub layers: BTreeMap<Layer, Capacity>,
}

/// An M/M/c/K queue. Its capacity is `servers / service` operations per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Operations served at a time (c), at least 1.
    pub servers: u32,
    /// Mean time of service, exponentially distributed.
    pub service: Duration,
    /// Operations that may wait (K - c).
    pub waiting: u32,
}

impl ModelTarget {
    /// The queue of a layer; one without a stated capacity is never the limit.
    #[must_use]
    pub fn layer(&self, layer: Layer) -> Capacity {
        let free = Capacity { servers: u32::MAX, service: Duration::from_micros(100), waiting: 0 };
        self.layers.get(&layer).copied().unwrap_or(free)
    }
}

//! Capacity envelopes: what a fleet promises.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Layer;

/// The capacity that a fleet promises, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Envelope {
    /// The promise of each layer that has one.
    pub layers: BTreeMap<Layer, LayerEnvelope>,
}

/// The promise of one layer: rates in operations per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LayerEnvelope {
    /// Rate that is kept for ever.
    pub base: f64,
    /// Rate that is kept for `burst_for`.
    pub burst: f64,
    /// How long a burst may last, in run time.
    pub burst_for: Duration,
    /// Rate that is survived with everything that is held back switched on.
    pub reserve: f64,
    /// What "kept" means.
    pub slo: Slo,
    /// Share of the reserve rate that is to stay unused at the peak, 0..1. Less is a warning in the report, not a failure: every
    /// operation was served as promised, but there is less left for the unforeseen than the operators wanted.
    pub headroom: f64,
}

/// A service-level objective over one window: latency from due, and the share of operations that may fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Slo {
    /// Quantile that the limit holds for, 0..1 (0.99).
    pub quantile: f64,
    /// Latency limit from due.
    pub limit: Duration,
    /// Share of operations that may fail, 0..1.
    pub errors: f64,
}

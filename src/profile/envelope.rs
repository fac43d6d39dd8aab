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
    /// How long the layer may take to keep its SLO again once demand beyond the reserve is over, in run time; absent where that is not
    /// promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Duration>,
    /// What "kept" means.
    pub slo: Slo,
    /// Share of the reserve rate that is to stay unused at the peak, 0..1. Less is a warning in the report, not a failure: every
    /// operation was served as promised, but there is less left for the unforeseen than the operators wanted.
    pub headroom: f64,
    /// What ends a run early; absent where it goes on to its end, whatever becomes of the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abort_on: Option<AbortOn>,
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

/// When a layer is so bad that a run ends early, to spare the target and those who wait. At least as bad as breaking the [`Slo`] is, so
/// that a run that keeps its promises is never ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AbortOn {
    /// Share of operations that fail, or do not come back, 0..1: more of them end the run.
    pub errors: Option<f64>,
    /// Latency from due, at the quantile of the SLO: a longer one ends the run.
    pub limit: Option<Duration>,
    /// The time over which either is taken. No run is ended before it has lasted that long.
    #[serde(rename = "for")]
    pub over: Duration,
}

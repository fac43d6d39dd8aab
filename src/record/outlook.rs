//! What was expected of a run before it began.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::demand::{Response, Tier};
use crate::profile::Layer;

/// What the signals called for, to somebody who sees nothing else, and what the plan asks of the layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outlook {
    /// Every change of tier or response on the run clock, in order of time.
    pub changes: Vec<OutlookChange>,
    /// First tries per second that the plan intends of each layer in its busiest 5 s, if nothing fails; without the seedbox, since how many
    /// pieces are asked of it only the target knows.
    pub peaks: BTreeMap<Layer, f64>,
}

/// A change of what the signals call for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutlookChange {
    /// Seconds since the run began; below 0 for what stood already then.
    pub at_seconds: f64,
    /// The tier of readiness from now on.
    pub tier: Tier,
    /// The most demand expected within six hours of the scenario, as a multiple of a normal day.
    pub factor: f64,
    /// Weighted intensity of the mentions.
    pub intensity: f64,
    /// What that asks for by the response matrix.
    pub response: Response,
}

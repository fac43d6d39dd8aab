//! What is found about the saturation of a layer. Times in seconds, rates per second, shares 0..1.

use serde::Serialize;

use crate::analysis::Pressure;
use crate::profile::Layer;

/// Whether a layer saturated, and what it carries.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LayerSaturation {
    /// Which.
    pub layer: Layer,
    /// What became of it.
    pub finding: SaturationFinding,
    /// Highest rate of a window of 5 s that it was asked, retries included. More was never tested.
    pub tested_per_second: f64,
    /// The resource of it that came to its end as it fell behind; `None` where it did not, or nothing is known of its resources.
    pub because: Option<Pressure>,
    /// What it carries, by four definitions.
    pub numbers: CapacityNumbers,
    /// Most operations under way at the end of a second.
    pub peak_backlog: u64,
    /// How fast they grew from when it first fell behind to their peak, per second; `None` where it never did.
    pub backlog_growth_per_second: Option<f64>,
    /// Self-check by Little's law, near 1 for a sound recording; `None` where too few were under way to tell.
    pub littles_ratio: Option<f64>,
    /// How many times as long the median operation took in the busiest window as in the idlest.
    pub slowdown: Option<f64>,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum SaturationFinding {
    /// It did all that it was asked, up to the highest rate that was.
    NotReached,
    /// It was asked more than it carries.
    Saturated(Saturated),
    /// It stopped doing what it had done before, at no higher rate: a fault rather than the load.
    Slumped {
        /// Second in which it fell behind.
        at_seconds: u64,
        /// Second in which it had caught up.
        recovered_at_seconds: Option<u64>,
        /// What it carried meanwhile.
        carried_per_second: f64,
        /// What it had carried before.
        before_per_second: f64,
        /// Whose limit that was.
        limit: Limit,
    },
    /// A share of its operations fails, whatever the rate.
    Failing {
        /// Second of the first that did.
        at_seconds: u64,
        /// The share.
        share: f64,
    },
    /// A share of what is sent to it goes unanswered, whatever the rate, and does what it should when it is sent again.
    Lossy {
        /// Second from which on too much of it did.
        at_seconds: u64,
        /// The share of the attempts.
        share: f64,
        /// Whose limit that was.
        limit: Limit,
    },
    /// It did all that it was asked, and failures upstream kept from it what it should have been: not tested is not passed.
    Shielded {
        /// The first layer upstream of it to fail.
        by: Layer,
        /// First tries that came to be asked, of those that were planned.
        arrived_share: f64,
    },
}

impl SaturationFinding {
    /// The second in which it saturated, slumped, first failed or began to lose what is sent to it.
    #[must_use]
    pub const fn at_seconds(&self) -> Option<u64> {
        match self {
            Self::Saturated(Saturated { at_seconds, .. })
            | Self::Slumped { at_seconds, .. }
            | Self::Failing { at_seconds, .. }
            | Self::Lossy { at_seconds, .. } => Some(*at_seconds),
            Self::NotReached | Self::Shielded { .. } => None,
        }
    }

    /// The second in which a layer that had fallen behind had caught up.
    #[must_use]
    pub const fn recovered_at_seconds(&self) -> Option<u64> {
        match self {
            Self::Saturated(Saturated { recovered_at_seconds, .. })
            | Self::Slumped { recovered_at_seconds, .. } => *recovered_at_seconds,
            _ => None,
        }
    }

    pub(super) const fn limit_mut(&mut self) -> Option<&mut Limit> {
        match self {
            Self::Saturated(Saturated { limit, .. })
            | Self::Slumped { limit, .. }
            | Self::Lossy { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// Whose limit it was, of what the load brought about.
    #[must_use]
    pub const fn limit(&self) -> Option<Limit> {
        match self {
            Self::Saturated(Saturated { limit, .. })
            | Self::Slumped { limit, .. }
            | Self::Lossy { limit, .. } => Some(*limit),
            _ => None,
        }
    }
}

/// A layer that was asked more than it carries.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Saturated {
    /// Second in which it fell behind.
    pub at_seconds: u64,
    /// What it was asked then.
    pub offered_per_second: f64,
    /// What it carried while it was behind: its capacity for this mix of operations. Where it collapsed, what it carried just before.
    pub capacity_per_second: f64,
    /// The same in payload bytes.
    pub capacity_bytes_per_second: f64,
    /// How far off chance alone may put these figures (95 %).
    pub margin: f64,
    /// Second in which it had caught up; `None` where it did not.
    pub recovered_at_seconds: Option<u64>,
    /// What it was asked then. Far below what it saturated at, it takes less load to recover than to keep (metastable).
    pub recovered_at_per_second: Option<f64>,
    /// Whose limit that is.
    pub limit: Limit,
}

/// Whose limit something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// The target's.
    Target,
    /// The generator's.
    Generator,
    /// The network's between them, on the generator's side.
    Network,
    /// It cannot be told.
    Undetermined,
}

/// What a layer carries, by several definitions: a smooth curve has no knee of its own.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CapacityNumbers {
    /// Goodput that it sustained: its capacity where it saturated, else the highest of 5 s.
    pub sustained_per_second: f64,
    /// Highest rate that kept the SLO, before it was first broken; `None` without an envelope, or where none kept it.
    pub slo_per_second: Option<f64>,
    /// Whether the SLO was broken at all; where not, that rate is only "at least".
    pub slo_broken: bool,
    /// Rate at which goodput first fell below 99 % of the offer for want of capacity; `None` where the layer did not saturate.
    pub goodput_per_second: Option<f64>,
    /// Kneedle's point of the curve of goodput over offer; `None` where that is straight.
    pub knee_per_second: Option<f64>,
    /// The Universal Scalability Law; `None` where concurrency varied too little to fit it.
    pub usl: Option<Usl>,
    /// Whether those that tell of a limit differ by more than a quarter: the rate that kept the SLO where it was broken, and the other
    /// three where the layer saturated.
    pub disagree: bool,
}

/// A fit of the Universal Scalability Law, X(N) = γN / (1 + α(N-1) + βN(N-1)), throughput over concurrency.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Usl {
    /// γ: throughput of one at a time.
    pub gamma: f64,
    /// α: what is lost to contention.
    pub alpha: f64,
    /// β: what is lost to coherency.
    pub beta: f64,
    /// Half the width of its 95 % interval.
    pub beta_margin: f64,
    /// Concurrency of the highest throughput; `None`: no peak was observed, the interval of β holds 0.
    pub peak_concurrency: Option<f64>,
    /// What throughput comes to at most, by the fit.
    pub ceiling_per_second: Option<f64>,
}

//! What a search comes to.

use serde::Serialize;

use crate::analysis::Verdict;
use crate::profile::{Layer, Slo};
use crate::record::WorldName;

use super::{Limit, Measured, Purpose};

/// Name and version of the format; the number grows when a reader would have to change.
pub const SEARCH_SCHEMA: &str = "urn:squall:search:1";

/// The capacities that were found: what `squall search` prints, and `search.json`. Rates are operations per second, as envelopes count
/// them.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Capacities {
    /// Names the format of the file.
    #[serde(rename = "$schema")]
    #[schemars(extend("const" = SEARCH_SCHEMA))]
    pub schema: &'static str,
    /// Name of the target.
    pub target: String,
    /// Whose patience, retries, clients and content the trials have: name of a scenario.
    pub visitors: String,
    /// Which world.
    pub world: WorldName,
    /// Seed of the first trial.
    pub seed: u64,
    /// How many workers drove it.
    pub workers: usize,
    /// Length of what is judged of an ordinary trial.
    pub trial_seconds: f64,
    /// Width of the bracket at which its lower end is taken for the capacity.
    pub precision: f64,
    /// Each layer that was searched, in order.
    pub layers: Vec<LayerFound>,
}

/// The capacity of one layer.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LayerFound {
    /// Which.
    pub layer: Layer,
    /// What it was held to.
    pub slo: Slo,
    /// Operations that one visitor of a trial asks for.
    pub operations_per_visitor: f64,
    /// What it comes to.
    pub found: Found,
    /// Every trial, in order.
    pub trials: Vec<Tried>,
}

/// What a search comes to.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Found {
    /// The highest rate that was kept; `None` where none was.
    pub capacity_per_second: Option<f64>,
    /// Whether the capacity may be more: what ended the search was not the layer.
    pub at_least: bool,
    /// Whether a longer trial confirmed it.
    pub confirmed: bool,
    /// Why it is not more.
    pub stopped_by: Stopped,
    /// The lowest rate above it that was not kept.
    pub failed_at_per_second: Option<f64>,
    /// Good operations at the capacity.
    pub goodput_per_second: Option<f64>,
    /// The SLO's quantile of the latency from due, at the capacity.
    pub quantile_seconds: Option<f64>,
    /// The same at the first rate that was kept.
    pub unloaded_seconds: Option<f64>,
    /// Whether the layer comes back from an overload by itself.
    pub recovery: Recovery,
}

/// Why a search ended where it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// More is too slow.
    Latency,
    /// Of more, too many fail.
    Errors,
    /// Of more, not all is served.
    Goodput,
    /// The generator cannot ask for more.
    Generator,
    /// More may not be asked.
    Ceiling,
    /// Nothing was kept, however little was asked.
    Unreachable,
    /// After an overload it kept nothing any more.
    Down,
    /// The time was used up.
    Budget,
    /// Somebody ended the search.
    Interrupted,
}

impl Stopped {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Errors => "errors",
            Self::Goodput => "goodput",
            Self::Generator => "generator",
            Self::Ceiling => "ceiling",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
            Self::Budget => "budget",
            Self::Interrupted => "interrupted",
        }
    }

    pub(super) const fn is_at_least(self) -> bool {
        matches!(self, Self::Generator | Self::Ceiling | Self::Down | Self::Budget | Self::Interrupted)
    }
}

impl From<Limit> for Stopped {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Latency => Self::Latency,
            Limit::Errors => Self::Errors,
            Limit::Goodput => Self::Goodput,
            Limit::Generator => Self::Generator,
            Limit::Ceiling => Self::Ceiling,
        }
    }
}

/// Whether a layer comes back from an overload without a pause.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Recovery {
    /// It was not overloaded on purpose.
    NotTried,
    /// It did at three quarters of its capacity.
    NoHysteresis,
    /// It did only once it was asked for as little as this.
    At {
        /// Operations per second.
        per_second: f64,
    },
    /// It did not, not even at this rate.
    NotAbove {
        /// Operations per second.
        per_second: f64,
    },
}

impl Found {
    /// The same with rates in other units: what was taken for an operation are `times` as many.
    #[must_use]
    pub fn scaled(self, times: f64) -> Self {
        let rate = |rate: Option<f64>| rate.map(|rate| times * rate);
        let recovery = match self.recovery {
            Recovery::At { per_second } => Recovery::At { per_second: times * per_second },
            Recovery::NotAbove { per_second } => Recovery::NotAbove { per_second: times * per_second },
            other @ (Recovery::NotTried | Recovery::NoHysteresis) => other,
        };
        Self {
            capacity_per_second: rate(self.capacity_per_second),
            failed_at_per_second: rate(self.failed_at_per_second),
            recovery,
            ..self
        }
    }
}

/// A trial and what it came to.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Tried {
    /// Its recording, below the directory of the search.
    pub directory: String,
    /// What it was for.
    pub purpose: Purpose,
    /// Operations per second that it asked for while it was judged.
    pub rate_per_second: f64,
    /// How long it was judged.
    pub judged_seconds: f64,
    /// What it measured.
    pub measured: Measured,
}

impl Tried {
    /// Operations for each visitor of the trials that were kept, all of them together; `None` where none was. Of those that were not,
    /// visitors did not come to ask for everything.
    #[must_use]
    pub fn operations_per_visitor(trials: &[Self]) -> Option<f64> {
        let kept = trials.iter().filter(|tried| tried.measured.limit.is_none());
        let (operations, visitors) = kept.fold((0.0, 0.0), |(operations, visitors), tried| {
            let of_trial = tried.measured.offered_per_second * tried.judged_seconds;
            let each = tried.measured.operations_per_visitor;
            if each > 0.0 {
                (operations + of_trial, visitors + of_trial / each)
            } else {
                (operations, visitors)
            }
        });
        (visitors > 0.0).then(|| operations / visitors)
    }
}

impl Capacities {
    /// What the search comes to as an exit code: `None` where every capacity was found, up to the ceiling at least.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let stopped = |by: &[Stopped]| self.layers.iter().any(|layer| by.contains(&layer.found.stopped_by));
        if stopped(&[Stopped::Generator]) {
            Some(Verdict::Invalid)
        } else if self.layers.is_empty()
            || stopped(&[Stopped::Unreachable, Stopped::Down, Stopped::Budget, Stopped::Interrupted])
        {
            Some(Verdict::Inconclusive)
        } else {
            None
        }
    }
}

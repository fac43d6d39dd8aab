//! The machine that a run happened on, and what it could carry.

use serde::{Deserialize, Serialize};

use crate::live::doctor::{Limits, Rates};

/// The machine that a run happened on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Cores that the program may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// Its name, if that may be told.
    pub hostname: Option<String>,
    /// What it allowed as the run began; absent in recordings from before it was looked at, as what follows is.
    #[serde(default)]
    pub limits: Option<Limits>,
    /// What it was measured to carry; absent where the plan asked for so little that nobody looked.
    #[serde(default)]
    pub rates: Option<Rates>,
    /// What the plan was foreseen to lack here.
    #[serde(default)]
    pub foreseen: Vec<Shortage>,
}

/// Something that a generator can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Time of its workers on a core, in cores: what the bare sockets of the busiest second take.
    Workers,
    /// Cores, for the workers to have one each.
    Cores,
    /// Open descriptors.
    Descriptors,
    /// Ports towards one server, where visitors have no addresses of their own.
    Ports,
    /// Memory, in bytes.
    Memory,
}

/// More needed than there is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shortage {
    /// Of what.
    pub of: Bound,
    /// How much is needed, or was used.
    pub needed: f64,
    /// How much there is.
    pub available: f64,
    /// Whether it is sure: needed at the least, or seen in the run. What is not is only to be expected.
    pub certain: bool,
}

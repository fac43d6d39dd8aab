//! What stands beside the seconds: what was run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::journey::Kind;
use crate::profile::{Envelope, Layer};
use crate::scenario::{Cut, VariantName};

use super::{Host, Outlook};

/// What was run, where, and against which promise. All that a later report needs beside the seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the recording's format.
    pub version: u32,
    /// Version of the program.
    pub squall: String,
    /// Name of the scenario.
    pub scenario: String,
    /// Which forecast.
    pub variant: VariantName,
    /// Which part of the scenario, how fast, how much of it.
    pub cut: Cut,
    /// Seed of the plan.
    pub seed: u64,
    /// Digest of the plan, hexadecimal.
    pub plan_digest: String,
    /// The log that was driven in the place of the scenario's arrivals; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replayed>,
    /// Operations that the whole plan intends if nothing fails, first tries alone; without pieces, whose number only the target
    /// knows.
    pub planned: BTreeMap<Kind, u64>,
    /// How many workers drove it.
    pub workers: usize,
    /// Which world.
    pub world: WorldName,
    /// Whether each stage was driven at its planned rate whatever happened upstream.
    pub isolated: bool,
    /// How long the plan takes on the run clock; what is under way then may take longer.
    pub length: Duration,
    /// Name of the target.
    pub target: String,
    /// What the target promises.
    pub envelope: Envelope,
    /// The scenario's signals on the run clock.
    pub signals: Vec<SignalMark>,
    /// What was expected; absent in recordings from before that was kept, and where a log was replayed.
    #[serde(default)]
    pub outlook: Option<Outlook>,
    /// The scenario's faults on the run clock; empty in recordings from before there were any.
    #[serde(default)]
    pub faults: Vec<FaultMark>,
    /// Names of the regions, by index.
    pub regions: Vec<String>,
    /// Names of the clients, by index.
    pub clients: Vec<String>,
    /// Names of the classes of content, by index; empty in recordings from before they were told apart.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Names of the access lines, by index.
    pub access: Vec<String>,
    /// The machine; absent in the model world, so that equal seeds give equal bytes everywhere.
    pub host: Option<Host>,
    /// When the run clock stood at zero; absent in the model world, which has no such moment.
    pub started_at: Option<jiff::Timestamp>,
}

impl Manifest {
    /// The version that this program writes and reads.
    pub const VERSION: u32 = 1;
}

/// A log that was driven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replayed {
    /// The file, as it was named.
    pub log: PathBuf,
    /// Its announces.
    pub announces: u64,
    /// Lines that were left out.
    pub unread: u64,
}

/// Where a run happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorldName {
    /// Sockets and the clock.
    Live,
    /// Queues and virtual time.
    Model,
}

impl WorldName {
    /// The name used in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Model => "model",
        }
    }
}

/// A signal of the scenario on the run clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalMark {
    /// Its name.
    pub name: String,
    /// Seconds since the run began.
    pub at_seconds: f64,
}

/// A fault of the scenario on the run clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultMark {
    /// Its name.
    pub name: String,
    /// The layer that it concerns.
    pub layer: Layer,
    /// Seconds since the run began.
    pub at_seconds: f64,
    /// How long it holds, in seconds of the run.
    pub for_seconds: f64,
}

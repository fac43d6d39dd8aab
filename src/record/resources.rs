//! What was read beside the load: of processes, of the machine, and of metrics of the target.

use serde::{Deserialize, Serialize};

use crate::profile::{Layer, Readings};

/// What one process had used when it was sampled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Second of the run.
    pub second: u64,
    /// The layer that the process serves; absent for the generator itself.
    pub layer: Option<Layer>,
    /// Process id.
    pub pid: u32,
    /// CPU time, user and system, since the process began.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// When exactly, in seconds of the run; absent in recordings from before it was noted, as what follows is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_seconds: Option<f64>,
    /// CPU time of each worker thread of the generator since it began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worker_cpu_seconds: Vec<f64>,
    /// What else was read of it; what the system does not say is left out.
    #[serde(default, skip_serializing_if = "Readings::is_empty")]
    pub readings: Readings,
}

/// What was read of something that is no local process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Where it was read: a URL, or [`Metrics::MACHINE`]. The first field, by which lines of the file are told apart.
    pub source: String,
    /// When, in seconds of the run.
    pub at_seconds: f64,
    /// The layer that it tells of; absent for the generator's machine.
    pub layer: Option<Layer>,
    /// What was read.
    pub readings: Readings,
    /// What is missing or came late, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Metrics {
    /// Name of the generator's machine as a source, as far as its network namespace goes.
    pub const MACHINE: &'static str = "machine";
}

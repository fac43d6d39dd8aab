//! What analysis finds. Times in seconds, rates per second, shares 0..1.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::journey::{Cause, Kind, Oddity, Swarm, Web};
use crate::plan::Stage;
use crate::profile::{Layer, Readings};
use crate::record::{Aborted, Counts, Downloads, Manifest, Shortage, Tally};

use super::saturation::LayerSaturation;
use super::scorecard::Scorecards;
use super::{Pressure, Verdict};

/// All that is known about a run.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Summary {
    /// Names the format of the file.
    #[serde(rename = "$schema")]
    #[schemars(extend("const" = super::SCHEMA))]
    pub schema: &'static str,
    /// What it comes to.
    pub verdict: Verdict,
    /// What was run.
    pub manifest: Manifest,
    /// Where the recording lies. Not part of the file: equal runs have equal summaries wherever they lie.
    #[serde(skip)]
    pub directory: Option<PathBuf>,
    /// Seconds that were recorded.
    pub recorded_seconds: u64,
    /// Whether the run ended properly.
    pub finished: bool,
    /// The second in which the run was told to end early, if it was.
    pub stopped_at_seconds: Option<u64>,
    /// Why the target's profile ended it early (`abort_on`), if it did: a failure, however the promise was kept until then.
    pub aborted: Option<Aborted>,
    /// Journeys and operations without a known end.
    pub unsettled: u64,
    /// What is missing from the recording.
    pub notes: Vec<String>,
    /// Whether the generator kept up.
    pub generator: Generator,
    /// Each layer against its promise, in funnel order.
    pub layers: Vec<LayerSummary>,
    /// The layer nearest to its limit.
    pub nearest: Option<Layer>,
    /// Which layers saturated, and at what rate, in funnel order; layers that were asked nothing are left out.
    pub saturation: Vec<LayerSaturation>,
    /// The layers that saturated, slumped, failed or lost what was sent to them, the first to do so first.
    pub order: Vec<Layer>,
    /// Event intensity, predicted demand, realised impact.
    pub scorecards: Scorecards,
    /// What became of journeys.
    pub journeys: Counts,
    /// Each stage, in funnel order.
    pub stages: Vec<StageSummary>,
    /// Each kind of operation that occurred, in funnel order.
    pub kinds: Vec<KindSummary>,
    /// What the processes of each layer used; the generator first.
    pub resources: Vec<ResourceSummary>,
    /// The fullest resource of the generator and of each layer, over the 5 s in which it was.
    pub pressures: Vec<Pressure>,
    /// By how much counters of the generator's network namespace grew during the run.
    pub machine: Readings,
    /// What came of reading the target's metrics.
    pub metrics: Vec<MetricsSummary>,
    /// Peers outside the allowed networks that answers named; none was contacted.
    pub foreign_peers: u64,
    /// What the HTTP exchanges were like.
    pub web: Web,
    /// What downloads were like, from swarms and through gateways.
    pub downloads: DownloadSummary,
    /// How many downloads were in progress at a time.
    pub in_progress: InProgress,
    /// What the visitors' part in the swarms was like.
    pub swarm: Swarm,
    /// What that comes to.
    pub swarm_shares: SwarmShares,
    /// How connections to peers came and went.
    pub churn: Churn,
    /// What was noticed about answers, and how often.
    pub oddities: BTreeMap<Oddity, u64>,
    /// Self-check by Little's law; `None` where too little was in flight to tell.
    pub self_check: Option<SelfCheck>,
    /// Who the operations were for.
    pub breakdown: Groups,
}

/// Whether populations, rates and latencies of the recording belong together (Little's law).
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SelfCheck {
    /// The kind whose ratio is farthest from 1.
    pub worst: Kind,
    /// Its ratio.
    pub ratio: f64,
    /// Kinds whose ratio is farther from 1 than sampling explains.
    pub off: Vec<Kind>,
}

/// Totals by the names of the visitor's properties, then stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Groups {
    /// By region.
    pub regions: BTreeMap<String, BTreeMap<Stage, Tally>>,
    /// By client.
    pub clients: BTreeMap<String, BTreeMap<Stage, Tally>>,
    /// By access line.
    pub access: BTreeMap<String, BTreeMap<Stage, Tally>>,
    /// By content: `rank-00` is the most popular, `others` are all that have no rank of their own.
    pub content: BTreeMap<String, BTreeMap<Stage, Tally>>,
    /// Downloads and swarms by class of the content.
    pub downloads_by_class: BTreeMap<String, GroupSummary>,
    /// Downloads and swarms by access line.
    pub downloads_by_access: BTreeMap<String, GroupSummary>,
}

/// Downloads and swarms of one group.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct GroupSummary {
    /// What its downloads were like.
    pub downloads: DownloadSummary,
    /// What its part in the swarms was like.
    pub swarm: Swarm,
    /// What that comes to.
    pub swarm_shares: SwarmShares,
}

/// What downloads were like.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct DownloadSummary {
    /// What became of them.
    pub counts: Downloads,
    /// From due to the first piece, whole and checked.
    pub first_piece: Quantiles,
    /// From due to the last piece, of those that fetched all of the content.
    pub completion: Quantiles,
    /// Mean number in progress: the time that all of them took, by the time that was recorded.
    pub mean_in_progress: f64,
}

/// How many downloads were in progress at a time.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct InProgress {
    /// Most at the end of a second.
    pub peak: u64,
    /// Self-check by Little's law: their number at the end of each second against the time that they took, near 1 for a sound recording.
    /// `None` where there were too few to tell, or the run did not end properly.
    pub littles_ratio: Option<f64>,
}

/// What the visitors' part in the swarms comes to; `None` where there is nothing to divide.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct SwarmShares {
    /// Share of the payload that visitors gave each other and the target did not have to; 0..1.
    pub offload: Option<f64>,
    /// Bytes that visitors gave for each that they got.
    pub ratio: Option<f64>,
    /// Peers that had a piece when it became whole, on average.
    pub copies_per_piece: Option<f64>,
    /// Connections that did not come about, of those that were tried; 0..1.
    pub failed_dials: Option<f64>,
}

/// How connections to peers came and went, per second of the recording.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Churn {
    /// That came about, either way.
    pub opened_per_second: f64,
    /// That ended, by either side.
    pub ended_per_second: f64,
}

/// Whether the generator kept up with its own plan.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Generator {
    /// Why the generator was the limit; empty for a valid run.
    pub faults: Vec<Fault>,
    /// What of the machine it ran out of: seen in the run, or foreseen; empty for a valid run, and where none of that explains the faults.
    pub shortages: Vec<Shortage>,
    /// Operations released of those that were released or shed; 1 where there was none.
    pub sent_share: f64,
    /// 99th percentile of `started - due` over all operations.
    pub lag_p99_seconds: Option<f64>,
    /// Mean time between two operations of the plan.
    pub mean_gap_seconds: Option<f64>,
    /// Operations that failed for the generator's own fault, of all that ended.
    pub local_error_share: f64,
    /// CPU of its busiest worker in that one's busiest 5 s, in cores; of all workers on average in recordings from before they were told
    /// apart; `None` without samples.
    pub cpu_cores_per_worker: Option<f64>,
}

/// A reason why the generator, not the target, was the limit. The figures of such a run are lower bounds.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Fault {
    /// Too much could not be let go.
    Shed {
        /// Share that was let go, or held back by the ceiling.
        sent_share: f64,
    },
    /// The ceiling of the authorisation held operations back.
    Ceiling {
        /// How many.
        operations: u64,
    },
    /// Operations left too late.
    Lag {
        /// 99th percentile of the send lag.
        p99_seconds: f64,
    },
    /// Operations failed for want of ports, descriptors or memory.
    LocalErrors {
        /// Their share.
        share: f64,
    },
    /// A worker had no CPU to spare.
    Cpu {
        /// Cores of the busiest worker in its busiest 5 s; of all on average where the recording does not tell them apart.
        cores_per_worker: f64,
    },
}

/// Offered, achieved and good operations of a layer, stage or kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Flow {
    /// What became of its operations.
    pub counts: Counts,
    /// Mean offered rate, retries included, over the length of the plan or as far as it came.
    pub offered_per_second: f64,
    /// Highest offered rate of a window of 5 s.
    pub peak_offered_per_second: f64,
    /// Mean rate of releases over the same time.
    pub achieved_per_second: f64,
    /// Mean rate of good operations over the same time.
    pub goodput_per_second: f64,
    /// From the intended moment to the end.
    pub due: Quantiles,
    /// From the first byte to the end.
    pub service: Quantiles,
    /// From the intended moment to the first byte.
    pub lag: Quantiles,
}

/// Quantiles of a latency; `None` where nothing ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Quantiles {
    /// Median.
    pub p50_seconds: Option<f64>,
    /// 90th percentile.
    pub p90_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
    /// 99.9th percentile.
    pub p999_seconds: Option<f64>,
    /// The longest.
    pub max_seconds: Option<f64>,
}

/// A layer against its promise.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct LayerSummary {
    /// Which.
    pub layer: Layer,
    /// What it was asked and what it did.
    pub flow: Flow,
    /// How it did against its promise; `None` where the target promises nothing.
    pub judgement: Option<Judgement>,
}

/// How a layer did against its promise.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Judgement {
    /// The finding.
    pub finding: Finding,
    /// Highest tier that the demand reached; `None` without demand.
    pub tier: Option<Tier>,
    /// Highest offered rate of a window, first tries alone.
    pub required_per_second: f64,
    /// Highest goodput of a 5 s window in a pool that met the SLO. At least this much is sustained: more was never asked.
    pub sustained_per_second: Option<f64>,
    /// The SLO's quantile of the latency from due, in the slowest judged window.
    pub worst_quantile_seconds: Option<f64>,
    /// 1 - required / reserve.
    pub headroom: f64,
    /// Whether that is less than the profile demands: a warning, not a failure.
    pub headroom_short: bool,
    /// How it did at each tier that the demand reached, from base on.
    pub tiers: Vec<TierJudgement>,
    /// How it came back from demand beyond the reserve; `None` where there was none, or it was not over by the end.
    pub recovery: Option<Recovery>,
}

/// How a layer did while the demand was in one tier.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct TierJudgement {
    /// Which.
    pub tier: Tier,
    /// Seconds that it was, in windows of 5 s.
    pub seconds: usize,
    /// Operations of which is known whether they were good in time.
    pub operations: u64,
    /// Whether the SLO was kept; `None` of too few operations to judge it.
    pub kept: Option<bool>,
    /// The SLO's quantile of the latency from due.
    pub quantile_seconds: Option<f64>,
}

/// How a layer came back once demand beyond its promise was over.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Recovery {
    /// Seconds from then until it kept its SLO for good; `None` where it did not until the end.
    pub after_seconds: Option<f64>,
    /// Seconds that it promises; `None` where it promises nothing.
    pub allowed_seconds: Option<f64>,
    /// Whether that promise was kept; true without one.
    pub kept: bool,
}

/// What became of a promise.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Finding {
    /// It was kept.
    Pass,
    /// It was broken.
    Fail {
        /// Beginning of the first window that broke it.
        at_seconds: u64,
        /// How.
        breach: Breach,
    },
    /// It was kept as far as it goes, and the demand went beyond it.
    Exceeded {
        /// Beginning of the first window beyond the reserve rate.
        at_seconds: u64,
    },
    /// It cannot be judged: failures upstream kept operations away that the plan intended for the layer.
    Starved {
        /// First tries that came to be asked, of those that the plan intended.
        arrived_share: f64,
    },
    /// Too few operations to judge it.
    Untested {
        /// How many there were in whole windows.
        operations: u64,
        /// How many it takes.
        needed: u64,
    },
}

/// How a promise was broken.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum Breach {
    /// Too many operations were longer than the limit.
    Latency {
        /// The SLO's quantile.
        observed_seconds: f64,
        /// Its limit.
        limit_seconds: f64,
    },
    /// Too many operations failed, not counting the generator's own failures, or did not come back.
    Errors {
        /// Their share.
        observed: f64,
        /// What is allowed.
        allowed: f64,
    },
}

/// A rate that a layer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Kept for ever.
    Base,
    /// Kept for a while.
    Burst,
    /// Survived with everything switched on.
    Reserve,
    /// More than is promised.
    Beyond,
}

impl Tier {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Burst => "burst",
            Self::Reserve => "reserve",
            Self::Beyond => "beyond",
        }
    }
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct StageSummary {
    /// Which.
    pub stage: Stage,
    /// What it was asked and what it did.
    pub flow: Flow,
}

/// One kind of operation, or of part of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct KindSummary {
    /// Which.
    pub kind: Kind,
    /// What it was asked and what it did.
    pub flow: Flow,
    /// Self-check by Little's law: mean number in flight / (rate x mean time), near 1 for a sound recording. `None` where too few were in
    /// flight to tell.
    pub littles_ratio: Option<f64>,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Requests that the protocol sent again.
    pub retransmits: u64,
    /// The most frequent cause of failure.
    pub main_cause: Option<Cause>,
}

/// What the processes of one layer used.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ResourceSummary {
    /// The layer; `None` is the generator.
    pub layer: Option<Layer>,
    /// How many processes.
    pub processes: usize,
    /// Mean CPU, in cores; it takes two samples of a process to know.
    pub cpu_cores: Option<f64>,
    /// CPU in the busiest 5 s, in cores.
    pub peak_cpu_cores: Option<f64>,
    /// Highest sum of resident memory, in bytes.
    pub peak_rss_bytes: u64,
    /// Highest sum of open descriptors.
    pub peak_descriptors: u64,
    /// CPU of the busiest thread in its busiest 5 s, in cores; of the generator that of the busiest worker.
    pub peak_thread_cores: Option<f64>,
    /// CPU that its processes may use, in cores.
    pub cpu_limit_cores: Option<f64>,
    /// UDP datagrams that its sockets dropped for full buffers during the run.
    pub udp_drops: Option<u64>,
}

/// What came of reading metrics at one place.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct MetricsSummary {
    /// The layer that they tell of.
    pub layer: Option<Layer>,
    /// Where they were read.
    pub source: String,
    /// How often something was read.
    pub read: u64,
    /// How often something was missing or late.
    pub troubled: u64,
    /// What was, the last time.
    pub trouble: Option<String>,
}

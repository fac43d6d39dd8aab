//! One second of a run, as it stands in the timeline.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::drive::Settled;
use crate::journey::{Cause, Kind, Oddity, Swarm, Web};

use super::downloads::{DownloadTimes, Downloads};
use super::latency::Distribution;

/// How many failed, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "BTreeMap<Cause, u64>", into = "BTreeMap<Cause, u64>")]
pub struct Failures([u64; Cause::ALL.len()]);

impl Failures {
    /// How many failed for this cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> u64 {
        self.0[cause as usize]
    }

    /// How many failed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many failed for another cause than the generator itself and its visitors. Latencies hold those of all causes.
    #[must_use]
    pub fn by_target(&self) -> u64 {
        self.total() - self.of(Cause::Local) - self.of(Cause::Visitors)
    }

    /// The causes that occurred, in order of [`Cause::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Cause, u64)> + '_ {
        Cause::ALL.into_iter().map(|cause| (cause, self.of(cause))).filter(|&(_, count)| count > 0)
    }
}

impl From<BTreeMap<Cause, u64>> for Failures {
    fn from(counts: BTreeMap<Cause, u64>) -> Self {
        let mut failures = Self::default();
        counts.into_iter().for_each(|(cause, count)| failures.0[cause as usize] += count);
        failures
    }
}

impl From<Failures> for BTreeMap<Cause, u64> {
    fn from(failures: Failures) -> Self {
        failures.iter().collect()
    }
}

impl AddAssign<&Self> for Failures {
    fn add_assign(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// What became of journeys, or of the operations of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Became due.
    pub planned: u64,
    /// Of those, further tries after a failure: load that the target brought on itself, not demand. None for journeys.
    pub retries: u64,
    /// Were let go.
    pub released: u64,
    /// Could not be let go.
    pub shed: u64,
    /// Of those, because the ceiling of the authorisation was reached. None for journeys.
    pub shed_ceiling: u64,
    /// Ended as they should.
    pub ok: u64,
    /// Ended otherwise.
    pub failed: Failures,
    /// Were under way when the run ended.
    pub cut: u64,
}

impl Counts {
    /// Counts an ending.
    #[inline]
    pub(crate) fn settle(&mut self, settled: Settled) {
        match settled {
            Settled::Ok => self.ok += 1,
            Settled::Failed(cause) => self.failed.0[cause as usize] += 1,
            Settled::Cut => self.cut += 1,
        }
    }

    /// How many became due for the first time: the demand.
    #[must_use]
    pub fn first_tries(&self) -> u64 {
        self.planned.saturating_sub(self.retries)
    }

    /// How many ended by themselves: each has a latency.
    #[must_use]
    pub fn measured(&self) -> u64 {
        self.ok + self.failed.total()
    }

    /// How many that were released have ended.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.measured() + self.cut
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.planned += other.planned;
        self.retries += other.retries;
        self.released += other.released;
        self.shed += other.shed;
        self.shed_ceiling += other.shed_ceiling;
        self.ok += other.ok;
        self.failed += &other.failed;
        self.cut += other.cut;
    }
}

/// What moved over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Requests that the protocol sent again.
    pub retransmits: u64,
    /// Peers outside the allowed networks that answers named.
    pub foreign: u64,
    /// What the HTTP exchanges were like.
    #[serde(default, skip_serializing_if = "Web::is_empty")]
    pub web: Web,
    /// What was noticed about answers, and how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub oddities: BTreeMap<Oddity, u64>,
}

impl AddAssign<&Self> for Traffic {
    fn add_assign(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.retransmits += other.retransmits;
        self.foreign += other.foreign;
        self.web += &other.web;
        for (&oddity, times) in &other.oddities {
            *self.oddities.entry(oddity).or_default() += times;
        }
    }
}

/// The latencies of everything that ended by itself, well or not: a time-out is as late as it is. What was cut has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// From the intended moment to the end: what a visitor felt. Empty for parts.
    pub due: Distribution,
    /// From the first byte to the end: what the target took.
    pub service: Distribution,
    /// From the intended moment to the first byte: what the generator took. Empty for parts.
    pub lag: Distribution,
}

impl Latencies {
    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.due.merge(&other.due);
        self.service.merge(&other.service);
        self.lag.merge(&other.lag);
    }
}

/// One kind in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindRow {
    /// What became of its operations. A part is only `ok` or `failed`.
    pub counts: Counts,
    /// What moved.
    pub traffic: Traffic,
    /// How many were released and had not ended when the second ended.
    pub in_flight: u64,
    /// How long they took; on disk in the interval log.
    #[serde(skip)]
    pub latencies: Latencies,
}

/// One second of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which, from 0.
    pub second: u64,
    /// What became of journeys.
    pub journeys: Counts,
    /// What the visitors' part in the swarms was like.
    #[serde(default, skip_serializing_if = "Swarm::is_empty")]
    pub swarm: Swarm,
    /// What became of downloads: those that were begun, or went on, or ended in this second.
    #[serde(default, skip_serializing_if = "Downloads::is_empty")]
    pub downloads: Downloads,
    /// How long they took; on disk in the interval log.
    #[serde(skip)]
    pub download_times: DownloadTimes,
    /// The kinds of which something happened or is in flight.
    pub kinds: BTreeMap<Kind, KindRow>,
}

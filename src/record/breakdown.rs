//! Who the operations were for: totals of the whole run.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::drive::{Observation, Settled};
use crate::journey::{Download, Group, Swarm};
use crate::plan::Stage;

use super::downloads::{DownloadCount, DownloadTimes, Downloads};

/// Content ranks that are told apart; all less popular content counts under the index of this number.
pub const CONTENT_RANKS: u16 = 64;

/// What became of the operations of one group at one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Ended as they should.
    pub ok: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Were under way when the run ended.
    pub cut: u64,
    /// Payload bytes received.
    pub bytes_in: u64,
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.cut += other.cut;
        self.bytes_in += other.bytes_in;
    }
}

/// What the downloads of one group, and its part in the swarms, were like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupTally {
    /// What became of its downloads.
    pub downloads: Downloads,
    /// How long they took.
    pub times: DownloadTimes,
    /// What its part in the swarms was like.
    pub swarm: Swarm,
}

impl AddAssign<&Self> for GroupTally {
    fn add_assign(&mut self, other: &Self) {
        self.downloads += &other.downloads;
        self.times.merge(&other.times);
        self.swarm += &other.swarm;
    }
}

/// Totals by the visitor's properties: index of the region, client, access line or content rank, then stage. The names of the indices
/// stand in the manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breakdown {
    /// By region.
    pub regions: BTreeMap<u16, BTreeMap<Stage, Tally>>,
    /// By client.
    pub clients: BTreeMap<u16, BTreeMap<Stage, Tally>>,
    /// By access line.
    pub access: BTreeMap<u16, BTreeMap<Stage, Tally>>,
    /// By content rank, bounded by [`CONTENT_RANKS`].
    pub content: BTreeMap<u16, BTreeMap<Stage, Tally>>,
    /// Downloads by class of the content.
    #[serde(default)]
    pub downloads_by_class: BTreeMap<u16, GroupTally>,
    /// Downloads by access line.
    #[serde(default)]
    pub downloads_by_access: BTreeMap<u16, GroupTally>,
}

impl AddAssign<&Self> for Breakdown {
    fn add_assign(&mut self, other: &Self) {
        let pairs = [
            (&mut self.regions, &other.regions),
            (&mut self.clients, &other.clients),
            (&mut self.access, &other.access),
            (&mut self.content, &other.content),
        ];
        for (mine, theirs) in pairs {
            for (&index, stages) in theirs {
                for (&stage, tally) in stages {
                    *mine.entry(index).or_default().entry(stage).or_default() += tally;
                }
            }
        }
        for (mine, theirs) in [
            (&mut self.downloads_by_class, &other.downloads_by_class),
            (&mut self.downloads_by_access, &other.downloads_by_access),
        ] {
            for (&index, tally) in theirs {
                *mine.entry(index).or_default() += tally;
            }
        }
    }
}

/// The breakdown while it is being counted: plain arrays, indexed without a search.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    regions: Vec<[Tally; Stage::ALL.len()]>,
    clients: Vec<[Tally; Stage::ALL.len()]>,
    access: Vec<[Tally; Stage::ALL.len()]>,
    content: Vec<[Tally; Stage::ALL.len()]>,
    classes: Vec<GroupCount>,
    lines: Vec<GroupCount>,
}

/// What [`GroupTally`] is made from: with both of its histograms half a MiB, for each class and each access line.
#[derive(Clone, Debug, Default)]
struct GroupCount {
    downloads: DownloadCount,
    swarm: Swarm,
}

/// The place of an index, made where there is none yet.
fn place<T: Default>(table: &mut Vec<T>, index: usize) -> &mut T {
    if index >= table.len() {
        table.resize_with(index + 1, T::default);
    }
    &mut table[index]
}

impl Tallies {
    /// Counts an operation that ended.
    #[inline]
    pub(crate) fn count(&mut self, seen: &Observation) {
        let stage = seen.kind.stage() as usize;
        let one = Tally {
            ok: u64::from(seen.settled == Settled::Ok),
            failed: u64::from(matches!(seen.settled, Settled::Failed(_))),
            cut: u64::from(seen.settled == Settled::Cut),
            bytes_in: seen.bytes_in,
        };
        let places = [
            (&mut self.regions, u16::from(seen.region)),
            (&mut self.clients, u16::from(seen.client)),
            (&mut self.access, u16::from(seen.access)),
            (&mut self.content, seen.content.min(CONTENT_RANKS)),
        ];
        for (table, index) in places {
            place(table, index.into())[stage] += &one;
        }
    }

    /// Counts a milestone of a download.
    pub(crate) fn count_download(&mut self, group: Group, seen: &Download) {
        place(&mut self.classes, group.class.into()).downloads.count(seen);
        place(&mut self.lines, group.access.into()).downloads.count(seen);
    }

    /// Counts a group's part in the swarms; what belongs to no group counts in the totals alone.
    pub(crate) fn count_swarm(&mut self, group: Option<Group>, seen: &Swarm) {
        let Some(group) = group else { return };
        place(&mut self.classes, group.class.into()).swarm += seen;
        place(&mut self.lines, group.access.into()).swarm += seen;
    }

    /// The breakdown as it is kept: without the groups that did nothing.
    pub(crate) fn breakdown(&self) -> Breakdown {
        let keep = |table: &[[Tally; Stage::ALL.len()]]| {
            let mut kept: BTreeMap<u16, BTreeMap<Stage, Tally>> = BTreeMap::new();
            for (index, stages) in (0..).zip(table) {
                for (stage, tally) in Stage::ALL.into_iter().zip(stages) {
                    if *tally != Tally::default() {
                        kept.entry(index).or_default().insert(stage, *tally);
                    }
                }
            }
            kept
        };
        let groups = |table: &[GroupCount]| {
            let tally = |count: &GroupCount| GroupTally {
                downloads: count.downloads.counts,
                times: count.downloads.times(),
                swarm: count.swarm,
            };
            let kept = (0..).zip(table).map(|(index, count)| (index, tally(count)));
            kept.filter(|(_, tally)| *tally != GroupTally::default()).collect()
        };
        Breakdown {
            downloads_by_class: groups(&self.classes),
            downloads_by_access: groups(&self.lines),
            regions: keep(&self.regions),
            clients: keep(&self.clients),
            access: keep(&self.access),
            content: keep(&self.content),
        }
    }
}

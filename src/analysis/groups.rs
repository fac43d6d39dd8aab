//! Names for the groups of a breakdown.

use std::collections::BTreeMap;

use crate::plan::Stage;
use crate::record::{CONTENT_RANKS, GroupTally, Recording, Tally};

use super::downloads;
use super::summary::{GroupSummary, Groups};

type ByIndex = BTreeMap<u16, BTreeMap<Stage, Tally>>;
type ByName = BTreeMap<String, BTreeMap<Stage, Tally>>;

/// The breakdown by the manifest's names.
pub(super) fn named(recording: &Recording) -> Groups {
    let (breakdown, manifest) = (&recording.breakdown, &recording.manifest);
    let content = |rank| if rank < CONTENT_RANKS { format!("rank-{rank:02}") } else { "others".to_owned() };
    Groups {
        regions: rename(&breakdown.regions, listed(&manifest.regions)),
        clients: rename(&breakdown.clients, listed(&manifest.clients)),
        access: rename(&breakdown.access, listed(&manifest.access)),
        content: rename(&breakdown.content, content),
        downloads_by_class: summaries(recording, &breakdown.downloads_by_class, listed(&manifest.classes)),
        downloads_by_access: summaries(recording, &breakdown.downloads_by_access, listed(&manifest.access)),
    }
}

/// What each group's tally comes to.
fn summaries(
    recording: &Recording,
    groups: &BTreeMap<u16, GroupTally>,
    name: impl Fn(u16) -> String,
) -> BTreeMap<String, GroupSummary> {
    let mut named: BTreeMap<String, GroupTally> = BTreeMap::new();
    for (&index, tally) in groups {
        *named.entry(name(index)).or_default() += tally;
    }
    let summary = |tally: &GroupTally| GroupSummary {
        downloads: downloads::summary(recording, tally.downloads, [&tally.times]),
        swarm: tally.swarm,
        swarm_shares: downloads::shares(&tally.swarm),
    };
    named.iter().map(|(name, tally)| (name.clone(), summary(tally))).collect()
}

/// Names by index; an index that a damaged manifest has no name for stands for itself.
fn listed(names: &[String]) -> impl Fn(u16) -> String + '_ {
    |index| names.get(usize::from(index)).cloned().unwrap_or_else(|| index.to_string())
}

/// Groups of one name are one group.
fn rename(groups: &ByIndex, name: impl Fn(u16) -> String) -> ByName {
    let mut named = ByName::new();
    for (&index, stages) in groups {
        let group = named.entry(name(index)).or_default();
        for (&stage, tally) in stages {
            *group.entry(stage).or_default() += tally;
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Breakdown;
    use crate::record::synthetic::{operations, recording};

    #[test]
    fn groups_have_the_names_of_the_manifest() {
        let stages = |ok| BTreeMap::from([(Stage::Index, Tally { ok, ..Tally::default() })]);
        let breakdown = Breakdown {
            regions: [(0, stages(1)), (2, stages(2)), (9, stages(3))].into(),
            content: [(0, stages(4)), (63, stages(5)), (64, stages(6))].into(),
            ..Breakdown::default()
        };
        let mut recording = recording(&operations(1, 1, 1), 1);
        recording.breakdown = breakdown;
        let names = |groups: &ByName| {
            let ok =
                |(name, stages): (&String, &BTreeMap<Stage, Tally>)| (name.clone(), stages[&Stage::Index].ok);
            groups.iter().map(ok).collect::<Vec<_>>()
        };
        let pairs =
            |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, ok)| (name.to_owned(), ok)).collect::<Vec<_>>();
        let groups = named(&recording);
        assert_eq!(names(&groups.regions), pairs(&[("9", 3), ("americas", 2), ("asia", 1)]));
        assert_eq!(names(&groups.content), pairs(&[("others", 6), ("rank-00", 4), ("rank-63", 5)]));
        recording.manifest.regions = vec!["asia".to_owned(); 3];
        assert_eq!(names(&named(&recording).regions), pairs(&[("9", 3), ("asia", 3)]));
    }
}

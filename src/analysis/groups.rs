//! Names for the groups of a breakdown.

use std::collections::BTreeMap;

use crate::plan::Stage;
use crate::record::{Breakdown, CONTENT_RANKS, Manifest, Tally};

use super::summary::Groups;

type ByIndex = BTreeMap<u16, BTreeMap<Stage, Tally>>;
type ByName = BTreeMap<String, BTreeMap<Stage, Tally>>;

/// The breakdown by the manifest's names.
pub(super) fn named(breakdown: &Breakdown, manifest: &Manifest) -> Groups {
    let content = |rank| if rank < CONTENT_RANKS { format!("rank-{rank:02}") } else { "others".to_owned() };
    Groups {
        regions: rename(&breakdown.regions, listed(&manifest.regions)),
        clients: rename(&breakdown.clients, listed(&manifest.clients)),
        access: rename(&breakdown.access, listed(&manifest.access)),
        content: rename(&breakdown.content, content),
    }
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
    use crate::record::synthetic::manifest;

    #[test]
    fn groups_have_the_names_of_the_manifest() {
        let stages = |ok| BTreeMap::from([(Stage::Index, Tally { ok, ..Tally::default() })]);
        let breakdown = Breakdown {
            regions: [(0, stages(1)), (2, stages(2)), (9, stages(3))].into(),
            content: [(0, stages(4)), (63, stages(5)), (64, stages(6))].into(),
            ..Breakdown::default()
        };
        let mut manifest = manifest(1);
        let names = |groups: &ByName| {
            let ok =
                |(name, stages): (&String, &BTreeMap<Stage, Tally>)| (name.clone(), stages[&Stage::Index].ok);
            groups.iter().map(ok).collect::<Vec<_>>()
        };
        let pairs =
            |pairs: &[(&str, u64)]| pairs.iter().map(|&(name, ok)| (name.to_owned(), ok)).collect::<Vec<_>>();
        let groups = named(&breakdown, &manifest);
        assert_eq!(names(&groups.regions), pairs(&[("9", 3), ("americas", 2), ("asia", 1)]));
        assert_eq!(names(&groups.content), pairs(&[("others", 6), ("rank-00", 4), ("rank-63", 5)]));
        manifest.regions = vec!["asia".to_owned(); 3];
        assert_eq!(names(&named(&breakdown, &manifest).regions), pairs(&[("9", 3), ("asia", 3)]));
    }
}

//! What a worker's clients count, told apart by group.

use crate::journey::{Group, Swarm};

/// Tallies by class, then access line: counted into on every turn of every connection, so they are found without a search.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    groups: Vec<Vec<Swarm>>,
    /// Of peers that came for nobody who is there.
    nobody: Swarm,
}

impl Tallies {
    /// The tally of a group.
    pub(super) fn of(&mut self, group: Option<Group>) -> &mut Swarm {
        let Some(Group { class, access }) = group else { return &mut self.nobody };
        let (class, access) = (usize::from(class), usize::from(access));
        if self.groups.len() <= class {
            self.groups.resize_with(class + 1, Vec::new);
        }
        let lines = &mut self.groups[class];
        if lines.len() <= access {
            lines.resize_with(access + 1, Swarm::default);
        }
        &mut lines[access]
    }

    /// Takes out what is not empty.
    pub(super) fn take(&mut self) -> Vec<(Option<Group>, Swarm)> {
        let groups = (0..).zip(&mut self.groups).flat_map(|(class, lines)| {
            (0..).zip(lines).map(move |(access, tally)| (Some(Group { class, access }), tally))
        });
        let all = groups.chain([(None, &mut self.nobody)]);
        all.filter(|(_, tally)| !tally.is_empty())
            .map(|(group, tally)| (group, std::mem::take(tally)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_told_apart_and_taken_once() {
        let mut tallies = Tallies::default();
        let group = |class, access| Some(Group { class, access });
        for (who, bytes) in [(group(1, 2), 5), (None, 1), (group(0, 0), 7), (group(1, 2), 6)] {
            tallies.of(who).from_others += bytes;
        }
        tallies.of(group(3, 3));
        let taken: Vec<_> = tallies.take().into_iter().map(|(who, swarm)| (who, swarm.from_others)).collect();
        assert_eq!(taken, [(group(0, 0), 7), (group(1, 2), 11), (None, 1)]);
        assert_eq!(tallies.take(), []);
    }
}

//! When which journey has to be advanced: a calendar queue (R. Brown, "Calendar queues", CACM 31(10), 1988).
//!
//! A heap of a million entries costs a handful of cache misses for every one of them; nearly all wait for minutes. Here only those of the
//! present day are in order; a later one is put on the heap of its day as it is, which is sorted out when that day comes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::unit::Tick;

/// Nanoseconds of a day, as a power of two: 67 ms, so that an hour has some 50,000.
const DAY: u32 = 26;

/// Entries in order of time, and of themselves where that is the same.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    /// The present day and those before it.
    present: BinaryHeap<Reverse<(Tick, T)>>,
    day: u64,
    later: BTreeMap<u64, Vec<(Tick, T)>>,
}

impl<T: Ord + Copy> Agenda<T> {
    pub(super) const fn new() -> Self {
        Self { present: BinaryHeap::new(), day: 0, later: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, at: Tick, entry: T) {
        let day = at.0 >> DAY;
        if day <= self.day {
            self.present.push(Reverse((at, entry)));
        } else {
            self.later.entry(day).or_default().push((at, entry));
        }
    }

    /// The first entry, which stays.
    pub(super) fn first(&mut self) -> Option<(Tick, T)> {
        if self.present.is_empty() {
            let (day, entries) = self.later.pop_first()?;
            self.day = day;
            self.present.extend(entries.into_iter().map(Reverse));
        }
        self.present.peek().map(|Reverse(entry)| *entry)
    }

    /// Takes the first entry if it is due by `now`.
    pub(super) fn take_due(&mut self, now: Tick) -> Option<T> {
        self.first().filter(|(at, _)| *at <= now)?;
        self.present.pop().map(|Reverse((_, entry))| entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// As one heap.
        #[test]
        fn entries_come_in_order(moves in prop::collection::vec((0_u64..1 << 32, any::<bool>()), 0..300)) {
            let (mut agenda, mut heap) = (Agenda::new(), BinaryHeap::new());
            let mut now = Tick::ZERO;
            for (n, (ahead, advance)) in moves.into_iter().enumerate() {
                // Also what is over already.
                let at = Tick((now.0 + ahead).saturating_sub(1 << 27));
                agenda.push(at, n);
                heap.push(Reverse((at, n)));
                if advance {
                    now = Tick(now.0 + ahead / 2);
                    while let Some(Reverse((at, n))) = heap.peek().copied().filter(|Reverse((at, _))| *at <= now) {
                        prop_assert_eq!(agenda.first(), Some((at, n)));
                        prop_assert_eq!(agenda.take_due(now), Some(n));
                        heap.pop();
                    }
                    prop_assert_eq!(agenda.take_due(now), None);
                }
                prop_assert_eq!(agenda.first(), heap.peek().map(|Reverse(entry)| *entry));
            }
        }
    }
}

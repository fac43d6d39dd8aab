//! A layer second by second, as saturation is looked for.

use crate::profile::Layer;
use crate::record::{Recording, Row};

/// A layer in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    /// What was let go, but for what failed without the target. What the generator could not let go is no shortfall of the target's.
    pub(super) offered: f64,
    /// What ended well.
    pub(super) good: f64,
    /// What the target failed.
    pub(super) bad: f64,
    /// What is under way at its end.
    pub(super) under_way: f64,
    /// Seconds that what ended had taken, from due, added up: of all alike, whoever failed it.
    pub(super) time: f64,
    /// Payload bytes that came.
    pub(super) bytes: f64,
}

impl Second {
    pub(super) fn ended(&self) -> f64 {
        self.good + self.bad
    }

    /// Some seconds together; under way is what is at the end of the last.
    pub(super) fn sum<'a>(seconds: impl IntoIterator<Item = &'a Self>) -> Self {
        seconds.into_iter().fold(Self::default(), |sum, second| Self {
            offered: sum.offered + second.offered,
            good: sum.good + second.good,
            bad: sum.bad + second.bad,
            under_way: second.under_way,
            time: sum.time + second.time,
            bytes: sum.bytes + second.bytes,
        })
    }

    /// The mean of some seconds; under way is what is at the end of the last.
    pub(super) fn mean<'a>(seconds: impl IntoIterator<Item = &'a Self, IntoIter: ExactSizeIterator>) -> Self {
        let seconds = seconds.into_iter();
        let length = seconds.len().max(1) as f64;
        let sum = Self::sum(seconds);
        Self {
            offered: sum.offered / length,
            good: sum.good / length,
            bad: sum.bad / length,
            under_way: sum.under_way,
            time: sum.time / length,
            bytes: sum.bytes / length,
        }
    }
}

/// The seconds of a recording in which the plan was under way: what follows only drains, and asks for nothing.
pub(super) fn planned_seconds(recording: &Recording) -> usize {
    let length = recording.manifest.length.as_secs_f64().ceil() as usize;
    let stopped = recording.stopped_at_seconds.map_or(usize::MAX, |second| second as usize + 1);
    recording.rows.len().min(length.max(1)).min(stopped)
}

/// The operations of a layer, second by second.
///
/// A visitor asks for a piece when it has the one before, and so asks a slow seedbox for less: what tells that it falls behind are
/// the pieces under way, one for each visitor, who come whatever the seedbox does.
pub(super) fn operations(recording: &Recording, layer: Layer) -> Vec<Second> {
    let second = |row: &Row| {
        let mut second = Second::default();
        for (_, row) in row.kinds.iter().filter(|(kind, _)| kind.is_operation_of(layer)) {
            let (ended, bad) = (row.counts.measured() as f64, row.counts.failed.by_target() as f64);
            let by_others = row.counts.failed.total() as f64 - bad;
            second.offered += (row.counts.released as f64 - by_others).max(0.0);
            second.good += row.counts.ok as f64;
            second.bad += bad;
            second.under_way += row.in_flight as f64;
            let micros = row.latencies.due.total_micros() as f64;
            second.time += micros / 1e6 * (1.0 - by_others / ended.max(1.0));
            second.bytes += row.traffic.bytes_in as f64;
        }
        second
    };
    recording.rows[..planned_seconds(recording)].iter().map(second).collect()
}

//! A layer second by second, as saturation is looked for.

use crate::journey::{Cause, Kind};
use crate::profile::Layer;
use crate::record::Recording;

/// A layer in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Second {
    /// What was let go. What the generator could not let go is no shortfall of the target's.
    pub(super) offered: f64,
    /// What ended well.
    pub(super) good: f64,
    /// What the target failed.
    pub(super) bad: f64,
    /// What is under way at its end.
    pub(super) under_way: f64,
    /// Seconds that what ended had taken, from due, added up.
    pub(super) time: f64,
    /// Payload bytes that came.
    pub(super) bytes: f64,
}

impl Second {
    pub(super) fn ended(&self) -> f64 {
        self.good + self.bad
    }

    /// Adds another.
    pub(super) fn join(&mut self, other: &Self) {
        self.offered += other.offered;
        self.good += other.good;
        self.bad += other.bad;
        self.under_way = other.under_way;
        self.time += other.time;
        self.bytes += other.bytes;
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
/// A visitor asks for a piece when it has the one before, and so asks a slow seedbox for less: what tells that it falls behind are the pieces under
/// way, one for each visitor, who come whatever the seedbox does.
pub(super) fn operations(recording: &Recording, layer: Layer) -> Vec<Second> {
    let is_its = |kind: &Kind| kind.layer() == layer && !kind.is_part();
    let second = |row: &crate::record::Row| {
        let mut second = Second::default();
        for (_, row) in row.kinds.iter().filter(|(kind, _)| is_its(kind)) {
            second.offered += row.counts.released as f64;
            second.good += row.counts.ok as f64;
            second.bad += (row.counts.failed.total() - row.counts.failed.of(Cause::Local)) as f64;
            second.under_way += row.in_flight as f64;
            second.time += row.latencies.due.total_micros() as f64 / 1e6;
            second.bytes += row.traffic.bytes_in as f64;
        }
        second
    };
    recording.rows[..planned_seconds(recording)].iter().map(second).collect()
}

//! A run over time, in as many slices as a chart has room for.

use crate::journey::Swarm;
use crate::record::Recording;

use super::downloads::in_progress_by_second;

/// A run over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// Seconds of each slice; the last may be shorter.
    pub slice_seconds: u64,
    /// The slices, from 0.
    pub slices: Vec<Slice>,
}

/// What happened in a slice; rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slice {
    /// Bytes that the target's peers gave to visitors.
    pub from_others: f64,
    /// Bytes that its web seeds gave.
    pub from_web: f64,
    /// Bytes that visitors gave each other.
    pub from_visitors: f64,
    /// Share of these of all; `None` where nobody got any.
    pub offload: Option<f64>,
    /// Peers that had a piece when it became whole, on average; `None` where none did.
    pub copies: Option<f64>,
    /// Downloads in progress, mean over the ends of its seconds.
    pub in_progress: f64,
    /// Downloads that were begun.
    pub begun: f64,
    /// Downloads that ended with all of the content, or as much as the visitor wanted.
    pub fetched: f64,
    /// Connections to peers that came about.
    pub opened: f64,
    /// Connections to peers that ended.
    pub ended: f64,
}

/// A recording in slices of whole seconds, at most `most` of them.
#[must_use]
pub fn timeline(recording: &Recording, most: usize) -> Timeline {
    let length = recording.rows.len().div_ceil(most.max(1)).max(1);
    let in_progress: Vec<u64> = in_progress_by_second(recording).collect();
    let slices = recording.rows.chunks(length).zip(in_progress.chunks(length)).map(|(rows, in_progress)| {
        let seconds = rows.len() as f64;
        let mut swarm = Swarm::default();
        rows.iter().for_each(|row| swarm += &row.swarm);
        let rate = |count: u64| count as f64 / seconds;
        Slice {
            from_others: rate(swarm.from_others),
            from_web: rate(swarm.from_web),
            from_visitors: rate(swarm.from_visitors),
            offload: swarm.offload(),
            copies: swarm.copies_per_piece(),
            in_progress: rate(in_progress.iter().sum()),
            begun: rate(rows.iter().map(|row| row.downloads.begun).sum()),
            fetched: rate(rows.iter().map(|row| row.downloads.complete + row.downloads.enough).sum()),
            opened: rate(swarm.opened()),
            ended: rate(swarm.ended),
        }
    });
    Timeline { slice_seconds: length as u64, slices: slices.collect() }
}

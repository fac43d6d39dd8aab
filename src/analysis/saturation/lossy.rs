//! Requests that nobody answers and that are sent again: lost on the way, whatever the load.

use crate::journey::{Cause, Kind};
use crate::profile::Layer;
use crate::record::{Recording, Row};

use super::super::flow::counts;
use super::super::stats::share;
use super::onset::{FEW, GOOD_AT_LEAST, are_too_many};
use super::{SaturationFinding, whose};

/// A second of a layer.
#[derive(Clone, Copy)]
struct Seen {
    /// What was sent again.
    again: f64,
    /// Operations that ended.
    ended: f64,
}

/// A share of what a tracker is sent goes unanswered and does what it should when it is sent again, as BEP 15 has it. `None` where hardly
/// any did, and where it was the more the more was asked: that is a matter of load. Of other layers nobody can tell: what is asked again
/// there (a kept connection had ended, a resolver did not know) was not lost.
pub(super) fn lossy(recording: &Recording, layer: Layer, trouble: &[bool]) -> Option<SaturationFinding> {
    if layer != Layer::Tracker {
        return None;
    }
    let is_its = |kind: Kind| kind.is_operation_of(layer);
    let all = counts(&recording.rows, is_its);
    let again: u64 = recording.rows.iter().map(|row| again(row, layer)).sum();
    let sent = all.measured() + again;
    if !are_too_many(again as f64, sent as f64) || !is_alike(&recording.rows, layer) {
        return None;
    }
    let at_seconds = since(&recording.rows, layer);
    // What was still waiting when the recording ended, or had been for too long, was lost as well.
    let lost = again + all.failed.of(Cause::Timeout) + all.cut;
    let limit = whose(trouble, at_seconds as usize);
    Some(SaturationFinding::Lossy { at_seconds, share: share(lost, sent + all.cut), limit })
}

fn again(row: &Row, layer: Layer) -> u64 {
    let kinds = row.kinds.iter().filter(|(kind, _)| kind.is_operation_of(layer));
    kinds.map(|(_, row)| row.traffic.retransmits).sum()
}

fn seen(row: &Row, layer: Layer) -> Seen {
    let ended = counts(std::slice::from_ref(row), |kind| kind.is_operation_of(layer)).measured();
    Seen { again: again(row, layer) as f64, ended: ended as f64 }
}

/// Whether as large a share is sent again where little ends as where much does, from the first on: what load brings about is more than twice
/// as much there.
fn is_alike(rows: &[Row], layer: Layer) -> bool {
    let mut seconds: Vec<Seen> = rows.iter().map(|row| seen(row, layer)).collect();
    seconds.drain(..seconds.iter().position(|second| second.again > 0.0).unwrap_or(0));
    seconds.sort_by(|one, other| one.ended.total_cmp(&other.ended));
    let (low, high) = seconds.split_at(seconds.len() / 2);
    let [low, high] = [low, high].map(|half| {
        let sum = |of: fn(&Seen) -> f64| half.iter().map(of).sum::<f64>();
        sum(|it| it.again) / sum(|it| it.ended).max(1.0)
    });
    2.0 * low >= high
}

/// The second from which on too much was lost. What is sent again tells of it when it ends, as long after as that took.
fn since(rows: &[Row], layer: Layer) -> u64 {
    let (mut sum, mut first) = (0.0, None);
    for row in rows {
        let second = seen(row, layer);
        sum += second.again - (1.0 - GOOD_AT_LEAST) * second.ended;
        if sum <= 0.0 {
            (sum, first) = (0.0, None);
        } else if first.is_none() {
            first = Some(row);
        }
        if sum > FEW {
            break;
        }
    }
    first.map_or(0, |row| {
        let kinds = row.kinds.iter().filter(|(kind, _)| kind.is_operation_of(layer));
        let longest = kinds.map(|(_, row)| row.latencies.due.longest_micros()).max().unwrap_or(0);
        row.second.saturating_sub(longest / 1_000_000)
    })
}

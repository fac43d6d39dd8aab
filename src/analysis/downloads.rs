//! What downloads and the visitors' part in the swarms come to.

use hdrhistogram::Histogram;

use crate::journey::Swarm;
use crate::record::{Distribution, DownloadTimes, Downloads, Recording};

use super::flow::quantiles;
use super::stats::littles_ratio;
use super::summary::{Churn, DownloadSummary, InProgress, SwarmShares};

/// All downloads of a recording.
pub(super) fn of_all(recording: &Recording) -> DownloadSummary {
    let mut counts = Downloads::default();
    recording.rows.iter().for_each(|row| counts += &row.downloads);
    summary(recording, counts, recording.rows.iter().map(|row| &row.download_times))
}

/// Some downloads of a recording, with all the times that they took.
pub(super) fn summary<'a>(
    recording: &Recording,
    counts: Downloads,
    times: impl IntoIterator<Item = &'a DownloadTimes> + Clone,
) -> DownloadSummary {
    let sum = |of: fn(&DownloadTimes) -> &Distribution| {
        let mut all: Histogram<u64> = DownloadTimes::histogram();
        times.clone().into_iter().for_each(|times| of(times).add_to(&mut all));
        quantiles(&all)
    };
    DownloadSummary {
        counts,
        first_piece: sum(|times| &times.first_piece),
        completion: sum(|times| &times.completion),
        mean_in_progress: counts.lasted_micros as f64 / 1e6 / seconds(recording),
    }
}

/// How many downloads were in progress at the end of each second.
pub(super) fn in_progress_by_second(recording: &Recording) -> impl Iterator<Item = u64> + '_ {
    recording.rows.iter().scan(Downloads::default(), |sum, row| {
        *sum += &row.downloads;
        Some(sum.begun.saturating_sub(sum.ended()))
    })
}

pub(super) fn in_progress(recording: &Recording) -> InProgress {
    let mut counts = Downloads::default();
    recording.rows.iter().for_each(|row| counts += &row.downloads);
    let (peak, populations) =
        in_progress_by_second(recording).fold((0, 0), |(peak, sum), now| (now.max(peak), sum + now));
    let (ended, lasted) = (counts.ended(), counts.lasted_micros as f64 / 1e6);
    let ratio = littles_ratio(populations, ended, lasted / ended.max(1) as f64);
    // What a killed run left in progress has lasted for a time that nobody knows.
    InProgress { peak, littles_ratio: ratio.filter(|_| recording.finished) }
}

pub(super) fn shares(swarm: &Swarm) -> SwarmShares {
    SwarmShares {
        offload: swarm.offload(),
        ratio: swarm.ratio(),
        copies_per_piece: swarm.copies_per_piece(),
        failed_dials: (swarm.dials > 0).then(|| swarm.failed_dials as f64 / swarm.dials as f64),
    }
}

pub(super) fn churn(recording: &Recording, swarm: &Swarm) -> Churn {
    let seconds = seconds(recording);
    Churn {
        opened_per_second: swarm.opened() as f64 / seconds,
        ended_per_second: swarm.ended as f64 / seconds,
    }
}

/// The length of the recording; 1 where nothing was recorded, and there is nothing to divide.
fn seconds(recording: &Recording) -> f64 {
    recording.rows.len().max(1) as f64
}

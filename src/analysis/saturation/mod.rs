//! Which layer saturates first, at what rate, and whose limit that is.
//!
//! For every layer: when it fell behind what it was asked (`onset`), and what it carried then. Beside it stand four numbers, because a
//! smooth curve has no knee of its own: the highest rate that kept the SLO, the rate at which goodput fell short, Kneedle's point of the
//! curve of goodput over offer (`kneedle`), and the ceiling of the Universal Scalability Law (`usl`). Where they differ, that is said.
//!
//! What was never asked was never tested: a layer that failures upstream kept work away from is shielded, not good. What the
//! generator could not send is not the target's: a layer that falls behind just after the generator did is not said to be at its
//! limit.

mod found;
mod kneedle;
mod lossy;
mod numbers;
mod onset;
mod series;
mod usl;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::journey::{Cause, Kind};
use crate::profile::Layer;
use crate::record::{Recording, Row};

use super::flow::{ARRIVED_AT_LEAST, WINDOW, arrived_share, counts, latency_from_due, send_lag};
use super::pressure::{Resource, Samples};
use super::promise::Judged;
use super::stats::{littles_ratio, quantile_seconds, share};

pub use found::*;
use lossy::lossy;
use onset::{Carried, Episode};
use series::Second;

/// Judges every layer that was asked for anything, in funnel order.
pub(super) fn saturation(
    recording: &Recording,
    samples: &Samples,
    judged: &BTreeMap<Layer, Judged>,
) -> Vec<LayerSaturation> {
    let trouble = generator_trouble(recording);
    let of = |layer| of(recording, layer, judged.get(&layer), &trouble);
    let mut found: Vec<LayerSaturation> = Layer::ALL.into_iter().filter_map(of).collect();
    found.iter_mut().for_each(|layer| explain(layer, recording, samples));
    shield(recording, &mut found);
    found
}

/// The layers that saturated, slumped, failed or lost what was sent to them, the first to do so first; without those that may have been the
/// generator's doing.
pub(super) fn order(found: &[LayerSaturation]) -> Vec<Layer> {
    let is_its = |finding: &SaturationFinding| finding.limit().is_none_or(|limit| limit != Limit::Generator);
    let its = found.iter().filter(|layer| is_its(&layer.finding));
    let at = |layer: &LayerSaturation| Some((layer.finding.at_seconds()?, layer.layer));
    let mut order: Vec<(u64, Layer)> = its.filter_map(at).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, layer)| layer).collect()
}

/// `None` where nothing was asked of the layer, or nothing is known of what was.
fn of(
    recording: &Recording,
    layer: Layer,
    judged: Option<&Judged>,
    trouble: &[bool],
) -> Option<LayerSaturation> {
    let is_its = |kind: Kind| kind.is_operation_of(layer);
    let seconds = series::operations(recording, layer);
    let all = counts(&recording.rows, is_its);
    // What never got as far as the layer tells nothing of it.
    let kept_away = all.failed.total() > 0 && all.ok + all.failed.by_target() == 0;
    if seconds.iter().all(|second| second.offered == 0.0) || all.settled() == 0 || kept_away {
        return None;
    }
    let calm = onset::calm(&seconds);
    let mut episodes = calm.map(|calm| onset::episodes(&seconds, calm)).unwrap_or_default();
    // What only takes longer is held against the SLO, and is no want of capacity. Of pieces nobody can tell: a visitor asks for the next
    // one when it has the one before, so that a seedbox at its limit is never asked for more than that.
    if layer != Layer::Seedbox {
        episodes.retain(|episode| !onset::only_takes_longer(&seconds, *episode));
    }
    let fails_anyway = calm.map_or(all.ok == 0, |calm| calm.failing > 0.0);
    let failing = fails_anyway.then(|| failing(recording, layer)).flatten();
    let finding = match finding(&seconds, &episodes, trouble, failing) {
        SaturationFinding::NotReached => {
            lossy(recording, layer, trouble).unwrap_or(SaturationFinding::NotReached)
        }
        found => found,
    };
    let due = latency_from_due(&recording.rows, is_its);
    let its_rows = recording.rows.iter().flat_map(|row| &row.kinds).filter(|(kind, _)| is_its(**kind));
    let populations: u64 = its_rows.map(|(_, row)| row.in_flight).sum();
    let kept = judged.map_or(&[][..], |judged| &judged.tested);
    Some(LayerSaturation {
        layer,
        tested_per_second: windows(&seconds).map(|window| window.offered).fold(0.0, f64::max),
        numbers: numbers::numbers(&seconds, &finding, kept),
        peak_backlog: seconds.iter().map(|second| second.under_way as u64).max().unwrap_or(0),
        backlog_growth_per_second: growth(&seconds, &episodes),
        because: None,
        littles_ratio: littles_ratio(populations, all.measured(), due.mean() / 1e6),
        slowdown: slowdown(recording, layer, &seconds),
        finding,
    })
}

/// What became of a layer; `failing` is what it fails whatever the load.
fn finding(
    seconds: &[Second],
    episodes: &[Episode],
    trouble: &[bool],
    failing: Option<SaturationFinding>,
) -> SaturationFinding {
    // What follows an early slump may be the load's doing: the first time that is, is what users look for.
    let judged =
        episodes.iter().filter_map(|episode| Some((*episode, episode_finding(seconds, *episode, trouble)?)));
    let mut judged: Vec<(Episode, SaturationFinding)> = judged.collect();
    let by_load = judged.iter().position(|(_, finding)| matches!(finding, SaturationFinding::Saturated(_)));
    if let Some(first) = by_load {
        return judged.swap_remove(first).1;
    }
    let slumped = judged.into_iter().next().map(|(_, slumped)| slumped);
    failing.or(slumped).unwrap_or(SaturationFinding::NotReached)
}

/// Seconds from the onset in which a resource is looked for that came to its end.
const EXPLAINED: u64 = 15;

/// Names the resource that a layer fell behind for. Where there is none, but the generator had come to the end of one of its own just
/// then, whose limit it was cannot be told, unless that was the network.
fn explain(layer: &mut LayerSaturation, recording: &Recording, samples: &Samples) {
    let Some(from) = layer.finding.at_seconds() else { return };
    let end = layer.finding.recovered_at_seconds().unwrap_or(series::planned_seconds(recording) as u64);
    let until = end.min(from + EXPLAINED).max(from + 1);
    layer.because = samples.explains(Some(layer.layer), from, until);
    let own = samples.explains(None, from, until).filter(|_| layer.because.is_none());
    if let (Some(own), Some(limit @ Limit::Target)) = (own, layer.finding.limit_mut()) {
        *limit = if own.resource == Resource::Network { Limit::Network } else { Limit::Undetermined };
    }
}

/// A share fails whatever the load: of all that ended, the last of which do so when the plan is over. `None` where none did.
fn failing(recording: &Recording, layer: Layer) -> Option<SaturationFinding> {
    let is_its = |kind: Kind| kind.is_operation_of(layer);
    let is_bad = |row: &&Row| counts(std::slice::from_ref(*row), is_its).failed.by_target() > 0;
    let first = recording.rows.iter().find(is_bad);
    let all = counts(&recording.rows, is_its);
    // What never came back is no better than what failed.
    let bad = all.failed.by_target() + all.cut;
    let at_seconds = first.map_or(0, |row| row.second);
    (bad > 0).then(|| SaturationFinding::Failing { at_seconds, share: share(bad, all.ok + bad) })
}

/// A layer that carries less than this share of what it has carried before has slumped.
const SLUMPED: f64 = 0.7;

/// Seconds of an onset, over which it is taken what was asked then.
const ONSET: usize = 3;

fn episode_finding(seconds: &[Second], episode: Episode, trouble: &[bool]) -> Option<SaturationFinding> {
    let before = onset::most(&seconds[..episode.from]);
    let carried = onset::carried(seconds, episode);
    let [good_before, good] = [before, carried].map(|it| it.map_or(0.0, |it| it.good));
    let offered = Second::mean(&seconds[episode.from..(episode.from + ONSET).min(episode.until)]).offered;
    let at_seconds = episode.from as u64;
    let recovered_at_seconds = episode.recovered.then_some(episode.until as u64);
    let limit = whose(trouble, episode.from);
    let collapsed = good < SLUMPED * good_before;
    // A tenth more, and what chance adds in so few seconds, is no higher rate.
    let chance = 2.0 * (good_before / ONSET as f64).sqrt();
    if collapsed && offered < 1.1 * good_before + chance {
        return Some(SaturationFinding::Slumped {
            at_seconds,
            recovered_at_seconds,
            carried_per_second: good,
            before_per_second: good_before,
            limit,
        });
    }
    if let Some(share) = onset::steady_loss(seconds, episode) {
        // What only takes longer is held against the SLO, and is no want of capacity.
        return (share > 0.0).then_some(SaturationFinding::Failing { at_seconds, share });
    }
    // What it did until it collapsed it carries.
    let Some(Carried { good, bytes, count }) = (if collapsed { before } else { carried }) else {
        return Some(SaturationFinding::Failing { at_seconds, share: 1.0 });
    };
    Some(SaturationFinding::Saturated(Saturated {
        at_seconds,
        recovered_at_seconds,
        recovered_at_per_second: recovered_at_seconds.and_then(|_| Some(seconds.get(episode.until)?.offered)),
        offered_per_second: offered,
        capacity_per_second: good,
        capacity_bytes_per_second: bytes,
        margin: 1.96 / count.max(1.0).sqrt(),
        limit,
    }))
}

/// Send lag of the median operation from which on a generator is late by itself: far above what a scheduler costs.
const LATE: f64 = 0.005;

/// Whether the generator could not do what it should, second by second: operations that it did not let go, let go late, or failed at
/// by itself.
fn generator_trouble(recording: &Recording) -> Vec<bool> {
    let rows = &recording.rows[..series::planned_seconds(recording)];
    let is_in_trouble = |row: &Row| {
        let kinds = || row.kinds.values().map(|row| &row.counts);
        let (planned, shed): (u64, u64) = kinds().fold((0, 0), |(p, s), c| (p + c.planned, s + c.shed));
        let local: u64 = kinds().map(|counts| counts.failed.of(Cause::Local)).sum();
        let of_journeys = share(row.journeys.shed, row.journeys.planned);
        let lag = send_lag(std::slice::from_ref(row), |kind| !kind.is_part());
        share(shed, planned).max(of_journeys).max(share(local, planned)) > 0.001
            || quantile_seconds(&lag, 0.5).is_some_and(|lag| lag > LATE)
    };
    rows.iter().map(is_in_trouble).collect()
}

/// Whose limit it is that a layer fell behind in a second: the generator's if that had trouble just before.
fn whose(trouble: &[bool], at: usize) -> Limit {
    let any = |from: usize, until: usize| {
        trouble[from.min(trouble.len())..until.min(trouble.len())].contains(&true)
    };
    match (any(at.saturating_sub(3), at), any(at, at + 2)) {
        (true, _) => Limit::Generator,
        (false, true) => Limit::Undetermined,
        (false, false) => Limit::Target,
    }
}

/// The mean seconds of windows of [`WINDOW`]; of all of them where there are fewer.
fn windows(seconds: &[Second]) -> impl Iterator<Item = Second> + '_ {
    let length = WINDOW.min(seconds.len()).max(1);
    seconds.chunks_exact(length).map(Second::mean)
}

/// How fast the backlog grew in the first episode, by its peak: operations per second.
fn growth(seconds: &[Second], episodes: &[Episode]) -> Option<f64> {
    let episode = episodes.first()?;
    let stretch = &seconds[episode.from..episode.until];
    let (at, peak) = stretch
        .iter()
        .enumerate()
        .map(|(at, second)| (at + 1, second.under_way))
        .reduce(|one, other| if other.1 > one.1 { other } else { one })?;
    let before = episode.from.checked_sub(1).map_or(0.0, |before| seconds[before].under_way);
    Some((peak - before).max(0.0) / at as f64)
}

/// How many times as long things took in the busiest window as in the idlest: medians from due.
fn slowdown(recording: &Recording, layer: Layer, seconds: &[Second]) -> Option<f64> {
    let rows = recording.rows[..seconds.len()].chunks_exact(WINDOW);
    let median =
        |rows: &[Row]| quantile_seconds(&latency_from_due(rows, |kind| kind.is_operation_of(layer)), 0.5);
    let mut seen: Vec<(f64, f64)> = rows
        .zip(windows(seconds))
        .filter_map(|(rows, window)| Some((window.offered, median(rows)?)))
        .collect();
    seen.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (idlest, busiest) = (seen.first()?, seen.last()?);
    (idlest.1 > 0.0 && seen.len() > 1).then(|| busiest.1 / idlest.1)
}

/// Names the layer that kept work away from each that seems good but was not asked what was planned. Stages that are driven by
/// themselves keep nothing from each other.
fn shield(recording: &Recording, found: &mut [LayerSaturation]) {
    if recording.manifest.isolated {
        return;
    }
    let order = order(found);
    for layer in found.iter_mut().filter(|layer| layer.finding == SaturationFinding::NotReached) {
        // The first upstream of it to fail; without any, what is missing is the run's own shortness.
        let by = order.iter().copied().find(|by| *by < layer.layer);
        let arrived = arrived_share(recording, layer.layer);
        // How many pieces there would have been nobody planned.
        let short = |share: &f64| layer.layer == Layer::Seedbox || *share < ARRIVED_AT_LEAST;
        if let (Some(by), Some(arrived_share)) = (by, arrived.filter(short)) {
            layer.finding = SaturationFinding::Shielded { by, arrived_share };
        }
    }
}

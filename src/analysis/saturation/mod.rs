//! Which layer saturates first, at what rate, and whose limit that is.
//!
//! For every layer: when it fell behind what it was asked (`onset`), and what it carried then. Beside it stand four numbers, because a
//! smooth curve has no knee of its own: the highest rate that kept the SLO, the rate at which goodput fell short, Kneedle's point of the
//! curve of goodput over offer (`kneedle`), and the ceiling of the Universal Scalability Law (`usl`). Where they differ, that is said.
//!
//! What was never asked was never tested: a layer that failures upstream kept work away from is shielded, not good. What the generator could not
//! send is not the target's: a layer that falls behind just after the generator did is not said to be at its limit.

mod found;
mod kneedle;
mod onset;
mod series;
mod usl;

#[cfg(test)]
mod tests;

use crate::journey::{Cause, Kind};
use crate::profile::Layer;
use crate::record::{Recording, Row};

use super::flow::{WINDOW, counts, latencies};
use super::pressure::{Resource, Samples};
use super::promise::{self, Tested};
use super::stats::{littles_ratio, quantile_seconds, share};

pub use found::*;
use onset::{Calm, Episode};
use series::Second;

/// Judges every layer that was asked for anything, in funnel order.
pub(super) fn saturation(recording: &Recording, samples: &Samples) -> Vec<LayerSaturation> {
    let trouble = generator_trouble(recording);
    let layers = Layer::ALL.into_iter();
    let mut found: Vec<LayerSaturation> = layers.filter_map(|layer| of(recording, layer, &trouble)).collect();
    found.iter_mut().for_each(|layer| explain(layer, recording, samples));
    shield(recording, &mut found);
    found
}

/// The layers that saturated, slumped or failed, the first to do so first; without those that may have been the generator's doing.
pub(super) fn order(found: &[LayerSaturation]) -> Vec<Layer> {
    let is_its = |finding: &SaturationFinding| finding.limit().is_none_or(|limit| limit != Limit::Generator);
    let its = found.iter().filter(|layer| is_its(&layer.finding));
    let at = |layer: &LayerSaturation| Some((layer.finding.at_seconds()?, layer.layer));
    let mut order: Vec<(u64, Layer)> = its.filter_map(at).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, layer)| layer).collect()
}

fn of(recording: &Recording, layer: Layer, trouble: &[bool]) -> Option<LayerSaturation> {
    let seconds = series::operations(recording, layer);
    let tested = windows(&seconds).map(|window| window.offered).fold(0.0, f64::max);
    let calm = onset::calm(&seconds)?;
    let episodes = onset::episodes(&seconds, calm);
    let promise = recording.manifest.envelope.layers.get(&layer);
    let kept = promise.map(|promise| promise::tested(recording, layer, promise)).unwrap_or_default();
    let finding = finding(&seconds, &episodes, trouble, || {
        (calm.failing > 0.0).then(|| failing(recording, layer, calm))
    });
    let is_its = |kind: Kind| kind.layer() == layer && !kind.is_part();
    let [due, ..] = latencies(&recording.rows, is_its);
    let measured = counts(&recording.rows, is_its).measured();
    let populations: u64 = recording
        .rows
        .iter()
        .flat_map(|row| &row.kinds)
        .filter(|(kind, _)| is_its(**kind))
        .map(|(_, row)| row.in_flight)
        .sum();
    Some(LayerSaturation {
        layer,
        tested_per_second: tested,
        numbers: numbers(&seconds, &finding, &kept),
        peak_backlog: seconds.iter().map(|second| second.under_way as u64).max().unwrap_or(0),
        backlog_growth_per_second: growth(&seconds, &episodes),
        because: None,
        littles_ratio: littles_ratio(populations, measured, due.mean() / 1e6),
        slowdown: slowdown(recording, layer, &seconds),
        finding,
    })
}

/// What became of a layer.
fn finding(
    seconds: &[Second],
    episodes: &[Episode],
    trouble: &[bool],
    failing: impl FnOnce() -> Option<SaturationFinding>,
) -> SaturationFinding {
    // What follows an early slump may be the load's doing: the first time that is, is what users look for.
    let judged =
        episodes.iter().filter_map(|episode| Some((*episode, episode_finding(seconds, *episode, trouble)?)));
    let mut judged: Vec<(Episode, SaturationFinding)> = judged.collect();
    let by_load = judged.iter().position(|(_, finding)| matches!(finding, SaturationFinding::Saturated(_)));
    match by_load {
        Some(first) => judged.swap_remove(first).1,
        None => match (failing(), judged.into_iter().next()) {
            (Some(failing), _) => failing,
            (None, Some((_, slumped))) => slumped,
            (None, None) => SaturationFinding::NotReached,
        },
    }
}

/// Seconds from the onset in which a resource is looked for that came to its end.
const EXPLAINED: u64 = 15;

/// Names the resource that a layer fell behind for. Where there is none, but the generator had come to the end of one of its own just then, whose
/// limit it was cannot be told, unless that was the network.
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

/// A share fails whatever the load: of all that ended, the last of which do so when the plan is over.
fn failing(recording: &Recording, layer: Layer, calm: Calm) -> SaturationFinding {
    let is_its = |kind: Kind| kind.layer() == layer && !kind.is_part();
    let first =
        recording.rows.iter().find(|row| counts(std::slice::from_ref(row), is_its).failed.total() > 0);
    let all = counts(&recording.rows, is_its);
    // What never came back is no better than what failed.
    let bad = all.failed.total() - all.failed.of(Cause::Local) + all.cut;
    SaturationFinding::Failing {
        at_seconds: first.map_or(0, |row| row.second),
        share: if all.settled() > 0 { share(bad, all.settled()) } else { calm.failing },
    }
}

/// A layer that carries less than this share of what it has carried before has slumped.
const SLUMPED: f64 = 0.7;

fn episode_finding(seconds: &[Second], episode: Episode, trouble: &[bool]) -> Option<SaturationFinding> {
    let before = onset::highest(&seconds[..episode.from]);
    let carried = onset::carried(seconds, episode);
    let good = carried.map_or(0.0, |carried| carried.good);
    let onset = &seconds[episode.from..(episode.from + 3).min(episode.until)];
    let offered = onset.iter().map(|second| second.offered).sum::<f64>() / onset.len().max(1) as f64;
    let at_seconds = episode.from as u64;
    let recovered_at_seconds = episode.recovered.then_some(episode.until as u64);
    let limit = whose(trouble, episode.from);
    if good < SLUMPED * before && offered < 1.1 * before {
        return Some(SaturationFinding::Slumped {
            at_seconds,
            recovered_at_seconds,
            carried_per_second: good,
            before_per_second: before,
            limit,
        });
    }
    if let Some(share) = onset::steady_loss(seconds, episode) {
        return Some(SaturationFinding::Failing { at_seconds, share });
    }
    let carried = carried?;
    Some(SaturationFinding::Saturated(Saturated {
        at_seconds,
        recovered_at_seconds,
        recovered_at_per_second: recovered_at_seconds.and_then(|_| Some(seconds.get(episode.until)?.offered)),
        offered_per_second: offered,
        capacity_per_second: carried.good,
        capacity_bytes_per_second: carried.bytes,
        margin: 1.96 / carried.count.max(1.0).sqrt(),
        limit,
    }))
}

/// Send lag of the median operation from which on a generator is late by itself: far above what a scheduler costs.
const LATE: f64 = 0.005;

/// Whether the generator could not do what it should, second by second: operations that it did not let go, let go late, or failed at by itself.
fn generator_trouble(recording: &Recording) -> Vec<bool> {
    let rows = &recording.rows[..series::planned_seconds(recording)];
    let is_in_trouble = |row: &Row| {
        let kinds = || row.kinds.values().map(|row| &row.counts);
        let (planned, shed): (u64, u64) = kinds().fold((0, 0), |(p, s), c| (p + c.planned, s + c.shed));
        let local: u64 = kinds().map(|counts| counts.failed.of(Cause::Local)).sum();
        let of_journeys = share(row.journeys.shed, row.journeys.planned);
        let [.., lag] = latencies(std::slice::from_ref(row), |kind| !kind.is_part());
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

/// Windows of some seconds, each a mean second.
fn windows(seconds: &[Second]) -> impl Iterator<Item = Second> + '_ {
    seconds.chunks(WINDOW).filter(|window| window.len() == WINDOW || seconds.len() < WINDOW).map(|window| {
        let mut sum = Second::default();
        window.iter().for_each(|second| sum.join(second));
        let length = window.len() as f64;
        Second {
            offered: sum.offered / length,
            good: sum.good / length,
            bad: sum.bad / length,
            under_way: sum.under_way,
            time: sum.time / length,
            bytes: sum.bytes / length,
        }
    })
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
    let median = |rows: &[Row]| {
        let [due, ..] = latencies(rows, |kind| kind.layer() == layer && !kind.is_part());
        quantile_seconds(&due, 0.5)
    };
    let mut seen: Vec<(f64, f64)> = rows
        .zip(windows(seconds))
        .filter_map(|(rows, window)| Some((window.offered, median(rows)?)))
        .collect();
    seen.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (idlest, busiest) = (seen.first()?, seen.last()?);
    (idlest.1 > 0.0 && seen.len() > 1).then(|| busiest.1 / idlest.1)
}

/// Numbers that differ by more than this factor disagree.
const DISAGREE: f64 = 1.25;

fn numbers(seconds: &[Second], finding: &SaturationFinding, kept: &[Tested]) -> CapacityNumbers {
    let broken = kept.iter().position(|tested| !tested.kept);
    let kept = &kept[..broken.unwrap_or(kept.len())];
    let goodput = match finding {
        SaturationFinding::Saturated(saturated) => Some(saturated.offered_per_second),
        _ => None,
    };
    let mut numbers = CapacityNumbers {
        sustained_per_second: match finding {
            SaturationFinding::Saturated(saturated) => saturated.capacity_per_second,
            _ => onset::highest(seconds),
        },
        slo_per_second: kept.iter().map(|tested| tested.offered_per_second).reduce(f64::max),
        slo_broken: broken.is_some(),
        goodput_per_second: goodput,
        knee_per_second: kneedle::knee(&curve(seconds), 1.0).map(|(offered, _)| offered),
        usl: usl::Usl::fit(&concurrency(seconds)).map(|fit| Usl {
            gamma: fit.gamma,
            alpha: fit.alpha,
            beta: fit.beta,
            beta_margin: fit.margins[2],
            peak_concurrency: fit.peak(),
            ceiling_per_second: fit.ceiling(),
        }),
        disagree: false,
    };
    let slo = numbers.slo_per_second.filter(|_| numbers.slo_broken);
    let ceiling = numbers.usl.as_ref().and_then(|usl| usl.ceiling_per_second);
    let known: Vec<f64> = [slo, goodput, goodput.and(numbers.knee_per_second), goodput.and(ceiling)]
        .into_iter()
        .flatten()
        .collect();
    let (least, most) =
        known.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), it| (least.min(*it), most.max(*it)));
    numbers.disagree = known.len() > 1 && most > DISAGREE * least;
    numbers
}

/// Points of a curve at most.
const POINTS: usize = 24;

/// Means of seconds in as many groups as a curve has points, in order of `by`.
fn groups(seconds: &[Second], by: impl Fn(&Second) -> f64) -> Vec<Second> {
    let mut sorted: Vec<&Second> = seconds.iter().filter(|second| second.ended() > 0.0).collect();
    sorted.sort_by(|one, other| by(one).total_cmp(&by(other)));
    let group = |group: &[&Second]| {
        let mut sum = Second::default();
        group.iter().for_each(|second| sum.join(second));
        let length = group.len() as f64;
        Second {
            offered: sum.offered / length,
            good: sum.good / length,
            bad: sum.bad / length,
            time: sum.time / length,
            ..sum
        }
    };
    let length = sorted.len().div_ceil(POINTS).max(3);
    sorted.chunks_exact(length).map(group).collect()
}

/// Goodput over offer, ascending.
fn curve(seconds: &[Second]) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> =
        groups(seconds, |second| second.offered).iter().map(|group| (group.offered, group.good)).collect();
    points.dedup_by(|later, kept| later.0 <= kept.0);
    points
}

/// Throughput over concurrency, by Little's law: what ended in a second was under way for the time that it took.
fn concurrency(seconds: &[Second]) -> Vec<(f64, f64)> {
    let points = groups(seconds, |second| second.time).into_iter().map(|group| (group.time, group.good));
    // Less than one at a time is no concurrency.
    let points: Vec<(f64, f64)> = points.filter(|(n, x)| *n >= 1.0 && *x > 0.0).collect();
    let spread = points.last().zip(points.first()).is_some_and(|(last, first)| last.0 >= 2.0 * first.0);
    if spread { points } else { Vec::new() }
}

/// Less than this share of what was planned, and a layer was kept from its test.
const ARRIVED_AT_LEAST: f64 = 0.99;

/// Names the layer that kept work away from each that seems good but was not asked what was planned.
fn shield(recording: &Recording, found: &mut [LayerSaturation]) {
    let order = order(found);
    let planned_of = &recording.manifest.planned;
    for layer in found.iter_mut().filter(|layer| layer.finding == SaturationFinding::NotReached) {
        let planned: u64 =
            planned_of.iter().filter(|(kind, _)| kind.layer() == layer.layer).map(|(_, count)| count).sum();
        let of = |kind: Kind| kind.layer() == layer.layer && planned_of.contains_key(&kind);
        let arrived_share = share(counts(&recording.rows, of).first_tries(), planned);
        // The first upstream of it to fail; without any, what is missing is the run's own shortness.
        let by = order.iter().copied().find(|by| *by < layer.layer);
        let of_pieces = layer.layer == Layer::Seedbox;
        if let Some(by) = by
            && (of_pieces || planned > 0 && arrived_share < ARRIVED_AT_LEAST)
        {
            layer.finding = SaturationFinding::Shielded { by, arrived_share };
        }
    }
}

//! What a layer, a stage or a kind was asked, and what it did.

use hdrhistogram::Histogram;

use crate::journey::Kind;
use crate::profile::Layer;
use crate::record::{Counts, Distribution, Latencies, Recording, Row, histogram};

use super::stats::{quantile_seconds, share};
use super::summary::{Flow, Quantiles};

/// Seconds in which envelopes are judged and peaks are taken. Windows start at multiples of it; a last, shorter one is left out.
pub(super) const WINDOW: usize = 5;

/// The seconds that the plan was under way, which mean rates are taken over: its length, or as far as it came. What follows only drains.
pub(super) fn plan_seconds(recording: &Recording) -> f64 {
    let length = recording.manifest.length.as_secs_f64();
    let came_to = match recording.stopped_at_seconds {
        Some(second) => (second + 1) as f64,
        None if recording.finished => length,
        None => recording.rows.len() as f64,
    };
    // Nothing recorded: nothing to divide either.
    Some(length.min(came_to)).filter(|seconds| *seconds > 0.0).unwrap_or(1.0)
}

/// The counts of the kinds that `of` chooses, over some rows.
pub(super) fn counts(rows: &[Row], of: impl Fn(Kind) -> bool) -> Counts {
    let mut sum = Counts::default();
    let chosen = rows.iter().flat_map(|row| &row.kinds).filter(|(kind, _)| of(**kind));
    chosen.for_each(|(_, row)| sum += &row.counts);
    sum
}

/// One of the latencies of the kinds that `of` chooses, over some rows, in microseconds.
pub(super) fn latency(
    rows: &[Row],
    of: impl Fn(Kind) -> bool,
    which: impl Fn(&Latencies) -> &Distribution,
) -> Histogram<u64> {
    let mut sum = histogram();
    let chosen = rows.iter().flat_map(|row| &row.kinds).filter(|(kind, _)| of(**kind));
    chosen.for_each(|(_, row)| which(&row.latencies).add_to(&mut sum));
    sum
}

/// The latency from due, likewise.
pub(super) fn latency_from_due(rows: &[Row], of: impl Fn(Kind) -> bool) -> Histogram<u64> {
    latency(rows, of, |latencies| &latencies.due)
}

/// The send lag, likewise.
pub(super) fn send_lag(rows: &[Row], of: impl Fn(Kind) -> bool) -> Histogram<u64> {
    latency(rows, of, |latencies| &latencies.lag)
}

/// Less than this share of what was planned for a layer, and it was not tested as planned.
pub(super) const ARRIVED_AT_LEAST: f64 = 0.99;

/// The share of the operations planned for a layer that came to be asked of it, first tries alone; `None` where none were planned.
pub(super) fn arrived_share(recording: &Recording, layer: Layer) -> Option<f64> {
    let planned_of = &recording.manifest.planned;
    let of = |kind: Kind| kind.layer() == layer && planned_of.contains_key(&kind);
    let planned: u64 = planned_of.iter().filter(|(kind, _)| of(**kind)).map(|(_, count)| count).sum();
    (planned > 0).then(|| share(counts(&recording.rows, of).first_tries(), planned))
}

/// The flow of the kinds that `of` chooses.
pub(super) fn flow(recording: &Recording, of: impl Fn(Kind) -> bool + Copy) -> Flow {
    let rows = &recording.rows;
    let counts = counts(rows, of);
    let seconds = plan_seconds(recording);
    let offered = counts.planned as f64 / seconds;
    let windows = rows.chunks_exact(WINDOW);
    let peak = windows.map(|window| self::counts(window, of).planned as f64 / WINDOW as f64);
    Flow {
        offered_per_second: offered,
        peak_offered_per_second: peak.fold(offered, f64::max),
        achieved_per_second: counts.released as f64 / seconds,
        goodput_per_second: counts.ok as f64 / seconds,
        due: quantiles(&latency_from_due(rows, of)),
        service: quantiles(&latency(rows, of, |latencies| &latencies.service)),
        lag: quantiles(&send_lag(rows, of)),
        counts,
    }
}

/// The quantiles of a histogram of microseconds.
pub(super) fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    let at = |quantile| quantile_seconds(histogram, quantile);
    Quantiles {
        p50_seconds: at(0.5),
        p90_seconds: at(0.9),
        p99_seconds: at(0.99),
        p999_seconds: at(0.999),
        max_seconds: at(1.0),
    }
}

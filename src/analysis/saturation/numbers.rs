//! What a layer carries, by several definitions side by side.

use crate::analysis::promise::Tested;

use super::found::{CapacityNumbers, SaturationFinding, Usl};
use super::series::Second;
use super::{kneedle, onset, usl};

/// Numbers that differ by more than this factor disagree.
const DISAGREE: f64 = 1.25;

/// What a layer carries by each definition, `kept` being the rates that it was asked, in order of time.
pub(super) fn numbers(seconds: &[Second], finding: &SaturationFinding, kept: &[Tested]) -> CapacityNumbers {
    let broken = kept.iter().position(|tested| !tested.kept);
    let kept = &kept[..broken.unwrap_or(kept.len())];
    let goodput = match finding {
        SaturationFinding::Saturated(saturated) => Some(saturated.offered_per_second),
        _ => None,
    };
    let mut numbers = CapacityNumbers {
        sustained_per_second: match finding {
            SaturationFinding::Saturated(saturated) => saturated.capacity_per_second,
            _ => onset::most(seconds).map_or(0.0, |most| most.good),
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
    let length = sorted.len().div_ceil(POINTS).max(3);
    sorted.chunks_exact(length).map(|group| Second::mean(group.iter().copied())).collect()
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

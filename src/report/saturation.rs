//! Which layers saturated, in which order, and what each carries.

use crate::analysis::{LayerSaturation, Limit, Saturated, SaturationFinding, Summary};

use super::quantity::{percent, rate, three_digits};
use super::resources;
use super::table::{Align, table};

/// Heads of the columns of [`row`].
const HEAD: [&str; 10] =
    ["", "capacity", "asked", "sustained", "SLO to", "short at", "knee", "USL", "backlog", "slower"];

/// The section of the report on a terminal. What became of layers that fell behind stands in the verdict already.
pub(super) fn text(summary: &Summary) -> String {
    if summary.saturation.is_empty() {
        return String::new();
    }
    let at_least = !summary.generator.faults.is_empty();
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(summary.saturation.iter().map(|layer| row(layer, at_least)));
    let columns = [&[Align::Left; 2][..], &[Align::Right; 8]].concat();
    let lines = if summary.order.is_empty() { lines(summary) } else { String::new() };
    table(&columns, &rows) + &lines
}

/// What became of each layer that did not do all it was asked, the first to fail first, and then what is to be known of the others.
pub(super) fn lines(summary: &Summary) -> String {
    let of = |layer| summary.saturation.iter().find(|seen| seen.layer == layer);
    let ordered = summary.order.iter().filter_map(|layer| of(*layer));
    let told = |mark: String, layer: &LayerSaturation| {
        let because = layer.because.as_ref().map(resources::evidence);
        let whose = layer.finding.limit().and_then(whose).map(str::to_owned);
        let more = whose.into_iter().chain(because).map(|more| format!("\n     {more}"));
        let more: String = more.collect();
        Some(format!("{mark} {}: {}{more}", layer.layer.name(), what(&layer.finding)?))
    };
    let mut lines: Vec<String> =
        ordered.zip(1..).filter_map(|(layer, number)| told(format!("✗ {number}."), layer)).collect();
    if summary.saturation.iter().all(|layer| layer.finding.at_seconds().is_none()) {
        lines.push("  no layer fell behind what it was asked: their limits lie beyond".to_owned());
    }
    let others = summary.saturation.iter().filter(|layer| !summary.order.contains(&layer.layer));
    lines.extend(others.filter_map(|layer| told("?".to_owned(), layer)));
    let disagree = summary.saturation.iter().filter(|layer| layer.numbers.disagree);
    lines.extend(disagree.map(|layer| {
        format!("! {}: the definitions of its capacity disagree by more than a quarter", layer.layer.name())
    }));
    lines.into_iter().map(|line| line + "\n").collect()
}

/// A finding in words; `None` where there is nothing to say.
fn what(finding: &SaturationFinding) -> Option<String> {
    Some(match finding {
        SaturationFinding::NotReached => return None,
        SaturationFinding::Saturated(seen) => saturated(seen),
        SaturationFinding::Slumped {
            at_seconds,
            recovered_at_seconds,
            carried_per_second,
            before_per_second,
            ..
        } => {
            format!(
                "slumped at {at_seconds} s: did {} where it had done {}{}",
                rate(*carried_per_second),
                rate(*before_per_second),
                caught_up(*recovered_at_seconds, None)
            )
        }
        SaturationFinding::Failing { at_seconds, share } => {
            format!("{} of its operations fail at any rate, since {at_seconds} s", percent(*share))
        }
        SaturationFinding::Lossy { at_seconds, share, .. } => format!(
            "{} of what is sent to it goes unanswered at any rate, and is sent again, since {at_seconds} s",
            percent(*share)
        ),
        SaturationFinding::Shielded { by, arrived_share } => format!(
            "not tested beyond what it was asked: {} failed first, {} of the plan arrived",
            by.name(),
            percent(*arrived_share)
        ),
    })
}

fn saturated(seen: &Saturated) -> String {
    format!(
        "saturated at {} s, asked {}: carries {} ± {}{}",
        seen.at_seconds,
        rate(seen.offered_per_second),
        rate(seen.capacity_per_second),
        percent(seen.margin),
        caught_up(seen.recovered_at_seconds, seen.recovered_at_per_second)
    )
}

fn caught_up(at: Option<u64>, asked: Option<f64>) -> String {
    match (at, asked) {
        (None, _) => "; never caught up".to_owned(),
        (Some(at), None) => format!("; caught up at {at} s"),
        (Some(at), Some(asked)) => format!("; caught up at {at} s, asked {}", rate(asked)),
    }
}

/// Whose limit it was, where not the layer's.
const fn whose(limit: Limit) -> Option<&'static str> {
    match limit {
        Limit::Target => None,
        Limit::Generator => Some("the generator's limit: it says nothing of the layer"),
        Limit::Network => Some("the network's limit"),
        Limit::Undetermined => Some("whose limit that was cannot be told: the generator was at its own too"),
    }
}

/// A layer's numbers, in the columns of [`HEAD`].
fn row(layer: &LayerSaturation, at_least: bool) -> Vec<String> {
    let numbers = &layer.numbers;
    let or_none = |value: Option<f64>| value.map_or("-".to_owned(), rate);
    // What the generator could not ask for, more of the layer might have carried.
    let at_least = at_least || layer.finding.limit() == Some(Limit::Generator);
    let saturated = matches!(layer.finding, SaturationFinding::Saturated(_));
    let sustained = rate(numbers.sustained_per_second);
    let mark = match layer.finding {
        SaturationFinding::NotReached => ' ',
        SaturationFinding::Shielded { .. } => '?',
        _ if layer.finding.limit() == Some(Limit::Generator) => '?',
        _ => '✗',
    };
    let slo = match (numbers.slo_per_second, numbers.slo_broken) {
        (Some(kept), false) => format!("≥ {}", rate(kept)),
        (kept, _) => or_none(kept),
    };
    vec![
        mark.to_string().trim().to_owned(),
        layer.layer.name().to_owned(),
        rate(layer.tested_per_second),
        if saturated && !at_least { sustained } else { format!("≥ {sustained}") },
        slo,
        or_none(numbers.goodput_per_second),
        or_none(numbers.knee_per_second),
        or_none(numbers.usl.as_ref().and_then(|usl| usl.ceiling_per_second)),
        layer.peak_backlog.to_string(),
        layer.slowdown.map_or("-".to_owned(), |times| format!("{}×", three_digits(times))),
    ]
}

//! Capacities on a terminal: a line for each layer, then what has to be said about some. At most 100 columns.

use crate::analysis::search::{Capacities, Found, LayerFound, Purpose, Recovery, Stopped, Tried};
use crate::profile::Layer;

use super::quantity::{percent, rate, seconds, three_digits};
use super::table::{Align, table};
use super::text::{colored, quantile_name};

/// The content of `search.json`.
///
/// # Errors
/// Never for what a search found; the encoder's type demands it.
pub fn json(capacities: &Capacities) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(capacities).map(|text| text + "\n")
}

/// All that was found; with ANSI colours where `color`.
#[must_use]
pub fn text(capacities: &Capacities, color: bool) -> String {
    let trials: usize = capacities.layers.iter().map(|layer| layer.trials.len()).sum();
    let mut text = format!(
        "capacities of {}, each layer alone, {} world, visitors of {}, seed {}, {} worker(s), {trials} trials\n\n",
        capacities.target,
        capacities.world.name(),
        capacities.visitors,
        capacities.seed,
        capacities.workers,
    );
    let head = [
        "",
        "layer",
        "capacity",
        "stopped by",
        "fails at",
        "there / SLO",
        "unloaded",
        "trials",
        "recovers at",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(capacities.layers.iter().map(row));
    use Align::{Left, Right};
    text += &table(&[Left, Left, Right, Left, Right, Right, Right, Right, Left], &rows);
    for layer in &capacities.layers {
        text += &notes(layer);
    }
    let precision = percent(capacities.precision);
    text += &format!(
        "\n  a capacity is the lower end of a bracket of {precision}, confirmed by a longer trial; a trial that failed was \
         repeated\n"
    );
    if color { colored(&text) } else { text }
}

/// One line about a trial, as soon as it is over.
#[must_use]
pub fn trial(layer: Layer, tried: &Tried) -> String {
    let measured = &tried.measured;
    let result = measured.limit.map_or("kept", |limit| Stopped::from(limit).name());
    format!(
        "{} {} {} for {} s: {result}; good {}, errors {}, latency {}",
        layer.name(),
        tried.purpose.name(),
        rate(tried.rate_per_second),
        tried.judged_seconds,
        rate(measured.goodput_per_second),
        percent(measured.error_share),
        seconds(measured.quantile_seconds),
    )
}

fn row(layer: &LayerFound) -> Vec<String> {
    let found = &layer.found;
    let or_dash = |of: Option<f64>| of.map_or("-".to_owned(), rate);
    let at_least = if found.at_least { "≥ " } else { "" };
    vec![
        mark(found).to_string(),
        layer.layer.name().to_owned(),
        found.capacity_per_second.map_or("-".to_owned(), |capacity| format!("{at_least}{}", rate(capacity))),
        found.stopped_by.name().to_owned(),
        or_dash(found.failed_at_per_second),
        format!(
            "{} {} / {}",
            quantile_name(layer.slo.quantile),
            seconds(found.quantile_seconds),
            seconds(Some(layer.slo.limit.as_secs_f64()))
        ),
        seconds(found.unloaded_seconds),
        layer.trials.len().to_string(),
        match found.recovery {
            Recovery::NotTried => "-".to_owned(),
            Recovery::NoHysteresis => "no hysteresis".to_owned(),
            Recovery::At { per_second } => rate(per_second),
            Recovery::NotAbove { per_second } => format!("< {}", rate(per_second)),
        },
    ]
}

const fn mark(found: &Found) -> char {
    match found.stopped_by {
        Stopped::Latency | Stopped::Errors | Stopped::Goodput | Stopped::Ceiling => '✓',
        Stopped::Generator | Stopped::Unreachable | Stopped::Down => '✗',
        Stopped::Budget | Stopped::Interrupted => '?',
    }
}

/// What the line does not say.
fn notes(layer: &LayerFound) -> String {
    let found = &layer.found;
    let mut notes = Vec::new();
    let why = match found.stopped_by {
        Stopped::Generator => {
            Some("the generator could not ask for more: more --workers, or another machine")
        }
        Stopped::Ceiling => Some("more may not be asked: --max-rate, or the ceiling of the authorization"),
        Stopped::Unreachable => Some("it kept no rate, however low: look at the first trials"),
        Stopped::Down => Some("after an overload it kept nothing any more"),
        Stopped::Budget => Some("the time was used up: a longer --budget, or a shorter --trial"),
        Stopped::Interrupted => Some("interrupted: what was known until then"),
        Stopped::Latency | Stopped::Errors | Stopped::Goodput => None,
    };
    notes.extend(why.map(str::to_owned));
    if found.capacity_per_second.is_some() && !found.confirmed {
        notes.push("no longer trial confirmed it".to_owned());
    }
    match found.recovery {
        Recovery::At { .. } => {
            notes.push(
                "after an overload it stays down until the rate is lowered to that (metastable)".to_owned(),
            );
        }
        Recovery::NotAbove { .. } => {
            notes.push(
                "after an overload it did not come back, at that rate or above (metastable)".to_owned(),
            );
        }
        Recovery::NotTried | Recovery::NoHysteresis => {}
    }
    let repeated = repeated(&layer.trials);
    if repeated > 0 {
        notes.push(format!("{repeated} of the trials repeat one that failed"));
    }
    if layer.operations_per_visitor > 1.0 {
        notes.push(format!("{} operations a visitor", three_digits(layer.operations_per_visitor)));
    }
    notes.iter().map(|note| format!("  {}: {note}\n", layer.layer.name())).collect()
}

/// Trials at the rate and for the purpose of the one before.
fn repeated(trials: &[Tried]) -> usize {
    let what = |tried: &Tried| (tried.purpose, tried.rate_per_second.to_bits());
    trials
        .windows(2)
        .filter(|pair| what(&pair[0]) == what(&pair[1]) && pair[1].purpose != Purpose::Weigh)
        .count()
}

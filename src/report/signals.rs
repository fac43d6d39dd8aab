//! The feed of signals and the tiers that it calls for.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::plan::clock;
use super::quantity::three_digits;
use crate::demand::{Observation, Response, Tier, TierChange};

/// One line of the feed, the same for every measure:
///
/// | column | meaning |
/// |---|---|
/// | `timestamp` | when it happened, UTC |
/// | `seen` | when the feed delivered it, UTC |
/// | `metric` | what is measured: `price`, `volume`, `listing`... |
/// | `value`, `raw` | as delivered, and as it happened: a change (0.18 is +18 %), a multiple of normal, or 1 for something that happened |
/// | `confidence`, `quality` | how sure it is and how good its source, 0..=1 |
/// | `provenance` | where it was observed; empty where the scenario does not say |
/// | `signal`, `kind` | the signal of the scenario that it belongs to, and who is behind that |
#[derive(Debug, Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    seen: Timestamp,
    metric: &'static str,
    value: f64,
    raw: f64,
    confidence: f64,
    quality: f64,
    provenance: &'a str,
    signal: &'a str,
    kind: &'static str,
}

fn line(observation: &Observation, start: Timestamp) -> Line<'_> {
    // A scenario ends before the year 9999, but a feed may be late.
    let moment = |at: Duration| start.checked_add(at).unwrap_or(Timestamp::MAX);
    Line {
        timestamp: moment(observation.at),
        seen: moment(observation.seen),
        metric: observation.metric.name(),
        value: observation.value,
        raw: observation.raw,
        confidence: observation.confidence,
        quality: observation.quality,
        provenance: &observation.provenance,
        signal: &observation.signal,
        kind: observation.kind.name(),
    }
}

/// The feed as one JSON object a line; `start` is the wall clock at scenario time 0.
///
/// # Errors
/// None that a feed can cause: the text is written to memory.
pub fn jsonl(feed: impl Iterator<Item = Observation>, start: Timestamp) -> Result<String, serde_json::Error> {
    feed.map(|it| serde_json::to_string(&line(&it, start)).map(|line| line + "\n")).collect()
}

/// The feed as CSV with a header.
///
/// # Errors
/// As [`jsonl`].
pub fn csv(feed: impl Iterator<Item = Observation>, start: Timestamp) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for observation in feed {
        writer.serialize(line(&observation, start))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a feed delivered of what happened.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Observations that happened.
    pub made: usize,
    /// Those that arrived.
    pub arrived: usize,
    /// Signals that move demand and show in no measure.
    pub unseen: usize,
}

/// The changes of tier and response on the clock, each with its reasons; then what the feed kept back.
#[must_use]
pub fn text(name: &str, changes: &[TierChange], delivery: Delivery) -> String {
    let mut out = format!("{name}: tiers that its signals call for\n\n");
    if changes.is_empty() {
        out.push_str("None: nothing that is seen is worth a watch.\n");
    }
    for change in changes {
        // Writing to a String cannot fail.
        let _ =
            writeln!(out, "{:<13}{:<9} {}", clock(change.at_seconds), change.tier.name(), reasons(change));
        let _ = writeln!(out, "{:23}{}", "", outlook(change));
    }
    let Delivery { made, arrived, unseen } = delivery;
    if arrived < made {
        let _ = writeln!(
            out,
            "\n{arrived} of {made} observations arrived: the feed has faults, and demand does not wait for it."
        );
    }
    if unseen > 0 {
        let _ = writeln!(
            out,
            "\nSignals that move demand and show in no measure: {unseen}. No feed tells of them."
        );
    }
    out
}

/// No signal is left, whatever demand is still there.
const NOTHING: &str = "no signal counts any more";

fn reasons(change: &TierChange) -> String {
    let assessment = &change.assessment;
    if change.tier > assessment.tier {
        return format!("on its way down to {}", assessment.tier.name());
    }
    let because: Vec<String> = assessment
        .because
        .iter()
        .map(|(signal, metric, value)| format!("{signal} ({})", says(metric, *value)))
        .collect();
    let because = if because.is_empty() { NOTHING.to_owned() } else { because.join(", ") };
    if assessment.unconfirmed > Tier::Prepare && change.tier < assessment.unconfirmed {
        let confirmed = assessment.confirming.join(", ");
        return format!(
            "{because}; {} takes two confirming signals besides the price, there is {confirmed} alone",
            assessment.unconfirmed.name()
        );
    }
    because
}

/// What an observation says, with its unit.
fn says(metric: &str, value: f64) -> String {
    match metric {
        "price" | "market" | "sentiment" => format!("{metric} {:+.0}%", 100.0 * value),
        "listing" | "trading" | "outage" => metric.to_owned(),
        _ => format!("{metric} {}x", three_digits(value)),
    }
}

fn outlook(change: &TierChange) -> String {
    let response = match change.response {
        Response::Nothing => "nothing to do",
        Response::Monitor => "monitor more",
        Response::PreWarm => "pre-warm, raise alerts",
        Response::Expand => "extra seedboxes, higher queue limits, tell finance",
    };
    let driver = change.driver.map(|driver| format!("{driver}; ")).unwrap_or_default();
    format!(
        "{driver}up to {}x of a normal day within 6 h: {response}; intensity {}",
        three_digits(change.factor),
        three_digits(change.intensity)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::{feed, tiers};
    use crate::scenario::{Scenario, VariantName, sample};

    #[test]
    fn every_line_has_the_same_form() {
        let scenario = sample::sample();
        let lines = jsonl(feed(&scenario, 1), scenario.start).unwrap();
        let first = r#"{"timestamp":"1970-01-01T06:00:00Z","seen":"1970-01-01T06:00:00Z","metric":"price","value":0.12,"raw":0.12,"confidence":1.0,"quality":1.0,"provenance":"","signal":"listing","kind":"market"}"#;
        assert_eq!((lines.lines().next(), lines.lines().count()), (Some(first), 5));
        let table = csv(feed(&scenario, 1), scenario.start).unwrap();
        assert_eq!(
            table.lines().nth(5),
            Some("1970-01-01T08:00:00Z,1970-01-01T08:00:00Z,trading,1.0,1.0,1.0,1.0,,listing,market")
        );
    }

    #[test]
    fn changes_say_why_and_what_to_do() {
        let scenario = sample::sample();
        let all = Delivery { made: 5, arrived: 5, unseen: 0 };
        let told = text("sample", &tiers(&scenario, VariantName::Baseline, 1), all);
        for part in [
            "T+06:00      scale     listing (price +12%), listing (volume 3.20x), listing (mentions 5.00x), listing (listing)\n",
            "market-driven burst; up to ",
            "within 6 h: extra seedboxes, higher queue limits, tell finance; intensity 12.0\n",
            "T+12:00      prepare   listing (listing), listing (trading); scale takes two confirming signals besides the price, \
             there is listing alone\n",
        ] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
        let calm = Scenario { signals: Vec::new(), ..scenario };
        assert!(text("calm", &tiers(&calm, VariantName::Baseline, 1), all).contains("None:"));
    }
}

//! Three scorecards of a rehearsal: how intense the event was, what demand was predicted, what came of it.

use serde::Serialize;

use crate::demand::{Response, Tier as Readiness};
use crate::profile::Layer;
use crate::record::Recording;

use super::stats::share;
use super::summary::{Breach, Finding, LayerSummary, Tier};
use super::{LayerSaturation, promise};

/// The three cards.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Scorecards {
    /// How intense the event was; `None` where nothing is known of its signals.
    pub intensity: Option<Intensity>,
    /// What demand was predicted of each layer, and what came.
    pub demand: Vec<DemandCard>,
    /// What became of each layer.
    pub impact: Vec<ImpactCard>,
}

/// How intense an event was, by its signals alone.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Intensity {
    /// The highest tier of readiness that the signals called for.
    pub tier: Readiness,
    /// The most demand that they let expect, as a multiple of a normal day.
    pub factor: f64,
    /// The highest weighted intensity of the mentions.
    pub mentions: f64,
    /// The response matrix: each response that was called for, and when first.
    pub responses: Vec<ResponseCard>,
}

/// A line of the response matrix as it would have been triggered.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ResponseCard {
    /// The response.
    pub response: Response,
    /// From which multiple of a normal day on.
    pub from_factor: f64,
    /// Run second at which it was first called for, below 0 where it was before the run; `None`: never.
    pub at_seconds: Option<f64>,
    /// Seconds from then to when the first layer saturated, slumped or failed; `None` where either did not happen. Below 0 the
    /// layer was first.
    pub ahead_seconds: Option<f64>,
}

/// What demand was predicted of a layer, and what came: first tries.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct DemandCard {
    /// Which.
    pub layer: Layer,
    /// Highest rate of 5 s that the plan intended; `None` where it does not tell.
    pub predicted_per_second: Option<f64>,
    /// Highest rate of 5 s that came; `None` without an envelope.
    pub required_per_second: Option<f64>,
    /// Tier of the envelope that the prediction falls into, however long it lasts; `None` without either.
    pub predicted_tier: Option<Tier>,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ImpactCard {
    /// Which.
    pub layer: Layer,
    /// Share of its operations that ended well, of those that ended, were cut, or could not be sent.
    pub good_share: f64,
    /// Operations that did not.
    pub lost: u64,
    /// Second in which it saturated, slumped, first failed or began to lose what is sent to it.
    pub fell_behind_at_seconds: Option<u64>,
    /// Second in which its promise was first broken.
    pub broken_at_seconds: Option<u64>,
    /// The last signal before whichever was first, and how many seconds before: what set it off, as far as the clock can say.
    pub after_signal: Option<AfterSignal>,
}

/// A signal, and how long it took to be felt.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct AfterSignal {
    /// Its name.
    pub signal: String,
    /// Seconds from it, of the run.
    pub lag_seconds: f64,
}

/// Fills in the cards.
pub(super) fn scorecards(
    recording: &Recording,
    layers: &[LayerSummary],
    saturation: &[LayerSaturation],
    order: &[Layer],
) -> Scorecards {
    // What the generator brought about says nothing of a layer: it is not in the order.
    let fell_behind = |layer: Layer| {
        let found = saturation.iter().find(|seen| seen.layer == layer && order.contains(&layer));
        found.and_then(|seen| seen.finding.at_seconds())
    };
    let first = order.first().and_then(|layer| fell_behind(*layer));
    Scorecards {
        intensity: recording.manifest.outlook.as_ref().map(|_| intensity(recording, first)),
        demand: layers.iter().map(|layer| demand(recording, layer)).collect(),
        impact: layers.iter().map(|layer| impact(recording, layer, fell_behind(layer.layer))).collect(),
    }
}

fn intensity(recording: &Recording, first: Option<u64>) -> Intensity {
    let changes = recording.manifest.outlook.as_ref().map_or(&[][..], |outlook| &outlook.changes);
    let response = |(response, from_factor): (Response, f64)| {
        let at_seconds = changes.iter().find(|change| change.response >= response).map(|it| it.at_seconds);
        let ahead_seconds = at_seconds.zip(first).map(|(at, first)| first as f64 - at);
        ResponseCard { response, from_factor, at_seconds, ahead_seconds }
    };
    Intensity {
        tier: changes.iter().map(|change| change.tier).max().unwrap_or_default(),
        factor: changes.iter().map(|change| change.factor).fold(1.0, f64::max),
        mentions: changes.iter().map(|change| change.intensity).fold(0.0, f64::max),
        responses: Response::MATRIX.into_iter().map(response).collect(),
    }
}

fn demand(recording: &Recording, layer: &LayerSummary) -> DemandCard {
    let manifest = &recording.manifest;
    let predicted = manifest.outlook.as_ref().and_then(|outlook| outlook.peaks.get(&layer.layer)).copied();
    let promise = manifest.envelope.layers.get(&layer.layer);
    DemandCard {
        layer: layer.layer,
        predicted_per_second: predicted,
        required_per_second: layer.judgement.as_ref().map(|judgement| judgement.required_per_second),
        predicted_tier: predicted.zip(promise).map(|(rate, promise)| promise::tier(rate, promise, true)),
    }
}

fn impact(recording: &Recording, layer: &LayerSummary, fell_behind: Option<u64>) -> ImpactCard {
    let counts = &layer.flow.counts;
    let broken = match layer.judgement.as_ref().map(|judgement| &judgement.finding) {
        Some(Finding::Fail { at_seconds, breach: Breach::Latency { .. } | Breach::Errors { .. } }) => {
            Some(*at_seconds)
        }
        _ => None,
    };
    let all = counts.settled() + counts.shed;
    let since = fell_behind.into_iter().chain(broken).min();
    let signals = recording.manifest.signals.iter();
    let after_signal = since.and_then(|at| {
        let before = signals.filter(|signal| signal.at_seconds <= at as f64 + 1.0);
        let last = before.max_by(|one, other| one.at_seconds.total_cmp(&other.at_seconds))?;
        let lag_seconds = (at as f64 - last.at_seconds).max(0.0);
        Some(AfterSignal { signal: last.name.clone(), lag_seconds })
    });
    ImpactCard {
        layer: layer.layer,
        good_share: if all > 0 { share(counts.ok, all) } else { 1.0 },
        lost: all - counts.ok,
        fell_behind_at_seconds: fell_behind,
        broken_at_seconds: broken,
        after_signal,
    }
}

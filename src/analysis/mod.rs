//! Analysis: is the run valid, which layers saturated, does the envelope hold?
//!
//! Pure: a recording in, a [`Summary`] out. First the generator ([`Generator`]): a run that it limited says only "at least". Then
//! each layer against its promise, and whether it saturated, at what rate ([`LayerSaturation`]). Then what the report shows beside
//! it. Before a run: which of this machine's ceilings are low ([`Checkup`]), and which of them a plan will find ([`foresight`]).

pub(crate) mod ceilings;
mod downloads;
mod flow;
pub mod forecast;
pub mod foresight;
mod groups;
mod pressure;
mod promise;
mod saturation;
mod scorecard;
pub mod search;
mod stats;
mod summary;
mod timeline;
mod usage;
mod validity;
mod verdict;

#[cfg(test)]
mod tests;

pub use ceilings::{Ceiling, CeilingFinding, Checkup, DOCTOR_SCHEMA, Grade};
pub use pressure::{Pressure, Resource, Samples};
pub use saturation::{CapacityNumbers, LayerSaturation, Limit, Saturated, SaturationFinding, Usl};
pub use scorecard::{AfterSignal, DemandCard, ImpactCard, Intensity, ResponseCard, Scorecards};
pub use summary::*;
pub use timeline::{Slice, Timeline, timeline};
pub use verdict::Verdict;

use std::collections::BTreeMap;

use crate::journey::{Kind, Swarm};
use crate::plan::Stage;
use crate::profile::Layer;
use crate::record::{Counts, KindRow, Recording, Traffic};

use promise::Judged;

/// Name and version of the summary's format; the number grows when a reader would have to change.
pub const SCHEMA: &str = "urn:squall:summary:1";

/// Judges a recording.
#[must_use]
pub fn analyse(recording: &Recording) -> Summary {
    let resources = usage::usage(&recording.resources, recording.rows.len() as u64);
    let samples = Samples::of(recording);
    let generator = validity::generator(recording, &resources);
    // What promises nothing and is asked nothing is not part of the target: most have no resolvers.
    let is_there = |layer: &LayerSummary| layer.judgement.is_some() || layer.flow.counts.planned > 0;
    let promises = recording.manifest.envelope.layers.iter();
    let judged: BTreeMap<Layer, Judged> =
        promises.map(|(layer, promise)| (*layer, promise::judged(recording, *layer, promise))).collect();
    let layer = |layer| layer_summary(recording, layer, judged.get(&layer));
    let layers: Vec<_> = Layer::ALL.into_iter().map(layer).filter(is_there).collect();
    let mut journeys = Counts::default();
    let mut swarm = Swarm::default();
    for row in &recording.rows {
        journeys += &row.journeys;
        swarm += &row.swarm;
    }
    let stage = |stage: Stage| StageSummary {
        stage,
        flow: flow::flow(recording, |kind| kind.stage() == stage && !kind.is_part()),
    };
    let mut traffic = Traffic::default();
    recording.rows.iter().flat_map(|row| row.kinds.values()).for_each(|row| traffic += &row.traffic);
    let kinds: Vec<_> = Kind::ALL.into_iter().filter_map(|kind| kind_summary(recording, kind)).collect();
    let saturation = saturation::saturation(recording, &samples, &judged);
    let order = saturation::order(&saturation);
    Summary {
        schema: SCHEMA,
        verdict: verdict(recording, &generator, &layers),
        manifest: recording.manifest.clone(),
        directory: recording.directory.clone(),
        recorded_seconds: recording.rows.len() as u64,
        finished: recording.finished,
        stopped_at_seconds: recording.stopped_at_seconds,
        aborted: recording.aborted.clone(),
        unsettled: recording.unsettled,
        notes: recording.notes.clone(),
        generator,
        nearest: nearest(&layers),
        scorecards: scorecard::scorecards(recording, &layers, &saturation, &order),
        order,
        saturation,
        layers,
        journeys,
        stages: Stage::ALL.into_iter().map(stage).collect(),
        self_check: self_check(&kinds),
        kinds,
        resources,
        pressures: samples.fullest(recording.rows.len() as u64),
        machine: samples.machine_growth(recording.rows.len() as u64),
        metrics: usage::metrics(&recording.metrics),
        foreign_peers: traffic.foreign,
        web: traffic.web,
        downloads: downloads::of_all(recording),
        in_progress: downloads::in_progress(recording),
        swarm_shares: downloads::shares(&swarm),
        churn: downloads::churn(recording, &swarm),
        swarm,
        oddities: traffic.oddities,
        breakdown: groups::named(recording),
    }
}

fn layer_summary(recording: &Recording, layer: Layer, judged: Option<&Judged>) -> LayerSummary {
    LayerSummary {
        layer,
        flow: flow::flow(recording, |kind| kind.is_operation_of(layer)),
        judgement: judged.map(|judged| judged.judgement.clone()),
    }
}

fn kind_summary(recording: &Recording, kind: Kind) -> Option<KindSummary> {
    let rows: Vec<&KindRow> = recording.rows.iter().filter_map(|row| row.kinds.get(&kind)).collect();
    if rows.is_empty() {
        return None;
    }
    let flow = flow::flow(recording, |other| other == kind);
    let mut traffic = Traffic::default();
    rows.iter().for_each(|row| traffic += &row.traffic);
    let due = flow::latency_from_due(&recording.rows, |other| other == kind);
    let populations = rows.iter().map(|row| row.in_flight).sum();
    Some(KindSummary {
        kind,
        littles_ratio: stats::littles_ratio(populations, flow.counts.measured(), due.mean() / 1e6),
        bytes_in: traffic.bytes_in,
        bytes_out: traffic.bytes_out,
        retransmits: traffic.retransmits,
        main_cause: flow.counts.failed.iter().max_by_key(|&(_, count)| count).map(|(cause, _)| cause),
        flow,
    })
}

/// How far from 1 a ratio of Little's law may be: three times the sampling error of the least population that has one.
const LITTLES_TOLERANCE: f64 = 0.3;

fn self_check(kinds: &[KindSummary]) -> Option<SelfCheck> {
    let ratios: Vec<(Kind, f64)> =
        kinds.iter().filter_map(|kind| Some((kind.kind, kind.littles_ratio?))).collect();
    let distance = |ratio: f64| (ratio - 1.0).abs();
    let &(worst, ratio) =
        ratios.iter().max_by(|(_, one), (_, other)| distance(*one).total_cmp(&distance(*other)))?;
    let off = ratios.iter().filter(|(_, ratio)| distance(*ratio) > LITTLES_TOLERANCE);
    Some(SelfCheck { worst, ratio, off: off.map(|(kind, _)| *kind).collect() })
}

fn verdict(recording: &Recording, generator: &Generator, layers: &[LayerSummary]) -> Verdict {
    let findings = || layers.iter().filter_map(|layer| Some(&layer.judgement.as_ref()?.finding));
    if !generator.faults.is_empty() {
        Verdict::Invalid
    } else if recording.aborted.is_some()
        || findings().any(|finding| matches!(finding, Finding::Fail { .. } | Finding::Exceeded { .. }))
    {
        Verdict::Fail
    } else if recording.finished
        && recording.stopped_at_seconds.is_none()
        && findings().count() > 0
        && findings().all(|finding| *finding == Finding::Pass)
    {
        Verdict::Pass
    } else {
        Verdict::Inconclusive
    }
}

/// The layer nearest to its limit: those that failed first, then by the share of the reserve that the demand took.
fn nearest(layers: &[LayerSummary]) -> Option<Layer> {
    let judged = layers.iter().filter_map(|layer| Some((layer.layer, layer.judgement.as_ref()?)));
    let asked = judged.filter(|(_, judgement)| judgement.tier.is_some());
    let near = |judgement: &Judgement| {
        (matches!(judgement.finding, Finding::Fail { .. } | Finding::Exceeded { .. }), -judgement.headroom)
    };
    asked
        .max_by(|(_, one), (_, other)| {
            let ((one_failed, one), (other_failed, other)) = (near(one), near(other));
            one_failed.cmp(&other_failed).then(one.total_cmp(&other))
        })
        .map(|(layer, _)| layer)
}

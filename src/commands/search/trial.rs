//! One trial: a small scenario of one kind of operation, driven and recorded as any rehearsal is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::analysis::search::Trial;
use crate::drive::Stop;
use crate::model::ModelTarget;
use crate::plan::{Plan, Schedule};
use crate::profile::{Access, Envelope, Layer, LayerEnvelope, Mix, Slo};
use crate::record::{Host, WorldName};
use crate::scenario::{
    Abuse, AbuseKind, Attention, Audience, Cut, Funnel, Loaded, Region, Scenario, VariantName, piece_length,
};

use super::super::Colors;
use super::super::cli::SearchArgs;
use super::super::doctor::Known;
use super::super::exit::Failure;
use super::super::rehearsal::{Prepared, Recorded, recorder};
use super::super::run::{Aim, Fleet, assets, content_is_there, drive_live, has_names};
use super::super::screen::Screen;
use super::super::simulate::{drive_model, model};

/// Visits beside the trial, per second: as good as none, and the plan knows how to handle it.
const NOBODY: f64 = 1e-9;

/// Bytes per second of a visitor's line: 100 Gbit/s, more than any layer gives to one.
const LINE: f64 = 12.5e9;

/// What is asked in all trials of a layer.
pub(super) struct Asking {
    pub(super) layer: Layer,
    pub(super) slo: Slo,
    /// Operations of the layer that one visitor asks for.
    pub(super) weight: f64,
}

/// Where trials are driven.
pub(super) enum Ground {
    /// A fleet.
    Live { fleet: Fleet, aim: Aim, host: Box<Host> },
    /// Queues.
    Model { target: ModelTarget, text: String },
}

/// What all trials of a search have in common.
pub(super) struct Setup {
    pub(super) ground: Ground,
    pub(super) visitors: Loaded,
    /// What tells this search from others of the same target.
    pub(super) mark: String,
}

impl Setup {
    /// Reads the model, or starts or asks the fleet.
    ///
    /// # Errors
    /// Bad input, a refused target, or trouble with testbed or machine.
    pub(super) fn new(
        args: &SearchArgs,
        visitors: Loaded,
        screen: &Screen,
        colors: Colors,
    ) -> Result<Self, Failure> {
        if args.simulate || args.model.is_some() {
            let (target, file) = model(args.model.as_deref(), colors)?;
            let ground = Ground::Model { target, text: file.text };
            return Ok(Self { ground, visitors, mark: format!("seed{}", args.seed) });
        }
        let started_at = jiff::Timestamp::now();
        let prepared = prepared(&visitors, visitors.scenario.clone(), args.seed, Duration::from_secs(1));
        let fleet = Fleet::of(args.target.as_deref(), &prepared, screen, colors)?;
        content_is_there(&prepared, &fleet.target)?;
        let aim = Aim::at(Arc::clone(&fleet.target), args.workers)?;
        let demand = prepared.survey(assets(&prepared, &fleet.target)).machine;
        let host = Known::new(None)?.host(&demand, &prepared, &fleet.target, aim.workers)?;
        // What that says is about the scenario, whose demand is not driven.
        let host = Box::new(Host { foreseen: Vec::new(), ..host });
        let mark = started_at.strftime("%Y%m%dT%H%M%SZ").to_string();
        Ok(Self { ground: Ground::Live { fleet, aim, host }, visitors, mark })
    }

    pub(super) fn target_name(&self) -> &str {
        match &self.ground {
            Ground::Live { fleet, .. } => &fleet.target.name,
            Ground::Model { target, .. } => &target.name,
        }
    }

    pub(super) fn envelope(&self) -> &Envelope {
        match &self.ground {
            Ground::Live { fleet, .. } => &fleet.target.envelope,
            Ground::Model { target, .. } => &target.envelope,
        }
    }

    pub(super) fn world(&self) -> WorldName {
        match &self.ground {
            Ground::Live { .. } => WorldName::Live,
            Ground::Model { .. } => WorldName::Model,
        }
    }

    pub(super) fn workers(&self) -> usize {
        match &self.ground {
            Ground::Live { aim, .. } => aim.workers,
            Ground::Model { .. } => 1,
        }
    }

    /// Whether the target has this layer.
    pub(super) fn has(&self, layer: Layer) -> bool {
        match &self.ground {
            Ground::Live { fleet, .. } => layer != Layer::Dns || has_names(&fleet.target),
            Ground::Model { target, .. } => target.layers.contains_key(&layer),
        }
    }

    /// The highest rate that the authorization allows, with room for chance: its ceiling holds in every single second.
    pub(super) fn ceiling(&self) -> Option<f64> {
        let Ground::Live { fleet, .. } = &self.ground else { return None };
        let ceiling = fleet.target.authorization.as_ref()?.ceiling;
        Some((ceiling - 3.0 * ceiling.sqrt()).max(ceiling / 4.0))
    }

    /// Assets of a page.
    fn assets(&self) -> u32 {
        match &self.ground {
            Ground::Live { fleet, .. } if fleet.target.index.assets.is_empty() => 0,
            Ground::Live { .. } | Ground::Model { .. } => self.visitors.scenario.funnel.assets,
        }
    }

    /// Operations of a layer that one visitor of a trial asks for, as envelopes count them.
    pub(super) fn weight(&self, layer: Layer) -> f64 {
        match layer {
            Layer::Dns | Layer::Metadata | Layer::Tracker => 1.0,
            // A page and its assets.
            Layer::Index => 1.0 + f64::from(self.assets()),
            // A lookup, and the `announce_peer` after it.
            Layer::Dht => 2.0,
            // A handshake and the pieces.
            Layer::Seedbox => {
                let content = &self.visitors.scenario.content;
                let pieces = |size: u64| size.div_ceil(piece_length(size)).max(1) as f64;
                let (sum, all) =
                    content.weights().zip(content.sizes()).fold((0.0, 0.0), |(sum, all), (weight, size)| {
                        (sum + weight * pieces(size), all + weight)
                    });
                1.0 + sum / all
            }
        }
    }

    /// Drives a trial and records it in `dir`, with its own world or on the same fleet as all others.
    pub(super) fn drive(
        &self,
        asking: &Asking,
        trial: &Trial,
        seed: u64,
        dir: &Path,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let scenario = Scenario {
            funnel: Funnel { assets: self.assets(), ..self.visitors.scenario.funnel.clone() },
            ..alone(&self.visitors.scenario, asking, trial)
        };
        // What is still under way then has broken the SLO.
        let drain = (2 * asking.slo.limit).clamp(Duration::from_secs(1), Duration::from_secs(15));
        let prepared = prepared(&self.visitors, scenario, seed, drain);
        let (envelope, live) = (promise(asking, trial), matches!(self.ground, Ground::Live { .. }));
        let (host, target_text) = match &self.ground {
            Ground::Live { fleet, host, .. } => (Some((**host).clone()), ("target.toml", &fleet.text)),
            Ground::Model { text, .. } => (None, ("model.toml", text)),
        };
        let manifest = prepared.manifest(Recorded {
            world: self.world(),
            workers: self.workers(),
            isolated: true,
            planned: BTreeMap::new(),
            peaks: BTreeMap::new(),
            target: self.target_name(),
            envelope: &envelope,
            host,
            started_at: live.then(jiff::Timestamp::now),
        });
        let mut sources = prepared.sources();
        sources.push((target_text.0.to_owned(), target_text.1.clone()));
        let recorder = recorder(dir, &manifest, &sources)?;
        match &self.ground {
            Ground::Live { aim, .. } => {
                let mut target = (*aim.target).clone();
                // Names are asked for by those alone whose trial it is.
                target.dns = target.dns.filter(|_| asking.layer == Layer::Dns);
                if asking.layer != Layer::Seedbox {
                    // The visitors of earlier trials are in the swarms still, and no strangers.
                    target.own_peers = Vec::new();
                }
                let aim =
                    Aim { target: Arc::new(target), guard: Arc::clone(&aim.guard), workers: aim.workers };
                drive_live(&prepared, true, &aim, recorder, stop, |_| {})
            }
            Ground::Model { target, .. } => {
                let mut target = target.clone();
                target.layers.retain(|layer, _| *layer == asking.layer);
                drive_model(&prepared, true, &target, recorder, stop, |_| {})
            }
        }
    }
}

fn prepared(visitors: &Loaded, scenario: Scenario, seed: u64, drain: Duration) -> Prepared {
    let scenario = Arc::new(scenario);
    let variant = VariantName::Baseline;
    let schedule = Schedule::Drawn(Plan::new(Arc::clone(&scenario), variant, seed));
    Prepared { scenario, schedule, files: visitors.files.clone(), variant, seed, drain }
}

/// What is on trial: these rates within the SLO, and nothing ends it early.
fn promise(asking: &Asking, trial: &Trial) -> Envelope {
    let highest = trial.segments().map(|segment| segment.rate).fold(0.0, f64::max);
    let layer = LayerEnvelope {
        recovery: None,
        base: trial.judged.rate,
        burst: 2.0 * highest,
        burst_for: trial.length(),
        reserve: 4.0 * highest,
        slo: asking.slo.clone(),
        headroom: 0.0,
        abort_on: None,
    };
    Envelope { layers: [(asking.layer, layer)].into() }
}

/// The scenario of a trial: one kind of operation at an even rate from visitors of these kinds, whose own lines are no limit.
fn alone(visitors: &Scenario, asking: &Asking, trial: &Trial) -> Scenario {
    let what = match asking.layer {
        Layer::Dns => AbuseKind::Dns,
        Layer::Index => AbuseKind::Index,
        Layer::Metadata => AbuseKind::Metadata,
        Layer::Tracker => AbuseKind::Announce,
        Layer::Dht => AbuseKind::Dht,
        Layer::Seedbox => AbuseKind::Pieces,
    };
    let mut from = Duration::ZERO;
    let segments = trial.segments().zip(1..).map(|(segment, number)| {
        let begin = from;
        from += segment.lasts;
        Abuse {
            name: format!("segment-{number}"),
            what,
            from: begin,
            until: from,
            rate: segment.rate / asking.weight,
            old_clusters: 0.0,
            regions: Vec::new(),
        }
    });
    let abuse: Vec<Abuse> = segments.collect();
    let (layer, purpose) = (asking.layer.name(), trial.purpose.name());
    Scenario {
        name: format!("search-{layer}-{purpose}"),
        title: format!("Trial of the {layer} at {:.1}/s", trial.judged.rate),
        duration: trial.length(),
        signals: Vec::new(),
        feed_faults: Vec::new(),
        confounders: Vec::new(),
        abuse,
        restarts: Vec::new(),
        exoduses: Vec::new(),
        faults: Vec::new(),
        audience: Audience {
            base: NOBODY,
            returning: 0.0,
            old_clusters: 0.0,
            regions: vec![Region {
                name: "everywhere".to_owned(),
                share: 1.0,
                utc_offset: 0,
                peak_hour: 12.0,
                night: 1.0,
                weekend: 1.0,
            }],
        },
        attention: Attention { branching: 0.0, ..visitors.attention.clone() },
        side: Vec::new(),
        access: Mix {
            members: vec![(
                Access { name: "unlimited".to_owned(), down: LINE, up: LINE, unreachable: 0.0 },
                1.0,
            )],
        },
        cut: Cut { speed: 1.0, scale: 1.0, from: Duration::ZERO, until: trial.length() },
        ..visitors.clone()
    }
}

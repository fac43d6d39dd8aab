//! What `run` and `simulate` share: from a scenario file to a plan, and from a recording to a verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::analysis::{self, Summary};
use crate::drive::Limits;
use crate::journey::{self, Kind, Peer, Rules};
use crate::plan::{Digest, Plan};
use crate::problem::SourceFile;
use crate::profile::Envelope;
use crate::record::{Host, Manifest, RecordError, Recorder, Recording, SignalMark, WorldName};
use crate::report;
use crate::scenario::{self, CutFlags, Scenario, VariantName};

use super::Colors;
use super::cli::{CutArgs, OutArgs, ReportFormat};
use super::exit::{Exit, Failure};

/// A scenario that is ready to be driven.
pub(super) struct Prepared {
    pub(super) scenario: Arc<Scenario>,
    pub(super) plan: Plan,
    /// Every file that was read.
    pub(super) files: Vec<SourceFile>,
    pub(super) variant: VariantName,
    pub(super) seed: u64,
}

/// Reads the scenario, cuts it as the flags say, plans it.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files.
pub(super) fn prepare(args: &CutArgs, colors: Colors) -> Result<Prepared, Failure> {
    let loaded = scenario::load(&args.file)
        .map_err(|problems| Failure::new(Exit::Input, problems.render(colors.err)))?;
    let mut scenario = loaded.scenario;
    let flags = CutFlags { speed: args.speed, scale: args.scale, window: args.window.clone() };
    scenario.cut = scenario
        .cut
        .with(&flags, scenario.duration)
        .map_err(|problem| Failure::new(Exit::Input, format!("error: {problem}")))?;
    let scenario = Arc::new(scenario);
    let plan = Plan::new(Arc::clone(&scenario), args.variant, args.seed);
    Ok(Prepared { scenario, plan, files: loaded.files, variant: args.variant, seed: args.seed })
}

impl Prepared {
    /// How journeys behave.
    pub(super) fn rules(&self, isolated: bool, seeds: Vec<Peer>) -> Rules {
        let funnel = &self.scenario.funnel;
        Rules {
            isolated,
            assets: funnel.assets,
            retries: funnel.retries,
            retry_after: funnel.retry_after,
            sizes: self.scenario.content.sizes().collect(),
            seeds,
        }
    }

    /// What a worker may do. The drain is the visitors' patience, within bounds that keep a run of a minute a run of a minute.
    pub(super) fn limits(&self) -> Limits {
        let drain = self.scenario.funnel.patience.clamp(Duration::from_secs(1), Duration::from_secs(15));
        Limits { drain, ..Limits::new(self.plan.length()) }
    }

    /// What the recording says of itself.
    pub(super) fn manifest(&self, what: Recorded<'_>) -> Manifest {
        let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect();
        let cut = &self.scenario.cut;
        let seen = self.scenario.signals.iter().flat_map(|signal| signal.moments());
        let signals = seen.filter(|(_, at)| *at < cut.until).filter_map(|(name, at)| {
            cut.tick_of(at).map(|tick| SignalMark { name, at_seconds: tick.as_secs_f64() })
        });
        let (plan_digest, planned) = self.walk();
        Manifest {
            version: Manifest::VERSION,
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.scenario.name.clone(),
            variant: self.variant,
            cut: cut.clone(),
            seed: self.seed,
            plan_digest,
            planned,
            workers: what.workers,
            world: what.world,
            isolated: what.isolated,
            length: self.plan.length(),
            target: what.target.to_owned(),
            envelope: what.envelope.clone(),
            signals: signals.collect(),
            regions: names(&mut self.scenario.audience.regions.iter().map(|region| &region.name)),
            clients: names(&mut self.scenario.clients.members.iter().map(|(client, _)| &client.name)),
            access: names(&mut self.scenario.access.members.iter().map(|(access, _)| &access.name)),
            host: what.host,
            started_at: what.started_at,
        }
    }

    /// Walks through the whole plan once: its digest, and the operations that it intends.
    fn walk(&self) -> (String, BTreeMap<Kind, u64>) {
        let mut digest = Digest::default();
        let mut planned = BTreeMap::new();
        for arrival in &self.plan {
            digest.add(&arrival);
            for (kind, operations) in journey::intended(&arrival, self.scenario.funnel.assets) {
                *planned.entry(kind).or_default() += operations;
            }
        }
        (digest.finish(), planned)
    }

    /// Copies for the run directory: the scenario and the profiles that it names, as they were read.
    pub(super) fn sources(&self) -> Vec<(String, String)> {
        let name = |path: &Path| {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        self.files.iter().map(|file| (name(&file.path), file.text.clone())).collect()
    }
}

/// What a recording was made of, beside the scenario.
pub(super) struct Recorded<'a> {
    pub(super) world: WorldName,
    pub(super) workers: usize,
    pub(super) isolated: bool,
    pub(super) target: &'a str,
    pub(super) envelope: &'a Envelope,
    pub(super) host: Option<Host>,
    pub(super) started_at: Option<jiff::Timestamp>,
}

/// The run directory: the one asked for, or a new one under `runs/` named after the scenario and `mark`.
pub(super) fn directory(args: &OutArgs, scenario: &str, mark: &str) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        let base = Path::new("runs").join(format!("{scenario}-{mark}"));
        // Two runs in one second: count on.
        (1..)
            .map(
                |n| if n == 1 { base.clone() } else { base.with_file_name(format!("{scenario}-{mark}-{n}")) },
            )
            .find(|path| !path.exists())
            .unwrap_or(base)
    })
}

/// Starts a recording.
///
/// # Errors
/// [`Exit::Input`] where the directory holds something already, [`Exit::Trouble`] where it cannot be written.
pub(super) fn recorder(
    dir: &Path,
    manifest: &Manifest,
    sources: &[(String, String)],
) -> Result<Recorder, Failure> {
    Recorder::create(dir, manifest, sources).map_err(|error| match error {
        RecordError::NotEmpty { .. } => Failure::new(
            Exit::Input,
            format!("error: {error}\n  hint: name a new one with --out; a recording is never written over"),
        ),
        error => Failure::trouble("starting the recording", error),
    })
}

/// Reads a recording back, judges it, leaves `summary.json` beside it, and gives what is to be printed.
///
/// # Errors
/// The recording cannot be read, or the summary not written.
pub(super) fn judge(dir: &Path, format: ReportFormat, color: bool) -> Result<(Summary, String), Failure> {
    let reading = format!("recording {}", dir.display());
    let recording = Recording::read(dir).map_err(|error| Failure::trouble(&reading, error))?;
    let summary = analysis::analyse(&recording);
    let json = report::json(&summary).map_err(|error| Failure::trouble(&reading, error))?;
    let path = dir.join("summary.json");
    fs::write(&path, &json).map_err(|error| Failure::trouble(path.display(), error))?;
    let text = match format {
        ReportFormat::Text => report::text(&summary, color),
        ReportFormat::Json => json,
    };
    Ok((summary, text))
}

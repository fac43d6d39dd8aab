//! What `run` and `simulate` share: from a scenario file to a plan, and from a recording to a verdict.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::analysis::foresight::Demand;
use crate::analysis::{self, Summary};
use crate::demand;
use crate::drive::{Limits, Stop, StopLevel};
use crate::journey::{self, Kind, Names, Peer, Rules};
use crate::plan::replay::Replay;
use crate::plan::{Plan, Schedule, Stage};
use crate::problem::{FileKind, Report, SourceFile};
use crate::profile::{self, Envelope, Layer};
use crate::record::{
    self, FaultMark, Host, Inbox, Manifest, Outlook, OutlookChange, RecordError, Recorder, Recording,
    SignalMark, Snapshot, WorldName,
};
use crate::report;
use crate::scenario::{self, Catalogue, ContentClass, Cut, CutFlags, Fault, Scenario, VariantName, Via};
use crate::unit::Tick;

use super::cli::{CutArgs, ReportFormat};
use super::exit::{Exit, Failure};
use super::threads::spawn;
use super::{Colors, print};

/// A scenario that is ready to be driven.
pub(super) struct Prepared {
    pub(super) scenario: Arc<Scenario>,
    pub(super) schedule: Schedule,
    /// Every file that was read.
    pub(super) files: Vec<SourceFile>,
    pub(super) variant: VariantName,
    pub(super) seed: u64,
    /// How long what is under way at the end of the plan may still finish.
    pub(super) drain: Duration,
}

/// Reads the scenario, cuts it as the flags say, plans it; or puts a log in the place of its plan.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files.
pub(super) fn prepare(args: &CutArgs, colors: Colors) -> Result<Prepared, Failure> {
    let loaded = scenario::load(&args.file).map_err(Failure::input(colors))?;
    let (scenario, schedule) = match &args.replay {
        None => drawn(args, loaded.scenario)?,
        Some(log) => replayed(args, log, loaded.scenario)?,
    };
    // The visitors' patience, within bounds that keep a run of a minute a run of a minute.
    let drain = scenario.funnel.patience.clamp(Duration::from_secs(1), Duration::from_secs(15));
    Ok(Prepared { scenario, schedule, files: loaded.files, variant: args.variant, seed: args.seed, drain })
}

fn drawn(args: &CutArgs, mut scenario: Scenario) -> Result<(Arc<Scenario>, Schedule), Failure> {
    let flags = CutFlags { speed: args.speed, scale: args.scale, window: args.window.clone() };
    scenario.cut = scenario.cut.with(&flags, scenario.duration).map_err(wrong)?;
    let scenario = Arc::new(scenario);
    let plan = Plan::new(Arc::clone(&scenario), args.variant, args.seed);
    Ok((scenario, Schedule::Drawn(plan)))
}

fn replayed(args: &CutArgs, log: &Path, scenario: Scenario) -> Result<(Arc<Scenario>, Schedule), Failure> {
    let replay = Replay::open(log, &scenario, args.seed).map_err(wrong)?;
    if let Some(left_out) = replay.lines().left_out() {
        print::note(&format!("warning: {}: {left_out}", log.display()));
    }
    let scenario = under(&replay, scenario);
    let flags = CutFlags { speed: args.speed, ..CutFlags::default() };
    let cut = scenario.cut.with(&flags, scenario.duration).map_err(wrong)?;
    let replay = replay.at_speed(cut.speed);
    Ok((Arc::new(Scenario { cut, ..scenario }), Schedule::Replayed(replay)))
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Input, format!("error: {error}"))
}

/// A scenario under a log: its visitors, with the log's moments and torrents. Whatever moves demand is in the log already.
fn under(replay: &Replay, scenario: Scenario) -> Scenario {
    /// Nobody fetches what a log names: the least that the testbed can hold.
    const SIZE: u64 = 16 << 10;
    let items = u32::try_from(replay.torrents()).unwrap_or(u32::MAX);
    Scenario {
        start: jiff::Timestamp::from_second(replay.start()).unwrap_or(scenario.start),
        duration: replay.span(),
        signals: Vec::new(),
        confounders: Vec::new(),
        abuse: Vec::new(),
        restarts: Vec::new(),
        exoduses: Vec::new(),
        faults: Vec::new(),
        content: Catalogue {
            classes: vec![ContentClass {
                name: "logged".to_owned(),
                items,
                size: SIZE,
                via: Via::Swarm,
                web_seed: false,
            }],
            ..scenario.content
        },
        cut: Cut { speed: 1.0, scale: 1.0, from: Duration::ZERO, until: replay.span() },
        ..scenario
    }
}

impl Prepared {
    /// How journeys behave.
    pub(super) fn rules(&self, isolated: bool, assets: u32, seeds: Vec<Peer>, names: Names) -> Rules {
        let funnel = &self.scenario.funnel;
        Rules {
            isolated,
            assets,
            retries: funnel.retries,
            retry_after: funnel.retry_after,
            sizes: self.scenario.content.sizes().collect(),
            classes: self.scenario.content.classes_by_rank().collect(),
            seeds,
            names,
        }
    }

    /// What a worker may do.
    pub(super) fn limits(&self) -> Limits {
        Limits { drain: self.drain, ..Limits::new(self.schedule.length()) }
    }

    /// What the recording says of itself.
    pub(super) fn manifest(&self, what: Recorded<'_>) -> Manifest {
        let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect();
        let cut = &self.scenario.cut;
        let seen = self.scenario.signals.iter().flat_map(|signal| signal.moments());
        let signals = seen.filter(|(_, at)| *at < cut.until).filter_map(|(name, at)| {
            cut.tick_of(at).map(|tick| SignalMark { name, at_seconds: tick.as_secs_f64() })
        });
        let faults = self.faults().map(|(fault, at, lasts)| FaultMark {
            name: fault.name.clone(),
            layer: fault.layer,
            at_seconds: at.as_secs_f64(),
            for_seconds: lasts.as_secs_f64(),
        });
        Manifest {
            version: Manifest::VERSION,
            squall: env!("CARGO_PKG_VERSION").to_owned(),
            scenario: self.scenario.name.clone(),
            variant: self.variant,
            cut: cut.clone(),
            seed: self.seed,
            plan_digest: self.schedule.digest(),
            replay: self.replay().map(|replay| record::Replayed {
                log: replay.path().to_owned(),
                announces: replay.lines().read,
                unread: replay.lines().unread,
            }),
            planned: what.planned,
            workers: what.workers,
            world: what.world,
            isolated: what.isolated,
            length: self.schedule.length(),
            target: what.target.to_owned(),
            envelope: what.envelope.clone(),
            signals: signals.collect(),
            outlook: self.replay().is_none().then(|| self.outlook(what.peaks)),
            faults: faults.collect(),
            regions: names(&mut self.scenario.audience.regions.iter().map(|region| &region.name)),
            clients: names(&mut self.scenario.clients.members.iter().map(|(client, _)| &client.name)),
            classes: names(&mut self.scenario.content.classes.iter().map(|class| &class.name)),
            access: names(&mut self.scenario.access.members.iter().map(|(access, _)| &access.name)),
            host: what.host,
            started_at: what.started_at,
        }
    }

    /// The faults that hold during the run, and when.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&Fault, Tick, Duration)> {
        let cut = &self.scenario.cut;
        let faults = self.scenario.faults.iter();
        faults.filter_map(|fault| fault.on_run(cut).map(|(at, lasts)| (fault, at, lasts)))
    }

    /// What the signals call for on the run clock, and what the plan asks of the layers.
    fn outlook(&self, peaks: BTreeMap<Layer, f64>) -> Outlook {
        let cut = &self.scenario.cut;
        let change = |change: demand::TierChange| OutlookChange {
            at_seconds: (change.at_seconds - cut.from.as_secs_f64()) / cut.speed,
            tier: change.tier,
            factor: change.factor,
            intensity: change.intensity,
            response: change.response,
        };
        let until = cut.until.as_secs_f64();
        let changes = demand::tiers(&self.scenario, self.variant, self.seed).into_iter();
        Outlook { changes: changes.filter(|it| it.at_seconds < until).map(change).collect(), peaks }
    }

    /// What the plan intends; walks through all of it.
    pub(super) fn survey(&self, assets: u32) -> Survey {
        let mut survey = Survey {
            planned: BTreeMap::new(),
            peaks: BTreeMap::new(),
            machine: Demand::new(&self.scenario, self.schedule.length()),
        };
        let mut windows: BTreeMap<(Layer, u64), u64> = BTreeMap::new();
        for arrival in self.schedule.shard(0, 1) {
            survey.machine.add(&arrival);
            for (at, kind, operations) in journey::intended_at(&arrival, assets) {
                *survey.planned.entry(kind).or_default() += operations;
                *windows.entry((kind.layer(), at.second() / PEAK_SECONDS)).or_default() += operations;
            }
        }
        // How many pieces visitors will ask for only the target's content tells: half a prediction is none.
        windows.retain(|(layer, _), _| *layer != Layer::Seedbox);
        for ((layer, _), operations) in windows {
            let peak: &mut f64 = survey.peaks.entry(layer).or_default();
            *peak = peak.max(operations as f64 / PEAK_SECONDS as f64);
        }
        survey
    }

    /// Copies for the run directory, named after what they are: the scenario and the profiles that it names, as they were read.
    pub(super) fn sources(&self) -> Vec<(String, String)> {
        let name =
            |file: &SourceFile| FileKind::of(&file.text).map_or("file", FileKind::name).to_owned() + ".toml";
        self.files.iter().map(|file| (name(file), file.text.clone())).collect()
    }

    /// The log that is driven, if one is.
    fn replay(&self) -> Option<&Replay> {
        match &self.schedule {
            Schedule::Drawn(_) => None,
            Schedule::Replayed(replay) => Some(replay),
        }
    }

    /// Whether the plan was driven to its end.
    ///
    /// # Errors
    /// [`Exit::Trouble`] where a log could not be read on.
    pub(super) fn check_end(&self) -> Result<(), Failure> {
        self.replay().map_or(Ok(()), check_end)
    }

    /// How much there is to drive, in words.
    pub(super) fn size(&self) -> String {
        let length = self.schedule.length().as_secs_f64();
        match &self.schedule {
            Schedule::Drawn(plan) => {
                let steps = expected(plan);
                let warning =
                    if steps < 100.0 { ": too few to judge; raise --scale or widen --window" } else { "" };
                format!("planning about {steps:.0} steps of visitors in {length:.0} s{warning}")
            }
            Schedule::Replayed(replay) => format!(
                "replaying {} announces of {} torrents in {length:.0} s",
                replay.lines().read,
                replay.torrents()
            ),
        }
    }
}

/// Whether every shard of a log came to its end.
///
/// # Errors
/// [`Exit::Trouble`] where the log could not be read on.
pub(super) fn check_end(replay: &Replay) -> Result<(), Failure> {
    replay.trouble().map_or(Ok(()), |trouble| Err(Failure::trouble("replaying the log", trouble)))
}

/// About how many steps a plan has.
fn expected(plan: &Plan) -> f64 {
    let (cut, points) = (&plan.scenario().cut, 256);
    let window = cut.until - cut.from;
    let at = |i: u32| (cut.from + window * (2 * i + 1) / (2 * points)).as_secs_f64();
    let rate = |t: f64| Stage::ALL.into_iter().map(|stage| plan.expected(stage, t)).sum::<f64>();
    (0..points).map(|i| rate(at(i))).sum::<f64>() / f64::from(points) * cut.length().as_secs_f64()
}

/// Seconds over which peaks of the plan are taken, as those of a recording are.
const PEAK_SECONDS: u64 = 5;

/// What a plan intends.
pub(super) struct Survey {
    /// Operations if nothing fails, first tries alone.
    pub(super) planned: BTreeMap<Kind, u64>,
    /// The most of them per second that each layer is to get, where the plan tells.
    pub(super) peaks: BTreeMap<Layer, f64>,
    /// What that asks of this machine.
    pub(super) machine: Demand,
}

/// What a recording was made of, beside the scenario.
pub(super) struct Recorded<'a> {
    pub(super) world: WorldName,
    pub(super) workers: usize,
    pub(super) isolated: bool,
    /// Operations that the plan intends.
    pub(super) planned: BTreeMap<Kind, u64>,
    /// The most of them per second that each layer is to get, where the plan tells.
    pub(super) peaks: BTreeMap<Layer, f64>,
    pub(super) target: &'a str,
    pub(super) envelope: &'a Envelope,
    pub(super) host: Option<Host>,
    pub(super) started_at: Option<jiff::Timestamp>,
}

/// The run directory: the one asked for, or a new one under `runs/` named after what is rehearsed and `mark`.
///
/// # Errors
/// [`Exit::Input`] where the directory asked for holds something already: better said before a testbed is started.
pub(super) fn directory(asked: Option<&Path>, name: &str, mark: &str) -> Result<PathBuf, Failure> {
    if let Some(dir) = asked {
        let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
        return if taken { Err(not_empty(dir)) } else { Ok(dir.to_owned()) };
    }
    let base = Path::new("runs").join(format!("{name}-{mark}"));
    // Two runs in one second: count on.
    let others = (2..).map(|n| base.with_file_name(format!("{name}-{mark}-{n}")));
    Ok(std::iter::once(base.clone()).chain(others).find(|path| !path.exists()).unwrap_or(base))
}

fn not_empty(dir: &Path) -> Failure {
    let message = format!(
        "error: the run directory {} is not empty\n  hint: name a new one with --out; a recording is never written over",
        dir.display()
    );
    Failure::new(Exit::Input, message)
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
        RecordError::NotEmpty { path } => not_empty(&path),
        error => Failure::new(
            Exit::Trouble,
            format!("error: cannot start the recording: {error}\n  hint: name a directory that can be written with --out"),
        ),
    })
}

/// Records on a thread of its own until every worker has finished. A recorder that fails ends the run: load that nobody records is load
/// for nothing.
pub(super) fn record_until_end(
    recorder: Recorder,
    inbox: Inbox,
    stop: &Stop,
    on_second: impl FnMut(&Snapshot) + Send + 'static,
) -> Result<JoinHandle<Result<(), RecordError>>, Failure> {
    let stop = stop.clone();
    spawn("recorder", move || {
        let recorded = record::run(recorder, inbox, &stop, on_second);
        if recorded.is_err() {
            stop.raise(StopLevel::Now);
        }
        recorded
    })
}

/// The envelope that a flag names, and its file.
///
/// # Errors
/// [`Exit::Input`] with every problem of the file.
pub(super) fn envelope(
    path: Option<&Path>,
    colors: Colors,
) -> Result<Option<(Envelope, SourceFile)>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let file = SourceFile::load(path).map_err(Failure::input(colors))?;
    let envelope = profile::parse_envelope(&file.text)
        .map_err(|problems| Failure::input(colors)(Report::of(file.clone(), problems)))?;
    Ok(Some((envelope, file)))
}

/// Points of the page's curves: about a third of its pixels.
const SLICES: usize = 300;

/// Reads a recording back, judges it (by `envelope` where there is one), leaves `summary.json` and `report.html` beside it where it can, and
/// gives what is to be printed.
///
/// # Errors
/// The recording cannot be read.
pub(super) fn judge(
    dir: &Path,
    envelope: Option<Envelope>,
    format: ReportFormat,
    color: bool,
) -> Result<(Summary, String), Failure> {
    let reading = format!("recording {}", dir.display());
    let mut recording = Recording::read(dir).map_err(|error| Failure::trouble(&reading, error))?;
    if let Some(envelope) = envelope {
        recording.manifest.envelope = envelope;
    }
    let summary = analysis::analyse(&recording);
    let json = report::json(&summary).map_err(|error| Failure::trouble(&reading, error))?;
    let page = report::html(&summary, &analysis::timeline(&recording, SLICES));
    for (name, content) in [("summary.json", &json), ("report.html", &page)] {
        let path = dir.join(name);
        if let Err(error) = fs::write(&path, content) {
            // The verdict is worth more than its copy.
            print::note(&format!("warning: {} was not written: {error}", path.display()));
        }
    }
    let text = match format {
        ReportFormat::Text => report::text(&summary, color),
        ReportFormat::Json => json,
    };
    Ok((summary, text))
}

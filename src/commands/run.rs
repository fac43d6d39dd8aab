//! `squall run`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::analysis::Verdict;
use crate::drive::{Limits, Stop, StopLevel, drive};
use crate::journey::{Names, Rules, Service};
use crate::live::{self, Clock, Guard, LiveConfig, LiveWorld, Refusal, RunFault, Steering};
use crate::plan::Arrival;
use crate::problem::SourceFile;
use crate::profile::{Layer, Target};
use crate::record::{self, Recorder, Snapshot, WorkerRecorder, WorldName};
use crate::report;
use crate::scenario::{AbuseKind, Fault, Via};

use super::cli::RunArgs;
use super::doctor::Known;
use super::exit::{Exit, Failure};
use super::rehearsal::{
    Prepared, Recorded, Survey, directory, envelope, judge, prepare, record_until_end, recorder,
};
use super::screen::Screen;
use super::threads::{block_on, join, spawn};
use super::watch::{Interrupter, Interruption, Sampling};
use super::{Colors, print};

/// Time that workers get between the start signal and the first arrival.
const HEAD_START: Duration = Duration::from_millis(200);

/// Drives a scenario and judges what came of it.
///
/// # Errors
/// See [`Exit`]: bad input, a refused target, or trouble with disk, testbed or machine.
pub(super) fn run(args: &RunArgs, colors: Colors) -> Result<Exit, Failure> {
    let prepared = prepare(&args.cut, colors)?;
    let promised = envelope(args.out.envelope.as_deref(), colors)?;
    let mut screen = Screen::new(args.out.quiet, &prepared.scenario);
    let started_at = jiff::Timestamp::now();
    let mark = started_at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let dir = directory(args.out.out.as_deref(), &prepared.scenario.name, &mark)?;
    let machine = Known::new(args.doctor.as_deref())?;
    screen.note(&prepared.size());
    let fleet = Fleet::of(args.target.as_deref(), &prepared, &screen, colors)?;
    let target = Arc::clone(&fleet.target);
    if target.stand_in_port.is_none() {
        screen.note(
            "the target names no swarm.stand_in_port: visitors announce ports on which nothing listens",
        );
    }
    if !target.capacity.is_empty() {
        let stated = target.capacity.iter().map(|(layer, capacity)| format!("{} {capacity}", layer.name()));
        screen.note(&format!("stated capacity: {}", stated.collect::<Vec<_>>().join("; ")));
    }
    servers_are_there(&prepared, &target)?;
    content_is_there(&prepared, &target)?;
    shapers_are_there(&prepared, &target)?;
    let aim = Aim::at(Arc::clone(&target), args.workers)?;
    let workers = aim.workers;
    let Survey { planned, peaks, machine: demand } = prepared.survey(assets(&prepared, &target));
    let host = machine.host(&demand, &prepared, &target, workers)?;
    for shortage in &host.foreseen {
        let sure = if shortage.certain { "is" } else { "may be" };
        let what = report::doctor::shortage(shortage);
        print::note(&format!("warning: this machine {sure} too small for the plan: {what}"));
    }
    let manifest = prepared.manifest(Recorded {
        world: WorldName::Live,
        workers,
        isolated: args.out.isolated,
        planned,
        peaks,
        target: &target.name,
        envelope: promised.as_ref().map_or(&target.envelope, |(envelope, _)| envelope),
        host: Some(host),
        started_at: Some(started_at),
    });
    let mut sources = prepared.sources();
    sources.push(("target.toml".to_owned(), fleet.text.clone()));
    sources.extend(promised.map(|(_, file)| ("envelope.toml".to_owned(), file.text)));
    let recorder = recorder(&dir, &manifest, &sources)?;

    screen.note(&format!("recording to {}", dir.display()));
    let stop = Stop::default();
    let interrupter = aim.interrupter(&stop)?;
    let driven =
        drive_live(&prepared, args.out.isolated, &aim, recorder, &stop, move |second| screen.show(second));
    let interrupted = interrupter.end()?;
    driven.map_err(|error| Failure { message: format!("{}: {}", dir.display(), error.message), ..error })?;
    drop(fleet);
    prepared.check_end()?;
    let (summary, text) = judge(&dir, None, args.out.output_format, colors.out)?;
    print::out(&text)?;
    match interrupted {
        None => Ok(Exit::Judged(summary.verdict)),
        Some(Interruption::Signal) => Ok(Exit::Interrupted),
        Some(Interruption::Withdrawn(refusal)) => Err(refused(refusal)),
    }
}

/// Side traffic that names a server needs a target that has it.
fn servers_are_there(prepared: &Prepared, target: &Target) -> Result<(), Failure> {
    let is_there = |name: &str| target.web.iter().any(|web| web.name == name);
    let asked = prepared.scenario.side.iter().filter_map(|side| Some((&side.name, side.server.as_deref()?)));
    let floods_names = prepared.scenario.abuse.iter().any(|abuse| abuse.what == AbuseKind::Dns);
    if floods_names && !has_names(target) {
        let message = format!(
            "error: abuse asks for names, and target `{}` has none for its pages\n  \
             hint: add a `[dns]` to the target's profile, and a `host` that is no address to its `[index]`",
            target.name
        );
        return Err(Failure::new(Exit::Input, message));
    }
    let missing: Vec<String> = asked
        .filter(|(_, server)| !is_there(server))
        .map(|(side, server)| {
            format!(
                "error: side traffic `{side}` goes to the web server `{server}`, and target `{}` has none\n  \
                 hint: add a `[[web]]` of that name to the target's profile",
                target.name
            )
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Input, missing.join("\n"))) }
}

/// Whether the pages of a target have a name that visitors resolve.
pub(super) fn has_names(target: &Target) -> bool {
    Names::of(target).services.contains(&Service::Index)
}

/// Content of swarms needs torrents, and what is read through a gateway needs CIDs.
pub(super) fn content_is_there(prepared: &Prepared, target: &Target) -> Result<(), Failure> {
    let lacking = |(rank, via): (usize, Via)| {
        let item = target.content.get(rank % target.content.len())?;
        let (lacks, hint) = match via {
            Via::Swarm if item.torrent.is_none() => ("torrent", "add its `info_hash` and `torrent`"),
            Via::Gateway if item.cid.is_none() => ("CID", "add its `cid`"),
            Via::Swarm | Via::Gateway => return None,
        };
        Some((item, lacks, hint))
    };
    let Some((item, lacks, hint)) = prepared.scenario.content.vias().enumerate().find_map(lacking) else {
        return Ok(());
    };
    let message = format!(
        "error: visitors of scenario `{}` need a {lacks} of `{}`, and target `{}` has none\n  hint: {hint} to the target's profile, \
         or change `via` in the scenario's content",
        prepared.scenario.name, item.name, target.name
    );
    Err(Failure::new(Exit::Input, message))
}

/// Faults are brought about by relays before their layers.
fn shapers_are_there(prepared: &Prepared, target: &Target) -> Result<(), Failure> {
    let has_one = |layer: Layer| target.shapers.iter().any(|shaper| shaper.layer == layer);
    let missing: Vec<String> = prepared
        .faults()
        .filter(|(fault, ..)| !has_one(fault.layer))
        .map(|(fault, ..)| {
            let layer = fault.layer.name();
            format!(
                "error: fault `{}` concerns the layer {layer}, and target `{}` has no relay before it\n  hint: put `squall-shape` \
                 before it and add a `[[shaper]]` to the target's profile, or rehearse it with `squall simulate`",
                fault.name, target.name
            )
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::new(Exit::Input, missing.join("\n"))) }
}

/// Hands the scenario's faults to the relays before the target; they are withdrawn when what this gives is dropped.
fn steer(
    prepared: &Prepared,
    target: &Arc<Target>,
    guard: &Arc<Guard>,
    clock: Clock,
) -> Result<Option<Steering>, Failure> {
    let fault =
        |(fault, at, lasts): (&Fault, _, _)| RunFault { layer: fault.layer, at, lasts, limits: fault.limits };
    let faults: Vec<RunFault> = prepared.faults().map(fault).collect();
    if faults.is_empty() {
        return Ok(None);
    }
    let (target, guard) = (Arc::clone(target), Arc::clone(guard));
    let steering = block_on(async move { Steering::start(&target.shapers, &faults, &guard, clock).await })?;
    steering.map(Some).map_err(|error| Failure::new(Exit::Trouble, format!("error: {error}")))
}

/// The fleet under load: a profile's, or the embedded testbed's.
pub(super) struct Fleet {
    pub(super) target: Arc<Target>,
    /// The profile as text, for the run directory.
    pub(super) text: String,
    /// Ends with the fleet.
    #[cfg(feature = "testbed")]
    _testbed: Option<squall_harness::Testbed>,
}

impl Fleet {
    /// The fleet of a profile; without one the embedded testbed, started.
    pub(super) fn of(
        profile: Option<&Path>,
        prepared: &Prepared,
        screen: &Screen,
        colors: Colors,
    ) -> Result<Self, Failure> {
        match profile {
            Some(path) => Self::from_profile(path, colors),
            None => Self::embedded(prepared, screen, colors),
        }
    }

    fn from_profile(path: &Path, colors: Colors) -> Result<Self, Failure> {
        let file = SourceFile::load(path).map_err(Failure::input(colors))?;
        let text = file.text.clone();
        Ok(Self {
            target: Arc::new(Target::of(file).map_err(Failure::input(colors))?),
            text,
            #[cfg(feature = "testbed")]
            _testbed: None,
        })
    }

    #[cfg(feature = "testbed")]
    fn embedded(prepared: &Prepared, screen: &Screen, colors: Colors) -> Result<Self, Failure> {
        screen.note("starting the embedded testbed");
        let testbed = super::testbed::start(&prepared.scenario, prepared.seed)?;
        let text = testbed.profile();
        let target = Target::parse(&text, "the testbed's profile")
            .map_err(|problems| Failure::new(Exit::Trouble, problems.render(colors.err)))?;
        let target = Arc::new(target);
        let layers: Vec<String> =
            testbed.processes().iter().map(|(layer, pid)| format!("{layer} ({pid})")).collect();
        screen.note(&format!("testbed ready: {}", layers.join(", ")));
        Ok(Self { target, text, _testbed: Some(testbed) })
    }

    #[cfg(not(feature = "testbed"))]
    fn embedded(_: &Prepared, _: &Screen, _: Colors) -> Result<Self, Failure> {
        Err(no_testbed())
    }
}

/// What a build without the testbed says when it is asked for one.
#[cfg(not(feature = "testbed"))]
pub(super) fn no_testbed() -> Failure {
    Failure::new(
        Exit::Input,
        "error: this build has no embedded testbed\n  hint: name a fleet with --target FILE, or build with --features testbed",
    )
}

/// What a live rehearsal is aimed at, and by how many workers.
pub(super) struct Aim {
    pub(super) target: Arc<Target>,
    pub(super) guard: Arc<Guard>,
    pub(super) workers: usize,
}

impl Aim {
    /// At a target that agrees to be loaded.
    ///
    /// # Errors
    /// It does not: exit code 6.
    pub(super) fn at(target: Arc<Target>, workers: Option<u32>) -> Result<Self, Failure> {
        let guard = Arc::new(Guard::new(&target).map_err(refused)?);
        let asked = (Arc::clone(&target), Arc::clone(&guard));
        block_on(async move { live::authorize(&asked.0, &asked.1).await })?.map_err(refused)?;
        let workers = workers.map_or_else(default_workers, |workers| workers as usize);
        Ok(Self { target, guard, workers })
    }

    /// Whoever may end what is driven there early.
    pub(super) fn interrupter(&self, stop: &Stop) -> Result<Interrupter, Failure> {
        Interrupter::start(Some((Arc::clone(&self.target), Arc::clone(&self.guard))), stop)
    }
}

/// Runs the workers, the recorder and the sampler; returns when all are done.
pub(super) fn drive_live(
    prepared: &Prepared,
    isolated: bool,
    aim: &Aim,
    recorder: Recorder,
    stop: &Stop,
    on_second: impl FnMut(&Snapshot) + Send + 'static,
) -> Result<(), Failure> {
    let Aim { target, guard, workers } = aim;
    let workers = *workers;
    let (observers, resources, inbox) = record::channel(workers);
    let recording = record_until_end(recorder, inbox, stop, on_second)?;

    let rules = prepared.rules(isolated, assets(prepared, target), seeds(target), Names::of(target));
    let limits = Limits {
        ceiling: target.authorization.as_ref().map(|leave| leave.ceiling / workers as f64),
        in_flight: UNDER_WAY,
        descriptors: descriptor_limit(workers, kept_connections(prepared, workers)),
        ..prepared.limits()
    };
    // The first arrival of every shard is drawn before the clock starts: a plan that looks back over hours of arrivals before its
    // window takes a moment to begin.
    let shards: Vec<_> = (0..workers as u32)
        .map(|i| {
            let mut shard = prepared.schedule.shard(i, workers as u32).peekable();
            shard.peek();
            shard
        })
        .collect();
    guard.restart();
    let clock = Clock::start_in(HEAD_START);
    let steering = steer(prepared, target, guard, clock)?;
    let sampling = Sampling::start(target, guard, clock, resources)?;
    let mut threads = Vec::new();
    for (i, (shard, observer)) in shards.into_iter().zip(observers).enumerate() {
        let config = LiveConfig {
            target: Arc::clone(target),
            scenario: Arc::clone(&prepared.scenario),
            guard: Arc::clone(guard),
            clock,
            worker: i as u32,
            workers: workers as u32,
        };
        let (rules, limits, stop) = (rules.clone(), limits.clone(), stop.clone());
        threads.push(spawn(&format!("worker-{i}"), move || {
            let worked = work(shard, config, rules, limits, stop.clone(), observer);
            if worked.is_err() {
                // The others would drive a part of the plan for nothing.
                stop.raise(StopLevel::Now);
            }
            worked
        })?);
    }
    let worked: Vec<_> = threads.into_iter().map(|thread| join(thread).flatten()).collect();
    drop(steering);
    // Whatever went wrong beside it: what was recorded is brought to its end before anything is said.
    let sampled = sampling.end();
    let recorded = join(recording);
    worked.into_iter().collect::<Result<(), _>>()?;
    recorded?.map_err(|error| Failure::trouble("recording", error))?;
    sampled
}

/// One worker: its own runtime, its own world, its own recorder.
fn work(
    shard: impl Iterator<Item = Arrival> + 'static,
    config: LiveConfig,
    rules: Rules,
    limits: Limits,
    stop: Stop,
    mut observer: WorkerRecorder,
) -> Result<(), Failure> {
    block_on(async move {
        let mut world =
            LiveWorld::new(config).map_err(|error| Failure::trouble("starting a worker", error))?;
        drive(shard, &mut world, &rules, &limits, &stop, &mut |event| observer.observe(event)).await;
        observer.finish();
        Ok(())
    })?
}

pub(super) fn refused(refusal: Refusal) -> Failure {
    Failure::new(Exit::Judged(Verdict::Refused), format!("refused: {refusal}"))
}

/// Assets of a visit: none where the pages of the target have none.
pub(super) fn assets(prepared: &Prepared, target: &Target) -> u32 {
    if target.index.assets.is_empty() { 0 } else { prepared.scenario.funnel.assets }
}

/// The seeds that a transfer may ask without having asked a tracker: the target's own peers, or who answers in the visitors' stead.
fn seeds(target: &Target) -> Vec<SocketAddr> {
    if !target.own_peers.is_empty() {
        return target.own_peers.clone();
    }
    let hosts = target.trackers.first().map(|tracker| tracker.address.ip());
    target.stand_in_port.and_then(|port| Some(SocketAddr::new(hosts?, port))).into_iter().collect()
}

fn default_workers() -> usize {
    (thread::available_parallelism().map_or(1, usize::from) / 2).max(1)
}

/// Operations that a worker may have under way: some kilobytes each.
const UNDER_WAY: usize = 1 << 16;

/// Those of them that may need a descriptor each; some are left for everything else, and those that are `kept` are taken.
fn descriptor_limit(workers: usize, kept: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(256 + kept);
    (free / workers).clamp(64, UNDER_WAY)
}

/// Connections that the traffic beside the funnel keeps and shares; every worker has one at least.
fn kept_connections(prepared: &Prepared, workers: usize) -> usize {
    let kept = prepared.scenario.side.iter().filter_map(|side| side.connections);
    kept.map(|connections| (connections as usize).max(workers)).sum()
}

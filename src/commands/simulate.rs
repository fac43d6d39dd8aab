//! `squall simulate`.

use std::path::Path;

use crate::drive::{Event, Stop, StopLevel, drive};
use crate::model::{ModelTarget, ModelWorld, complete};
use crate::problem::SourceFile;
use crate::record::{self, Intake, Recorder, Snapshot, WorldName};

use super::cli::SimulateArgs;
use super::exit::{Exit, Failure};
use super::rehearsal::{Prepared, Recorded, directory, envelope, judge, prepare, recorder};
use super::screen::Screen;
use super::watch::Interrupter;
use super::{Colors, print};

/// The model that `--model` replaces.
const BUILT_IN: &str = include_str!("../../profiles/model.toml");

/// The rehearsal in virtual time.
///
/// # Errors
/// As `run`, but for what only a live target can do.
pub(super) fn simulate(args: &SimulateArgs, colors: Colors) -> Result<Exit, Failure> {
    let prepared = prepare(&args.cut, colors)?;
    let promised = envelope(args.out.envelope.as_deref(), colors)?;
    let (target, file) = model(args.model.as_deref(), colors)?;
    let mark = format!("simulated-seed{}", args.cut.seed);
    let dir = directory(args.out.out.as_deref(), &prepared.scenario.name, &mark)?;
    let survey = prepared.survey(prepared.scenario.funnel.assets);
    // No host and no date: the same seed gives the same bytes, wherever and whenever.
    let manifest = prepared.manifest(Recorded {
        world: WorldName::Model,
        workers: 1,
        isolated: args.out.isolated,
        planned: survey.planned,
        peaks: survey.peaks,
        target: &target.name,
        envelope: promised.as_ref().map_or(&target.envelope, |(envelope, _)| envelope),
        host: None,
        started_at: None,
    });
    let mut sources = prepared.sources();
    sources.push(("model.toml".to_owned(), file.text));
    sources.extend(promised.map(|(_, file)| ("envelope.toml".to_owned(), file.text)));
    let recorder = recorder(&dir, &manifest, &sources)?;
    let mut screen = Screen::new(args.out.quiet, &prepared.scenario);
    let stop = Stop::default();
    let interrupter = Interrupter::start(None, &stop)?;
    let driven = drive_model(&prepared, args.out.isolated, &target, recorder, &stop, |second| {
        screen.show(second);
    });
    let interrupted = interrupter.end()?;
    driven?;
    prepared.check_end()?;
    let (summary, text) = judge(&dir, None, args.out.output_format, colors.out)?;
    print::out(&text)?;
    Ok(if interrupted.is_some() { Exit::Interrupted } else { Exit::Judged(summary.verdict) })
}

/// Drives a plan through the model. Worker and recorder share the thread: what is recorded of a second can end the run, and does so at
/// the same moment each time.
pub(super) fn drive_model(
    prepared: &Prepared,
    isolated: bool,
    target: &ModelTarget,
    recorder: Recorder,
    stop: &Stop,
    mut on_second: impl FnMut(&Snapshot),
) -> Result<(), Failure> {
    let (mut workers, resources, inbox) = record::channel(1);
    drop(resources);
    let Some(mut observer) = workers.pop() else {
        return Err(Failure::new(Exit::Trouble, "the recorder has no worker"));
    };
    let mut intake = Intake::new(recorder, inbox, stop);
    let mut recorded = Ok(());
    let mut world = ModelWorld::new(&prepared.scenario, target, prepared.seed);
    let assets = prepared.scenario.funnel.assets;
    let rules = prepared.rules(isolated, assets, vec![ModelWorld::SEEDBOX], target.names());
    let limits = prepared.limits();
    complete(drive(prepared.schedule.shard(0, 1), &mut world, &rules, &limits, stop, &mut |event| {
        let is_clock = matches!(event, Event::Clock(_));
        observer.observe(event);
        if is_clock && recorded.is_ok() {
            recorded = intake.take_waiting(&mut on_second);
            if recorded.is_err() {
                // Load that nobody records is load for nothing.
                stop.raise(StopLevel::Now);
            }
        }
    }));
    observer.finish();
    recorded
        .and_then(|()| intake.finish(&mut on_second))
        .map_err(|error| Failure::trouble("recording", error))
}

/// The model to simulate, and its file.
pub(super) fn model(path: Option<&Path>, colors: Colors) -> Result<(ModelTarget, SourceFile), Failure> {
    let file = match path {
        None => SourceFile { path: "profiles/model.toml".into(), text: BUILT_IN.to_owned() },
        Some(path) => SourceFile::load(path).map_err(Failure::input(colors))?,
    };
    let target = ModelTarget::of(file.clone()).map_err(Failure::input(colors))?;
    Ok((target, file))
}

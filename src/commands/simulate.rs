//! `squall simulate`.

use std::path::Path;

use crate::drive::{Stop, drive};
use crate::model::{ModelTarget, ModelWorld, complete};
use crate::problem::SourceFile;
use crate::record::{self, WorldName};

use super::cli::SimulateArgs;
use super::exit::{Exit, Failure};
use super::rehearsal::{Recorded, directory, judge, prepare, record_until_end, recorder};
use super::screen::Screen;
use super::threads::join;
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
    let (target, file) = model(args.model.as_deref(), colors)?;
    let dir = directory(&args.out, &prepared.scenario.name, &format!("simulated-seed{}", args.cut.seed))?;
    let survey = prepared.survey(prepared.scenario.funnel.assets);
    // No host and no date: the same seed gives the same bytes, wherever and whenever.
    let manifest = prepared.manifest(Recorded {
        world: WorldName::Model,
        workers: 1,
        isolated: args.out.isolated,
        planned: survey.planned,
        peaks: survey.peaks,
        target: &target.name,
        envelope: &target.envelope,
        host: None,
        started_at: None,
    });
    let mut sources = prepared.sources();
    sources.push(("model.toml".to_owned(), file.text));
    let recorder = recorder(&dir, &manifest, &sources)?;
    let (mut workers, resources, inbox) = record::channel(1);
    drop(resources);
    let Some(mut observer) = workers.pop() else {
        return Err(Failure::new(Exit::Trouble, "the recorder has no worker"));
    };
    let mut screen = Screen::new(&args.out, &prepared.scenario);
    let stop = Stop::default();
    let interrupter = Interrupter::start(None, &stop)?;
    let recording = record_until_end(recorder, inbox, &stop, move |second| screen.show(second))?;
    let mut world = ModelWorld::new(&prepared.scenario, &target, args.cut.seed);
    let rules = prepared.rules(
        args.out.isolated,
        prepared.scenario.funnel.assets,
        vec![ModelWorld::SEEDBOX],
        target.names(),
    );
    let limits = prepared.limits();
    complete(drive(prepared.schedule.shard(0, 1), &mut world, &rules, &limits, &stop, &mut |event| {
        observer.observe(event);
    }));
    observer.finish();
    let interrupted = interrupter.end()?;
    join(recording)?.map_err(|error| Failure::trouble("recording", error))?;
    prepared.check_end()?;
    let (summary, text) = judge(&dir, args.out.output_format, colors.out)?;
    print::out(&text)?;
    Ok(if interrupted.is_some() { Exit::Interrupted } else { Exit::Judged(summary.verdict) })
}

/// The model to simulate, and its file.
fn model(path: Option<&Path>, colors: Colors) -> Result<(ModelTarget, SourceFile), Failure> {
    let file = match path {
        None => SourceFile { path: "profiles/model.toml".into(), text: BUILT_IN.to_owned() },
        Some(path) => SourceFile::load(path).map_err(Failure::input(colors))?,
    };
    let target = ModelTarget::of(file.clone()).map_err(Failure::input(colors))?;
    Ok((target, file))
}

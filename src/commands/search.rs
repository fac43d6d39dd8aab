//! `squall search`.

mod trial;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::analysis::search::{
    Capacities, LayerFound, Options, SEARCH_SCHEMA, Search, Trial, Tried, measure,
};
use crate::drive::{Stop, StopLevel};
use crate::problem::SourceFile;
use crate::profile::{Envelope, Layer, Slo};
use crate::record::Recording;
use crate::report;
use crate::scenario::{self, Loaded, Scenario};

use super::cli::{ReportFormat, SearchArgs, SloArgs};
use super::exit::{Exit, Failure};
use super::rehearsal::directory;
use super::run::refused;
use super::screen::Screen;
use super::watch::{Interrupter, Interruption};
use super::{Colors, print};

use trial::{Ground, Setup};

/// The scenario whose visitors come where no other is named, and its profiles.
const LISTING_DAY: &str = include_str!("../../scenarios/listing-day.toml");
const CLIENTS: &str = include_str!("../../profiles/clients.toml");
const ACCESS: &str = include_str!("../../profiles/access.toml");

/// Visitors per second at the first rate, at least.
const VISITORS: f64 = 5.0;
/// A layer whose envelope says nothing is held to this [assumed].
const SLO: Slo = Slo { quantile: 0.99, limit: Duration::from_millis(250), errors: 0.01 };

/// Finds the capacity of each layer.
///
/// # Errors
/// As `run`.
pub(super) fn search(args: &SearchArgs, colors: Colors) -> Result<Exit, Failure> {
    let visitors = visitors(args.scenario.as_deref(), colors)?;
    let screen = Screen::new(args.quiet, &Arc::new(visitors.scenario.clone()));
    let setup = Setup::new(args, visitors, &screen, colors)?;
    layers_are_there(args, &setup)?;
    let dir = directory(args.out.as_deref(), &format!("search-{}", setup.target_name()), &setup.mark)?;
    screen.note(&format!("recording to {}", dir.display()));
    let stop = Stop::default();
    let interrupter = match &setup.ground {
        Ground::Live { aim, .. } => aim.interrupter(&stop)?,
        Ground::Model { .. } => Interrupter::start(None, &stop)?,
    };
    let mut hunt = Hunt { args, setup: &setup, dir: &dir, stop: &stop, screen: &screen, trials: 0 };
    let (capacities, searched) = hunt.all();
    let interrupted = interrupter.end()?;
    // What went wrong with one layer takes nothing from what was found of those before it.
    let is_known = searched.is_ok() || !capacities.layers.is_empty();
    let told = if is_known { tell(args, &capacities, &dir, colors) } else { Ok(()) };
    searched.and(told)?;
    match interrupted {
        Some(Interruption::Signal) => Ok(Exit::Interrupted),
        Some(Interruption::Withdrawn(refusal)) => Err(refused(refusal)),
        None => Ok(capacities.verdict().map_or(Exit::Done, Exit::Judged)),
    }
}

/// Prints what was found, and writes it down.
fn tell(args: &SearchArgs, capacities: &Capacities, dir: &Path, colors: Colors) -> Result<(), Failure> {
    let writing =
        |error: &dyn std::fmt::Display| Failure::trouble(format!("writing {}", dir.display()), error);
    let json = report::search::json(capacities).map_err(|error| writing(&error))?;
    match args.output_format {
        ReportFormat::Json => print::out(&json)?,
        ReportFormat::Text => {
            let files = format!("  files: {}\n", dir.display());
            print::out(&(report::search::text(capacities, colors.out) + &files))?;
        }
    }
    // No trial may have come as far as making it.
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(dir.join("search.json"), &json));
    written.map_err(|error| writing(&error))
}

/// What the target does not have would carry whatever it is asked, in virtual time, and nothing on sockets.
fn layers_are_there(args: &SearchArgs, setup: &Setup) -> Result<(), Failure> {
    let Some(layer) = args.layer.iter().find(|layer| !setup.has(**layer)) else { return Ok(()) };
    let message = format!(
        "error: target `{}` has no layer `{}` to search\n  hint: leave `--layer` out to search all that it has",
        setup.target_name(),
        layer.name()
    );
    Err(Failure::new(Exit::Input, message))
}

/// The scenario whose visitors come.
fn visitors(path: Option<&Path>, colors: Colors) -> Result<Loaded, Failure> {
    let loaded = match path {
        Some(path) => scenario::load(path),
        None => {
            let file = SourceFile { path: "scenarios/listing-day.toml".into(), text: LISTING_DAY.to_owned() };
            scenario::parse(file, &mut |path: &Path| {
                let text = if path.ends_with("clients.toml") { CLIENTS } else { ACCESS };
                Ok(SourceFile { path: path.to_owned(), text: text.to_owned() })
            })
        }
    };
    loaded.map_err(Failure::input(colors))
}

/// What a layer is held to: the flags first, then its envelope.
fn slo(args: &SloArgs, envelope: &Envelope, layer: Layer) -> Slo {
    let promised = envelope.layers.get(&layer).map_or(SLO, |promise| promise.slo.clone());
    Slo {
        quantile: args.quantile.unwrap_or(promised.quantile),
        limit: args.limit.unwrap_or(promised.limit),
        errors: args.errors.map_or(promised.errors, |share| share.0),
    }
}

/// How long a layer is overloaded: as long as its visitors are patient, so that those who are served last are served for nothing.
fn overload(scenario: &Scenario) -> Duration {
    const MOST: Duration = Duration::from_secs(20);
    Duration::from_secs_f64(scenario.funnel.patience.min(MOST).as_secs_f64().ceil().max(1.0))
}

/// A search under way.
struct Hunt<'a> {
    args: &'a SearchArgs,
    setup: &'a Setup,
    dir: &'a Path,
    stop: &'a Stop,
    screen: &'a Screen,
    /// Trials so far, over all layers.
    trials: u64,
}

impl Hunt<'_> {
    /// Searches layer by layer, to the first with which something goes wrong.
    fn all(&mut self) -> (Capacities, Result<(), Failure>) {
        let (args, setup) = (self.args, self.setup);
        let is_wanted = |layer: &Layer| args.layer.is_empty() || args.layer.contains(layer);
        let (mut layers, mut searched) = (Vec::new(), Ok(()));
        for layer in Layer::ALL.into_iter().filter(|layer| is_wanted(layer) && setup.has(*layer)) {
            if searched.is_ok() && self.stop.level() == StopLevel::Run {
                searched = self.layer(layer).map(|found| layers.push(found));
            }
        }
        let capacities = Capacities {
            schema: SEARCH_SCHEMA,
            target: self.setup.target_name().to_owned(),
            visitors: self.setup.visitors.scenario.name.clone(),
            world: self.setup.world(),
            seed: self.args.seed,
            workers: self.setup.workers(),
            trial_seconds: self.trial().as_secs_f64(),
            precision: self.precision(),
            layers,
        };
        (capacities, searched)
    }

    /// Whole seconds: nothing shorter is recorded.
    fn trial(&self) -> Duration {
        Duration::from_secs(self.args.trial.as_secs_f64().ceil().max(1.0) as u64)
    }

    /// Nothing can be told apart that is closer.
    fn precision(&self) -> f64 {
        self.args.precision.0.max(0.001)
    }

    /// `weight` is how many operations a visitor asks for.
    fn options(&self, layer: Layer, weight: f64) -> Options {
        let ceiling =
            self.setup.ceiling().map_or(self.args.max_rate.0, |most| most.min(self.args.max_rate.0));
        Options {
            slo: slo(&self.args.slo, self.setup.envelope(), layer),
            // Fewer visitors than these would say little about a second.
            first: self.args.start.0.max(VISITORS * weight).min(ceiling),
            ceiling,
            trial: self.trial(),
            precision: self.precision(),
            overload: (!self.args.no_recovery).then(|| overload(&self.setup.visitors.scenario)),
            budget: self.args.budget,
        }
    }

    fn layer(&mut self, layer: Layer) -> Result<LayerFound, Failure> {
        let weight = self.setup.weight(layer);
        let mut options = self.options(layer, weight);
        let mut asking = trial::Asking { layer, slo: options.slo.clone(), weight };
        let mut trials = Vec::new();
        if layer == Layer::Seedbox {
            // How many pieces a download has, only the target knows.
            if let Some(tried) = self.attempt(&asking, &Trial::weigh(&options))? {
                let weight = tried.measured.operations_per_visitor;
                asking.weight = if weight >= 1.0 { weight } else { asking.weight };
                options = self.options(layer, asking.weight);
                trials.push(tried);
            }
        }
        let mut search = Search::new(options.clone());
        while self.stop.level() == StopLevel::Run
            && let Some(trial) = search.next_trial()
        {
            let Some(tried) = self.attempt(&asking, &trial)? else { break };
            search.take(&trial, &tried.measured);
            trials.push(tried);
        }
        if self.stop.level() != StopLevel::Run {
            search.interrupt();
        }
        let Options { slo, .. } = options;
        let mut found =
            LayerFound { layer, slo, operations_per_visitor: asking.weight, found: search.found(), trials };
        if layer == Layer::Seedbox
            && let Some(weight) = Tried::operations_per_visitor(&found.trials)
        {
            // All trials together know better than the first.
            let times = weight / asking.weight;
            found.found = found.found.scaled(times);
            found.operations_per_visitor = weight;
            found.trials.iter_mut().for_each(|tried| tried.rate_per_second *= times);
        }
        Ok(found)
    }

    /// Drives one trial; `None` where it was interrupted.
    fn attempt(&mut self, asking: &trial::Asking, trial: &Trial) -> Result<Option<Tried>, Failure> {
        self.trials += 1;
        let (layer, purpose, rate) = (asking.layer.name(), trial.purpose.name(), trial.judged.rate);
        let name = format!("trials/{:03}-{layer}-{purpose}-{rate:.0}", self.trials);
        let dir: PathBuf = self.dir.join(&name);
        self.setup.drive(asking, trial, self.args.seed.wrapping_add(self.trials), &dir, self.stop)?;
        if self.stop.level() != StopLevel::Run {
            return Ok(None);
        }
        let recording = Recording::read(&dir)
            .map_err(|error| Failure::trouble(format!("recording {}", dir.display()), error))?;
        let tried = Tried {
            directory: name,
            purpose: trial.purpose,
            rate_per_second: rate,
            judged_seconds: trial.judged.lasts.as_secs_f64(),
            measured: measure(&recording, asking.layer, &asking.slo, trial.warm_up()),
        };
        self.screen.note(&report::search::trial(asking.layer, &tried));
        Ok(Some(tried))
    }
}

//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::profile::Layer;
use crate::scenario::VariantName;
use crate::unit::{Quantity, Rate, Share, parse_duration};

use super::exit::Exit;
use super::schema::SchemaOf;

/// Rehearse the storm before the market sends it.
///
/// Squall drives a scenario's attention cascade through the funnel of a BitTorrent or BTFS fleet (index visits, metadata, announces,
/// DHT lookups, piece transfers), records what every layer did, and says whether the fleet keeps its capacity envelope.
#[derive(Debug, Parser)]
#[command(name = "squall", version, after_help = Exit::help(), propagate_version = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) verb: Verb,
    /// No colours (also: the environment variable NO_COLOR).
    #[arg(long, global = true)]
    pub(super) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Drive a scenario through the embedded testbed, or through `--target`, and judge it.
    Run(RunArgs),
    /// The same rehearsal in virtual time, against a model of the target.
    Simulate(SimulateArgs),
    /// Find the capacity of each layer of a target, alone: the embedded testbed, `--target`, or a model in virtual time.
    ///
    /// Exit code 0 where every capacity was found (or the ceiling was kept), 5 where the generator was the limit of a layer, 7 where a
    /// layer could not be reached or the time was used up.
    Search(SearchArgs),
    /// Show what a scenario would send, and when.
    Plan(PlanArgs),
    /// Print the feed of a scenario's signals for a drill, or the tiers of readiness that it calls for.
    Signals(SignalsArgs),
    /// Check scenario and profile files; lists every problem.
    Check(CheckArgs),
    /// Print the JSON Schema of a format: files that people write, or the summary of a run.
    Schema(SchemaArgs),
    /// Turn a measured series into a scenario, and hold its events against the weeks before them.
    Fit(FitArgs),
    /// Judge a recording again, also one whose run was killed.
    Report(ReportArgs),
    /// Measure what this machine can carry as a generator, which of its ceilings are low, and what to do about it.
    ///
    /// What is found is saved for later runs, which warn of plans beyond it. Exit code 5 where a ceiling is so low that hardly any run
    /// here will be valid, else 0.
    Doctor(DoctorArgs),
    /// Start the embedded testbed alone and print the target profile that `run --target` takes.
    Testbed(TestbedArgs),
    /// One layer of the testbed (started by Squall itself).
    #[command(hide = true, disable_help_flag = true)]
    TestbedLayer {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Which part of a scenario, and how.
#[derive(Debug, Args)]
pub(super) struct CutArgs {
    /// Scenario file.
    pub(super) file: PathBuf,
    /// Which of the scenario's three forecasts.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_VARIANT")]
    pub(super) variant: VariantName,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1, env = "SQUALL_SEED")]
    pub(super) seed: u64,
    /// Scenario seconds per run second; rates per second stay what they are in real time [default: the file's].
    #[arg(long, value_name = "FACTOR", env = "SQUALL_SPEED")]
    pub(super) speed: Option<f64>,
    /// Part of the audience: 0.1 is a tenth of every rate [default: the file's].
    #[arg(long, value_name = "FACTOR", env = "SQUALL_SCALE")]
    pub(super) scale: Option<f64>,
    /// Slice of the scenario, such as 10h..22h [default: the file's].
    #[arg(long, value_name = "FROM..UNTIL", env = "SQUALL_WINDOW")]
    pub(super) window: Option<String>,
    /// Access log of a tracker, in the combined form: its announces are the plan, and the scenario gives the rest (mixes, patience,
    /// retries). In real time unless --speed says otherwise, which then raises the rates.
    #[arg(long, value_name = "LOG", env = "SQUALL_REPLAY", conflicts_with_all = ["variant", "scale", "window"])]
    pub(super) replay: Option<PathBuf>,
}

/// Where a rehearsal leaves its recording, and how it speaks.
#[derive(Debug, Args)]
pub(super) struct OutArgs {
    /// Run directory [default: runs/<scenario>-<time>].
    #[arg(short, long, value_name = "DIR", env = "SQUALL_OUT")]
    pub(super) out: Option<PathBuf>,
    /// Drive each stage at its planned rate, whatever happens upstream.
    #[arg(long, env = "SQUALL_ISOLATED", value_parser = FalseyValueParser::new())]
    pub(super) isolated: bool,
    /// No progress, only the verdict.
    #[arg(short, long, env = "SQUALL_QUIET", value_parser = FalseyValueParser::new())]
    pub(super) quiet: bool,
    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: ReportFormat,
    /// Envelope to judge by, in the place of the target's own.
    #[arg(long, value_name = "FILE", env = "SQUALL_ENVELOPE")]
    pub(super) envelope: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) cut: CutArgs,
    #[command(flatten)]
    pub(super) out: OutArgs,
    /// Target profile; without it the embedded testbed is started.
    #[arg(long, value_name = "FILE", env = "SQUALL_TARGET")]
    pub(super) target: Option<PathBuf>,
    /// Worker threads [default: half the cores].
    #[arg(long, value_name = "N", env = "SQUALL_WORKERS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) workers: Option<u32>,
    /// What `squall doctor` found on this machine [default: what it saved last, or else half a second's look, for a plan that is not
    /// small].
    #[arg(long, value_name = "FILE", env = "SQUALL_DOCTOR")]
    pub(super) doctor: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    pub(super) cut: CutArgs,
    #[command(flatten)]
    pub(super) out: OutArgs,
    /// Model of the target: queues with stated capacities [default: the built-in profiles/model.toml].
    #[arg(long, value_name = "FILE", env = "SQUALL_MODEL")]
    pub(super) model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    /// Target profile; without it the embedded testbed is started.
    #[arg(long, value_name = "FILE", env = "SQUALL_TARGET", conflicts_with_all = ["model", "simulate"])]
    pub(super) target: Option<PathBuf>,
    /// Search a model in virtual time: queues with stated capacities.
    #[arg(long, value_name = "FILE", env = "SQUALL_MODEL")]
    pub(super) model: Option<PathBuf>,
    /// Search the built-in model, profiles/model.toml, in virtual time.
    #[arg(long)]
    pub(super) simulate: bool,
    /// Whose visitors come: patience, retries, clients and content are those of this scenario [default: the built-in listing day].
    #[arg(long, value_name = "FILE", env = "SQUALL_SCENARIO")]
    pub(super) scenario: Option<PathBuf>,
    /// Only this layer; may be given more than once [default: all that the target has].
    #[arg(long, value_name = "LAYER", value_parser = layer)]
    pub(super) layer: Vec<Layer>,
    #[command(flatten)]
    pub(super) slo: SloArgs,
    /// Never ask for more than this, operations of a layer per second.
    #[arg(long, value_name = "RATE", default_value = "50000/s", env = "SQUALL_MAX_RATE", value_parser = positive_rate)]
    pub(super) max_rate: Rate,
    /// The first rate, at which the layer is looked at without load; five visitors a second at least.
    #[arg(long, value_name = "RATE", default_value = "20/s", env = "SQUALL_START", value_parser = positive_rate)]
    pub(super) start: Rate,
    /// How long a trial is judged, in whole seconds; up to three times as long near the edge.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration, env = "SQUALL_TRIAL")]
    pub(super) trial: Duration,
    /// How far the rate that is kept and the one that is not may be apart.
    #[arg(long, value_name = "SHARE", default_value = "5%", env = "SQUALL_PRECISION")]
    pub(super) precision: Share,
    /// Longest time of all trials of a layer together, their drains not counted.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "SQUALL_BUDGET")]
    pub(super) budget: Option<Duration>,
    /// Do not overload the layers to see whether they recover.
    #[arg(long, env = "SQUALL_NO_RECOVERY", value_parser = FalseyValueParser::new())]
    pub(super) no_recovery: bool,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1, env = "SQUALL_SEED")]
    pub(super) seed: u64,
    /// Worker threads [default: half the cores].
    #[arg(long, value_name = "N", env = "SQUALL_WORKERS", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) workers: Option<u32>,
    /// Directory of the search; each trial is a recording in `trials/` [default: runs/search-<target>-<time>].
    #[arg(short, long, value_name = "DIR", env = "SQUALL_OUT")]
    pub(super) out: Option<PathBuf>,
    /// No progress, only what was found.
    #[arg(short, long, env = "SQUALL_QUIET", value_parser = FalseyValueParser::new())]
    pub(super) quiet: bool,
    /// How what was found is printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: ReportFormat,
}

/// What a rate has to keep, where that is not what the envelope of the target says.
#[derive(Debug, Args)]
pub(super) struct SloArgs {
    /// Quantile that the limit holds for [default: the envelope's, or 0.99].
    #[arg(long, value_name = "QUANTILE", env = "SQUALL_QUANTILE", value_parser = quantile)]
    pub(super) quantile: Option<f64>,
    /// Longest latency, from the intended moment [default: the envelope's, or 250ms].
    #[arg(long, value_name = "TIME", value_parser = parse_duration, env = "SQUALL_LIMIT")]
    pub(super) limit: Option<Duration>,
    /// Share of operations that may fail [default: the envelope's, or 1%].
    #[arg(long, value_name = "SHARE", env = "SQUALL_ERRORS")]
    pub(super) errors: Option<Share>,
}

fn layer(name: &str) -> Result<Layer, String> {
    let names = || Layer::ALL.map(Layer::name).join(", ");
    Layer::ALL.into_iter().find(|layer| layer.name() == name).ok_or_else(|| format!("one of {}", names()))
}

fn positive_rate(text: &str) -> Result<Rate, String> {
    let rate = text.parse().ok().filter(|rate: &Rate| rate.0 > 0.0);
    rate.ok_or_else(|| format!("a rate above 0, for example {}", Rate::FORMS))
}

fn quantile(text: &str) -> Result<f64, String> {
    let quantile = text.parse().ok().filter(|quantile| (0.0..1.0).contains(quantile) && *quantile > 0.0);
    quantile.ok_or_else(|| "a quantile between 0 and 1, for example 0.99".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) cut: CutArgs,
    #[command(flatten)]
    pub(super) view: ViewArgs,
    /// Also draw the curves, with those of a normal day and the signals, into this SVG file (FILE.svg).
    #[arg(long, value_name = "FILE", env = "SQUALL_PLOT", conflicts_with = "replay")]
    pub(super) plot: Option<PathBuf>,
    /// How the plan is printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: PlanFormat,
}

/// What is shown of a plan, instead of its curves; a log that is replayed has neither chances nor forecasts.
#[derive(Debug, Args)]
#[group(multiple = false, conflicts_with = "replay")]
pub(super) struct ViewArgs {
    /// Totals and peaks over N seeds: 15, 50 and 85 %.
    #[arg(long, value_name = "N", env = "SQUALL_BANDS")]
    pub(super) bands: Option<NonZeroU32>,
    /// The three forecasts side by side: totals, peaks, uplift against a normal day, time to double.
    #[arg(long)]
    pub(super) compare: bool,
    /// The visits of each region.
    #[arg(long)]
    pub(super) regions: bool,
}

#[derive(Debug, Args)]
pub(super) struct SignalsArgs {
    /// Scenario file.
    pub(super) file: PathBuf,
    /// Which of the scenario's three forecasts.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_VARIANT")]
    pub(super) variant: VariantName,
    /// Seed of what the faults of the feed lose and distort.
    #[arg(long, default_value_t = 1, env = "SQUALL_SEED")]
    pub(super) seed: u64,
    /// How they are printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: SignalsFormat,
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Scenario and profile files.
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Which format.
    #[arg(value_enum)]
    pub(super) of: SchemaOf,
}

#[derive(Debug, Args)]
pub(super) struct FitArgs {
    /// CSV file with a header and two columns: moment (UTC where it names no zone) and count.
    pub(super) series: PathBuf,
    /// Counts are written as their natural logarithms.
    #[arg(long)]
    pub(super) log: bool,
    /// Moment of an event, such as 2015-03-31T03:27:53Z; the first becomes the scenario [default: the largest shock].
    #[arg(long, value_name = "MOMENT")]
    pub(super) event: Vec<String>,
    /// Series of the same form that should not have noticed the events.
    #[arg(long, value_name = "FILE", requires = "event")]
    pub(super) control: Option<PathBuf>,
    /// Series of the same form that this one may lag behind: by how much, if at all, 0 to 48 h.
    #[arg(long, value_name = "FILE")]
    pub(super) lag_behind: Option<PathBuf>,
    /// Write the scenario to this file.
    #[arg(short, long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Directory of the profiles that the scenario names, as seen from it [default: ../profiles].
    #[arg(long, value_name = "DIR")]
    pub(super) profiles: Option<String>,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1, env = "SQUALL_SEED")]
    pub(super) seed: u64,
}

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Run directory.
    pub(super) directory: PathBuf,
    /// Envelope to judge by, in the place of the one that the run had.
    #[arg(long, value_name = "FILE", env = "SQUALL_ENVELOPE")]
    pub(super) envelope: Option<PathBuf>,
    /// How the verdict is printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: ReportFormat,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// How long to measure, in seconds.
    #[arg(long, value_name = "N", default_value_t = 20, env = "SQUALL_SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(super) seconds: u32,
    /// Where to leave what was found, for `run` [default: $XDG_STATE_HOME/squall/doctor.json, or under ~/.local/state].
    #[arg(long, value_name = "FILE", env = "SQUALL_DOCTOR")]
    pub(super) save: Option<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t, env = "SQUALL_OUTPUT_FORMAT")]
    pub(super) output_format: ReportFormat,
}

#[derive(Debug, Args)]
pub(super) struct TestbedArgs {
    /// Scenario whose catalogue the testbed offers.
    pub(super) file: PathBuf,
    /// Seed of the content.
    #[arg(long, default_value_t = 1, env = "SQUALL_SEED")]
    pub(super) seed: u64,
    /// Write the profile to this file once the testbed is ready [default: standard output].
    #[arg(short, long, value_name = "FILE", env = "SQUALL_PROFILE")]
    pub(super) out: Option<PathBuf>,
}

/// Formats of a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum ReportFormat {
    /// For people.
    #[default]
    Text,
    /// `summary.json`; of a doctor, what it saves.
    Json,
}

/// Formats of a feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SignalsFormat {
    /// For people: when the tier changes, and why.
    #[default]
    Text,
    /// The feed, one JSON object a line.
    Jsonl,
    /// The feed as a table.
    Csv,
}

/// Formats of a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum PlanFormat {
    /// Charts and tables for people.
    #[default]
    Text,
    /// Everything.
    Json,
    /// The curves.
    Csv,
}

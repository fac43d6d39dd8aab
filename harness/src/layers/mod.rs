//! What runs inside a layer's process.

mod announcer;
mod dht;
mod files;
mod pages;
mod seedbox;
mod tracker;
mod web;

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layer::Layer;
use crate::shape;

pub(crate) use dht::Assignment as DhtAssignment;
pub(crate) use pages::asset_paths;
pub(crate) use seedbox::Assignment as SeedboxAssignment;
pub(crate) use web::{IndexAssignment, IndexItem, MetadataAssignment};

/// What nobody returns from: a layer ends with its process.
enum Never {}

/// One layer's process: entry of the hidden subcommand [`SUBCOMMAND`](crate::SUBCOMMAND), with the layer's name as only argument.
/// Returns only when the layer fails; otherwise the process ends when its standard input does.
#[must_use]
pub fn layer_main(args: &[String]) -> ExitCode {
    match serve(args) {
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &[String]) -> Result<Never, anyhow::Error> {
    let [name] = args else { anyhow::bail!("expected the layer's name alone, got {args:?}") };
    let layer = Layer::from_name(name).with_context(|| format!("there is no layer `{name}`"))?;
    // Standard input's end is what ends a layer. This covers the layer that is stopped at that moment and cannot read it.
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to die with the parent")?;
    raise_descriptor_limit().context("raising the descriptor limit")?;
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(io::stderr)
        .init();

    let mut assignment = String::new();
    io::stdin().lock().read_line(&mut assignment).context("reading the assignment")?;
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(end_with_standard_input)?;
    match layer {
        Layer::Index => web::index(&parse(&assignment)?),
        Layer::Metadata => web::metadata(parse(&assignment)?),
        Layer::Tracker => tracker::run(),
        Layer::Dht => dht::run(&parse(&assignment)?),
        Layer::Seedbox => seedbox::run(parse(&assignment)?),
        Layer::Shape => match shape::run(parse(&assignment)?, ready)? {},
    }
}

fn parse<T: DeserializeOwned>(assignment: &str) -> anyhow::Result<T> {
    serde_json::from_str(assignment).context("reading the assignment")
}

fn end_with_standard_input() {
    // A read error says as well as the end does that nobody is there any more.
    let _ = io::stdin().lock().read_to_end(&mut Vec::new());
    std::process::exit(0);
}

/// Lets this process open as many descriptors as the system allows it at all.
///
/// # Errors
/// The system's.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Says that the layer answers at `addresses`.
fn ready<A: Serialize>(addresses: &[A]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, addresses)?;
    stdout.write_all(b"\n")?;
    stdout.flush().context("saying that the layer is ready")
}

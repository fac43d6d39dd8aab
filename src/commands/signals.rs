//! `squall signals`.

use super::cli::{SignalsArgs, SignalsFormat};
use super::exit::{Exit, Failure};
use super::{Colors, print};
use crate::demand::{feed, tiers};
use crate::report::signals as format;
use crate::scenario;

/// Prints a scenario's feed of signals, or the tiers that it calls for.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files.
pub(super) fn signals(args: &SignalsArgs, colors: Colors) -> Result<Exit, Failure> {
    let scenario = scenario::load(&args.file).map_err(Failure::input(colors))?.scenario;
    let trouble = |error: &dyn std::fmt::Display| Failure::trouble("writing the feed", error);
    let text = match args.output_format {
        SignalsFormat::Text => format::text(&scenario.name, &tiers(&scenario, args.variant, args.seed)),
        SignalsFormat::Jsonl => {
            format::jsonl(feed(&scenario, args.seed), scenario.start).map_err(|error| trouble(&error))?
        }
        SignalsFormat::Csv => {
            format::csv(feed(&scenario, args.seed), scenario.start).map_err(|error| trouble(&error))?
        }
    };
    print::out(&text)?;
    Ok(Exit::Done)
}

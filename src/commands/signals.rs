//! `squall signals`.

use super::cli::{SignalsArgs, SignalsFormat};
use super::exit::{Exit, Failure};
use super::{Colors, print};
use crate::demand::{Observation, feed, tiers};
use crate::report::signals::{self as format, Delivery};
use crate::scenario::{self, Scenario, Signal};

/// Prints a scenario's feed of signals, or the tiers that it calls for.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files.
pub(super) fn signals(args: &SignalsArgs, colors: Colors) -> Result<Exit, Failure> {
    let scenario = scenario::load(&args.file).map_err(Failure::input(colors))?.scenario;
    let trouble = |error: &dyn std::fmt::Display| Failure::trouble("writing the feed", error);
    let text = match args.output_format {
        SignalsFormat::Text => {
            let changes = tiers(&scenario, args.variant, args.seed);
            format::text(&scenario.name, &changes, delivery(&scenario, args.seed))
        }
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

fn delivery(scenario: &Scenario, seed: u64) -> Delivery {
    let faultless = Scenario { feed_faults: Vec::new(), ..scenario.clone() };
    let made: Vec<Observation> = feed(&faultless, seed).collect();
    let shows = |signal: &&Signal| made.iter().any(|it| it.signal == signal.name);
    Delivery {
        made: made.len(),
        arrived: feed(scenario, seed).count(),
        unseen: scenario.signals.len() - scenario.signals.iter().filter(shows).count(),
    }
}

//! `squall testbed`, and the testbed that `squall run` starts.

use std::fs;
use std::io;
use std::path::Path;

use squall_harness::{Content, Options, Testbed};

use crate::scenario::{self, Scenario, Via};

use super::cli::TestbedArgs;
use super::exit::{Exit, Failure};
use super::{Colors, print};

/// Starts the embedded testbed with the scenario's catalogue: one item per rank, in order.
///
/// # Errors
/// [`Exit::Trouble`] with the layer that did not start and its last words.
pub(super) fn start(scenario: &Scenario, seed: u64) -> Result<Testbed, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::trouble("finding this program", error))?;
    let catalogue = &scenario.content;
    let content = catalogue
        .sizes()
        .zip(catalogue.vias().zip(catalogue.web_seeds()))
        .enumerate()
        .map(|(rank, (size, (via, web_seed)))| Content {
            name: format!("item-{:02}", rank + 1),
            size,
            gateway: via == Via::Gateway,
            web_seed,
        })
        .collect();
    Testbed::start(&Options { program, content, seed })
        .map_err(|error| Failure::new(Exit::Trouble, format!("error: {error}")))
}

/// Runs the testbed alone until a signal or the end of standard input, its profile on standard output.
///
/// # Errors
/// As [`start`]; bad input where the scenario is.
pub(super) fn testbed(args: &TestbedArgs, colors: Colors) -> Result<Exit, Failure> {
    let loaded = scenario::load(&args.file).map_err(Failure::input(colors))?;
    let testbed = start(&loaded.scenario, args.seed)?;
    match &args.out {
        None => print::out(&testbed.profile())?,
        Some(path) => {
            publish(path, &testbed.profile()).map_err(|error| Failure::trouble(path.display(), error))?
        }
    }
    print::note("testbed ready; it ends with Ctrl-C");
    super::watch::until_signal()?;
    testbed.stop();
    Ok(Exit::Done)
}

/// Writes a file that others wait for: it is whole as soon as it is there.
fn publish(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("part");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

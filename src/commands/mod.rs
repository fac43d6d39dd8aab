//! The verbs: the only place that sees both ends, prints and wires.

mod check;
mod cli;
mod doctor;
mod exit;
mod fit;
mod plan;
mod print;
mod rehearsal;
mod report;
mod run;
mod schema;
mod screen;
mod search;
mod signals;
mod simulate;
#[cfg(feature = "testbed")]
mod testbed;
mod threads;
mod watch;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

pub use check::{CheckResult, check};
pub use exit::{Exit, Failure};
pub use schema::{SchemaOf, schema};

use cli::{Cli, Verb};

/// The program: reads the command line, does what it says, ends with one of [`Exit`]'s codes.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap prints them where they belong.
            let _ = error.print();
            return if error.use_stderr() { Exit::Input.into() } else { Exit::Done.into() };
        }
    };
    let colors = Colors::of(&cli);
    match dispatch(cli.verb, colors) {
        Ok(code) => code,
        Err(failure) => {
            print::note(&failure.message);
            failure.exit.into()
        }
    }
}

/// Which streams take colours: terminals, unless `--no-color` or `NO_COLOR` (<https://no-color.org>) say otherwise.
#[derive(Clone, Copy, Debug)]
struct Colors {
    out: bool,
    err: bool,
}

impl Colors {
    fn of(cli: &Cli) -> Self {
        let wanted = !cli.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            out: wanted && std::io::stdout().is_terminal(),
            err: wanted && std::io::stderr().is_terminal(),
        }
    }
}

fn dispatch(verb: Verb, colors: Colors) -> Result<ExitCode, Failure> {
    let exit = match verb {
        Verb::Run(args) => run::run(&args, colors)?,
        Verb::Simulate(args) => simulate::simulate(&args, colors)?,
        Verb::Search(args) => search::search(&args, colors)?,
        Verb::Plan(args) => plan::plan(&args, colors)?,
        Verb::Signals(args) => signals::signals(&args, colors)?,
        Verb::Fit(args) => fit::fit(&args, colors)?,
        Verb::Check(args) => {
            let result = check(&args.files, colors.out);
            print::out(&result.text)?;
            if result.ok { Exit::Done } else { Exit::Input }
        }
        Verb::Schema(args) => {
            print::out(&schema(args.of))?;
            Exit::Done
        }
        Verb::Report(args) => report::report(&args, colors)?,
        Verb::Doctor(args) => doctor::doctor(&args, colors)?,
        #[cfg(feature = "testbed")]
        Verb::Testbed(args) => testbed::testbed(&args, colors)?,
        #[cfg(feature = "testbed")]
        Verb::TestbedLayer { args } => return Ok(squall_harness::layer_main(&args)),
        #[cfg(not(feature = "testbed"))]
        Verb::Testbed(_) | Verb::TestbedLayer { .. } => return Err(run::no_testbed()),
    };
    Ok(exit.into())
}

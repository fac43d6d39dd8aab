//! Runs a testbed on its own and prints its target profile. The tests of this crate start it; users have `squall testbed`.
//!
//!     squall-testbed [NAME=BYTES]...      until standard input ends

use std::error::Error;
use std::io::{Read, Write};
use std::process::ExitCode;

use squall_harness::{Content, Options, SUBCOMMAND, Testbed, layer_main};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((first, rest)) if first == SUBCOMMAND => layer_main(rest),
        _ => match run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let content = args.iter().map(|arg| item(arg)).collect::<Result<_, _>>()?;
    let testbed = Testbed::start(&Options { program: std::env::current_exe()?, content, seed: 1 })?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(testbed.profile().as_bytes())?;
    stdout.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    testbed.stop();
    Ok(())
}

fn item(arg: &str) -> Result<Content, Box<dyn Error>> {
    let (name, size) = arg.split_once('=').ok_or_else(|| format!("`{arg}` is not NAME=BYTES"))?;
    Ok(Content { name: name.to_owned(), size: size.parse()?, gateway: true, web_seed: false })
}

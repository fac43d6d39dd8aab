//! Relays with stated limits before any servers; see `squall_harness::shape`.
//!
//!     squall-shape ASSIGNMENT     until it is ended
//!     squall-shape                the assignment is the first line of standard input; until that ends

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use anyhow::Context;
use squall_harness::shape::{self, Assignment};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> anyhow::Result<std::convert::Infallible> {
    let assignment = match args {
        [] => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            std::thread::spawn(|| {
                let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
                std::process::exit(0);
            });
            line
        }
        [assignment] => assignment.clone(),
        _ => anyhow::bail!("usage: squall-shape [ASSIGNMENT]"),
    };
    let assignment: Assignment = serde_json::from_str(&assignment).context("reading the assignment")?;
    squall_harness::raise_descriptor_limit().context("raising the descriptor limit")?;
    shape::run(assignment, |addresses| {
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer(&mut stdout, addresses)?;
        stdout.write_all(b"\n")?;
        Ok(stdout.flush()?)
    })
}

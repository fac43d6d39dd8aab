//! `squall-instructions`: lists the hot paths, a name and a number of operations a line. `squall-instructions PATH OPERATIONS` does as many
//! operations of one, all inside [`measured`], which `harness/instructions` tells callgrind to count.
#![allow(clippy::print_stdout, reason = "that is its interface")]

#[path = "../../paths/mod.rs"]
mod paths;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            for (name, _, operations, _) in paths::PATHS {
                println!("{name} {operations}");
            }
            ExitCode::SUCCESS
        }
        [name, operations] => {
            let path = paths::PATHS.into_iter().find(|(path, ..)| path == name);
            let (Some((.., prepare)), Ok(operations)) = (path, operations.parse()) else {
                return ExitCode::FAILURE;
            };
            let mut path = prepare();
            // Once outside the count: what is done once a run is no part of an operation.
            path(1);
            measured(&mut path, operations);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

/// The operations, and nothing else.
#[inline(never)]
fn measured(path: &mut paths::Path, operations: u64) {
    path(operations);
}

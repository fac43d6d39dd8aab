//! Exit codes: an interface, documented in `--help` and in the README.

use std::fmt;
use std::process::ExitCode;

use crate::analysis::Verdict;
use crate::problem::Report;

use super::Colors;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The verb did what it was asked.
    Done,
    /// Something outside the scenario went wrong: disk, testbed, machine.
    Trouble,
    /// A file or a flag is wrong.
    Input,
    /// A rehearsal was judged, or the target refused.
    Judged(Verdict),
    /// The run was interrupted; what was recorded until then is reported.
    Interrupted,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Trouble => 1,
            Self::Input => 2,
            Self::Judged(verdict) => verdict.exit_code(),
            // What shells report for a program that SIGINT ended.
            Self::Interrupted => 130,
        }
    }

    /// Every code with its meaning, in order.
    #[must_use]
    pub fn table() -> Vec<(u8, &'static str)> {
        let mut table = vec![
            (Self::Trouble.code(), "trouble: disk, testbed or machine; the message says what"),
            (Self::Input.code(), "a file or a flag is wrong; every problem is listed"),
            (Self::Interrupted.code(), "interrupted by a signal; what was recorded until then is reported"),
        ];
        table.extend(Verdict::ALL.map(|verdict| (verdict.exit_code(), verdict.meaning())));
        table.sort_unstable();
        table
    }

    /// The table for `--help`.
    #[must_use]
    pub fn help() -> String {
        let line = |(code, meaning): &(u8, &str)| format!("  {code:>3}  {meaning}\n");
        "Exit codes:\n".to_owned() + &Self::table().iter().map(line).collect::<String>()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb gave up: what to say, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened and the way out; may have several lines.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }

    /// Files that are wrong, with all their problems.
    pub(super) fn input(colors: Colors) -> impl Fn(Report) -> Self {
        move |problems| Self::new(Exit::Input, problems.render(colors.err))
    }

    /// Disk, testbed or machine: what was being done, and what came of it.
    pub fn trouble(doing: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::new(Exit::Trouble, format!("{doing}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_complete() {
        let codes: Vec<u8> = Exit::table().iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 130]);
        assert_eq!(Exit::help().lines().count(), 1 + codes.len());
    }
}

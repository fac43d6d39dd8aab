//! Exit codes: an interface, documented in `--help` and in the README.

use std::fmt;
use std::process::ExitCode;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The envelope held, or the verb did what it was asked.
    Pass,
    /// Something outside the scenario went wrong: disk, testbed, network set-up.
    Trouble,
    /// A file or a flag is wrong.
    Input,
    /// The envelope did not hold.
    Failed,
    /// The generator, not the target, was the limit: the run says nothing about the envelope.
    Invalid,
    /// The target may not be loaded.
    Refused,
    /// Too little was recorded to judge.
    Inconclusive,
    /// The run was interrupted; what was recorded until then is reported.
    Interrupted,
}

impl Exit {
    /// Every code with its meaning, in order.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Pass, "pass: the envelope held (or the verb did what it was asked)"),
        (Self::Trouble, "trouble: disk, testbed or machine; the message says what"),
        (Self::Input, "bad input: a file or a flag is wrong; every problem is listed"),
        (Self::Failed, "the envelope did not hold"),
        (Self::Invalid, "invalid: the generator was the limit, not the target"),
        (Self::Refused, "refused: the target may not be loaded; no packet has left"),
        (Self::Inconclusive, "inconclusive: too little was recorded to judge"),
        (Self::Interrupted, "interrupted by a signal; what was recorded is reported"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Trouble => 1,
            Self::Input => 2,
            Self::Failed => 3,
            Self::Invalid => 5,
            Self::Refused => 6,
            Self::Inconclusive => 7,
            Self::Interrupted => 130,
        }
    }

    /// The table for `--help`.
    #[must_use]
    pub fn help() -> String {
        let mut text = String::from("Exit codes:\n");
        for (exit, meaning) in Self::ALL {
            text += &format!("  {:>3}  {meaning}\n", exit.code());
        }
        text += "  4 is kept for `regressed` (comparison with a baseline, to come).";
        text
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
        let codes: Vec<u8> = Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 5, 6, 7, 130]);
        assert!(codes.iter().all(|code| Exit::help().contains(&format!("{code:>5}  "))));
    }
}

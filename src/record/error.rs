//! What can go wrong with a recording.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a recording could not be written, read or merged.
#[derive(Debug, Error)]
pub enum RecordError {
    /// The disk said no.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A run directory is never written over.
    #[error("{}: the run directory is not empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// The file is of another format or version than this program reads.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What this program reads.
        expected: String,
        /// What the file says it is.
        found: String,
    },
    /// A line makes no sense, and it is not the torn end of a killed run.
    #[error("{}:{line}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The books do not balance: a fault of the program, never of the target.
    #[error("the ledger of {what} does not balance at second {second}: {reason}")]
    Ledger {
        /// A kind, or `journeys`.
        what: &'static str,
        /// Second of the run.
        second: u64,
        /// Which sides differ.
        reason: String,
    },
    /// Workers went away without finishing: what they had not handed over is lost.
    #[error("{0} worker(s) were lost before the end of the run")]
    WorkersLost(usize),
    /// Recordings of different plans cannot be added.
    #[error("these recordings cannot be merged: {0}")]
    Unmergeable(String),
}

impl RecordError {
    /// Names the file that an I/O error belongs to.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

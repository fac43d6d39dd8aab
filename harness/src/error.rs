//! Why a testbed did not start.

use std::io;
use std::path::PathBuf;

/// Why a testbed did not start.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// The content that was asked for cannot be offered.
    #[error("the testbed's content: {reason}")]
    Content {
        /// What is wrong with it.
        reason: String,
    },
    /// A layer's process could not be started.
    #[error("the testbed's {layer} layer: cannot start {}: {source}", program.display())]
    Spawn {
        /// The layer.
        layer: &'static str,
        /// The program that should have become the layer.
        program: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The thread that keeps the layers ended early.
    #[error("the testbed's keeper thread panicked")]
    Keeper,
    /// A layer ended before it was ready.
    #[error("the testbed's {layer} layer ended before it was ready ({status}){last_words}")]
    Ended {
        /// The layer.
        layer: &'static str,
        /// How it ended.
        status: String,
        /// The last lines of its standard error, each on a line of its own; may be empty.
        last_words: String,
    },
    /// The target profile could not be written.
    #[error("the testbed's profile: {0}")]
    Profile(#[from] toml::ser::Error),
    /// A layer was not ready in time.
    #[error("the testbed's {layer} layer was not ready in time{last_words}")]
    Late {
        /// The layer.
        layer: &'static str,
        /// The last lines of its standard error, each on a line of its own; may be empty.
        last_words: String,
    },
    /// The relays before the layers could not be told where these are.
    #[error("the testbed's relays: {reason}")]
    Control {
        /// Why not.
        reason: String,
    },
    /// A layer said something else than its addresses.
    #[error("the testbed's {layer} layer answered `{answer}` instead of its addresses")]
    Answer {
        /// The layer.
        layer: &'static str,
        /// What it said.
        answer: String,
    },
}

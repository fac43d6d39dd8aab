//! Scenarios: what a scenario file means, valid by construction.
//!
//! Reading a file (`spec`) reports all its problems at once; what comes out as [`Scenario`] needs no further check.

mod catalogue;
mod cut;
mod fault;
mod load;
#[doc(hidden)]
pub mod sample;
mod signal;
mod spec;
mod types;
mod values;

pub use catalogue::piece_length;
pub use cut::{Cut, CutFlags};
pub use fault::{Fault, FaultLimits};
pub use load::{Loaded, keys, load, parse};
pub use types::*;

//! Scenarios: what a scenario file means, valid by construction.
//!
//! Reading a file (`spec`) reports all its problems at once; what comes out as [`Scenario`] needs no further check.

mod cut;
#[doc(hidden)]
pub mod sample;
mod types;

pub use cut::Cut;
pub use types::*;

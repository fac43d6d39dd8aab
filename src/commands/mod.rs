//! The verbs: the only place that sees both ends, prints and wires.

mod check;

pub use check::{CheckResult, check};

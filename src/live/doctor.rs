//! What this machine can carry: what it allows, read from the system, and what it does, measured on loopback.
//!
//! Rates are those of one thread that is both ends: a generator has only one end, and does more with it, so that they are about what a
//! worker can reach at best.

mod limits;
mod rates;

pub use limits::{Descriptors, Limits, Machine, Ports};
pub use rates::{ClockSource, Rate, Rates, Segmented, TimerLag, measure};

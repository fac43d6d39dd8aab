//! Quantities with units: what a scenario writes (`"72h"`, `"+15%"`, `"3x"`, `"40 MiB/s"`) and what the clocks count.

mod parse;
mod tick;

pub use parse::{BitRate, ByteSize, Change, Factor, Rate, Share, UnitError, parse_duration, parse_offset};
pub use tick::Tick;

//! Quantities with units: what a scenario writes (`"72h"`, `"+15%"`, `"3x"`, `"40 MiB/s"`) and what the clocks count.

mod decimal;
mod parse;
mod tick;

pub use parse::{
    BitRate, ByteSize, Change, Factor, Quantity, Rate, Share, UnitError, UtcOffset, parse_duration,
};
pub use tick::Tick;

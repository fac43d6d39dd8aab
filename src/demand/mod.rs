//! Demand: signals become attention, attention becomes rates.
//!
//! Everything here is a pure function of a scenario and a variant, at full audience and in scenario time (seconds as `f64`): rates are
//! expectations per second. Drawing visitors from them, thinning and compressing them is the plan's part.
//!
//! ```text
//! signals ─ shocks ─ echo ─┬─ level of interest ─ visits ─ lag ─ metadata ─ lag ─ starts ─┬─ seeding ─ stops
//!                          └─ level of concern  ─ side traffic                            └─ session ─ population
//! ```
//!
//! Mathematics goes through `libm` and not through `std`, whose functions come from the platform and differ in their last bits: a
//! plan must be the same on every machine.

mod attention;
mod delay;
mod diurnal;
mod flow;
mod series;
mod shock;

pub use attention::{Level, echo};
pub use delay::{Delay, Stratum};
pub use diurnal::Sinusoid;
pub use flow::{Demand, Flow};
pub use series::{Residue, Series};
pub use shock::{Shape, Shock, shocks};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

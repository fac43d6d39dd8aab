//! Demand: signals become attention, attention becomes rates.
//!
//! Everything here is a pure function of a scenario, a variant and, where cascades take one of their paths, a seed, at full audience and
//! in scenario time (seconds as `f64`): rates are expectations per second. Drawing visitors from them, thinning and compressing them is
//! the plan's part.
//!
//! ```text
//! signals ─ shocks ─ cascade ─┬─ level of interest ─ visits ─ lag ─ metadata ─ lag ─ starts ─┬─ seeding ─ stops
//!                 confounders ┤                                                              ├─ session ─ population ─ announces
//!                             └─ level of concern  ─ side traffic                            └─ fluid model: leechers, seeds
//! ```
//!
//! A [`Level`] is the mean of its cascade ([`Demand::new`]) or one path of it ([`Demand::drawn`]). The fluid model stands next to the
//! population, which comes from measured session lengths: it says how many are seeds, for an exodus and for the reader.
//!
//! Beside the load stands what somebody sees who watches the market: the [`feed`] of the signals, and the [`tiers`] of readiness that it
//! calls for.
//!
//! Mathematics goes through `libm` and not through `std`, whose functions come from the platform and differ in their last bits: a
//! plan must be the same on every machine.

mod attention;
mod cascade;
mod delay;
mod diurnal;
mod feed;
mod flow;
mod fluid;
mod memory;
mod series;
mod shock;
pub(crate) mod stream;
mod swarm;
mod tier;

pub use attention::{Draw, Level, response};
pub(crate) use cascade::poisson;
pub use cascade::{Cascade, Count};
pub use delay::{Delay, Stratum};
pub use diurnal::{Sinusoid, Week};
pub use feed::{Observation, feed};
pub use flow::{Demand, Flow};
pub use fluid::{Fluid, Peers};
pub use memory::Memory;
pub use series::{Residue, Series};
pub use shock::{Shape, Shock, shocks};
pub use swarm::Swarm;
pub use tier::{Assessment, Response, Tier, TierChange, assess, intensity, tiers};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

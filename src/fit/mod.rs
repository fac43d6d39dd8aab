//! Fit: a measured series becomes a scenario, and its event is held against the weeks before it.
//!
//! ```text
//! file ─ series ─┬─ season (level, daily curve, weekdays) ─ shocks ─ dispersion ─ branching ratio
//!                ├─ window ─ event (shocks, each with its shape) ─ scenario file ─ band ─ coverage of what was held out
//!                ├─ uplift against matched weeks ─ difference in differences
//!                └─ lag behind another series
//! ```
//!
//! Every estimate has an interval of 95 %, from a seeded bootstrap or from the named formula. Pure: the same series and seed give the same fit.

mod account;
mod band;
mod branching;
mod calibrate;
mod cover;
mod emit;
mod event;
mod gauge;
mod lag;
mod pursuit;
mod season;
mod series;
mod shape;
mod shock;
mod stats;
mod uplift;

pub use account::{Account, Against, Doubt, Fitted, Peak, Question, Unfit, account, fitted};
pub use band::{Band, Dispersion, bands};
pub use branching::{Branching, fano, roughness};
pub use calibrate::{Calibration, Residual};
pub use cover::{Coverage, Occasion, Split, cover, occasions, shapes};
pub use emit::{Profiles, emit};
pub use event::{Event, Wave, Window, height};
pub use gauge::{Fit, fit};
pub use lag::{Lag, TooShort, lag};
pub use season::{Harmonic, Season, WEEKDAYS};
pub use series::{Gap, Series, moment};
pub use shape::Shapes;
pub use shock::Shock;
pub use stats::Estimate;
pub use uplift::{Comparison, Control, TooFewWeeks, Uplift, compare, uplift};

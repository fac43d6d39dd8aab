//! Fit: a measured series becomes a scenario, and its event is held against the weeks before it.
//!
//! ```text
//! file ─ series ─┬─ season (level, daily curve, weekdays) ─ shocks ─ Fano factor ─ branching ratio
//!                ├─ window ─ event (shocks and their common shape) ─ scenario file ─ band ─ coverage
//!                └─ uplift against matched weeks ─ difference in differences
//! ```
//!
//! Every estimate has an interval of 95 %, from a seeded bootstrap or from the named formula. Pure: the same series and seed give the same fit.

mod account;
mod band;
mod branching;
mod cover;
mod emit;
mod event;
mod gauge;
mod season;
mod series;
mod shock;
mod stats;
mod uplift;

pub use account::{Account, Against, Question, Unfit, account};
pub use band::{Band, Dispersion, bands};
pub use branching::{Branching, fano};
pub use cover::{Coverage, Fitted, Split, cover, fitted, shapes};
pub use emit::{Profiles, emit};
pub use event::{Event, Shapes, Wave, Window};
pub use gauge::{Fit, fit};
pub use season::{Harmonic, Season, WEEKDAYS};
pub use series::{Gap, Series, moment};
pub use shock::Shock;
pub use stats::Estimate;
pub use uplift::{Comparison, Control, TooFewWeeks, Uplift, compare, uplift};

//! Reports: formats what analysis found, computes nothing.

mod chart;
pub mod doctor;
pub mod fit;
pub mod forecast;
mod html;
pub mod plan;
pub mod plot;
mod progress;
mod quantity;
pub mod replay;
mod resources;
mod saturation;
mod scorecard;
pub mod search;
pub mod signals;
mod swarm;
mod table;
mod text;

#[cfg(test)]
mod tests;

pub use html::html;
pub use progress::{Moment, legend, line, panel};
pub use text::text;

use crate::analysis::Summary;

/// The content of `summary.json`.
///
/// # Errors
/// Never for a summary made by [`crate::analysis::analyse`]; the encoder's type demands it.
pub fn json(summary: &Summary) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(summary).map(|text| text + "\n")
}

//! Journeys: one visitor's way down the funnel, as a pure state machine without clock, socket or shared random numbers.
//!
//! A [`Journey`] asks for operations and is resumed with their outcomes. Inside it every planned step is a [`stage::Machine`] of its own; the journey decides which of them may begin:
//!
//! ```text
//!   visit ─▶ torrent | magnet ─▶ announce(started) ─┬─▶ transfer ─▶ announce(completed) ─▶ announce(stopped)
//!                             └▶ lookup ────────────┘  (whichever brings peers first)
//! ```
//!
//! *Coupled*, a step waits for the one before it and is dropped when that one failed for good. *Isolated*, every step happens at its
//! planned moment whatever became of the others, so that each layer meets its planned rate.

mod download;
mod intent;
mod oddity;
mod operation;
mod stage;
mod stages;
mod swarm;
#[cfg(test)]
mod tests;
mod way;
mod web;

pub use download::{Download, Fate, Group, Milestone};
pub use intent::{intended, intended_at};
pub use oddity::Oddity;
pub use operation::{Cause, Kind, Operation, Outcome, Part, Peer, Reply, Service, Visitor};
pub use stage::{Names, Rules};
pub use swarm::Swarm;
pub use way::{Action, Journey};
pub use web::Web;

//! The plan: a lazy, seeded stream of arrivals.

mod arrival;

pub use arrival::{AnnounceEvent, Arrival, Origin, PlannedStep, Stage, What};

//! Journeys: one visitor's way down the funnel, as a pure state machine without clock, socket or shared random numbers.

mod operation;

pub use operation::{Cause, Kind, Operation, Outcome, Part, Peer, Reply, Visitor};

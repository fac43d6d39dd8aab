//! The worker loop: releases arrivals when they are due, resumes journeys with outcomes, tells an observer.
//!
//! Open loop: an arrival is due when the plan says so, whatever the target does. What cannot be started in time is shed, and counted.
//! The same loop runs on one OS thread per worker in the live world, and in virtual time in the model world.

mod agenda;
mod stop;
#[cfg(test)]
mod tests;
mod worker;
mod world;

pub use stop::{Stop, StopLevel};
pub use worker::{Limits, drive};
pub use world::{Event, JourneyId, Observation, OpId, Settled, Shed, World};

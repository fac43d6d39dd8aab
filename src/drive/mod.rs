//! The worker loop: releases arrivals when they are due, resumes journeys with outcomes, tells an observer. Open loop.

mod world;

pub use world::{Event, JourneyId, Observation, OpId, Settled, World};

//! Squall rehearses the storm before the market sends it.

pub mod analysis;
pub mod commands;
pub mod demand;
pub mod drive;
pub mod journey;
pub mod live;
pub mod model;
pub mod plan;
pub mod problem;
pub mod profile;
pub mod record;
pub mod report;
pub mod scenario;
pub mod unit;

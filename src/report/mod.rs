//! Reports: formats what analysis found, computes nothing.

pub mod plan;

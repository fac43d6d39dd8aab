//! Reports: formats what analysis found, computes nothing.

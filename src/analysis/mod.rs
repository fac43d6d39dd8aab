//! Analysis: is the run valid, which layers saturated, does the envelope hold?

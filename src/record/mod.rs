//! The recorder: what happened, second by second, on disk as it happens.

//! The model world: queues and virtual time.

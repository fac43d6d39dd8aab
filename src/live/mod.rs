//! The live world: sockets and the clock.

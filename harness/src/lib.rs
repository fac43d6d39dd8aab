//! Squall's embedded testbed: the fleet that load is aimed at by default.
//!
//! Five layers, each a process of its own on random loopback ports, each built on parts by other authors, so that no codec of the
//! generator ever talks to itself:
//!
//! | layer | part | answers |
//! |---|---|---|
//! | index | axum | landing pages with magnet links, their assets, small pages beside the funnel |
//! | metadata | axum | `.torrent` files |
//! | tracker | aquatic_udp | UDP announces (BEP 15) |
//! | dht | mainline | KRPC (BEP 5), nodes that know only each other |
//! | seedbox | librqbit | peer wire (BEP 3, 10), `ut_metadata` (BEP 9); announces itself to tracker and DHT |
//!
//! The program that embeds the testbed starts *itself* once per layer, with the hidden subcommand [`SUBCOMMAND`], and hands what
//! follows it to [`layer_main`]. A layer reads one line of JSON (its assignment) from standard input, prints one line of JSON (its
//! addresses) when it is ready, and ends as soon as standard input does: so it never outlives the program that started it.
//!
//! The content exists nowhere: every byte is computed from (seed, name, offset) when a peer asks for it. There is no directory to
//! fill before a run and none to clean up after a kill.

mod content;
mod dag;
mod envelope;
mod error;
mod front;
mod layer;
mod layers;
mod process;
mod profile;
pub mod shape;
mod testbed;
mod torrent;

pub use content::Content;
pub use error::TestbedError;
pub use layers::{layer_main, raise_descriptor_limit};
pub use testbed::{Options, Testbed};

/// The hidden subcommand with which the embedding program starts itself for a layer.
pub const SUBCOMMAND: &str = "testbed-layer";

//! The live world: sockets and the clock.
//!
//! One [`LiveWorld`] per worker thread performs operations with the real protocols: HTTP/1.1, 2 and 3, trackers over UDP (BEP 15), HTTP (BEP 3) and
//! WebSocket, these two also over TLS, DNS (RFC 1035), the DHT (BEP 5, 32, 42, 43, 51), the peer wire (BEP 3, 6, 9, 10, 11, 52) over TCP and
//! uTP (BEP 29), encrypted (MSE) or not, downloads and uploads, web seeds
//! (BEP 19), and trustless gateways of IPFS. Protocol logic is pure where it can be
//! (`bencode`, `dag`, `merkle`, `metainfo`, `tracker`, `swarm`, `krpc`, `lookup`, `dns::message`, `metrics::page`, `wire`, `torrent`, `shaper`, `source`, `web_seed`); what touches a socket goes
//! through `guard`, the only file that opens one.

mod announce;
mod authorize;
#[doc(hidden)]
pub mod bench;
mod bencode;
mod client;
mod clock;
mod dag;
mod dht;
mod dns;
pub mod doctor;
#[cfg(test)]
mod fixture;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gateway;
mod groups;
mod guard;
mod http;
mod krpc;
mod lookup;
mod merkle;
mod metainfo;
mod meter;
mod metrics;
mod mse;
mod patience;
mod perform;
mod proc;
mod queue;
mod shaper;
mod source;
mod steering;
mod swarm;
mod torrent;
mod tracker;
mod udp;
mod web_seed;
mod wire;
mod world;

pub use authorize::{authorize, watch};
pub use clock::{Alarm, Clock};
pub use guard::{Guard, Refusal};
pub use metrics::{Scraped, scrape};
pub use proc::{ResourceSample, Sampler};
pub use steering::{RunFault, Steering, SteeringError};
pub use world::{LiveConfig, LiveWorld};

//! Profiles: the parts that scenarios share: client and access mixes, targets, envelopes.

mod capacity;
mod content;
mod envelope;
mod mix;
mod read;
mod reading;
mod target;
mod tracker;
mod values;

pub use capacity::{Capacity, Shaper};
pub use content::{ContentItem, InfoHash, TorrentItem};
pub use envelope::{AbortOn, Envelope, LayerEnvelope, Slo};
pub(crate) use mix::normalised;
pub use mix::{Access, Client, DhtHabits, Encryption, Mix};
pub use read::{
    access_keys, clients_keys, envelope_keys, parse_access, parse_clients, parse_envelope, target_keys,
};
pub use reading::{MetricsEndpoint, Reading, Readings, Series};
pub use target::{
    Authorization, DhtNodes, Dns, Gateway, HttpEndpoint, HttpVersion, Index, Process, Target, Tls, Transport,
    WebEndpoint,
};
pub use tracker::{Tracker, TrackerHabits, TrackerKind};

use serde::{Deserialize, Serialize};

/// A part of the target that can saturate on its own.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Resolvers.
    Dns,
    /// Web pages and their assets.
    Index,
    /// The service that hands out `.torrent` files.
    Metadata,
    /// The trackers.
    Tracker,
    /// The DHT nodes.
    Dht,
    /// Those that hold the pieces: seedboxes.
    Seedbox,
}

impl Layer {
    /// Every layer, in funnel order.
    pub const ALL: [Self; 6] =
        [Self::Dns, Self::Index, Self::Metadata, Self::Tracker, Self::Dht, Self::Seedbox];

    /// The name used in files, tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Index => "index",
            Self::Metadata => "metadata",
            Self::Tracker => "tracker",
            Self::Dht => "dht",
            Self::Seedbox => "seedbox",
        }
    }
}

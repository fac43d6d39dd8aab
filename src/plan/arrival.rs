//! What a plan is made of.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::demand::stream::{CLUSTERS, key};
use crate::unit::Tick;

/// A stage of the funnel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Web page and its assets.
    Index,
    /// `.torrent` file or magnet resolution.
    Metadata,
    /// Tracker announce.
    Announce,
    /// DHT lookup.
    Dht,
    /// Piece transfer.
    Pieces,
}

impl Stage {
    /// Every stage, in funnel order.
    pub const ALL: [Self; 5] = [Self::Index, Self::Metadata, Self::Announce, Self::Dht, Self::Pieces];

    /// The name used in files, tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Metadata => "metadata",
            Self::Announce => "announce",
            Self::Dht => "dht",
            Self::Pieces => "pieces",
        }
    }
}

/// Why an arrival happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A visitor who enters the funnel.
    Visit,
    /// A peer of the modelled population that announces again. Its stream follows the population, not the (compressed) lives of the
    /// visitors that the run drives.
    Population,
    /// Side traffic, by its index in the scenario.
    Side(u8),
    /// Abuse, by its index in the scenario.
    Abuse(u8),
    /// A line of a log that is replayed.
    Logged(Logged),
}

/// What a logged announce says beside its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Logged {
    /// Peers that it asks for; -1 leaves it to the tracker (BEP 15).
    pub numwant: i32,
    /// Bytes left to fetch; what the visitor knows where the log does not say.
    pub left: Option<u64>,
    /// Bytes fetched, likewise.
    pub downloaded: Option<u64>,
}

/// Whether a visitor, or its neighbourhood, was seen before (Jung et al., WWW 2002: a flash crowd comes from clusters of addresses seen
/// before, abuse from new ones).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cohort {
    /// It was there before.
    Returning,
    /// It is new, its address cluster is not.
    OldCluster,
    /// Nobody of its address cluster was there before.
    NewCluster,
}

/// One synthetic user: when it acts, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// Its number in the unsharded plan, counted tick by tick: within a tick not the order of due.
    pub index: u64,
    /// Why it happens.
    pub origin: Origin,
    /// Whether it was seen before.
    pub cohort: Cohort,
    /// Region, as an index into the audience.
    pub region: u8,
    /// Client, as an index into the mix.
    pub client: u8,
    /// Access line, as an index into the mix.
    pub access: u8,
    /// Rank of the content that it is after, 0 the most popular.
    pub content: u16,
    /// Whether its browser still has the page's assets.
    pub cached: bool,
    /// Whether peers can connect to it; behind a NAT it can only connect to them.
    pub reachable: bool,
    /// Seed of its own stream, for whatever is drawn later (peer id, choices among peers).
    pub seed: u64,
    /// What it intends to do, in order of time. Never empty. A visitor who entered before the window has only its later steps.
    pub steps: SmallVec<[PlannedStep; 7]>,
}

/// Address clusters of each region that were seen before [assumed]: a provider's customers share a few networks.
const OLD_CLUSTERS: u64 = 1024;

impl Arrival {
    /// What its source address follows from. Visitors of a cluster that was seen before share it, and there are only so many of these in
    /// a region; who comes from a new one has one of its own.
    #[must_use]
    pub fn source(&self) -> u64 {
        match self.cohort {
            Cohort::NewCluster => self.seed,
            Cohort::Returning | Cohort::OldCluster => {
                key(u64::from(self.region), &[CLUSTERS, self.seed % OLD_CLUSTERS])
            }
        }
    }

    /// When its first step is due.
    #[must_use]
    pub fn due(&self) -> Tick {
        self.steps.first().map_or(Tick::MAX, |step| step.at)
    }
}

/// One intention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedStep {
    /// When.
    pub at: Tick,
    /// What.
    pub what: What,
}

/// What a visitor intends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// A page with its assets.
    Visit,
    /// The name of the web pages, and no more.
    Resolve,
    /// A `.torrent` over HTTP.
    Torrent,
    /// A magnet link: DHT lookup, then metadata from a peer.
    Magnet,
    /// The root block of a DAG through a gateway.
    Root,
    /// An announce to the tracker.
    Announce(AnnounceEvent),
    /// A DHT lookup followed by `announce_peer`.
    Lookup,
    /// A walk through the DHT that gathers info-hashes (BEP 51).
    Crawl,
    /// A transfer; given up after this part of its pieces (1.0: completed).
    Transfer {
        /// Part of the pieces that is fetched, 0..=1.
        until: f32,
    },
    /// A file that is read through a gateway; given up after this part of its blocks (1.0: completed).
    Read {
        /// Part of the blocks that is fetched, 0..=1.
        until: f32,
    },
}

impl What {
    /// The stage that it belongs to. A magnet's own lookup is counted under [`Stage::Dht`] as it happens.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::Visit | Self::Resolve => Stage::Index,
            Self::Torrent | Self::Magnet | Self::Root => Stage::Metadata,
            Self::Announce(_) => Stage::Announce,
            Self::Lookup | Self::Crawl => Stage::Dht,
            Self::Transfer { .. } | Self::Read { .. } => Stage::Pieces,
        }
    }
}

/// The event of an announce (BEP 3, BEP 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnnounceEvent {
    /// First announce.
    Started,
    /// Regular announce.
    Interval,
    /// The download has finished.
    Completed,
    /// The peer leaves.
    Stopped,
}

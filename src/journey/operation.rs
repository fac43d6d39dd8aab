//! What a journey asks of the target, and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::plan::{AnnounceEvent, Stage};
use crate::profile::{HttpEndpoint, Layer, Target};
use crate::scenario::Funnel;
use crate::unit::Tick;

use super::{Group, Web};

use super::Oddity;

/// Who asks: everything about a visitor that shapes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// Seed of its own stream: peer id, keys, choices among peers.
    pub seed: u64,
    /// What its source address follows from; visitors of one address cluster share it.
    pub source: u64,
    /// Client, as an index into the mix.
    pub client: u8,
    /// Access line, as an index into the mix.
    pub access: u8,
    /// Region, as an index into the audience.
    pub region: u8,
    /// Rank of the content that it is after.
    pub content: u16,
    /// Class of that content, as an index into the catalogue.
    pub class: u16,
    /// Whether it was there before: its browser has pages and TLS sessions of then.
    pub returning: bool,
    /// Whether its browser still has the page's assets.
    pub cached: bool,
    /// Whether peers can connect to it.
    pub reachable: bool,
    /// Whether it is going to fetch the content: then it is a peer itself. Others only announce that there is one.
    pub transfers: bool,
}

impl Visitor {
    /// One to test with.
    #[cfg(test)]
    pub(crate) const fn sample() -> Self {
        Self {
            seed: 1,
            source: 1,
            client: 0,
            access: 0,
            region: 0,
            content: 0,
            class: 0,
            returning: false,
            cached: false,
            reachable: true,
            transfers: false,
        }
    }

    /// What its download is told apart by.
    #[must_use]
    pub const fn group(&self) -> Group {
        Group { class: self.class, access: self.access }
    }
}

/// A peer's address.
pub type Peer = SocketAddr;

/// A server that visitors know by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The web pages.
    Index,
    /// The `.torrent` files.
    Metadata,
    /// The gateway of IPFS or BTFS.
    Gateway,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 3] = [Self::Index, Self::Metadata, Self::Gateway];

    /// Where it is, if the target has it.
    #[must_use]
    pub fn endpoint(self, target: &Target) -> Option<&HttpEndpoint> {
        match self {
            Self::Index => Some(&target.index.server),
            Self::Metadata => Some(&target.metadata),
            Self::Gateway => target.gateway.as_ref().map(|gateway| &gateway.server),
        }
    }
}

/// One thing that a journey asks of the target.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The addresses of a server, of a resolver (RFC 1035). Replies [`Reply::Resolved`].
    Resolve(Service),
    /// The landing page of the visitor's content, on a new connection that is kept for its assets.
    Page,
    /// The n-th asset of the page, on the kept connection.
    Asset(u32),
    /// A request outside the funnel (side traffic, by its index in the scenario), on a connection of its own, or on one that
    /// its traffic keeps.
    Side(u8),
    /// The `.torrent` over HTTP. Replies [`Reply::Metadata`].
    Torrent,
    /// The info dictionary from one of these peers (BEP 9), checked against the info-hash. Replies [`Reply::Metadata`].
    PeerMetadata {
        /// Candidates; the world tries some of them in turn.
        peers: Vec<Peer>,
    },
    /// An announce over the tracker protocol that the visitor's client and the target share. Replies [`Reply::Peers`].
    Announce {
        /// Its event.
        event: AnnounceEvent,
        /// Bytes left to fetch.
        left: u64,
        /// Bytes fetched.
        downloaded: u64,
        /// Peers that it asks for, where that is not the client's choice; -1 leaves it to the tracker.
        numwant: Option<i32>,
    },
    /// An iterative `get_peers` lookup (BEP 5). Replies [`Reply::Peers`].
    Lookup {
        /// Whether [`Operation::AnnouncePeer`] follows: then it needs tokens, and peers only as far as there are any.
        announce: bool,
    },
    /// `announce_peer` to the closest nodes of the journey's last lookup, with the tokens that they gave (BEP 5).
    AnnouncePeer,
    /// `sample_infohashes` on the way to an id of the visitor's own choice (BEP 51): what an indexer does again and again.
    Crawl,
    /// Connect to one of these peers: TCP, handshake, extension handshake, bitfield, unchoke. Replies [`Reply::Handshake`]. The
    /// connection is kept until the journey is released.
    Handshake {
        /// Candidates; the world tries some of them in turn.
        peers: Vec<Peer>,
    },
    /// One piece over the kept connection, pipelined in 16 KiB blocks, shaped to the visitor's access line, checked by SHA-1.
    Piece {
        /// Index of the piece.
        index: u32,
        /// The pieces after it and before this one will be wanted next, in order. As every client does, the world asks for their
        /// blocks before this piece is whole, so that the connection is never without requests. Each stays an operation of its own,
        /// which may find blocks there already.
        until: u32,
    },
    /// The root block of the content's DAG through the gateway, checked by its CID. Replies [`Reply::Metadata`]; its pieces are the
    /// links of the root.
    Root,
    /// Connect to the gateway and read the root block. Replies [`Reply::Handshake`]. The connection is kept until the journey is
    /// released.
    Open,
    /// What one link of the root leads to, over the kept connection, shaped to the visitor's access line, checked by its CID: a block,
    /// or a CAR with all that is below it.
    Block {
        /// Which link.
        index: u32,
    },
}

/// What is recorded under one name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A name that was resolved. Counted under the visit, for which nearly all are.
    Resolve,
    /// A landing page.
    Page,
    /// An asset of a page.
    Asset,
    /// A page of side traffic.
    Side,
    /// A `.torrent`, or the root block of a DAG, over HTTP.
    Torrent,
    /// Metadata from a peer.
    PeerMetadata,
    /// A tracker announce.
    Announce,
    /// The scrape that precedes an announce: a part, not an operation of its own.
    Scrape,
    /// A DHT lookup.
    Lookup,
    /// The `announce_peer` queries after a lookup.
    AnnouncePeer,
    /// A walk that gathers info-hashes from the DHT.
    Crawl,
    /// One KRPC query: a part, not an operation of its own.
    Query,
    /// A peer connection up to the unchoke, or one to a gateway up to the root block.
    Handshake,
    /// A piece, or what a link of a DAG's root leads to.
    Piece,
}

impl Kind {
    /// Every kind, in funnel order.
    pub const ALL: [Self; 14] = [
        Self::Resolve,
        Self::Page,
        Self::Asset,
        Self::Side,
        Self::Torrent,
        Self::PeerMetadata,
        Self::Announce,
        Self::Scrape,
        Self::Lookup,
        Self::AnnouncePeer,
        Self::Crawl,
        Self::Query,
        Self::Handshake,
        Self::Piece,
    ];

    /// The name used in files, tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Page => "page",
            Self::Asset => "asset",
            Self::Side => "side",
            Self::Torrent => "torrent",
            Self::PeerMetadata => "peer-metadata",
            Self::Announce => "announce",
            Self::Scrape => "scrape",
            Self::Lookup => "lookup",
            Self::AnnouncePeer => "announce-peer",
            Self::Crawl => "crawl",
            Self::Query => "query",
            Self::Handshake => "handshake",
            Self::Piece => "piece",
        }
    }

    /// The stage that it is counted under.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self {
            Self::Resolve | Self::Page | Self::Asset | Self::Side => Stage::Index,
            Self::Torrent | Self::PeerMetadata => Stage::Metadata,
            Self::Announce | Self::Scrape => Stage::Announce,
            Self::Lookup | Self::AnnouncePeer | Self::Crawl | Self::Query => Stage::Dht,
            Self::Handshake | Self::Piece => Stage::Pieces,
        }
    }

    /// The layer that it loads.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::Resolve => Layer::Dns,
            Self::Page | Self::Asset | Self::Side => Layer::Index,
            Self::Torrent => Layer::Metadata,
            Self::Announce | Self::Scrape => Layer::Tracker,
            Self::Lookup | Self::AnnouncePeer | Self::Crawl | Self::Query => Layer::Dht,
            Self::PeerMetadata | Self::Handshake | Self::Piece => Layer::Seedbox,
        }
    }

    /// Whether it is only a part of an operation: it has a latency and a result, but no place in the ledger.
    #[must_use]
    pub const fn is_part(self) -> bool {
        matches!(self, Self::Scrape | Self::Query)
    }

    /// Whether it is an operation of this layer, and no part of one.
    #[must_use]
    pub fn is_operation_of(self, layer: Layer) -> bool {
        self.layer() == layer && !self.is_part()
    }
}

impl Operation {
    /// How long a visitor waits for it, in run time.
    #[must_use]
    pub fn patience(&self, funnel: &Funnel) -> Duration {
        match self {
            // Nobody looks on: the client tries for as long as it takes. This leaves room for the retransmissions of BEP 15 after 15 s
            // and 45 s, and for lookups among nodes that are gone, each of which is waited for 15 s [assumed].
            Self::Announce { .. } | Self::Lookup { .. } | Self::AnnouncePeer | Self::Crawl => {
                funnel.patience.max(Duration::from_secs(60))
            }
            _ => funnel.patience,
        }
    }

    /// The server whose address it needs. Assets come over the connection of their page.
    pub(super) const fn service(&self) -> Option<Service> {
        match self {
            Self::Page | Self::Side(_) => Some(Service::Index),
            Self::Torrent => Some(Service::Metadata),
            Self::Root | Self::Open => Some(Service::Gateway),
            _ => None,
        }
    }

    /// Before another try: the list is turned by one, so that another peer stands wherever the world begins.
    pub(super) fn ask_others_first(&mut self) {
        if let Self::Handshake { peers } | Self::PeerMetadata { peers } = self
            && !peers.is_empty()
        {
            peers.rotate_left(1);
        }
    }

    /// Another try asks those first of whom the visitor has heard meanwhile.
    pub(super) fn ask_newcomers_first(&mut self, heard: &[Peer]) {
        if let Self::Handshake { peers } = self {
            let newcomers: Vec<Peer> = heard.iter().copied().filter(|peer| !peers.contains(peer)).collect();
            peers.splice(..0, newcomers);
        }
    }

    /// What it is recorded as.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Resolve(_) => Kind::Resolve,
            Self::Page => Kind::Page,
            Self::Asset(_) => Kind::Asset,
            Self::Side(_) => Kind::Side,
            Self::Torrent | Self::Root => Kind::Torrent,
            Self::PeerMetadata { .. } => Kind::PeerMetadata,
            Self::Announce { .. } => Kind::Announce,
            Self::Lookup { .. } => Kind::Lookup,
            Self::AnnouncePeer => Kind::AnnouncePeer,
            Self::Crawl => Kind::Crawl,
            Self::Handshake { .. } | Self::Open => Kind::Handshake,
            Self::Piece { .. } | Self::Block { .. } => Kind::Piece,
        }
    }
}

/// What the target answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing that the journey needs.
    Done,
    /// The address of a server, which is the one that the target's profile names.
    Resolved {
        /// How long the answer may be kept.
        ttl: Duration,
    },
    /// The torrent's layout.
    Metadata {
        /// Number of pieces.
        pieces: u32,
        /// Bytes of the whole content.
        size: u64,
        /// Whether there are web seeds that can be asked for it, so that it takes no peer.
        web_seeds: bool,
    },
    /// Peers of the swarm, those outside the allowed networks already taken out; may be empty.
    Peers(Vec<Peer>),
    /// A peer, or the gateway, is ready to send.
    Handshake {
        /// Number of pieces.
        pieces: u32,
        /// Bytes of the whole content.
        size: u64,
    },
}

/// Why an operation failed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// No answer within the visitor's patience.
    Timeout,
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed before the answer was whole.
    Closed,
    /// HTTP 4xx.
    ClientError,
    /// HTTP 5xx.
    ServerError,
    /// HTTP 429 or 503 with the word when to come again (`Retry-After`).
    Throttled,
    /// The answer broke the protocol.
    Malformed,
    /// The answer was well-formed and wrong (a bad hash, a foreign info-hash).
    Incorrect,
    /// The layer said no (tracker error, KRPC error, choked for good).
    Rejected,
    /// Every peer offered, or where a redirect leads, lay outside the allowed networks; none was contacted.
    Foreign,
    /// No peer to ask.
    NoPeers,
    /// Only other visitors to ask, and none of them could: they have left, or cannot be connected to, or had nothing to give. Nothing of
    /// the target's was contacted.
    Visitors,
    /// The layer's queue was full (model world only).
    Overloaded,
    /// The generator's own fault: no port, no descriptor, no memory.
    Local,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 14] = [
        Self::Timeout,
        Self::Refused,
        Self::Closed,
        Self::ClientError,
        Self::ServerError,
        Self::Throttled,
        Self::Malformed,
        Self::Incorrect,
        Self::Rejected,
        Self::Foreign,
        Self::NoPeers,
        Self::Visitors,
        Self::Overloaded,
        Self::Local,
    ];

    /// The name used in files, tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::ClientError => "client-error",
            Self::ServerError => "server-error",
            Self::Throttled => "throttled",
            Self::Malformed => "malformed",
            Self::Incorrect => "incorrect",
            Self::Rejected => "rejected",
            Self::Foreign => "foreign",
            Self::NoPeers => "no-peers",
            Self::Visitors => "visitors",
            Self::Overloaded => "overloaded",
            Self::Local => "local",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// When the first byte was handed to the target.
    pub started: Tick,
    /// When the answer was whole, or the operation was given up.
    pub ended: Tick,
    /// The answer.
    pub result: Result<Reply, Cause>,
    /// Payload bytes received.
    pub bytes_in: u64,
    /// Payload bytes sent.
    pub bytes_out: u64,
    /// Peers outside the allowed networks that the answer named.
    pub foreign: u32,
    /// Datagrams or requests sent again by the protocol itself (BEP 15 retransmission).
    pub retransmits: u32,
    /// What its HTTP exchanges were like.
    pub web: Web,
    /// Before this moment the target does not want to be asked again.
    pub not_before: Option<Tick>,
    /// What was noticed about answers, and how often.
    pub oddities: Vec<(Oddity, u32)>,
    /// What the operation was made of.
    pub parts: Vec<Part>,
}

/// A part of an operation that is worth its own latency: one KRPC query, the scrape before an announce.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// When it was sent.
    pub started: Tick,
    /// How long it took.
    pub took: Duration,
    /// Its result.
    pub result: Result<(), Cause>,
}

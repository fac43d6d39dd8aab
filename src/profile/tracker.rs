//! Trackers of a target, and how clients speak to them.

use std::net::SocketAddr;

use super::Tls;

/// The protocol that a tracker speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackerKind {
    /// Datagrams (BEP 15).
    Udp,
    /// HTTP requests (BEP 3).
    Http,
    /// JSON over a WebSocket (WebTorrent).
    Ws,
}

impl TrackerKind {
    /// The name used in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Ws => "ws",
        }
    }
}

/// One tracker of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracker {
    /// What it speaks.
    pub kind: TrackerKind,
    /// Where it listens. Trackers that share an address are one daemon, with the same swarms.
    pub address: SocketAddr,
    /// `Host` header, where it speaks HTTP or WebSocket.
    pub host: String,
    /// Path of announces, with a query where it has one; UDP sends it as an option (BEP 41), and nothing where it is empty.
    pub path: String,
    /// How it proves who it is; `None` is plain. Never with UDP.
    pub tls: Option<Tls>,
    /// Its place in the list of lists (BEP 12): a visitor asks none of a higher tier while one of a lower answers.
    pub tier: u16,
    /// How often visitors choose it, relative to the others of its tier that their client speaks.
    pub weight: f64,
}

impl Tracker {
    /// A UDP tracker without a path, in the first tier.
    #[must_use]
    pub fn udp(address: SocketAddr) -> Self {
        Self {
            kind: TrackerKind::Udp,
            address,
            host: address.to_string(),
            path: String::new(),
            tls: None,
            tier: 1,
            weight: 1.0,
        }
    }
}

/// How a client speaks to trackers.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackerHabits {
    /// What it speaks.
    pub kinds: Vec<TrackerKind>,
    /// The query of an HTTP announce, in its own order: placeholders in braces, see [`TrackerHabits::PLACEHOLDERS`]. A parameter whose
    /// placeholder stands for nothing is left out.
    pub query: String,
    /// Share of its visitors that scrape before they announce that they start.
    pub scrape: f64,
    /// Torrents that such a scrape asks about: the visitor's own, and those after it in the target's list.
    pub scrape_torrents: u16,
}

impl TrackerHabits {
    /// What an announce query may name. `KEY` is the key in capitals.
    pub const PLACEHOLDERS: [&'static str; 10] = [
        "{info_hash}",
        "{peer_id}",
        "{port}",
        "{uploaded}",
        "{downloaded}",
        "{left}",
        "{event}",
        "{numwant}",
        "{key}",
        "{KEY}",
    ];

    /// What no tracker can do without (BEP 3).
    pub const NEEDED: [&'static str; 4] = ["{info_hash}", "{peer_id}", "{port}", "{left}"];

    /// libtorrent's order (`http_tracker_connection.cpp`); qBittorrent and Deluge are built on it.
    pub const LIBTORRENT: &'static str = "info_hash={info_hash}&peer_id={peer_id}&port={port}&uploaded={uploaded}&\
         downloaded={downloaded}&left={left}&corrupt=0&key={KEY}&event={event}&numwant={numwant}&compact=1&no_peer_id=1&\
         supportcrypto=1&redundant=0";
}

impl Default for TrackerHabits {
    fn default() -> Self {
        Self {
            kinds: vec![TrackerKind::Udp, TrackerKind::Http],
            query: Self::LIBTORRENT.to_owned(),
            scrape: 0.0,
            scrape_torrents: 1,
        }
    }
}

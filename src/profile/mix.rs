//! Who the visitors are: clients and access lines.

/// A weighted choice. Shares are normalised to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix<T> {
    /// Every member with its share.
    pub members: Vec<(T, f64)>,
}

/// A BitTorrent client as its peers and trackers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Client {
    /// Name in files and reports.
    pub name: String,
    /// First eight bytes of the peer id (BEP 20), such as `-qB4520-`.
    pub peer_id_prefix: [u8; 8],
    /// HTTP user agent.
    pub user_agent: String,
    /// Peers asked for in an announce; -1 leaves it to the tracker (BEP 15).
    pub numwant: i32,
    /// Whether it uses the DHT beside trackers.
    pub dht: bool,
}

/// An access line.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Name in files and reports.
    pub name: String,
    /// Bytes per second towards the visitor.
    pub down: f64,
    /// Bytes per second from the visitor.
    pub up: f64,
}

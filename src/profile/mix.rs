//! Who the visitors are: clients and access lines.

use std::time::Duration;

use crate::problem::{Reported, Table};
use crate::unit::Share;

use super::TrackerHabits;

/// A weighted choice. Shares are normalised to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix<T> {
    /// Every member with its share.
    pub members: Vec<(T, f64)>,
}

/// Members whose shares add up to exactly 1, from members whose shares add up to 100% as people round; at most 256, as plans number them
/// in a byte.
///
/// # Errors
/// They add up to something else, or there are too many; `key` names the array of tables that they were read from.
pub(crate) fn normalised<T>(
    table: &Table<'_>,
    key: &str,
    members: Vec<(T, f64)>,
) -> Result<Vec<(T, f64)>, Reported> {
    if members.len() > 256 {
        let message = format!("{} times `{key}` is too many", members.len());
        return Err(table.wrong(key, message, Some("at most 256 are told apart".to_owned())));
    }
    let sum: f64 = members.iter().map(|(_, share)| share).sum();
    // Thirds may be written as 33%.
    if (sum - 1.0).abs() > 0.011 {
        let message = format!("the shares of `{key}` add up to {}", Share((sum * 1e4).round() / 1e4));
        return Err(table.wrong(key, message, Some("they must add up to 100%".to_owned())));
    }
    Ok(members.into_iter().map(|(member, share)| (member, share / sum)).collect())
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
    /// Share of its visitors that speak HTTP/2, 0..1; all speak HTTP/1.1.
    pub http2: f64,
    /// Share of its visitors that speak HTTP/3 too, 0..`http2`.
    pub http3: f64,
    /// Peers asked for in an announce; -1 leaves it to the tracker (BEP 15). Whoever leaves asks for none, as libtorrent and Transmission do.
    pub numwant: i32,
    /// Share of its visitors that speak uTP (BEP 29), 0..1; all speak TCP.
    pub utp: f64,
    /// Whether it encrypts its connections to peers.
    pub encryption: Encryption,
    /// How it speaks to trackers.
    pub tracker: TrackerHabits,
    /// Whether it uses the DHT beside trackers.
    pub dht: bool,
    /// How its DHT node searches.
    pub lookup: DhtHabits,
}

/// What a client makes of message stream encryption between peers (MSE, Vuze's specification).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// It does not speak it.
    #[default]
    Disabled,
    /// It encrypts what it opens, and tries again without where the peer does not speak it; it takes in both.
    Prefer,
    /// It speaks to nobody who does not encrypt.
    Require,
}

/// How a client's DHT node searches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DhtHabits {
    /// Queries under way at a time (the α of Kademlia).
    pub alpha: u32,
    /// Closest nodes that have to answer before a lookup is over, and that are announced to.
    pub width: u32,
    /// How long a query is waited for before another node is asked in its stead.
    pub short_timeout: Duration,
    /// How long it is waited for at all.
    pub timeout: Duration,
    /// Share of its visitors whose node begins with an empty table [assumed]: their first lookup is preceded by one of their own id.
    pub fresh: f64,
    /// Whether such a node pings the bootstrap nodes before it asks them.
    pub pings: bool,
}

impl Default for DhtHabits {
    /// libtorrent's (`dht_search_branching`; `rpc_manager.cpp`), with the share of [fresh](Self::fresh) nodes assumed.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { alpha: 5, width: 8, short_timeout: seconds(1), timeout: seconds(15), fresh: 0.1, pings: false }
    }
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
    /// Share of its visitors whom no peer can reach from outside (NAT, firewall).
    pub unreachable: f64,
}

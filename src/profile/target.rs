//! The fleet under load.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Envelope, Layer, Tracker};

/// The fleet under load: where its layers answer, what they hold and what they promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name in reports.
    pub name: String,
    /// Web pages.
    pub index: Index,
    /// `.torrent` files.
    pub metadata: HttpEndpoint,
    /// Trackers. Never empty.
    pub trackers: Vec<Tracker>,
    /// Nodes that a DHT lookup starts from.
    pub dht: Vec<SocketAddr>,
    /// What those nodes and the others of their network promise.
    pub dht_nodes: DhtNodes,
    /// Resolvers of the visitors; without them nobody resolves a name.
    pub dns: Option<Dns>,
    /// Port that visitors announce as their own. Visitors do not upload yet, so a testbed names its seedbox here: it answers in their stead.
    /// Without it visitors announce a port of their own on which nothing listens.
    pub stand_in_port: Option<u16>,
    /// The target's own peers. Where they are named, the swarms are theirs and the visitors' alone: anybody else whom a tracker names is a
    /// stranger. Empty where that is not known.
    pub own_peers: Vec<SocketAddr>,
    /// What can be fetched. Item r stands for rank r of the scenario's catalogue; a shorter list is used modulo its length. Never empty.
    pub content: Vec<ContentItem>,
    /// What each layer promises.
    pub envelope: Envelope,
    /// Local processes whose CPU, memory and descriptors are sampled.
    pub processes: Vec<Process>,
    /// Leave to load addresses outside loopback.
    pub authorization: Option<Authorization>,
}

/// What the nodes of a DHT promise, beyond BEP 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DhtNodes {
    /// Nodes that an answer names at most, of each address family (BEP 5: K = 8).
    pub k: u32,
    /// Whether the ids of nodes at local addresses are held against BEP 42 too, which exempts them.
    pub check_local_ids: bool,
}

impl Default for DhtNodes {
    /// BEP 5 and BEP 42 as they stand.
    fn default() -> Self {
        Self { k: 8, check_local_ids: false }
    }
}

/// The resolvers of the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Dns {
    /// Where they listen, in the order in which a stub asks them. Never empty.
    pub resolvers: Vec<SocketAddr>,
    /// Share of the visitors who come with a name cached already [assumed].
    pub cached: f64,
}

/// The web pages of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The server.
    pub server: HttpEndpoint,
    /// Path of the landing page; `{name}` stands for the content's name.
    pub page: String,
    /// Paths of the assets; the n-th asset of a visit is `assets[n % assets.len()]`. Empty: the visit has no assets.
    pub assets: Vec<String>,
}

/// An HTTP/1.1 server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// `Host` header.
    pub host: String,
}

impl HttpEndpoint {
    /// The name that a resolver knows it by: its host, unless that is an address.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let is_port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => &self.host,
        };
        let is_address = name.starts_with('[') || name.parse::<IpAddr>().is_ok();
        (!is_address && !name.is_empty()).then_some(name)
    }
}

/// One torrent of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentItem {
    /// Name in reports.
    pub name: String,
    /// SHA-1 of the info dictionary (BEP 3).
    pub info_hash: [u8; 20],
    /// Path of the `.torrent` on the metadata server.
    pub torrent_path: String,
}

/// A local process that serves a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The layer it serves.
    pub layer: Layer,
    /// Process id.
    pub pid: u32,
}

/// Leave to load a fleet that is not on loopback. The second half, a token served by the target, is checked by the live world.
#[derive(Clone, Debug, PartialEq)]
pub struct Authorization {
    /// Networks that may be contacted.
    pub networks: Vec<IpNet>,
    /// Operations per second, over all stages, never exceeded.
    pub ceiling: f64,
    /// First moment of the window.
    pub from: jiff::Timestamp,
    /// Last moment of the window.
    pub until: jiff::Timestamp,
    /// Whom to call.
    pub contact: String,
    /// What `GET /.well-known/squall-authorization` on every HTTP host of the target must contain.
    pub token: String,
}

//! The fleet under load.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use rustls_pki_types::{CertificateDer, ServerName};

use super::{Capacity, ContentItem, Envelope, Layer, MetricsEndpoint, Shaper, Tracker};

/// The fleet under load: where its layers answer, what they hold and what they promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Name in reports.
    pub name: String,
    /// Web pages.
    pub index: Index,
    /// `.torrent` files.
    pub metadata: HttpEndpoint,
    /// A trustless gateway of IPFS or BTFS, for content that is read through one.
    pub gateway: Option<Gateway>,
    /// Web servers beside the funnel, each under the name that side traffic calls it by.
    pub web: Vec<WebEndpoint>,
    /// Trackers. Never empty.
    pub trackers: Vec<Tracker>,
    /// Nodes that a DHT lookup starts from.
    pub dht: Vec<SocketAddr>,
    /// What those nodes and the others of their network promise.
    pub dht_nodes: DhtNodes,
    /// Resolvers of the visitors; without them nobody resolves a name.
    pub dns: Option<Dns>,
    /// Port that visitors announce who only announce: a testbed names its seedbox here, which answers in their stead. Without it they announce
    /// a port of their own on which nothing listens. Visitors who fetch listen themselves.
    pub stand_in_port: Option<u16>,
    /// The target's own peers. Where they are named, the swarms are theirs and the visitors' alone: anybody else whom a tracker names is a
    /// stranger. Empty where that is not known.
    pub own_peers: Vec<SocketAddr>,
    /// What its peers speak, and so what visitors try. Never empty.
    pub transports: Vec<Transport>,
    /// Networks that are routed to this machine and that visitors have their addresses in. Towards servers of a kind that none is for,
    /// visitors on IPv4 loopback have addresses there, all others the system's choice.
    pub visitor_networks: Vec<IpNet>,
    /// What can be fetched. Item r stands for rank r of the scenario's catalogue; a shorter list is used modulo its length. Never empty.
    pub content: Vec<ContentItem>,
    /// What each layer promises.
    pub envelope: Envelope,
    /// What layers are known to carry.
    pub capacity: BTreeMap<Layer, Capacity>,
    /// Relays before layers, by which faults are brought about. A layer may have several: each stands before a part of it.
    pub shapers: Vec<Shaper>,
    /// Local processes whose CPU, memory and descriptors are sampled.
    pub processes: Vec<Process>,
    /// Where metrics are read while it is under load.
    pub metrics: Vec<MetricsEndpoint>,
    /// Leave to load addresses outside loopback.
    pub authorization: Option<Authorization>,
}

impl Target {
    /// Every address that is contacted, as far as the profile names them: by visitors, or for metrics.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.servers().chain(self.metrics.iter().map(|metrics| metrics.address))
    }

    /// Every address that visitors contact, as far as the profile names them.
    pub fn servers(&self) -> impl Iterator<Item = SocketAddr> {
        let servers = [&self.index.server, &self.metadata].into_iter();
        let servers = servers.chain(self.gateway.iter().map(|gateway| &gateway.server));
        let http = servers.chain(self.web.iter().map(|web| &web.server)).map(|server| server.address);
        http.chain(self.trackers.iter().map(|tracker| tracker.address))
            .chain(self.dht.iter().copied())
            .chain(self.dns.iter().flat_map(|dns| dns.resolvers.iter().copied()))
    }
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

/// A trustless gateway (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>): its answers are checked by the CIDs asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The server.
    pub server: HttpEndpoint,
    /// Path of a DAG; `{cid}` stands for its root.
    pub path: String,
}

/// An HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpEndpoint {
    /// Where it listens; for HTTP/3 the UDP port of the same number.
    pub address: SocketAddr,
    /// `Host` header, the `:authority` of HTTP/2 and 3.
    pub host: String,
    /// How it proves who it is; `None` speaks plain HTTP.
    pub tls: Option<Tls>,
    /// What it speaks, oldest first. Never empty.
    pub versions: Vec<HttpVersion>,
}

impl HttpEndpoint {
    /// A server of plain HTTP/1.1.
    #[must_use]
    pub fn plain(address: SocketAddr, host: String) -> Self {
        Self { address, host, tls: None, versions: vec![HttpVersion::One] }
    }
}

/// How a server proves who it is (TLS 1.2 or 1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The name that its certificate must be for.
    pub server_name: ServerName<'static>,
    /// What its certificate must go back to. Never empty.
    pub roots: Vec<CertificateDer<'static>>,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1 (RFC 9112).
    One,
    /// HTTP/2 (RFC 9113).
    Two,
    /// HTTP/3 (RFC 9114).
    Three,
}

impl HttpVersion {
    /// The name used in files and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "1.1",
            Self::Two => "2",
            Self::Three => "3",
        }
    }
}

/// What carries the peer wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP (BEP 3).
    Tcp,
    /// uTP, over UDP (BEP 29).
    Utp,
}

/// A web server beside the funnel: a status page, a wallet, an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebEndpoint {
    /// What side traffic calls it by.
    pub name: String,
    /// The server.
    pub server: HttpEndpoint,
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

//! The fleet as a target profile.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use serde::Serialize;

use crate::envelope::{self, LayerEnvelope};
use crate::front::{self, Front, SHAPED, Stated};
use crate::layer::Layer;
use crate::layers::asset_paths;

/// Nodes that a DHT lookup may start from, of those that there are.
const BOOTSTRAP: usize = 4;

/// Nodes that mainline names in an answer, more than the 8 of BEP 5.
const NODES_OF_AN_ANSWER: u32 = 20;

/// A running fleet: where its layers answer and what they hold.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) front: Front,
    /// Where the layers themselves answer.
    pub(crate) index: SocketAddrV4,
    pub(crate) metadata: SocketAddrV4,
    pub(crate) tracker: SocketAddrV4,
    pub(crate) dht: Vec<SocketAddrV4>,
    pub(crate) seedbox: SocketAddrV4,
    pub(crate) content: Vec<Offer>,
    /// What the content is computed from.
    pub(crate) seed: u64,
    pub(crate) processes: Vec<(Layer, u32)>,
}

/// One item as it can be had.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) name: String,
    /// In hexadecimal.
    pub(crate) info_hash: String,
    /// Root of its DAG, where the gateway has it.
    pub(crate) cid: Option<String>,
}

#[derive(Serialize)]
struct Profile<'a> {
    squall: u32,
    kind: &'static str,
    name: &'static str,
    index: Index,
    metadata: Server,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<Server>,
    tracker: [Tracker; 1],
    dht: Dht<'a>,
    swarm: Swarm,
    content: Vec<Content<'a>>,
    process: Vec<Process>,
    shaper: Vec<Shaper>,
    capacity: BTreeMap<&'static str, Stated>,
    envelope: BTreeMap<&'static str, LayerEnvelope>,
}

#[derive(Serialize)]
struct Index {
    address: SocketAddrV4,
    host: &'static str,
    page: &'static str,
    assets: Vec<String>,
}

#[derive(Serialize)]
struct Server {
    address: SocketAddrV4,
    host: &'static str,
}

#[derive(Serialize)]
struct Tracker {
    address: SocketAddrV4,
}

#[derive(Serialize)]
struct Dht<'a> {
    bootstrap: &'a [SocketAddrV4],
    k: u32,
}

#[derive(Serialize)]
struct Swarm {
    stand_in_port: u16,
    /// The tracker is new, so nobody else can be in its swarms.
    peers: [SocketAddrV4; 1],
}

#[derive(Serialize)]
struct Content<'a> {
    name: &'a str,
    info_hash: &'a str,
    torrent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<&'a str>,
    seed: u64,
}

#[derive(Serialize)]
struct Shaper {
    layer: &'static str,
    control: SocketAddrV4,
    relay: &'static str,
}

#[derive(Serialize)]
struct Process {
    layer: &'static str,
    pid: u32,
}

/// The profile as TOML, version 1.
///
/// # Errors
/// The encoder's.
pub(crate) fn toml(fleet: &Fleet) -> Result<String, toml::ser::Error> {
    let at = |layer, bare| fleet.front.address(layer, bare);
    let seedbox = at(Layer::Seedbox, fleet.seedbox);
    let profile = Profile {
        squall: 1,
        kind: "target",
        name: "testbed",
        index: Index {
            address: at(Layer::Index, fleet.index),
            host: "index.testbed",
            page: "/content/{name}",
            assets: asset_paths(),
        },
        metadata: Server { address: at(Layer::Metadata, fleet.metadata), host: "metadata.testbed" },
        gateway: fleet
            .content
            .iter()
            .any(|offer| offer.cid.is_some())
            .then_some(Server { address: fleet.metadata, host: "gateway.testbed" }),
        tracker: [Tracker { address: at(Layer::Tracker, fleet.tracker) }],
        dht: Dht { bootstrap: &fleet.dht[..fleet.dht.len().min(BOOTSTRAP)], k: NODES_OF_AN_ANSWER },
        swarm: Swarm { stand_in_port: seedbox.port(), peers: [seedbox] },
        content: fleet.content.iter().map(|item| content(item, fleet.seed)).collect(),
        process: fleet
            .processes
            .iter()
            .filter(|(layer, _)| Layer::FLEET.contains(layer))
            .map(|(layer, pid)| Process { layer: layer.name(), pid: *pid })
            .collect(),
        shaper: SHAPED
            .map(|layer| Shaper { layer: layer.name(), control: fleet.front.control, relay: layer.name() })
            .into(),
        capacity: SHAPED.into_iter().map(|layer| (layer.name(), front::capacity(layer).stated())).collect(),
        envelope: Layer::FLEET
            .into_iter()
            .filter_map(|layer| Some((layer.name(), envelope::of(layer)?)))
            .collect(),
    };
    toml::to_string(&profile)
}

fn content(Offer { name, info_hash, cid }: &Offer, seed: u64) -> Content<'_> {
    Content { name, info_hash, torrent: format!("/torrents/{name}.torrent"), cid: cid.as_deref(), seed }
}

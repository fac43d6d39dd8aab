//! Targets for tests.

use std::net::SocketAddr;

use crate::profile::{
    Authorization, ContentItem, DhtNodes, Envelope, HttpEndpoint, Index, Target, TorrentItem, Tracker,
    Transport,
};

/// A target all of whose layers answer at `address`.
pub(super) fn target(address: SocketAddr) -> Target {
    let server = HttpEndpoint::plain(address, "fleet.test".to_owned());
    Target {
        name: "fixture".to_owned(),
        index: Index {
            server: server.clone(),
            page: "/page/{name}".to_owned(),
            assets: vec!["/style.css".to_owned()],
        },
        metadata: server,
        gateway: None,
        web: Vec::new(),
        trackers: vec![Tracker::udp(address)],
        dht: vec![address],
        dht_nodes: DhtNodes::default(),
        dns: None,
        stand_in_port: None,
        own_peers: Vec::new(),
        transports: vec![Transport::Tcp],
        visitor_networks: Vec::new(),
        content: vec![ContentItem {
            name: "release".to_owned(),
            torrent: Some(TorrentItem {
                info_hash: [7; 20].into(),
                path: "/release.torrent".to_owned(),
                web_seeds: Vec::new(),
            }),
            cid: None,
            seed: None,
        }],
        envelope: Envelope::default(),
        capacity: Default::default(),
        shapers: Vec::new(),
        processes: Vec::new(),
        metrics: Vec::new(),
        authorization: None,
    }
}

/// Leave for `network`, from the start of time until far away, with the token `agreed`.
pub(super) fn authorization(network: &str) -> Authorization {
    Authorization {
        networks: vec![network.parse().unwrap()],
        ceiling: 100.0,
        from: jiff::Timestamp::UNIX_EPOCH,
        until: jiff::Timestamp::MAX,
        contact: "ops@fleet.test".to_owned(),
        token: "agreed".to_owned(),
    }
}

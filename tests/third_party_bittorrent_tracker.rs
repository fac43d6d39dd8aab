//! Announces and scrapes against npm's `bittorrent-tracker`: UDP, HTTP and WebSocket, IPv4 and IPv6.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;

use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::{Tracker, TrackerKind};
use support::conformity::shown;
use support::tracker::{announce, bittorrent_tracker, sound};
use support::{PATIENCE, local, peers, perform, scenario, target, world_of};

const HASH: [u8; 20] = [0x5a, 0, 0xff, b'%', b'&', 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A world whose visitors all speak `kind`, and scrape before they start.
fn speaking(kind: TrackerKind, address: SocketAddr) -> LiveWorld {
    let path = match kind {
        TrackerKind::Udp => "",
        TrackerKind::Http => "/announce",
        TrackerKind::Ws => "/",
    };
    let mut mine = target(address, HASH);
    mine.trackers = vec![Tracker { kind, path: path.to_owned(), ..Tracker::udp(address) }];
    let mut crowd = scenario(PATIENCE);
    let client = &mut crowd.clients.members[0].0;
    client.tracker.kinds = vec![kind];
    client.tracker.scrape = 1.0;
    world_of(mine, crowd)
}

/// Visitors come, finish and leave; the tracker's numbers are held against them by the world itself.
fn a_life(kind: TrackerKind, address: &str) {
    let Some((_daemon, address)) = bittorrent_tracker(address) else { return };
    local(async {
        let mut world = speaking(kind, address);
        let mut step = async |visitor, event, left| {
            let outcome = perform(&mut world, visitor, announce(event, left)).await;
            sound(&outcome);
            assert_eq!(outcome.parts.len(), usize::from(event == AnnounceEvent::Started));
            peers(outcome)
        };
        step(1, AnnounceEvent::Started, 0).await;
        let seen = step(2, AnnounceEvent::Started, 9).await;
        // It names the asker as well. Peers of a WebSocket tracker are offers to connect, and nobody made one; over UDP it has no IPv6 peers.
        let named = match kind {
            TrackerKind::Ws => 0,
            TrackerKind::Udp if address.is_ipv6() => 0,
            TrackerKind::Udp | TrackerKind::Http => 2,
        };
        assert_eq!(seen.len(), named, "{seen:?}");
        assert!(seen.iter().all(|peer| peer.ip().is_loopback() && peer.is_ipv6() == address.is_ipv6()));
        step(2, AnnounceEvent::Completed, 0).await;
        step(3, AnnounceEvent::Started, 9).await;
        step(1, AnnounceEvent::Stopped, 0).await;
        step(2, AnnounceEvent::Stopped, 0).await;
        let now = step(4, AnnounceEvent::Started, 9).await;
        assert_eq!(now.len(), named, "{now:?}");
        assert!(seen.iter().all(|peer| !now.contains(peer)), "the two that left are gone: {now:?}");
    });
}

#[test]
fn udp() {
    a_life(TrackerKind::Udp, "127.0.0.1");
    shown("UDP tracker: announce, scrape (BEP 15)", "npm bittorrent-tracker");
}

#[test]
fn http() {
    a_life(TrackerKind::Http, "127.0.0.1");
    shown("HTTP tracker: announce, scrape (BEP 3, 23, 48)", "npm bittorrent-tracker");
}

#[test]
fn websocket() {
    a_life(TrackerKind::Ws, "127.0.0.1");
    shown("WebSocket tracker (WebTorrent)", "npm bittorrent-tracker");
}

#[test]
fn udp_over_ipv6() {
    a_life(TrackerKind::Udp, "::1");
    shown("UDP tracker over IPv6", "npm bittorrent-tracker");
}

#[test]
fn http_over_ipv6() {
    a_life(TrackerKind::Http, "::1");
    shown("HTTP tracker over IPv6 (BEP 7)", "npm bittorrent-tracker");
}

#[test]
fn websocket_over_ipv6() {
    a_life(TrackerKind::Ws, "::1");
    shown("WebSocket tracker over IPv6", "npm bittorrent-tracker");
}

//! Announces and scrapes against opentracker, over UDP and HTTP.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;

use squall::journey::Cause;
use squall::plan::AnnounceEvent;
use squall::profile::{Tracker, TrackerKind};
use support::conformity::shown;
use support::tracker::{KNOWN, announce, opentracker, sound};
use support::{PATIENCE, local, peers, perform, scenario, target, world, world_of};

/// Visitors come, finish and leave; the tracker's numbers are held against them by the world itself.
async fn a_life(address: SocketAddr, kind: TrackerKind) {
    let mut mine = target(address, KNOWN);
    let path = if kind == TrackerKind::Http { "/announce" } else { "" };
    mine.trackers = vec![Tracker { kind, path: path.to_owned(), ..Tracker::udp(address) }];
    let mut crowd = scenario(PATIENCE);
    crowd.clients.members[0].0.tracker.scrape = 1.0;
    let mut world = world_of(mine, crowd);
    let mut step = async |visitor, event, left| {
        let outcome = perform(&mut world, visitor, announce(event, left)).await;
        sound(&outcome);
        peers(outcome)
    };
    step(11, AnnounceEvent::Started, 0).await;
    assert_eq!(step(12, AnnounceEvent::Started, 9).await.len(), 2);
    step(12, AnnounceEvent::Completed, 0).await;
    step(11, AnnounceEvent::Stopped, 0).await;
    assert_eq!(step(13, AnnounceEvent::Started, 9).await.len(), 2, "one has left");
    for visitor in [12, 13] {
        step(visitor, AnnounceEvent::Stopped, 0).await;
    }
}

#[test]
fn announces_are_understood() {
    let Some((_daemon, address)) = opentracker() else { return };
    local(async {
        a_life(address, TrackerKind::Udp).await;
        a_life(address, TrackerKind::Http).await;
        let mut mine = target(address, KNOWN);
        let mut world_of_known = world(mine.clone(), PATIENCE);
        peers(perform(&mut world_of_known, 1, announce(AnnounceEvent::Started, 0)).await);
        let outcome = perform(&mut world_of_known, 2, announce(AnnounceEvent::Started, 9)).await;
        assert_eq!((outcome.retransmits, outcome.foreign), (0, 0));
        let seen = peers(outcome);
        assert!(!seen.is_empty() && seen.iter().all(|peer| peer.ip().is_loopback()), "{seen:?}");
        peers(perform(&mut world_of_known, 2, announce(AnnounceEvent::Interval, 5)).await);
        peers(perform(&mut world_of_known, 2, announce(AnnounceEvent::Completed, 0)).await);
        for visitor in [1, 2] {
            perform(&mut world_of_known, visitor, announce(AnnounceEvent::Stopped, 0)).await;
        }
        let alone = peers(perform(&mut world_of_known, 3, announce(AnnounceEvent::Started, 9)).await);
        assert!(alone.iter().all(|peer| !seen.contains(peer)), "those who stopped are gone: {alone:?}");

        mine.content[0].torrent.as_mut().unwrap().info_hash = [1; 20].into();
        let outcome = perform(&mut world(mine, PATIENCE), 4, announce(AnnounceEvent::Started, 9)).await;
        assert_eq!(outcome.result, Err(Cause::Malformed), "its answer to a hash that it does not serve");
    });
    shown("UDP tracker: announce, scrape (BEP 15)", "opentracker");
    shown("HTTP tracker: announce, scrape (BEP 3, 23, 48)", "opentracker");
}

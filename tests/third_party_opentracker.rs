//! Announces and scrapes against opentracker, over UDP and HTTP.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use squall::journey::{Cause, Kind, Oddity, Operation};
use squall::plan::AnnounceEvent;
use squall::profile::{Tracker, TrackerKind};
use support::conformity::shown;
use support::daemon::{Daemon, free_port, program_installed};
use support::{PATIENCE, local, peers, perform, scenario, target, world, world_of};

const KNOWN: [u8; 20] = [0x5a; 20];

/// Debian's opentracker serves only the hashes of a whitelist.
fn opentracker(directory: &Path) -> (Daemon, SocketAddr) {
    let hex: String = KNOWN.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(directory.join("whitelist.txt"), format!("{hex}\n")).unwrap();
    let port = free_port();
    let daemon = Daemon::start(
        Command::new("opentracker")
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-P",
                &port.to_string(),
                "-w",
                "whitelist.txt",
            ])
            .arg("-d")
            .arg(directory)
            .current_dir(directory),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    await_tracker(address);
    (daemon, address)
}

/// Asks for a connection id until the tracker answers.
fn await_tracker(address: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
    let ready = (0..200).any(|_| {
        socket.send_to(&connect, address).unwrap();
        socket.recv(&mut [0; 32]).is_ok_and(|length| length == 16)
    });
    assert!(ready, "opentracker does not answer");
}

fn announce(event: AnnounceEvent, left: u64) -> Operation {
    Operation::Announce { event, left, downloaded: 0, numwant: None }
}

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
        // It names the asker as well.
        assert!(outcome.oddities.iter().all(|(oddity, _)| *oddity == Oddity::Oneself), "{outcome:?}");
        assert!(
            outcome.parts.iter().all(|part| part.kind == Kind::Scrape && part.result.is_ok()),
            "{outcome:?}"
        );
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
    if !program_installed("opentracker") {
        return;
    }
    // It gives up root for an unprivileged user, who must be able to read its directory.
    let directory = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let (_daemon, address) = opentracker(directory.path());
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

        mine.content[0].info_hash = [1; 20].into();
        let outcome = perform(&mut world(mine, PATIENCE), 4, announce(AnnounceEvent::Started, 9)).await;
        assert_eq!(outcome.result, Err(Cause::Malformed), "its answer to a hash that it does not serve");
    });
    shown("UDP tracker: announce, scrape (BEP 15)", "opentracker");
    shown("HTTP tracker: announce, scrape (BEP 3, 23, 48)", "opentracker");
}

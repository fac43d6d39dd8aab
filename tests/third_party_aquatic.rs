//! Announces and scrapes against aquatic: its UDP tracker over IPv4 and IPv6, and its HTTP and WebSocket trackers with and without TLS.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use aquatic_udp::config::{Config, NetworkConfig};
use squall::journey::{Kind, Operation};
use squall::plan::AnnounceEvent;
use squall::profile::HttpVersion::One;
use squall::profile::{Tracker, TrackerKind};
use support::conformity::shown;
use support::daemon::{Daemon, await_listener, free_port, installed};
use support::tracker::{announce, sound};
use support::web::{HOST, Site};
use support::{PATIENCE, local, peers, perform, scenario, target, world_of};

/// Runs the tracker in a thread, which ends with the test program: aquatic knows no other end.
fn aquatic(ip: &str) -> SocketAddr {
    let ip: IpAddr = ip.parse().unwrap();
    let free = UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap();
    let network = NetworkConfig { address: free, only_ipv6: ip.is_ipv6(), ..NetworkConfig::default() };
    let config = Config { socket_workers: 1, network, ..Config::default() };
    std::thread::spawn(move || aquatic_udp::run(config).unwrap());
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
    let ready = (0..200).any(|_| {
        let _ = socket.send_to(&connect, free);
        socket.recv(&mut [0; 32]).is_ok_and(|length| length == 16)
    });
    assert!(ready, "aquatic does not answer");
    free
}

/// Visitors come, finish and leave, and scrape as many torrents as a datagram holds; aquatic answers for the first 70 of them.
fn a_life(ip: &str) {
    let address = aquatic(ip);
    local(async {
        let mut mine = target(address, [0; 20]);
        mine.content = (0..80).map(|n| target(address, [n; 20]).content.remove(0)).collect();
        // The tracker is new: nobody else is in its swarms.
        mine.own_peers = vec![SocketAddr::new(address.ip(), 9)];
        let mut crowd = scenario(PATIENCE);
        crowd.clients.members[0].0.tracker.scrape = 1.0;
        crowd.clients.members[0].0.tracker.scrape_torrents = 74;
        let mut world = world_of(mine, crowd);
        let mut step = async |visitor, event, left| {
            let outcome = perform(
                &mut world,
                visitor,
                Operation::Announce { event, left, downloaded: 0, numwant: None },
            )
            .await;
            assert_eq!(outcome.oddities, [], "{outcome:?}");
            assert_eq!(outcome.parts.len(), usize::from(event == AnnounceEvent::Started));
            for part in &outcome.parts {
                assert_eq!((part.kind, part.result), (Kind::Scrape, Ok(())));
                assert!(outcome.bytes_in >= 8 + 70 * 12 && outcome.bytes_out >= 16 + 74 * 20);
            }
            peers(outcome)
        };
        step(1, AnnounceEvent::Started, 0).await;
        let seen = step(2, AnnounceEvent::Started, 9).await;
        assert!(seen.len() == 1 && seen[0].is_ipv6() == address.is_ipv6(), "{seen:?}");
        step(2, AnnounceEvent::Completed, 0).await;
        step(3, AnnounceEvent::Started, 9).await;
        step(1, AnnounceEvent::Stopped, 0).await;
        step(2, AnnounceEvent::Stopped, 0).await;
        assert_eq!(step(4, AnnounceEvent::Started, 9).await.len(), 1, "the two that left are gone");
    });
}

#[test]
fn ipv4() {
    a_life("127.0.0.1");
    shown("UDP tracker: announce, scrape (BEP 15)", "aquatic_udp");
}

#[test]
fn ipv6() {
    a_life("::1");
    shown("UDP tracker over IPv6", "aquatic_udp");
}

/// One of aquatic's programs, where `harness/test` installs them; it speaks TLS with the site's certificate where there is a site.
fn program(name: &str, site: Option<&Site>) -> Option<(Daemon, tempfile::TempDir, SocketAddr)> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let program = target.join("aquatic/bin").join(name);
    if !installed(name, program.exists()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let tls = site.map_or_else(String::new, |site| {
        let [certificate, key] = ["cert.pem", "key.pem"].map(|file| site.path(file).display().to_string());
        format!("enable_tls = true\ntls_certificate_path = {certificate:?}\ntls_private_key_path = {key:?}\n")
    });
    let config = folder.path().join("aquatic.toml");
    std::fs::write(&config, format!("[network]\naddress = \"{address}\"\n{tls}")).unwrap();
    let daemon = Daemon::start(Command::new(program).arg("-c").arg(config).stderr(Stdio::null()));
    await_listener(address);
    Some((daemon, folder, address))
}

/// Visitors come, finish and leave, by HTTP or WebSocket.
fn a_life_by(kind: TrackerKind, name: &str, secure: bool) -> bool {
    let site = Site::new();
    let Some((_daemon, _folder, address)) = program(name, Some(&site).filter(|_| secure)) else {
        return false;
    };
    let path = if kind == TrackerKind::Http { "/announce" } else { "/" }.to_owned();
    let host = format!("{HOST}:{}", address.port());
    let tls = site.secure(address.port(), &[One]).tls.filter(|_| secure);
    let mut mine = target(address, [0x5a; 20]);
    mine.trackers = vec![Tracker { kind, host, path, tls, ..Tracker::udp(address) }];
    // The tracker is new: nobody else is in its swarms.
    mine.own_peers = vec![SocketAddr::new(address.ip(), 9)];
    let mut crowd = scenario(PATIENCE);
    let client = &mut crowd.clients.members[0].0;
    client.tracker.kinds = vec![kind];
    client.tracker.scrape = 1.0;
    local(async {
        let mut world = world_of(mine, crowd);
        let mut step = async |visitor, event, left| {
            let outcome = perform(&mut world, visitor, announce(event, left)).await;
            sound(&outcome);
            assert_eq!(
                outcome.web.handshakes > 0,
                secure && (kind == TrackerKind::Http || event == AnnounceEvent::Started)
            );
            peers(outcome).len()
        };
        // Peers of a WebSocket tracker are offers to connect, and nobody made one.
        let others = usize::from(kind == TrackerKind::Http);
        assert_eq!(step(1, AnnounceEvent::Started, 0).await, 0);
        assert_eq!(step(2, AnnounceEvent::Started, 9).await, others);
        step(2, AnnounceEvent::Completed, 0).await;
        step(1, AnnounceEvent::Stopped, 0).await;
        step(2, AnnounceEvent::Stopped, 0).await;
        assert_eq!(step(3, AnnounceEvent::Started, 9).await, 0, "those who stopped are gone");
    });
    true
}

#[test]
fn http() {
    if a_life_by(TrackerKind::Http, "aquatic_http", false) {
        shown("HTTP tracker: announce, scrape (BEP 3, 23, 48)", "aquatic_http");
    }
    if a_life_by(TrackerKind::Http, "aquatic_http", true) {
        shown("HTTPS tracker", "aquatic_http");
    }
}

#[test]
fn websocket() {
    if a_life_by(TrackerKind::Ws, "aquatic_ws", false) {
        shown("WebSocket tracker (WebTorrent)", "aquatic_ws");
    }
    if a_life_by(TrackerKind::Ws, "aquatic_ws", true) {
        shown("WSS tracker", "aquatic_ws");
    }
}

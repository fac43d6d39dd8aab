//! Announces and scrapes against aquatic's UDP tracker, over IPv4 and IPv6.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use aquatic_udp::config::{Config, NetworkConfig};
use squall::journey::{Kind, Operation};
use squall::plan::AnnounceEvent;
use support::conformity::shown;
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

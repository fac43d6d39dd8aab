//! Piece transfer, `ut_metadata` and the `.torrent` reader against libtorrent.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use squall::drive::World;
use squall::journey::{Cause, Operation, Reply};
use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::{Encryption, Tracker, Transport};
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, python};
use support::{PATIENCE, local, perform, scenario, target, world, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const PIECES: u32 = 4;
const SIZE: u64 = 3 * 65_536 + 5_000;

fn loopback(port: &str) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
}

/// A libtorrent seeder with these options: its torrent's hash, its address and its `.torrent`.
fn seeder(directory: &Path, options: &[&str]) -> (Daemon, [u8; 20], SocketAddr, Vec<u8>) {
    let mut daemon = Daemon::start(python("seeder.py").arg(directory).args(options));
    let line = daemon.line();
    let (hex, port) = line.split_once(' ').unwrap();
    let torrent = std::fs::read(directory.join("release.torrent")).unwrap();
    (daemon, hash(hex), loopback(port), torrent)
}

/// Serves one file to everybody.
async fn serve(file: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let file = Rc::new(file);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
            assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
            stream.write_all(&[head.as_bytes(), &file].concat()).await.unwrap();
        }
    });
    address
}

#[test]
fn a_torrent_is_fetched_from_libtorrent() {
    if !libtorrent_installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (_daemon, info_hash, peer, torrent) = seeder(directory.path(), &[]);
    let layout = Ok(Reply::Metadata { pieces: PIECES, size: SIZE });
    let ready = Ok(Reply::Handshake { pieces: PIECES, size: SIZE });
    local(async {
        let web = serve(torrent).await;
        // By `.torrent`, by magnet link, and with nothing known before the handshake.
        for (n, first) in
            [Some(Operation::Torrent), Some(Operation::PeerMetadata { peers: vec![peer] }), None]
                .into_iter()
                .enumerate()
        {
            let mut world = world(target(web, info_hash), PATIENCE);
            let visitor = n as u64;
            if let Some(first) = first {
                assert_eq!(perform(&mut world, visitor, first).await.result, layout);
            }
            let hands = perform(&mut world, visitor, Operation::Handshake { peers: vec![peer] }).await;
            assert_eq!(hands.result, ready);
            let mut bytes = 0;
            for index in 0..PIECES {
                let piece = Operation::Piece { index, until: PIECES };
                let outcome = perform(&mut world, visitor, piece).await;
                assert_eq!(outcome.result, Ok(Reply::Done));
                bytes += outcome.bytes_in;
            }
            assert!(bytes >= SIZE, "{bytes}");
        }
        let mut other = world(target(web, [1; 20]), PATIENCE);
        let outcome = perform(&mut other, 9, Operation::Handshake { peers: vec![peer] }).await;
        assert_eq!(
            outcome.result,
            Err(Cause::Closed),
            "libtorrent hangs up on a torrent that it does not have"
        );
    });
    shown("`ut_metadata` (BEP 9, 10)", "libtorrent");
    shown("Peer wire over TCP (BEP 3)", "libtorrent");
}

/// Fetches everything from this peer as visitor 7.
async fn fetch(world: &mut LiveWorld, peer: SocketAddr) {
    let hands = perform(world, 7, Operation::Handshake { peers: vec![peer] }).await;
    assert_eq!(hands.result, Ok(Reply::Handshake { pieces: PIECES, size: SIZE }));
    for index in 0..PIECES {
        let piece = perform(world, 7, Operation::Piece { index, until: PIECES }).await;
        assert_eq!(piece.result, Ok(Reply::Done));
    }
}

/// Answers one connect and one announce as a UDP tracker does (BEP 15), with nobody: where the peer that announced is reached.
async fn announced(tracker: UdpSocket) -> SocketAddr {
    let mut request = [0; 1024];
    for answer in [&[0; 8][..], &[0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]] {
        let (length, from) = tracker.recv_from(&mut request).await.unwrap();
        tracker.send_to(&[&request[8..16], answer].concat(), from).await.unwrap();
        if length >= 98 {
            return SocketAddr::new(from.ip(), u16::from_be_bytes([request[96], request[97]]));
        }
    }
    panic!("nobody announced");
}

/// A visitor fetches a torrent from libtorrent, and gives it to another libtorrent, which knows nobody else. Both have these options.
fn relay(options: &[&str]) {
    let (utp, encrypted) = (options.contains(&"utp"), options.contains(&"encrypted"));
    let (seed, leech) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (daemon, info_hash, peer, _) = seeder(seed.path(), options);
    local(async {
        let tracker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut target = target(peer, info_hash);
        target.trackers = vec![Tracker::udp(tracker.local_addr().unwrap())];
        target.transports = vec![if utp { Transport::Utp } else { Transport::Tcp }];
        let mut scenario = scenario(PATIENCE);
        scenario.clients.members[0].0.utp = 1.0;
        if encrypted {
            scenario.clients.members[0].0.encryption = Encryption::Require;
        }
        let kinds = (u64::from(utp), u64::from(encrypted));
        let mut world = world_of(target, scenario);
        fetch(&mut world, peer).await;
        let swarm = world.swarm();
        assert_eq!((swarm.dials, swarm.met, swarm.from_others), (1, 1, SIZE));
        assert_eq!((swarm.utp, swarm.encrypted), kinds);
        drop(daemon);

        let announce =
            Operation::Announce { event: AnnounceEvent::Completed, left: 0, downloaded: SIZE, numwant: None };
        let (visitor, _) = tokio::join!(announced(tracker), perform(&mut world, 7, announce));
        let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut leecher = python("leecher.py");
        leecher.arg(leech.path()).args([hash, visitor.to_string()]).args(options);
        let mut leecher = Daemon::start(&mut leecher);
        let done = tokio::task::spawn_blocking(move || (leecher.line(), leecher));
        assert_eq!(done.await.unwrap().0, "done");
        let [had, has] = [&seed, &leech].map(|folder| std::fs::read(folder.path().join("content")).unwrap());
        assert!(had == has);
        let swarm = world.swarm();
        assert_eq!((swarm.accepted, swarm.to_others), (1, SIZE));
        assert_eq!((swarm.utp, swarm.encrypted), kinds);
    });
}

#[test]
fn a_torrent_goes_from_libtorrent_to_libtorrent_over_utp() {
    if libtorrent_installed() {
        relay(&["utp"]);
        shown("Peer wire over uTP (BEP 29)", "libtorrent");
    }
}

#[test]
fn a_torrent_goes_from_libtorrent_to_libtorrent_encrypted() {
    if libtorrent_installed() {
        relay(&["tcp", "encrypted"]);
        relay(&["utp", "encrypted"]);
        shown("Message stream encryption (MSE)", "libtorrent");
    }
}

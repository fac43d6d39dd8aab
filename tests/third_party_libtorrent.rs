//! Piece transfer over TCP and uTP, encrypted and not, `ut_metadata`, the `.torrent` reader and BitTorrent v2 against libtorrent.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;
use std::rc::Rc;

use squall::journey::{Cause, Operation, Reply, Visitor};
use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::{Encryption, InfoHash, Tracker, Transport};
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, python};
use support::{PATIENCE, local, perform, perform_as, scenario, swarm, target, visitor, world, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const PIECE: u64 = 65_536;
/// Pieces and bytes of the torrent of one file.
const SINGLE: (u32, u64) = (4, 3 * PIECE + 5_000);
/// Of that of many files, each of which begins with a piece.
const MANY_FILES: (u32, u64) = (11, SINGLE.1 + 20_000 + PIECE + 5 + 4 * PIECE);

/// A libtorrent seeder.
struct Seeder {
    _daemon: Daemon,
    directory: tempfile::TempDir,
    v1: Option<[u8; 20]>,
    v2: Option<[u8; 32]>,
    peer: SocketAddr,
}

impl Seeder {
    fn start(version: &str) -> Self {
        Self::with(version, &[])
    }

    /// Options are those of `session.py`.
    fn with(version: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut seeder = python("seeder.py");
        let mut daemon = Daemon::start(seeder.arg(directory.path()).arg(version).args(options));
        let line = daemon.line();
        let [v1, v2, port] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let known = |text: &&str| *text != "0";
        let (v1, v2) = (Some(v1).filter(known).map(hash), Some(v2).filter(known).map(hash));
        let peer = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        Self { _daemon: daemon, directory, v1, v2, peer }
    }

    fn torrent(&self) -> Vec<u8> {
        std::fs::read(self.directory.path().join("release.torrent")).unwrap()
    }

    /// Fetches everything, by `.torrent`, by magnet link, and with nothing known before the handshake.
    async fn leech(&self, info_hash: InfoHash, (pieces, size): (u32, u64)) {
        let web = serve(self.torrent()).await;
        let magnet = Operation::PeerMetadata { peers: vec![self.peer] };
        for (visitor, first) in (0..).zip([Some(Operation::Torrent), Some(magnet), None]) {
            let mut world = world(target(web, info_hash), PATIENCE);
            if let Some(first) = first {
                let known = perform(&mut world, visitor, first).await;
                assert_eq!(known.result, Ok(Reply::Metadata { pieces, size, web_seeds: false }));
            }
            let hands = perform(&mut world, visitor, Operation::Handshake { peers: vec![self.peer] }).await;
            assert_eq!(hands.result, Ok(Reply::Handshake { pieces, size }));
            let mut bytes = 0;
            for index in 0..pieces {
                let piece = Operation::Piece { index, until: pieces };
                let outcome = perform(&mut world, visitor, piece).await;
                assert_eq!(outcome.result, Ok(Reply::Done), "piece {index}");
                bytes += outcome.bytes_in;
            }
            assert!(bytes >= size, "{bytes}");
        }
    }
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
    let seeder = Seeder::start("v1");
    local(async {
        seeder.leech(InfoHash::V1(seeder.v1.unwrap()), SINGLE).await;
        let mut other = world(target(seeder.peer, [1; 20]), PATIENCE);
        let outcome = perform(&mut other, 9, Operation::Handshake { peers: vec![seeder.peer] }).await;
        assert_eq!(
            outcome.result,
            Err(Cause::Closed),
            "libtorrent hangs up on a torrent that it does not have"
        );
    });
    shown("`ut_metadata` (BEP 9, 10)", "libtorrent");
    shown("Peer wire over TCP (BEP 3)", "libtorrent");
}

#[test]
fn v2_and_hybrid_torrents_are_fetched_from_libtorrent() {
    if !libtorrent_installed() {
        return;
    }
    let hybrid = Seeder::start("hybrid");
    let v2 = Seeder::start("v2");
    local(async {
        let (first, second) = (hybrid.v1.unwrap(), hybrid.v2.unwrap());
        hybrid.leech(InfoHash::Hybrid { v1: first, v2: second }, MANY_FILES).await;
        hybrid.leech(InfoHash::V2(second), MANY_FILES).await;
        assert_eq!(v2.v1, None);
        v2.leech(InfoHash::V2(v2.v2.unwrap()), MANY_FILES).await;

        // A changed hash of a piece of the file `a`, in its layer behind the info dictionary.
        let mut torrent = v2.torrent();
        let layers = torrent.windows(12).position(|text| text == b"piece layers").unwrap();
        torrent[layers + 12 + 60] ^= 1;
        let mut world = world(target(serve(torrent).await, InfoHash::V2(v2.v2.unwrap())), PATIENCE);
        assert_eq!(perform(&mut world, 1, Operation::Torrent).await.result, Err(Cause::Incorrect));
    });
    shown("BitTorrent v2 and hybrid (BEP 52)", "libtorrent");
}

#[test]
fn clients_of_v1_take_a_hybrid_torrent_for_theirs() {
    if !libtorrent_installed() {
        return;
    }
    let hybrid = Seeder::start("hybrid");
    // They count what stands between the files: each but the last fills its pieces.
    local(hybrid.leech(InfoHash::V1(hybrid.v1.unwrap()), (MANY_FILES.0, u64::from(MANY_FILES.0) * PIECE)));
}

#[test]
fn layers_of_more_than_one_request_come_from_libtorrent() {
    if !libtorrent_installed() {
        return;
    }
    let seeder = Seeder::start("many");
    local(async {
        let mut world = world(target(seeder.peer, InfoHash::V2(seeder.v2.unwrap())), PATIENCE);
        let magnet = perform(&mut world, 1, Operation::PeerMetadata { peers: vec![seeder.peer] }).await;
        assert_eq!(
            magnet.result,
            Ok(Reply::Metadata { pieces: 700, size: 700 * 16_384 - 100, web_seeds: false })
        );
    });
}

/// A visitor who fetches, and so listens.
fn taker() -> Visitor {
    Visitor { transfers: true, ..visitor(7) }
}

/// Fetches everything from this peer as [`taker`].
///
/// libtorrent 2.0.8 closes about one incoming encrypted handshake in 256: of 11,259 of a third implementation it closed 43, and in every one
/// whose secret is known, that began with a zero. Its source was not looked at. So the first may fail; in the other direction libtorrent
/// comes again.
async fn fetch(world: &mut LiveWorld, peer: SocketAddr, encrypted: bool) {
    let mut hands = perform_as(world, taker(), Operation::Handshake { peers: vec![peer] }).await;
    if encrypted && hands.result == Err(Cause::Closed) {
        hands = perform_as(world, taker(), Operation::Handshake { peers: vec![peer] }).await;
    }
    let (pieces, size) = SINGLE;
    assert_eq!(hands.result, Ok(Reply::Handshake { pieces, size }));
    for index in 0..pieces {
        let piece = perform_as(world, taker(), Operation::Piece { index, until: pieces }).await;
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
    let leech = tempfile::tempdir().unwrap();
    let Seeder { _daemon: daemon, directory: seed, v1, peer, .. } = Seeder::with("v1", options);
    let (info_hash, size) = (v1.unwrap(), SINGLE.1);
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
        fetch(&mut world, peer, encrypted).await;
        let taken = swarm(&mut world);
        assert_eq!((taken.dials - taken.failed_dials, taken.met, taken.from_others), (1, 1, size));
        assert_eq!((taken.utp, taken.encrypted), kinds);
        drop(daemon);

        let announce =
            Operation::Announce { event: AnnounceEvent::Completed, left: 0, downloaded: size, numwant: None };
        let (visitor, _) = tokio::join!(announced(tracker), perform_as(&mut world, taker(), announce));
        let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut leecher = python("leecher.py");
        leecher.arg(leech.path()).args([hash, visitor.to_string()]).args(options);
        let mut leecher = Daemon::start(&mut leecher);
        let done = tokio::task::spawn_blocking(move || (leecher.line(), leecher));
        assert_eq!(done.await.unwrap().0, "done");
        let [had, has] = [&seed, &leech].map(|folder| std::fs::read(folder.path().join("content")).unwrap());
        assert!(had == has);
        let given = swarm(&mut world);
        assert_eq!((given.accepted, given.to_others), (1, size));
        assert_eq!((given.utp, given.encrypted), kinds);
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

//! Piece transfer over TCP and uTP, encrypted and not, `ut_metadata`, the `.torrent` reader and BitTorrent v2 against libtorrent.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;

use squall::journey::{Cause, Operation, Reply};
use squall::profile::InfoHash;
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, python};
use support::swarm::{Manner, PIECE, SINGLE, announce, serve, shake_hands, take_all, visitors};
use support::{PATIENCE, local, perform, target, world};

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
        // What one has learned, the next has to learn again.
        for visitor in [1, 2] {
            let magnet =
                perform(&mut world, visitor, Operation::PeerMetadata { peers: vec![seeder.peer] }).await;
            let learned = Reply::Metadata { pieces: 700, size: 700 * 16_384 - 100, web_seeds: false };
            assert_eq!(magnet.result, Ok(learned));
            assert!(magnet.bytes_in > 700 * 32, "{}", magnet.bytes_in);
        }
    });
}

/// A visitor fetches a torrent from libtorrent, and gives it to another libtorrent, which knows nobody else. Both speak in this manner.
fn relay(manner: Manner) {
    let leech = tempfile::tempdir().unwrap();
    let Seeder { _daemon: daemon, directory: seed, v1, peer, .. } = Seeder::with("v1", manner.options);
    let (info_hash, size) = (v1.unwrap(), SINGLE.1);
    local(async {
        let (mut world, tracker) = visitors(info_hash, manner, 1e9).await;
        shake_hands(&mut world, &[peer], manner).await;
        take_all(&mut world).await;
        let swarm = support::swarm(&mut world);
        assert_eq!((swarm.dials - swarm.failed_dials, swarm.met, swarm.from_others), (1, 1, size));
        assert_eq!((swarm.utp, swarm.encrypted), manner.kinds());
        drop(daemon);

        let visitor = announce(&mut world, tracker).await;
        let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut leecher = python("leecher.py");
        leecher.arg(leech.path()).args([hash, visitor.to_string()]).args(manner.options);
        let mut leecher = Daemon::start(&mut leecher);
        let done = tokio::task::spawn_blocking(move || (leecher.line(), leecher));
        assert_eq!(done.await.unwrap().0, "done");
        let [had, has] = [&seed, &leech].map(|folder| std::fs::read(folder.path().join("content")).unwrap());
        assert!(had == has);
        let swarm = support::swarm(&mut world);
        assert_eq!((swarm.accepted, swarm.to_others), (1, size));
        assert_eq!((swarm.utp, swarm.encrypted), manner.kinds());
    });
}

#[test]
fn a_torrent_goes_from_libtorrent_to_libtorrent_over_tcp() {
    if libtorrent_installed() {
        relay(Manner::TCP);
        shown("Visitors as the only source", "libtorrent");
    }
}

#[test]
fn a_torrent_goes_from_libtorrent_to_libtorrent_over_utp() {
    if libtorrent_installed() {
        relay(Manner::UTP);
        shown("Peer wire over uTP (BEP 29)", "libtorrent");
    }
}

#[test]
fn a_torrent_goes_from_libtorrent_to_libtorrent_encrypted() {
    if libtorrent_installed() {
        relay(Manner::ENCRYPTED_TCP);
        relay(Manner::ENCRYPTED_UTP);
        shown("Message stream encryption (MSE)", "libtorrent");
    }
}

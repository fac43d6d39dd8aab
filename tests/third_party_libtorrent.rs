//! Piece transfer, `ut_metadata` and the `.torrent` reader against libtorrent.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;
use std::rc::Rc;

use squall::journey::{Cause, Operation, Reply};
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, python};
use support::{PATIENCE, local, perform, target, world};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const PIECES: u32 = 4;
const SIZE: u64 = 3 * 65_536 + 5_000;

fn loopback(port: &str) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
}

/// A libtorrent seeder: its torrent's hash, its address and its `.torrent`.
fn seeder(directory: &std::path::Path) -> (Daemon, [u8; 20], SocketAddr, Vec<u8>) {
    let mut daemon = Daemon::start(python("seeder.py").arg(directory));
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
    let (_daemon, info_hash, peer, torrent) = seeder(directory.path());
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

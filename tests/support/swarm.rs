//! A small torrent, and visitors who take it from real clients and give it to others.

use std::net::SocketAddr;
use std::rc::Rc;

use squall::journey::{Cause, Operation, Reply, Visitor};
use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::{Encryption, Tracker, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::{PATIENCE, perform_as, scenario, target, visitor, world_of};

/// Bytes of a piece of what `release.py` makes.
pub(crate) const PIECE: u64 = 65_536;
/// Pieces and bytes of its torrent of one file.
pub(crate) const SINGLE: (u32, u64) = (4, 3 * PIECE + 5_000);

/// How visitors and clients speak with each other: words that the scripts of `tests/third_party` know as options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) options: &'static [&'static str],
}

impl Manner {
    pub(crate) const TCP: Self = Self { options: &["tcp"] };
    pub(crate) const UTP: Self = Self { options: &["utp"] };
    pub(crate) const ENCRYPTED_TCP: Self = Self { options: &["tcp", "encrypted"] };
    pub(crate) const ENCRYPTED_UTP: Self = Self { options: &["utp", "encrypted"] };
    /// TCP, at addresses of IPv6.
    pub(crate) const V6: Self = Self { options: &["tcp", "v6"] };

    pub(crate) fn utp(self) -> bool {
        self.options.contains(&"utp")
    }

    pub(crate) fn encrypted(self) -> bool {
        self.options.contains(&"encrypted")
    }

    pub(crate) fn v6(self) -> bool {
        self.options.contains(&"v6")
    }

    /// What [`Swarm`](squall::journey::Swarm) counts of one connection like this: over uTP, and encrypted.
    pub(crate) fn kinds(self) -> (u64, u64) {
        (self.utp().into(), self.encrypted().into())
    }
}

/// Visitors of one torrent whose lines have so many bytes a second both ways; with the tracker that they announce to.
pub(crate) async fn visitors(info_hash: [u8; 20], manner: Manner, line: f64) -> (LiveWorld, UdpSocket) {
    let tracker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut target = target(tracker.local_addr().unwrap(), info_hash);
    target.trackers = vec![Tracker::udp(tracker.local_addr().unwrap())];
    target.transports = vec![if manner.utp() { Transport::Utp } else { Transport::Tcp }];
    let mut scenario = scenario(PATIENCE);
    let access = &mut scenario.access.members[0].0;
    (access.down, access.up) = (line, line);
    let client = &mut scenario.clients.members[0].0;
    client.utp = 1.0;
    if manner.encrypted() {
        client.encryption = Encryption::Require;
    }
    (world_of(target, scenario), tracker)
}

/// A visitor who fetches, and so listens.
pub(crate) fn taker() -> Visitor {
    Visitor { transfers: true, ..visitor(7) }
}

/// Learns from a peer as [`taker`] what a magnet link leaves open.
pub(crate) async fn learn(world: &mut LiveWorld, peer: SocketAddr) {
    let (pieces, size) = SINGLE;
    let metadata = perform_as(world, taker(), Operation::PeerMetadata { peers: vec![peer] }).await;
    assert_eq!(metadata.result, Ok(Reply::Metadata { pieces, size, web_seeds: false }));
}

/// Connects to these peers as [`taker`].
///
/// libtorrent 2.0.8 closes about one incoming encrypted handshake in 256: of 11,259 of a third implementation it closed 43, and in every one
/// whose secret is known, that began with a zero. Its source was not looked at. So the first may fail; in the other direction libtorrent
/// comes again.
pub(crate) async fn shake_hands(world: &mut LiveWorld, peers: &[SocketAddr], manner: Manner) {
    let handshake = || Operation::Handshake { peers: peers.to_vec() };
    let mut hands = perform_as(world, taker(), handshake()).await;
    if manner.encrypted() && hands.result == Err(Cause::Closed) {
        hands = perform_as(world, taker(), handshake()).await;
    }
    let (pieces, size) = SINGLE;
    assert_eq!(hands.result, Ok(Reply::Handshake { pieces, size }));
}

/// Fetches all pieces as [`taker`].
pub(crate) async fn take_all(world: &mut LiveWorld) {
    for index in 0..SINGLE.0 {
        let piece = Operation::Piece { index, until: SINGLE.0 };
        assert_eq!(perform_as(world, taker(), piece).await.result, Ok(Reply::Done), "piece {index}");
    }
}

/// Announces [`taker`] to the tracker of [`visitors`]: where peers reach it.
pub(crate) async fn announce(world: &mut LiveWorld, tracker: UdpSocket) -> SocketAddr {
    let (event, downloaded) = (AnnounceEvent::Completed, SINGLE.1);
    let announce = Operation::Announce { event, left: 0, downloaded, numwant: None };
    tokio::join!(announced(tracker), perform_as(world, taker(), announce)).0
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

/// Serves one file to everybody over HTTP.
pub(crate) async fn serve(file: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let file = Rc::new(file);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", file.len());
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(&[head.as_bytes(), &file].concat()).await.unwrap();
        }
    });
    address
}

/// An HTTP tracker (BEP 3, 23) that names these peers of IPv4 to everybody; its URL.
pub(crate) async fn tracker_of(peers: &[SocketAddr]) -> String {
    let mut answer = format!("d8:intervali1800e5:peers{}:", 6 * peers.len()).into_bytes();
    for peer in peers {
        let SocketAddr::V4(peer) = peer else { panic!("{peer} has no place in a compact list") };
        answer.extend(peer.ip().octets().into_iter().chain(peer.port().to_be_bytes()));
    }
    answer.push(b'e');
    format!("http://{}/announce", serve(answer).await)
}

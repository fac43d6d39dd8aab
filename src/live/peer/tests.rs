//! Against peers that are written out by hand.

use std::cell::RefCell;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::super::metainfo::info_of;
use super::*;

const PIECE: usize = 40_000;

fn content() -> Vec<u8> {
    (0..90_000_u32).map(|n| (n * 7 / 3) as u8).collect()
}

/// How the peer behaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    Chokes,
    Lies,
    OtherTorrent,
    Closes,
}

async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

async fn send(stream: &mut TcpStream, body: &[u8]) {
    stream.write_all(&[&(body.len() as u32).to_be_bytes(), body].concat()).await.unwrap();
}

/// A seeder of [`content`] for one connection.
async fn serve(listener: TcpListener, manner: Manner) {
    let (info, mut hash) = info_of(&content(), PIECE);
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = [0; 68];
    stream.read_exact(&mut hello).await.unwrap();
    if manner == Manner::Closes {
        return;
    }
    if manner == Manner::OtherTorrent {
        hash[0] ^= 1;
    }
    let hello = [b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0", &hash[..], b"-XX0000-............"].concat();
    stream.write_all(&hello).await.unwrap();
    send(&mut stream, format!("\x14\0d1:md11:ut_metadatai7ee13:metadata_sizei{}ee", info.len()).as_bytes())
        .await;
    send(&mut stream, b"\x05\xe0").await;
    send(&mut stream, b"").await;
    while let Some(body) = message(&mut stream).await {
        match body.as_slice() {
            [20, 7, request @ ..] => {
                assert_eq!(request, b"d8:msg_typei0e5:piecei0ee");
                let head = format!("\x14\x01d8:msg_typei1e5:piecei0e10:total_sizei{}ee", info.len());
                send(&mut stream, &[head.as_bytes(), &info].concat()).await;
            }
            [2] if manner != Manner::Chokes => send(&mut stream, b"\x01").await,
            [6, request @ ..] => {
                let number = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
                let begin = number(0) * PIECE + number(4);
                let mut data = content()[begin..begin + number(8)].to_vec();
                data[0] ^= u8::from(manner == Manner::Lies);
                send(&mut stream, &[&[7], &request[..8], &data].concat()).await;
            }
            _ => {}
        }
    }
}

/// Fetches every piece from such a peer, at `rate` bytes per second; returns bytes in and what patience would have meant.
async fn leech(manner: Manner, know_layout: bool, rate: f64) -> (Result<(), Cause>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (info, info_hash) = info_of(&content(), PIECE);
    let guard = Guard::new(&target(address)).unwrap();
    let clock = Clock::start();
    let meter = Meter::new(clock);
    let layout = know_layout.then(|| Rc::new(Layout::from_info(&info, &info_hash).unwrap()));
    let result = RefCell::new(None);
    let fetch = async {
        let who = Introduction { info_hash, peer_id: [1; 20], client: "test/1" };
        let mut peer = PeerConnection::open(&guard, address, &who, layout, &meter).await?;
        let layout = peer.ready(&meter).await?;
        let mut line = Bucket::new(rate, clock.now());
        for index in 0..layout.pieces() {
            peer.piece(index, &mut line, clock, &meter).await?;
        }
        Ok(())
    };
    let run = async {
        tokio::task::spawn_local(serve(listener, manner));
        *result.borrow_mut() = Some(fetch.await);
    };
    let patience =
        if manner == Manner::Chokes { Duration::from_millis(200) } else { Duration::from_secs(10) };
    let _ = tokio::time::timeout(patience, LocalSet::new().run_until(run)).await;
    let outcome = meter.outcome(result.take().map(|it| it.map(|()| crate::journey::Reply::Done)));
    (outcome.result.map(|_| ()), outcome.bytes_in)
}

#[tokio::test]
async fn a_torrent_is_fetched_with_and_without_its_layout() {
    for know_layout in [true, false] {
        let (result, bytes) = leech(Manner::Good, know_layout, 1e9).await;
        assert_eq!(result, Ok(()));
        assert!(bytes > 90_000, "{bytes}");
    }
}

#[tokio::test]
async fn the_line_bounds_the_rate() {
    let clock = Clock::start();
    assert_eq!(leech(Manner::Good, true, 200_000.0).await.0, Ok(()));
    // 90,000 bytes less the burst of 65,536, at 200,000 a second.
    assert!(clock.now().as_secs_f64() >= 0.12);
}

#[tokio::test]
async fn peers_that_do_not_help_have_their_cause() {
    assert_eq!(leech(Manner::Lies, true, 1e9).await.0, Err(Cause::Incorrect));
    assert_eq!(leech(Manner::OtherTorrent, true, 1e9).await.0, Err(Cause::Incorrect));
    assert_eq!(leech(Manner::Closes, true, 1e9).await.0, Err(Cause::Closed));
    assert_eq!(
        leech(Manner::Chokes, false, 1e9).await.0,
        Err(Cause::Rejected),
        "choked until patience ended"
    );
}

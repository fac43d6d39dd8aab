//! Against peers that are written out by hand, and among visitors.

mod crowd;

use std::net::IpAddr;

use rand::SeedableRng;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::super::metainfo::info_of;
use super::*;

const PIECE: usize = 40_000;
const PATIENCE: Duration = Duration::from_secs(10);

fn content() -> Vec<u8> {
    (0..90_000_u32).map(|n| (n * 7 / 3) as u8).collect()
}

/// How the peer behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Good,
    Chokes,
    Lies,
    OtherTorrent,
    Closes,
    /// Takes requests and answers none.
    Hoards,
    /// Gives a byte more than was asked for.
    Oversized,
    /// Gives what nobody asked for.
    Unrequested,
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

/// Reads the handshake and answers with one for this torrent.
async fn shake_hands(stream: &mut TcpStream, hash: &[u8; 20]) {
    stream.read_exact(&mut [0; 68]).await.unwrap();
    let id = format!("-XX0000-{:>12}", stream.local_addr().unwrap().port());
    let hello = [b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\0", &hash[..], id.as_bytes()].concat();
    stream.write_all(&hello).await.unwrap();
}

/// The answer to a request.
fn block(request: &[u8]) -> Vec<u8> {
    let number = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap()) as usize;
    let begin = number(0) * PIECE + number(4);
    [&[7], &request[..8], &content()[begin..begin + number(8)]].concat()
}

/// A seeder of [`content`] for one connection.
async fn serve(listener: TcpListener, manner: Manner) {
    let (info, mut hash) = info_of(&content(), PIECE);
    let (mut stream, _) = listener.accept().await.unwrap();
    if manner == Manner::Closes {
        return;
    }
    if manner == Manner::OtherTorrent {
        hash[0] ^= 1;
    }
    shake_hands(&mut stream, &hash).await;
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
            [6, ..] if manner == Manner::Hoards => {}
            [6, request @ ..] => {
                let mut block = block(request);
                match manner {
                    Manner::Lies => block[9] ^= 1,
                    Manner::Oversized => block.push(0),
                    Manner::Unrequested => block[8] ^= 1,
                    _ => {}
                }
                send(&mut stream, &block).await;
            }
            _ => {}
        }
    }
}

/// A seeder that answers a request 40 ms after the answer before, and writes down how many are under way when it does.
async fn serve_slowly(listener: TcpListener, under_way: Rc<RefCell<Vec<usize>>>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    shake_hands(&mut stream, &info_of(&content(), PIECE).1).await;
    send(&mut stream, b"\x05\xe0").await;
    send(&mut stream, b"\x01").await;
    let (mut theirs, mut ours) = stream.into_split();
    let requests = Rc::new(RefCell::new(Vec::new()));
    let queue = Rc::clone(&requests);
    tokio::task::spawn_local(async move {
        while let Ok(length) = theirs.read_u32().await {
            let mut body = vec![0; length as usize];
            theirs.read_exact(&mut body).await.unwrap();
            if body.first() == Some(&6) {
                queue.borrow_mut().push(body);
            }
        }
    });
    while under_way.borrow().len() < 7 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let request = {
            let mut requests = requests.borrow_mut();
            if requests.is_empty() {
                continue;
            }
            under_way.borrow_mut().push(requests.len());
            requests.remove(0)
        };
        let body = block(&request[1..]);
        ours.write_all(&[&(body.len() as u32).to_be_bytes(), &body[..]].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn requests_are_under_way_from_piece_to_piece() {
    let under_way = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&under_way);
    let (result, _) = leech_from(|listener| serve_slowly(listener, log), true, 1e9, PATIENCE).await;
    assert_eq!(result, Ok(()));
    // Three blocks, three and one: never less than is left to fetch.
    assert_eq!(*under_way.borrow(), [7, 6, 5, 4, 3, 2, 1]);
}

/// Fetches every piece from such a peer, at `rate` bytes per second; returns bytes in and what patience would have meant.
async fn leech(manner: Manner, know_layout: bool, rate: f64) -> (Result<(), Cause>, u64) {
    let patience = if manner == Manner::Chokes { Duration::from_secs(2) } else { PATIENCE };
    leech_from(|listener| serve(listener, manner), know_layout, rate, patience).await
}

async fn leech_from<S: Future<Output = ()> + 'static>(
    seeder: impl FnOnce(TcpListener) -> S,
    know_layout: bool,
    rate: f64,
    patience: Duration,
) -> (Result<(), Cause>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (info, info_hash) = info_of(&content(), PIECE);
    let guard = Arc::new(Guard::new(&target(address)).unwrap());
    let clock = Clock::start();
    let meter = Meter::new(clock);
    let layout = know_layout.then(|| Rc::new(Layout::from_info(&info, &info_hash.into()).unwrap()));
    let result = RefCell::new(None);
    let run = async {
        tokio::task::spawn_local(seeder(listener));
        let clients = Clients::open(&guard, clock, &target(address), sources()).unwrap();
        let seat = clients.start(persona(info_hash, 1, rate), layout);
        *result.borrow_mut() = Some(fetch(seat.client(), &[address], &meter).await);
    };
    let _ = tokio::time::timeout(patience, LocalSet::new().run_until(run)).await;
    let outcome = meter.outcome(result.take().map(|it| it.map(|()| crate::journey::Reply::Done)));
    (outcome.result.map(|_| ()), outcome.bytes_in)
}

fn sources() -> Sources {
    Sources::new(&[], (0, 1)).unwrap()
}

/// The address of the visitor with this seed.
fn address(seed: u64) -> IpAddr {
    sources().towards(std::net::Ipv4Addr::LOCALHOST.into(), seed).unwrap()
}

fn persona(info_hash: [u8; 20], seed: u8, rate: f64) -> Persona {
    Persona {
        info_hash: info_hash.into(),
        peer_id: [seed; 20],
        client: "test/1".into(),
        group: Group { class: 1, access: 2 },
        slots: 4,
        reachable: true,
        utp: false,
        encryption: Encryption::Disabled,
        source: seed.into(),
        addresses: vec![address(seed.into())],
        line: (rate, rate),
        random: SplitMix64::seed_from_u64(seed.into()),
    }
}

/// What was counted since this was last asked, of all groups.
fn tallied(clients: &Clients) -> Swarm {
    clients.tallies().iter().fold(Swarm::default(), |mut sum, (_, tally)| {
        sum += tally;
        sum
    })
}

/// Fetches every piece from these peers.
async fn fetch(client: &Rc<Client>, peers: &[SocketAddr], meter: &Meter) -> Result<(), Cause> {
    client.meet(peers, true);
    let layout = client.ready(meter).await?;
    for _ in 0..layout.pieces() {
        client.piece(layout.pieces(), meter).await?;
    }
    Ok(())
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

/// Visitors with one seed that serves each of them slowly: what they have, they give each other.
#[tokio::test]
async fn visitors_give_each_other_what_they_have() {
    let run = async {
        let (info, info_hash) = info_of(&content(), PIECE);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = listener.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(seed)).unwrap());
        let clock = Clock::start();
        tokio::task::spawn_local(serve(listener, Manner::Good));
        let clients = Clients::open(&guard, clock, &target(seed), sources()).unwrap();
        let meter = Meter::new(clock);
        let first = clients.start(persona(info_hash, 1, 1e9), None);
        assert_eq!(fetch(first.client(), &[seed], &meter).await, Ok(()));
        let tally = tallied(&clients);
        assert_eq!((tally.from_others, tally.from_visitors), (90_000, 0));
        // The seed served one connection and is not there any more. The second knows only the hash.
        let peer = SocketAddr::new(address(1), clients.port());
        let second = clients.start(persona(info_hash, 2, 1e9), None);
        assert_eq!(fetch(second.client(), &[peer], &meter).await, Ok(()));
        let tally = tallied(&clients);
        assert_eq!((tally.from_others, tally.from_visitors, tally.to_visitors), (0, 90_000, 90_000));
        assert_eq!((first.client().uploaded(), second.client().uploaded()), (90_000, 0));
        // Who has left is not there, and who cannot be reached neither.
        drop(first);
        let third = clients.start(persona(info_hash, 3, 1e9), None);
        assert_eq!(fetch(third.client(), &[peer], &meter).await, Err(Cause::Visitors));
        // Where the seed is named too, its own refusal counts, whoever's came last.
        assert_eq!(fetch(third.client(), &[seed, peer], &meter).await, Err(Cause::Refused));
        assert_eq!(fetch(third.client(), &[peer, seed], &meter).await, Err(Cause::Refused));
        let layout = Rc::new(Layout::from_info(&info, &info_hash.into()).unwrap());
        let hidden = Persona { reachable: false, ..persona(info_hash, 4, 1e9) };
        let hidden = clients.start(hidden, Some(layout));
        let dialled_out = SocketAddr::new(address(2), clients.port());
        assert_eq!(
            fetch(hidden.client(), &[dialled_out], &meter).await,
            Ok(()),
            "who is behind NAT dials out"
        );
        let behind_nat = SocketAddr::new(address(4), clients.port());
        assert_eq!(fetch(third.client(), &[behind_nat], &meter).await, Err(Cause::Visitors));
        let tally = tallied(&clients);
        assert_eq!((tally.turned_away, tally.closed_handshakes), (4, 4), "as each side sees it");
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(run)).await.unwrap();
}

/// The seed speaks TCP alone, and the visitors who try uTP first get no answer there for a while. Among themselves they do: from worker to
/// worker, inside one, and over IPv6.
#[tokio::test]
async fn visitors_speak_utp_with_each_other() {
    let run = async {
        let (_, info_hash) = info_of(&content(), PIECE);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = listener.local_addr().unwrap();
        tokio::task::spawn_local(serve(listener, Manner::Good));
        let mut target = target(seed);
        target.transports = vec![Transport::Tcp, Transport::Utp];
        let guard = Arc::new(Guard::new(&target).unwrap());
        let clock = Clock::start();
        let workers: Vec<_> =
            (0..4).map(|_| Clients::open(&guard, clock, &target, sources()).unwrap()).collect();
        let four = |n: u64, worker: usize| SocketAddr::new(address(n), workers[worker].port());
        let six = IpAddr::from(std::net::Ipv6Addr::LOCALHOST);
        // The worker, the visitor's address, where it fetches from, and the ends of connections over uTP in its worker.
        let visitors = [
            (0, address(1), seed, 0),
            (1, address(2), four(1, 0), 1),
            (1, address(3), four(2, 1), 2),
            (2, six, four(3, 1), 1),
            (3, six, SocketAddr::new(six, workers[2].port()), 1),
        ];
        let mut seats = Vec::new();
        for (n, (worker, own, from, utp)) in (1..).zip(visitors) {
            let persona = Persona { utp: true, addresses: vec![own], ..persona(info_hash, n, 1e9) };
            let seat = workers[worker].start(persona, None);
            assert_eq!(fetch(seat.client(), &[from], &Meter::new(clock)).await, Ok(()), "{n}");
            let tally = tallied(&workers[worker]);
            assert_eq!((tally.utp, tally.from_others + tally.from_visitors), (utp, 90_000), "{n}");
            seats.push(seat);
        }
        // Who has left says so, and takes nobody in.
        drop(seats.remove(0));
        while tallied(&workers[1]).ended == 0 {
            tokio::task::yield_now().await;
        }
        let late = workers[3].start(Persona { utp: true, ..persona(info_hash, 9, 1e9) }, None);
        assert_eq!(fetch(late.client(), &[four(1, 0)], &Meter::new(clock)).await, Err(Cause::Visitors));
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(run)).await.unwrap();
}

/// Who prefers encryption finds those who do not understand it; who requires it speaks to no others.
#[tokio::test]
async fn visitors_encrypt_as_their_clients_do() {
    use Encryption::{Disabled, Prefer, Require};
    let run = async {
        let (_, info_hash) = info_of(&content(), PIECE);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let seed = listener.local_addr().unwrap();
        tokio::task::spawn_local(serve(listener, Manner::Good));
        let mut target = target(seed);
        target.transports = vec![Transport::Utp, Transport::Tcp];
        let guard = Arc::new(Guard::new(&target).unwrap());
        let clock = Clock::start();
        let clients = Clients::open(&guard, clock, &target, sources()).unwrap();
        let at = |n: u64| SocketAddr::new(address(n), clients.port());
        // Whether it encrypts, whether it speaks uTP, where it fetches from, whether it can, and the encrypted ends of connections.
        let visitors = [
            (Disabled, false, seed, Ok(()), 0),
            (Prefer, false, at(1), Ok(()), 0),
            (Require, true, at(1), Err(Cause::Visitors), 0),
            (Require, true, at(2), Ok(()), 2),
            (Disabled, false, at(4), Err(Cause::Visitors), 0),
            (Disabled, false, at(2), Ok(()), 0),
            (Prefer, false, at(4), Ok(()), 2),
            (Prefer, true, at(4), Ok(()), 2),
        ];
        let mut seats = Vec::new();
        for (n, (encryption, utp, from, result, encrypted)) in (1..).zip(visitors) {
            let seat = clients.start(Persona { utp, encryption, ..persona(info_hash, n, 1e9) }, None);
            assert_eq!(fetch(seat.client(), &[from], &Meter::new(clock)).await, result, "{n}");
            let tally = tallied(&clients);
            assert_eq!((tally.encrypted, tally.utp), (encrypted, if n == 8 { 2 } else { 0 }), "{n}");
            seats.push(seat);
        }
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(run)).await.unwrap();
}

/// One peer lies, stalls or breaks the protocol; another is good. The visitor ends with everything, and the tally says what was wrong.
#[tokio::test]
async fn a_bad_peer_does_not_stop_a_visitor_who_knows_another() {
    // What shows that the bad one has done its worst.
    type Caught = fn(&Swarm) -> bool;
    let manners: [(Manner, Caught); 7] = [
        (Manner::Lies, |tally| tally.wrong_pieces == 1 && tally.ended_incorrect == 1),
        (Manner::Closes, |tally| tally.closed_handshakes == 1),
        (Manner::OtherTorrent, |tally| tally.wrong_handshakes == 1),
        (Manner::Chokes, |tally| tally.met == 1),
        (Manner::Hoards, |tally| tally.met == 1),
        (Manner::Oversized, |tally| tally.ended_malformed == 1),
        (Manner::Unrequested, |tally| tally.ended_malformed == 1),
    ];
    for (manner, caught) in manners {
        let run = async {
            let (_, info_hash) = info_of(&content(), PIECE);
            let mut peers = Vec::new();
            for manner in [manner, Manner::Good] {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                peers.push(listener.local_addr().unwrap());
                tokio::task::spawn_local(serve(listener, manner));
            }
            let guard = Arc::new(Guard::new(&target(peers[0])).unwrap());
            let clock = Clock::start();
            let clients = Clients::open(&guard, clock, &target(peers[0]), sources()).unwrap();
            let seat = clients.start(persona(info_hash, 1, 1e9), None);
            seat.client().torrent.borrow_mut().want(u32::MAX);
            seat.client().meet(&peers[..1], true);
            let mut tally = Swarm::default();
            while !caught(&tally) {
                tokio::task::yield_now().await;
                tally += &tallied(&clients);
            }
            assert_eq!(fetch(seat.client(), &peers[1..], &Meter::new(clock)).await, Ok(()), "{manner:?}");
            tally += &tallied(&clients);
            assert!(tally.from_others >= 90_000, "{manner:?} {tally:?}");
            drop(seat);
            tally += &tallied(&clients);
            assert_eq!(tally.ended, tally.opened(), "what is open ends with the visitor");
        };
        let done = tokio::time::timeout(PATIENCE, LocalSet::new().run_until(run)).await;
        assert!(done.is_ok(), "{manner:?}");
    }
}

/// What a peer had sent when its visitor hung up is counted, as the peer counts it.
#[tokio::test]
async fn what_came_too_late_is_counted() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let seeder = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let hash = info_of(&content(), PIECE).1;
        stream.read_exact(&mut [0; 68]).unwrap();
        let hello = [b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", &hash[..], &[9; 20]].concat();
        stream.write_all(&[&hello, &b"\0\0\0\x02\x05\xe0\0\0\0\x01\x01"[..]].concat()).unwrap();
        let (mut blocks, mut asked) = (Vec::new(), 0);
        while asked < 7 {
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut body = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut body).unwrap();
            if body.first() == Some(&6) {
                asked += 1;
                let block = block(&body[1..]);
                blocks.extend([&(block.len() as u32).to_be_bytes(), &block[..]].concat());
            }
        }
        tell.send("asked for everything").unwrap();
        gone.recv().unwrap();
        // Little enough for what a socket takes that nobody reads.
        stream.write_all(&blocks[..40_000]).unwrap();
        tell.send("given").unwrap();
        // Until the visitor has hung up.
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let run = async {
        let (info, info_hash) = info_of(&content(), PIECE);
        let layout = Layout::from_info(&info, &info_hash.into()).unwrap();
        let guard = Arc::new(Guard::new(&target(peer)).unwrap());
        let clients = Clients::open(&guard, Clock::start(), &target(peer), sources()).unwrap();
        let seat = clients.start(persona(info_hash, 1, 1e9), Some(Rc::new(layout)));
        seat.client().torrent.borrow_mut().want(u32::MAX);
        seat.client().meet(&[peer], true);
        while told.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        // Nothing of the visitor's runs while this waits.
        go.send(()).unwrap();
        assert_eq!(told.recv(), Ok("given"));
        drop(seat);
        let mut tally = Swarm::default();
        while tally.wasted == 0 {
            tokio::task::yield_now().await;
            tally += &tallied(&clients);
        }
        assert_eq!((tally.from_others, tally.wasted, tally.ended), (40_000, 40_000, 1));
    };
    tokio::time::timeout(PATIENCE, LocalSet::new().run_until(run)).await.unwrap();
    seeder.join().unwrap();
}

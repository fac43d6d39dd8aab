//! The live world through its public face, against small servers on loopback.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use squall::drive::{JourneyId, OpId, World};
use squall::journey::{Cause, Kind, Operation, Outcome, Reply};
use squall::live::LiveWorld;
use squall::plan::{AnnounceEvent, Stage};
use squall::scenario::Scenario;
use squall::unit::Tick;
use support::{PATIENCE, local, peers, perform, scenario, target, visitor, with_ceiling, world, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const ANNOUNCE: Operation =
    Operation::Announce { event: AnnounceEvent::Started, left: 1, downloaded: 0, numwant: None };

/// An interval that a tracker can ask for.
const HALF_AN_HOUR: &[u8] = &[0, 0, 7, 8];

/// An HTTP server that answers by path; the log holds the request lines of each connection.
async fn http(answer: fn(&str) -> Option<String>) -> (SocketAddr, Rc<RefCell<Vec<Vec<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let connection = seen.borrow().len();
            seen.borrow_mut().push(Vec::new());
            let seen = Rc::clone(&seen);
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 2048];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let request = String::from_utf8(buffer[..read].to_vec()).unwrap();
                    let line = request.lines().next().unwrap().to_owned();
                    let answer = answer(line.split(' ').nth(1).unwrap());
                    seen.borrow_mut()[connection].push(line);
                    let Some(answer) = answer else { return };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, log)
}

fn ok(body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

/// A tracker that names these peers to everybody.
async fn tracker(compact: &'static [u8]) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 200];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let id = &buffer[12..16];
            let answer = match length {
                16 => [&[0; 4], id, &[1; 8]].concat(),
                _ => [&[0, 0, 0, 1], id, HALF_AN_HOUR, &[0, 0, 1, 0, 0, 0, 1, 0], compact].concat(),
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

#[test]
fn a_visit_keeps_its_connection_and_a_released_one_is_closed() {
    local(async {
        let (address, log) = http(ok).await;
        let mut world = world(target(address, [0; 20]), PATIENCE);
        let outcome = perform(&mut world, 1, Operation::Page).await;
        assert_eq!((outcome.result, outcome.bytes_in), (Ok(Reply::Done), "/p/a%20release".len() as u64));
        assert!(outcome.started <= outcome.ended);
        assert_eq!(perform(&mut world, 1, Operation::Asset(5)).await.result, Ok(Reply::Done));
        assert_eq!(perform(&mut world, 1, Operation::Side(0)).await.result, Ok(Reply::Done));
        assert_eq!(perform(&mut world, 2, Operation::Page).await.result, Ok(Reply::Done));
        let (page, asset) = ("GET /p/a%20release HTTP/1.1", "GET /a.css HTTP/1.1");
        assert_eq!(*log.borrow(), [vec![page, asset], vec!["POST /status HTTP/1.1"], vec![page]]);
        world.release(JourneyId(1));
        assert_eq!(perform(&mut world, 1, Operation::Asset(0)).await.result, Ok(Reply::Done));
        assert_eq!(log.borrow().len(), 4, "the connection of the released journey is gone");
    });
}

/// The test scenario, whose calls share so many connections; half of them are this worker's.
fn sharing(connections: u32, patience: Duration) -> Scenario {
    let mut scenario = scenario(patience);
    scenario.side[0].connections = Some(connections);
    scenario
}

/// Starts a call of each of these visitors, and waits for all of them.
async fn call(world: &mut LiveWorld, visitors: std::ops::Range<u64>) -> Vec<Outcome> {
    for n in visitors.clone() {
        let id = OpId { journey: JourneyId(n), stage: Stage::Index };
        world.perform(id, &visitor(n), Operation::Side(0));
    }
    let mut outcomes = Vec::new();
    for _ in visitors {
        let (id, outcome) = world.wait(Tick::MAX).await.unwrap();
        world.release(id.journey);
        outcomes.push(outcome);
    }
    outcomes
}

#[test]
fn calls_share_the_connections_that_their_traffic_keeps() {
    local(async {
        let (address, log) = http(ok).await;
        let mut world = world_of(target(address, [0; 20]), sharing(6, PATIENCE));
        let outcomes = call(&mut world, 0..1).await;
        assert_eq!((outcomes[0].result.clone(), log.borrow().len()), (Ok(Reply::Done), 1), "as needed");
        let outcomes = call(&mut world, 1..50).await;
        assert!(outcomes.iter().all(|outcome| outcome.result == Ok(Reply::Done)));
        let requests: Vec<usize> = log.borrow().iter().map(Vec::len).collect();
        assert_eq!((requests.len(), requests.iter().sum::<usize>()), (3, 50));
        // They all went to wait at once: that a connection is taken is no delay of this program's.
        let last_started = outcomes.iter().map(|outcome| outcome.started).max();
        assert!(last_started < outcomes.iter().map(|outcome| outcome.ended).min());
    });
}

#[test]
fn a_shared_connection_that_was_closed_is_opened_again() {
    local(async {
        let close =
            |_: &str| Some("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned());
        let (address, log) = http(close).await;
        let mut world = world_of(target(address, [0; 20]), sharing(2, PATIENCE));
        let outcomes = call(&mut world, 0..5).await;
        assert!(outcomes.iter().all(|outcome| outcome.result == Ok(Reply::Done)));
        assert_eq!(log.borrow().len(), 5);
    });
}

#[test]
fn who_waits_for_a_connection_in_vain_gives_up_and_takes_nobodys_place() {
    local(async {
        // Never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut world = world_of(target(address, [0; 20]), sharing(2, Duration::from_millis(50)));
        let outcomes = call(&mut world, 0..10).await;
        assert!(outcomes.iter().all(|outcome| outcome.result == Err(Cause::Timeout)));
        let given_up = call(&mut world, 10..11).await;
        assert_eq!(given_up[0].result, Err(Cause::Timeout), "on a connection of its own again");
        assert!(given_up[0].bytes_out > 0);
    });
}

#[test]
fn an_asset_whose_connection_was_closed_is_asked_for_on_a_new_one() {
    local(async {
        let (address, log) = http(|path| {
            let close = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned();
            if path.starts_with("/p/") { Some(close) } else { ok("body") }
        })
        .await;
        let mut world = world(target(address, [0; 20]), PATIENCE);
        perform(&mut world, 1, Operation::Page).await;
        assert_eq!(perform(&mut world, 1, Operation::Asset(0)).await.result, Ok(Reply::Done));
        assert_eq!(log.borrow().len(), 2);
    });
}

#[test]
fn patience_bounds_an_operation_and_a_release_silences_it() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut world = world(target(listener.local_addr().unwrap(), [0; 20]), Duration::from_millis(50));
        let outcome = perform(&mut world, 1, Operation::Page).await;
        assert_eq!(outcome.result, Err(Cause::Timeout));
        assert!(outcome.ended.since(outcome.started) >= Duration::from_millis(45));
        let id = OpId { journey: JourneyId(2), stage: Stage::Index };
        world.perform(id, &visitor(2), Operation::Page);
        world.release(JourneyId(2));
        let until = world.now() + Duration::from_millis(100);
        assert_eq!(world.wait(until).await, None);
        assert!(world.now() >= until);
        assert_eq!(world.wait(Tick::ZERO).await, None, "what is past does not wait");
    });
}

#[test]
fn nothing_is_sent_beyond_the_ceiling_of_an_authorization() {
    local(async {
        let mut world = world(with_ceiling(target(tracker(b"").await, [0; 20]), 3.0), PATIENCE);
        let mut sent = 0;
        for n in 0..20 {
            let outcome = perform(&mut world, n, ANNOUNCE).await;
            sent += u64::from(outcome.result.is_ok());
            assert!(outcome.result.is_ok() || (outcome.result, outcome.bytes_out) == (Err(Cause::Local), 0));
        }
        assert!(sent >= 3 && sent <= 3 * (world.now().second() + 1), "{sent}");
    });
}

#[test]
fn failures_of_the_web_have_their_cause() {
    local(async {
        let (address, _) = http(|path| match path {
            "/release.torrent" => ok("d4:infod4:name1:xee"),
            "/a.css" => Some("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n".to_owned()),
            _ => Some("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n".to_owned()),
        })
        .await;
        let mut world = world(target(address, [0; 20]), PATIENCE);
        let expected = [
            (Operation::Page, Cause::ClientError),
            (Operation::Asset(0), Cause::ServerError),
            (Operation::Torrent, Cause::Incorrect),
            (Operation::Side(9), Cause::Local),
            (Operation::Piece { index: 0, until: 1 }, Cause::NoPeers),
            (Operation::Handshake { peers: vec![] }, Cause::NoPeers),
        ];
        for (operation, cause) in expected {
            assert_eq!(perform(&mut world, 1, operation).await.result, Err(cause));
        }
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let peers = vec![closed, closed];
        let outcome = perform(&mut world, 1, Operation::Handshake { peers }).await;
        assert_eq!(outcome.result, Err(Cause::Refused));
    });
}

#[test]
fn foreign_peers_are_counted_and_never_contacted() {
    local(async {
        let mixed = b"\x7f\0\0\x01\x1a\xe1\xc0\0\x02\x01\x1a\xe1\x7f\0\0\x01\0\0\x08\x08\x08\x08\0\x50";
        let mut mine = target(tracker(mixed).await, [0; 20]);
        let mut world_of_mixed = world(mine.clone(), PATIENCE);
        let outcome = perform(&mut world_of_mixed, 1, ANNOUNCE).await;
        assert_eq!((outcome.foreign, outcome.bytes_out), (2, 16 + 98));
        assert_eq!(peers(outcome), ["127.0.0.1:6881".parse().unwrap()], "no foreigner, no port 0");

        mine.trackers[0].address = tracker(b"\xc0\0\x02\x01\x1a\xe1").await;
        let mut world_of_foreigners = world(mine.clone(), PATIENCE);
        let outcome = perform(&mut world_of_foreigners, 1, ANNOUNCE).await;
        assert_eq!((outcome.foreign, outcome.result), (1, Err(Cause::Foreign)));

        mine.trackers[0].address = tracker(b"").await;
        assert_eq!(peers(perform(&mut world(mine, PATIENCE), 1, ANNOUNCE).await), []);

        let foreign = vec!["192.0.2.1:6881".parse().unwrap()];
        for operation in
            [Operation::Handshake { peers: foreign.clone() }, Operation::PeerMetadata { peers: foreign }]
        {
            let outcome = perform(&mut world_of_mixed, 2, operation).await;
            assert_eq!((outcome.foreign, outcome.result, outcome.bytes_out), (1, Err(Cause::Foreign), 0));
        }
    });
}

#[test]
fn visitors_connect_for_themselves_from_their_own_address() {
    local(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let log = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&log);
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 200];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                seen.borrow_mut().push((from.ip().to_string(), length));
                let id = &buffer[12..16];
                let answer = match length {
                    16 => [&[0; 4], id, &[1; 8]].concat(),
                    _ => [&[0, 0, 0, 1], id, HALF_AN_HOUR, &[0, 0, 1, 0, 0, 0, 1, 0]].concat(),
                };
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        let mut world = world(target(address, [0; 20]), PATIENCE);
        for visitor in [0, 0, 31, 32] {
            peers(perform(&mut world, visitor, ANNOUNCE).await);
        }
        world.release(JourneyId(0));
        peers(perform(&mut world, 0, ANNOUNCE).await);
        let [first, second, third] = ["127.16.0.1", "127.16.0.32", "127.16.0.33"];
        let expected = [
            (first, 16),
            (first, 98),
            (first, 98),
            (second, 16),
            (second, 98),
            (third, 16),
            (third, 98),
            (first, 16),
            (first, 98),
        ];
        assert_eq!(*log.borrow(), expected.map(|(ip, length)| (ip.to_owned(), length)));
    });
}

#[test]
fn visitors_try_peers_in_an_order_of_their_own() {
    local(async {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut peers = Vec::new();
        for n in 0..4 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            peers.push(listener.local_addr().unwrap());
            let log = Rc::clone(&log);
            tokio::task::spawn_local(async move {
                while listener.accept().await.is_ok() {
                    log.borrow_mut().push(n);
                }
            });
        }
        let mut world = world(target(peers[0], [0; 20]), PATIENCE);
        let mut order = async |visitor| {
            let peers = peers.clone();
            let outcome = perform(&mut world, visitor, Operation::Handshake { peers }).await;
            assert_eq!(outcome.result, Err(Cause::Closed));
            log.take()
        };
        let mut firsts = Vec::new();
        for visitor in 0..32 {
            let tried = order(visitor).await;
            assert_eq!(order(visitor).await, tried, "its own");
            firsts.push(tried[0]);
            let mut all = tried;
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3], "each once");
        }
        for n in 0..4 {
            assert!(firsts.contains(&n), "{firsts:?}");
        }
    });
}

#[test]
fn a_lookup_that_only_searches_fails_without_peers() {
    local(async {
        let node = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = node.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 500];
            while let Ok((length, from)) = node.recv_from(&mut buffer).await {
                let id = &buffer[length - 11..length - 7];
                let head = b"d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa5:token1:xe1:t4:";
                node.send_to(&[head, id, b"1:y1:re"].concat(), from).await.unwrap();
            }
        });
        let mut world = world(target(address, [0; 20]), PATIENCE);
        let outcome = perform(&mut world, 1, Operation::Lookup { announce: false }).await;
        assert_eq!(outcome.result, Err(Cause::NoPeers));
        let nobody = perform(&mut world, 2, Operation::AnnouncePeer).await;
        assert_eq!(nobody.result, Err(Cause::NoPeers), "no lookup came before it");
        let outcome = perform(&mut world, 1, Operation::Lookup { announce: true }).await;
        assert_eq!(outcome.parts.len(), 1, "get_peers");
        assert_eq!(peers(outcome), []);
        let outcome = perform(&mut world, 1, Operation::AnnouncePeer).await;
        assert!(outcome.parts.iter().all(|part| part.kind == Kind::Query && part.result.is_ok()));
        assert_eq!((outcome.result, outcome.parts.len()), (Ok(Reply::Done), 1));
    });
}

#[test]
fn many_journeys_at_once_each_get_their_own_outcome() {
    local(async {
        let mut mine = target(tracker(b"\x7f\0\0\x01\x1a\xe1").await, [0; 20]);
        mine.dht = Vec::new();
        let mut world = world(mine, PATIENCE);
        let ids: Vec<OpId> =
            (0..150).map(|n| OpId { journey: JourneyId(n), stage: Stage::Announce }).collect();
        for id in &ids {
            world.perform(*id, &visitor(id.journey.0), ANNOUNCE);
        }
        let mut done = Vec::new();
        while done.len() < ids.len() {
            let (id, outcome) = world.wait(Tick::MAX).await.unwrap();
            assert_eq!(peers(outcome).len(), 1);
            done.push(id);
        }
        done.sort_unstable();
        assert_eq!(done, ids);
    });
}

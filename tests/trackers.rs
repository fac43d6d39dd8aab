//! How visitors choose and ask trackers, seen from the tracker's side, through the live world as a run uses it.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use squall::journey::{Cause, Oddity, Operation};
use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::{Target, Tracker, TrackerKind, parse_clients};
use support::{PATIENCE, local, peers, perform, scenario, target, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HASH: [u8; 20] = *b"\0\xffhhhhhhhhhhhhhhhhh~";

/// An HTTP tracker that gives these answers in turn, the last one for ever; the log holds where each request came from, and its text.
async fn http(answers: &'static [&'static str]) -> (SocketAddr, Rc<RefCell<Vec<(String, String)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let mut buffer = [0; 4_096];
            let length = stream.read(&mut buffer).await.unwrap();
            let body = answers[seen.borrow().len().min(answers.len() - 1)];
            seen.borrow_mut()
                .push((from.ip().to_string(), String::from_utf8(buffer[..length].to_vec()).unwrap()));
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, log)
}

const ANSWER: &str = "d8:completei1e10:incompletei9e8:intervali1800e5:peers0:e";

fn asking(trackers: &[(TrackerKind, SocketAddr, f64)]) -> Target {
    let mut mine = target(trackers[0].1, HASH);
    let tracker = |&(kind, address, weight)| Tracker {
        kind,
        host: "tracker.test".to_owned(),
        path: "/announce?k=1".to_owned(),
        weight,
        ..Tracker::udp(address)
    };
    mine.trackers = trackers.iter().map(tracker).collect();
    mine
}

fn announce(event: AnnounceEvent) -> Operation {
    Operation::Announce { event, left: 2, downloaded: 1, numwant: None }
}

fn path(request: &str) -> &str {
    request.split(' ').nth(1).unwrap()
}

/// Puts what is the visitor's own in place of what it drew.
fn parameters(path: &str) -> Vec<String> {
    let drawn = |pair: &str| match pair.split_once('=').unwrap() {
        (name @ ("peer_id" | "key" | "port"), _) => name.to_owned(),
        _ => pair.to_owned(),
    };
    path.split_once('?').unwrap().1.split('&').map(drawn).collect()
}

#[test]
fn every_client_of_the_mix_asks_in_its_own_words() {
    const HEX: &str = "info_hash=%00%ffhhhhhhhhhhhhhhhhh~";
    let mix = parse_clients(include_str!("../profiles/clients.toml")).unwrap();
    let libtorrent = |numwant: &str| {
        format!(
            "k=1 {HEX} peer_id port uploaded=0 downloaded=1 left=2 corrupt=0 key {numwant} compact=1 no_peer_id=1 supportcrypto=1 redundant=0"
        )
    };
    let utorrent = |numwant: &str| {
        format!(
            "k=1 {HEX} peer_id port uploaded=0 downloaded=1 left=2 corrupt=0 key {numwant} compact=1 no_peer_id=1"
        )
    };
    let transmission = |numwant: &str, event: &str| {
        format!(
            "k=1 {HEX} peer_id port uploaded=0 downloaded=1 left=2 {numwant} key compact=1 supportcrypto=1{event}"
        )
    };
    local(async {
        for (client, _) in mix.members {
            let (address, log) = http(&[ANSWER]).await;
            let mut crowd = scenario(PATIENCE);
            crowd.clients.members[0].0 = client.clone();
            crowd.clients.members[0].0.tracker.scrape = 0.0;
            let mut world = world_of(asking(&[(TrackerKind::Http, address, 1.0)]), crowd);
            for event in [AnnounceEvent::Started, AnnounceEvent::Interval, AnnounceEvent::Stopped] {
                peers(perform(&mut world, 33, announce(event)).await);
            }
            let log = log.borrow();
            let asked: Vec<String> =
                log.iter().map(|(_, request)| parameters(path(request)).join(" ")).collect();
            let expected = match client.name.as_str() {
                "transmission" => [
                    transmission("numwant=80", " event=started"),
                    transmission("numwant=80", ""),
                    transmission("numwant=0", " event=stopped"),
                ],
                name => ["event=started numwant=200", "numwant=200", "event=stopped numwant=0"]
                    .map(if name == "utorrent" { utorrent } else { libtorrent }),
            };
            assert_eq!(asked, expected, "{}", client.name);
            for (from, request) in log.iter() {
                assert_eq!(from, "127.16.0.34", "the visitor's own address");
                assert!(request.contains("host: tracker.test\r\n"), "{request}");
                assert!(request.contains(&format!("user-agent: {}\r\n", client.user_agent)), "{request}");
                let prefix = std::str::from_utf8(&client.peer_id_prefix).unwrap();
                assert!(request.contains(&format!("peer_id={prefix}")), "{request}");
            }
        }
    });
}

fn world(trackers: &[(TrackerKind, SocketAddr, f64)]) -> LiveWorld {
    world_of(asking(trackers), scenario(PATIENCE))
}

#[test]
fn a_tracker_that_fails_makes_room_for_the_next() {
    local(async {
        let (address, log) = http(&[ANSWER]).await;
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut world = world(&[(TrackerKind::Http, closed, 1e12), (TrackerKind::Http, address, 1.0)]);
        assert_eq!(
            perform(&mut world, 1, announce(AnnounceEvent::Started)).await.result,
            Err(Cause::Refused)
        );
        for event in [AnnounceEvent::Started, AnnounceEvent::Completed] {
            peers(perform(&mut world, 1, announce(event)).await);
        }
        assert_eq!(log.borrow().len(), 2, "it stays with the one that answers");
        assert_eq!(
            perform(&mut world, 2, announce(AnnounceEvent::Started)).await.result,
            Err(Cause::Refused)
        );
    });
}

#[test]
fn a_tier_is_asked_again_before_the_next() {
    local(async {
        const BUSY: &str = "d14:failure reason4:busye";
        let (first, log) = http(&[BUSY, ANSWER]).await;
        let (second, spare) = http(&[ANSWER]).await;
        let mut mine = asking(&[(TrackerKind::Http, second, 1e12), (TrackerKind::Http, first, 1.0)]);
        mine.trackers[0].tier = 2;
        let mut world = world_of(mine, scenario(PATIENCE));
        let mut step = async |event| perform(&mut world, 1, announce(event)).await.result.is_ok();
        assert!(!step(AnnounceEvent::Started).await);
        assert!(step(AnnounceEvent::Started).await);
        assert_eq!(
            (log.borrow().len(), spare.borrow().len()),
            (1, 1),
            "the second tier where the first fails"
        );
        assert!(step(AnnounceEvent::Completed).await);
        assert_eq!((log.borrow().len(), spare.borrow().len()), (2, 1), "the first tier before the second");
    });
}

#[test]
fn what_a_tracker_wants_to_be_told_again_it_is() {
    local(async {
        const NAMED: &str = "d8:completei1e10:incompletei9e8:intervali1800e5:peers0:10:tracker id3:a&be";
        let (address, log) = http(&[NAMED, ANSWER]).await;
        let mut world = world(&[(TrackerKind::Http, address, 1.0)]);
        for event in [AnnounceEvent::Started, AnnounceEvent::Completed, AnnounceEvent::Stopped] {
            peers(perform(&mut world, 1, announce(event)).await);
        }
        peers(perform(&mut world, 2, announce(AnnounceEvent::Started)).await);
        let told: Vec<bool> =
            log.borrow().iter().map(|(_, request)| path(request).ends_with("&trackerid=a%26b")).collect();
        assert_eq!(told, [false, true, true, false], "another visitor was told nothing");
    });
}

#[test]
fn who_was_told_to_come_later_does_not_ask_before() {
    local(async {
        const REFUSAL: &str = "d14:failure reason4:full8:retry in5:nevere";
        let (address, log) = http(&[REFUSAL, ANSWER]).await;
        let mut world = world(&[(TrackerKind::Http, address, 1.0)]);
        for _ in 0..3 {
            let outcome = perform(&mut world, 1, announce(AnnounceEvent::Started)).await;
            assert_eq!(outcome.result, Err(Cause::Rejected));
        }
        assert_eq!(log.borrow().len(), 1);
        peers(perform(&mut world, 2, announce(AnnounceEvent::Started)).await);
        assert_eq!(log.borrow().len(), 2, "another visitor was told nothing");
    });
}

#[test]
fn warnings_are_counted_and_a_failed_scrape_keeps_nobody_from_announcing() {
    local(async {
        const WARNED: &str =
            "d8:completei1e10:incompletei9e8:intervali1800e5:peers0:15:warning message3:olde";
        let (address, log) = http(&["d14:failure reason2:noe", WARNED]).await;
        let mut crowd = scenario(PATIENCE);
        crowd.clients.members[0].0.tracker.scrape = 1.0;
        let mut world = world_of(asking(&[(TrackerKind::Http, address, 1.0)]), crowd);
        let outcome = perform(&mut world, 1, announce(AnnounceEvent::Started)).await;
        assert_eq!(outcome.parts.len(), 1);
        assert_eq!(outcome.parts[0].result, Err(Cause::Rejected));
        assert_eq!(outcome.oddities, [(Oddity::Warning, 1)]);
        assert!(outcome.result.is_ok());
        assert_eq!(path(&log.borrow()[0].1), "/scrape?k=1&info_hash=%00%ffhhhhhhhhhhhhhhhhh~");
    });
}

#[test]
fn a_client_that_speaks_to_none_of_the_trackers_asks_nobody() {
    local(async {
        let (address, log) = http(&[ANSWER]).await;
        let mut world = world(&[(TrackerKind::Ws, address, 1.0)]);
        let outcome = perform(&mut world, 1, announce(AnnounceEvent::Started)).await;
        assert_eq!((outcome.result, log.borrow().len()), (Err(Cause::Local), 0));
    });
}

#[test]
fn a_web_server_is_no_websocket() {
    local(async {
        let (address, _) = http(&["hello"]).await;
        let mut crowd = scenario(PATIENCE);
        crowd.clients.members[0].0.tracker.kinds = vec![TrackerKind::Ws];
        let mut world = world_of(asking(&[(TrackerKind::Ws, address, 1.0)]), crowd);
        let outcome = perform(&mut world, 1, announce(AnnounceEvent::Started)).await;
        assert_eq!(outcome.result, Err(Cause::Malformed));
    });
}

//! A tracker's access log, replayed by the whole program: what the log has is what the tracker sees.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use squall::journey::Kind;
use squall::record::Recording;

use program::{run, stderr, stdout};

const DAY: &str = "scenarios/listing-day.toml";
const CLIENT: &str = "-TR3000-";

/// Peers that come, announce again and leave, one a second, each in one of three swarms; and two lines that are no announces.
fn log(peers: u32) -> String {
    let mut lines = Vec::new();
    for peer in 0..peers {
        let hash: String = std::iter::repeat_n(char::from(b'a' + (peer % 3) as u8), 20).collect();
        let said = [("started", 1000), ("", 500), ("stopped", 500)];
        for (after, (event, left)) in (0..).zip(said) {
            let second = peer + after;
            let (minute, second) = (second / 60, second % 60);
            let query = format!(
                "info_hash={hash}&peer_id={CLIENT}{peer:012}&port=6881&uploaded=0&downloaded={}&left={left}&numwant={}&event={event}",
                1000 - left,
                10 + peer % 3
            );
            let line = format!(
                r#"198.51.100.9 - - [21/Nov/2026:07:{minute:02}:{second:02} +0000] "GET /announce?{query} HTTP/1.1" 200 312 "-" "x""#
            );
            lines.push((peer + after, line));
        }
    }
    lines.sort_by_key(|(second, _)| *second);
    let mut text: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    text.insert(
        4,
        "198.51.100.9 - - [21/Nov/2026:07:00:00 +0000] \"GET /scrape HTTP/1.1\" 200 1 \"-\" \"x\"".to_owned(),
    );
    text.push("half a li".to_owned());
    text.join("\n") + "\n"
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Announces that a recording holds, by what became of them: planned in the manifest, planned, ok.
fn announces(recording: &Recording) -> (u64, u64, u64) {
    let rows = recording.rows.iter().filter_map(|row| row.kinds.get(&Kind::Announce));
    let (planned, ok) =
        rows.fold((0, 0), |(planned, ok), row| (planned + row.counts.planned, ok + row.counts.ok));
    (recording.manifest.planned[&Kind::Announce], planned, ok)
}

/// A request as a tracker reads it (BEP 15): event, numwant, left, downloaded, peer id, info hash.
type Request = (u32, i32, u64, u64, [u8; 20], [u8; 20]);

/// A tracker that answers every connect and announce, and tells what it was asked.
fn tracker() -> (SocketAddr, mpsc::Receiver<Request>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut datagram) {
            let request = &datagram[..length];
            let word = |at: usize| u32::from_be_bytes(request[at..at + 4].try_into().unwrap());
            let long = |at: usize| u64::from_be_bytes(request[at..at + 8].try_into().unwrap());
            let id = |at: usize| <[u8; 20]>::try_from(&request[at..at + 20]).unwrap();
            let transaction = &request[12..16];
            let answer = match word(8) {
                0 => [&0_u32.to_be_bytes()[..], transaction, &7_u64.to_be_bytes()].concat(),
                _ => {
                    let said = (word(80), word(92).cast_signed(), long(64), long(56), id(36), id(16));
                    if tell.send(said).is_err() {
                        break;
                    }
                    // Half an hour, and as many leeches and seeds as there may be.
                    let rest = [1800, 500, 500].map(u32::to_be_bytes).concat();
                    [&1_u32.to_be_bytes()[..], transaction, &rest].concat()
                }
            };
            socket.send_to(&answer, from).unwrap();
        }
    });
    (address, told)
}

fn profile(tracker: SocketAddr) -> String {
    let content = (0..3).map(|n| {
        format!(
            "[[content]]\nname = \"item-{n}\"\ninfo_hash = \"{:040x}\"\ntorrent = \"/{n}.torrent\"\n",
            n + 1
        )
    });
    format!(
        "squall = 1\nkind = \"target\"\nname = \"one-tracker\"\n\
         [index]\naddress = \"127.0.0.1:1\"\n[metadata]\naddress = \"127.0.0.1:1\"\n\
         [[tracker]]\naddress = \"{tracker}\"\n[dht]\nbootstrap = [\"127.0.0.1:1\"]\n[swarm]\nstand_in_port = 6881\n{}",
        content.collect::<String>()
    )
}

#[test]
fn a_tracker_is_asked_what_the_log_says_line_by_line() {
    const PEERS: u32 = 30;
    let dir = tempfile::tempdir().unwrap();
    let (log_path, target, out) =
        (dir.path().join("access.log"), dir.path().join("target.toml"), dir.path().join("out"));
    fs::write(&log_path, log(PEERS)).unwrap();
    let (address, told) = tracker();
    fs::write(&target, profile(address)).unwrap();
    let output = run(&[
        "run",
        DAY,
        "--replay",
        &path(&log_path),
        "--speed",
        "16",
        "--workers",
        "2",
        "--quiet",
        "--target",
        &path(&target),
        "--out",
        &path(&out),
    ]);
    let recording = Recording::read(&out).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let all = u64::from(3 * PEERS);
    assert_eq!(announces(&recording), (all, all, all), "{}{}", stdout(&output), stderr(&output));
    assert!(
        stderr(&output)
            .contains("2 of 92 lines are left out:\n  line 5: not a GET of /announce\n  line 92: not")
    );
    let replayed = recording.manifest.replay.clone().unwrap();
    assert_eq!((replayed.announces, replayed.unread, replayed.log), (all, 2, log_path));
    assert_eq!(recording.manifest.length, Duration::from_secs(2));

    let mut by_peer: BTreeMap<[u8; 20], Vec<Request>> = BTreeMap::new();
    for said in told.try_iter() {
        by_peer.entry(said.4).or_default().push(said);
    }
    assert_eq!(by_peer.len(), PEERS as usize, "a peer keeps its id");
    for (peer, said) in &by_peer {
        assert_eq!(&peer[..8], CLIENT.as_bytes());
        let ranks = said.iter().map(|said| said.5).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(ranks.len(), 1, "{said:?}");
        let mut events: Vec<(u32, u64, u64)> = said.iter().map(|said| (said.0, said.2, said.3)).collect();
        events.sort_unstable();
        // BEP 15: 0 none, 2 started, 3 stopped.
        assert_eq!(events, [(0, 500, 500), (2, 1000, 0), (3, 500, 500)]);
        // Swarm n asks for 10 + n peers; equally popular torrents are ranked by their hashes.
        assert!(said.iter().all(|said| said.1 == 9 + i32::from(said.5[19])), "{said:?}");
    }
}

#[cfg(feature = "testbed")]
#[test]
fn the_embedded_testbed_serves_a_logs_catalogue() {
    let dir = tempfile::tempdir().unwrap();
    let (log_path, out) = (dir.path().join("access.log"), dir.path().join("out"));
    fs::write(&log_path, log(20)).unwrap();
    let output =
        run(&["run", DAY, "--replay", &path(&log_path), "--speed", "11", "--quiet", "--out", &path(&out)]);
    let recording = Recording::read(&out).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    assert_eq!(announces(&recording), (60, 60, 60), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn a_simulated_replay_has_every_line_and_the_digest_of_its_plan() {
    let dir = tempfile::tempdir().unwrap();
    let (log_path, out) = (dir.path().join("access.log"), dir.path().join("out"));
    fs::write(&log_path, log(500)).unwrap();
    let plan = run(&["plan", DAY, "--replay", &path(&log_path), "--speed", "10", "--output-format", "json"]);
    assert_eq!(plan.status.code(), Some(0), "{}", stderr(&plan));
    let plan: serde_json::Value = serde_json::from_str(&stdout(&plan)).unwrap();
    assert_eq!(plan["events"], serde_json::json!([500, 500, 0, 500]));
    let output = run(&[
        "simulate",
        DAY,
        "--replay",
        &path(&log_path),
        "--speed",
        "10",
        "--quiet",
        "--out",
        &path(&out),
    ]);
    let recording = Recording::read(&out).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    assert_eq!(announces(&recording), (1500, 1500, 1500));
    assert_eq!(plan["digest"], recording.manifest.plan_digest);
    assert_eq!(recording.manifest.signals, []);

    let text = stdout(&run(&["plan", DAY, "--replay", &path(&log_path)]));
    for part in ["1500 announces of 3 torrents in 8m 22s", "completed          0", "2 lines are left out"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

//! A steady open loop on connections that are kept, against a server that stands still for a second: what everybody waited is seen, and is
//! nobody's fault but the server's.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used)]

mod program;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use squall::journey::Kind;
use squall::record::{Recording, Row, histogram};

use program::{Running, squall};

/// Of the scenario.
const CONNECTIONS: usize = 64;
/// Requests, of about a thousand, after which the server stands still.
const BEFORE: usize = 500;
const STANDS_STILL: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);

/// What the server has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Nobody is answered while this is held.
    still: RwLock<()>,
}

fn server() -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let (there, here) = (Arc::clone(&seen), Arc::clone(&seen));
    thread::spawn(move || {
        for stream in listener.incoming() {
            there.connections.fetch_add(1, Ordering::Relaxed);
            let seen = Arc::clone(&there);
            thread::spawn(move || answer(stream.unwrap(), &seen));
        }
    });
    (address, here)
}

fn answer(mut stream: TcpStream, seen: &Seen) {
    let mut buffer = [0; 4096];
    // Each request comes at one go, and only after the answer to the last.
    while let Ok(1..) = stream.read(&mut buffer) {
        if seen.requests.fetch_add(1, Ordering::Relaxed) == BEFORE {
            let _still = seen.still.write().unwrap();
            thread::sleep(STANDS_STILL);
        }
        drop(seen.still.read().unwrap());
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

fn profile(server: SocketAddr) -> String {
    format!(
        r#"squall = 1
kind = "target"
name = "kept"

[index]
address = "{server}"
page = "/page"

[metadata]
address = "{server}"

[[tracker]]
address = "127.0.0.1:9"

[dht]
bootstrap = ["127.0.0.1:9"]

[[content]]
name = "item"
info_hash = "{}"
torrent = "/item.torrent"
"#,
        "0".repeat(40)
    )
}

/// A quantile of what `of` chooses of the calls, in seconds.
fn quantile(
    recording: &Recording,
    of: impl Fn(&Row) -> Option<&squall::record::Distribution>,
    q: f64,
) -> f64 {
    let mut all = histogram();
    recording.rows.iter().filter_map(of).for_each(|distribution| distribution.add_to(&mut all));
    all.value_at_quantile(q) as f64 / 1e6
}

#[test]
fn a_server_that_stands_still_shows_with_all_who_waited() {
    let (address, seen) = server();
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target.toml");
    std::fs::write(&target, profile(address)).unwrap();
    let out = dir.path().join("run");
    // 500 requests a second for two seconds.
    let cut = ["--window", "0s..2s", "--scale", "0.5", "--workers", "1", "--quiet"];
    let mut command = squall();
    command.args(["run", "benches/scenarios/steady.toml"]).args(cut);
    let (_, said, err) =
        Running::start(command.arg("--target").arg(&target).arg("--out").arg(&out)).finish(LONG);

    let recording = Recording::read(&out).unwrap();
    let calls = || recording.rows.iter().filter_map(|row| row.kinds.get(&Kind::Side));
    let (planned, ok): (u64, u64) =
        calls().fold((0, 0), |(planned, ok), row| (planned + row.counts.planned, ok + row.counts.ok));
    assert!(planned > 800 && ok == planned, "{ok} of {planned}\n{said}\n{err}");
    assert_eq!(seen.connections.load(Ordering::Relaxed), CONNECTIONS);
    assert_eq!(seen.requests.load(Ordering::Relaxed) as u64, ok);
    // Half of them waited, evenly up to a second.
    let due = |q| quantile(&recording, |row| Some(&row.kinds.get(&Kind::Side)?.latencies.due), q);
    assert!((0.93..1.2).contains(&due(0.99)), "p99 {} s\n{said}\n{err}", due(0.99));
    assert!((0.35..0.65).contains(&due(0.75)), "p75 {} s\n{said}\n{err}", due(0.75));
    let lag = quantile(&recording, |row| Some(&row.kinds.get(&Kind::Side)?.latencies.lag), 0.99);
    assert!(lag < 0.3, "send lag {lag} s\n{said}\n{err}");
}

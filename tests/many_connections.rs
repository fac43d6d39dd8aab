//! Very many new connections to one listener: no local port runs out, and each visitor comes from an address of its own.
//!
//! `SQUALL_TEST_CONNECTIONS` says how many; left out, about twice as many as one address has ports (28,232).

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use squall::drive::{JourneyId, OpId, World};
use squall::journey::{Cause, Operation};
use squall::live::LiveWorld;
use squall::plan::Stage;
use squall::unit::Tick;
use support::{PATIENCE, target, visitor, world};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Visitors under way at a time.
const AT_A_TIME: u64 = 200;
/// Slower than this, and the test gives up.
const SLOWEST: u64 = 500;

/// What the server saw.
#[derive(Debug, Default)]
struct Seen {
    connections: u64,
    addresses: HashSet<IpAddr>,
}

/// Starts a server of HTTP/1.1 in a thread of its own; it says what it saw once it has seen `expected` connections.
fn server(expected: u64) -> (SocketAddr, mpsc::Receiver<Seen>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let (tell, seen) = mpsc::channel();
    std::thread::spawn(move || {
        run(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut seen = Seen::default();
            while seen.connections < expected {
                let (stream, from) = listener.accept().await.unwrap();
                seen.connections += 1;
                seen.addresses.insert(from.ip());
                tokio::task::spawn_local(answer(stream));
            }
            tell.send(seen).unwrap();
            // The last ones still want their answers.
            std::future::pending::<()>().await;
        });
    });
    (address, seen)
}

async fn answer(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    let mut request = Vec::new();
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        request.extend_from_slice(&buffer[..read]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    }
}

fn run(task: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, task);
}

fn start(world: &mut LiveWorld, n: u64) {
    let id = OpId { journey: JourneyId(n), stage: Stage::Index };
    world.perform(id, &visitor(n), Operation::Page);
}

/// Lets `count` visitors load a page, each on a connection of its own; how often what went wrong.
async fn visit(address: SocketAddr, count: u64) -> BTreeMap<Cause, u64> {
    let mut world = world(target(address, [0; 20]), PATIENCE);
    let mut failed = BTreeMap::new();
    let first = AT_A_TIME.min(count);
    (0..first).for_each(|n| start(&mut world, n));
    for next in first..count + first {
        let (id, outcome) = world.wait(Tick::MAX).await.unwrap();
        world.release(id.journey);
        if let Err(cause) = outcome.result {
            *failed.entry(cause).or_default() += 1;
        }
        if next < count {
            start(&mut world, next);
        }
    }
    failed
}

#[test]
fn no_local_port_runs_out() {
    let count = std::env::var("SQUALL_TEST_CONNECTIONS").map_or(60_000, |count| count.parse().unwrap());
    let (address, seen) = server(count);
    let begin = Instant::now();
    run(async {
        let limit = Duration::from_secs(60 + count / SLOWEST);
        let failed = tokio::time::timeout(limit, visit(address, count)).await.unwrap();
        assert_eq!(failed, BTreeMap::new(), "of {count}");
    });
    let took = begin.elapsed().as_secs_f64();
    let seen = seen.recv_timeout(PATIENCE).unwrap();
    println!(
        "{} connections from {} addresses in {took:.0} s: {:.0} a second",
        seen.connections,
        seen.addresses.len(),
        count as f64 / took
    );
    assert_eq!(seen.connections, count);
    assert!(seen.addresses.len() >= 1_000, "{} addresses", seen.addresses.len());
}

//! Lookups and `announce_peer` against DHT nodes of two other authors, and theirs against visitors: libtorrent (IPv4 and IPv6) and npm's
//! bittorrent-dht.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use squall::drive::{JourneyId, World};
use squall::journey::{Cause, Operation, Outcome, Reply};
use squall::live::LiveWorld;
use squall::profile::DhtHabits;
use support::conformity::shown;
use support::daemon::{Daemon, free_port, installed, libtorrent_installed, python};
use support::{PATIENCE, local, peers, perform, scenario, target, world, world_of};

const INFO_HASH: [u8; 20] = [0x3c; 20];
const NODES: usize = 12;

/// Waits for the ports of its nodes.
fn nodes(daemon: &mut Daemon, address: IpAddr) -> Vec<SocketAddr> {
    daemon.line().split(' ').map(|port| SocketAddr::new(address, port.parse().unwrap())).collect()
}

fn good(outcome: &Outcome) -> usize {
    outcome.parts.iter().filter(|part| part.result.is_ok()).count()
}

/// What every network of nodes has to do for visitors. `k` is what its nodes name in an answer; `seen` the address of visitor 1, `sampled` what becomes
/// of `sample_infohashes`.
fn visitors_find_each_other(nodes: &[SocketAddr], k: u32, seen: SocketAddr, sampled: Result<Reply, Cause>) {
    let mut mine = target(nodes[0], INFO_HASH);
    mine.dht = vec![nodes[0]];
    mine.dht_nodes.k = k;
    mine.stand_in_port = Some(4_711);
    local(async {
        let mut first = world(mine.clone(), PATIENCE);
        let nobody = perform(&mut first, 1, Operation::Lookup { announce: false }).await;
        assert_eq!(nobody.result, Err(Cause::NoPeers), "{:?}", nobody.parts);
        assert_eq!(nobody.oddities, [], "nothing is wrong with honest nodes");
        let outcome = perform(&mut first, 1, Operation::Lookup { announce: true }).await;
        assert!(good(&outcome) >= 8, "{:?}", outcome.parts);
        assert_eq!((outcome.oddities.as_slice(), outcome.foreign), (&[][..], 0));
        peers(outcome);
        let outcome = perform(&mut first, 1, Operation::AnnouncePeer).await;
        assert_eq!((outcome.result.clone(), good(&outcome)), (Ok(Reply::Done), 8), "{:?}", outcome.parts);

        // What an indexer sees.
        let outcome = perform(&mut first, 1, Operation::Crawl).await;
        println!("crawl: {:?}, {} of {} answered", outcome.result, good(&outcome), outcome.parts.len());
        assert_eq!((outcome.result, outcome.oddities), (sampled, Vec::new()));

        // Another worker, which begins elsewhere and remembers nothing; its visitors ping first.
        mine.dht = vec![nodes[NODES - 1]];
        let mut habits = scenario(PATIENCE);
        habits.clients.members[0].0.lookup = DhtHabits { fresh: 1.0, pings: true, ..DhtHabits::default() };
        let mut other = world_of(mine, habits);
        for visitor in 2..6 {
            let outcome = perform(&mut other, visitor, Operation::Lookup { announce: false }).await;
            println!("visitor {visitor}, fresh: {} queries", outcome.parts.len());
            assert_eq!(peers(outcome), [seen]);
        }
    });
}

/// A node of another author that knows one node, `bootstrap`, and searches; with a port, which is free, it announces that first.
type Join = fn(bootstrap: SocketAddr, info_hash: [u8; 20], port: Option<u16>) -> Command;

/// What a node that joins by a visitor finds: how many nodes it knows then, and peers.
async fn joined(mut command: Command) -> (usize, Vec<SocketAddr>, Daemon) {
    // The world works on this thread and must not stand still.
    let found = tokio::task::spawn_blocking(move || {
        let mut daemon = Daemon::start(&mut command);
        (daemon.line(), daemon)
    });
    let (line, daemon) = found.await.unwrap();
    let mut words = line.split(' ');
    let known = words.next().unwrap().parse().unwrap();
    (known, words.map(|peer| peer.parse().unwrap()).collect(), daemon)
}

/// A world whose visitors also ask `decoy`, which says nothing and so learns where visitor 1 is. Its visitors give up on it soon.
async fn world_seen_by(decoy: &UdpSocket, nodes: &[SocketAddr], k: u32) -> (LiveWorld, SocketAddr) {
    let mut mine = target(decoy.local_addr().unwrap(), INFO_HASH);
    mine.dht = [nodes, &[decoy.local_addr().unwrap()]].concat();
    mine.dht_nodes.k = k;
    mine.stand_in_port = Some(4_711);
    let mut habits = scenario(PATIENCE);
    let short = Duration::from_millis(300);
    habits.clients.members[0].0.lookup =
        DhtHabits { short_timeout: short, timeout: short, ..DhtHabits::default() };
    let mut world = world_of(mine, habits);
    perform(&mut world, 1, Operation::Lookup { announce: true }).await;
    decoy.set_nonblocking(true).unwrap();
    let (_, visitor) = decoy.recv_from(&mut [0; 512]).unwrap();
    (world, visitor)
}

/// What visitors have to do for a network of nodes: whoever knows one of them gets into the network, and can announce to it.
fn nodes_join_by_visitors(nodes: &[SocketAddr], k: u32, join: Join) {
    let decoy = UdpSocket::bind("127.0.0.1:0").unwrap();
    local(async {
        let (mut world, visitor) = world_seen_by(&decoy, &nodes[..1], k).await;
        let outcome = perform(&mut world, 1, Operation::AnnouncePeer).await;
        assert_eq!(outcome.result, Ok(Reply::Done), "{:?}", outcome.parts);
        let (known, found, _daemon) = joined(join(visitor, INFO_HASH, None)).await;
        println!("joined by {visitor}: {known} nodes known, found {found:?}");
        assert_eq!(found, [SocketAddr::new(visitor.ip(), 4_711)], "what the visitor had announced");
        assert!(known > 4, "{known}");
    });
    // Visitors alone: nobody else can hand out the token, keep the peer and name it.
    local(async {
        let (_world, visitor) = world_seen_by(&decoy, &[], k).await;
        let swarm = [0x5d; 20];
        let port = free_port();
        let (_, itself, _announcing) = joined(join(visitor, swarm, Some(port))).await;
        let expected = [SocketAddr::from(([127, 0, 0, 1], port))];
        assert_eq!(itself, expected);
        let (_, found, _daemon) = joined(join(visitor, swarm, None)).await;
        assert_eq!(found, expected);
    });
}

/// Queries of a lookup by visitors of one worker who have long been in the DHT.
async fn queries(world: &mut LiveWorld, visitors: std::ops::Range<u64>) -> Vec<usize> {
    let mut queries = Vec::new();
    for visitor in visitors {
        let outcome = perform(world, visitor, Operation::Lookup { announce: true }).await;
        queries.push(outcome.parts.len());
        world.release(JourneyId(visitor));
    }
    queries
}

#[test]
fn libtorrent_over_ipv4() {
    if !libtorrent_installed() {
        return;
    }
    let mut daemon = Daemon::start(python("dht.py").arg(NODES.to_string()));
    let nodes = nodes(&mut daemon, Ipv4Addr::LOCALHOST.into());
    visitors_find_each_other(&nodes, 8, "127.16.0.2:4711".parse().unwrap(), Ok(Reply::Done));
    local(async {
        let mut world = world(target(nodes[0], INFO_HASH), PATIENCE);
        let counts = queries(&mut world, 0..20).await;
        println!("queries a lookup, 20 visitors one after the other: {counts:?}");
        // Each asks for itself, however many the worker has seen before: never less than the eight closest have to answer.
        assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
    });
    nodes_join_by_visitors(&nodes, 8, |bootstrap, info_hash, port| {
        let mut command = python("dht_join.py");
        command.arg(bootstrap.to_string()).arg(hex(info_hash)).args(port.map(|it| it.to_string()));
        command
    });
    shown("DHT: lookup, announce_peer (BEP 5)", "libtorrent");
    shown("DHT: answers queries (BEP 5)", "libtorrent");
    shown("DHT: sample_infohashes (BEP 51)", "libtorrent");
}

fn hex(info_hash: [u8; 20]) -> String {
    info_hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// libtorrent takes every node that announces into its table: were these dead, lookups would wait for them.
#[test]
fn lookups_do_not_wait_for_visitors_that_were_there_before() {
    if !libtorrent_installed() {
        return;
    }
    let mut daemon = Daemon::start(python("dht.py").arg("5"));
    let nodes = nodes(&mut daemon, Ipv4Addr::LOCALHOST.into());
    local(async {
        let mut mine = target(nodes[0], INFO_HASH);
        mine.dht_nodes.k = 8;
        let mut world = world(mine, PATIENCE);
        for visitor in 0..300 {
            let outcome = perform(&mut world, visitor, Operation::Lookup { announce: true }).await;
            assert!(outcome.result.is_ok(), "{:?}", outcome.parts);
            let outcome = perform(&mut world, visitor, Operation::AnnouncePeer).await;
            assert_eq!(outcome.result, Ok(Reply::Done), "{:?}", outcome.parts);
            world.release(JourneyId(visitor));
        }
        let mut asked = std::collections::HashSet::new();
        for visitor in 300..330 {
            let outcome = perform(&mut world, visitor, Operation::Lookup { announce: false }).await;
            assert_eq!(good(&outcome), outcome.parts.len(), "{:?}", outcome.parts);
            asked.insert(outcome.parts.len());
            assert!(peers(outcome).len() >= 30);
        }
        println!("queries a lookup: {asked:?}");
        assert!(asked.iter().any(|queries| *queries > nodes.len()), "visitors are asked too: {asked:?}");
    });
}

#[test]
fn libtorrent_over_ipv6() {
    if !libtorrent_installed() {
        return;
    }
    let mut daemon = Daemon::start(python("dht.py").args([&NODES.to_string(), "::1"]));
    let nodes = nodes(&mut daemon, Ipv6Addr::LOCALHOST.into());
    visitors_find_each_other(&nodes, 8, "[::1]:4711".parse().unwrap(), Ok(Reply::Done));
    shown("DHT over IPv6 (BEP 32)", "libtorrent");
}

/// Where `harness/fleet install` puts it.
fn node_modules() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("npm/node_modules")
}

#[test]
fn bittorrent_dht() {
    if !installed("npm's bittorrent-dht in target/npm", node_modules().join("bittorrent-dht").exists()) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/third_party/dht.mjs");
    let mut daemon =
        Daemon::start(Command::new("node").arg(script).arg(node_modules()).arg(NODES.to_string()));
    let nodes = nodes(&mut daemon, Ipv4Addr::LOCALHOST.into());
    // It knows no BEP 51, and says nothing to what it does not know.
    visitors_find_each_other(&nodes, 20, "127.16.0.2:4711".parse().unwrap(), Err(Cause::Timeout));
    nodes_join_by_visitors(&nodes, 20, |bootstrap, info_hash, port| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/third_party/dht_join.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(node_modules()).arg(bootstrap.to_string()).arg(hex(info_hash));
        command.args(port.map(|it| it.to_string()));
        command
    });
    shown("DHT: lookup, announce_peer (BEP 5)", "npm bittorrent-dht");
    shown("DHT: answers queries (BEP 5)", "npm bittorrent-dht");
}

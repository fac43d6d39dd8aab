//! Lookups and `announce_peer` against DHT nodes of two other authors: libtorrent (IPv4 and IPv6) and npm's bittorrent-dht.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use squall::drive::{JourneyId, World};
use squall::journey::{Cause, Operation, Outcome, Reply};
use squall::live::LiveWorld;
use squall::profile::DhtHabits;
use support::conformity::shown;
use support::daemon::{Daemon, installed, libtorrent_installed, python};
use support::{PATIENCE, local, peers, perform, scenario, target, world, world_of};

const INFO_HASH: [u8; 20] = [0x3c; 20];
const NODES: usize = 12;

/// Waits for the ports of its nodes.
fn nodes(daemon: &mut Daemon, address: IpAddr) -> Vec<SocketAddr> {
    let nodes: Vec<_> =
        daemon.line().split(' ').map(|port| SocketAddr::new(address, port.parse().unwrap())).collect();
    assert_eq!(nodes.len(), NODES);
    nodes
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
    visitors_find_each_other(&nodes, 8, "127.16.1.2:4711".parse().unwrap(), Ok(Reply::Done));
    local(async {
        let mut world = world(target(nodes[0], INFO_HASH), PATIENCE);
        let counts = queries(&mut world, 0..20).await;
        println!("queries a lookup, 20 visitors one after the other: {counts:?}");
        // Each asks for itself, however many the worker has seen before: never less than the eight closest have to answer.
        assert!(counts.iter().all(|count| *count >= 8), "{counts:?}");
    });
    shown("DHT: lookup, announce_peer (BEP 5)", "libtorrent");
    shown("DHT: sample_infohashes (BEP 51)", "libtorrent");
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
    visitors_find_each_other(&nodes, 20, "127.16.1.2:4711".parse().unwrap(), Err(Cause::Timeout));
    shown("DHT: lookup, announce_peer (BEP 5)", "npm bittorrent-dht");
}

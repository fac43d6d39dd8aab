//! A small scenario, a target and a world to perform operations in.
// Each test program compiles this file for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod conformity;
pub(crate) mod daemon;
pub(crate) mod quota;
pub(crate) mod seeded;
pub(crate) mod swarm;
pub(crate) mod tracker;
pub(crate) mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use squall::drive::{JourneyId, OpId, World};
use squall::journey::{Operation, Outcome, Peer, Reply, Swarm, Visitor};
use squall::live::{Clock, Guard, LiveConfig, LiveWorld};
use squall::plan::Stage;
use squall::profile::{
    Access, Authorization, Client, ContentItem, DhtHabits, DhtNodes, Encryption, Envelope, HttpEndpoint,
    Index, InfoHash, Mix, Target, TorrentItem, Tracker, TrackerHabits, Transport,
};
use squall::scenario::{
    Attention, Audience, Catalogue, Channel, Cut, Funnel, Kernel, Lag, Scenario, SideRate, SideTraffic,
    Transition, Variant, Variants,
};
use squall::unit::Tick;

/// Longest time that any test waits for one operation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A scenario whose numbers matter only where the live world looks: clients, access lines, side paths, patience.
pub(crate) fn scenario(patience: Duration) -> Scenario {
    let day = Duration::from_secs(86_400);
    let lag = Lag { median: Duration::from_secs(1), p90: Duration::from_secs(2) };
    let transition = Transition { conversion: 1.0, lag };
    let variant = Variant { attention: 1.0, conversion: 1.0 };
    let client = Client {
        name: "test".to_owned(),
        peer_id_prefix: *b"-SQ0001-",
        user_agent: "squall-test/1".to_owned(),
        http2: 0.0,
        http3: 0.0,
        numwant: 50,
        utp: 0.0,
        encryption: Encryption::Disabled,
        tracker: TrackerHabits::default(),
        dht: true,
        lookup: DhtHabits::default(),
    };
    Scenario {
        name: "test".to_owned(),
        title: "A test".to_owned(),
        start: jiff::Timestamp::UNIX_EPOCH,
        duration: day,
        signals: Vec::new(),
        confounders: Vec::new(),
        feed_faults: Vec::new(),
        abuse: Vec::new(),
        restarts: Vec::new(),
        exoduses: Vec::new(),
        faults: Vec::new(),
        audience: Audience { base: 1.0, returning: 0.0, old_clusters: 0.0, regions: Vec::new() },
        attention: Attention {
            price: 0.0,
            volume: 0.0,
            mentions: 0.0,
            listing_announce: 0.0,
            listing_go_live: 0.0,
            fear: 0.0,
            concern: 0.0,
            rise: lag.median,
            relax: lag.median,
            theta: 0.4,
            branching: 0.0,
            beta: 0.0,
            kernel: Kernel::Exponential,
            delay: lag.median,
        },
        funnel: Funnel {
            assets: 1,
            cached: 0.0,
            metadata: transition.clone(),
            magnet_share: 0.0,
            start: transition,
            abort_share: 0.0,
            seeding: lag,
            session: lag,
            announce_interval: lag.median,
            announce_jitter: 0.0,
            retries: 0,
            retry_after: lag.median,
            patience,
        },
        content: Catalogue { classes: Vec::new(), zipf: 1.0 },
        side: vec![SideTraffic {
            name: "status".to_owned(),
            server: None,
            path: "/status".to_owned(),
            body: Some(r#"{"jsonrpc":"2.0","method":"getHealth","id":1}"#.to_owned()),
            connections: None,
            rate: SideRate::Attention { follows: Channel::Concern, base: 0.0, gain: 0.0 },
        }],
        clients: Mix { members: vec![(client, 1.0)] },
        access: Mix {
            members: vec![(Access { name: "fast".to_owned(), down: 1e9, up: 1e9, unreachable: 0.0 }, 1.0)],
        },
        variants: Variants { conservative: variant, baseline: variant, breakout: variant },
        cut: Cut { speed: 1.0, scale: 1.0, from: Duration::ZERO, until: day },
    }
}

/// Leave to load a network with so many operations a second.
pub(crate) fn authorization(network: IpNet, ceiling: f64) -> Authorization {
    Authorization {
        networks: vec![network],
        ceiling,
        from: jiff::Timestamp::UNIX_EPOCH,
        until: jiff::Timestamp::MAX,
        contact: "ops@fleet.test".to_owned(),
        token: "agreed".to_owned(),
    }
}

/// The target with an authorised index that is never asked: it makes the ceiling count for layers on loopback too.
pub(crate) fn with_ceiling(mut target: Target, ceiling: f64) -> Target {
    target.index.server.address = "192.0.2.1:80".parse().unwrap();
    target.authorization = Some(authorization("192.0.2.0/24".parse().unwrap(), ceiling));
    target
}

/// A target with one torrent, every layer of which is at `address` until a test says otherwise.
pub(crate) fn target(address: SocketAddr, info_hash: impl Into<InfoHash>) -> Target {
    let server = HttpEndpoint::plain(address, "fleet.test".to_owned());
    Target {
        name: "test".to_owned(),
        index: Index {
            server: server.clone(),
            page: "/p/{name}".to_owned(),
            assets: vec!["/a.css".to_owned()],
        },
        metadata: server,
        gateway: None,
        web: Vec::new(),
        trackers: vec![Tracker::udp(address)],
        dht: vec![address],
        dht_nodes: DhtNodes::default(),
        dns: None,
        stand_in_port: None,
        own_peers: Vec::new(),
        transports: vec![Transport::Tcp],
        visitor_networks: Vec::new(),
        content: vec![ContentItem {
            name: "a release".to_owned(),
            torrent: Some(TorrentItem {
                info_hash: info_hash.into(),
                path: "/release.torrent".to_owned(),
                web_seeds: Vec::new(),
            }),
            cid: None,
            seed: None,
        }],
        envelope: Envelope::default(),
        capacity: Default::default(),
        shapers: Vec::new(),
        processes: Vec::new(),
        metrics: Vec::new(),
        authorization: None,
    }
}

/// A visitor of the test scenario.
pub(crate) fn visitor(seed: u64) -> Visitor {
    Visitor {
        seed,
        source: seed,
        client: 0,
        access: 0,
        region: 0,
        content: 0,
        class: 0,
        returning: false,
        cached: false,
        reachable: true,
        transfers: false,
    }
}

/// A world against this target; only inside [`local`].
pub(crate) fn world(target: Target, patience: Duration) -> LiveWorld {
    world_of(target, scenario(patience))
}

/// A world of this scenario's visitors against this target; only inside [`local`].
pub(crate) fn world_of(target: Target, scenario: Scenario) -> LiveWorld {
    let guard = Arc::new(Guard::new(&target).unwrap());
    let (target, scenario) = (Arc::new(target), Arc::new(scenario));
    LiveWorld::new(LiveConfig { target, scenario, guard, clock: Clock::start(), worker: 0, workers: 2 })
        .unwrap()
}

/// What the visitors' part in the swarms was like since this was last asked, all groups together.
pub(crate) fn swarm(world: &mut LiveWorld) -> Swarm {
    world.swarm().iter().fold(Swarm::default(), |mut sum, (_, swarm)| {
        sum += swarm;
        sum
    })
}

/// Runs a test as a worker runs: one thread, one runtime, a `LocalSet`.
pub(crate) fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(60), test).await.unwrap() })
}

/// Performs one operation of visitor `n` and waits for its outcome.
pub(crate) async fn perform(world: &mut LiveWorld, n: u64, operation: Operation) -> Outcome {
    perform_as(world, visitor(n), operation).await
}

/// Performs one operation of a visitor, in the journey of its seed's number, and waits for its outcome.
pub(crate) async fn perform_as(world: &mut LiveWorld, visitor: Visitor, operation: Operation) -> Outcome {
    let id = OpId { journey: JourneyId(visitor.seed), stage: Stage::Index };
    world.perform(id, &visitor, operation);
    let (of, outcome) = world.wait(Tick::MAX).await.unwrap();
    assert_eq!(of, id);
    outcome
}

/// The peers that an outcome named.
pub(crate) fn peers(outcome: Outcome) -> Vec<Peer> {
    match outcome.result {
        Ok(Reply::Peers(peers)) => peers,
        other => panic!("no peers but {other:?}"),
    }
}

//! A small listing day for tests and benches.

use std::time::Duration;

use crate::profile::{Access, Client, DhtHabits, Encryption, Mix};

use super::{
    Attention, Audience, Catalogue, Channel, ContentClass, Cut, Engagement, Funnel, Kernel, Lag, Region,
    Scenario, SideRate, SideTraffic, Signal, SignalKind, Transition, Variant, Variants, Via,
};

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A listing announced at 06:00 and live at 08:00 of a 24 h day, driven in a minute.
#[must_use]
pub fn sample() -> Scenario {
    let listing = Signal {
        at: minutes(360),
        price: 0.12,
        volume: 3.2,
        mentions: 5.0,
        go_live: Some(minutes(480)),
        ..signal("listing")
    };
    Scenario {
        name: "sample".into(),
        title: "A small listing day".into(),
        start: jiff::Timestamp::UNIX_EPOCH,
        duration: minutes(1440),
        signals: vec![listing],
        feed_faults: Vec::new(),
        confounders: Vec::new(),
        abuse: Vec::new(),
        restarts: Vec::new(),
        exoduses: Vec::new(),
        faults: Vec::new(),
        audience: Audience {
            base: 20.0,
            returning: 0.3,
            old_clusters: 0.6,
            regions: vec![region("asia", 0.6, 8, 21.0), region("america", 0.4, -5, 20.0)],
        },
        attention: attention(),
        funnel: funnel(),
        content: Catalogue {
            classes: vec![
                ContentClass {
                    name: "installer".into(),
                    items: 4,
                    size: 1 << 20,
                    via: Via::Swarm,
                    web_seed: false,
                },
                ContentClass {
                    name: "tutorial".into(),
                    items: 28,
                    size: 1 << 18,
                    via: Via::Swarm,
                    web_seed: false,
                },
            ],
            zipf: 0.9,
        },
        side: vec![SideTraffic {
            name: "status".into(),
            server: None,
            path: "/status".into(),
            body: None,
            connections: None,
            rate: SideRate::Attention { follows: Channel::Concern, base: 4.0, gain: 1.0 },
        }],
        clients: Mix { members: vec![(client("qBittorrent", true), 0.7), (client("plain", false), 0.3)] },
        access: Mix { members: vec![(line("dsl", 20.0, 2.0), 0.4), (line("fibre", 500.0, 300.0), 0.6)] },
        variants: Variants {
            conservative: Variant { attention: 0.5, conversion: 0.8 },
            baseline: Variant { attention: 1.0, conversion: 1.0 },
            breakout: Variant { attention: 2.0, conversion: 1.2 },
        },
        cut: Cut { speed: 1440.0, scale: 1.0, from: Duration::ZERO, until: minutes(1440) },
    }
}

/// A signal at 06:00 that says nothing yet.
#[must_use]
pub fn signal(name: &str) -> Signal {
    Signal {
        name: name.into(),
        kind: SignalKind::Market,
        source: String::new(),
        at: minutes(360),
        lag: Duration::ZERO,
        ramp: Duration::ZERO,
        rise: None,
        relax: None,
        price: 0.0,
        market: 0.0,
        volume: 1.0,
        mentions: 1.0,
        posts: Engagement::Original,
        sentiment: 0.0,
        searches: 1.0,
        wallets: 1.0,
        outage: false,
        strength: None,
        go_live: None,
        confidence: 1.0,
        quality: 1.0,
        echoes: Vec::new(),
        regions: Vec::new(),
    }
}

/// Attention that a listing moves much and a price alone hardly.
#[must_use]
pub fn attention() -> Attention {
    Attention {
        price: 0.5,
        volume: 0.8,
        mentions: 1.2,
        listing_announce: 2.0,
        listing_go_live: 5.0,
        fear: 0.8,
        concern: 6.0,
        rise: minutes(20),
        relax: minutes(60),
        theta: 0.4,
        beta: 2.0,
        kernel: Kernel::Exponential,
        branching: 0.4,
        delay: minutes(30),
    }
}

fn funnel() -> Funnel {
    Funnel {
        assets: 4,
        cached: 0.5,
        metadata: Transition { conversion: 0.5, lag: lag(2, 10) },
        magnet_share: 0.4,
        start: Transition { conversion: 0.6, lag: lag(1, 5) },
        abort_share: 0.3,
        seeding: lag(30, 240),
        session: lag(135, 888),
        announce_interval: minutes(30),
        announce_jitter: 0.0,
        retries: 2,
        retry_after: Duration::from_millis(500),
        patience: Duration::from_secs(10),
    }
}

fn region(name: &str, share: f64, hours_east: i32, peak_hour: f64) -> Region {
    Region { name: name.into(), share, utc_offset: hours_east * 3600, peak_hour, night: 0.3, weekend: 1.0 }
}

const fn lag(median: u64, p90: u64) -> Lag {
    Lag { median: minutes(median), p90: minutes(p90) }
}

fn client(name: &str, dht: bool) -> Client {
    Client {
        name: name.into(),
        peer_id_prefix: *b"-qB4520-",
        user_agent: format!("{name}/1.0"),
        http2: 0.7,
        http3: 0.2,
        numwant: 50,
        utp: 0.0,
        encryption: Encryption::Disabled,
        tracker: crate::profile::TrackerHabits::default(),
        dht,
        lookup: DhtHabits::default(),
    }
}

fn line(name: &str, down: f64, up: f64) -> Access {
    Access { name: name.into(), down: down * 125_000.0, up: up * 125_000.0, unreachable: 0.64 }
}

//! Rehearsals against the real fleet: what every daemon counted agrees with what Squall says that it sent there.
//!
//! Both rehearsals are small enough (at most some 330 operations a second) for an unoptimised build to keep up; what is compared are
//! counts, which a slow machine does not change.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
mod real_fleet;
mod support;

use std::path::Path;

use real_fleet::Fleet;
use serde_json::Value;

/// How far two counts may be apart, as a share of the larger; and how many operations may fail.
const TOLERANCE: f64 = 0.01;

/// The entry of a list whose `key` is `name`; nothing where nothing of that name happened.
fn entry<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    list.as_array().unwrap().iter().find(|entry| entry[key] == name).unwrap_or(&Value::Null)
}

/// Operations of a layer or kind that were sent, and those among them that failed.
fn sent_and_failed(of: &Value) -> (u64, u64) {
    let counts = &of["flow"]["counts"];
    let failed = counts["failed"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    (counts["released"].as_u64().unwrap(), failed)
}

/// Who disagrees, in words.
#[derive(Default)]
struct Findings(Vec<String>);

impl Findings {
    /// Notes it where a daemon's count and Squall's are too far apart.
    fn agree(&mut self, counter: &str, daemon: u64, squall: u64) {
        if daemon.abs_diff(squall) as f64 > TOLERANCE * daemon.max(squall) as f64 || squall == 0 {
            self.0.push(format!("{counter}: the daemon counted {daemon}, Squall {squall}"));
        }
    }

    /// Notes every layer, and all of them together, where too many operations failed.
    fn failures(&mut self, summary: &Value) {
        let mut all = (0, 0);
        for layer in summary["layers"].as_array().unwrap() {
            let (sent, failed) = sent_and_failed(layer);
            all = (all.0 + sent, all.1 + failed);
            self.few(layer["layer"].as_str().unwrap(), sent, failed);
        }
        self.few("all layers", all.0, all.1);
    }

    /// What peers gave, as those that gave it count it, others of them must have taken. aria2 takes and gives: what went between it and the
    /// seeders Squall did not see, and what visitors gave each other the daemons did not. All of this is payload, but transmission's, which
    /// counts the 13 bytes before each block as well, and aria2's, which counts nothing that it took twice. What came to the relay for a
    /// visitor who had hung up was given, and taken by nobody.
    fn every_byte_arrived(&mut self, counters: &Value, swarm: &Value) {
        let visitors = |key: &str| swarm[key].as_u64().unwrap();
        let given =
            counted(counters, &SEEDERS) + counted(counters, &[("aria2", "uploaded")]) + visitors("to_others");
        let left_over = counted(counters, &[("relay", "left_over")]);
        let taken = counted(counters, &[("aria2", "downloaded")]) + visitors("from_others") + left_over;
        println!(
            "bytes: peers gave {given}, and took {taken}, {left_over} of it after a visitor had hung up"
        );
        self.agree("bytes that peers gave, and that were taken", given, taken);
        for (who, what) in SEEDERS.into_iter().chain([("aria2", "downloaded")]) {
            if counted(counters, &[(who, what)]) == 0 {
                self.0.push(format!("{who}: nothing {what}"));
            }
        }
    }

    fn few(&mut self, what: &str, sent: u64, failed: u64) {
        if sent == 0 || failed as f64 >= TOLERANCE * sent as f64 {
            self.0.push(format!("{what}: {failed} of {sent} operations failed"));
        }
    }
}

/// Clients that have everything, by their names in the counters.
const SEEDERS: [(&str, &str); 4] = [
    ("libtorrent", "uploaded"),
    ("transmission", "uploaded"),
    ("qbittorrent", "uploaded"),
    ("librqbit", "uploaded"),
];

/// The sum of a counter over some daemons.
fn counted(counters: &Value, daemons: &[(&str, &str)]) -> u64 {
    let count = |(daemon, counter): &(&str, &str)| {
        counters[daemon][counter].as_u64().unwrap_or_else(|| panic!("{daemon} has no {counter}: {counters}"))
    };
    daemons.iter().map(count).sum()
}

#[test]
fn daemons_and_squall_count_the_same() {
    let Some(fleet) = Fleet::up("fleet") else { return };
    let results = [("listing day", listing_day(&fleet)), ("browsers", browsers_that_share(&fleet))];
    let wrong = |(name, (findings, text)): &(&str, (Findings, String))| {
        (!findings.0.is_empty()).then(|| format!("{name}: {:#?}\n{text}", findings.0))
    };
    let wrong: Vec<String> = results.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn listing_day(fleet: &Fleet) -> (Findings, String) {
    let (summary, text) = fleet.rehearse(Path::new("scenarios/listing-day.toml"), "30h..42h", &[]);
    let counters = fleet.counters();
    let layer = |name| sent_and_failed(entry(&summary["layers"], "layer", name)).0;
    let kind = |name| entry(&summary["kinds"], "kind", name);
    let number = |value: &Value| value.as_u64().unwrap();

    let mut findings = Findings::default();
    findings.failures(&summary);
    findings.agree("nginx, access log", counted(&counters, &[("index", "requests")]), layer("index"));
    findings.agree("caddy, access log", counted(&counters, &[("metadata", "requests")]), layer("metadata"));
    // A name is asked for twice, for its A and its AAAA record.
    let questions = 2 * layer("dns") + number(&kind("resolve")["retransmits"]);
    findings.agree("dnsmasq, query log", counted(&counters, &[("dns", "queries")]), questions);
    let trackers = [
        ("tracker", "udp_announces"),
        ("tracker", "http_announces"),
        ("npm-tracker", "announces"),
        ("aquatic_udp", "announces"),
        ("aquatic_http", "announces"),
    ];
    findings.agree("announces of all trackers", counted(&counters, &trackers), layer("tracker"));
    for tracker in trackers.into_iter().filter(|tracker| counted(&counters, &[*tracker]) == 0) {
        findings.0.push(format!("{tracker:?}: nobody came"));
    }
    findings.every_byte_arrived(&counters, &summary["swarm"]);
    // Queries go to other visitors as well: only the daemons' part is counted by them.
    let told = counted(&counters, &[("dht", "get_peers_in"), ("dht", "announce_peer_in")]);
    let (_, failed) = sent_and_failed(kind("query"));
    let sent = number(&kind("query")["flow"]["counts"]["ok"]) + failed;
    if told == 0 || told as f64 > (1.0 + TOLERANCE) * sent as f64 {
        findings.0.push(format!("libtorrent, DHT queries: the nodes counted {told}, Squall sent {sent}"));
    }
    (findings, format!("{counters:#}\n{text}"))
}

/// Once more, with visitors whose trackers speak WebSocket: no client of `profiles/clients.toml` does.
fn browsers_that_share(fleet: &Fleet) -> (Findings, String) {
    let (summary, text) = fleet.rehearse(&fleet.day_of_browsers(), "36h..40h", &[]);
    let counters = fleet.counters();
    let (announces, failed) = sent_and_failed(entry(&summary["layers"], "layer", "tracker"));
    let mut findings = Findings::default();
    findings.few("tracker", announces, failed);
    let told = counted(&counters, &[("aquatic_ws", "announces")]);
    findings.agree("aquatic_ws, announces", told, announces);
    (findings, format!("{counters:#}\n{text}"))
}

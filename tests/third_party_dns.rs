//! Names resolved by nsd and dnsmasq, on their own and under a whole rehearsal.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use program::wait_for;
use squall::journey::{Cause, Kind, Operation, Reply, Service};
use squall::profile::{Dns, Target};
use squall::record::Recording;
use support::conformity::shown;
use support::daemon::{Daemon, free_port, program_installed};
use support::{PATIENCE, local, perform, target, world};

/// Longer than anything that is waited for takes.
const LONG: Duration = Duration::from_secs(120);
/// Seven aliases, each as long as a label may be: more than fits a datagram.
const ALIASES: usize = 7;

fn alias(n: usize) -> String {
    format!("{}{n}.fleet.test", "x".repeat(60))
}

/// Asks for `index.fleet.test` until somebody answers.
fn await_resolver(address: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x05ready\x04test\0\0\x01\0\x01";
    let ready = (0..200).any(|_| {
        socket.send_to(question, address).unwrap();
        socket.recv(&mut [0; 512]).is_ok()
    });
    assert!(ready, "the resolver does not answer");
}

fn nsd(directory: &Path) -> (Daemon, SocketAddr) {
    let port = free_port();
    let aliases: String =
        (0..ALIASES).map(|n| format!("{}. 60 CNAME {}.\n", alias(n), alias(n + 1))).collect();
    let zone = format!(
        "$ORIGIN fleet.test.\n@ 60 SOA ns hostmaster 1 3600 900 86400 60\n@ 60 NS ns\nns 60 A 127.0.0.1\n\
         index 30 A 127.0.0.1\nwww 300 CNAME index\nelsewhere 60 A 127.0.0.2\nforeign 60 A 192.0.2.1\n\
         both 60 A 127.0.0.1\nboth 60 AAAA ::1\n{aliases}{}. 60 A 127.0.0.1\n",
        alias(ALIASES)
    );
    std::fs::write(directory.join("fleet.test.zone"), zone).unwrap();
    let here = directory.display();
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{here}\"\n  \
         pidfile: \"{here}/nsd.pid\"\n  database: \"\"\n  xfrdfile: \"{here}/xfrd.state\"\n  zonelistfile: \"{here}/zone.list\"\n  \
         xfrdir: \"{here}\"\nremote-control:\n  control-enable: no\nzone:\n  name: fleet.test\n  zonefile: fleet.test.zone\n"
    );
    std::fs::write(directory.join("nsd.conf"), config).unwrap();
    let daemon =
        Daemon::start(Command::new("/usr/sbin/nsd").arg("-d").arg("-c").arg(directory.join("nsd.conf")));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    await_resolver(address);
    (daemon, address)
}

/// A dnsmasq without upstream that writes every query into a log.
fn dnsmasq(directory: &Path, records: &[String]) -> (Daemon, SocketAddr) {
    let port = free_port();
    let mut command = Command::new("/usr/sbin/dnsmasq");
    command.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--no-poll",
        "--log-queries",
    ]);
    command.args([
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--user=",
        "--group=",
        "--local=/test/",
        "--local=/testbed/",
    ]);
    command
        .arg(format!("--port={port}"))
        .arg(format!("--log-facility={}", directory.join("queries.log").display()));
    command.arg(format!("--pid-file={}", directory.join("dnsmasq.pid").display())).args(records);
    let daemon = Daemon::start(&mut command);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    await_resolver(address);
    (daemon, address)
}

/// Queries of dnsmasq's log for this name.
fn queries(directory: &Path, name: &str) -> usize {
    let log = std::fs::read_to_string(directory.join("queries.log")).unwrap();
    log.lines().filter(|line| line.contains("query[") && line.contains(&format!("] {name} from"))).count()
}

/// A target whose pages are known under this name.
fn named(resolver: SocketAddr, name: &str) -> Target {
    let mut target = target(SocketAddr::from(([127, 0, 0, 1], 80)), [0; 20]);
    target.index.server.host = format!("{name}:8080");
    target.dns = Some(Dns { resolvers: vec![resolver], cached: 0.0 });
    target
}

/// What visitors of such a target get to know.
fn resolve(resolver: SocketAddr, name: &str) -> (Result<Reply, Cause>, u32) {
    local(async {
        let mut world = world(named(resolver, name), PATIENCE);
        let outcome = perform(&mut world, 1, Operation::Resolve(Service::Index)).await;
        assert_eq!(outcome.oddities, []);
        (outcome.result, outcome.foreign)
    })
}

fn kept(seconds: u64) -> (Result<Reply, Cause>, u32) {
    (Ok(Reply::Resolved { ttl: Duration::from_secs(seconds) }), 0)
}

#[test]
fn nsd_is_understood() {
    if !program_installed("nsd") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (_daemon, address) = nsd(directory.path());
    assert_eq!(resolve(address, "index.fleet.test"), kept(30));
    assert_eq!(resolve(address, "WWW.fleet.test"), kept(30), "an alias; its own life is longer");
    assert_eq!(resolve(address, "both.fleet.test"), kept(60));
    assert_eq!(resolve(address, &alias(0)), kept(60), "too long for a datagram");
    assert_eq!(resolve(address, "nobody.fleet.test"), (Err(Cause::Incorrect), 0), "NXDOMAIN");
    assert_eq!(resolve(address, "elsewhere.fleet.test"), (Err(Cause::Incorrect), 0));
    assert_eq!(resolve(address, "foreign.fleet.test"), (Err(Cause::Foreign), 1));
    assert_eq!(resolve(address, "fleet.example"), (Err(Cause::Rejected), 0), "REFUSED: not its zone");
    shown("DNS: A and AAAA over UDP and TCP", "nsd");
}

#[test]
fn dnsmasq_is_understood_and_counts_the_same() {
    if !program_installed("dnsmasq") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let records =
        ["--host-record=index.fleet.test,127.0.0.1,30", "--cname=www.fleet.test,index.fleet.test,300"];
    let (_daemon, address) = dnsmasq(directory.path(), &records.map(str::to_owned));
    assert_eq!(resolve(address, "index.fleet.test"), kept(30));
    assert_eq!(resolve(address, "www.fleet.test"), kept(30));
    assert_eq!(resolve(address, "nobody.fleet.test"), (Err(Cause::Incorrect), 0), "NXDOMAIN");
    assert_eq!(resolve(address, "fleet.example"), (Err(Cause::Rejected), 0), "REFUSED: no upstream");
    assert_eq!(queries(directory.path(), "index.fleet.test"), 2, "A and AAAA");
    // Who was refused for one kind of address does not wait for the answer about the other, which may still be on its way.
    let is_all = || (queries(directory.path(), "fleet.example") >= 4).then_some(());
    wait_for("query for both, and once again", LONG, is_all);
    shown("DNS: A and AAAA over UDP and TCP", "dnsmasq");
}

#[cfg(feature = "testbed")]
#[test]
fn a_rehearsal_resolves_names_as_often_as_the_resolver_says() {
    use program::{Running, squall};

    if !program_installed("dnsmasq") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    let records =
        ["index.testbed", "metadata.testbed"].map(|name| format!("--host-record={name},127.0.0.1,1"));
    let (_daemon, resolver) = dnsmasq(dir, &records);
    let profile = dir.join("fleet.toml");
    let _testbed =
        Running::start(squall().args(["testbed", "scenarios/listing-day.toml", "--out"]).arg(&profile));
    let fleet = wait_for("profile", LONG, || std::fs::read_to_string(&profile).ok());
    let dns = format!(
        "[dns]\nresolvers = [\"{resolver}\"]\ncached = \"25%\"\n\n[envelope.dns]\nbase = \"100/s\"\nburst = \"200/s\"\n\
         burst_for = \"1m\"\nreserve = \"400/s\"\nslo = {{ limit = \"100ms\" }}\n\n"
    );
    // Tables of the file's own are closed before it: arrays of tables and their kind come last.
    let (head, tail) = fleet.split_at(fleet.find("[index]").unwrap());
    std::fs::write(dir.join("named.toml"), format!("{head}{dns}{tail}")).unwrap();
    let arguments =
        ["run", "scenarios/listing-day.toml", "--window", "13h..25h", "--speed", "4320", "--target"];
    let run = squall()
        .args(arguments)
        .arg(dir.join("named.toml"))
        .arg("--out")
        .arg(dir.join("run"))
        .output()
        .unwrap();
    let out = program::stdout(&run) + &program::stderr(&run);
    let recording = Recording::read(&dir.join("run")).unwrap();
    let total = |kind: Kind| {
        let rows = recording.rows.iter().filter_map(|row| row.kinds.get(&kind));
        rows.fold((0, 0), |(ok, failed), row| (ok + row.counts.ok, failed + row.counts.failed.total()))
    };
    let (resolved, failed) = total(Kind::Resolve);
    println!("{resolved} names resolved, {failed} not; {} pages\n{out}", total(Kind::Page).0);
    assert!(resolved > 100 && failed * 100 < resolved, "{out}");
    let asked = queries(dir, "index.testbed") + queries(dir, "metadata.testbed");
    assert!(asked.abs_diff(2 * resolved as usize) * 100 <= asked, "{asked} queries for {resolved} names");
    assert!(out.contains("dns"), "{out}");
    let share = resolved as f64 / (total(Kind::Page).0 + total(Kind::Torrent).0 + total(Kind::Side).0) as f64;
    assert!((0.65..0.85).contains(&share), "75 % come without the name: {share}");
}

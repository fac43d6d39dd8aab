//! In a network namespace without any route: nothing leaves, whatever a profile or a tracker says.
//!
//! The test runs itself once more inside a namespace of its own (`unshare`), where the kernel's counters speak of nobody else.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]
#![cfg(feature = "testbed")]

mod program;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use program::{Running, run, squall, stderr, stdout, unshared, wait_for};

const INSIDE: &str = "SQUALL_TEST_INSIDE_NAMESPACE";
/// An address of TEST-NET-2 (RFC 5737): documentation only, nobody's.
const OUTSIDE: &str = "198.51.100.7";

/// Packets that this namespace tried to send by way of IP, and those among them that had no route.
fn sent() -> (u64, u64) {
    let counters = fs::read_to_string("/proc/self/net/snmp").unwrap();
    let mut lines = counters.lines().filter_map(|line| line.strip_prefix("Ip: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let get = |wanted| {
        let at = names.split(' ').position(|name| name == wanted).unwrap();
        values.split(' ').nth(at).unwrap().parse().unwrap()
    };
    (get("OutRequests"), get("OutNoRoutes"))
}

#[test]
fn nothing_leaves() {
    let this = std::env::current_exe().unwrap();
    let Some(mut command) = unshared(&this.display().to_string()) else {
        assert!(
            std::env::var_os("SQUALL_REQUIRE_DAEMONS").is_none(),
            "no network namespace to be had: unshare and ip (iproute2) are needed"
        );
        println!("skipped: no network namespace to be had (unshare, iproute2)");
        return;
    };
    let output =
        command.args(["--exact", "inside", "--ignored", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed"), "{}", stdout(&output));
}

#[test]
#[ignore = "runs inside the namespace that `nothing_leaves` makes"]
fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "started by `nothing_leaves` only");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("testbed.toml");
    let _fleet = Running::start(squall().args(["testbed", "scenarios/listing-day.toml", "--out"]).arg(&path));
    let profile =
        wait_for("profile of the testbed", Duration::from_secs(60), || fs::read_to_string(&path).ok());

    an_outside_target_is_refused(dir.path(), &profile);
    outside_peers_are_counted_and_left_alone(dir.path(), &profile);
}

fn an_outside_target_is_refused(dir: &Path, profile: &str) {
    let mut table: toml::Table = profile.parse().unwrap();
    for layer in ["index", "metadata", "tracker"] {
        let original = address_of(&mut table, layer).clone();
        *address_of(&mut table, layer) = format!("{OUTSIDE}:8080").into();
        let path = dir.join(format!("outside-{layer}.toml"));
        fs::write(&path, table.to_string()).unwrap();
        let before = sent();
        let output = run(&["run", "scenarios/listing-day.toml", "--target", &path.display().to_string()]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains(OUTSIDE), "{}", stderr(&output));
        // The testbed's own nodes talk over loopback all the time; what matters is that nobody asked for a route.
        assert_eq!(sent().1, before.1, "something tried to leave");
        *address_of(&mut table, layer) = original;
    }
}

/// The address of a layer; of the tracker, the first one's.
fn address_of<'t>(table: &'t mut toml::Table, layer: &str) -> &'t mut toml::Value {
    let layer = &mut table[layer];
    let layer = if layer.is_array() { &mut layer[0] } else { layer };
    &mut layer["address"]
}

fn outside_peers_are_counted_and_left_alone(dir: &Path, profile: &str) {
    let liar = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut table: toml::Table = profile.parse().unwrap();
    *address_of(&mut table, "tracker") = liar.local_addr().unwrap().to_string().into();
    std::thread::spawn(move || lie(&liar));
    let (path, out) = (dir.join("liar.toml"), dir.join("run"));
    fs::write(&path, table.to_string()).unwrap();
    let before = sent();
    let output = run(&[
        "run",
        "scenarios/listing-day.toml",
        "--window",
        "6h..18h",
        "--speed",
        "5400",
        "--target",
        &path.display().to_string(),
        "--out",
        &out.display().to_string(),
    ]);
    assert!(sent().0 > before.0 + 1000, "the counters count");
    assert_eq!(sent().1, before.1, "something tried to leave: {}", stdout(&output));
    let recording = squall::record::Recording::read(&out).unwrap();
    let announces =
        || recording.rows.iter().filter_map(|row| row.kinds.get(&squall::journey::Kind::Announce));
    let foreign: u64 = announces().map(|row| row.traffic.foreign).sum();
    let failed: u64 = announces().map(|row| row.counts.failed.of(squall::journey::Cause::Foreign)).sum();
    assert!(
        foreign > 10 && failed > 10,
        "{foreign} foreign peers, {failed} announces failed\n{}",
        stdout(&output)
    );
}

/// A tracker (BEP 15) all of whose peers are elsewhere.
fn lie(socket: &UdpSocket) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        if length < 16 {
            continue;
        }
        let (action, transaction) = (&buffer[8..12], &buffer[12..16]);
        let mut answer = [action, transaction].concat();
        match action[3] {
            0 => answer.extend_from_slice(b"connid!!"),
            _ => {
                for number in [1800u32, 1, 1] {
                    answer.extend_from_slice(&number.to_be_bytes());
                }
                answer.extend_from_slice(&[198, 51, 100, 7, 0x1a, 0xe1, 198, 51, 100, 9, 0x1a, 0xe1]);
            }
        }
        let _ = socket.send_to(&answer, from);
    }
}

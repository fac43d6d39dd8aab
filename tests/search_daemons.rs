//! `squall search` against daemons by other authors, held to a share of a core, or to a bandwidth by a relay: three searches find the same.
//!
//! Left out of an ordinary run: it takes twenty minutes, and needs the machine for itself, since the generator has the cores that the daemons
//! do not have. `cargo build --workspace && cargo test --test search_daemons -- --ignored --nocapture` prints what was found.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
mod support;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use program::{run, stderr, stdout};
use serde_json::Value;
use support::daemon::{Daemon, await_listener, free_port, libtorrent_installed, program_installed, python};
use support::quota::Quota;
use support::tracker::{KNOWN, opentracker};

/// How far the least and the most of three may be apart.
const APART: f64 = 1.10;

/// One search at a time.
fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A profile in which everything that is not on trial is nowhere.
fn profile(name: &str, tables: &str, info_hash: &str) -> String {
    let nowhere = "127.0.0.1:9";
    let or_nowhere = |table: &str, text: &str| {
        if tables.contains(table) { String::new() } else { format!("{table}\n{text}\n\n") }
    };
    format!(
        "squall = 1\nkind = \"target\"\nname = \"{name}\"\n\n{}{}[metadata]\naddress = \"{nowhere}\"\n\n\
         [dht]\nbootstrap = [\"{nowhere}\"]\n\n[[content]]\nname = \"release\"\ninfo_hash = \"{info_hash}\"\n\
         torrent = \"/release.torrent\"\n\n{tables}",
        or_nowhere("[index]", &format!("address = \"{nowhere}\"")),
        or_nowhere("[[tracker]]", &format!("address = \"{nowhere}\"")),
    )
}

/// Searches three times, from the second on from nearer to what was found, and compares.
fn three_times(layer: &str, profile: &str, trial: &str) {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("target.toml");
    fs::write(&target, profile).unwrap();
    let mut found: Vec<f64> = Vec::new();
    for time in 1..=3 {
        let begin = std::time::Instant::now();
        let start = found.first().map_or(20.0, |capacity| capacity / 2.0);
        let capacity = search(layer, &target, &dir.path().join(time.to_string()), start, trial);
        println!("{layer}, search {time}: {capacity:.0}/s in {:.0} s", begin.elapsed().as_secs_f64());
        found.push(capacity);
    }
    let least = found.iter().copied().fold(f64::INFINITY, f64::min);
    let most = found.iter().copied().fold(0.0, f64::max);
    println!("{layer}: {least:.0}/s to {most:.0}/s, {:.1} % apart", 100.0 * (most / least - 1.0));
    assert!(most <= APART * least, "{found:?}");
}

fn search(layer: &str, target: &Path, out: &Path, start: f64, trial: &str) -> f64 {
    let [target, out] = [target, out].map(|path| path.display().to_string());
    let start = format!("{start:.0}/s");
    let fine = ["--trial", trial, "--precision", "3%", "--no-recovery"];
    let how = [&fine[..], &["--limit", "1s", "--workers", "1", "--start", &start]].concat();
    let which = ["search", "--target", &target, "--layer", layer, "--out", &out, "--output-format", "json"];
    let output = run(&[&which[..], &how[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let found: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let found = &found["layers"][0]["found"];
    assert_eq!(found["at_least"], false, "{found:#}");
    found["capacity_per_second"].as_f64().unwrap()
}

#[test]
#[ignore = "two minutes, and the machine for itself"]
fn opentracker_has_a_capacity() {
    let _alone = alone();
    let Some((tracker, address)) = opentracker() else { return };
    let Some(_quota) = Quota::hold(tracker.daemon.pid(), 1) else { return };
    let hash: String = KNOWN.iter().map(|byte| format!("{byte:02x}")).collect();
    let table = format!("[[tracker]]\nkind = \"http\"\naddress = \"{address}\"\npath = \"/announce\"\n");
    three_times("tracker", &profile("opentracker", &table, &hash), "2s");
}

#[test]
#[ignore = "two minutes, and the machine for itself"]
fn nginx_has_a_capacity() {
    let _alone = alone();
    if !program_installed("nginx") {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let dir = folder.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
        .join(" ");
    let config = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ {temporary} access_log off; server {{ listen 127.0.0.1:{port}; root {dir}; }} }}\n"
    );
    fs::write(folder.path().join("nginx.conf"), config).unwrap();
    fs::write(folder.path().join("index.html"), "<p>a page</p>\n".repeat(500)).unwrap();
    let daemon = Daemon::start(
        Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin")
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .args(["-p", &dir.to_string(), "-e", "stderr"]),
    );
    await_listener(([127, 0, 0, 1], port).into());
    let Some(_quota) = Quota::hold(daemon.pid(), 1) else { return };
    let table = format!("[index]\naddress = \"127.0.0.1:{port}\"\npage = \"/index.html\"\n");
    three_times("index", &profile("nginx", &table, &"5a".repeat(20)), "2s");
}

/// A relay with these limits before a port, and its own; `None` where the harness is not built.
fn relay(upstream: &str, limits: &str) -> Option<(Daemon, u16)> {
    let program = Path::new(env!("CARGO_BIN_EXE_squall")).with_file_name("squall-shape");
    if !program.exists() {
        println!("skipped: `cargo build --workspace` builds squall-shape");
        return None;
    }
    let port = free_port();
    let assignment = format!(
        r#"{{"relays": [{{"name": "limit", "protocol": "tcp", "listen": "127.0.0.1:{port}",
            "upstream": "127.0.0.1:{upstream}", "limits": {limits}}}]}}"#
    );
    let mut daemon = Daemon::start(Command::new(program).arg(assignment));
    // Its addresses, once it listens.
    daemon.line();
    Some((daemon, port))
}

#[test]
#[ignore = "a quarter of an hour, and the machine for itself"]
fn a_libtorrent_seeder_has_a_capacity() {
    let _alone = alone();
    if !libtorrent_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(python("seeder.py").arg(folder.path()).arg("v1"));
    let line = daemon.line();
    let [hash, _, port] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    // Not by a quota: what libtorrent does with a small share of a core differs by a sixth from one minute to the next.
    let Some((_relay, port)) = relay(port, r#"{"bandwidth": 4e6}"#) else { return };
    let table = format!("[swarm]\npeers = [\"127.0.0.1:{port}\"]\n");
    // A visitor asks for all of a download: of so few a second says little, and longer trials more.
    three_times("seedbox", &profile("libtorrent", &table, hash), "10s");
}

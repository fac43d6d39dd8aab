//! The fleet of `harness/fleet`, as tests use it.
// Each test program compiles this file for itself and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program;
use crate::support::daemon::{installed, libtorrent_installed, program_installed};

/// No client of `profiles/clients.toml` speaks WebSocket: these visitors speak nothing else.
const BROWSERS: &str = r#"squall = 1
kind = "clients"

[[client]]
name = "webtorrent"
share = "100%"
peer_id = "-WW0200-"
user_agent = "Mozilla/5.0"
numwant = 5
trackers = ["ws"]
dht = false
"#;

/// A fleet in a directory of its own; it goes down with the test, and one that an earlier test left behind with the next.
pub(crate) struct Fleet {
    pub(crate) directory: PathBuf,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.tell("down");
    }
}

impl Fleet {
    /// `None` where a program is missing.
    pub(crate) fn up(name: &str) -> Option<Self> {
        let programs = ["opentracker", "nginx", "caddy", "dnsmasq", "openssl", "node"].into_iter();
        let mut programs = programs.chain(["transmission-daemon", "qbittorrent-nox", "aria2c"]);
        if !programs.all(program_installed) || !libtorrent_installed() {
            return None;
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = ["npm/node_modules/bittorrent-tracker", "aquatic/bin/aquatic_ws"];
        for path in built.map(|path| target.join(path)) {
            if !installed(&path.display().to_string(), path.exists()) {
                return None;
            }
        }
        // Where daemons that give up root can read, and where the next run finds what this one might leave.
        let fleet = Self { directory: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name) };
        fleet.tell("down");
        let output = fleet.tell("up");
        assert!(output.status.success(), "{}", program::stderr(&output));
        Some(fleet)
    }

    fn tell(&self, verb: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fleet");
        let mut command = Command::new(script);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        command.arg(verb).arg(&self.directory).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// What the daemons counted once they count no more: some write it down a second later.
    pub(crate) fn counters(&self) -> Value {
        let read = || {
            let output = self.tell("counters");
            assert!(output.status.success(), "{}", program::stderr(&output));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()
        };
        let (mut last, mut since) = (read(), Instant::now());
        program::wait_for("end of counting", Duration::from_secs(30), || {
            let now = read();
            // DHT nodes go on asking each other.
            let still = |layer: &str| now[layer] == last[layer];
            if !now.as_object().unwrap().keys().filter(|layer| *layer != "dht").all(|layer| still(layer)) {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(2_500)).then_some(())
        });
        read()
    }

    /// Rehearses a part of a scenario, with these variables in Squall's environment. Gives what Squall counted, and what it printed.
    pub(crate) fn rehearse(
        &self,
        scenario: &Path,
        window: &str,
        environment: &[(&str, &Path)],
    ) -> (Value, String) {
        let out = tempfile::Builder::new().prefix("run-").tempdir_in(&self.directory).unwrap().keep();
        let target = self.directory.join("target.toml");
        let output = program::squall()
            .arg("run")
            .arg(scenario)
            .args(["--window", window, "--speed", "1440", "--target"])
            .arg(&target)
            .arg("--out")
            .arg(&out)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = format!("{}{}", program::stdout(&output), program::stderr(&output));
        let summary =
            std::fs::read(out.join("summary.json")).unwrap_or_else(|_| panic!("no summary\n{text}"));
        let summary: Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(summary["finished"], true, "{text}");
        (summary, text)
    }

    /// The listing day with visitors whose clients are browsers: their trackers speak WebSocket.
    pub(crate) fn day_of_browsers(&self) -> PathBuf {
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let day = std::fs::read_to_string(project.join("scenarios/listing-day.toml")).unwrap();
        let access = format!("{}/profiles/access.toml", project.display());
        let day = day
            .replace("../profiles/clients.toml", "browsers.toml")
            .replace("../profiles/access.toml", &access);
        std::fs::write(self.directory.join("browsers.toml"), BROWSERS).unwrap();
        let scenario = self.directory.join("listing-day.toml");
        std::fs::write(&scenario, day).unwrap();
        scenario
    }
}

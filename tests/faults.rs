//! Faults of a scenario: brought about on the run clock, live and in the model, and taken back.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]
#![cfg(feature = "testbed")]

mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use squall::journey::Kind;
use squall::profile::Layer;
use squall::record::{FaultMark, Recording};

use program::scenario::{NOBODY_STAYS, ScenarioText};
use program::{run, stderr, stdout};

/// A quarter of the requests is served from the fifth second to the eighth.
const FAULT: &str = r#"
[[fault]]
name = "slow-pages"
layer = "index"
at = "4s"
for = "4s"
rate = "50/s"
"#;

/// Twelve seconds of 200 requests a second.
fn scenario(dir: &Path, faults: &str) -> PathBuf {
    let side = "[[side]]\nname = \"status\"\npath = \"/status\"\nbase = \"200/s\"\nfollows = \"concern\"\n";
    let (funnel, tables) = (format!("retries = 0{NOBODY_STAYS}"), format!("{side}{faults}"));
    let text = ScenarioText {
        duration: "12s",
        funnel: &funnel,
        size: "64 KiB",
        tables: &tables,
        ..ScenarioText::default()
    };
    let path = dir.join("flat.toml");
    fs::write(&path, text.text()).unwrap();
    path
}

fn rehearse(verb: &str, scenario: &Path, out: &Path) -> (Output, Recording) {
    let paths = [scenario, out].map(|path| path.display().to_string());
    let output = run(&[verb, &paths[0], "--out", &paths[1]]);
    let recording = Recording::read(out);
    (output, recording.unwrap())
}

/// Requests that were answered in these seconds of a run.
fn answered(recording: &Recording, seconds: std::ops::Range<u64>) -> u64 {
    let rows = recording.rows.iter().filter(|row| seconds.contains(&row.second));
    rows.filter_map(|row| row.kinds.get(&Kind::Side)).map(|row| row.counts.ok).sum()
}

#[test]
fn a_layer_serves_what_its_fault_lets_through_and_then_all_that_waited() {
    for (verb, tolerance) in [("run", 8), ("simulate", 40)] {
        let dir = tempfile::tempdir().unwrap();
        let (output, recording) = rehearse(verb, &scenario(dir.path(), FAULT), &dir.path().join("out"));
        let told = format!("{verb}: {}{}", stdout(&output), stderr(&output));
        let mark = FaultMark {
            name: "slow-pages".to_owned(),
            layer: Layer::Index,
            at_seconds: 4.0,
            for_seconds: 4.0,
        };
        assert_eq!(recording.manifest.faults, [mark], "{told}");
        // 600 arrivals come in three seconds, give or take three standard deviations.
        assert!(answered(&recording, 1..4).abs_diff(600) < 75, "before\n{told}");
        assert!(answered(&recording, 5..8).abs_diff(150) <= tolerance, "meanwhile\n{told}");
        // All that came, and what had waited: 600 of the arrivals, of which 200 were served.
        assert!(answered(&recording, 8..12).abs_diff(1400) < 150, "afterwards\n{told}");
        let failed = recording.rows.iter().filter_map(|row| row.kinds.get(&Kind::Side));
        assert_eq!(failed.map(|row| row.counts.failed.total()).sum::<u64>(), 0, "{told}");
    }
}

#[test]
fn faults_outside_the_window_are_none_of_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let (scenario, out) = (scenario(dir.path(), FAULT), dir.path().join("out"));
    let paths = [&scenario, &out].map(|path| path.display().to_string());
    run(&["simulate", &paths[0], "--window", "8s..11s", "--out", &paths[1]]);
    let recording = Recording::read(&out).unwrap();
    assert!(recording.manifest.faults.is_empty());
    assert!(answered(&recording, 0..3).abs_diff(600) < 75);
}

#[test]
fn a_fault_needs_a_relay_before_its_layer() {
    let dir = tempfile::tempdir().unwrap();
    let faults = FAULT.replace("\"index\"", "\"dht\"");
    let output = run(&["run", &scenario(dir.path(), &faults).display().to_string(), "--quiet"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(
        text.starts_with(
            "error: fault `slow-pages` concerns the layer dht, and target `testbed` has no relay before it\n  hint: "
        ),
        "{text}"
    );
}

#[test]
fn relays_that_refuse_a_fault_end_the_run_before_it_begins() {
    let dir = tempfile::tempdir().unwrap();
    // The relay before the tracker relays datagrams.
    let faults = FAULT.replace("\"index\"", "\"tracker\"").replace("rate = \"50/s\"", "connections = 5");
    let (scenario, out) = (scenario(dir.path(), &faults), dir.path().join("out"));
    let paths = [scenario, out].map(|path| path.display().to_string());
    let output = run(&["run", &paths[0], "--quiet", "--out", &paths[1]]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("datagrams have no connections to limit"), "{}", stderr(&output));
}

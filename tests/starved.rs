//! A generator that gets a tenth of a core says so, and says of each layer what it kept at least.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]
#![cfg(feature = "testbed")]

mod program;

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use program::{Running, rows, squall, wait_for};

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_starved_generator_is_the_limit_and_no_layer_is_blamed() {
    let dir = tempfile::tempdir().unwrap();
    // Half an hour after the start of trading, in six seconds.
    let arguments =
        ["run", "scenarios/listing-day.toml", "--window", "36h..36h30m", "--speed", "300", "--out"];
    let run = Running::start(squall().args(arguments).arg(dir.path()));
    let pid = run.pid();
    wait_for("recording under way", LONG, || (rows(dir.path()) >= 1).then_some(()));
    // A tenth of a core, as a quota of 25 ms in 250 ms would give it, and as every machine allows. The layers are not touched.
    let turns = std::thread::spawn(move || {
        for _ in 0..24 {
            if kill_process(pid, Signal::STOP).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(225));
            kill_process(pid, Signal::CONT).unwrap();
            std::thread::sleep(Duration::from_millis(25));
        }
    });
    let (code, out, err) = run.finish(LONG);
    turns.join().unwrap();
    assert_eq!(code, Some(5), "{out}{err}");
    assert!(
        out.starts_with("✗ INVALID: the generator") && out.contains("✗ generator: p99 of the send lag"),
        "{out}"
    );

    let summary = std::fs::read(dir.path().join("summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["verdict"], "invalid");
    let layers: Vec<&str> =
        summary["layers"].as_array().unwrap().iter().map(|layer| layer["layer"].as_str().unwrap()).collect();
    assert!(layers.len() >= 5, "{layers:?}");
    for layer in layers {
        let line = out.lines().find(|line| line.starts_with(&format!("  {layer}: at least ")));
        assert!(line.is_some_and(|line| line.ends_with("/s")), "{layer}\n{out}");
    }
    // What was read beside the load is there: of the workers, of every layer's process, of the machine.
    let samples = std::fs::read_to_string(dir.path().join("resources.jsonl")).unwrap();
    let samples: Vec<Value> =
        samples.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        samples.iter().any(|sample| sample["worker_cpu_seconds"].as_array().is_some_and(|it| !it.is_empty()))
    );
    assert!(samples.iter().any(|sample| sample["source"] == "machine"));
    let limited = samples.iter().filter(|sample| sample["readings"]["cpu_limit_cores"].as_f64() > Some(0.0));
    let mut seen: Vec<_> = limited.filter_map(|sample| sample["layer"].as_str()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["dht", "index", "metadata", "seedbox", "tracker"]);
}

//! Whole rehearsals against the embedded testbed, and what happens when something dies in the middle.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]
#![cfg(feature = "testbed")]

mod program;

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use squall::journey::Kind;
use squall::plan::Stage;
use squall::record::Recording;

use program::{Running, is_alive, processes, rows, squall, wait_for};

const LONG: Duration = Duration::from_secs(120);

/// A rehearsal of a part of the listing day; `seconds` long.
fn rehearsal(dir: &Path, seconds: u64) -> Running {
    // Twelve hours from the announcement on.
    let speed = (12 * 3600 / seconds).to_string();
    let arguments = ["run", "scenarios/listing-day.toml", "--window", "13h..25h", "--speed", &speed, "--out"];
    Running::start(squall().args(arguments).arg(dir))
}

/// Operations of a stage, by ok and failed, over the whole recording.
fn totals(recording: &Recording, stage: Stage) -> (u64, u64) {
    let of_stage = |kind: &Kind| kind.stage() == stage && !kind.is_part();
    let rows = recording.rows.iter().flat_map(|row| row.kinds.iter().filter(|(kind, _)| of_stage(kind)));
    rows.fold((0, 0), |(ok, failed), (_, row)| (ok + row.counts.ok, failed + row.counts.failed.total()))
}

fn assert_balanced(recording: &Recording) {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_part()) {
        let counts = recording.rows.iter().filter_map(|row| row.kinds.get(&kind)).map(|row| &row.counts);
        let (mut planned, mut shed, mut released, mut settled) = (0, 0, 0, 0);
        for counts in counts {
            planned += counts.planned;
            shed += counts.shed;
            released += counts.released;
            settled += counts.ok + counts.failed.total() + counts.cut;
        }
        assert_eq!(planned, released + shed, "{kind:?}");
        assert_eq!(released, settled, "{kind:?}");
    }
}

#[test]
fn every_stage_works_and_the_exit_code_is_the_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let (code, out, err) = rehearsal(dir.path(), 12).finish(LONG);
    let recording = Recording::read(dir.path()).unwrap();
    assert_balanced(&recording);
    for stage in Stage::ALL {
        let (ok, failed) = totals(&recording, stage);
        assert!(ok > 0 && failed * 100 < ok, "{}: {ok} ok, {failed} failed\n{out}\n{err}", stage.name());
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("summary.json")).unwrap()).unwrap();
    let expected = match summary["verdict"].as_str().unwrap() {
        "pass" => 0,
        "fail" => 3,
        "invalid" => 5,
        "inconclusive" => 7,
        other => panic!("verdict {other}"),
    };
    assert_eq!(code, Some(expected), "{out}");
    // Who downloads is of one class and on one line, and so are the bytes.
    let all = [&summary["downloads"]["counts"]["complete"], &summary["swarm"]["from_others"]];
    assert!(all.iter().all(|sum| sum.as_u64() > Some(0)), "{all:?}");
    for groups in ["downloads_by_class", "downloads_by_access"] {
        let groups = summary["breakdown"][groups].as_object().unwrap();
        assert!(groups.len() > 1, "{groups:?}");
        let sum =
            |of: &str| -> u64 { groups.values().map(|it| it.pointer(of).unwrap().as_u64().unwrap()).sum() };
        let of_groups = ["/downloads/counts/complete", "/swarm/from_others"].map(sum);
        assert_eq!(of_groups.map(Some), all.map(serde_json::Value::as_u64));
    }
    // Progress, and nothing of it on standard output.
    assert!(err.contains("testbed ready"), "{err}");
    assert!(!out.contains("testbed ready"));
}

#[test]
fn a_layer_that_stands_still_shows_in_its_latency_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let run = rehearsal(dir.path(), 14);
    wait_for("recording under way", LONG, || (rows(dir.path()) >= 4).then_some(()));
    let profile = std::fs::read_to_string(dir.path().join("sources/target.toml")).unwrap();
    let (_, pid) = processes(&profile).into_iter().find(|(layer, _)| layer == "tracker").unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = rows(dir.path());
    // Two seconds of the run, as the run itself counts them.
    wait_for("two more seconds", LONG, || (rows(dir.path()) >= stopped + 2).then_some(()));
    kill_process(pid, Signal::CONT).unwrap();
    let (_, out, err) = run.finish(LONG);
    let recording = Recording::read(dir.path()).unwrap();
    assert_balanced(&recording);

    let quantile = |kind: Kind, quantile: f64| {
        let mut histogram = squall::record::histogram();
        for row in recording.rows.iter().filter_map(|row| row.kinds.get(&kind)) {
            row.latencies.due.add_to(&mut histogram);
        }
        histogram.value_at_quantile(quantile) as f64 / 1e6
    };
    let announce = quantile(Kind::Announce, 0.999);
    assert!(announce >= 1.0, "p99.9 of the stopped layer: {announce} s\n{out}\n{err}");
    let page = quantile(Kind::Page, 0.99);
    assert!(page < 1.0, "p99 of another layer: {page} s\n{out}");

    // Arrivals did not slow down: in every second as many journeys were released as became due, but for those on its edge.
    for row in &recording.rows {
        let journeys = &row.journeys;
        assert!(journeys.planned.abs_diff(journeys.released) <= 3, "second {}: {journeys:?}", row.second);
        assert_eq!(journeys.shed, 0);
    }
    // The other stages went on while it stood still: clients that wait for the tracker find peers in the DHT.
    let still = stopped as u64..stopped as u64 + 2;
    for kind in [Kind::Page, Kind::Torrent, Kind::Lookup, Kind::Piece] {
        let meanwhile = recording.rows.iter().filter(|row| still.contains(&row.second));
        let good: u64 = meanwhile.filter_map(|row| row.kinds.get(&kind)).map(|row| row.counts.ok).sum();
        assert!(good > 0, "{kind:?} while the tracker stood still\n{out}");
    }
}

#[test]
fn a_killed_run_leaves_no_process_and_still_reports() {
    let dir = tempfile::tempdir().unwrap();
    let run = rehearsal(dir.path(), 60);
    wait_for("recording under way", LONG, || (rows(dir.path()) >= 4).then_some(()));
    let layers = processes(&std::fs::read_to_string(dir.path().join("sources/target.toml")).unwrap());
    assert!(layers.len() >= 5 && layers.iter().all(|(_, pid)| is_alive(*pid)), "{layers:?}");
    kill_process(run.pid(), Signal::KILL).unwrap();
    assert_eq!(run.finish(LONG).0, None, "killed by the signal");
    let gone = || layers.iter().all(|(_, pid)| !is_alive(*pid)).then_some(());
    wait_for("end of every layer", Duration::from_secs(5), gone);

    let output = program::run(&["report", &dir.path().display().to_string()]);
    let text = program::stdout(&output);
    assert!(
        text.contains("did not end properly") && text.contains("tracker"),
        "{text}{}",
        program::stderr(&output)
    );
    let recording = Recording::read(dir.path()).unwrap();
    assert!(!recording.finished && recording.rows.len() >= 4);
}

#[test]
fn an_interrupted_run_drains_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    let run = rehearsal(dir.path(), 60);
    wait_for("recording under way", LONG, || (rows(dir.path()) >= 3).then_some(()));
    kill_process(run.pid(), Signal::INT).unwrap();
    let (code, out, _) = run.finish(LONG);
    assert_eq!(code, Some(130), "{out}");
    assert!(out.contains("tracker"), "{out}");
    let recording = Recording::read(dir.path()).unwrap();
    assert!(recording.finished && recording.rows.len() < 40);
    assert!(recording.stopped_at_seconds.is_some_and(|second| (2..40).contains(&second)));
    assert!(out.contains("? interrupted at ") && !out.contains("PASS"), "{out}");
    assert_balanced(&recording);
}

//! The report of a synthetic recording, to the character.

use std::time::Duration;

use super::*;
use crate::analysis::{analyse, timeline};
use crate::drive::{Event, Settled};
use crate::journey::{Cause, Kind};
use crate::profile::{Layer, Reading, Readings};
use crate::record::synthetic::{operations, record, recording, stream};
use crate::record::{Metrics, Recording, Resources, Snapshot, Totals};
use crate::unit::Tick;

/// Compares with a golden file; `BLESS=1` writes it.
fn assert_golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name}");
    let wide = text.lines().find(|line| line.chars().count() > 100);
    assert!(
        wide.is_none() || name == "line.txt" || name.ends_with(".html"),
        "{name} is wider than 100 columns: {wide:?}"
    );
}

fn synthetic() -> Recording {
    let dir = tempfile::tempdir().unwrap();
    let sample = |layer, pid| {
        move |second| Resources {
            second,
            layer,
            pid,
            cpu_seconds: second as f64 * 0.25,
            rss_bytes: 40 << 20,
            descriptors: 60 + second,
            ..Resources::default()
        }
    };
    let samples = (0..10).map(sample(None, 1)).chain((0..10).map(sample(Some(Layer::Index), 2))).collect();
    record(dir.path(), vec![stream(&operations(11, 10, 30), 10)], samples).unwrap();
    let mut recording = Recording::read(dir.path()).unwrap();
    recording.directory = Some("runs/listing-day-7".into());
    recording.manifest.length = Duration::from_secs(10);
    recording
}

#[test]
fn the_report_of_a_run() {
    let recording = synthetic();
    let summary = analyse(&recording);
    assert_golden("run.txt", &text(&summary, false));
    assert_golden(
        "summary.json.head",
        &json(&summary).unwrap().lines().take(4).collect::<Vec<_>>().join("\n"),
    );
    assert_golden("run.html", &html(&summary, &timeline(&recording, 300)));
}

#[test]
fn what_was_scarce_is_told_with_its_numbers() {
    let mut recording = synthetic();
    for sample in &mut recording.resources {
        let limit = if sample.layer.is_some() { 0.26 } else { 2.0 };
        sample.readings = [
            (Reading::CpuLimitCores, limit),
            (Reading::ThreadCores, 0.2),
            (Reading::ThreadBusy, 0.3),
            (Reading::UdpReceiveDrops, sample.second as f64 * 3.0),
        ]
        .into();
        if sample.layer.is_none() {
            sample.worker_cpu_seconds = vec![sample.second as f64 * 0.01, sample.second as f64 * 0.2];
            sample.readings.remove(&Reading::UdpReceiveDrops);
        }
    }
    let read = |source: &str, layer, at: u64| Metrics {
        source: source.to_owned(),
        at_seconds: at as f64,
        layer,
        readings: [(Reading::UdpReceiveDrops, at as f64), (Reading::Retransmits, 7.0)].into(),
        trouble: None,
    };
    let endpoint = "http://10.77.0.2:9100/metrics";
    recording.metrics = (0..10).map(|at| read(Metrics::MACHINE, None, at)).collect();
    recording.metrics.extend((0..5).map(|at| read(endpoint, Some(Layer::Tracker), at)));
    let late = Metrics {
        trouble: Some("no answer within 5 s".to_owned()),
        readings: Readings::new(),
        ..read(endpoint, Some(Layer::Tracker), 9)
    };
    recording.metrics.push(late);
    assert_golden("scarce.txt", &text(&analyse(&recording), false));
}

#[test]
fn a_layer_that_fell_behind_is_told_of_once_with_its_resource() {
    let mut operations = operations(11, 10, 30);
    for (at, event) in operations.iter_mut().flatten() {
        if let Event::Settled(seen) = event
            && seen.kind == Kind::Announce
            && *at >= Tick::from_millis(6000)
        {
            seen.settled = Settled::Failed(Cause::Timeout);
        }
    }
    let mut recording = recording(&operations, 10);
    recording.directory = Some("runs/listing-day-7".into());
    recording.manifest.length = Duration::from_secs(10);
    recording.metrics = (0..=10)
        .map(|at| Metrics {
            source: "http://10.77.0.2:9100/metrics".to_owned(),
            at_seconds: at as f64,
            layer: Some(Layer::Tracker),
            readings: [(Reading::DiskBusy, if at > 6 { 0.99 } else { 0.2 })].into(),
            trouble: None,
        })
        .collect();
    assert_golden("slumped.txt", &text(&analyse(&recording), false));
}

#[test]
fn what_people_wrote_is_text_on_the_page() {
    let mut recording = synthetic();
    recording.manifest.scenario = "<script>alert(1)</script>".to_owned();
    recording.manifest.signals[0].name = "\"></svg><b>".to_owned();
    let page = html(&analyse(&recording), &timeline(&recording, 10));
    assert!(!page.contains("<script") && !page.contains("<b>") && page.contains("&lt;b&gt;"));
    assert!(!page.contains("NaN") && !page.contains("inf,"));
}

#[test]
fn without_downloads_there_is_no_section_on_them() {
    let recording = recording(&[], 2);
    let summary = analyse(&recording);
    assert!(!text(&summary, false).contains("downloads"));
    assert!(!html(&summary, &timeline(&recording, 10)).contains("<svg"));
}

#[test]
fn the_report_of_a_broken_promise() {
    let mut recording = synthetic();
    let envelope = &mut recording.manifest.envelope.layers;
    envelope.remove(&Layer::Metadata);
    envelope.get_mut(&Layer::Index).unwrap().slo.limit = Duration::from_millis(20);
    let tracker = envelope.get_mut(&Layer::Tracker).unwrap();
    (tracker.base, tracker.burst, tracker.reserve) = (10.0, 20.0, 25.0);
    envelope.get_mut(&Layer::Seedbox).unwrap().slo.quantile = 0.9999;
    recording.finished = false;
    recording.unsettled = 3;
    recording.notes = vec!["the run did not end properly: its record stops after 11 s".to_owned()];
    assert_golden("broken.txt", &text(&analyse(&recording), false));
}

#[test]
fn the_report_of_a_run_that_decides_nothing() {
    let mut recording = synthetic();
    recording.manifest.planned = [(Kind::Announce, 500)].into();
    let envelope = &mut recording.manifest.envelope.layers;
    envelope.get_mut(&Layer::Index).unwrap().headroom = 0.8;
    envelope.get_mut(&Layer::Seedbox).unwrap().slo.quantile = 0.9999;
    recording.resources.truncate(1);
    assert_golden("inconclusive.txt", &text(&analyse(&recording), false));
}

#[test]
fn warnings_are_told_with_a_pass() {
    let mut recording = synthetic();
    recording.manifest.envelope.layers.get_mut(&Layer::Index).unwrap().headroom = 0.8;
    let text = text(&analyse(&recording), true);
    let seen: Vec<_> =
        text.lines().filter(|line| line.contains("headroom") || line.contains("PASS")).collect();
    assert_eq!(
        seen[..2],
        [
            "\u{1b}[32m✓\u{1b}[0m PASS with warnings: every layer kept its promise",
            "\u{1b}[33m!\u{1b}[0m index: headroom 76.7 %, the profile demands 80 %"
        ]
    );
    assert!(seen[3].starts_with("\u{1b}[33m!") && seen[3].ends_with("headroom below 80 %"), "{seen:?}");
}

#[test]
fn an_interruption_is_told() {
    let mut recording = synthetic();
    let mut told = |at_seconds| {
        recording.stopped_at_seconds = Some(at_seconds);
        let text = text(&analyse(&recording), false);
        text.lines().find(|line| line.contains("interrupted")).map(str::to_owned)
    };
    assert_eq!(told(6).unwrap(), "? interrupted at 6 of 10 s: the rest was never asked");
    assert_eq!(told(10).unwrap(), "? interrupted at 10 s, while draining");
}

#[test]
fn colours_change_nothing_but_the_marks() {
    let summary = analyse(&recording(&operations(1, 5, 5), 5));
    let colored = text(&summary, true);
    assert!(colored.starts_with("\u{1b}["));
    let mut plain = colored;
    for code in ["\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m", "\u{1b}[0m"] {
        plain = plain.replace(code, "");
    }
    assert_eq!(plain, text(&summary, false));
}

#[test]
fn progress_on_a_terminal_and_in_a_pipe() {
    let recording = synthetic();
    let snapshots: Vec<_> = recording.rows.iter().map(Snapshot::of).collect();
    let mut totals = Totals::default();
    snapshots[..4].iter().for_each(|snapshot| totals.add(snapshot));
    let moment = Moment {
        length: Duration::from_secs(60),
        scenario: Duration::from_secs(6010),
        phase: "listing".to_owned(),
    };
    assert_golden("panel.txt", &panel(&snapshots[3], &totals, &moment));
    assert_golden("line.txt", &line(&snapshots[3], &totals, &moment));
    let draining = Moment { length: Duration::from_secs(2), phase: "draining".to_owned(), ..moment };
    assert!(line(&snapshots[3], &totals, &draining).starts_with("2 of 2 s · T+01:40 · draining | "));
}

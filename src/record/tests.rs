//! The recorder against its promises: nothing lost, nothing counted twice, nothing unreadable.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use crate::drive::{Event, Settled, Shed, Stop, StopLevel};
use crate::journey::{Download, Fate, Group, Kind, Milestone};
use crate::profile::{Layer, Reading};
use crate::unit::Tick;

use super::files::{Files, INTERVALS, Log, RESOURCES, TIMELINE};
use super::synthetic::*;
use super::*;

fn total(recording: &Recording, kind: Kind) -> Counts {
    let mut sum = Counts::default();
    recording.rows.iter().filter_map(|row| row.kinds.get(&kind)).for_each(|row| sum += &row.counts);
    sum
}

#[test]
fn what_was_observed_is_read_back() {
    let recording = recording(&operations(1, 6, 50), 6);
    assert!(recording.finished, "{:?}", recording.notes);
    assert_eq!(recording.manifest, Manifest { length: Duration::from_secs(6), ..manifest(1) });
    assert_eq!(
        (recording.unsettled, recording.rows.len()),
        (0, 7),
        "what is cut at 6 s counts in the second that begins there"
    );
    for kind in kinds() {
        let total = total(&recording, kind);
        assert_eq!((total.planned, total.released), (300, total.settled()), "{kind:?}");
    }
    let lookups = total(&recording, Kind::Lookup);
    assert_eq!(total(&recording, Kind::Query).measured(), lookups.measured());
    let asia = &recording.breakdown.regions[&0];
    assert!(asia.values().all(|tally| tally.ok > 0 && tally.bytes_in >= tally.ok * 1000));
    assert!(recording.breakdown.content.keys().all(|&rank| rank <= CONTENT_RANKS));
}

#[test]
fn the_same_stream_gives_the_same_bytes() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &other] {
        record(dir.path(), vec![stream(&operations(2, 3, 20), 3)], Vec::new()).unwrap();
    }
    for file in ["manifest.json", TIMELINE, INTERVALS, RESOURCES, "sources/listing-day.toml"] {
        assert_eq!(fs::read(one.path().join(file)).unwrap(), fs::read(other.path().join(file)).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn merging_any_split_equals_the_unsplit(seed in 0_u64..1000, parts in 1_usize..5) {
        let all = operations(seed, 3, 8);
        let mut shares = vec![Vec::new(); parts];
        all.iter().enumerate().for_each(|(i, seen)| shares[(i * 7 + i / 3) % parts].push(seen.clone()));
        let whole = recording(&all, 3);

        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), shares.iter().map(|share| stream(share, 3)).collect(), Vec::new()).unwrap();
        let workers = Recording::read(dir.path()).unwrap();
        prop_assert_eq!(&workers.rows, &whole.rows);
        prop_assert_eq!(&workers.breakdown, &whole.breakdown);

        let recordings: Vec<_> = shares.iter().map(|share| recording(share, 3)).collect();
        let merged = Recording::merge(&recordings).unwrap();
        prop_assert_eq!(merged.manifest.workers, parts);
        prop_assert_eq!(Recording { manifest: whole.manifest.clone(), directory: whole.directory.clone(), ..merged }, whole);
    }
}

#[test]
fn recordings_of_different_plans_do_not_merge() {
    let one = recording(&operations(1, 1, 2), 1);
    let mut other = one.clone();
    other.manifest.plan_digest = "abcd".to_owned();
    let error = Recording::merge(&[one, other]).unwrap_err();
    assert_eq!(error.to_string(), "these recordings cannot be merged: their plan digests differ");
}

#[test]
fn seconds_are_attributed_and_late_ones_are_not_lost() {
    let at = Tick::from_millis;
    let page =
        |due, started, ended, settled| observation(Kind::Page, at(due), at(started), at(ended), settled);
    let slow = page(900, 1100, 2500, Settled::Ok);
    let late = page(1000, 7100, 7200, Settled::Ok);
    let mut events: Seen = operation(slow);
    events[2..4].iter_mut().for_each(|(when, event)| {
        *when = at(1100);
        *event = match event {
            Event::Released(kind, due, _) => Event::Released(*kind, *due, at(1100)),
            _ => Event::JourneyReleased(at(1100)),
        };
    });
    events.extend(stream(&[], 7).into_iter().map(|event| (at(7000), event)));
    let late_events = operation(late).into_iter().map(|(_, event)| (at(7200), event));
    events.extend(late_events);
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![events.into_iter().map(|(_, event)| event).collect()], Vec::new()).unwrap();
    let recording = Recording::read(dir.path()).unwrap();
    let of = |second: usize| recording.rows[second].kinds.get(&Kind::Page).cloned().unwrap_or_default();
    let seen: Vec<_> = (0..8)
        .map(|s| (of(s).counts.planned, of(s).counts.released, of(s).counts.ok, of(s).in_flight))
        .collect();
    // The late one was due in second 1 and seen in second 7, when 6 was the earliest open second.
    let nothing = (0, 0, 0, 0);
    assert_eq!(
        seen,
        [(1, 0, 0, 0), (0, 1, 0, 1), (0, 0, 1, 0), nothing, nothing, nothing, (1, 1, 0, 1), (0, 0, 1, 0)]
    );
}

/// The oracle of `domain.md` section 3: 100/s with a stall of 2 s gives about 200 late samples spread over 0..2 s.
#[test]
fn a_stall_shows_in_latency_from_due() {
    let operations: Vec<Seen> = (0..1000)
        .map(|number| {
            let due = Tick::from_millis(number * 10);
            let stalled = (4000..6000).contains(&(number * 10));
            let started = if stalled { Tick::from_millis(6000) } else { due };
            let ended = started + Duration::from_millis(1);
            let mut seen = observation(Kind::Page, due, started, ended, Settled::Ok);
            seen.released = started;
            operation(seen)
        })
        .collect();
    let recording = recording(&operations, 10);
    let (mut due, mut service) = (histogram(), histogram());
    for row in recording.rows.iter().filter_map(|row| row.kinds.get(&Kind::Page)) {
        row.latencies.due.add_to(&mut due);
        row.latencies.service.add_to(&mut service);
    }
    assert!((198..=200).contains(&due.count_between(2_000, 3_000_000)));
    for tenth in 0..10 {
        let share = due.count_between(tenth * 200_000 + 2_000, tenth * 200_000 + 201_000);
        assert!((18..=22).contains(&share), "{share} late by {tenth} tenths");
    }
    assert_eq!(service.count_between(1_100, u64::MAX), 0, "the service time hides the stall");
}

/// A run killed at any moment: every prefix of the last lines of any file can be read, and holds all seconds before them.
#[test]
fn a_torn_recording_is_read_as_far_as_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Resources {
        second: 1,
        layer: None,
        pid: 1,
        cpu_seconds: 0.5,
        rss_bytes: 1,
        descriptors: 9,
        ..Resources::default()
    };
    // Only pages, which come first: what is torn is the same, and there is less of it to read a thousand times.
    record(dir.path(), vec![stream(&operations(3, 3, 2)[..6], 3)], vec![sample]).unwrap();
    let whole = Recording::read(dir.path()).unwrap();
    assert!(whole.finished);
    for (file, lines) in [(TIMELINE, 3), (INTERVALS, 2), (RESOURCES, 1)] {
        let path = dir.path().join(file);
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<_> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
        let from = ends[ends.len() - 1 - lines];
        for length in from..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let torn = Recording::read(dir.path()).unwrap_or_else(|error| panic!("{file} {length}: {error}"));
            let whole_lines = length == 0 || bytes[length - 1] == b'\n';
            assert!(!torn.finished || (file == RESOURCES && whole_lines), "{file} {length}");
            assert!(torn.rows.len() + 3 >= whole.rows.len(), "{file} {length}");
            assert_eq!(torn.rows, whole.rows[..torn.rows.len()]);
        }
        fs::write(&path, &bytes).unwrap();
    }
}

/// Before downloads were told apart there was nothing of them in any file.
#[test]
fn a_recording_from_before_downloads_is_read() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![stream(&operations(3, 3, 20), 3)], Vec::new()).unwrap();
    let new = Recording::read(dir.path()).unwrap();
    let rewrite = |name: &str, line: &dyn Fn(&str) -> Option<String>| {
        let path = dir.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().filter_map(line).collect();
        fs::write(&path, lines.join("\n") + "\n").unwrap();
    };
    rewrite(INTERVALS, &|line| (!line.contains("Tag=download.")).then(|| line.to_owned()));
    rewrite(TIMELINE, &|line| {
        let mut json: serde_json::Value = serde_json::from_str(line).unwrap();
        json.as_object_mut().unwrap().remove("downloads");
        if let Some(swarm) = json.get_mut("swarm").and_then(|swarm| swarm.as_object_mut()) {
            swarm.retain(|name, _| {
                !name.ends_with("_handshakes")
                    && !["unanswered", "refused", "surplus"].contains(&name.as_str())
            });
        }
        if let Some(breakdown) = json.get_mut("breakdown").and_then(|it| it.as_object_mut()) {
            breakdown.retain(|name, _| !name.starts_with("downloads_by_"));
        }
        // The trailer is told by its first key.
        let finished = json.as_object_mut().unwrap().remove("finished");
        let rest = json.to_string();
        Some(finished.map_or(rest.clone(), |_| format!("{{\"finished\":true,{}", &rest[1..])))
    });
    let path = dir.path().join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert!(manifest.as_object_mut().unwrap().remove("classes").is_some());
    fs::write(&path, manifest.to_string()).unwrap();

    let old = Recording::read(dir.path()).unwrap();
    assert!(old.finished && old.manifest.classes.is_empty() && old.breakdown.downloads_by_class.is_empty());
    assert_eq!(old.breakdown.access, new.breakdown.access);
    // In the second that begins at 3 s nothing happens but what is cut.
    for (old, new) in old.rows.iter().zip(&new.rows).take(3) {
        assert_eq!((&old.kinds, old.swarm.from_visitors), (&new.kinds, new.swarm.from_visitors));
        assert!(old.downloads.is_empty() && !new.downloads.is_empty());
    }
}

#[test]
fn a_killed_run_says_what_is_unsettled() {
    let dir = tempfile::tempdir().unwrap();
    let slow = observation(Kind::Page, Tick::ZERO, Tick::ZERO, Tick::from_millis(3500), Settled::Ok);
    record(dir.path(), vec![stream(&[operation(slow)], 4)], Vec::new()).unwrap();
    let path = dir.path().join(TIMELINE);
    let text = fs::read_to_string(&path).unwrap();
    let three: String = text.lines().take(1 + 3).map(|line| format!("{line}\n")).collect();
    fs::write(&path, three).unwrap();
    let killed = Recording::read(dir.path()).unwrap();
    assert_eq!((killed.finished, killed.rows.len(), killed.unsettled), (false, 3, 2));
    assert_eq!(killed.notes, ["the run did not end properly: its record stops after 3 s"]);
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("other"), "").unwrap();
    let refused = Recorder::create(dir.path(), &manifest(1), &[]).err().unwrap();
    assert!(matches!(refused, RecordError::NotEmpty { .. }));
}

#[test]
fn another_version_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![stream(&[], 1)], Vec::new()).unwrap();
    let path = dir.path().join("manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"version\": 1", "\"version\": 9");
    fs::write(&path, text).unwrap();
    assert!(matches!(Recording::read(dir.path()), Err(RecordError::Format { .. })));
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = bytes.len().min(self.0);
            self.0 -= written;
            if written == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(written) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    type Put = fn(&mut Files, Log);
    let puts: [Put; 3] = [
        |files, log| files.timeline = log,
        |files, log| files.intervals = log,
        |files, log| files.resources = log,
    ];
    for put in puts {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::create(dir.path(), &manifest(1), &[]).unwrap();
        put(&mut files, Log::on(Box::new(Full(40))));
        let (mut workers, sink, inbox) = channel(1);
        sink.send(Resources {
            second: 0,
            layer: None,
            pid: 1,
            cpu_seconds: 0.0,
            rss_bytes: 0,
            descriptors: 0,
            ..Resources::default()
        });
        let mut worker = workers.pop().unwrap();
        stream(&operations(1, 2, 2), 2).into_iter().for_each(|event| worker.observe(event));
        worker.finish();
        let error = run(Recorder::on(files), inbox, &Stop::default(), |_| {}).unwrap_err();
        assert!(
            matches!(&error, RecordError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
        );
    }
}

#[test]
fn books_that_do_not_balance_are_an_error() {
    let at = Tick::from_millis(100);
    let page = observation(Kind::Page, at, at, at, Settled::Ok);
    let group = Group { class: 0, access: 0 };
    let begun = Download { due: at, at, reached: Milestone::Begun };
    let cases = [
        (
            vec![Event::Released(Kind::Page, at, at)],
            "the ledger of page does not balance at second 0: planned 0 < released + shed 1",
        ),
        (
            vec![Event::Settled(page)],
            "the ledger of page does not balance at second 0: released 0 < ok + failed + cut 1",
        ),
        (
            vec![Event::Planned(Kind::Page, at, 0)],
            "the ledger of page does not balance at second 0: planned 1 != released + shed 0",
        ),
        (
            vec![Event::Download(group, begun)],
            "the ledger of downloads does not balance at second 0: begun 1 != ended 0",
        ),
        (
            vec![Event::Download(group, Download { reached: Milestone::Ended(Fate::Enough), ..begun })],
            "the ledger of downloads does not balance at second 0: begun 0 < ended 1",
        ),
        (
            vec![Event::JourneyShed(at)],
            "the ledger of journeys does not balance at second 0: planned 0 < released + shed 1",
        ),
    ];
    for (events, message) in cases {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(record(dir.path(), vec![events], Vec::new()).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_changed_count_is_found() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![stream(&operations(4, 3, 5), 3)], Vec::new()).unwrap();
    let path = dir.path().join(TIMELINE);
    let text = fs::read_to_string(&path).unwrap();
    let second = text.lines().nth(2).unwrap();
    for (old, new) in [
        ("\"ok\":5", "\"ok\":4"),
        ("\"released\":5", "\"released\":999"),
        ("\"in_flight\":0", "\"in_flight\":1"),
        ("\"first_pieces\":5", "\"first_pieces\":4"),
    ] {
        let changed = second.replacen(old, new, 1);
        assert_ne!(changed, second, "{old}");
        fs::write(&path, text.replace(second, &changed)).unwrap();
        let read = Recording::read(dir.path());
        assert!(matches!(read, Err(RecordError::Ledger { .. })), "{old}: {read:?}");
    }
}

#[test]
fn a_lost_worker_leaves_an_incomplete_recording() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(dir.path(), &manifest(2), &[]).unwrap();
    let (mut workers, _sink, inbox) = channel(2);
    let mut survivor = workers.pop().unwrap();
    stream(&operations(5, 3, 5), 3).into_iter().for_each(|event| survivor.observe(event));
    survivor.finish();
    drop(workers);
    let error = run(recorder, inbox, &Stop::default(), |_| {}).unwrap_err();
    assert!(matches!(error, RecordError::WorkersLost(1)));
    let recording = Recording::read(dir.path()).unwrap();
    assert_eq!((recording.finished, recording.rows.len()), (false, 4));
}

#[test]
fn snapshots_follow_the_closed_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::create(dir.path(), &manifest(1), &[]).unwrap();
    let (mut workers, _sink, inbox) = channel(1);
    let mut worker = workers.pop().unwrap();
    stream(&operations(6, 3, 10), 3).into_iter().for_each(|event| worker.observe(event));
    worker.finish();
    let mut seen = Vec::new();
    run(recorder, inbox, &Stop::default(), |snapshot| seen.push(snapshot.clone())).unwrap();
    assert_eq!(seen.iter().map(|snapshot| snapshot.second).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let offered: u64 = seen.iter().flat_map(|snapshot| &snapshot.stages).map(|stage| stage.offered).sum();
    assert_eq!(offered, 9 * 30);
    let p99 = seen[1].stages[0].p99_due_seconds.unwrap();
    assert!((0.001..0.032).contains(&p99), "{p99}");
}

#[test]
fn sources_stay_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("run");
    let sources = [("../../escape.toml".to_owned(), "x".to_owned())];
    Recorder::create(&inside, &manifest(1), &sources).unwrap();
    let exists = |path: &Path| path.exists();
    assert!(exists(&inside.join("sources/escape.toml")) && !exists(&dir.path().join("escape.toml")));
}

#[test]
fn retries_and_what_the_ceiling_held_back_are_counted_apart() {
    let at = Tick::from_millis(100);
    let mut events = vec![Event::Planned(Kind::Page, at, 0), Event::Shed(Kind::Page, at, Shed::Full)];
    for attempt in 1..=2 {
        events.push(Event::Planned(Kind::Page, at, attempt));
        events.push(Event::Shed(Kind::Page, at, Shed::Ceiling));
    }
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![events], Vec::new()).unwrap();
    let page = total(&Recording::read(dir.path()).unwrap(), Kind::Page);
    assert_eq!(
        (page.planned, page.retries, page.first_tries(), page.shed, page.shed_ceiling),
        (3, 2, 1, 3, 2)
    );
}

#[test]
fn a_stopped_run_says_when() {
    let stopped = |at_half_seconds: Option<u64>, level: StopLevel| {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(dir.path(), &manifest(1), &[]).unwrap();
        let (mut workers, _sink, inbox) = channel(1);
        let mut worker = workers.pop().unwrap();
        let stop = Stop::default();
        // The recorder takes each message before the next is sent: what it reports proves that it has taken it.
        let (seen, closed) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let stop_ = stop.clone();
            scope.spawn(move || run(recorder, inbox, &stop_, |second| seen.send(second.second).unwrap()));
            for half in 0..=20 {
                if Some(half) == at_half_seconds {
                    stop.raise(level);
                }
                worker.observe(Event::Clock(Tick::from_millis(half * 500)));
                if half >= 4 && half % 2 == 0 {
                    closed.recv().unwrap();
                }
            }
            worker.finish();
        });
        Recording::read(dir.path()).unwrap()
    };
    let whole = stopped(None, StopLevel::Drain);
    assert_eq!((whole.finished, whole.stopped_at_seconds), (true, None));
    for level in [StopLevel::Drain, StopLevel::Now] {
        let part = stopped(Some(13), level);
        assert_eq!((part.finished, part.stopped_at_seconds), (true, Some(6)), "raised at 6.5 s");
        let sum = Recording::merge(&[whole.clone(), part]).unwrap();
        assert_eq!(sum.stopped_at_seconds, Some(6));
    }
}

#[test]
fn samples_and_metrics_are_read_as_written_and_older_ones_too() {
    let dir = tempfile::tempdir().unwrap();
    let sample = Resources {
        second: 1,
        layer: Some(Layer::Tracker),
        pid: 7,
        cpu_seconds: 0.5,
        rss_bytes: 3,
        descriptors: 9,
        at_seconds: Some(1.25),
        worker_cpu_seconds: vec![0.25, 0.125],
        readings: [(Reading::CpuLimitCores, 0.2), (Reading::UdpReceiveDrops, 4.0)].into(),
    };
    record(dir.path(), vec![stream(&operations(3, 3, 2)[..6], 3)], vec![sample.clone()]).unwrap();
    let metrics = Metrics {
        source: "http://10.77.0.2:9100/metrics".to_owned(),
        at_seconds: 1.5,
        layer: Some(Layer::Index),
        readings: [(Reading::TrackedConnections, 5.0)].into(),
        trouble: Some("it came after 2 s".to_owned()),
    };
    let path = dir.path().join(RESOURCES);
    let mut text = fs::read_to_string(&path).unwrap();
    text += &serde_json::to_string(&metrics).unwrap();
    text +=
        "\n{\"second\":2,\"layer\":null,\"pid\":8,\"cpu_seconds\":1.0,\"rss_bytes\":4,\"descriptors\":5}\n";
    fs::write(&path, text).unwrap();
    let read = Recording::read(dir.path()).unwrap();
    let older = Resources {
        second: 2,
        pid: 8,
        cpu_seconds: 1.0,
        rss_bytes: 4,
        descriptors: 5,
        ..Resources::default()
    };
    assert_eq!((read.resources, read.metrics), (vec![sample, older], vec![metrics]));
}

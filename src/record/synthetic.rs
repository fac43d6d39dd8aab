//! A seeded event stream and recordings of it, for the tests of everything from here to the report.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::drive::{Event, Observation, Settled, Stop};
use crate::journey::{Cause, Download, Fate, Group, Kind, Milestone, Swarm, Web};
use crate::profile::{Envelope, Layer, LayerEnvelope, Slo};
use crate::scenario::{Cut, VariantName};
use crate::unit::Tick;

use super::*;

/// One operation with its journey: what is observed, in order of time.
pub(crate) type Seen = Vec<(Tick, Event)>;

pub(crate) fn observation(
    kind: Kind,
    due: Tick,
    started: Tick,
    ended: Tick,
    settled: Settled,
) -> Observation {
    Observation {
        kind,
        due,
        released: started.min(due + Duration::from_micros(5)),
        started,
        ended,
        settled,
        bytes_in: 1000,
        bytes_out: 100,
        foreign: 0,
        retransmits: 0,
        web: Web::default(),
        oddities: Vec::new(),
        attempt: 0,
        region: 0,
        client: 0,
        access: 0,
        content: 0,
    }
}

/// The events of a released operation that is a journey of its own.
pub(crate) fn operation(seen: Observation) -> Seen {
    vec![
        (seen.due, Event::JourneyDue(seen.due)),
        (seen.due, Event::Planned(seen.kind, seen.due, 0)),
        (seen.released, Event::JourneyReleased(seen.released)),
        (seen.released, Event::Released(seen.kind, seen.due, seen.released)),
        (seen.ended, Event::JourneyEnded(seen.ended, seen.settled)),
        (seen.ended, Event::Settled(seen)),
    ]
}

/// Operations of visitors who know every address and tell the DHT nothing.
pub(crate) fn kinds() -> impl Iterator<Item = Kind> {
    let others = [Kind::Resolve, Kind::AnnouncePeer, Kind::Crawl];
    Kind::ALL.into_iter().filter(move |kind| !kind.is_part() && !others.contains(kind))
}

/// `rate` operations of each of these [`kinds`] a second for `seconds`, most of them good, some failed or shed; the last ones are cut.
pub(crate) fn operations(seed: u64, seconds: u64, rate: u64) -> Vec<Seen> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let end = Tick::from_millis(seconds * 1000);
    let mut one = |kind: Kind| {
        let due = Tick(random.random_range(0..end.0));
        if random.random_ratio(1, 2000) {
            return vec![
                (due, Event::JourneyDue(due)),
                (due, Event::Planned(kind, due, 0)),
                (due, Event::JourneyShed(due)),
                (due, Event::Shed(kind, due, crate::drive::Shed::Full)),
            ];
        }
        let started = due + Duration::from_micros(random.random_range(5..80));
        let ended = started + Duration::from_micros(random.random_range(300..30_000));
        let (ended, settled) = match ended {
            late if late > end => (end, Settled::Cut),
            _ if random.random_ratio(1, 500) => (ended, Settled::Failed(Cause::Timeout)),
            _ => (ended, Settled::Ok),
        };
        let mut seen = observation(kind, due, started.min(ended), ended, settled);
        seen.released = seen.started.min(due + Duration::from_micros(5));
        seen.region = (random.next_u32() % 3) as u8;
        seen.content = (random.next_u32() % 100) as u16;
        let mut events = operation(seen.clone());
        if kind == Kind::Lookup {
            let part =
                Observation { kind: Kind::Query, due: seen.started, released: seen.started, ..seen.clone() };
            if settled != Settled::Cut {
                events.push((seen.ended, Event::Part(part)));
            }
        }
        if kind == Kind::Piece {
            events.extend(download(&seen));
        }
        events
    };
    kinds().flat_map(|kind| (0..seconds * rate).map(move |_| kind)).map(&mut one).collect()
}

/// A download of one piece, and what it moved.
fn download(seen: &Observation) -> Seen {
    let group = Group { class: seen.content % 2, access: u8::from(seen.content.is_multiple_of(5)) };
    let reach = |at, reached| (at, Event::Download(group, Download { due: seen.due, at, reached }));
    let fate = match seen.settled {
        Settled::Ok if seen.content < 30 => Fate::Enough,
        Settled::Ok => Fate::Complete,
        Settled::Failed(_) => Fate::GaveUp,
        Settled::Cut => Fate::Cut,
    };
    let swarm = Swarm {
        from_others: seen.bytes_in * u64::from(seen.content % 3),
        from_visitors: seen.bytes_in,
        to_visitors: seen.bytes_in,
        pieces: 1,
        copies: 1 + u64::from(seen.content % 4),
        dials: 2,
        failed_dials: 1,
        unanswered: 1,
        met: 1,
        ended: 1,
        ..Swarm::default()
    };
    let mut events = vec![reach(seen.due, Milestone::Begun)];
    if seen.settled == Settled::Ok {
        events.push(reach(seen.started, Milestone::FirstPiece));
        events.push((seen.ended, Event::Swarm(seen.ended, Some(group), Box::new(swarm))));
    }
    events.push(reach(seen.ended, Milestone::Ended(fate)));
    events
}

/// The stream that one worker observes: its operations in order of time, and the clock every half second.
pub(crate) fn stream(operations: &[Seen], seconds: u64) -> Vec<Event> {
    let clock = (0..=seconds * 2).map(|half| Tick::from_millis(half * 500)).map(|at| (at, Event::Clock(at)));
    let mut events: Seen = operations.iter().flatten().cloned().chain(clock).collect();
    events.sort_by_key(|(at, _)| *at);
    events.into_iter().map(|(_, event)| event).collect()
}

pub(crate) fn manifest(workers: usize) -> Manifest {
    let promise = |base: f64, limit: u64| LayerEnvelope {
        recovery: None,
        base,
        burst: base * 2.0,
        burst_for: Duration::from_secs(20),
        reserve: base * 4.0,
        slo: Slo { quantile: 0.99, limit: Duration::from_millis(limit), errors: 0.02 },
        headroom: 0.2,
        abort_on: None,
    };
    Manifest {
        version: Manifest::VERSION,
        squall: "0.1.0".to_owned(),
        scenario: "listing-day".to_owned(),
        variant: VariantName::Baseline,
        cut: Cut { speed: 500.0, scale: 1.0, from: Duration::ZERO, until: Duration::from_secs(30_000) },
        seed: 7,
        plan_digest: "00ff".to_owned(),
        replay: None,
        planned: BTreeMap::new(),
        workers,
        world: WorldName::Model,
        isolated: false,
        length: Duration::from_secs(60),
        target: "testbed".to_owned(),
        envelope: Envelope {
            layers: [
                (Layer::Index, promise(100.0, 250)),
                (Layer::Metadata, promise(60.0, 250)),
                (Layer::Tracker, promise(30.0, 250)),
                (Layer::Dht, promise(20.0, 1000)),
                (Layer::Seedbox, promise(200.0, 1000)),
            ]
            .into(),
        },
        signals: vec![SignalMark { name: "listing".to_owned(), at_seconds: 3.0 }],
        outlook: None,
        faults: Vec::new(),
        regions: vec!["asia".to_owned(), "europe".to_owned(), "americas".to_owned()],
        clients: vec!["qbittorrent".to_owned()],
        classes: vec!["installer".to_owned(), "tutorial".to_owned()],
        access: vec!["fibre".to_owned(), "mobile".to_owned()],
        host: None,
        started_at: None,
    }
}

/// Records streams, one a worker.
pub(crate) fn record(
    dir: &Path,
    streams: Vec<Vec<Event>>,
    samples: Vec<Resources>,
) -> Result<(), RecordError> {
    let recorder = Recorder::create(
        dir,
        &manifest(streams.len()),
        &[("scenarios/listing-day.toml".to_owned(), "name = \"x\"\n".to_owned())],
    )?;
    let (workers, sink, inbox) = channel(streams.len());
    std::thread::scope(|scope| {
        let recorder = scope.spawn(|| run(recorder, inbox, &Stop::default(), |_| {}));
        samples.into_iter().for_each(|sample| sink.send(sample));
        for (mut worker, events) in workers.into_iter().zip(streams) {
            scope.spawn(move || {
                events.into_iter().for_each(|event| worker.observe(event));
                worker.finish();
            });
        }
        recorder.join().unwrap()
    })
}

/// Records one stream of these operations and reads it again; the plan is as long as they are.
pub(crate) fn recording(operations: &[Seen], seconds: u64) -> Recording {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![stream(operations, seconds)], Vec::new()).unwrap();
    let mut recording = Recording::read(dir.path()).unwrap();
    recording.manifest.length = Duration::from_secs(seconds);
    recording
}

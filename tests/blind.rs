//! Known truth: random targets with a limit that the analysis is not told, in virtual time. Does it name the layer, the rate, and nobody
//! who had none?
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod program;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use program::scenario::ScenarioText;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use squall::analysis::{Limit, Saturated, SaturationFinding, Summary, analyse};
use squall::drive::{Limits, Stop, drive};
use squall::journey::{Kind, Rules, intended};
use squall::model::{Capacity, ModelTarget, ModelWorld, complete};
use squall::plan::{Plan, Schedule};
use squall::profile::{Envelope, Layer};
use squall::record::{self, Manifest, Recorder, Recording, WorldName};
use squall::scenario::{self, Scenario, VariantName};

const CASES: u64 = 60;
const SECONDS: f64 = 120.0;

/// The layers that a scenario loads.
const LAYERS: [Layer; 5] = [Layer::Index, Layer::Metadata, Layer::Tracker, Layer::Dht, Layer::Seedbox];

/// What a case is limited by, and what the analysis must find.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    /// Nothing is.
    Nobody,
    /// The generator may have too little under way.
    Generator,
    /// A layer, to operations per second.
    Rate(Layer, &'static str, f64),
    /// A layer, to bytes per second.
    Bandwidth(Layer, f64),
    /// A share of a layer's operations is lost.
    Loss(Layer, f64),
}

impl Truth {
    fn layer(self) -> Option<Layer> {
        match self {
            Self::Nobody | Self::Generator => None,
            Self::Rate(layer, ..) | Self::Bandwidth(layer, _) | Self::Loss(layer, _) => Some(layer),
        }
    }

    fn words(self) -> [String; 3] {
        let named = |layer: Layer, how: &str, value: String| [layer.name().to_owned(), how.to_owned(), value];
        match self {
            Self::Nobody => ["nobody".to_owned(), "-".to_owned(), "-".to_owned()],
            Self::Generator => ["generator".to_owned(), "under way".to_owned(), "-".to_owned()],
            Self::Rate(layer, how, rate) => named(layer, how, format!("{rate:.0}/s")),
            Self::Bandwidth(layer, rate) => named(layer, "bandwidth", format!("{:.0} kB/s", rate / 1e3)),
            Self::Loss(layer, share) => named(layer, "loss", format!("{:.1} %", share * 100.0)),
        }
    }
}

/// A case: what is true, the target, and how it is driven.
struct Case {
    truth: Truth,
    target: ModelTarget,
    isolated: bool,
    in_flight: usize,
}

/// Interest rises from its normal level to ten times as much, evenly.
fn scenario(dir: &Path) -> Arc<Scenario> {
    let rise = format!(
        "[[confounder]]\nname = \"rise\"\nwhat = \"rally\"\nat = \"0s\"\nduration = \"{}s\"\nfactor = \"10x\"",
        SECONDS * 10.0
    );
    let text = ScenarioText {
        duration: &format!("{SECONDS}s"),
        base: "40/s",
        funnel: r#"
assets = 2
patience = "4s"
session = { median = "10s", p90 = "20s" }
seeding = { median = "5s", p90 = "10s" }
metadata = { conversion = "80%", lag = { median = "1s", p90 = "2s" } }
start = { conversion = "80%", lag = { median = "1s", p90 = "2s" } }
"#,
        items: 10,
        size: "128 KiB",
        tables: &rise,
    };
    let path = dir.join("ramp.toml");
    std::fs::write(&path, text.text()).unwrap();
    Arc::new(scenario::load(&path).map_err(|report| report.render(false)).unwrap().scenario)
}

/// A capacity that is never the limit.
const FREE: Capacity =
    Capacity { servers: 100_000, service: Duration::from_millis(5), waiting: 0, bandwidth: None, loss: 0.0 };

fn target(layers: impl IntoIterator<Item = (Layer, Capacity)>) -> ModelTarget {
    ModelTarget {
        name: "blind".to_owned(),
        round_trip: Duration::from_millis(1),
        layers: LAYERS.into_iter().map(|layer| (layer, FREE)).chain(layers).collect(),
        envelope: Envelope::default(),
    }
}

/// Seed of the first case; `SQUALL_BLIND_SEED` draws a set that nobody has seen.
fn first_seed() -> u64 {
    std::env::var("SQUALL_BLIND_SEED").map_or(0xb11d, |seed| seed.parse().unwrap())
}

/// The case of a number: its limit is a part of the `peak` that the layer is asked where nothing limits anybody.
fn case(number: u64, peaks: &[BTreeMap<Layer, (f64, f64)>; 2]) -> Case {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(first_seed() + number);
    let layer = LAYERS[random.random_range(0..LAYERS.len())];
    let isolated = random.random_bool(0.5);
    let (peak, bytes) = peaks[usize::from(isolated)][&layer];
    let part = random.random_range(0.3..0.7);
    let wanted = peak * part;
    let waiting = random.random_range(100..2000);
    let (truth, limited, in_flight) = match number % 10 {
        0 => (Truth::Nobody, FREE, usize::MAX),
        1 => (Truth::Generator, FREE, random.random_range(5..15)),
        2 | 3 => {
            let servers = random.random_range(1..=4);
            let service = Duration::from_secs_f64(f64::from(servers) / wanted);
            let rate = f64::from(servers) / service.as_secs_f64();
            (Truth::Rate(layer, "rate", rate), Capacity { servers, service, waiting, ..FREE }, usize::MAX)
        }
        4 | 5 => {
            let servers = random.random_range(8..=32);
            let service = Duration::from_secs_f64(f64::from(servers) / wanted);
            let limited = Capacity { servers, service, waiting, ..FREE };
            (Truth::Rate(layer, "parallelism", wanted), limited, usize::MAX)
        }
        6 | 7 => {
            // So many that chance leaves few of them free while others are turned away, and each well within patience.
            let servers = (wanted * random.random_range(0.5..1.0)).ceil() as u32;
            let service = Duration::from_secs_f64(f64::from(servers) / wanted);
            let limited = Capacity { servers, service, waiting: 0, ..FREE };
            (Truth::Rate(layer, "connections", wanted), limited, usize::MAX)
        }
        8 => {
            let line = bytes * part;
            (Truth::Bandwidth(layer, line), Capacity { bandwidth: Some(line), ..FREE }, usize::MAX)
        }
        _ => {
            let loss = random.random_range(0.04..0.2);
            (Truth::Loss(layer, loss), Capacity { loss, ..FREE }, usize::MAX)
        }
    };
    Case { truth, target: target([(layer, limited)]), isolated, in_flight }
}

/// A rehearsal in virtual time.
fn rehearse(scenario: &Arc<Scenario>, case: &Case, seed: u64, dir: &Path) -> Recording {
    let plan = Plan::new(Arc::clone(scenario), VariantName::Baseline, seed);
    let schedule = Schedule::Drawn(plan);
    let assets = scenario.funnel.assets;
    let mut planned: BTreeMap<Kind, u64> = BTreeMap::new();
    for arrival in schedule.shard(0, 1) {
        intended(&arrival, assets).for_each(|(kind, count)| *planned.entry(kind).or_default() += count);
    }
    let manifest = Manifest {
        version: Manifest::VERSION,
        squall: "test".to_owned(),
        scenario: scenario.name.clone(),
        variant: VariantName::Baseline,
        cut: scenario.cut.clone(),
        seed,
        plan_digest: schedule.digest(),
        replay: None,
        planned,
        workers: 1,
        world: WorldName::Model,
        isolated: case.isolated,
        length: schedule.length(),
        target: case.target.name.clone(),
        envelope: Envelope::default(),
        signals: Vec::new(),
        outlook: None,
        faults: Vec::new(),
        regions: vec!["everywhere".to_owned()],
        clients: scenario.clients.members.iter().map(|(client, _)| client.name.clone()).collect(),
        classes: vec!["something".to_owned()],
        access: scenario.access.members.iter().map(|(access, _)| access.name.clone()).collect(),
        host: None,
        started_at: None,
    };
    let recorder = Recorder::create(dir, &manifest, &[]).unwrap();
    let (mut observers, resources, inbox) = record::channel(1);
    drop(resources);
    let stop = Stop::default();
    let mut observer = observers.pop().unwrap();
    let recording = {
        let stop = stop.clone();
        std::thread::spawn(move || record::run(recorder, inbox, &stop, |_| {}))
    };
    let mut world = ModelWorld::new(scenario, &case.target, seed);
    let rules = Rules {
        isolated: case.isolated,
        assets,
        retries: scenario.funnel.retries,
        retry_after: scenario.funnel.retry_after,
        sizes: scenario.content.sizes().collect(),
        classes: scenario.content.classes_by_rank().collect(),
        seeds: vec![ModelWorld::SEEDBOX],
        names: case.target.names(),
    };
    let limits = Limits { in_flight: case.in_flight, ..Limits::new(schedule.length()) };
    complete(drive(schedule.shard(0, 1), &mut world, &rules, &limits, &stop, &mut |event| {
        observer.observe(event)
    }));
    observer.finish();
    recording.join().unwrap().unwrap();
    Recording::read(dir).unwrap()
}

/// What was found: the first layer, whether that is right, and how far off its figure is.
struct Verdict {
    found: String,
    named: bool,
    /// Relative.
    error: Option<f64>,
    /// What chance may add.
    chance: f64,
}

fn verdict(truth: Truth, summary: &Summary) -> Verdict {
    let first = summary.order.first().copied();
    let finding =
        summary.saturation.iter().find(|layer| Some(layer.layer) == first).map(|layer| &layer.finding);
    let (found, error, chance) = match (truth, finding) {
        (Truth::Rate(_, _, rate), Some(SaturationFinding::Saturated(seen))) => (
            format!("{:.0}/s at {} s", seen.capacity_per_second, seen.at_seconds),
            Some(seen.capacity_per_second / rate - 1.0),
            0.0,
        ),
        (Truth::Bandwidth(_, rate), Some(SaturationFinding::Saturated(seen))) => (
            format!("{:.0} kB/s at {} s", seen.capacity_bytes_per_second / 1e3, seen.at_seconds),
            Some(seen.capacity_bytes_per_second / rate - 1.0),
            0.0,
        ),
        (Truth::Loss(layer, truth), Some(SaturationFinding::Failing { share, .. })) => {
            let layer = summary.layers.iter().find(|seen| seen.layer == layer).unwrap();
            let chance = 3.0 * ((1.0 - truth) / truth / layer.flow.counts.measured() as f64).sqrt();
            (format!("{:.1} %", share * 100.0), Some(share / truth - 1.0), chance)
        }
        (_, Some(other)) => (format!("{other:?}"), None, 0.0),
        (_, None) => ("-".to_owned(), None, 0.0),
    };
    let named = match truth {
        Truth::Generator => first.is_none() && !summary.generator.faults.is_empty(),
        _ => first == truth.layer(),
    };
    let found = match first {
        Some(layer) => format!("{} {found}", layer.name()),
        None if summary.generator.faults.is_empty() => found,
        None => "generator".to_owned(),
    };
    Verdict { found, named, error, chance }
}

/// The most that each layer is asked where nothing limits anybody: operations and bytes per second.
fn peaks(bare: &Summary) -> BTreeMap<Layer, (f64, f64)> {
    let peak = |layer: &squall::analysis::LayerSummary| {
        let its = bare.kinds.iter().filter(|seen| seen.kind.layer() == layer.layer);
        let bytes: u64 = its.map(|seen| seen.bytes_in).sum();
        let peak = layer.flow.peak_offered_per_second;
        (layer.layer, (peak, peak * bytes as f64 / layer.flow.counts.ok as f64))
    };
    bare.layers.iter().map(peak).collect()
}

#[test]
fn the_layer_and_its_rate_are_found_without_being_told() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = scenario(dir.path());
    let peaks = [false, true].map(|isolated| {
        let free = Case { truth: Truth::Nobody, target: target([]), isolated, in_flight: usize::MAX };
        peaks(&analyse(&rehearse(&scenario, &free, 1, &dir.path().join(format!("bare-{isolated}")))))
    });

    // A case is one thread's, whichever is free.
    let next = AtomicU64::new(0);
    let judged = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= CASES {
                break;
            }
            let case = case(number, &peaks);
            let folder = dir.path().join(number.to_string());
            let summary = analyse(&rehearse(&scenario, &case, number, &folder));
            std::fs::remove_dir_all(folder).unwrap();
            judged.lock().unwrap().insert(number, (case, summary));
        }
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));

    let mut table =
        String::from("| case | mode | limited | by | truth | found | off |\n|---|---|---|---|---|---|---|\n");
    let (mut named, mut close, mut sized, mut slander) = (0, 0, 0, Vec::new());
    for (number, (case, summary)) in judged.into_inner().unwrap() {
        let verdict = verdict(case.truth, &summary);
        named += u64::from(verdict.named);
        if case.truth.layer().is_some() {
            sized += 1;
            close += u64::from(verdict.error.is_some_and(|error| error.abs() <= verdict.chance.max(0.05)));
        } else if summary.saturation.iter().any(blames_the_target) {
            slander.push(number);
        }
        let [limited, by, truth] = case.truth.words();
        let mode = if case.isolated { "isolated" } else { "coupled" };
        let off = verdict.error.map_or("-".to_owned(), |error| format!("{:+.1} %", error * 100.0));
        let mark = if verdict.named { "" } else { " ✗" };
        writeln!(
            table,
            "| {number} | {mode} | {limited} | {by} | {truth} | {}{mark} | {off} |",
            verdict.found
        )
        .unwrap();
    }
    println!(
        "{table}\n{named} of {CASES} named, {close} of {sized} within 5 %, blamed without reason: {slander:?}"
    );
    assert!(named * 100 >= CASES * 95, "{table}");
    assert!(close * 100 >= sized * 95, "{table}");
    assert!(slander.is_empty(), "{table}");
}

fn blames_the_target(layer: &squall::analysis::LayerSaturation) -> bool {
    matches!(
        &layer.finding,
        SaturationFinding::Saturated(Saturated { limit: Limit::Target, .. })
            | SaturationFinding::Slumped { limit: Limit::Target, .. }
            | SaturationFinding::Failing { .. }
            | SaturationFinding::Lossy { limit: Limit::Target, .. }
    )
}

//! Every scenario of the library has the shape that its story says: when visits are highest, how far above a normal day, and what is left.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use squall::plan::{Plan, Stage};
use squall::scenario::{Scenario, VariantName, load};

const SEED: u64 = 1;
/// Transfers a second that the testbed serves on two cores beside the generator.
const TESTBED: f64 = 8.0;

/// A scenario's plan beside that of the same day without its events; confounders stay, as they would have come anyway.
struct Day {
    event: Plan,
    normal: Plan,
}

impl Day {
    fn of(name: &str) -> Self {
        let scenario = load(Path::new(&format!("scenarios/{name}.toml"))).unwrap().scenario;
        let normal = Scenario {
            signals: Vec::new(),
            abuse: Vec::new(),
            restarts: Vec::new(),
            exoduses: Vec::new(),
            ..scenario.clone()
        };
        let plan = |scenario| Plan::new(Arc::new(scenario), VariantName::Baseline, SEED);
        Self { event: plan(scenario), normal: plan(normal) }
    }

    /// Visits as a multiple of those of a normal day at the same hour.
    fn uplift(&self, hour: f64) -> f64 {
        let visits =
            |plan: &Plan| plan.demand().regions.iter().map(|flow| flow.visits.at(hour * 3600.0)).sum::<f64>();
        visits(&self.event) / visits(&self.normal)
    }

    /// Hours of scenario time, a tenth apart.
    fn hours(&self) -> impl Iterator<Item = f64> + use<> {
        let length = self.event.scenario().duration.as_secs_f64() / 3600.0;
        (0..).map(|i| f64::from(i) / 10.0).take_while(move |hour| *hour < length)
    }

    /// The hour of the highest uplift, and the uplift.
    fn peak(&self) -> (f64, f64) {
        let uplifts = self.hours().map(|hour| (hour, self.uplift(hour)));
        uplifts.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// The highest expected rate of a stage.
    fn top(&self, stage: Stage) -> f64 {
        self.hours().map(|hour| self.event.expected(stage, hour * 3600.0)).fold(0.0, f64::max)
    }
}

/// The peak of the visits, what is left of them an hour before the end, and the least of all, as multiples of a normal day.
struct Shape {
    name: &'static str,
    peak_hour: RangeInclusive<f64>,
    peak: RangeInclusive<f64>,
    tail: RangeInclusive<f64>,
    trough: RangeInclusive<f64>,
}

const fn shape(
    name: &'static str,
    peak_hour: RangeInclusive<f64>,
    peak: RangeInclusive<f64>,
    tail: RangeInclusive<f64>,
    trough: RangeInclusive<f64>,
) -> Shape {
    Shape { name, peak_hour, peak, tail, trough }
}

const ANY_HOUR: RangeInclusive<f64> = 0.0..=1000.0;

const SHAPES: [Shape; 14] = [
    shape("abuse-spike", 11.5..=13.0, 2.5..=5.0, 1.0..=1.5, 1.0..=1.0),
    shape("creator-campaign", 18.0..=19.0, 2.0..=4.5, 1.0..=1.5, 1.0..=1.0),
    shape("false-alarm", ANY_HOUR, 1.0..=1.02, 0.95..=1.02, 0.95..=1.0),
    shape("false-rumour", 8.5..=10.5, 1.5..=3.0, 0.9..=1.3, 0.9..=1.0),
    shape("listing-day", 36.0..=38.0, 6.0..=12.0, 1.5..=3.0, 1.0..=1.0),
    shape("lockstep-restart", ANY_HOUR, 1.0..=1.0, 1.0..=1.0, 1.0..=1.0),
    shape("long-tail-echoes", 60.0..=80.0, 6.0..=14.0, 1.0..=2.0, 1.0..=1.0),
    shape("official-promotion", 2.0..=16.5, 1.3..=2.5, 1.0..=1.3, 1.0..=1.0),
    shape("organic-chatter", 30.0..=42.0, 2.0..=4.5, 1.1..=2.5, 1.0..=1.0),
    shape("panic", ANY_HOUR, 1.0..=2.0, 0.2..=1.5, 0.2..=0.9),
    shape("price-volume-persist", 33.0..=58.0, 2.0..=4.0, 1.3..=2.5, 1.0..=1.0),
    shape("price-volume-spike", 11.5..=13.0, 3.0..=6.0, 1.0..=1.5, 1.0..=1.0),
    shape("risk-off", 33.5..=36.0, 1.5..=3.0, 0.9..=1.5, 0.3..=0.8),
    shape("seeder-exodus", 9.5..=12.5, 2.0..=4.0, 1.0..=1.5, 1.0..=1.0),
];

#[test]
fn every_scenario_has_the_shape_of_its_story() {
    let mut wrong = Vec::new();
    for Shape { name, peak_hour, peak, tail, trough } in &SHAPES {
        let day = Day::of(name);
        let (hour, highest) = day.peak();
        let least = day.hours().map(|hour| day.uplift(hour)).fold(f64::INFINITY, f64::min);
        let left = day.uplift(day.hours().last().unwrap() - 1.0);
        let as_told = peak_hour.contains(&hour) && peak.contains(&highest);
        if !(as_told && tail.contains(&left) && trough.contains(&least)) {
            wrong.push(format!("{name}: {highest:.2} times a normal day at {hour} h, {left:.2} at the end, {least:.2} at least"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_shipped_scenario_has_a_shape_and_suits_the_testbed() {
    let files = fs::read_dir("scenarios").unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, SHAPES.iter().map(|shape| shape.name.to_owned()).collect());
    for name in names {
        let day = Day::of(&name);
        assert_eq!(day.event.scenario().name, name);
        assert!(day.top(Stage::Pieces) <= TESTBED, "{name}: {} transfers a second", day.top(Stage::Pieces));
        assert_eq!(day.event.length().as_secs(), 60, "{name}");
    }
}

//! The shape of a scenario's day: its visits against those of the same day without its events.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use squall::plan::{Plan, Stage};
use squall::scenario::{Scenario, VariantName, load};

pub(crate) const SEED: u64 = 1;

/// Scenarios whose shapes are in `scenario_cases.rs`.
pub(crate) const CASES: [&str; 7] = [
    "arbitrage-bots",
    "btfs-gateway",
    "exchange-outage",
    "risk-on",
    "small-move-listing",
    "volume-surge",
    "wallet-inflow",
];

/// A scenario's plan beside that of the same day without its events; confounders stay, as they would have come anyway.
pub(crate) struct Day {
    pub(crate) event: Plan,
    pub(crate) normal: Plan,
}

impl Day {
    pub(crate) fn of(name: &str) -> Self {
        let scenario = load(Path::new(&format!("scenarios/{name}.toml"))).unwrap().scenario;
        let normal = Scenario {
            signals: Vec::new(),
            abuse: Vec::new(),
            restarts: Vec::new(),
            exoduses: Vec::new(),
            faults: Vec::new(),
            ..scenario.clone()
        };
        let plan = |scenario| Plan::new(Arc::new(scenario), VariantName::Baseline, SEED);
        Self { event: plan(scenario), normal: plan(normal) }
    }

    /// Visits as a multiple of those of a normal day at the same hour.
    pub(crate) fn uplift(&self, hour: f64) -> f64 {
        let visits =
            |plan: &Plan| plan.demand().regions.iter().map(|flow| flow.visits.at(hour * 3600.0)).sum::<f64>();
        visits(&self.event) / visits(&self.normal)
    }

    /// Hours of scenario time, a tenth apart.
    pub(crate) fn hours(&self) -> impl Iterator<Item = f64> + use<> {
        let length = self.event.scenario().duration.as_secs_f64() / 3600.0;
        (0..).map(|i| f64::from(i) / 10.0).take_while(move |hour| *hour < length)
    }

    /// The hour of the highest uplift, and the uplift.
    pub(crate) fn peak(&self) -> (f64, f64) {
        let uplifts = self.hours().map(|hour| (hour, self.uplift(hour)));
        uplifts.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    /// The highest expected rate of a stage.
    pub(crate) fn top(&self, stage: Stage) -> f64 {
        self.hours().map(|hour| self.event.expected(stage, hour * 3600.0)).fold(0.0, f64::max)
    }
}

/// The peak of the visits, what is left of them an hour before the end, and the least of all, as multiples of a normal day.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) peak_hour: RangeInclusive<f64>,
    pub(crate) peak: RangeInclusive<f64>,
    pub(crate) tail: RangeInclusive<f64>,
    pub(crate) trough: RangeInclusive<f64>,
}

pub(crate) const fn shape(
    name: &'static str,
    peak_hour: RangeInclusive<f64>,
    peak: RangeInclusive<f64>,
    tail: RangeInclusive<f64>,
    trough: RangeInclusive<f64>,
) -> Shape {
    Shape { name, peak_hour, peak, tail, trough }
}

/// Every one of these scenarios has its shape.
pub(crate) fn assert_shapes(shapes: &[Shape]) {
    let mut wrong = Vec::new();
    for Shape { name, peak_hour, peak, tail, trough } in shapes {
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

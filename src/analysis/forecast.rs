//! A plan seen from several sides: over seeds, over the three forecasts, region by region.
//!
//! All figures count planned *steps of visitors*, as [`crate::plan::Curves`] does: a visit is one step, however many assets the page has.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;

use crate::plan::{Plan, Stage};
use crate::scenario::{Scenario, VariantName};

use super::stats::interpolated;

/// Moments of the window at which expected rates are compared: 86 s apart over two days.
const MOMENTS: usize = 2000;
/// Length of the windows in which drawn peaks are counted, seconds of the run: that of a verdict's peak rates.
const WINDOW: f64 = 5.0;

/// What a plan draws over many seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bands {
    /// The forecast.
    pub variant: VariantName,
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// How many seeds.
    pub seeds: u32,
    /// In order of [`Stage::ALL`].
    pub stages: Vec<StageBands>,
}

/// What a stage comes to over many seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageBands {
    /// The stage.
    pub stage: Stage,
    /// Steps drawn.
    pub total: Band,
    /// Highest drawn rate of 5 s of the run (of a longer bucket where the run is no multiple of that), steps per second.
    pub peak_per_second: Band,
}

/// The middle 70 % of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Band {
    /// 15 % were below.
    pub low: f64,
    /// The median.
    pub middle: f64,
    /// 85 % were below.
    pub high: f64,
}

impl Band {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quantile| interpolated(&values, quantile);
        Self { low: at(0.15), middle: at(0.5), high: at(0.85) }
    }
}

/// Draws the plan with its own seed and those after it. They differ by chance alone: what is not known about the scenario itself is the
/// matter of [`compare`].
#[must_use]
pub fn bands(plan: &Plan, seeds: NonZeroU32) -> Bands {
    let buckets = ((plan.length().as_secs_f64() / WINDOW) as usize).max(1);
    let draw = |offset: u32| {
        let seed = plan.seed().wrapping_add(offset.into());
        Plan::new(Arc::clone(plan.scenario()), plan.variant(), seed).curves(buckets)
    };
    let drawn: Vec<_> = (0..seeds.get()).map(draw).collect();
    let stage = |stage: Stage| StageBands {
        stage,
        total: Band::of(drawn.iter().map(|curves| curves.stages[stage as usize].total as f64).collect()),
        peak_per_second: Band::of(
            drawn
                .iter()
                .map(|curves| highest(curves.rows.iter().map(|row| row.drawn[stage as usize])))
                .collect(),
        ),
    };
    Bands {
        variant: plan.variant(),
        first_seed: plan.seed(),
        seeds: seeds.get(),
        stages: Stage::ALL.map(stage).into(),
    }
}

/// What one forecast expects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Which.
    pub variant: VariantName,
    /// In order of [`Stage::ALL`].
    pub stages: Vec<StageForecast>,
}

/// What a forecast expects of a stage, also against a [`normal_day`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageForecast {
    /// The stage.
    pub stage: Stage,
    /// Expected steps of the run.
    pub total: f64,
    /// Expected steps over those of a normal day; `None` where that has none.
    pub uplift: Option<f64>,
    /// Highest expected rate, steps per second of the run.
    pub peak_per_second: f64,
    /// Scenario seconds of it.
    pub peak_at_seconds: f64,
    /// The most that the rate exceeds that of a normal day at the same hour, as a multiple of it.
    pub peak_uplift: Option<f64>,
    /// Shortest scenario time in which the rate doubles; `None` where it never does.
    pub doubling_seconds: Option<f64>,
}

/// The plan of the same window on a normal day: without signals, abuse, restarts and exoduses. Confounders stay, as they would have come
/// anyway.
#[must_use]
pub fn normal_day(plan: &Plan) -> Plan {
    Plan::new(Arc::new(without_events(plan.scenario())), plan.variant(), plan.seed())
}

fn without_events(scenario: &Scenario) -> Scenario {
    let (signals, abuse) = (Vec::new(), Vec::new());
    Scenario { signals, abuse, restarts: Vec::new(), exoduses: Vec::new(), ..scenario.clone() }
}

/// The three forecasts of a plan's scenario, the least first.
#[must_use]
pub fn compare(plan: &Plan) -> [Forecast; 3] {
    let scenario = plan.scenario();
    let normal = Arc::new(without_events(scenario));
    [VariantName::Conservative, VariantName::Baseline, VariantName::Breakout].map(|variant| {
        let event = Plan::new(Arc::clone(scenario), variant, plan.seed());
        let normal = Plan::new(Arc::clone(&normal), variant, plan.seed());
        let stages = Stage::ALL.map(|stage| stage_forecast(&event, &normal, stage)).into();
        Forecast { variant, stages }
    })
}

fn stage_forecast(event: &Plan, normal: &Plan, stage: Stage) -> StageForecast {
    let times: Vec<f64> = moments(event).collect();
    let rates = |plan: &Plan| -> Vec<f64> { times.iter().map(|t| plan.expected(stage, *t)).collect() };
    let (rates, calm) = (rates(event), rates(normal));
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let (peak_at_seconds, peak_per_second) = peak(times.iter().copied().zip(rates.iter().copied()));
    let above_nothing = |(rate, calm): (&f64, &f64)| (*calm > 0.0).then(|| rate / calm);
    StageForecast {
        stage,
        total: mean(&rates) * event.length().as_secs_f64(),
        uplift: above_nothing((&mean(&rates), &mean(&calm))),
        peak_per_second,
        peak_at_seconds,
        peak_uplift: rates.iter().zip(&calm).filter_map(above_nothing).reduce(f64::max),
        doubling_seconds: doubling(&rates).map(|cells| cells as f64 * (times[1] - times[0])),
    }
}

/// The fewest cells in which a rate doubles.
fn doubling(rates: &[f64]) -> Option<usize> {
    let from = |i: usize| {
        let twice = 2.0 * rates[i];
        (twice > 0.0).then(|| rates[i..].iter().position(|rate| *rate >= twice)).flatten()
    };
    (0..rates.len()).filter_map(from).min()
}

/// What one region does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegionCurve {
    /// Its name.
    pub region: String,
    /// Expected visits of the run.
    pub visits: f64,
    /// Highest expected rate of visits, per second of the run.
    pub peak_per_second: f64,
    /// Scenario seconds of it.
    pub peak_at_seconds: f64,
    /// The expected rates, in order of time.
    pub points: Vec<RegionPoint>,
}

/// A moment of a region: rates per second of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RegionPoint {
    /// The moment.
    pub scenario_seconds: f64,
    /// Expected visits.
    pub visits_per_second: f64,
    /// Expected client starts.
    pub starts_per_second: f64,
    /// Modelled peers in swarms, thinned like the audience.
    pub population: f64,
}

/// The regions of a plan's audience, each with `points` moments.
#[must_use]
pub fn regions(plan: &Plan, points: usize) -> Vec<RegionCurve> {
    let (scenario, scale) = (plan.scenario(), plan.scenario().cut.scale);
    let (from, until) = (scenario.cut.from.as_secs_f64(), scenario.cut.until.as_secs_f64());
    let named = scenario.audience.regions.iter().zip(&plan.demand().regions);
    let curve = |(region, flow): (&crate::scenario::Region, &crate::demand::Flow)| {
        let (peak_at_seconds, peak_per_second) = peak(moments(plan).map(|t| (t, scale * flow.visits.at(t))));
        let point = |i: usize| {
            let t = from + (until - from) * (i as f64 + 0.5) / points as f64;
            RegionPoint {
                scenario_seconds: t,
                visits_per_second: scale * flow.visits.at(t),
                starts_per_second: scale * flow.starts.at(t),
                population: scale * flow.swarm.population.at(t),
            }
        };
        RegionCurve {
            region: region.name.clone(),
            visits: scale * (flow.visits.integral(until) - flow.visits.integral(from)) / scenario.cut.speed,
            peak_per_second,
            peak_at_seconds,
            points: (0..points).map(point).collect(),
        }
    };
    named.map(curve).collect()
}

/// Evenly spaced scenario seconds of the window, each in the middle of its cell.
fn moments(plan: &Plan) -> impl Iterator<Item = f64> + use<> {
    let cut = &plan.scenario().cut;
    let (from, until) = (cut.from.as_secs_f64(), cut.until.as_secs_f64());
    (0..MOMENTS).map(move |i| from + (until - from) * (i as f64 + 0.5) / MOMENTS as f64)
}

/// The moment of the highest value, the first of equals, and the value.
fn peak(curve: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    curve.fold((0.0, 0.0), |best, next| if next.1 > best.1 { next } else { best })
}

fn highest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::sample;

    fn plan() -> Plan {
        Plan::new(Arc::new(sample::sample()), VariantName::Baseline, 1)
    }

    #[test]
    fn a_band_holds_the_middle_seven_tenths() {
        let band = Band::of((0..=100).rev().map(f64::from).collect());
        assert_eq!((band.low, band.middle, band.high), (15.0, 50.0, 85.0));
        let one = Band::of(vec![3.0]);
        assert_eq!((one.low, one.high), (3.0, 3.0));
    }

    #[test]
    fn bands_of_a_poisson_stream_are_as_wide_as_chance_makes_them() {
        let plan = quick();
        let bands = bands(&plan, NonZeroU32::new(40).unwrap());
        let visits = &bands.stages[Stage::Index as usize].total;
        // 1.04 standard deviations on either side of the mean; the mean of 40 seeds is within half of one.
        let expected = compare(&plan)[1].stages[Stage::Index as usize].total;
        let deviation = expected.sqrt();
        assert!((visits.middle - expected).abs() < 0.6 * deviation, "{visits:?}, {expected} expected");
        let width = (visits.high - visits.low) / deviation;
        assert!((1.2..3.0).contains(&width), "{width} standard deviations");
        assert!(visits.low <= visits.middle && visits.middle <= visits.high);
    }

    fn quick() -> Plan {
        let mut scenario = sample::sample();
        scenario.cut.speed = 4000.0;
        Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
    }

    #[test]
    fn forecasts_rise_from_conservative_to_breakout() {
        let forecasts = compare(&plan());
        for stage in Stage::ALL {
            let of = |forecast: &Forecast| forecast.stages[stage as usize].clone();
            assert!(forecasts.each_ref().map(|f| of(f).peak_per_second).is_sorted_by(|a, b| a < b));
            assert!(forecasts.each_ref().map(|f| of(f).uplift).is_sorted_by(|a, b| a < b));
        }
        // A stronger event doubles sooner.
        let [slow, _, fast] = forecasts.map(|forecast| forecast.stages[0].doubling_seconds.unwrap());
        assert!(fast < slow, "{fast} s against {slow} s");
    }

    #[test]
    fn a_day_without_events_has_no_uplift() {
        let mut scenario = sample::sample();
        scenario.signals.clear();
        let forecasts = compare(&Plan::new(Arc::new(scenario), VariantName::Baseline, 1));
        assert!(
            forecasts
                .iter()
                .flat_map(|f| &f.stages)
                .all(|s| s.uplift == Some(1.0) && s.peak_uplift == Some(1.0))
        );
    }

    #[test]
    fn doubling_is_the_shortest_time_to_twice_the_rate() {
        assert_eq!(doubling(&[1.0, 1.5, 2.0, 3.0, 3.1, 6.0]), Some(2));
        assert_eq!(doubling(&[4.0, 3.0, 2.0, 3.9]), None);
        assert_eq!(doubling(&[0.0, 0.0]), None);
    }

    #[test]
    fn regions_add_up_to_the_visits() {
        let plan = plan();
        let regions = regions(&plan, 500);
        assert_eq!(regions.len(), plan.scenario().audience.regions.len());
        let visits: f64 = regions.iter().map(|region| region.visits).sum();
        let by_points: f64 =
            regions.iter().flat_map(|r| &r.points).map(|point| point.visits_per_second).sum();
        assert!((by_points / 500.0 * plan.length().as_secs_f64() / visits - 1.0).abs() < 0.01);
    }
}

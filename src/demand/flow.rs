//! From attention to the rates of the funnel, region by region.

use crate::scenario::{Channel, Scenario, SideTraffic, Variant, VariantName};

use super::{Delay, Level, Series, Sinusoid, shocks};

/// Grid cells of the rates behind a delay; delays smooth, so they need fewer than attention.
const CELLS: usize = 2048;
/// Grid cells of the visits, as many as attention has.
const VISIT_CELLS: usize = 16_384;

/// The demand of a scenario under one variant: expected rates per second at full audience over scenario time.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// One flow for each region of the audience.
    pub regions: Vec<Flow>,
    /// Time from a visit to its metadata request.
    pub to_metadata: Delay,
    /// Share of the visits that ask for metadata.
    pub metadata_share: f64,
    /// Time from a metadata request to the client's start.
    pub to_start: Delay,
    /// Share of the metadata requests that end in a client start.
    pub start_share: f64,
    /// Time from a client's start to its stop.
    pub seeding: Delay,
    side: Vec<SideTraffic>,
    announce_interval: f64,
}

/// What one region does.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Its part of the audience on its daily curve.
    pub day: Sinusoid,
    /// Its attention.
    pub level: Level,
    /// Visits per second.
    pub visits: Series,
    /// Metadata requests per second.
    pub metadata: Series,
    /// Client starts per second.
    pub starts: Series,
    /// Client stops per second.
    pub stops: Series,
    /// Modelled peers in swarms: client starts that are still in their session. On a normal day at scenario start.
    pub population: Series,
}

impl Demand {
    /// The demand of a scenario; everything before moment 0 is taken as a normal day.
    #[must_use]
    pub fn new(scenario: &Scenario, variant: VariantName) -> Self {
        let variant = scenario.variants.get(variant);
        let funnel = &scenario.funnel;
        let share = |conversion: f64| (conversion * variant.conversion).min(1.0);
        let mut demand = Self {
            regions: Vec::new(),
            to_metadata: Delay::new(funnel.metadata.lag),
            metadata_share: share(funnel.metadata.conversion),
            to_start: Delay::new(funnel.start.lag),
            start_share: share(funnel.start.conversion),
            seeding: Delay::new(funnel.seeding),
            side: scenario.side.clone(),
            announce_interval: funnel.announce_interval.as_secs_f64(),
        };
        let session = Delay::new(funnel.session);
        demand.regions = (0..scenario.audience.regions.len())
            .map(|region| demand.flow(scenario, variant, region, &session))
            .collect();
        demand
    }

    fn flow(&self, scenario: &Scenario, variant: Variant, region: usize, session: &Delay) -> Flow {
        let length = scenario.duration.as_secs_f64();
        let place = &scenario.audience.regions[region];
        let reaching =
            scenario.signals.iter().filter(|s| s.regions.is_empty() || s.regions.contains(&region));
        let shocks: Vec<_> =
            reaching.flat_map(|s| shocks(s, &scenario.attention, variant.attention)).collect();
        let level = Level::new(&shocks, &scenario.attention, length);
        let day = Sinusoid::daily(place, scenario.start.as_second()).scaled(place.share);
        let normal = day.scaled(scenario.audience.base);
        let visits =
            Series::tabulate(normal, length, VISIT_CELLS, |t| normal.at(t) * level.at(Channel::Interest, t));
        let metadata = visits.delayed(self.metadata_share, &self.to_metadata, CELLS);
        let starts = metadata.delayed(self.start_share, &self.to_start, CELLS);
        let stops = starts.delayed(1.0, &self.seeding, CELLS);
        let population = starts.occupancy(session, CELLS);
        Flow { day, level, visits, metadata, starts, stops, population }
    }

    /// Re-announces per second of a region's modelled population.
    #[must_use]
    pub fn reannounces(&self, region: usize, t: f64) -> f64 {
        self.regions[region].population.at(t) / self.announce_interval
    }

    /// Requests per second of side traffic in a region: on the region's daily curve, grown by the excess of the channel it follows.
    #[must_use]
    pub fn side(&self, side: usize, region: usize, t: f64) -> f64 {
        let (traffic, flow) = (&self.side[side], &self.regions[region]);
        let excess = flow.level.at(traffic.follows, t) - 1.0;
        traffic.base * flow.day.at(t) * (1.0 + traffic.gain * excess).max(0.0)
    }

    /// Kinds of side traffic.
    #[must_use]
    pub const fn sides(&self) -> usize {
        self.side.len()
    }

    /// Modelled peers in swarms, over all regions.
    #[must_use]
    pub fn population(&self, t: f64) -> f64 {
        self.regions.iter().map(|flow| flow.population.at(t)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Lag, sample};

    fn baseline(scenario: &Scenario) -> Demand {
        Demand::new(scenario, VariantName::Baseline)
    }

    fn calm() -> Scenario {
        Scenario { signals: Vec::new(), ..sample::sample() }
    }

    #[test]
    fn a_normal_day_brings_the_base_rate() {
        let (scenario, demand) = (calm(), baseline(&calm()));
        let visits: f64 = demand.regions.iter().map(|flow| flow.visits.integral(86_400.0)).sum();
        assert!((visits / 86_400.0 / scenario.audience.base - 1.0).abs() < 1e-6);
    }

    #[test]
    fn the_population_of_a_normal_day_obeys_littles_law() {
        let scenario = calm();
        let demand = baseline(&scenario);
        let (mut starts, mut peers) = (0.0, 0.0);
        for flow in &demand.regions {
            starts += flow.starts.integral(86_400.0) / 86_400.0;
            peers += flow.population.integral(86_400.0) / 86_400.0;
        }
        let session = Delay::new(scenario.funnel.session);
        let mean: f64 = session.strata().iter().map(|s| s.weight * s.mean).sum();
        assert!((peers / (starts * mean) - 1.0).abs() < 1e-4);
        let reannounces: f64 = (0..demand.regions.len()).map(|r| demand.reannounces(r, 0.0)).sum();
        let interval = scenario.funnel.announce_interval.as_secs_f64();
        assert!((reannounces * interval / demand.population(0.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_short_session_makes_the_population_follow_the_starts() {
        let mut scenario = sample::sample();
        let session = Duration::from_secs(120);
        scenario.funnel.session = Lag { median: session, p90: session };
        let demand = baseline(&scenario);
        let flow = &demand.regions[0];
        for t in [0.0, 20_000.0, 50_000.0] {
            let lived = flow.starts.integral(t) - flow.starts.integral(t - 120.0);
            assert!((flow.population.at(t) / lived - 1.0).abs() < 1e-2);
        }
    }

    #[test]
    fn a_signal_reaches_only_its_regions() {
        let mut scenario = sample::sample();
        for signal in &mut scenario.signals {
            signal.regions = vec![1];
        }
        let demand = baseline(&scenario);
        let high = |region: usize| demand.regions[region].level.at(Channel::Interest, 9.0 * 3600.0);
        assert_eq!(high(0), 1.0);
        assert!(high(1) > 2.0);
    }

    #[test]
    fn variants_move_attention_and_conversion() {
        let scenario = sample::sample();
        let all = [VariantName::Conservative, VariantName::Baseline, VariantName::Breakout];
        let starts = all.map(|variant| Demand::new(&scenario, variant).regions[0].starts.integral(86_400.0));
        assert!(starts.is_sorted_by(|a, b| a * 1.2 < *b), "{starts:?}");
        let mut certain = scenario;
        certain.funnel.metadata.conversion = 0.9;
        assert_eq!(Demand::new(&certain, VariantName::Breakout).metadata_share, 1.0);
    }

    #[test]
    fn side_traffic_follows_its_channel() {
        let mut scenario = sample::sample();
        scenario.signals = vec![sample::signal("crash")];
        scenario.signals[0].price = -0.3;
        let (calm, crash) = (baseline(&calm()), baseline(&scenario));
        let t = scenario.signals[0].at.as_secs_f64() + scenario.attention.rise.as_secs_f64();
        assert!(crash.side(0, 0, t) > 2.0 * calm.side(0, 0, t));
        assert!(crash.regions[0].visits.at(t) < 0.9 * calm.regions[0].visits.at(t));
    }
}

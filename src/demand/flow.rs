//! From attention to the rates of the funnel, region by region.

use crate::scenario::{Channel, Confounder, Event, Scenario, SideRate, Variant, VariantName};

use super::{Delay, Draw, Fluid, Level, Series, Shock, Sinusoid, Swarm, Week, shocks};

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
    /// Share of the client starts that join a swarm; the others read through a gateway, and nobody sees when they stop.
    pub swarm_share: f64,
    /// Peers that download, by the fluid model next to the population: all regions, without the fleet's seedboxes.
    pub leechers: Series,
    /// Peers that have everything, likewise.
    pub seeds: Series,
}

/// What one region does.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Its part of the audience on its daily curve.
    pub day: Sinusoid,
    /// Its week.
    pub week: Week,
    /// Its attention.
    pub level: Level,
    /// Visits per second.
    pub visits: Series,
    /// Metadata requests per second.
    pub metadata: Series,
    /// Client starts per second.
    pub starts: Series,
    /// Client stops per second, of those who joined a swarm.
    pub stops: Series,
    /// Requests per second of each kind of side traffic.
    pub sides: Vec<Series>,
    /// Its modelled peers.
    pub swarm: Swarm,
}

impl Demand {
    /// The mean demand of a scenario; everything before moment 0 is taken as a normal day.
    #[must_use]
    pub fn new(scenario: &Scenario, variant: VariantName) -> Self {
        Self::with(scenario, variant, None)
    }

    /// The demand of a scenario when its cascades take the path that a seed draws, the same at any cut.
    #[must_use]
    pub fn drawn(scenario: &Scenario, variant: VariantName, seed: u64) -> Self {
        Self::with(scenario, variant, Some(seed))
    }

    fn with(scenario: &Scenario, variant: VariantName, seed: Option<u64>) -> Self {
        let variant = scenario.variants.get(variant);
        let funnel = &scenario.funnel;
        let share = |conversion: f64| (conversion * variant.conversion).min(1.0);
        let stages = Stages {
            to_metadata: Delay::new(funnel.metadata.lag),
            metadata_share: share(funnel.metadata.conversion),
            to_start: Delay::new(funnel.start.lag),
            start_share: share(funnel.start.conversion),
            seeding: Delay::new(funnel.seeding),
            swarm_share: scenario.content.swarm_share(),
        };
        let swarm_share = stages.swarm_share;
        let fronts: Vec<Front> = (0..scenario.audience.regions.len())
            .map(|region| stages.front(scenario, variant, region, seed))
            .collect();

        let seeding: f64 = stages.seeding.strata().iter().map(|s| s.weight * s.mean).sum();
        let losses: Vec<(f64, f64)> =
            scenario.exoduses.iter().map(|exodus| (exodus.at.as_secs_f64(), exodus.share)).collect();
        let arrivals = |t: f64| swarm_share * fronts.iter().map(|front| front.starts.at(t)).sum::<f64>();
        let length = scenario.duration.as_secs_f64();
        let [leechers, seeds] = Fluid::new(scenario, seeding).follow(arrivals, &losses, length, CELLS);

        let stay = Delay::new(funnel.session);
        // Just before the moment: an exodus that begins there has not happened yet.
        let seed_share = |t: f64| {
            let before = t - length / CELLS as f64;
            let (leechers, seeds) = (leechers.at(before), seeds.at(before));
            if seeds > 0.0 { seeds / (leechers + seeds) } else { 0.0 }
        };
        let flow = |front: Front| {
            let swarm = Swarm::new(scenario, &front.starts.scaled(swarm_share), &stay, seed_share);
            let Front { day, week, level, visits, metadata, starts, stops, sides } = front;
            Flow { day, week, level, visits, metadata, starts, stops, sides, swarm }
        };
        let regions = fronts.into_iter().map(flow).collect();
        let Stages { to_metadata, metadata_share, to_start, start_share, seeding, .. } = stages;
        Self {
            regions,
            to_metadata,
            metadata_share,
            to_start,
            start_share,
            seeding,
            swarm_share,
            leechers,
            seeds,
        }
    }

    /// Modelled peers in swarms, over all regions.
    #[must_use]
    pub fn population(&self, t: f64) -> f64 {
        self.regions.iter().map(|flow| flow.swarm.population.at(t)).sum()
    }
}

/// How visitors go from stage to stage, under one variant.
struct Stages {
    to_metadata: Delay,
    metadata_share: f64,
    to_start: Delay,
    start_share: f64,
    seeding: Delay,
    swarm_share: f64,
}

/// A region's way down the funnel.
struct Front {
    day: Sinusoid,
    week: Week,
    level: Level,
    visits: Series,
    metadata: Series,
    starts: Series,
    stops: Series,
    sides: Vec<Series>,
}

impl Stages {
    fn front(&self, scenario: &Scenario, variant: Variant, region: usize, seed: Option<u64>) -> Front {
        let length = scenario.duration.as_secs_f64();
        let place = &scenario.audience.regions[region];
        let reaches = |regions: &[usize]| regions.is_empty() || regions.contains(&region);
        let signals = scenario.signals.iter().filter(|signal| reaches(&signal.regions));
        let shocks: Vec<Shock> =
            signals.flat_map(|signal| shocks(signal, &scenario.attention, variant.attention)).collect();
        let confounders: Vec<&Confounder> =
            scenario.confounders.iter().filter(|confounder| reaches(&confounder.regions)).collect();
        let base = scenario.audience.base;
        let draw = seed.map(|seed| Draw { seed, region: region as u64, base: base * place.share });
        let level = Level::new(&shocks, &confounders, &scenario.attention, length, draw);

        let start = scenario.start.as_second();
        let week = Week::new(place, start);
        let day = Sinusoid::daily(place, start).scaled(place.share);
        // The day before the scenario is like its first one.
        let normal = day.scaled(base * week.at(0.0));
        let rate = |t: f64| base * day.at(t) * week.at(t) * level.at(Channel::Interest, t);
        let visits = Series::tabulate(normal, length, VISIT_CELLS, rate);
        let metadata = visits.delayed(self.metadata_share, &self.to_metadata, CELLS);
        let starts = metadata.delayed(self.start_share, &self.to_start, CELLS);
        let stops = starts.delayed(self.swarm_share, &self.seeding, CELLS);
        let mut front = Front { day, week, level, visits, metadata, starts, stops, sides: Vec::new() };
        front.sides = scenario.side.iter().map(|side| front.side(&side.rate, length)).collect();
        front
    }
}

impl Front {
    /// Requests per second of side traffic: on the region's daily curve, grown by the excess of the channel that it follows, or behind
    /// the events that it follows.
    fn side(&self, rate: &SideRate, length: f64) -> Series {
        match *rate {
            SideRate::Attention { follows, base, gain } => {
                let normal = self.day.scaled(base * self.week.at(0.0));
                Series::tabulate(normal, length, VISIT_CELLS, |t| {
                    let excess = self.level.at(follows, t) - 1.0;
                    base * self.day.at(t) * self.week.at(t) * (1.0 + gain * excess).max(0.0)
                })
            }
            SideRate::Funnel { follows, each, lag } => {
                let events = match follows {
                    Event::Visit => &self.visits,
                    Event::Metadata => &self.metadata,
                    Event::Start => &self.starts,
                    Event::Stop => &self.stops,
                };
                if lag.median.is_zero() {
                    return Series::tabulate(events.normal().scaled(each), length, VISIT_CELLS, |t| {
                        each * events.at(t)
                    });
                }
                events.delayed(each, &Delay::new(lag), CELLS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Lag, SideTraffic, sample};

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
            peers += flow.swarm.population.integral(86_400.0) / 86_400.0;
        }
        let session = Delay::new(scenario.funnel.session);
        let mean: f64 = session.strata().iter().map(|s| s.weight * s.mean).sum();
        assert!((peers / (starts * mean) - 1.0).abs() < 1e-4);
        // Everybody announces once every interval, the first time not as a re-announce: half an interval of starts is missing.
        let interval = scenario.funnel.announce_interval.as_secs_f64();
        let reannounces: f64 = demand.regions.iter().map(|flow| flow.swarm.reannounces(0.0, 86_400.0)).sum();
        let expected = 86_400.0 * (peers / interval - starts / 2.0);
        assert!((reannounces / expected - 1.0).abs() < 2e-3, "{reannounces}, expected {expected}");
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
            assert!((flow.swarm.population.at(t) / lived - 1.0).abs() < 1e-2);
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
        let [crash, calm] = [&crash.regions[0], &calm.regions[0]];
        assert!(crash.sides[0].at(t) > 2.0 * calm.sides[0].at(t));
        assert!(crash.visits.at(t) < 0.9 * calm.visits.at(t));
    }

    #[test]
    fn side_traffic_follows_the_funnel_with_its_lag() {
        let mut scenario = sample::sample();
        let hour = Duration::from_secs(3600);
        let side = |follows, each, lag| SideTraffic {
            rate: SideRate::Funnel { follows, each, lag: Lag { median: lag, p90: lag } },
            ..sample::sample().side.remove(0)
        };
        scenario.side = vec![side(Event::Visit, 0.3, Duration::ZERO), side(Event::Start, 2.0, hour)];
        let flow = &baseline(&scenario).regions[0];
        for t in [-5000.0, 0.0, 31_234.0, 80_000.0] {
            assert!((flow.sides[0].at(t) / (0.3 * flow.visits.at(t)) - 1.0).abs() < 1e-9);
            assert!((flow.sides[1].at(t) / (2.0 * flow.starts.at(t - 3600.0)) - 1.0).abs() < 0.02, "{t}");
        }
    }
}

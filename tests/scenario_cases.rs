//! The cases and drills that stand for one thing each: the shape of the day, and that thing.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod days;

use std::path::Path;

use days::{CASES, Day, Shape, assert_shapes, shape};
use squall::demand::{Response, Tier, TierChange, feed, tiers};
use squall::plan::Stage;
use squall::scenario::{Metric, Scenario, VariantName, load};

const SHAPES: [Shape; 7] = [
    shape("arbitrage-bots", 14.0..=15.5, 1.1..=1.6, 1.0..=1.2, 1.0..=1.0),
    shape("btfs-gateway", 10.0..=11.0, 2.0..=4.0, 1.0..=1.4, 1.0..=1.0),
    shape("exchange-outage", 13.5..=15.0, 4.0..=9.0, 1.3..=3.0, 1.0..=1.0),
    shape("risk-on", 9.5..=11.5, 1.6..=3.0, 1.2..=2.5, 1.0..=1.0),
    shape("small-move-listing", 15.0..=16.5, 5.0..=10.0, 1.5..=3.5, 1.0..=1.0),
    shape("volume-surge", 10.0..=13.5, 1.6..=3.5, 1.0..=1.4, 1.0..=1.0),
    shape("wallet-inflow", 18.0..=56.0, 1.5..=3.0, 1.1..=2.0, 1.0..=1.0),
];

#[test]
fn every_case_has_the_shape_of_its_story() {
    assert_shapes(&SHAPES);
    assert_eq!(SHAPES.map(|shape| shape.name), CASES);
}

fn scenario(name: &str) -> Scenario {
    load(Path::new(&format!("scenarios/{name}.toml"))).unwrap().scenario
}

fn changes(name: &str) -> Vec<TierChange> {
    tiers(&scenario(name), VariantName::Baseline, 1)
}

/// The highest tier, and the first hour at which it stands.
fn highest(name: &str) -> (Tier, f64) {
    let changes = changes(name);
    let tier = changes.iter().map(|change| change.tier).max().unwrap_or_default();
    let first = changes.iter().find(|change| change.tier == tier);
    (tier, first.map_or(0.0, |change| change.at_seconds / 3600.0))
}

#[test]
fn every_day_calls_for_the_tier_of_its_story() {
    for (name, tier) in [
        ("abuse-spike", Tier::Prepare),
        ("arbitrage-bots", Tier::Watch),
        ("exchange-outage", Tier::Incident),
        ("false-alarm", Tier::Calm),
        ("false-rumour", Tier::Watch),
        ("listing-day", Tier::Scale),
        ("panic", Tier::Prepare),
        ("price-volume-spike", Tier::Scale),
        ("risk-off", Tier::Prepare),
        ("risk-on", Tier::Watch),
        ("small-move-listing", Tier::Scale),
        ("volume-surge", Tier::Watch),
        ("wallet-inflow", Tier::Watch),
    ] {
        assert_eq!(highest(name).0, tier, "{name}");
    }
}

#[test]
fn three_percent_alone_do_nothing_and_a_listing_overwhelms_them() {
    let (alone, listing) = (Day::of("false-alarm"), Day::of("small-move-listing"));
    assert!(alone.peak().1 < 1.02 && listing.peak().1 > 5.0);
    assert!(changes("false-alarm").is_empty());
    // Until the announcement both mornings are the same.
    assert!(listing.uplift(10.9) < 1.02);
    assert_eq!(highest("small-move-listing"), (Tier::Scale, 11.0));
}

#[test]
fn an_outage_makes_a_listing_an_incident_and_the_layers_outside_the_swarm_busy() {
    assert_eq!(highest("exchange-outage").0, Tier::Incident);
    let (_, hour) = highest("exchange-outage");
    assert!((hour - 13.0 - 1.0 / 3.0).abs() < 1e-9, "{hour}");
    let changes = changes("exchange-outage");
    let incident = changes.iter().find(|change| change.tier == Tier::Incident).unwrap();
    assert_eq!(incident.response, Response::Expand);
    let day = Day::of("exchange-outage");
    let flow = &day.event.demand().regions[0];
    let calls = |t: f64| flow.sides[1].at(t) + flow.sides[2].at(t);
    assert!(calls(14.0 * 3600.0) > 1.2 * flow.visits.at(14.0 * 3600.0));
}

#[test]
fn bots_load_the_index_and_not_the_swarm() {
    let day = Day::of("arbitrage-bots");
    let more = |stage| {
        day.top(stage) / day.hours().map(|hour| day.normal.expected(stage, hour * 3600.0)).fold(0.0, f64::max)
    };
    assert!(
        more(Stage::Index) > 2.0 && more(Stage::Metadata) > 2.0,
        "{} {}",
        more(Stage::Index),
        more(Stage::Metadata)
    );
    assert!(more(Stage::Pieces) < 1.4, "{}", more(Stage::Pieces));
}

#[test]
fn a_torn_feed_shows_a_surge_later_than_it_is_felt() {
    let torn = scenario("volume-surge");
    let whole = Scenario { feed_faults: Vec::new(), ..torn.clone() };
    let seen = |scenario: &Scenario, seed| {
        feed(scenario, seed).find(|it| it.metric == Metric::Volume).map(|it| it.seen.as_secs() / 60)
    };
    assert_eq!(seen(&whole, 1), Some(600));
    let times: Vec<Option<u64>> = (0..60).map(|seed| seen(&torn, seed)).collect();
    assert!(times.iter().flatten().all(|minute| *minute == 640));
    // Two chances in three... of each fault on its own.
    let lost = times.iter().filter(|time| time.is_none()).count();
    assert!((8..=32).contains(&lost), "{lost} of 60 lost");
    assert!(Day::of("volume-surge").uplift(10.6) > 1.4);
}

#[test]
fn wallets_fill_before_anybody_talks() {
    let day = Day::of("wallet-inflow");
    assert!(day.uplift(19.0) > 1.4);
    let first = &changes("wallet-inflow")[0];
    assert_eq!(
        (first.tier, first.at_seconds, first.driver),
        (Tier::Watch, 20.0 * 3600.0, Some("organic chatter"))
    );
    assert_eq!(first.assessment.confirming, ["wallets"]);
}

#[test]
fn a_market_that_turns_lifts_every_region_alike() {
    let day = Day::of("risk-on");
    let level = |region: usize| {
        let regions =
            [&day.event, &day.normal].map(|plan| plan.demand().regions[region].visits.at(34.0 * 3600.0));
        regions[0] / regions[1]
    };
    for region in 0..3 {
        assert!(
            (level(region) / level(0) - 1.0).abs() < 0.35,
            "{region}: {} against {}",
            level(region),
            level(0)
        );
    }
}

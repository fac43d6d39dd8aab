//! Every scenario of the library has the shape that its story says: when visits are highest, how far above a normal day, and what is left.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod days;

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use std::sync::Arc;

use days::{CASES, Day, SEED, Shape, assert_shapes, shape};
use squall::plan::{Plan, Stage};
use squall::scenario::{Channel, Scenario, VariantName};

/// Transfers a second that the testbed serves on two cores beside the generator.
const TESTBED: f64 = 8.0;

const ANY_HOUR: RangeInclusive<f64> = 0.0..=1000.0;

const SHAPES: [Shape; 15] = [
    shape("abuse-spike", 11.6..=12.1, 2.8..=3.6, 1.0..=1.25, 1.0..=1.0),
    shape("creator-campaign", 18.1..=18.4, 3.4..=4.5, 1.2..=1.5, 1.0..=1.0),
    shape("false-alarm", ANY_HOUR, 1.0..=1.015, 0.985..=1.015, 0.975..=1.0),
    shape("false-rumour", 9.3..=9.8, 1.5..=2.0, 0.95..=1.1, 0.95..=1.0),
    shape("listing-day", 36.3..=37.7, 6.5..=8.7, 1.7..=2.3, 1.0..=1.0),
    shape("lockstep-restart", ANY_HOUR, 1.0..=1.0, 1.0..=1.0, 1.0..=1.0),
    shape("long-tail-echoes", 61.5..=64.0, 7.7..=10.5, 1.2..=1.55, 1.0..=1.0),
    shape("official-promotion", 2.2..=15.7, 1.35..=1.7, 1.0..=1.1, 1.0..=1.0),
    shape("organic-chatter", 31.5..=33.5, 2.7..=3.7, 2.1..=2.8, 1.0..=1.0),
    shape("panic", 19.3..=20.0, 1.1..=1.45, 0.95..=1.25, 0.25..=0.4),
    shape("price-volume-persist", 33.3..=45.5, 2.1..=2.8, 1.25..=1.7, 1.0..=1.0),
    shape("price-volume-spike", 11.6..=12.1, 3.3..=4.4, 1.05..=1.4, 1.0..=1.0),
    shape("risk-off", 33.8..=34.6, 1.8..=2.4, 1.15..=1.5, 0.65..=0.85),
    shape("seeder-exodus", 9.3..=11.8, 2.2..=2.9, 1.1..=1.4, 1.0..=1.0),
    shape("tracker-brownout", 14.3..=14.8, 6.9..=9.2, 1.65..=2.25, 1.0..=1.0),
];

#[test]
fn every_scenario_has_the_shape_of_its_story() {
    assert_shapes(&SHAPES);
}

/// What makes each story the one that it is, beside its curve of visits.
impl Day {
    fn expected(&self, stage: Stage, hour: f64) -> f64 {
        self.event.expected(stage, hour * 3600.0)
    }

    /// A level of attention in the first region, 1 on a normal day.
    fn level(&self, channel: Channel, hour: f64) -> f64 {
        self.event.demand().regions[0].level.at(channel, hour * 3600.0)
    }

    /// The same day, changed.
    fn but(&self, change: impl FnOnce(&mut Scenario)) -> Plan {
        let mut scenario = self.event.scenario().as_ref().clone();
        change(&mut scenario);
        Plan::new(Arc::new(scenario), VariantName::Baseline, SEED)
    }
}

#[test]
fn in_a_panic_concern_rises_while_interest_falls() {
    let day = Day::of("panic");
    for hour in [8.0, 14.0] {
        let (concern, interest) = (day.level(Channel::Concern, hour), day.level(Channel::Interest, hour));
        assert!(concern > 2.0 && interest < 0.7, "{hour} h: concern {concern}, interest {interest}");
        // The index layer is busier, everything behind it is not.
        assert!(day.expected(Stage::Index, hour) > 2.0 * day.normal.expected(Stage::Index, hour * 3600.0));
        assert!(day.expected(Stage::Metadata, hour) < day.normal.expected(Stage::Metadata, hour * 3600.0));
    }
}

#[test]
fn chatter_rises_for_a_day_before_its_peak_and_never_jumps() {
    let day = Day::of("organic-chatter");
    let rise = [8.0, 14.0, 20.0, 26.0, 32.0].map(|hour| day.uplift(hour));
    assert!(rise.is_sorted_by(|a, b| 1.08 * a < *b), "{rise:?}");
    let steepest =
        day.hours().take_while(|hour| *hour < 40.0).map(|hour| day.uplift(hour + 1.0) / day.uplift(hour));
    let steepest = steepest.fold(0.0, f64::max);
    assert!(steepest < 1.35, "{steepest} in an hour");
}

#[test]
fn a_listing_echoes_seven_and_fourteen_days_later() {
    let day = Day::of("long-tail-echoes");
    let signals = &day.event.scenario().signals;
    let again = signals.iter().find(|signal| !signal.echoes.is_empty()).unwrap();
    let hours = |moment: std::time::Duration| moment.as_secs_f64() / 3600.0;
    let delays: Vec<f64> = again.echoes.iter().map(|echo| hours(echo.delay)).collect();
    assert_eq!(delays, [7.0 * 24.0, 14.0 * 24.0]);
    let rises: Vec<f64> = delays
        .iter()
        .map(|delay| hours(again.at) + delay)
        .map(|echo| day.uplift(echo + 4.0) / day.uplift(echo - 0.5))
        .collect();
    assert!(rises[0] > 1.04 && rises[1] > 1.02, "{rises:?}");
}

#[test]
fn the_exchanges_campaign_is_not_the_creators_success() {
    let day = Day::of("creator-campaign");
    let neither = day.but(|scenario| {
        scenario.signals.clear();
        scenario.confounders.clear();
    });
    let visits = |plan: &Plan, hour: f64| -> f64 {
        plan.demand().regions.iter().map(|flow| flow.visits.at(hour * 3600.0)).sum()
    };
    let campaign = &day.event.scenario().confounders[0];
    let middle = (campaign.at + campaign.duration / 2).as_secs_f64() / 3600.0;
    let raised = visits(&day.normal, middle) / visits(&neither, middle);
    assert!((1.05..1.0 + campaign.factor).contains(&raised), "{raised} without the creator");
    let (_, credited) = day.peak();
    let at_once =
        day.hours().map(|hour| visits(&day.event, hour) / visits(&neither, hour)).fold(0.0, f64::max);
    assert!(at_once > 1.05 * credited, "{at_once} in all, {credited} of it the creator's");
}

#[test]
fn a_herd_in_lockstep_comes_again_with_every_interval() {
    let day = Day::of("lockstep-restart");
    let restart = day.event.scenario().restarts[0].clone();
    let interval = day.event.scenario().funnel.announce_interval.as_secs_f64();
    let at = |offset: f64| (restart.at.as_secs_f64() + restart.over.as_secs_f64() / 2.0 + offset) / 3600.0;
    let first = day.expected(Stage::Announce, at(0.0));
    for k in 0..6 {
        let offset = f64::from(k) * interval;
        let (tooth, gap) = (
            day.expected(Stage::Announce, at(offset)),
            day.expected(Stage::Announce, at(offset + interval / 2.0)),
        );
        assert!(
            tooth > 20.0 * gap && tooth > 0.5 * first,
            "tooth {k}: {tooth}, then {gap}; the first {first}"
        );
    }
    // Visits say nothing.
    assert!(day.hours().all(|hour| (day.uplift(hour) - 1.0).abs() < 1e-9));
}

#[test]
fn seeds_leave_and_the_tracker_hears_of_it() {
    let day = Day::of("seeder-exodus");
    let stayed = day.but(|scenario| scenario.exoduses.clear());
    let exodus = &day.event.scenario().exoduses[0];
    let (at, over) = (exodus.at.as_secs_f64(), exodus.over.as_secs_f64());
    let demand = day.event.demand();
    let left = demand.seeds.at(at + over + 120.0) / demand.seeds.at(at - 120.0);
    assert!((left - (1.0 - exodus.share)).abs() < 0.15, "{left} of the seeds are left");
    // Those who download do not leave with them.
    let leechers = demand.leechers.at(at + over) / stayed.demand().leechers.at(at + over);
    assert!(leechers > 0.99, "{leechers} of the leechers are left");
    assert!(demand.population(at + over + 300.0) < 0.8 * stayed.demand().population(at + over + 300.0));
    // The stops are announces.
    let during = (at + over / 2.0) / 3600.0;
    assert!(day.expected(Stage::Announce, during) > 1.5 * stayed.expected(Stage::Announce, at + over / 2.0));
}

#[test]
fn a_brownout_holds_while_more_comes_than_is_served() {
    let day = Day::of("tracker-brownout");
    let scenario = day.event.scenario();
    let [fault] = &scenario.faults[..] else { panic!("{:?}", scenario.faults) };
    let hours = |moment: std::time::Duration| moment.as_secs_f64() / 3600.0;
    let (begins, ends) = (hours(fault.at), hours(fault.at + fault.lasts));
    let served = fault.limits.rate.unwrap();
    for hour in [begins, (begins + ends) / 2.0, ends] {
        let announces = day.expected(Stage::Announce, hour);
        assert!(announces > 1.5 * served, "{announces}/s at {hour} h");
    }
    // It moves no demand.
    let without = day.but(|scenario| scenario.faults.clear());
    assert_eq!(without.expected(Stage::Announce, 17.0 * 3600.0), day.expected(Stage::Announce, 17.0));
}

#[test]
fn abuse_hides_in_a_spike_and_ends_before_it() {
    let day = Day::of("abuse-spike");
    let honest = day.but(|scenario| scenario.abuse.clear());
    let share =
        |stage: Stage, hour: f64| 1.0 - honest.expected(stage, hour * 3600.0) / day.expected(stage, hour);
    let index = [11.4, 14.0, 16.5].map(|hour| share(Stage::Index, hour));
    let announce = [12.5, 14.0, 16.5].map(|hour| share(Stage::Announce, hour));
    assert!(index[0].abs() < 1e-9 && (0.5..0.9).contains(&index[1]) && index[2].abs() < 1e-9, "{index:?}");
    // Four times what the real clients announce.
    assert!(
        announce[0].abs() < 1e-9 && (0.72..0.85).contains(&announce[1]) && announce[2].abs() < 1e-9,
        "{announce:?}"
    );
    // The crowd is still there.
    assert!(day.uplift(16.5) > 1.15, "{}", day.uplift(16.5));
}

#[test]
fn a_price_move_alone_moves_no_stage() {
    let day = Day::of("false-alarm");
    for stage in Stage::ALL {
        let off = day
            .hours()
            .map(|hour| day.expected(stage, hour) / day.normal.expected(stage, hour * 3600.0) - 1.0);
        let off = off.map(f64::abs).fold(0.0, f64::max);
        assert!(off < 0.05, "{}: {off}", stage.name());
    }
    assert_eq!(day.event.explain(), None);
}

#[test]
fn every_shipped_scenario_has_a_shape_and_suits_the_testbed() {
    let files = fs::read_dir("scenarios").unwrap().map(|entry| entry.unwrap().path());
    let names: BTreeSet<String> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let told = SHAPES.iter().map(|shape| shape.name).chain(CASES);
    assert_eq!(names, told.map(str::to_owned).collect());
    for name in names {
        let day = Day::of(&name);
        assert_eq!(day.event.scenario().name, name);
        assert!(day.top(Stage::Pieces) <= TESTBED, "{name}: {} transfers a second", day.top(Stage::Pieces));
        assert_eq!(day.event.length().as_secs(), 60, "{name}");
    }
}

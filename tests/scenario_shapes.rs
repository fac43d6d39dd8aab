//! Every scenario of the library has the shape that its story says: when visits are highest, how far above a normal day, and what is left.
#![allow(clippy::unwrap_used, reason = "clippy sees the helpers of an integration test as ordinary code")]

mod days;

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;

use days::{CASES, Day, Shape, assert_shapes, shape};
use squall::plan::Stage;

/// Transfers a second that the testbed serves on two cores beside the generator.
const TESTBED: f64 = 8.0;

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
    assert_shapes(&SHAPES);
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

//! Saturation in synthetic seconds and recordings, where the truth is known.

use std::collections::BTreeMap;
use std::time::Duration;

use super::onset::{calm, carried, episodes};
use super::series::Second;
use super::*;
use crate::drive::{Event, Settled};
use crate::record::synthetic::{Seen, observation, operation, recording};
use crate::unit::Tick;

/// A layer of a capacity under a load, fluid: what exceeds it waits, and is served later.
fn queue(capacity: f64, load: impl Fn(usize) -> f64, length: usize) -> Vec<Second> {
    let mut waiting = 0.0;
    (0..length)
        .map(|at| {
            let offered = load(at);
            let good = capacity.min(waiting + offered);
            waiting += offered - good;
            // Ten milliseconds of service, and the wait.
            let time = good * (0.01 + waiting / capacity);
            Second { offered, good, bad: 0.0, under_way: waiting + 0.01 * offered, time, bytes: good * 100.0 }
        })
        .collect()
}

fn ramp(at: usize) -> f64 {
    20.0 * at as f64
}

#[test]
fn a_ramp_over_a_capacity_is_found_where_they_meet() {
    let seconds = queue(1000.0, ramp, 100);
    let found = episodes(&seconds, calm(&seconds).unwrap());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!((48..=53).contains(&found[0].from) && !found[0].recovered, "{found:?}");
    let carried = carried(&seconds, found[0]).unwrap();
    assert!(
        (carried.good / 1000.0 - 1.0).abs() < 0.01 && (carried.bytes / 1e5 - 1.0).abs() < 0.01,
        "{carried:?}"
    );
}

#[test]
fn a_layer_that_keeps_up_is_never_behind() {
    let seconds = queue(3000.0, ramp, 100);
    assert_eq!(episodes(&seconds, calm(&seconds).unwrap()), []);
    // Nor where the rate falls to nothing at once.
    let seconds = queue(3000.0, |at| if at < 50 { 2000.0 } else { 1.0 }, 100);
    assert_eq!(episodes(&seconds, calm(&seconds).unwrap()), []);
}

#[test]
fn a_layer_that_is_behind_from_the_beginning_is_found() {
    let seconds = queue(1000.0, |_| 1200.0, 60);
    let found = episodes(&seconds, calm(&seconds).unwrap());
    assert!(found.len() == 1 && found[0].from < 10, "{found:?}");
    assert!((carried(&seconds, found[0]).unwrap().good - 1000.0).abs() < 1.0);
}

#[test]
fn a_burst_ends_when_the_backlog_is_gone() {
    // 10 s of half as much again leave 5,000 waiting: 25 s at 800/s.
    let seconds = queue(1000.0, |at| if (30..40).contains(&at) { 1500.0 } else { 800.0 }, 120);
    let found = episodes(&seconds, calm(&seconds).unwrap());
    assert!(found.len() == 1 && found[0].recovered, "{found:?}");
    assert!((29..=31).contains(&found[0].from) && (62..=68).contains(&found[0].until), "{found:?}");
}

#[test]
fn goodput_that_collapses_does_not_hide_what_was_carried_before() {
    let mut seconds = queue(1000.0, ramp, 100);
    seconds[65..].iter_mut().for_each(|second| (second.good, second.bad) = (50.0, 950.0));
    let found = episodes(&seconds, calm(&seconds).unwrap());
    let carried = carried(&seconds, found[0]).unwrap();
    assert!((carried.good / 1000.0 - 1.0).abs() < 0.02, "{carried:?}");
}

#[test]
fn what_fails_at_every_rate_alike_is_no_matter_of_load() {
    let lossy = |at: usize| {
        let offered = 100.0 + ramp(at);
        let bad = (offered * 0.05_f64).round();
        Second {
            offered,
            good: offered - bad,
            bad,
            under_way: 0.01 * offered,
            time: 0.01 * offered,
            bytes: 0.0,
        }
    };
    let seconds: Vec<Second> = (0..100).map(lossy).collect();
    let calm = calm(&seconds).unwrap();
    assert!((calm.failing - 0.05).abs() < 0.005, "{calm:?}");
    assert_eq!(episodes(&seconds, calm), []);
    // A limit that turns away what exceeds it fails the more the more is asked.
    let limited = |at: usize| {
        let offered = 100.0 + ramp(at);
        let good = offered.min(300.0);
        Second { offered, good, bad: offered - good, under_way: 0.01 * good, time: 0.01 * good, bytes: 0.0 }
    };
    let seconds: Vec<Second> = (0..100).map(limited).collect();
    let calm = super::onset::calm(&seconds).unwrap();
    assert_eq!(calm.failing, 0.0);
    let found = episodes(&seconds, calm);
    assert!((9..=12).contains(&found[0].from), "{found:?}");
    assert!((carried(&seconds, found[0]).unwrap().good - 300.0).abs() < 1.0);
}

/// Poisson arrivals at 90 % of M/M/1, where backlogs of a hundred come and go: no alarm in any of many runs, or hardly ever.
#[test]
fn a_busy_queue_raises_no_alarm() {
    use rand::SeedableRng;
    use rand_distr::{Distribution, Exp1};
    let alarms = (0..50).filter(|seed| {
        let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(*seed);
        let (rate, capacity, length) = (450.0, 500.0, 120);
        let mut seconds = vec![Second::default(); length];
        let (mut clock, mut free) = (0.0_f64, 0.0_f64);
        let mut ends = Vec::new();
        loop {
            let gap: f64 = Exp1.sample(&mut rng);
            let service: f64 = Exp1.sample(&mut rng);
            clock += gap / rate;
            if clock >= length as f64 {
                break;
            }
            free = free.max(clock) + service / capacity;
            seconds[clock as usize].offered += 1.0;
            ends.push((clock, free));
        }
        for (begin, end) in ends {
            if let Some(second) = seconds.get_mut(end as usize) {
                second.good += 1.0;
                second.time += end - begin;
            }
            (begin as usize..(end as usize).min(length)).for_each(|at| seconds[at].under_way += 1.0);
        }
        !episodes(&seconds, calm(&seconds).unwrap()).is_empty()
    });
    assert!(alarms.count() <= 1);
}

#[test]
fn a_layer_that_falls_behind_with_the_generator_is_not_to_blame() {
    let mut trouble = vec![false; 100];
    (40..45).for_each(|second| trouble[second] = true);
    assert_eq!(whose(&trouble, 30), Limit::Target);
    assert_eq!(whose(&trouble, 39), Limit::Undetermined, "both at once");
    assert_eq!(whose(&trouble, 43), Limit::Generator);
    assert_eq!(whose(&trouble, 47), Limit::Generator);
    assert_eq!(whose(&trouble, 60), Limit::Target, "the generator has come back long before");
    assert_eq!(whose(&trouble, 100), Limit::Target);
}

/// Operations that come evenly, so many in each of these seconds, and how each ends by its second and its number there.
fn asked(kind: Kind, rates: &[u64], how: impl Fn(usize, u64) -> (u64, Settled)) -> Vec<Seen> {
    let end = Tick::from_millis(rates.len() as u64 * 1000);
    let due = |(second, rate): (usize, &u64)| {
        let rate = *rate;
        (0..rate).map(move |number| {
            (second, number, Tick::from_millis(second as u64 * 1000 + number * 1000 / rate))
        })
    };
    let one = |(second, number, due): (usize, u64, Tick)| {
        let (millis, settled) = how(second, number);
        match due + Duration::from_millis(millis) {
            late if late >= end => operation(observation(kind, due, due, end, Settled::Cut)),
            ended => operation(observation(kind, due, due, ended, settled)),
        }
    };
    rates.iter().enumerate().flat_map(due).map(one).collect()
}

fn recorded(operations: &[Seen], seconds: usize) -> Recording {
    let mut recording = recording(operations, seconds as u64);
    recording.manifest.length = Duration::from_secs(seconds as u64);
    recording
}

fn found_in(recording: &Recording) -> Vec<LayerSaturation> {
    saturation(recording, &Samples::of(recording), &BTreeMap::new())
}

/// What becomes of a tracker that is asked so much.
fn tracker(rates: &[u64], how: impl Fn(usize, u64) -> (u64, Settled)) -> SaturationFinding {
    let mut found = found_in(&recorded(&asked(Kind::Announce, rates, how), rates.len()));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).finding
}

const REFUSED: Settled = Settled::Failed(Cause::Overloaded);

#[test]
fn a_layer_that_never_does_anything_well_is_not_passed_over() {
    let all = SaturationFinding::Failing { at_seconds: 0, share: 1.0 };
    assert_eq!(tracker(&[50; 30], |_, _| (5, REFUSED)), all, "refused");
    assert_eq!(tracker(&[50; 30], |_, _| (60_000, REFUSED)), all, "under way until the end");
    let rising: Vec<u64> = (1..=30).map(|second| 10 * second).collect();
    assert_eq!(tracker(&rising, |_, _| (5, REFUSED)), all, "refused at any rate");
    assert_eq!(tracker(&[50], |_, _| (5, Settled::Ok)), SaturationFinding::NotReached, "a single second");
    // Nothing was asked of the others, and nothing is known of them.
    assert_eq!(found_in(&recorded(&[], 30)), []);
}

#[test]
fn a_layer_that_collapses_carries_what_it_did_until_then() {
    let rates: Vec<u64> = (0..40).map(|second| if second < 20 { 100 } else { 150 }).collect();
    let how = |second, _| if second < 20 { (5, Settled::Ok) } else { (5, REFUSED) };
    let SaturationFinding::Saturated(seen) = tracker(&rates, how) else { panic!("it was asked more") };
    assert_eq!((seen.at_seconds, seen.offered_per_second, seen.capacity_per_second), (20, 150.0, 100.0));
    assert_eq!(seen.capacity_bytes_per_second, 100_000.0);
    let slumped = tracker(&[100; 40], how);
    assert!(
        matches!(slumped, SaturationFinding::Slumped { at_seconds: 20, .. }),
        "at the same rate: {slumped:?}"
    );
}

#[test]
fn what_the_generator_failed_at_is_no_share_of_the_layers_failures() {
    let how = |second: usize, number: u64| match (second, number % 10) {
        (0, _) => (5, Settled::Failed(Cause::Local)),
        (_, 1) => (5, REFUSED),
        _ => (5, Settled::Ok),
    };
    let rates: Vec<u64> = [5000].into_iter().chain((6..100).map(|second| 10 * second)).collect();
    let SaturationFinding::Failing { at_seconds, share } = tracker(&rates, how) else {
        panic!("a tenth fails")
    };
    assert!(at_seconds == 1 && (share - 0.1).abs() < 1e-3, "{share} since {at_seconds} s");
}

#[test]
fn what_comes_when_it_is_sent_again_was_lost_before() {
    // One in ten is answered at the second try, after the fifteen seconds of BEP 15.
    let rates: Vec<u64> = (0..60).map(|second| 50 + 10 * second).collect();
    let how = |_, number: u64| (if number % 10 == 1 { 15_005 } else { 5 }, Settled::Ok);
    let mut operations = asked(Kind::Announce, &rates, how);
    let found = |operations: &[Seen]| found_in(&recorded(operations, 60)).remove(0).finding;
    assert_eq!(found(&operations), SaturationFinding::NotReached, "slow is not lost");
    again(&mut operations);
    let SaturationFinding::Lossy { at_seconds, share, limit } = found(&operations) else {
        panic!("a tenth is lost")
    };
    assert!(at_seconds == 0 && (share - 0.1 / 1.1).abs() < 0.005, "{share} since {at_seconds} s");
    assert_eq!(limit, Limit::Target);
    // What is beyond 300/s, however much that is, has to ask again.
    let how = |_, number: u64| (if number >= 300 { 15_005 } else { 5 }, Settled::Ok);
    let mut beyond = asked(Kind::Announce, &rates, how);
    again(&mut beyond);
    let beyond = found(&beyond);
    assert!(!matches!(beyond, SaturationFinding::Lossy { .. }), "{beyond:?}");
}

/// Has what took fifteen seconds been asked for twice.
fn again(operations: &mut [Seen]) {
    for (_, event) in operations.iter_mut().flatten() {
        if let Event::Settled(seen) = event
            && seen.ended.since(seen.due) > Duration::from_secs(15)
        {
            seen.retransmits = 1;
        }
    }
}

#[test]
fn what_other_visitors_refuse_tells_nothing_of_the_seedbox() {
    let rates: Vec<u64> = (0..60).map(|second| 50 + 10 * second).collect();
    let refused = (5, Settled::Failed(Cause::Visitors));
    let found = |how: &dyn Fn(usize, u64) -> (u64, Settled)| {
        let found = found_in(&recorded(&asked(Kind::Handshake, &rates, how), 60));
        found.into_iter().next().map(|seedbox| seedbox.finding)
    };
    let of_thirty = |_, number: u64| if number % 10 < 3 { refused } else { (5, Settled::Ok) };
    assert_eq!(found(&of_thirty), Some(SaturationFinding::NotReached), "alike at every rate");
    let more_and_more =
        |second, number: u64| if number > 100 && second > 20 { refused } else { (5, Settled::Ok) };
    assert_eq!(found(&more_and_more), Some(SaturationFinding::NotReached), "the more the more there are");
    let all_but_the_last = |second, _| if second < 59 { refused } else { (60_000, Settled::Ok) };
    assert_eq!(found(&all_but_the_last), None, "it was never asked");
}

#[test]
fn who_hangs_or_fails_at_first_does_not_only_take_longer() {
    let hangs = tracker(&[20; 60], |second, _| (if second < 5 { 5 } else { 100_000 }, Settled::Ok));
    assert!(hangs.at_seconds().is_some_and(|at| at <= 6), "{hangs:?}");
    // Twice what it carries for half a minute, of which half is refused, and slow ever after.
    let rates: Vec<u64> = (0..200).map(|second| if (30..60).contains(&second) { 200 } else { 80 }).collect();
    let how = |second, number: u64| match second {
        0..30 => (5, Settled::Ok),
        30..60 if number % 2 == 1 => (5, REFUSED),
        _ => (505, Settled::Ok),
    };
    let slow = tracker(&rates, how);
    assert!(matches!(slow, SaturationFinding::Saturated(_)), "{slow:?}");
}

#[test]
fn stages_that_are_driven_by_themselves_shield_nobody() {
    let rising: Vec<u64> = (1..=40).map(|second| 5 * second).collect();
    let mut operations = asked(Kind::Announce, &rising, |_, _| (5, REFUSED));
    operations.extend(asked(Kind::Lookup, &rising, |_, _| (5, Settled::Ok)));
    operations.extend(asked(Kind::Handshake, &rising, |_, _| (5, Settled::Ok)));
    let mut recording = recorded(&operations, 40);
    let came: u64 = rising.iter().sum();
    recording.manifest.planned =
        [(Kind::Announce, came), (Kind::Lookup, came * 2), (Kind::Handshake, came)].into();
    let of = |recording: &Recording| {
        let found = found_in(recording);
        [Layer::Dht, Layer::Seedbox]
            .map(|layer| found.iter().find(|it| it.layer == layer).unwrap().finding.clone())
    };
    let shielded = |arrived_share| SaturationFinding::Shielded { by: Layer::Tracker, arrived_share };
    assert_eq!(of(&recording), [shielded(0.5), shielded(1.0)]);
    recording.manifest.isolated = true;
    assert_eq!(of(&recording), [SaturationFinding::NotReached, SaturationFinding::NotReached]);
}

#[test]
fn a_layer_that_is_slow_and_loses_nothing_is_not_called_saturated() {
    // Two seconds later from the thirtieth on, while the rate doubles.
    let rates: Vec<u64> = (0..90).map(|second| 100 + 2 * second.max(20)).collect();
    let slow = tracker(&rates, |second, _| (if second < 30 { 5 } else { 2005 }, Settled::Ok));
    assert_eq!(slow, SaturationFinding::NotReached, "{slow:?}");
    // Nor where the rate stays the same.
    let how = |millis: u64| move |second, _| (if second < 30 { 5 } else { millis }, Settled::Ok);
    let slow = tracker(&[100; 90], how(2005));
    assert_eq!(slow, SaturationFinding::NotReached, "{slow:?}");
    let late = tracker(&[100; 40], how(2005));
    assert!(
        matches!(late, SaturationFinding::Saturated(_)),
        "too short to tell that no more will wait: {late:?}"
    );
    // One that carries 80 of 100 lets a fifth more wait each second.
    let behind = |second: usize, number| (5 + (second as u64 * 1000 + number * 10) / 4, Settled::Ok);
    let behind = tracker(&[100; 90], behind);
    assert!(matches!(behind, SaturationFinding::Saturated(_)), "{behind:?}");
}

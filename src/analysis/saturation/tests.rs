//! Saturation in synthetic seconds, where the truth is known.

use super::onset::{calm, carried, episodes};
use super::series::Second;

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
    use super::{Limit, whose};
    let mut trouble = vec![false; 100];
    (40..45).for_each(|second| trouble[second] = true);
    assert_eq!(whose(&trouble, 30), Limit::Target);
    assert_eq!(whose(&trouble, 39), Limit::Undetermined, "both at once");
    assert_eq!(whose(&trouble, 43), Limit::Generator);
    assert_eq!(whose(&trouble, 47), Limit::Generator);
    assert_eq!(whose(&trouble, 60), Limit::Target, "the generator has come back long before");
    assert_eq!(whose(&trouble, 100), Limit::Target);
}

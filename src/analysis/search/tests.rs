use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::analysis::Fault;

fn options() -> Options {
    Options {
        slo: Slo { quantile: 0.99, limit: Duration::from_millis(250), errors: 0.01 },
        first: 20.0,
        ceiling: 50_000.0,
        trial: Duration::from_secs(5),
        precision: 0.05,
        overload: Some(Duration::from_secs(1)),
        budget: None,
    }
}

fn kept() -> Measured {
    Measured {
        offered_per_second: 0.0,
        goodput_per_second: 1.0,
        served_share: 1.0,
        quantile_seconds: Some(0.01),
        error_share: 0.0,
        backlog_per_second: 0.0,
        operations_per_visitor: 1.0,
        generator_faults: Vec::new(),
        limit: None,
    }
}

fn failed(limit: Limit) -> Measured {
    Measured { served_share: 0.9, limit: Some(limit), ..kept() }
}

/// Searches a layer that answers like this; what was found, and every trial.
fn searched(options: Options, mut answer: impl FnMut(&Trial, usize) -> Measured) -> (Found, Vec<Trial>) {
    let mut search = Search::new(options);
    let mut trials = Vec::new();
    while let Some(trial) = search.next_trial() {
        let measured = answer(&trial, trials.len());
        search.take(&trial, &measured);
        trials.push(trial);
        assert!(trials.len() < 200, "it has no end");
    }
    (search.found(), trials)
}

/// A layer that keeps every rate up to its capacity.
fn up_to(capacity: f64, limit: Limit) -> impl FnMut(&Trial, usize) -> Measured {
    move |trial, _| if trial.judged.rate <= capacity { kept() } else { failed(limit) }
}

#[test]
fn the_stages_follow_one_another() {
    let (found, trials) = searched(options(), up_to(100.0, Limit::Latency));
    use Purpose::{Bisect, Confirm, Probe, Recover, Rise, Settle};
    let mut purposes: Vec<Purpose> = trials.iter().map(|trial| trial.purpose).collect();
    purposes.dedup();
    assert_eq!(purposes, [Probe, Rise, Settle, Bisect, Confirm, Recover]);
    let rates = |of: Purpose| {
        let of = trials.iter().filter(move |trial| trial.purpose == of);
        of.map(|trial| trial.judged.rate).collect::<Vec<_>>()
    };
    assert_eq!(rates(Rise), [40.0, 80.0, 160.0, 160.0], "what fails is repeated");
    assert_eq!(rates(Settle), [80.0]);
    assert_eq!((found.stopped_by, found.confirmed, found.at_least), (Stopped::Latency, true, false));
    assert_eq!(found.recovery, Recovery::NoHysteresis);
    let judged =
        |of: Purpose| trials.iter().rfind(|trial| trial.purpose == of).unwrap().judged.lasts.as_secs();
    assert_eq!((judged(Rise), judged(Bisect), judged(Confirm)), (5, 10, 15));
    let recover = trials.last().unwrap();
    let overload = recover.before[0];
    assert_eq!(overload.rate, 2.0 * found.capacity_per_second.unwrap());
    assert_eq!((overload.lasts.as_secs(), recover.before[1].lasts.as_secs()), (1, 20));
}

proptest! {
    #[test]
    fn the_capacity_of_a_sharp_edge_is_found(capacity in 2.6..45_000.0f64, precision in 0.01..0.2f64) {
        let (found, _) = searched(Options { precision, ..options() }, up_to(capacity, Limit::Errors));
        let seen = found.capacity_per_second.unwrap();
        prop_assert!(seen <= capacity && capacity <= seen * (1.0 + precision), "{seen} for {capacity}");
        prop_assert!(found.confirmed && found.stopped_by == Stopped::Errors);
        prop_assert!(found.failed_at_per_second.unwrap() > capacity);
    }

    /// One trial in seven fails for no reason: a majority hardly ever does.
    #[test]
    fn a_hiccup_now_and_then_moves_nothing(capacity in 100.0..10_000.0f64, phase in 0..7usize) {
        let mut edge = up_to(capacity, Limit::Latency);
        let (found, _) = searched(options(), |trial, number| match edge(trial, number) {
            kept if kept.limit.is_none() && number % 7 == phase => failed(Limit::Latency),
            measured => measured,
        });
        let seen = found.capacity_per_second.unwrap();
        prop_assert!(seen <= capacity && capacity <= seen * 1.05, "{seen} for {capacity}");
        prop_assert_eq!(found.recovery, Recovery::NoHysteresis);
    }

    #[test]
    fn a_budget_is_kept(capacity in 2.6..10_000.0f64, seconds in 1..300u64) {
        let budget = Duration::from_secs(seconds);
        let options = Options { budget: Some(budget), ..options() };
        let (found, trials) = searched(options, up_to(capacity, Limit::Latency));
        prop_assert!(trials.iter().map(Trial::length).sum::<Duration>() <= budget);
        prop_assert!(found.confirmed || found.stopped_by == Stopped::Budget && found.at_least);
        prop_assert!(found.capacity_per_second.is_none_or(|seen| seen <= capacity));
    }
}

#[test]
fn what_is_not_there_is_unreachable() {
    let nothing = |_: &Trial, _: usize| Measured {
        goodput_per_second: 0.0,
        served_share: 0.0,
        quantile_seconds: None,
        ..failed(Limit::Errors)
    };
    let (found, trials) = searched(options(), nothing);
    assert_eq!((found.stopped_by, found.capacity_per_second, trials.len()), (Stopped::Unreachable, None, 1));
    let (found, trials) = searched(options(), |_, _| failed(Limit::Latency));
    assert_eq!((found.stopped_by, found.capacity_per_second), (Stopped::Unreachable, None));
    assert!(trials.iter().any(|trial| trial.judged.rate < 3.0), "it was asked for little");
}

#[test]
fn a_ceiling_and_a_generator_say_at_least() {
    let options_of = |ceiling| Options { ceiling, ..options() };
    let (found, trials) = searched(options_of(500.0), |_, _| kept());
    assert_eq!(
        (found.stopped_by, found.capacity_per_second, found.at_least),
        (Stopped::Ceiling, Some(500.0), true)
    );
    assert!(found.confirmed && found.failed_at_per_second.is_none());
    assert!(trials.iter().flat_map(Trial::segments).all(|segment| segment.rate <= 500.0));
    assert_eq!(found.recovery, Recovery::NotTried, "nothing was seen to fail");

    let (found, _) = searched(options(), up_to(300.0, Limit::Generator));
    assert_eq!(
        (found.stopped_by, found.at_least, found.recovery),
        (Stopped::Generator, true, Recovery::NotTried)
    );
    let (found, trials) = searched(options_of(410.0), up_to(400.0, Limit::Latency));
    assert_eq!(found.recovery, Recovery::NotTried, "an overload may not be asked for");
    assert!(trials.iter().flat_map(Trial::segments).all(|segment| segment.rate <= 410.0));
}

#[test]
fn a_rate_that_does_not_last_is_not_confirmed() {
    let longer = |trial: &Trial, _: usize| {
        let lasting = if trial.judged.lasts.as_secs() >= 15 { 850.0 } else { 1000.0 };
        up_to(lasting, Limit::Goodput)(trial, 0)
    };
    let (found, _) = searched(options(), longer);
    let seen = found.capacity_per_second.unwrap();
    assert!(found.confirmed && seen <= 850.0 && seen > 700.0, "{seen}");
    assert_eq!(found.stopped_by, Stopped::Goodput);
}

#[test]
fn hysteresis_is_where_a_lower_rate_comes_back() {
    let stuck = |above: f64| {
        move |trial: &Trial, _: usize| match trial.purpose {
            Purpose::Recover if trial.judged.rate > above => failed(Limit::Latency),
            _ => up_to(1000.0, Limit::Latency)(trial, 0),
        }
    };
    let (found, _) = searched(options(), stuck(300.0));
    let capacity = found.capacity_per_second.unwrap();
    assert_eq!(found.recovery, Recovery::At { per_second: capacity * 0.25 });
    let (found, _) = searched(options(), stuck(0.0));
    assert_eq!(found.recovery, Recovery::NotAbove { per_second: found.capacity_per_second.unwrap() * 0.1 });

    // Down since the first overload, and back at 90/s: what settles later is asked for more again.
    let mut down = false;
    let mut failures = 0;
    let (found, trials) = searched(options(), |trial, _| {
        failures += usize::from(trial.judged.rate > 1000.0);
        down = (down || failures == 1) && trial.judged.rate > 90.0;
        if down { failed(Limit::Latency) } else { up_to(1000.0, Limit::Latency)(trial, 0) }
    });
    assert!(trials.iter().any(|trial| trial.purpose == Purpose::Settle && trial.judged.rate == 80.0));
    assert_eq!(found.recovery, Recovery::At { per_second: 80.0 });
    assert!(found.capacity_per_second.unwrap() > 900.0);

    let mut overloaded = false;
    let (found, _) = searched(options(), |trial, _| {
        overloaded |= trial.judged.rate > 1000.0;
        if overloaded { failed(Limit::Errors) } else { kept() }
    });
    assert_eq!(found.stopped_by, Stopped::Down);
}

#[test]
fn what_is_seen_of_a_recovery_is_told_where_the_time_is_used_up() {
    let stuck = |trial: &Trial, _: usize| match trial.purpose {
        Purpose::Recover => failed(Limit::Latency),
        _ => up_to(1000.0, Limit::Latency)(trial, 0),
    };
    let (whole, trials) = searched(options(), stuck);
    let length = |trials: &[Trial]| trials.iter().map(Trial::length).sum::<Duration>();
    let last_step =
        trials.iter().rposition(|trial| trial.judged.rate > 0.3 * whole.capacity_per_second.unwrap());
    let budget = Some(length(&trials[..=last_step.unwrap()]));
    let (found, _) = searched(Options { budget, ..options() }, stuck);
    let half = found.capacity_per_second.unwrap() * 0.5;
    assert_eq!(
        (found.stopped_by, found.recovery),
        (Stopped::Latency, Recovery::NotAbove { per_second: half })
    );
}

#[test]
fn an_interrupted_search_says_what_it_knows() {
    let mut search = Search::new(options());
    for _ in 0..3 {
        let trial = search.next_trial().unwrap();
        search.take(&trial, &kept());
    }
    search.interrupt();
    assert_eq!(search.next_trial(), None);
    let found = search.found();
    assert_eq!(
        (found.capacity_per_second, found.stopped_by, found.confirmed),
        (Some(80.0), Stopped::Interrupted, false)
    );
}

mod measured {
    use super::*;
    use crate::drive::{Event, Settled, Shed};
    use crate::journey::{Cause, Kind};
    use crate::profile::Layer;
    use crate::record::Recording;
    use crate::record::synthetic::{observation, operation, recording};
    use crate::unit::Tick;

    /// 100 announces a second for 10 s, of which each lasts and ends as `how` says of its number.
    fn announces(how: impl Fn(u64) -> (u64, Settled)) -> Recording {
        let operations: Vec<_> = (0..1000)
            .map(|number| {
                let due = Tick::from_millis(number * 10);
                let (millis, settled) = how(number);
                operation(observation(Kind::Announce, due, due, due + Duration::from_millis(millis), settled))
            })
            .collect();
        let last = operations.iter().flatten().map(|(at, _)| at.second()).max().unwrap_or(0);
        let mut recording = recording(&operations, last + 1);
        recording.manifest.length = Duration::from_secs(10);
        recording
    }

    fn measured(recording: &Recording) -> Measured {
        measure(recording, Layer::Tracker, &options().slo, Duration::from_secs(2))
    }

    #[test]
    fn a_steady_trial_is_kept() {
        let seen = measured(&announces(|_| (20, Settled::Ok)));
        assert_eq!((seen.limit, seen.offered_per_second, seen.goodput_per_second), (None, 100.0, 100.0));
        assert_eq!((seen.served_share, seen.error_share, seen.operations_per_visitor), (1.0, 0.0, 1.0));
        assert!((seen.quantile_seconds.unwrap() - 0.02).abs() < 0.001);
    }

    #[test]
    fn what_a_rate_fails_by_is_named() {
        let limit = |how: &dyn Fn(u64) -> (u64, Settled)| measured(&announces(how)).limit;
        let timeout = Settled::Failed(Cause::Timeout);
        assert_eq!(limit(&|n| (20, if n % 20 == 0 { timeout } else { Settled::Ok })), Some(Limit::Errors));
        assert_eq!(limit(&|n| (if n % 20 == 0 { 300 } else { 20 }, Settled::Ok)), Some(Limit::Latency));
        // Of the warm-up nothing counts, and the generator's own failures are no errors of the layer.
        assert_eq!(limit(&|n| (20, if n < 190 { timeout } else { Settled::Ok })), None);
        assert_eq!(
            limit(&|n| (20, if n % 20 == 0 { Settled::Failed(Cause::Local) } else { Settled::Ok })),
            Some(Limit::Generator)
        );
        assert_eq!(
            measured(&announces(|n| (20, if n > 500 { Settled::Cut } else { Settled::Ok }))).limit,
            Some(Limit::Latency)
        );
    }

    #[test]
    fn what_is_shed_in_an_overload_is_no_limit_of_what_follows() {
        let shed = |from: u64, until: u64| {
            let operations: Vec<_> = (0..1000)
                .map(|number| {
                    let due = Tick::from_millis(number * 10);
                    if !(from..until).contains(&number) {
                        let ended = due + Duration::from_millis(20);
                        return operation(observation(Kind::Announce, due, due, ended, Settled::Ok));
                    }
                    vec![
                        (due, Event::JourneyDue(due)),
                        (due, Event::Planned(Kind::Announce, due, 0)),
                        (due, Event::JourneyShed(due)),
                        (due, Event::Shed(Kind::Announce, due, Shed::Full)),
                    ]
                })
                .collect();
            let mut recording = recording(&operations, 11);
            recording.manifest.length = Duration::from_secs(10);
            measured(&recording)
        };
        let seen = shed(0, 200);
        assert_eq!((seen.limit, seen.generator_faults), (None, Vec::new()));
        assert_eq!(shed(200, 205).limit, Some(Limit::Generator));
    }

    #[test]
    fn a_backlog_that_grows_shows_before_latency_does() {
        // Every tenth visitor is served a tenth of a second later than the one before: 9 % too much is asked.
        let slow = announces(|n| (20 + n, Settled::Ok));
        let loose = Slo { limit: Duration::from_secs(60), ..options().slo };
        let seen = measure(&slow, Layer::Tracker, &loose, Duration::from_secs(2));
        assert_eq!(seen.limit, Some(Limit::Goodput));
        assert!((seen.backlog_per_second - 9.0).abs() < 2.0, "{}", seen.backlog_per_second);
        // As much under way, and no more.
        let steady = announces(|_| (1020, Settled::Ok));
        assert_eq!(measure(&steady, Layer::Tracker, &loose, Duration::from_secs(2)).limit, None);
    }

    #[test]
    fn faults_of_the_generator_count_where_the_layer_failed() {
        let lag = [Fault::Lag { p99_seconds: 0.1 }];
        let shed = [Fault::Shed { sent_share: 0.5 }];
        let ceiling = [Fault::Ceiling { operations: 7 }];
        use super::super::measure::whose;
        assert_eq!(whose(None, &lag), None);
        assert_eq!(whose(Some(Limit::Latency), &lag), Some(Limit::Generator));
        assert_eq!(whose(None, &shed), Some(Limit::Generator));
        assert_eq!(
            whose(Some(Limit::Latency), &shed),
            Some(Limit::Latency),
            "it kept up: too much was under way"
        );
        assert_eq!(whose(None, &ceiling), Some(Limit::Ceiling));
    }
}

//! Verdicts of synthetic recordings.

use std::time::Duration;

use super::*;
use crate::drive::{Event, Settled};
use crate::journey::Cause;
use crate::profile::Envelope;
use crate::record::synthetic::{Seen, manifest, observation, operation, operations, recording};
use crate::record::{Resources, WorldName};
use crate::unit::Tick;

/// Pages at a steady rate for some seconds, each treated by `treat(due in ms) -> (lag, service time, ending)`.
fn pages(seconds: u64, rate: u64, treat: impl Fn(u64) -> (u64, u64, Settled)) -> Vec<Seen> {
    let one = |number| {
        let due = number * 1000 / rate;
        let (lag, service, settled) = treat(due);
        let [due, started, ended] = [due, due + lag, due + lag + service].map(Tick::from_millis);
        operation(observation(Kind::Page, due, started, ended, settled))
    };
    (0..seconds * rate).map(one).collect()
}

/// Judges them with a promise of the index layer alone: base 100/s, burst 200/s for 20 s, reserve 400/s, p99 250 ms, 2 % errors.
fn judged(operations: &[Seen], seconds: u64) -> Summary {
    let mut recording = recording(operations, seconds);
    recording.manifest.envelope.layers.retain(|layer, _| *layer == Layer::Index);
    analyse(&recording)
}

fn finding(summary: &Summary) -> Finding {
    summary.layers[0].judgement.clone().unwrap().finding
}

#[test]
fn a_promise_that_is_kept_passes() {
    let summary = judged(&pages(20, 90, |_| (0, 200, Settled::Ok)), 20);
    assert_eq!((summary.verdict, summary.nearest), (Verdict::Pass, Some(Layer::Index)));
    let judgement = summary.layers[0].judgement.clone().unwrap();
    assert_eq!((judgement.tier, judgement.required_per_second), (Some(Tier::Base), 90.0));
    assert!(judgement.sustained_per_second.unwrap() >= 90.0);
    assert!((judgement.headroom - 0.775).abs() < 1e-9 && !judgement.headroom_short);
    let page = &summary.kinds[0];
    assert!((page.littles_ratio.unwrap() - 1.0).abs() < 0.2, "{:?}", page.littles_ratio);
}

#[test]
fn a_stall_of_the_target_fails_the_window_it_happens_in() {
    let stall = |due| {
        if (7000..9000).contains(&due) { (0, 9000 - due + 5, Settled::Ok) } else { (0, 5, Settled::Ok) }
    };
    let summary = judged(&pages(20, 90, stall), 20);
    assert_eq!(summary.verdict, Verdict::Fail);
    let Finding::Fail { at_seconds: 5, breach: Breach::Latency { observed_seconds, .. } } = finding(&summary)
    else {
        panic!("{:?}", finding(&summary));
    };
    assert!((1.9..2.1).contains(&observed_seconds), "{observed_seconds}");
    assert!(summary.layers[0].judgement.as_ref().unwrap().sustained_per_second.is_some());
}

#[test]
fn a_target_that_never_answers_fails_before_any_time_out() {
    let summary = judged(
        &pages(20, 90, |due| if due < 6000 { (0, 5, Settled::Ok) } else { (0, 20_000 - due, Settled::Cut) }),
        20,
    );
    let Finding::Fail { at_seconds: 5, breach: Breach::Errors { observed, .. } } = finding(&summary) else {
        panic!("{:?}", finding(&summary));
    };
    assert!(observed > 0.7, "{observed}");
}

#[test]
fn operations_rightly_under_way_are_not_held_against_a_layer() {
    // A ramp: each second 20 more than the one before, each operation takes just under the limit.
    let ramp: Vec<Seen> = (0..20_u64)
        .flat_map(|second| {
            (0..(second + 1) * 15).map(move |n| second * 1000 + n * 1000 / ((second + 1) * 15))
        })
        .map(|due| {
            let [due, ended] = [due, due + 240].map(Tick::from_millis);
            operation(observation(Kind::Page, due, due, ended, Settled::Ok))
        })
        .collect();
    assert_eq!(finding(&judged(&ramp, 21)), Finding::Pass);
}

#[test]
fn errors_fail() {
    let refused =
        |due: u64| (0, 5, if due % 10_000 > 9_000 { Settled::Failed(Cause::Refused) } else { Settled::Ok });
    let summary = judged(&pages(20, 90, refused), 20);
    assert!(matches!(finding(&summary), Finding::Fail { at_seconds: 5, breach: Breach::Errors { .. } }));
    assert_eq!(summary.kinds[0].main_cause, Some(Cause::Refused));
}

#[test]
fn demand_beyond_the_reserve_is_exceeded_even_if_all_goes_well() {
    let summary = judged(&pages(10, 450, |_| (0, 5, Settled::Ok)), 10);
    assert_eq!((finding(&summary), summary.verdict), (Finding::Exceeded { at_seconds: 0 }, Verdict::Fail));
}

#[test]
fn too_little_is_no_pass_and_one_bad_operation_no_failure() {
    let nothing = judged(&[], 20);
    assert_eq!(
        (finding(&nothing), nothing.verdict),
        (Finding::Untested { operations: 0, needed: 100 }, Verdict::Inconclusive)
    );
    let bad = |number: usize| {
        move |due: u64| {
            (0, 5, if due / 1000 < number as u64 { Settled::Failed(Cause::Closed) } else { Settled::Ok })
        }
    };
    let one = judged(&pages(20, 1, bad(1)), 20);
    assert_eq!(finding(&one), Finding::Untested { operations: 20, needed: 100 });
    let two = judged(&pages(20, 1, bad(2)), 20);
    assert!(matches!(finding(&two), Finding::Fail { .. }));
}

#[test]
fn without_a_promise_there_is_nothing_to_pass() {
    let mut recording = recording(&pages(5, 90, |_| (0, 5, Settled::Ok)), 5);
    recording.manifest.envelope = Envelope::default();
    assert_eq!(analyse(&recording).verdict, Verdict::Inconclusive);
}

#[test]
fn an_incomplete_recording_never_passes() {
    let mut recording = recording(&pages(20, 90, |_| (0, 20, Settled::Ok)), 20);
    recording.manifest.envelope.layers.retain(|layer, _| *layer == Layer::Index);
    recording.finished = false;
    assert_eq!(analyse(&recording).verdict, Verdict::Inconclusive);
}

#[test]
fn a_late_generator_voids_the_run_only_if_it_can_change_a_verdict() {
    let late = |lag| judged(&pages(20, 90, |_| (lag, 5, Settled::Ok)), 20);
    assert_eq!(late(20).generator.faults, [], "20 ms against a limit of 250 ms");
    assert!(matches!(late(30).generator.faults[..], [Fault::Lag { .. }]));
    let mut without = recording(&pages(20, 90, |_| (2, 5, Settled::Ok)), 20);
    without.manifest.envelope = Envelope::default();
    assert_eq!(analyse(&without).verdict, Verdict::Invalid, "without a limit the plain rule holds");
}

#[test]
fn a_generator_that_sheds_fails_by_itself_or_has_no_cpu_voids_the_run() {
    let mut shed = pages(20, 90, |_| (0, 5, Settled::Ok));
    shed.extend((0..10).map(|number| {
        let due = Tick::from_millis(number * 100);
        vec![(due, Event::JourneyDue(due)), (due, Event::JourneyShed(due))]
    }));
    assert!(matches!(judged(&shed, 20).generator.faults[..], [Fault::Shed { .. }]));

    let local =
        |due: u64| (0, 5, if due.is_multiple_of(5000) { Settled::Failed(Cause::Local) } else { Settled::Ok });
    assert!(matches!(judged(&pages(20, 90, local), 20).generator.faults[..], [Fault::LocalErrors { .. }]));

    let mut busy = recording(&pages(20, 90, |_| (0, 5, Settled::Ok)), 20);
    let sample = |second| Resources {
        second,
        layer: None,
        pid: 1,
        cpu_seconds: second as f64 * 1.7,
        rss_bytes: 1,
        descriptors: 1,
    };
    busy.resources = (0..20).map(sample).collect();
    busy.manifest.workers = 2;
    assert_eq!(analyse(&busy).generator.faults, [], "the model world takes all the CPU there is");
    busy.manifest.world = WorldName::Live;
    let summary = analyse(&busy);
    assert_eq!(summary.verdict, Verdict::Invalid);
    assert!(
        matches!(summary.generator.faults[..], [Fault::Cpu { cores_per_worker }] if (cores_per_worker - 0.85).abs() < 1e-6)
    );
}

#[test]
fn the_nearest_layer_is_the_one_that_failed_or_has_the_least_left() {
    let summary = analyse(&recording(&operations(1, 10, 20), 10));
    // 20/s of every kind: the tracker promises the least of what it is asked (20 of 120), the DHT less still (20 of 80).
    assert_eq!(summary.nearest, Some(Layer::Dht));
    assert_eq!(manifest(1).envelope.layers.len(), summary.layers.len());
    let index = &summary.stages[0].flow;
    assert!((index.offered_per_second - 60.0).abs() < 1e-9 && index.peak_offered_per_second >= 60.0);
    assert!(
        index.due.p50_seconds < index.due.p99_seconds
            && Duration::from_millis(35).as_secs_f64() > index.due.p999_seconds.unwrap()
    );
}

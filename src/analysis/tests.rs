//! Verdicts of synthetic recordings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use smallvec::smallvec;

use crate::drive::{Event, Limits, Settled, Shed, Stop, drive};
use crate::journey::{Cause, Names, Rules};
use crate::model::{ModelTarget, ModelWorld, complete};
use crate::plan::{Arrival, Cohort, Origin, PlannedStep, What};
use crate::profile::Envelope;
use crate::record::synthetic::{Seen, manifest, observation, operation, operations, record, recording};
use crate::record::{Bound, Host, Resources, Shortage, WorldName};
use crate::scenario::sample;
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
        ..Resources::default()
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
fn what_the_machine_lacked_stands_beside_the_faults_and_nowhere_else() {
    let mut shed = pages(20, 90, |_| (0, 5, Settled::Ok));
    shed.extend((0..10).map(|number| {
        let due = Tick::from_millis(number * 100);
        vec![(due, Event::JourneyDue(due)), (due, Event::JourneyShed(due))]
    }));
    let foreseen = [Bound::Workers, Bound::Descriptors].map(|of| Shortage {
        of,
        needed: 500.0,
        available: 300.0,
        certain: false,
    });
    let with = |operations: &[Seen], descriptors, theirs| {
        let mut recording = recording(operations, 20);
        let mut limits = ceilings::tests::limits();
        limits.descriptors.soft = Some(300);
        recording.manifest.host = Some(Host {
            cores: 4,
            kernel: "Linux".to_owned(),
            hostname: None,
            limits: Some(limits),
            rates: None,
            foreseen: foreseen.to_vec(),
        });
        let sample = |layer, pid, cores: f64| {
            move |second| Resources {
                second,
                layer,
                pid,
                cpu_seconds: second as f64 * cores,
                rss_bytes: 1,
                descriptors,
                ..Resources::default()
            }
        };
        recording.resources = (0..20).map(sample(None, 1, 0.5)).collect();
        recording.resources.extend((0..20).map(sample(Some(Layer::Index), 2, theirs)));
        analyse(&recording).generator
    };
    assert_eq!(with(&shed, 100, 1.0).shortages, foreseen, "as far as is known");
    let seen = |of, needed, available| Shortage { of, needed, available, certain: true };
    let descriptors = seen(Bound::Descriptors, 290.0, 300.0);
    assert_eq!(with(&shed, 290, 1.0).shortages, [descriptors, foreseen[0]]);
    assert_eq!(with(&shed, 290, 3.25).shortages, [descriptors, seen(Bound::Cores, 3.75, 4.0), foreseen[0]]);
    let valid = with(&pages(20, 90, |_| (0, 5, Settled::Ok)), 290, 3.25);
    assert!(valid.faults.is_empty() && valid.shortages.is_empty(), "a forecast that did not come true");
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

/// The index layer's pages, all good, as a recording of one promise.
fn kept() -> Recording {
    let mut recording = recording(&pages(20, 90, |_| (0, 5, Settled::Ok)), 20);
    recording.manifest.envelope.layers.retain(|layer, _| *layer == Layer::Index);
    recording
}

#[test]
fn an_interrupted_run_never_passes() {
    let mut stopped = kept();
    assert_eq!(analyse(&stopped).verdict, Verdict::Pass);
    stopped.stopped_at_seconds = Some(15);
    assert_eq!(analyse(&stopped).verdict, Verdict::Inconclusive);
    stopped.manifest.envelope.layers.get_mut(&Layer::Index).unwrap().slo.limit = Duration::from_millis(1);
    assert_eq!(analyse(&stopped).verdict, Verdict::Fail, "what was broken stays broken");
}

#[test]
fn a_layer_that_failures_upstream_kept_idle_is_no_pass() {
    let starved = |planned, change: fn(&mut Recording)| {
        let mut recording = kept();
        recording.manifest.planned = [(Kind::Page, planned), (Kind::Announce, 100)].into();
        change(&mut recording);
        let summary = analyse(&recording);
        (finding(&summary), summary.verdict)
    };
    assert_eq!(starved(1818, |_| {}), (Finding::Pass, Verdict::Pass), "1800 of 1818 are 99 %");
    let verdict = starved(2000, |_| {});
    assert_eq!(verdict, (Finding::Starved { arrived_share: 0.9 }, Verdict::Inconclusive));
    assert_eq!(starved(2000, |run| run.stopped_at_seconds = Some(18)).0, Finding::Pass, "nobody could tell");
    let failing = |run: &mut Recording| {
        run.manifest.envelope.layers.get_mut(&Layer::Index).unwrap().slo.limit = Duration::from_millis(1);
    };
    assert!(matches!(starved(2000, failing), (Finding::Fail { .. }, Verdict::Fail)));
}

#[test]
fn retries_are_no_demand() {
    let mut operations = pages(20, 90, |_| (0, 5, Settled::Ok));
    for seen in &mut operations[900..] {
        let again: Vec<_> = (1..=5)
            .flat_map(|attempt| {
                seen.iter().filter_map(move |(at, event)| match event {
                    Event::Planned(kind, due, _) => Some((*at, Event::Planned(*kind, *due, attempt))),
                    Event::Released(..) | Event::Settled(_) => Some((*at, event.clone())),
                    _ => None,
                })
            })
            .collect();
        seen.extend(again);
    }
    let summary = judged(&operations, 20);
    let judgement = summary.layers[0].judgement.clone().unwrap();
    assert_eq!((judgement.required_per_second, judgement.tier), (90.0, Some(Tier::Base)));
    assert_eq!(summary.layers[0].flow.counts.retries, 900 * 5);
    assert_eq!(summary.verdict, Verdict::Pass, "540/s were served, 90/s were the demand");
}

#[test]
fn what_the_generator_did_wrong_is_not_the_targets_error() {
    let local = |due: u64| (0, 5, if due < 1000 { Settled::Failed(Cause::Local) } else { Settled::Ok });
    let mut operations = pages(20, 90, local);
    operations.extend((0..200).map(|number| {
        let due = Tick::from_millis(2000 + number * 5);
        vec![(due, Event::Planned(Kind::Page, due, 0)), (due, Event::Shed(Kind::Page, due, Shed::Full))]
    }));
    let summary = judged(&operations, 20);
    assert_eq!((finding(&summary), summary.verdict), (Finding::Pass, Verdict::Invalid));
    assert!(matches!(summary.generator.faults[..], [Fault::Shed { .. }, Fault::LocalErrors { .. }]));
}

#[test]
fn a_ceiling_that_was_reached_is_named() {
    let shed = |number: u64, why| {
        let due = Tick::from_millis(number * 10);
        vec![(due, Event::Planned(Kind::Page, due, 0)), (due, Event::Shed(Kind::Page, due, why))]
    };
    let mut operations = pages(20, 90, |_| (0, 5, Settled::Ok));
    operations.extend((0..40).map(|number| shed(number, Shed::Ceiling)));
    let summary = judged(&operations, 20);
    assert_eq!(summary.generator.faults, [Fault::Ceiling { operations: 40 }]);
    assert_eq!(summary.verdict, Verdict::Invalid);
    operations.extend((0..40).map(|number| shed(number, Shed::Late)));
    let faults = judged(&operations, 20).generator.faults;
    assert!(matches!(faults[..], [Fault::Shed { .. }, Fault::Ceiling { operations: 40 }]), "{faults:?}");
}

#[test]
fn mean_rates_are_taken_over_the_plan_as_far_as_it_came() {
    let mut run = kept();
    // The last arrival is due just before 20 s; an answer 10 s later, in the drain, dilutes nothing.
    let rate = |run: &Recording| analyse(run).stages[0].flow.offered_per_second;
    run.rows.resize_with(30, Default::default);
    assert!((rate(&run) - 90.0).abs() < 1e-9);
    run.manifest.length = Duration::from_secs(100);
    run.stopped_at_seconds = Some(19);
    assert!((rate(&run) - 90.0).abs() < 1e-9, "stopped: {}", rate(&run));
    run.rows.truncate(10);
    (run.stopped_at_seconds, run.finished) = (None, false);
    assert!((rate(&run) - 90.0).abs() < 1e-9, "killed: {}", rate(&run));
}

#[test]
fn the_self_check_names_what_is_off() {
    let slow = pages(20, 90, |_| (0, 200, Settled::Ok));
    let check = judged(&slow, 20).self_check.unwrap();
    assert!(check.worst == Kind::Page && check.off.is_empty(), "{check:?}");
    let mut recording = recording(&slow, 20);
    for row in &mut recording.rows {
        row.kinds.values_mut().for_each(|kind| kind.in_flight *= 2);
    }
    let check = analyse(&recording).self_check.unwrap();
    assert!(check.off == [Kind::Page] && (1.6..2.4).contains(&check.ratio), "{check:?}");
}

/// Downloads of the model's visitors, one every 100 ms for 12 s, each visitor alone on its line: half on 2 Mbit/s and half on 20 Mbit/s, half
/// of 1 MiB and half of 256 KiB, both in pieces of 16 KiB. A quarter wants half of the pieces.
fn simulated() -> Recording {
    let mut scenario = sample::sample();
    for ((access, _), down) in scenario.access.members.iter_mut().zip([250_000.0, 2_500_000.0]) {
        access.down = down;
    }
    let target = ModelTarget {
        name: "one seedbox".to_owned(),
        round_trip: Duration::from_millis(1),
        layers: BTreeMap::new(),
        envelope: Envelope::default(),
    };
    let rules = Rules {
        isolated: true,
        assets: 0,
        retries: 0,
        retry_after: Duration::ZERO,
        sizes: scenario.content.sizes().collect(),
        classes: scenario.content.classes_by_rank().collect(),
        seeds: vec![ModelWorld::SEEDBOX],
        names: Names::default(),
    };
    let arrival = |index: u64| {
        let until = if index % 8 >= 6 { 0.5 } else { 1.0 };
        let at = Tick::from_millis(100 * index);
        Arrival {
            index,
            origin: Origin::Visit,
            cohort: Cohort::OldCluster,
            cached: false,
            reachable: true,
            region: 0,
            client: 0,
            access: (index % 2) as u8,
            content: if (index / 2).is_multiple_of(2) { 0 } else { 4 },
            seed: index,
            steps: smallvec![PlannedStep { at, what: What::Transfer { until } }],
        }
    };
    let mut world = ModelWorld::new(&scenario, &target, 1);
    let limits = Limits::new(Duration::from_secs(12));
    let mut events = Vec::new();
    let arrivals = (0..120).map(arrival);
    complete(drive(arrivals, &mut world, &rules, &limits, &Stop::default(), &mut |event| events.push(event)));
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), vec![events], Vec::new()).unwrap();
    Recording::read(dir.path()).unwrap()
}

/// A line alone decides: n pieces of 16 KiB take n × 16 KiB / rate after a handshake of a round trip.
#[test]
fn downloads_take_as_long_as_their_line_says() {
    const PIECE: f64 = 16_384.0;
    let summary = analyse(&simulated());
    let counts = summary.downloads.counts;
    assert_eq!((counts.begun, counts.complete, counts.enough, counts.first_pieces), (120, 90, 30, 120));
    let near = |found: Option<f64>, expected: f64| {
        let found = found.unwrap();
        // A handshake takes about 1.1 ms, of which the exponential service is a tenth; three digits are kept.
        assert!((expected..expected * 1.002 + 0.003).contains(&found), "{found} s, {expected} s expected");
    };
    let slow = &summary.breakdown.downloads_by_access["fibre"].downloads;
    near(slow.first_piece.p50_seconds, PIECE / 250_000.0);
    near(slow.first_piece.max_seconds, PIECE / 250_000.0);
    near(slow.completion.max_seconds, 64.0 * PIECE / 250_000.0);
    let fast = &summary.breakdown.downloads_by_access["mobile"].downloads;
    near(fast.first_piece.p99_seconds, PIECE / 2_500_000.0);
    near(fast.completion.max_seconds, 64.0 * PIECE / 2_500_000.0);
    let small = &summary.breakdown.downloads_by_class["tutorial"].downloads;
    near(small.completion.max_seconds, 16.0 * PIECE / 250_000.0);
    near(small.completion.p50_seconds, 16.0 * PIECE / 2_500_000.0);
    assert_eq!(slow.counts.begun + fast.counts.begun, counts.begun);

    // Little: 30 in each of the four groups, of which every other one of the small ones wants half, so 45 wholes.
    let whole = |pieces: f64| pieces * PIECE * (1.0 / 250_000.0 + 1.0 / 2_500_000.0);
    let lasted = 30.0 * whole(64.0) + 15.0 * whole(16.0) + 15.0 * whole(8.0);
    let population = summary.downloads.mean_in_progress * summary.recorded_seconds as f64;
    assert!((population / lasted - 1.0).abs() < 0.01, "{population} visitor seconds, {lasted} expected");
    let ratio = summary.in_progress.littles_ratio.unwrap();
    assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
    // At any end of a second: 1 of 4 arrivals is slow and large, one every 400 ms for 4.19 s.
    assert!((9..=14).contains(&summary.in_progress.peak), "{}", summary.in_progress.peak);
}

#[test]
fn a_timeline_keeps_every_count() {
    let recording = recording(&operations(3, 10, 20), 10);
    let (summary, most) = (analyse(&recording), recording.rows.len());
    for most in [1, 3, most, 1000] {
        let timeline = timeline(&recording, most);
        assert!(timeline.slices.len() <= most);
        let lengths = recording.rows.chunks(timeline.slice_seconds as usize).map(|rows| rows.len() as f64);
        let sum = |of: fn(&Slice) -> f64| {
            timeline.slices.iter().zip(lengths.clone()).map(|(slice, length)| of(slice) * length).sum::<f64>()
        };
        let near = |sum: f64, count: u64| assert!((sum - count as f64).abs() < 1e-6, "{sum} of {count}");
        let counts = summary.downloads.counts;
        near(sum(|slice| slice.begun), counts.begun);
        near(sum(|slice| slice.fetched), counts.complete + counts.enough);
        near(sum(|slice| slice.from_visitors), summary.swarm.from_visitors);
        near(sum(|slice| slice.opened), summary.swarm.opened());
    }
    let one = timeline(&recording, 1);
    assert_eq!((one.slices.len(), one.slices[0].offload), (1, summary.swarm.offload()));
}

#[test]
fn groups_add_up_to_the_whole() {
    let summary = analyse(&recording(&operations(5, 5, 40), 5));
    assert_eq!(summary.breakdown.downloads_by_class.keys().collect::<Vec<_>>(), ["installer", "tutorial"]);
    for groups in [&summary.breakdown.downloads_by_class, &summary.breakdown.downloads_by_access] {
        assert_eq!(groups.len(), 2);
        let begun: u64 = groups.values().map(|group| group.downloads.counts.begun).sum();
        let in_progress: f64 = groups.values().map(|group| group.downloads.mean_in_progress).sum();
        let mut swarm = Swarm::default();
        groups.values().for_each(|group| swarm += &group.swarm);
        assert_eq!((begun, swarm), (summary.downloads.counts.begun, summary.swarm));
        assert!((in_progress / summary.downloads.mean_in_progress - 1.0).abs() < 1e-9);
    }
    assert_eq!(summary.swarm_shares.failed_dials, Some(0.5));
    assert!((summary.churn.opened_per_second - summary.churn.ended_per_second).abs() < 1e-9);
}

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::scenario::{Abuse, AbuseKind, Cut, Incident, Via, sample};
use crate::unit::Tick;

const HOUR: u64 = 3600;

fn plan(cut: Cut, seed: u64) -> Plan {
    Plan::new(Arc::new(Scenario { cut, ..sample::sample() }), VariantName::Baseline, seed)
}

fn cut(from: u64, until: u64, speed: f64, scale: f64) -> Cut {
    Cut { speed, scale, from: Duration::from_secs(from), until: Duration::from_secs(until) }
}

/// The sample's day in eight seconds.
fn quick(seed: u64) -> Plan {
    plan(cut(0, 24 * HOUR, 10_800.0, 1.0), seed)
}

/// Steps of each stage in equal buckets of the window.
fn counts(plan: &Plan, buckets: usize) -> Vec<[f64; 5]> {
    let mut counts = vec![[0.0; 5]; buckets];
    for step in plan.arrivals().flat_map(|arrival| arrival.steps) {
        let bucket = step.at.as_secs_f64() / plan.length().as_secs_f64() * buckets as f64;
        counts[bucket as usize][step.what.stage() as usize] += 1.0;
    }
    counts
}

/// Variance of a stage's counts over their mean: a completed start announces twice at one moment.
const DISPERSION: [f64; 5] = [1.0, 1.0, 2.0, 1.0, 1.0];

#[test]
fn the_golden_digests() {
    let window = plan(cut(7 * HOUR, 10 * HOUR, 1000.0, 0.3), 42);
    assert_eq!(
        [quick(1).digest(), quick(2).digest(), window.digest()],
        [
            "e10fc735976eaf6a0477f212145061801ebb468e4badda7ab7da7ffaf6b3f580",
            "1fe10c826bb537ec7fe5043ef9725a58ec3d54d104ccf84a0529d5702d8069ad",
            "13c799c6f7858840ec0a2bd964f0a512f3bc91e17338cc34e830c7f32dab0da0"
        ]
    );
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    assert!(quick(7).arrivals().eq(&quick(7)));
    assert_eq!(quick(7).digest(), quick(7).overview(10).digest);
    assert_ne!(quick(7).digest(), quick(8).digest());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_union_of_any_shards_is_the_unsharded_plan(
        seed: u64, of in prop::sample::select(vec![1_u32, 2, 5, 7]), from in 0..20_u64,
    ) {
        let plan = plan(cut(from * HOUR, (from + 4) * HOUR, 5000.0, 0.5), seed);
        let mut union: Vec<Arrival> = (0..of).flat_map(|i| plan.shard(i, of)).collect();
        union.sort_by_key(|arrival| (arrival.due(), arrival.index));
        prop_assert!(union.into_iter().eq(&plan));
        prop_assert_eq!(plan.shard(of, of).count(), 0);
    }

    #[test]
    fn arrivals_come_in_order_and_stay_inside_the_window(seed: u64, from in 0..20_u64) {
        let plan = plan(cut(from * HOUR, (from + 4) * HOUR, 5000.0, 0.5), seed);
        let arrivals: Vec<Arrival> = plan.arrivals().collect();
        prop_assert!(arrivals.is_sorted_by_key(|arrival| (arrival.due(), arrival.index)));
        for arrival in arrivals {
            prop_assert!(arrival.steps.is_sorted_by_key(|step| step.at));
            let last = arrival.steps.last().map(|step| step.at);
            prop_assert!(last.is_some_and(|at| at < Tick::ZERO + plan.length()));
        }
    }
}

#[test]
fn every_stage_has_its_expected_rate_from_the_first_moment_of_a_window_on() {
    // A listing goes live an hour before the window: visitors of before are everywhere in the funnel.
    let plan = plan(cut(9 * HOUR, 12 * HOUR, 100.0, 4.0), 3);
    let buckets = 36;
    let span = plan.length().as_secs_f64() / buckets as f64;
    for (i, counts) in counts(&plan, buckets).iter().enumerate() {
        for stage in Stage::ALL {
            let moment = |j: usize| 9.0 * 3600.0 + (i as f64 + (j as f64 + 0.5) / 8.0) * span * 100.0;
            let expected = (0..8).map(|j| plan.expected(stage, moment(j))).sum::<f64>() / 8.0 * span;
            let z = (counts[stage as usize] - expected) / (DISPERSION[stage as usize] * expected).sqrt();
            assert!(z.abs() < 4.5, "{} in bucket {i}: {counts:?}, expected {expected}", stage.name());
        }
    }
}

#[test]
fn speed_changes_no_rate() {
    // The first hour after the go-live, at real time and 500 times as fast; the fast one with more audience for more certainty.
    let window = |speed, scale| plan(cut(8 * HOUR - 600, 9 * HOUR, speed, scale), 11);
    let (real, fast, buckets) = (window(1.0, 0.2), window(500.0, 20.0), 14);
    let rates = |plan: &Plan| {
        let audience = plan.length().as_secs_f64() / buckets as f64 * plan.scenario().cut.scale;
        (counts(plan, buckets), audience)
    };
    let ((real, real_audience), (fast, fast_audience)) = (rates(&real), rates(&fast));
    let mut squares = Vec::new();
    for (i, (real, fast)) in real.iter().zip(&fast).enumerate() {
        for stage in Stage::ALL {
            let (a, b) = (real[stage as usize], fast[stage as usize]);
            let difference = a / real_audience - b / fast_audience;
            let variance = a / real_audience.powi(2) + b / fast_audience.powi(2);
            let square = difference.powi(2) / (variance * DISPERSION[stage as usize]);
            assert!(square < 4.5_f64.powi(2), "{} in bucket {i}: {a} and {b} steps", stage.name());
            squares.push(square);
        }
    }
    let mean = squares.iter().sum::<f64>() / squares.len() as f64;
    assert!((0.5..1.5).contains(&mean), "mean squared deviation {mean}");
}

#[test]
fn visits_are_a_poisson_process_with_the_demands_rate() {
    let plan = plan(cut(0, 24 * HOUR, 1440.0, 10.0), 5);
    let length = plan.length().as_secs_f64();
    let visits: Vec<f64> = plan
        .arrivals()
        .filter(|arrival| arrival.steps[0].what == What::Visit && arrival.origin == Origin::Visit)
        .map(|arrival| arrival.due().as_secs_f64())
        .collect();
    let cumulative = |run: f64| -> f64 {
        plan.demand().regions.iter().map(|flow| flow.visits.integral(run * 1440.0)).sum::<f64>() / 144.0
    };
    let expected = cumulative(length);
    let n = visits.len() as f64;
    assert!((n - expected).abs() < 4.0 * expected.sqrt(), "{n} visits, {expected} expected");
    // Time-rescaling: Λ(t) of a Poisson process is uniform over Λ(end). Kolmogorov-Smirnov, 0.1 % level.
    let distance = visits.iter().enumerate().map(|(i, at)| (cumulative(*at) / expected - i as f64 / n).abs());
    assert!(distance.fold(0.0, f64::max) < 1.95 / n.sqrt());
    // Fano factor of counts in windows of equal expectation: 1 ± 4 standard errors.
    let mut windows = vec![0.0; 600];
    for at in &visits {
        windows[((cumulative(*at) / expected * 600.0) as usize).min(599)] += 1.0;
    }
    let fano = windows.iter().map(|count| (count - n / 600.0).powi(2)).sum::<f64>() / n;
    assert!((fano - 1.0).abs() < 4.0 * (2.0_f64 / 600.0).sqrt(), "Fano factor {fano}");
}

#[test]
fn visitors_are_mixed_as_the_scenario_says() {
    let plan = plan(cut(0, 24 * HOUR, 1440.0, 4.0), 9);
    let visits: Vec<Arrival> =
        plan.arrivals().filter(|it| it.steps[0].what == What::Visit && it.origin == Origin::Visit).collect();
    let crowd = plan.crowd();
    let share = |of: &dyn Fn(&Arrival) -> bool| {
        visits.iter().filter(|arrival| of(arrival)).count() as f64 / visits.len() as f64
    };
    let zipf: f64 = (1..=32).map(|rank| f64::from(rank).powf(-0.9)).sum();
    for (what, found, wanted) in [
        ("client", share(&|arrival| arrival.client == 0), 0.7),
        ("access", share(&|arrival| arrival.access == 1), 0.6),
        ("top rank", share(&|arrival| arrival.content == 0), 1.0 / zipf),
        ("tenth rank", share(&|arrival| arrival.content == 9), 10_f64.powf(-0.9) / zipf),
        ("returning", share(&|arrival| arrival.cohort == Cohort::Returning), crowd.returning),
        ("old clusters", share(&|arrival| arrival.cohort != Cohort::NewCluster), crowd.old_clusters),
        ("cached", share(&|arrival| arrival.cached), crowd.cached),
        ("reachable", share(&|arrival| arrival.reachable), crowd.reachable),
    ] {
        let error = (wanted * (1.0 - wanted) / visits.len() as f64).sqrt();
        assert!((found - wanted).abs() < 4.0 * error, "{what}: {found}, not {wanted}");
    }
}

/// The sample's smaller class, three quarters of its items, through a gateway; with abuse of the tracker.
fn through_a_gateway() -> Plan {
    let mut scenario = sample::sample();
    scenario.content.classes[1].via = Via::Gateway;
    scenario.abuse = vec![Abuse {
        name: "flood".to_owned(),
        what: AbuseKind::Announce,
        from: Duration::ZERO,
        until: Duration::from_secs(24 * HOUR),
        rate: 5.0,
        old_clusters: 0.0,
        regions: Vec::new(),
    }];
    // Days in which everything ends that began.
    scenario.cut = cut(0, 24 * HOUR, 1440.0, 4.0);
    Plan::new(Arc::new(scenario), VariantName::Baseline, 3)
}

#[test]
fn who_reads_through_a_gateway_is_in_no_swarm() {
    let plan = through_a_gateway();
    let (mut read, mut joined) = (0.0, 0.0);
    for arrival in plan.arrivals() {
        let gateway = arrival.content >= 4;
        assert!(!arrival.steps.is_empty());
        for step in &arrival.steps {
            match step.what {
                What::Visit => {}
                What::Root | What::Read { .. } => assert!(gateway),
                _ => assert!(!gateway, "{:?} of rank {}", step.what, arrival.content),
            }
            read += f64::from(u8::from(matches!(step.what, What::Read { .. })));
            joined += f64::from(u8::from(matches!(step.what, What::Transfer { .. })));
        }
    }
    let (share, all) = (plan.demand().swarm_share, read + joined);
    assert!((0.2..0.8).contains(&share) && read > 100.0, "{share}, {read} readers");
    let error = (share * (1.0 - share) / all).sqrt();
    assert!((joined / all - share).abs() < 4.0 * error, "{joined} of {all}, not {share}");
}

#[test]
fn what_is_expected_leaves_out_those_who_read_through_a_gateway() {
    let plan = through_a_gateway();
    let curves = plan.curves(1);
    for (stage, drawn) in Stage::ALL.into_iter().zip(counts(&plan, 1)[0]) {
        let expected = curves.rows[0].expected[stage as usize] * plan.length().as_secs_f64();
        let sigma = (expected * DISPERSION[stage as usize]).sqrt();
        assert!((drawn - expected).abs() < 4.5 * sigma, "{stage:?}: {drawn}, expected {expected}");
    }
    // Peers are those of swarms alone.
    let mut swarms = plan.scenario().as_ref().clone();
    swarms.content.classes[1].via = Via::Swarm;
    let all = Plan::new(Arc::new(swarms), VariantName::Baseline, 3);
    let (some, share) = (plan.demand().population(3e4), plan.demand().swarm_share);
    assert!((some / all.demand().population(3e4) / share - 1.0).abs() < 1e-9);
}

#[test]
fn only_who_returns_has_assets_and_old_clusters_share_their_addresses() {
    let visits: Vec<Arrival> = plan(cut(0, 24 * HOUR, 1440.0, 10.0), 17).arrivals().collect();
    assert!(visits.iter().all(|arrival| !arrival.cached || arrival.cohort == Cohort::Returning));
    assert!(visits.iter().all(|arrival| !arrival.cached || arrival.origin == Origin::Visit));
    let sources = |of: fn(&&Arrival) -> bool| -> (usize, usize) {
        let sources: Vec<u64> = visits.iter().filter(of).map(Arrival::source).collect();
        (sources.len(), sources.into_iter().collect::<HashSet<u64>>().len())
    };
    let (visitors, addresses) = sources(|arrival| arrival.cohort == Cohort::NewCluster);
    assert_eq!(visitors, addresses);
    // Two regions.
    let (visitors, addresses) = sources(|arrival| arrival.cohort != Cohort::NewCluster);
    assert!(visitors > 8 * addresses && (1800..=2048).contains(&addresses), "{addresses} of {visitors}");
}

#[test]
fn a_visitor_does_what_its_client_and_its_patience_allow() {
    let plan = plan(cut(0, 24 * HOUR, 1440.0, 4.0), 13);
    let (mut transfers, mut aborted, mut magnets, mut metadata) = (0.0, 0.0, 0.0, 0.0);
    for arrival in &plan {
        let does = |what: What| arrival.steps.iter().any(|step| step.what == what);
        let started = does(What::Announce(AnnounceEvent::Started));
        assert_eq!(does(What::Lookup), started && arrival.client == 0);
        for step in &arrival.steps {
            if let What::Transfer { until } = step.what {
                assert_eq!(until == 1.0, does(What::Announce(AnnounceEvent::Completed)));
                transfers += 1.0;
                aborted += f64::from(u8::from(until < 1.0));
            }
            magnets += f64::from(u8::from(step.what == What::Magnet));
            metadata += f64::from(u8::from(step.what.stage() == Stage::Metadata));
        }
        match arrival.origin {
            Origin::Visit => {}
            Origin::Population => {
                assert!(does(What::Announce(AnnounceEvent::Interval)) && arrival.steps.len() == 1);
            }
            Origin::Abuse(_) | Origin::Logged(_) => panic!("nobody is abusive here, and no log is replayed"),
            Origin::Side(side) => assert!(side == 0 && does(What::Visit) && arrival.steps.len() == 1),
        }
    }
    for (found, of, wanted) in [(aborted, transfers, 0.3), (magnets, metadata, 0.4)] {
        let error = f64::sqrt(wanted * (1.0 - wanted) / of);
        assert!((found / of - wanted).abs() < 4.0 * error, "{found} of {of}, not {wanted}");
    }
}

#[test]
fn the_overview_counts_what_was_drawn_and_explains_it() {
    let plan = quick(1);
    let overview = plan.overview(24);
    assert_eq!(overview.arrivals, plan.arrivals().count() as u64);
    let (drawn, stages) = (counts(&plan, 1)[0], &overview.curves.stages);
    let glance = plan.curves(24).stages;
    assert_eq!(glance[0].total as f64, drawn[0], "nothing follows a lag at the index");
    for (i, stage) in stages.iter().enumerate() {
        assert_eq!(stage.total as f64, drawn[i], "{}", stage.stage.name());
        // At a glance it is another draw of the same distribution.
        let z = (glance[i].total as f64 - drawn[i]) / (2.0 * DISPERSION[i] * drawn[i]).sqrt();
        assert!(z.abs() < 4.5, "{}: {} against {}", stage.stage.name(), glance[i].total, drawn[i]);
        let sum = |of: fn(&Row) -> &[f64; 5]| -> f64 {
            overview.curves.rows.iter().map(|row| of(row)[i]).sum::<f64>() * overview.run_seconds / 24.0
        };
        assert!((sum(|row| &row.drawn) / stage.total as f64 - 1.0).abs() < 1e-9);
        let z = (sum(|row| &row.expected) - stage.total as f64) / (DISPERSION[i] * drawn[i]).sqrt();
        assert!(z.abs() < 4.5, "{}: {} drawn", stage.stage.name(), stage.total);
        assert!(stage.busiest_second as f64 >= stage.peak_rate / 2.0);
    }
    let names: Vec<_> = overview.signals.iter().map(|mark| mark.name.as_str()).collect();
    assert_eq!(names, ["listing", "listing goes live"]);
    let why = overview.explanation.expect("a listing moves the day");
    assert_eq!((why.trigger.as_str(), why.at_seconds), ("listing", 8.0 * 3600.0));
    assert!(why.front.factor > 5.0 && why.downstream.lag_seconds > why.front.lag_seconds);
    let calm = Scenario { signals: Vec::new(), ..sample::sample() };
    assert_eq!(Plan::new(Arc::new(calm), VariantName::Baseline, 1).explain(), None);
}

#[test]
fn cascades_take_the_same_path_at_any_cut_and_another_with_another_seed() {
    let interest = |plan: &Plan| plan.demand().regions[0].level.clone();
    let whole = plan(cut(0, 24 * HOUR, 1440.0, 1.0), 5);
    let slice = plan(cut(7 * HOUR, 9 * HOUR, 10.0, 0.01), 5);
    assert_eq!(interest(&whole), interest(&slice));
    assert_ne!(interest(&whole), interest(&plan(cut(0, 24 * HOUR, 1440.0, 1.0), 6)));
    assert_ne!(interest(&whole), whole.demand().regions[1].level.clone());
}

#[test]
fn threads_that_draw_shards_give_the_unsharded_plan() {
    let plan = quick(3);
    let draw = |i: u32| {
        let plan = plan.clone();
        std::thread::spawn(move || plan.shard(i, 4).collect::<Vec<Arrival>>())
    };
    let threads: Vec<_> = (0..4).map(draw).collect();
    let mut union: Vec<Arrival> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    union.sort_by_key(|arrival| (arrival.due(), arrival.index));
    assert!(union.into_iter().eq(&plan));
}

#[test]
fn the_digest_sees_whatever_makes_an_arrival_another_one() {
    let with = |change: fn(&mut Scenario)| {
        let mut scenario = Scenario { cut: cut(0, 24 * HOUR, 10_800.0, 1.0), ..sample::sample() };
        change(&mut scenario);
        Plan::new(Arc::new(scenario), VariantName::Baseline, 1).digest()
    };
    let plain = with(|_| {});
    let changes: [fn(&mut Scenario); 8] = [
        |it| it.funnel.magnet_share = 0.41,
        |it| it.content.zipf = 0.91,
        |it| it.audience.returning = 0.31,
        |it| it.clients.members[1].0.dht = true,
        |it| it.funnel.cached = 0.51,
        |it| it.access.members[0].0.unreachable = 0.65,
        |it| it.cut.scale = 1.01,
        |it| it.signals[0].confidence = 0.99,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        assert_ne!(with(change), plain, "change {i}");
    }
    // What only people read changes nothing.
    assert_eq!(with(|it| it.title = "another".into()), plain);
}

#[test]
fn abuse_comes_at_its_rate_from_new_clusters_and_a_herd_announces_together() {
    let mut scenario = Scenario { cut: cut(9 * HOUR, 10 * HOUR, 10.0, 1.0), ..sample::sample() };
    let seconds = |seconds| Duration::from_secs(seconds);
    scenario.abuse = vec![Abuse {
        name: "bots".into(),
        what: AbuseKind::Announce,
        from: seconds(9 * HOUR + 600),
        until: seconds(9 * HOUR + 1200),
        rate: 50.0,
        old_clusters: 0.01,
        regions: vec![1],
    }];
    scenario.restarts =
        vec![Incident { name: "herd".into(), at: seconds(9 * HOUR + 1500), share: 0.5, over: seconds(20) }];
    let plan = Plan::new(Arc::new(scenario), VariantName::Baseline, 2);
    let (mut abuse, mut old, mut herd, mut echo) = (0.0, 0.0, 0.0, 0.0);
    for arrival in &plan {
        let at = arrival.due().as_secs_f64() * 10.0;
        match arrival.origin {
            Origin::Abuse(0) => {
                assert!((600.0..1200.0).contains(&at) && arrival.region == 1);
                assert_eq!(arrival.steps[0].what, What::Announce(AnnounceEvent::Started));
                abuse += 1.0;
                old += f64::from(u8::from(arrival.cohort != Cohort::NewCluster));
            }
            Origin::Population if arrival.steps[0].what == What::Announce(AnnounceEvent::Started) => {
                assert!((1490.0..1530.0).contains(&at), "a herd at {at}");
                herd += 1.0;
            }
            Origin::Population if (3300.0..3320.0).contains(&at) => echo += 1.0,
            _ => {}
        }
    }
    // Ten times as fast, the rates stay: a tenth of the events.
    assert!((abuse - 3000.0_f64).abs() < 4.0 * 3000_f64.sqrt(), "{abuse}");
    assert!(old < 60.0, "{old} from old clusters");
    let peers = plan.demand().population(9.0 * 3600.0 + 1490.0) * 0.5 / 10.0;
    assert!((herd / peers - 1.0).abs() < 0.05, "{herd} of {peers}");
    assert!((0.7..1.2).contains(&(echo / herd)), "{echo} after the interval, of {herd}");
    let overview = plan.overview(10);
    let announce = &overview.curves.stages[Stage::Announce as usize];
    assert!(
        (announce.peak_at_seconds - 9.0 * 3600.0 - 1500.0).abs() < 30.0
            && announce.peak_rate > 0.9 * peers / 2.0
    );
    assert_eq!(overview.confounders.len(), 2);
}

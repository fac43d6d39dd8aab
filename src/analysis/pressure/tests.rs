//! Pressures of made-up samples, whose truth is known.

use proptest::prelude::*;

use super::*;

const SECONDS: u64 = 40;

/// A process of the tracker: second → (CPU seconds so far, what else is read).
fn process(pid: u32, of: impl Fn(f64) -> (f64, Readings)) -> Vec<Resources> {
    let sample = |second: u64| {
        let (cpu_seconds, readings) = of(second as f64);
        let (layer, at_seconds) = (Some(Layer::Tracker), Some(second as f64));
        let worker_cpu_seconds = Vec::new();
        Resources {
            second,
            layer,
            pid,
            cpu_seconds,
            rss_bytes: 10,
            descriptors: 5,
            at_seconds,
            worker_cpu_seconds,
            readings,
        }
    };
    (0..=SECONDS).map(sample).collect()
}

fn samples(resources: Vec<Resources>) -> Samples {
    Samples::new(&resources, &[])
}

/// A tenth of a core for 20 s, then this much.
fn risen(at: f64, cores: f64) -> f64 {
    at.min(20.0) * 0.1 + (at - 20.0).max(0.0) * cores
}

fn explained(samples: &Samples) -> Option<(Resource, f64)> {
    let found = samples.explains(Some(Layer::Tracker), 22, 32)?;
    Some((found.resource, (found.utilisation * 100.0).round() / 100.0))
}

#[test]
fn cpu_is_held_against_what_may_be_used() {
    let of =
        |cores, limit| samples(process(1, |at| (risen(at, cores), [(Reading::CpuLimitCores, limit)].into())));
    assert_eq!(
        explained(&of(0.19, 0.2)),
        Some((Resource::Cpu, 0.95)),
        "0.19 of the 0.2 cores that it may use"
    );
    assert_eq!(explained(&of(0.19, 2.0)), None);
    let known = of(0.19, 0.2);
    let found = &known.pressure(Some(Layer::Tracker), 22, 32)[0];
    assert!(
        (found.used - 0.19).abs() < 1e-9 && (found.limit - 0.2).abs() < 1e-9 && found.source == "process 1",
        "{found:?}"
    );
    let second = known.pressure(Some(Layer::Tracker), 25, 26);
    assert!((second[0].used - 0.19).abs() < 1e-9, "second by second: {second:?}");
    let whole = known.explains(Some(Layer::Tracker), 32, 40);
    assert_eq!(whole, None, "it was full before that window, and explains nothing that began in it");
    assert_eq!(known.pressure(Some(Layer::Index), 22, 32), []);
    assert_eq!(known.pressure(None, 22, 32), []);
    assert_eq!(known.pressure(Some(Layer::Tracker), 90, 99), [], "nothing was read then");
}

#[test]
fn one_thread_without_a_core_of_its_own_is_enough() {
    let of = |ran: f64, busy: f64| {
        samples(process(1, |at| {
            let now = at > 20.0;
            let thread = if now { (ran, busy) } else { (0.1, 0.1) };
            let readings = [
                (Reading::CpuLimitCores, 8.0),
                (Reading::ThreadCores, thread.0),
                (Reading::ThreadBusy, thread.1),
            ];
            (risen(at, ran), readings.into())
        }))
    };
    assert_eq!(explained(&of(0.97, 0.99)), Some((Resource::Cpu, 0.99)), "one thread, eight cores");
    assert_eq!(explained(&of(0.5, 0.98)), Some((Resource::Cpu, 0.98)), "a neighbour has the other half");
    assert_eq!(explained(&of(0.5, 0.6)), None);
}

#[test]
fn what_is_held_and_what_is_dropped_is_judged_too() {
    let of = |reading, value: fn(f64) -> f64, limit: Option<(Reading, f64)>| {
        samples(process(1, move |at| {
            let read = [(reading, value(at))].into_iter().chain(limit);
            (at * 0.1, read.collect())
        }))
    };
    let drops = of(Reading::UdpReceiveDrops, |at| (at - 25.0).max(0.0) * 9.0, None);
    assert_eq!(explained(&drops), Some((Resource::UdpReceiveBuffer, 1.0)));
    assert_eq!(drops.explains(Some(Layer::Tracker), 22, 32).unwrap().drops, 63.0);
    assert_eq!(explained(&of(Reading::UdpReceiveDrops, |_| 9e9, None)), None, "dropped before the run");
    assert_eq!(explained(&of(Reading::UdpReceiveDrops, |at| at * 5.0, None)), None, "dropped all the time");
    let limit = Some((Reading::DescriptorLimit, 5.0));
    let few = of(Reading::Threads, |_| 1.0, limit);
    assert_eq!(explained(&few), None, "as full before");
    assert_eq!(few.pressure(Some(Layer::Tracker), 22, 32)[0].resource, Resource::Descriptors);
    assert_eq!(
        explained(&of(Reading::DiskBusy, |at| if at > 21.0 { 0.97 } else { 0.2 }, None)),
        Some((Resource::Disk, 0.97))
    );
    assert_eq!(
        explained(&of(Reading::ThrottledSeconds, |at| (at - 21.5).max(0.0) * 0.95, None)).map(|it| it.0),
        Some(Resource::Throttled)
    );
    let busy = of(Reading::DiskBusy, |_| 0.97, None);
    assert_eq!(explained(&busy), None, "as busy before");
    let at_once = |from| busy.explains(Some(Layer::Tracker), from, from + 15).map(|it| it.resource);
    assert_eq!(
        [0, 1, 2].map(at_once),
        [Some(Resource::Disk), Some(Resource::Disk), None],
        "nothing was before"
    );
}

#[test]
fn samples_out_of_order_and_limits_of_nothing_tell_what_they_can() {
    let of = |limit| {
        let mut samples = process(1, |at| (risen(at, 0.5), [(Reading::CpuLimitCores, limit)].into()));
        samples.reverse();
        Samples::new(&samples, &[])
    };
    assert_eq!(explained(&of(0.5)), Some((Resource::Cpu, 1.0)));
    assert_eq!(of(0.0).pressure(Some(Layer::Tracker), 22, 32), [], "no share of no core");
}

#[test]
fn the_cause_comes_before_what_it_causes_and_endpoints_count_as_processes_do() {
    let metrics = |at: u64| Metrics {
        source: "http://10.0.0.1:9100/metrics".to_owned(),
        at_seconds: at as f64 + 0.3,
        layer: Some(Layer::Tracker),
        readings: [
            (Reading::CpuSeconds, risen(at as f64, 1.96)),
            (Reading::CpuLimitCores, 2.0),
            (Reading::UdpReceiveDrops, (at as f64 - 20.0).max(0.0)),
        ]
        .into(),
        trouble: None,
    };
    let machine = |at: u64| Metrics {
        source: Metrics::MACHINE.to_owned(),
        at_seconds: at as f64,
        layer: None,
        readings: [(Reading::AcceptDrops, (at as f64 - 22.0).max(0.0))].into(),
        trouble: None,
    };
    let read: Vec<_> = (0..=SECONDS).flat_map(|at| [metrics(at), machine(at)]).collect();
    let samples = Samples::new(&[], &read);
    let found = samples.explains(Some(Layer::Tracker), 22, 32).unwrap();
    assert_eq!((found.resource, found.source.as_str()), (Resource::Cpu, "http://10.0.0.1:9100/metrics"));
    // Only who has a queue can have lost from it.
    let queue = |waiting: f64| process(1, move |_| (0.0, [(Reading::AcceptQueue, waiting)].into()));
    let of = |waiting| Samples::new(&queue(waiting), &read).pressure(Some(Layer::Tracker), 22, 32);
    let full = |found: &[Pressure]| found.iter().any(|it| it.resource == Resource::AcceptQueue);
    assert!(full(&of(3.0)) && !full(&of(0.0)));
}

proptest! {
    /// The parts of a window are the window.
    #[test]
    fn growth_adds_up(steps in prop::collection::vec(0.0..9.0_f64, 12), cut in 1.0..10.0_f64) {
        let mut sum = 0.0;
        let mut track = Track::default();
        for (at, step) in steps.iter().enumerate() {
            sum += step;
            track.read(at as f64, [(Reading::Retransmits, sum)]);
        }
        let growth = |from, until| track.growth(Reading::Retransmits, Window { from, until }).unwrap();
        prop_assert!((growth(0.0, cut) + growth(cut, 11.0) - growth(0.0, 11.0)).abs() < 1e-9);
        prop_assert!((growth(0.0, 11.0) - (sum - steps[0])).abs() < 1e-9);
    }
}

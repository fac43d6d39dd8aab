use super::queue::{Admission, Queue};
use super::*;
use crate::profile::Envelope;
use crate::scenario::sample::sample;
use crate::scenario::{Cut, Fault, FaultLimits};

/// An M/M/c queue on its own, fed by a Poisson stream: shares of delayed jobs, mean wait and p99 wait in units of the mean service time.
fn erlang(servers: u32, load: f64, jobs: usize, seed: u64) -> (f64, f64, f64) {
    use rand_distr::{Distribution, Exp1};
    let service = Duration::from_millis(10);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut queue = Queue::new(Capacity { servers, service, waiting: u32::MAX, bandwidth: None, loss: 0.0 });
    let mut agenda: BinaryHeap<Reverse<(Tick, u64)>> = BinaryHeap::new();
    let mut arrived: HashMap<u64, Tick> = HashMap::new();
    let mut waits = Vec::with_capacity(jobs);
    let gap = service.as_secs_f64() / (f64::from(servers) * load);
    let mut clock = 0.0;
    for job in 0..jobs as u64 {
        let exponential: f64 = Exp1.sample(&mut rng);
        clock += gap * exponential;
        let now = Tick::from_secs_f64(clock);
        while let Some(Reverse((at, _))) = agenda.peek().copied()
            && at <= now
        {
            agenda.pop();
            if let Some((next, until)) = queue.served(at, &mut rng) {
                waits.push(at.since(arrived[&next]).as_secs_f64() / service.as_secs_f64());
                agenda.push(Reverse((until, next)));
            }
        }
        match queue.admit(job, now, &mut rng) {
            Admission::Serving(until) => {
                waits.push(0.0);
                agenda.push(Reverse((until, job)));
            }
            Admission::Waiting => {
                arrived.insert(job, now);
            }
            Admission::Full => panic!("the queue is unbounded"),
        }
    }
    let delayed = waits.iter().filter(|wait| **wait > 0.0).count() as f64 / waits.len() as f64;
    let mean = waits.iter().sum::<f64>() / waits.len() as f64;
    waits.sort_by(f64::total_cmp);
    (delayed, mean, waits[waits.len() * 99 / 100])
}

/// `domain.md` section 3: (c, rho) → Erlang C, Wq/S, p99 Wq/S.
#[test]
fn queues_reproduce_erlang_c() {
    for (servers, load, oracle) in [
        (1, 0.9, [0.9000, 9.0, 45.0]),
        (8, 0.8, [0.4576, 0.286, 2.390]),
        (8, 0.95, [0.8442, 2.110, 11.089]),
        (64, 0.95, [0.5880, 0.1838, 1.273]),
    ] {
        let (delayed, mean, p99) = erlang(servers, load, 2_000_000, 7);
        // Waits are correlated over ~1/(1-rho)^2 services: at 0.95 two million jobs are worth about 2,000 independent ones.
        for (name, found, expected) in
            [("delayed", delayed, oracle[0]), ("mean", mean, oracle[1]), ("p99", p99, oracle[2])]
        {
            let error = (found / expected - 1.0).abs();
            assert!(error < 0.08, "c={servers} rho={load} {name}: {found:.4}, Erlang {expected}");
        }
    }
}

#[test]
fn a_full_queue_turns_away() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let capacity =
        Capacity { servers: 1, service: Duration::from_secs(1), waiting: 1, bandwidth: None, loss: 0.0 };
    let mut queue = Queue::new(capacity);
    assert!(matches!(queue.admit(0, Tick::ZERO, &mut rng), Admission::Serving(_)));
    assert_eq!(queue.admit(1, Tick::ZERO, &mut rng), Admission::Waiting);
    assert_eq!(queue.admit(2, Tick::ZERO, &mut rng), Admission::Full);
    assert_eq!(queue.served(Tick::from_millis(5), &mut rng).map(|(job, _)| job), Some(1));
    assert_eq!(queue.served(Tick::from_millis(9), &mut rng), None);
    assert!(matches!(queue.admit(3, Tick::from_millis(9), &mut rng), Admission::Serving(_)));
}

/// Visitors who have all day or a second, and an index layer that is quick but for its line.
fn index(bandwidth: Option<f64>, patience: u64, faults: Vec<Fault>) -> ModelWorld {
    let mut scenario = Scenario { faults, ..sample() };
    scenario.cut = Cut { speed: 1.0, scale: 1.0, from: Duration::ZERO, until: Duration::from_secs(60) };
    scenario.funnel.patience = Duration::from_secs(patience);
    let capacity =
        Capacity { servers: 1000, service: Duration::from_micros(1), waiting: 0, bandwidth, loss: 0.0 };
    let target = ModelTarget {
        name: "index".to_owned(),
        round_trip: Duration::ZERO,
        layers: [(Layer::Index, capacity)].into(),
        envelope: Envelope::default(),
    };
    ModelWorld::new(&scenario, &target, 1)
}

/// How the pages end that are asked for in these seconds, in order of their ends: seconds from then, and bytes.
fn pages(world: &mut ModelWorld, at: &[u64]) -> Vec<(f64, u64)> {
    let visitor = Visitor { access: u8::MAX, ..Visitor::sample() };
    let mut ended = Vec::new();
    let mut until = |world: &mut ModelWorld, second: u64| {
        while let Some((_, outcome)) = complete(world.wait(Tick::from_millis(second * 1000))) {
            ended.push((outcome.ended.since(outcome.started).as_secs_f64(), outcome.bytes_in));
        }
    };
    for (number, &second) in (0..).zip(at) {
        until(world, second);
        let id = OpId { journey: JourneyId(number), stage: Stage::Index };
        world.perform(id, &visitor, Operation::Page);
    }
    until(world, 600);
    ended
}

#[test]
fn who_gives_up_on_a_line_leaves_nothing_behind() {
    // Ten pages of 8 KiB, a tenth of 1 KiB/s each.
    let mut world = index(Some(1024.0), 1, Vec::new());
    let ended = pages(&mut world, &[5; 10]);
    assert!(ended.iter().all(|&(took, bytes)| took == 1.0 && (90..=110).contains(&bytes)), "{ended:?}");
    assert!(world.jobs.is_empty() && world.waited_for.is_empty());
}

#[test]
fn a_fault_narrows_a_line_for_a_while() {
    let limits = FaultLimits { bandwidth: Some(1024.0), ..FaultLimits::default() };
    let seconds = Duration::from_secs;
    let fault =
        |layer| Fault { name: "narrow".to_owned(), layer, at: seconds(10), lasts: seconds(20), limits };
    let took = |layer| {
        let ended = pages(&mut index(None, 3600, vec![fault(layer)]), &[5, 12, 25, 40]);
        ended.into_iter().map(|(took, _)| took.round() as u64).collect::<Vec<_>>()
    };
    assert_eq!(took(Layer::Index), [0, 8, 5, 0], "8 s each, and what is left at its end at once");
    assert_eq!(took(Layer::Dht), [0; 4]);
}

use super::queue::{Admission, Queue};
use super::*;

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

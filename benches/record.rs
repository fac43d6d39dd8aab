//! What one observation costs a worker: the goal is at most 100 ns.
#![allow(missing_docs, reason = "criterion's macros")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use squall::drive::{Event, Observation, Settled};
use squall::journey::{Kind, Web};
use squall::record;
use squall::unit::Tick;

fn observe(criterion: &mut Criterion) {
    // Without an inbox finished seconds are dropped, so that the memory stays as flat as with a recorder that keeps up.
    let mut workers = record::channel(1).0;
    let Some(mut worker) = workers.pop() else { return };
    let mut number = 0_u64;
    criterion.bench_function("observe a settled operation", |bencher| {
        bencher.iter(|| {
            number += 1;
            // 100,000 operations a second, latencies between 1 and 17 ms.
            let due = Tick(number * 10_000);
            let started = due + Duration::from_micros(number % 97);
            let seen = Observation {
                kind: Kind::ALL[(number % 5) as usize],
                due,
                released: due,
                started,
                ended: started + Duration::from_micros(1000 + number.wrapping_mul(2_654_435_761) % 16_000),
                settled: Settled::Ok,
                bytes_in: 1400,
                bytes_out: 120,
                foreign: 0,
                retransmits: 0,
                web: Web::default(),
                oddities: Vec::new(),
                attempt: 0,
                region: (number % 4) as u8,
                client: (number % 4) as u8,
                access: (number % 5) as u8,
                content: (number % 300) as u16,
            };
            worker.observe(black_box(Event::Settled(seen)));
        });
    });
}

criterion_group!(benches, observe);
criterion_main!(benches);

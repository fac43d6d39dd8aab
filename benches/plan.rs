//! How fast a plan is walked through: the target is less than a microsecond an arrival.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall::plan::Plan;
use squall::scenario::{VariantName, sample};

/// The sample's day with an audience large enough for ten million arrivals.
fn large() -> Plan {
    let mut scenario = sample::sample();
    scenario.cut.scale = 3000.0;
    Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
}

fn walk(criterion: &mut Criterion) {
    const ARRIVALS: usize = 1_000_000;
    let plan = large();
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10).throughput(Throughput::Elements(ARRIVALS as u64));
    group.bench_function("arrivals", |bench| {
        bench.iter(|| plan.arrivals().take(ARRIVALS).fold(0, |sum, arrival| sum ^ black_box(arrival.seed)));
    });
    group.throughput(Throughput::Elements((ARRIVALS / 4) as u64));
    group.bench_function("arrivals of one shard of four", |bench| {
        bench.iter(|| {
            plan.shard(0, 4).take(ARRIVALS / 4).fold(0, |sum, arrival| sum ^ black_box(arrival.seed))
        });
    });
    group.finish();
}

fn build(criterion: &mut Criterion) {
    criterion.bench_function("plan/new", |bench| bench.iter(large));
}

criterion_group!(benches, walk, build);
criterion_main!(benches);

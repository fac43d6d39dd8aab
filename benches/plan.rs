//! How fast a plan is walked through and looked at: the targets are 100 ns for an arrival, and 10 s for a glance at 10^8 visitors of three
//! days.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use squall::plan::Plan;
use squall::scenario::{VariantName, sample};

/// The sample's day with an audience large enough for ten million arrivals.
fn large() -> Plan {
    let mut scenario = sample::sample();
    scenario.cut.scale = 4000.0;
    Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
}

fn walk(criterion: &mut Criterion) {
    const ARRIVALS: usize = 10_000_000;
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

/// Three days at real time with 10^8 visitors on two regions.
fn internet_scale() -> Plan {
    let mut scenario = sample::sample();
    let days = Duration::from_secs(72 * 3600);
    (scenario.duration, scenario.cut.until, scenario.cut.speed) = (days, days, 1.0);
    scenario.audience.base = 290.0;
    Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
}

fn glance(criterion: &mut Criterion) {
    let plan = internet_scale();
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10);
    group.bench_function("overview of 10^8 visitors", |bench| bench.iter(|| plan.overview(240).arrivals));
    group.finish();
}

fn build(criterion: &mut Criterion) {
    criterion.bench_function("plan/new", |bench| bench.iter(large));
}

criterion_group!(benches, walk, glance, build);
criterion_main!(benches);

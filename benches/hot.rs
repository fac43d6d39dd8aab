//! Wall time of the five hot paths, as advice: the gate counts instructions (`harness/instructions`). Goals: 100 ns for an arrival, 300 ns
//! for an event, of which a visit has about six, and 100 ns for an observation.
#![allow(missing_docs, reason = "criterion's macros")]

mod paths;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn hot(criterion: &mut Criterion) {
    for (name, operation, operations, prepare) in paths::PATHS {
        let mut path = prepare();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(operations));
        group.bench_function(operation, |bencher| bencher.iter(|| path(operations)));
        group.finish();
    }
}

criterion_group!(benches, hot);
criterion_main!(benches);

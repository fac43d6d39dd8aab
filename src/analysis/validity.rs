//! Who was the limit: the target, or the generator?
//!
//! `domain.md` section 3 voids a run whose send-lag p99 is over 1 ms and over 10 % of the mean gap between operations. That rule is for a
//! generator alone on its machine. A rehearsal shares two cores with its own testbed, and at thousands of operations a second 10 % of
//! the gap is below what any scheduler keeps, so the plain rule would void every one of them. A lag matters when it can change a
//! verdict: where the target has an envelope, the p99 must also be over 10 % of its tightest latency limit. Latency from due
//! contains the lag anyway, so what is tolerated is counted against the target, never hidden. Without an envelope the plain rule holds.

use crate::journey::{Cause, Kind};
use crate::record::{Bound, Counts, Recording, Shortage, WorldName};

use super::flow::{counts, plan_seconds, send_lag};
use super::stats::{quantile_seconds, share};
use super::summary::{Fault, Generator, ResourceSummary};

const SENT_AT_LEAST: f64 = 0.999;
const LAG_SECONDS: f64 = 0.001;
const LAG_SHARE: f64 = 0.1;
const LOCAL_ERRORS: f64 = 0.001;
const CORES_PER_WORKER: f64 = 0.8;
/// Part of what there was, from which on it was used up: processes are looked at once a second, and peaks lie between.
const USED_UP: f64 = 0.9;

/// Judges the generator.
pub(super) fn generator(recording: &Recording, resources: &[ResourceSummary]) -> Generator {
    let rows = &recording.rows;
    let whole = |kind: Kind| !kind.is_part();
    let operations = counts(rows, whole);
    let mut journeys = Counts::default();
    rows.iter().for_each(|row| journeys += &row.journeys);
    let books = [&operations, &journeys];
    let unsent = |shed: fn(&Counts) -> u64| {
        let shares = books.map(|counts| share(shed(counts), counts.released + counts.shed));
        shares[0].max(shares[1])
    };
    let sent_share = 1.0 - unsent(|counts| counts.shed);
    // What the ceiling held back is a fault by another name; all the rest is want of speed.
    let slow = 1.0 - unsent(|counts| counts.shed.saturating_sub(counts.shed_ceiling));
    let held_back = operations.shed_ceiling;
    let lag_p99 = quantile_seconds(&send_lag(rows, whole), 0.99);
    let gap = (operations.planned > 0).then(|| plan_seconds(recording) / operations.planned as f64);
    let local = share(operations.failed.of(Cause::Local), operations.measured());
    // One worker that is at its end beside others that are idle is enough: its share of the plan is late.
    let cpu = resources.iter().find(|used| used.layer.is_none()).and_then(|used| {
        let on_average = used.peak_cpu_cores.map(|cores| cores / recording.manifest.workers.max(1) as f64);
        used.peak_thread_cores.or(on_average)
    });

    let limits = recording.manifest.envelope.layers.values().map(|promise| promise.slo.limit.as_secs_f64());
    let tightest = limits.fold(f64::INFINITY, f64::min);
    let matters = |lag: f64| tightest.is_infinite() || lag > LAG_SHARE * tightest;
    let too_late =
        |lag: f64| lag > LAG_SECONDS && gap.is_some_and(|gap| lag > LAG_SHARE * gap) && matters(lag);
    // In virtual time the generator's CPU bounds nothing but the patience of whoever waits for the result.
    let live = recording.manifest.world == WorldName::Live;
    let faults = [
        (slow < SENT_AT_LEAST).then_some(Fault::Shed { sent_share: slow }),
        (sent_share < SENT_AT_LEAST && held_back > 0).then_some(Fault::Ceiling { operations: held_back }),
        lag_p99.filter(|&lag| too_late(lag)).map(|p99_seconds| Fault::Lag { p99_seconds }),
        (local > LOCAL_ERRORS).then_some(Fault::LocalErrors { share: local }),
        cpu.filter(|&cores| live && cores > CORES_PER_WORKER)
            .map(|cores_per_worker| Fault::Cpu { cores_per_worker }),
    ];
    let faults: Vec<Fault> = faults.into_iter().flatten().collect();
    // The ceiling of an authorisation is no want of the machine's.
    let own = faults.iter().any(|fault| !matches!(fault, Fault::Ceiling { .. }));
    Generator {
        shortages: if own { shortages(recording, resources) } else { Vec::new() },
        faults,
        sent_share,
        lag_p99_seconds: lag_p99,
        mean_gap_seconds: gap,
        local_error_share: local,
        cpu_cores_per_worker: cpu,
    }
}

/// What of the machine was used up in the run, and what was foreseen to be.
fn shortages(recording: &Recording, resources: &[ResourceSummary]) -> Vec<Shortage> {
    let Some(host) = &recording.manifest.host else { return Vec::new() };
    let own = resources.iter().find(|used| used.layer.is_none());
    let descriptors = own.map(|own| own.peak_descriptors as f64);
    // With what of the target runs here: it is the generator's cores that it takes.
    let cores = own.map(|_| resources.iter().filter_map(|used| used.peak_cpu_cores).sum());
    let limits = host.limits.as_ref();
    let soft = limits.and_then(|limits| limits.descriptors.soft).map(|soft| soft as f64);
    let usable = limits.map(|limits| limits.usable_cores());
    let used = [(Bound::Descriptors, descriptors, soft), (Bound::Cores, cores, usable)];
    let mut found: Vec<Shortage> = used
        .into_iter()
        .filter_map(|(of, used, available)| {
            let (needed, available) = (used?, available?);
            (needed >= USED_UP * available).then_some(Shortage { of, needed, available, certain: true })
        })
        .collect();
    for foreseen in &host.foreseen {
        if found.iter().all(|seen| seen.of != foreseen.of) {
            found.push(*foreseen);
        }
    }
    found
}

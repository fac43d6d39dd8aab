//! What a trial measured.

use std::time::Duration;

use serde::Serialize;

use crate::analysis::flow::{counts, latency_from_due};
use crate::analysis::stats::{allowance, longer_than, quantile_seconds, share};
use crate::analysis::{Fault, usage, validity};
use crate::journey::Kind;
use crate::profile::{Layer, Slo};
use crate::record::{Recording, Row};

use super::Limit;

/// Share of what is offered that is to be served, where the SLO does not allow for less.
const GOOD: f64 = 0.99;

/// What a trial measured, its warm-up left out.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Measured {
    /// Operations that became due, first tries alone.
    pub offered_per_second: f64,
    /// Operations that ended well.
    pub goodput_per_second: f64,
    /// Of the operations that became due, those that ended well by the end of the drain; less where visitors could not get as far as
    /// asking. 0..=1.
    pub served_share: f64,
    /// The SLO's quantile of the latency from due, of those that ended.
    pub quantile_seconds: Option<f64>,
    /// Share of the operations that failed or did not come back, the generator's own failures not counted.
    pub error_share: f64,
    /// Visitors by which the backlog grew, per second: its peak over what it was at the beginning, by the time.
    pub backlog_per_second: f64,
    /// Operations that became due for each visitor that came.
    pub operations_per_visitor: f64,
    /// Whether the generator kept up.
    pub generator_faults: Vec<Fault>,
    /// What the rate failed by; `None` where it was kept.
    pub limit: Option<Limit>,
}

/// Reads a trial of a layer.
///
/// What became due in the judged seconds and ended in the drain counts; what never did is late and bad. A backlog of visitors that
/// grows shows what latencies do not show yet, and what hides behind those who wait for their own previous operation. It counts as
/// growing if its peak is above its beginning by more than 1 % of the visitors who came, by more than chance explains (three times the
/// square root of a Poisson number), and if it still grew in the second half.
#[must_use]
pub fn measure(recording: &Recording, layer: Layer, slo: &Slo, warm_up: Duration) -> Measured {
    let of = |kind: Kind| kind.is_operation_of(layer);
    let rows = &recording.rows;
    let from = (warm_up.as_secs() as usize).min(rows.len());
    let until = (recording.manifest.length.as_secs() as usize).clamp(from, rows.len());
    let judged = counts(&rows[from..until], of);
    let all = counts(&rows[from..], of);
    let due = latency_from_due(&rows[from..], of);
    let seconds = (until - from).max(1) as f64;
    let visitors: u64 = rows[from..until].iter().map(|row| row.journeys.planned).sum();

    let failed = all.failed.by_target();
    let known = all.ok + failed + all.cut;
    let backlog = Backlog::of(rows, from, until);
    let growing = backlog.grows(visitors);
    let unserved = if growing { share(backlog.growth, visitors) } else { 0.0 };
    let served_share = (share(all.ok, all.first_tries()).min(1.0) - unserved).max(0.0);

    let late = longer_than(&due, slo.limit) + all.cut;
    let breach = if failed > allowance(slo.errors, known) {
        Some(Limit::Errors)
    } else if late > allowance(1.0 - slo.quantile, due.len() + all.cut) {
        Some(Limit::Latency)
    } else if growing || all.first_tries() == 0 || served_share < GOOD.min(1.0 - slo.errors) {
        Some(Limit::Goodput)
    } else {
        None
    };
    let resources = usage::usage(&recording.resources, rows.len() as u64);
    let mut faults = validity::generator(recording, &resources).faults;
    // What was shed while the layer was overloaded on purpose is no part of what is judged.
    let shed = |row: &Row| row.journeys.shed + row.kinds.values().map(|kind| kind.counts.shed).sum::<u64>();
    if rows[from..].iter().all(|row| shed(row) == 0) {
        faults.retain(|fault| !matches!(fault, Fault::Shed { .. } | Fault::Ceiling { .. }));
    }
    Measured {
        offered_per_second: judged.first_tries() as f64 / seconds,
        goodput_per_second: judged.ok as f64 / seconds,
        served_share,
        quantile_seconds: quantile_seconds(&due, slo.quantile),
        error_share: share(failed + all.cut, known),
        backlog_per_second: backlog.growth as f64 / seconds,
        operations_per_visitor: share(judged.first_tries(), visitors),
        limit: whose(breach, &faults),
        generator_faults: faults,
    }
}

/// Whose limit it was. A generator that was late, or out of CPU or ports, while the layer kept its promise was no limit; one that could
/// not send everything was, unless it kept up and had only too much under way, which is the layer's doing.
pub(super) fn whose(breach: Option<Limit>, faults: &[Fault]) -> Option<Limit> {
    let has = |of: fn(&Fault) -> bool| faults.iter().any(of);
    if has(|fault| matches!(fault, Fault::Ceiling { .. })) {
        return Some(Limit::Ceiling);
    }
    let strained =
        has(|fault| matches!(fault, Fault::Lag { .. } | Fault::Cpu { .. } | Fault::LocalErrors { .. }));
    match breach {
        Some(_) if strained => Some(Limit::Generator),
        Some(breach) => Some(breach),
        None => has(|fault| matches!(fault, Fault::Shed { .. })).then_some(Limit::Generator),
    }
}

/// Visitors under way.
struct Backlog {
    /// The peak over the beginning.
    growth: u64,
    peak: u64,
    /// From the middle to the end.
    second_half: i64,
}

impl Backlog {
    fn of(rows: &[Row], from: usize, until: usize) -> Self {
        let mut open = 0;
        let under_way: Vec<u64> = rows[..until]
            .iter()
            .map(|row| {
                open += row.journeys.planned;
                open = open.saturating_sub(row.journeys.shed + row.journeys.settled());
                open
            })
            .collect();
        let at =
            |second: usize| second.checked_sub(1).and_then(|last| under_way.get(last)).copied().unwrap_or(0);
        let peak = under_way[from.min(under_way.len())..].iter().copied().max().unwrap_or(0);
        let middle = at(usize::midpoint(from, until));
        Self { growth: peak.saturating_sub(at(from)), peak, second_half: at(until) as i64 - middle as i64 }
    }

    fn grows(&self, visitors: u64) -> bool {
        let growth = self.growth as f64;
        let by_more_than_chance = growth > 3.0 * (self.peak as f64).sqrt();
        growth > (1.0 - GOOD) * visitors as f64
            && by_more_than_chance
            && self.second_half as f64 > growth / 4.0
    }
}

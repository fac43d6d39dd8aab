//! Closed seconds for those who watch a run.

use serde::Serialize;

use crate::plan::Stage;

use super::latency::histogram;
use super::row::Row;

/// One closed second, for those who watch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Snapshot {
    /// Which second.
    pub second: u64,
    /// Every stage, in funnel order.
    pub stages: Vec<StageSnapshot>,
}

/// One stage in one second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageSnapshot {
    /// Which.
    pub stage: Stage,
    /// Operations that became due.
    pub offered: u64,
    /// Operations that were released.
    pub achieved: u64,
    /// Operations that could not be released.
    pub shed: u64,
    /// Operations that ended as they should.
    pub ok: u64,
    /// Operations that ended otherwise.
    pub failed: u64,
    /// Operations under way at the end of the second.
    pub in_flight: u64,
    /// 99th percentile of the latency from due, in seconds; absent where nothing ended.
    pub p99_due_seconds: Option<f64>,
    /// 99th percentile of the send lag, in seconds; absent where nothing ended.
    pub p99_lag_seconds: Option<f64>,
}

impl Snapshot {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            second: row.second,
            stages: Stage::ALL.into_iter().map(|stage| of_stage(row, stage)).collect(),
        }
    }
}

fn of_stage(row: &Row, stage: Stage) -> StageSnapshot {
    let (mut due, mut lag) = (histogram(), histogram());
    let mut seen = StageSnapshot {
        stage,
        offered: 0,
        achieved: 0,
        shed: 0,
        ok: 0,
        failed: 0,
        in_flight: 0,
        p99_due_seconds: None,
        p99_lag_seconds: None,
    };
    for (_, row) in row.kinds.iter().filter(|(kind, _)| kind.stage() == stage && !kind.is_part()) {
        seen.offered += row.counts.planned;
        seen.achieved += row.counts.released;
        seen.shed += row.counts.shed;
        seen.ok += row.counts.ok;
        seen.failed += row.counts.failed.total();
        seen.in_flight += row.in_flight;
        row.latencies.due.add_to(&mut due);
        row.latencies.lag.add_to(&mut lag);
    }
    if !due.is_empty() {
        seen.p99_due_seconds = Some(due.value_at_quantile(0.99) as f64 / 1e6);
        seen.p99_lag_seconds = Some(lag.value_at_quantile(0.99) as f64 / 1e6);
    }
    seen
}

/// Operations since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Ended as they should.
    pub ok: u64,
    /// Ended otherwise.
    pub failed: u64,
    /// Could not be released.
    pub shed: u64,
}

impl Totals {
    /// Adds a second.
    pub fn add(&mut self, snapshot: &Snapshot) {
        for stage in &snapshot.stages {
            self.ok += stage.ok;
            self.failed += stage.failed;
            self.shed += stage.shed;
        }
    }
}

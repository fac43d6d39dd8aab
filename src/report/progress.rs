//! What a run shows while it goes on.

use std::time::Duration;

use crate::record::{Snapshot, StageSnapshot, Totals};

use super::plan::clock;
use super::quantity::seconds;
use super::table::{Align, table};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How long the plan takes on the run clock.
    pub length: Duration,
    /// Scenario time.
    pub scenario: Duration,
    /// What happens in the scenario (the last signal), or what the run does (draining).
    pub phase: String,
}

/// A few lines for a terminal: one second, stage by stage, and the totals so far. At most 100 columns.
#[must_use]
pub fn panel(snapshot: &Snapshot, totals: &Totals, moment: &Moment) -> String {
    let head = ["stage", "offered/s", "achieved/s", "good/s", "failed/s", "in flight", "p99 due", "p99 lag"];
    let stage = |stage: &StageSnapshot| {
        vec![
            stage.stage.name().to_owned(),
            stage.offered.to_string(),
            stage.achieved.to_string(),
            stage.ok.to_string(),
            stage.failed.to_string(),
            stage.in_flight.to_string(),
            seconds(stage.p99_due_seconds),
            seconds(stage.p99_lag_seconds),
        ]
    };
    let rows: Vec<_> =
        std::iter::once(head.map(str::to_owned).to_vec()).chain(snapshot.stages.iter().map(stage)).collect();
    let columns = [&[Align::Left][..], &[Align::Right; 7]].concat();
    format!("{}\n{}{}\n", place(snapshot, moment), table(&columns, &rows), so_far(totals))
}

/// What the figures of [`line`] mean; said once, before the first of them.
#[must_use]
pub const fn legend() -> &'static str {
    "second of the run · scenario time · what happens | achieved/offered operations of that second, by stage | totals so far"
}

/// The same on one line, for a pipe or a log: achieved and offered per stage.
#[must_use]
pub fn line(snapshot: &Snapshot, totals: &Totals, moment: &Moment) -> String {
    let stages: Vec<_> = snapshot
        .stages
        .iter()
        .map(|stage| format!("{} {}/{}", stage.stage.name(), stage.achieved, stage.offered))
        .collect();
    format!("{} | {} | {}", place(snapshot, moment), stages.join(" "), so_far(totals))
}

fn place(snapshot: &Snapshot, moment: &Moment) -> String {
    let scenario = clock((moment.scenario.as_secs() / 60 * 60) as f64);
    let length = moment.length.as_secs_f64();
    // The seconds after the plan only drain, and the phase says so.
    let second = ((snapshot.second + 1) as f64).min(length);
    format!("{second:.0} of {length:.0} s · {scenario} · {}", moment.phase)
}

fn so_far(totals: &Totals) -> String {
    format!("good {} · failed {} · shed {}", totals.ok, totals.failed, totals.shed)
}

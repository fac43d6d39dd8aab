//! The books: running totals, and the one check of writer and reader.

use std::collections::BTreeMap;

use crate::journey::Kind;

use super::error::RecordError;
use super::row::{Counts, Row};

/// Running totals of a recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    second: u64,
    journeys: Counts,
    kinds: BTreeMap<Kind, Counts>,
}

impl Ledger {
    /// Released operations of a kind that have not ended.
    pub(crate) fn in_flight(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).map_or(0, |total| total.released.saturating_sub(total.settled()))
    }

    /// Journeys and operations that became due and were neither shed nor ended: what a killed run leaves unsettled.
    pub(crate) fn unsettled(&self) -> u64 {
        let open = |total: &Counts| total.planned.saturating_sub(total.shed + total.settled());
        open(&self.journeys)
            + self.kinds.iter().filter(|(kind, _)| !kind.is_part()).map(|(_, total)| open(total)).sum::<u64>()
    }

    /// Enters a second.
    pub(crate) fn enter<'a>(
        &mut self,
        second: u64,
        journeys: &Counts,
        kinds: impl Iterator<Item = (Kind, &'a Counts)>,
    ) {
        self.second = second;
        self.journeys += journeys;
        for (kind, counts) in kinds {
            *self.kinds.entry(kind).or_default() += counts;
        }
    }

    /// Enters a row and checks it.
    ///
    /// # Errors
    /// Those of [`Ledger::verify`].
    pub(crate) fn add(&mut self, row: &Row) -> Result<(), RecordError> {
        self.enter(row.second, &row.journeys, row.kinds.iter().map(|(kind, row)| (*kind, &row.counts)));
        self.verify(row)
    }

    /// Checks the totals after the last row was entered, and the row against them.
    ///
    /// # Errors
    /// When more was released than planned, more ended than was released, or the row contradicts the totals or its own latencies.
    pub(crate) fn verify(&self, row: &Row) -> Result<(), RecordError> {
        self.check(|left, right| left >= right, "<")?;
        for (kind, in_row) in &row.kinds {
            let measured = in_row.counts.measured();
            let latencies = &in_row.latencies;
            let from_due = if kind.is_part() { 0 } else { measured };
            let sides = [
                ("in flight", in_row.in_flight, self.in_flight(*kind)),
                ("latencies from due", latencies.due.count(), from_due),
                ("service times", latencies.service.count(), measured),
                ("send lags", latencies.lag.count(), from_due),
            ];
            for (name, recorded, counted) in sides {
                if recorded != counted {
                    let reason = format!("{recorded} {name} recorded, {counted} by the counts");
                    return Err(RecordError::Ledger { what: kind.name(), second: row.second, reason });
                }
            }
        }
        Ok(())
    }

    /// Closes the books.
    ///
    /// # Errors
    /// When planned differs from released + shed, or released from ok + failed + cut.
    pub(crate) fn close(&self) -> Result<(), RecordError> {
        self.check(|left, right| left == right, "!=")
    }

    fn check(&self, holds: fn(u64, u64) -> bool, sign: &str) -> Result<(), RecordError> {
        let books = [("journeys", &self.journeys)].into_iter().chain(
            self.kinds.iter().filter(|(kind, _)| !kind.is_part()).map(|(kind, total)| (kind.name(), total)),
        );
        for (what, total) in books {
            let sides = [
                ("planned", total.planned, "released + shed", total.released + total.shed),
                ("released", total.released, "ok + failed + cut", total.settled()),
            ];
            for (left_name, left, right_name, right) in sides {
                if !holds(left, right) {
                    let reason = format!("{left_name} {left} {sign} {right_name} {right}");
                    return Err(RecordError::Ledger { what, second: self.second, reason });
                }
            }
        }
        Ok(())
    }
}

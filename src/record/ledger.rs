//! The books: running totals, and the one check of writer and reader.

use std::collections::BTreeMap;

use crate::journey::Kind;

use super::downloads::Downloads;
use super::error::RecordError;
use super::row::{Counts, Row};

/// Running totals of a recording.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    second: u64,
    journeys: Counts,
    kinds: BTreeMap<Kind, Counts>,
    downloads: Downloads,
}

impl Ledger {
    /// Released operations of a kind that have not ended.
    fn in_flight(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).map_or(0, |total| total.released.saturating_sub(total.settled()))
    }

    /// Writes into a row, the last that was entered, what is in flight.
    pub(crate) fn note_in_flight(&self, row: &mut Row) {
        for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_part()) {
            let in_flight = self.in_flight(kind);
            if in_flight > 0 || row.kinds.contains_key(&kind) {
                row.kinds.entry(kind).or_default().in_flight = in_flight;
            }
        }
    }

    /// Journeys and operations that became due and were neither shed nor ended: what a killed run leaves unsettled.
    pub(crate) fn unsettled(&self) -> u64 {
        let open = |total: &Counts| total.planned.saturating_sub(total.shed + total.settled());
        open(&self.journeys)
            + self.kinds.iter().filter(|(kind, _)| !kind.is_part()).map(|(_, total)| open(total)).sum::<u64>()
    }

    /// Enters a second.
    pub(crate) fn enter(&mut self, row: &Row) {
        self.second = row.second;
        self.journeys += &row.journeys;
        self.downloads += &row.downloads;
        for (kind, row) in &row.kinds {
            *self.kinds.entry(*kind).or_default() += &row.counts;
        }
    }

    /// Enters a row and checks it.
    ///
    /// # Errors
    /// Those of [`Ledger::verify`].
    pub(crate) fn add(&mut self, row: &Row) -> Result<(), RecordError> {
        self.enter(row);
        self.verify(row)
    }

    /// Checks the totals after the last row was entered, and the row against them.
    ///
    /// # Errors
    /// When more was released than planned, more ended than was released, or the row contradicts the totals or its own latencies.
    pub(crate) fn verify(&self, row: &Row) -> Result<(), RecordError> {
        self.check(|left, right| left >= right, "<")?;
        let times = &row.download_times;
        self.compare(
            "downloads",
            &[
                ("times to the first piece", times.first_piece.count(), row.downloads.first_pieces),
                ("completion times", times.completion.count(), row.downloads.complete),
            ],
        )?;
        for (kind, in_row) in &row.kinds {
            let measured = in_row.counts.measured();
            let latencies = &in_row.latencies;
            let from_due = if kind.is_part() { 0 } else { measured };
            self.compare(
                kind.name(),
                &[
                    ("in flight", in_row.in_flight, self.in_flight(*kind)),
                    ("latencies from due", latencies.due.count(), from_due),
                    ("service times", latencies.service.count(), measured),
                    ("send lags", latencies.lag.count(), from_due),
                ],
            )?;
        }
        Ok(())
    }

    /// Compares what was recorded with what the counts say: (name, recorded, counted).
    fn compare(&self, what: &'static str, sides: &[(&str, u64, u64)]) -> Result<(), RecordError> {
        match sides.iter().find(|(_, recorded, counted)| recorded != counted) {
            None => Ok(()),
            Some((name, recorded, counted)) => {
                let reason = format!("{recorded} {name} recorded, {counted} by the counts");
                Err(RecordError::Ledger { what, second: self.second, reason })
            }
        }
    }

    /// Closes the books.
    ///
    /// # Errors
    /// When planned differs from released + shed, released from ok + failed + cut, or the downloads that were begun from those that ended.
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
        let Downloads { begun, first_pieces, .. } = self.downloads;
        let ended = self.downloads.ended();
        let sides = [
            (holds(begun, ended), format!("begun {begun} {sign} ended {ended}")),
            (begun >= first_pieces, format!("begun {begun} < first pieces {first_pieces}")),
        ];
        match sides.into_iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, reason)) => Err(RecordError::Ledger { what: "downloads", second: self.second, reason }),
        }
    }
}

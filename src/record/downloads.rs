//! Downloads: how many, how far they came, how long that took.

use std::ops::AddAssign;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::journey::{Download, Fate, Milestone};

use super::latency::{self, Distribution, histogram_to};

/// The longest download that is told apart; longer ones count as this long.
pub const LONGEST_DOWNLOAD: Duration = Duration::from_secs(7 * 24 * 3600);

/// What became of downloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Downloads {
    /// Were begun.
    pub begun: u64,
    /// Of those, that got a first piece, whole and checked.
    pub first_pieces: u64,
    /// Ended with all of the content.
    pub complete: u64,
    /// Ended with as much as the visitor wanted, which was less.
    pub enough: u64,
    /// Ended after the last try that the visitor makes.
    pub gave_up: u64,
    /// Were under way when the run ended.
    pub cut: u64,
    /// How long all that ended lasted, from due, added up, in microseconds.
    pub lasted_micros: u64,
}

impl Downloads {
    /// How many ended.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.complete + self.enough + self.gave_up + self.cut
    }

    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn count(&mut self, seen: &Download) {
        match seen.reached {
            Milestone::Begun => self.begun += 1,
            Milestone::FirstPiece => self.first_pieces += 1,
            Milestone::Ended(fate) => {
                *match fate {
                    Fate::Complete => &mut self.complete,
                    Fate::Enough => &mut self.enough,
                    Fate::GaveUp => &mut self.gave_up,
                    Fate::Cut => &mut self.cut,
                } += 1;
                self.lasted_micros += latency::micros(seen.at.since(seen.due));
            }
        }
    }
}

impl AddAssign<&Self> for Downloads {
    fn add_assign(&mut self, other: &Self) {
        self.begun += other.begun;
        self.first_pieces += other.first_pieces;
        self.complete += other.complete;
        self.enough += other.enough;
        self.gave_up += other.gave_up;
        self.cut += other.cut;
        self.lasted_micros += other.lasted_micros;
    }
}

/// How long downloads took, from due.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadTimes {
    /// To the first piece, whole and checked.
    pub first_piece: Distribution,
    /// To the last piece, of those that fetched all of the content.
    pub completion: Distribution,
}

impl DownloadTimes {
    /// An empty histogram that these can be added to: microseconds, 1 µs to [`LONGEST_DOWNLOAD`], three significant digits.
    #[must_use]
    pub fn histogram() -> Histogram<u64> {
        histogram_to(LONGEST_DOWNLOAD)
    }

    /// Adds others.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.first_piece.merge(&other.first_piece);
        self.completion.merge(&other.completion);
    }
}

/// Downloads while they are being counted. Histograms come into being with the first time that goes into them.
#[derive(Clone, Debug, Default)]
pub(crate) struct DownloadCount {
    pub(crate) counts: Downloads,
    pub(crate) first_piece: Option<Box<Histogram<u64>>>,
    pub(crate) completion: Option<Box<Histogram<u64>>>,
}

impl DownloadCount {
    pub(crate) fn count(&mut self, seen: &Download) {
        self.counts.count(seen);
        let histogram = match seen.reached {
            Milestone::FirstPiece => &mut self.first_piece,
            Milestone::Ended(Fate::Complete) => &mut self.completion,
            Milestone::Begun | Milestone::Ended(_) => return,
        };
        let histogram = histogram.get_or_insert_with(|| Box::new(DownloadTimes::histogram()));
        latency::count(histogram, seen.at.since(seen.due));
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.counts += &other.counts;
        let pairs = [(&mut self.first_piece, other.first_piece), (&mut self.completion, other.completion)];
        for (mine, theirs) in pairs {
            match (mine, theirs) {
                (_, None) => {}
                (Some(mine), Some(theirs)) => Distribution::of(&theirs).add_to(mine),
                (mine, theirs) => *mine = theirs,
            }
        }
    }

    pub(crate) fn times(&self) -> DownloadTimes {
        let kept = |histogram: &Option<Box<Histogram<u64>>>| {
            histogram.as_deref().map(Distribution::of).unwrap_or_default()
        };
        DownloadTimes { first_piece: kept(&self.first_piece), completion: kept(&self.completion) }
    }
}

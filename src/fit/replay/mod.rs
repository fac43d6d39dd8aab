//! A tracker's access log as a plan: the announces of a day that was, at its moments or faster.
//!
//! The log is in the combined form (`%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`) that nginx, Apache and HTTP trackers write.
//! A line that is not an announce of that form is counted with its number and left out. By hand: the crates for such logs parse one
//! line into strings and stop there, and the query (BEP 3) is what matters here.

mod line;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::plan::{Arrival, Cohort, Origin, PlannedStep, What};
use crate::unit::Tick;

pub use line::{Announce, Unread};

/// Most unread lines whose numbers are kept.
const KEPT: usize = 20;
/// Ranks that can be told apart.
const RANKS: usize = 1 << 16;

/// A log that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log {
    /// Its announces, in order of time.
    pub announces: Vec<Announce>,
    /// Lines that were not read.
    pub unread: u64,
    /// The first of them, with the reason.
    pub first_unread: Vec<(u64, Unread)>,
    /// Info hashes by rank, the most announced first; equals in order of their bytes.
    pub ranks: Vec<[u8; 20]>,
}

impl Log {
    /// Reads a log. Empty lines do not count.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut log = Self::default();
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            match Announce::read(line) {
                Ok(announce) => log.announces.push(announce),
                Err(why) => {
                    log.unread += 1;
                    if log.first_unread.len() < KEPT {
                        log.first_unread.push((number, why));
                    }
                }
            }
        }
        // Logs are written when answers are sent; a stable sort keeps what was written in the same second in its order.
        log.announces.sort_by_key(|announce| announce.second);
        log.ranks = ranks(&log.announces);
        log
    }

    /// Seconds from the first announce to the second after the last.
    #[must_use]
    pub fn seconds(&self) -> i64 {
        match (self.announces.first(), self.announces.last()) {
            (Some(first), Some(last)) => last.second - first.second + 1,
            _ => 0,
        }
    }

    /// The announces as arrivals in order of due, `speed` log seconds to a run second. Announces of one second are spread evenly over
    /// it, as the log tells their order and no more. Each is an arrival of its own, of region, client and access 0: the log names none
    /// of a scenario. Contents beyond the 65,536 most popular share the last rank.
    pub fn arrivals(&self, speed: f64) -> impl Iterator<Item = Arrival> {
        let first = self.announces.first().map_or(0, |announce| announce.second);
        let ranks: HashMap<[u8; 20], u16> = (self.ranks.iter().enumerate())
            .map(|(rank, hash)| (*hash, u16::try_from(rank.min(RANKS - 1)).unwrap_or(u16::MAX)))
            .collect();
        let seconds = self.announces.chunk_by(|a, b| a.second == b.second);
        let placed = seconds.flat_map(|together| {
            let share = 1.0 / together.len() as f64;
            together.iter().zip(0_u32..).map(move |(announce, place)| (announce, f64::from(place) * share))
        });
        placed.zip(0..).map(move |((announce, part), index)| {
            let seconds = ((announce.second - first) as f64 + part) / speed;
            let step = PlannedStep { at: Tick((seconds * 1e9) as u64), what: What::Announce(announce.event) };
            Arrival {
                index,
                origin: Origin::Population,
                region: 0,
                client: 0,
                access: 0,
                content: ranks.get(&announce.info_hash).copied().unwrap_or(0),
                // A log does not tell; peers that announce again were there before.
                cohort: Cohort::Returning,
                cached: false,
                reachable: true,
                seed: index,
                steps: SmallVec::from_iter([step]),
            }
        })
    }
}

fn ranks(announces: &[Announce]) -> Vec<[u8; 20]> {
    let mut counts: HashMap<[u8; 20], u64> = HashMap::new();
    for announce in announces {
        *counts.entry(announce.info_hash).or_default() += 1;
    }
    let mut ranked: Vec<([u8; 20], u64)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter().map(|(hash, _)| hash).collect()
}

//! The fingerprint of a plan.

use sha2::{Digest as _, Sha256};

use super::{AnnounceEvent, Arrival, Origin, Plan, What};

/// SHA-256 over arrivals in order, every number little-endian:
///
/// ```text
/// header    "squall plan 1\n"
/// arrival   index u64 · origin u8 (0 visit, 1 population, 2 side) · side u8 (0 unless side) · region u8 · client u8 · access u8 ·
///           content u16 · seed u64 · number of steps u8 · steps
/// step      at u64 (run ns) · what u8 (0 visit, 1 torrent, 2 magnet, 3 announce, 4 lookup, 5 transfer) ·
///           detail u32 (announce: 0 started, 1 interval, 2 completed, 3 stopped; transfer: bits of `until`; else 0)
/// ```
#[derive(Clone, Debug)]
pub struct Digest {
    hash: Sha256,
    record: Vec<u8>,
}

impl Default for Digest {
    fn default() -> Self {
        Self { hash: Sha256::new_with_prefix("squall plan 1\n"), record: Vec::new() }
    }
}

impl Digest {
    /// Adds an arrival.
    pub fn add(&mut self, arrival: &Arrival) {
        self.record.clear();
        let mut put = |bytes: &[u8]| self.record.extend_from_slice(bytes);
        put(&arrival.index.to_le_bytes());
        put(&match arrival.origin {
            Origin::Visit => [0, 0],
            Origin::Population => [1, 0],
            Origin::Side(side) => [2, side],
        });
        put(&[arrival.region, arrival.client, arrival.access]);
        put(&arrival.content.to_le_bytes());
        put(&arrival.seed.to_le_bytes());
        put(&[arrival.steps.len() as u8]);
        for step in &arrival.steps {
            let (what, detail) = code(step.what);
            put(&step.at.0.to_le_bytes());
            put(&[what]);
            put(&detail.to_le_bytes());
        }
        self.hash.update(&self.record);
    }

    /// The fingerprint in hexadecimal.
    #[must_use]
    pub fn finish(self) -> String {
        self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

const fn code(what: What) -> (u8, u32) {
    match what {
        What::Visit => (0, 0),
        What::Torrent => (1, 0),
        What::Magnet => (2, 0),
        What::Announce(AnnounceEvent::Started) => (3, 0),
        What::Announce(AnnounceEvent::Interval) => (3, 1),
        What::Announce(AnnounceEvent::Completed) => (3, 2),
        What::Announce(AnnounceEvent::Stopped) => (3, 3),
        What::Lookup => (4, 0),
        What::Transfer { until } => (5, until.to_bits()),
    }
}

impl Plan {
    /// SHA-256 (hexadecimal) over every event of the unsharded plan, encoded as [`Digest`] says. Walks through the whole plan.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Digest::default();
        for arrival in self {
            digest.add(&arrival);
        }
        digest.finish()
    }
}

//! Random streams: every drawn thing has one of its own, so that nothing depends on what else was drawn before it.
//!
//! The key of a stream is a chain of SplitMix64 steps (Steele, Lea & Flood, OOPSLA 2014): k = mix(seed), then k = mix(k xor part)
//! for every part. The stream itself is xoshiro256++, seeded from its key the way its authors say.

use rand::{Rng, SeedableRng};
use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus};

/// First part of a key: what the stream is for.
pub(crate) const COUNTS: u64 = 1;
/// First part of a key: what the stream is for.
pub(crate) const ARRIVALS: u64 = 2;
/// First part of a key: what the stream is for.
pub(crate) const PATHS: u64 = 3;
/// First part of a key: what the stream is for.
pub(crate) const GLANCES: u64 = 4;
/// First part of a key: what the stream is for.
pub(crate) const CLUSTERS: u64 = 5;
/// First part of a key: what the stream is for.
pub(crate) const FAULTS: u64 = 6;

/// The stream of a thing.
pub(crate) fn stream(seed: u64, parts: &[u64]) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(key(seed, parts))
}

/// The key of a thing.
pub(crate) fn key(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(mix(seed), |key, part| mix(key ^ part))
}

/// The stream of one of many things of a kind, as short as an arrival's: SplitMix64 itself, which needs no seeding.
pub(crate) fn short_stream(kind: u64, number: u64) -> SplitMix64 {
    SplitMix64::seed_from_u64(mix(kind ^ number))
}

fn mix(value: u64) -> u64 {
    SplitMix64::seed_from_u64(value).next_u64()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbouring_streams_differ() {
        let mut seen = HashSet::new();
        for seed in 0..20 {
            for kind in [COUNTS, ARRIVALS] {
                for k in 0..500 {
                    assert!(seen.insert(stream(seed, &[kind, k]).next_u64()));
                }
            }
        }
    }

    #[test]
    fn a_stream_never_changes() {
        // Vigna's reference values: splitmix64 from state 0 begins with e220a8397b1dcdaf.
        assert_eq!(SplitMix64::seed_from_u64(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }
}

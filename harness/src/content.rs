//! What the fleet holds: content that is computed instead of stored.

use std::collections::HashSet;

use librqbit_sha1_wrapper::{ISha1, Sha1};
use serde::{Deserialize, Serialize};

use crate::TestbedError;

/// One item that the fleet offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Name in paths, torrents and reports: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Size in bytes, at least 1.
    pub size: u64,
    /// Whether it can be read through the gateway too.
    pub gateway: bool,
    /// Whether its torrent names a web seed (BEP 19): the metadata layer.
    pub web_seed: bool,
}

/// Checks what was asked for before any process is started.
///
/// # Errors
/// No content at all, an empty item, a name that does not fit in a path, a name that comes twice.
pub(crate) fn check(content: &[Content]) -> Result<(), TestbedError> {
    let reason = |reason: String| Err(TestbedError::Content { reason });
    if content.is_empty() {
        return reason("there is none".to_owned());
    }
    let mut names = HashSet::new();
    for item in content {
        let name = &item.name;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return reason(format!("`{name}` is not a name of letters, digits, `.`, `_` and `-`"));
        }
        if item.size == 0 {
            return reason(format!("`{name}` has no bytes"));
        }
        if !names.insert(name) {
            return reason(format!("`{name}` comes twice"));
        }
    }
    Ok(())
}

/// The bytes of one item as a pure function of seed, name and offset.
///
/// Word i of the content is output i of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): by hand because it must start at any offset,
/// cost nothing beside hashing, and the generators of the `rand` family either do not seek or are slow without optimisation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    key: u64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD: u64 = 8;

impl Source {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        let mut hash = Sha1::new();
        hash.update(&seed.to_le_bytes());
        hash.update(name.as_bytes());
        let key = hash.finish().iter().take(8).fold(0, |key, byte| key << 8 | u64::from(*byte));
        Self { key }
    }

    /// Fills `buffer` with the bytes that start at `offset`.
    pub(crate) fn fill(self, offset: u64, buffer: &mut [u8]) {
        let mut index = offset / WORD;
        // Below 8, so the cast is exact.
        let skip = (offset % WORD) as usize;
        let (head, body) = buffer.split_at_mut(((WORD as usize - skip) % WORD as usize).min(buffer.len()));
        if !head.is_empty() {
            let word = self.word(index);
            head.iter_mut().zip(&word[skip..]).for_each(|(byte, value)| *byte = *value);
            index += 1;
        }
        for chunk in body.chunks_mut(WORD as usize) {
            chunk.copy_from_slice(&self.word(index)[..chunk.len()]);
            index += 1;
        }
    }

    fn word(self, index: u64) -> [u8; 8] {
        let mut z = self.key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN_GAMMA));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_published_splitmix64_sequence() {
        // First outputs for seed 1234567, as listed by Rosetta Code ("Pseudo-random numbers/Splitmix64").
        let source = Source { key: 1_234_567 };
        let mut bytes = [0; 24];
        source.fill(0, &mut bytes);
        let words: Vec<u64> =
            bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_part_equals_the_same_part_of_the_whole() {
        let source = Source::new(7, "item-01");
        let mut whole = [0; 64];
        source.fill(100, &mut whole);
        for start in 0..64 {
            for end in start..=64 {
                let mut part = vec![0; end - start];
                source.fill(100 + start as u64, &mut part);
                assert_eq!(part, whole[start..end], "bytes {start}..{end}");
            }
        }
    }

    #[test]
    fn seed_and_name_decide_the_bytes() {
        let first = |seed, name| Source::new(seed, name).word(0);
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
    }

    #[test]
    fn unfit_content_is_refused_with_its_reason() {
        let item =
            |name: &str, size| Content { name: name.to_owned(), size, gateway: false, web_seed: false };
        let reason = |content: &[Content]| check(content).unwrap_err().to_string();
        assert_eq!(reason(&[]), "the testbed's content: there is none");
        assert_eq!(reason(&[item("a", 0)]), "the testbed's content: `a` has no bytes");
        assert_eq!(reason(&[item("a", 1), item("a", 2)]), "the testbed's content: `a` comes twice");
        for name in ["", "a/b", "..", "ä", "a b"] {
            assert!(reason(&[item(name, 1)]).contains("is not a name"), "{name}");
        }
        assert!(check(&[item("item-01", 1), item("a_b.iso", 2)]).is_ok());
    }
}

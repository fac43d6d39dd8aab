//! What visitors can give to others. All visitors of a worker who have a piece have the same bytes, so that these are kept once.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use super::super::wire::Span;

/// Bytes that a worker keeps; what comes after that is checked and forgotten, and not offered to others.
const MAX_BYTES: usize = 256 << 20;

/// The content of checked pieces.
#[derive(Debug, Default)]
pub(in super::super) struct Store {
    pieces: RefCell<HashMap<([u8; 20], u32), Rc<[u8]>>>,
    bytes: Cell<usize>,
    generated: RefCell<HashMap<[u8; 20], (Generator, u32)>>,
}

impl Store {
    /// Content that need not be kept, since it can be computed; its pieces are of this length but for the last.
    pub(in super::super) fn generate(&self, info_hash: [u8; 20], generator: Generator, piece_length: u32) {
        self.generated.borrow_mut().insert(info_hash, (generator, piece_length));
    }

    /// Whether a piece that is fetched can be given to others.
    pub(super) fn can_serve(&self, info_hash: [u8; 20], piece: u32) -> bool {
        self.generated.borrow().contains_key(&info_hash)
            || self.pieces.borrow().contains_key(&(info_hash, piece))
    }

    /// The content of a piece that is kept.
    pub(super) fn kept(&self, info_hash: [u8; 20], piece: u32) -> Option<Rc<[u8]>> {
        self.pieces.borrow().get(&(info_hash, piece)).cloned()
    }

    /// Whether a piece of so many bytes is worth keeping whole while it comes: nobody computes it, and there is room.
    pub(super) fn wants(&self, info_hash: [u8; 20], length: u32) -> bool {
        !self.generated.borrow().contains_key(&info_hash) && self.bytes.get() + length as usize <= MAX_BYTES
    }

    /// Keeps a piece whose hash is right.
    pub(super) fn keep(&self, info_hash: [u8; 20], piece: u32, data: Vec<u8>) {
        let length = data.len();
        if self.bytes.get() + length > MAX_BYTES {
            return;
        }
        if self.pieces.borrow_mut().insert((info_hash, piece), data.into()).is_none() {
            self.bytes.set(self.bytes.get() + length);
        }
    }

    /// Appends the bytes of a span; whether it has them.
    pub(super) fn append(&self, info_hash: [u8; 20], span: Span, out: &mut Vec<u8>) -> bool {
        if let Some((generator, piece_length)) = self.generated.borrow().get(&info_hash) {
            let offset = u64::from(span.piece) * u64::from(*piece_length) + u64::from(span.begin);
            let start = out.len();
            out.resize(start + span.length as usize, 0);
            generator.fill(offset, out.get_mut(start..).unwrap_or_default());
            return true;
        }
        let pieces = self.pieces.borrow();
        let Some(data) = pieces.get(&(info_hash, span.piece)) else { return false };
        let from = span.begin as usize;
        match data.get(from..from.saturating_add(span.length as usize)) {
            Some(bytes) => {
                out.extend(bytes);
                true
            }
            None => false,
        }
    }
}

/// The bytes of one item as a pure function of seed, name and offset: word i is output i of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014),
/// little-endian, whose state begins with the first eight bytes of SHA-1(seed as little-endian ‖ name), big-endian. The testbed and
/// `profiles/README.md` have the same rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Generator {
    state: u64,
}

impl Generator {
    pub(in super::super) fn new(seed: u64, name: &str) -> Self {
        use sha1::Digest;
        let digest = sha1::Sha1::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
        Self { state: digest.first_chunk().copied().map_or(0, u64::from_be_bytes) }
    }

    fn fill(self, offset: u64, out: &mut [u8]) {
        let (mut word, mut skip) = (offset / 8, (offset % 8) as usize);
        let mut rest = out;
        while !rest.is_empty() {
            let bytes = self.word(word);
            let part = bytes.get(skip..).unwrap_or_default();
            let taken = part.len().min(rest.len());
            let (now, later) = rest.split_at_mut(taken);
            now.copy_from_slice(part.get(..taken).unwrap_or_default());
            (rest, word, skip) = (later, word + 1, 0);
        }
    }

    /// Output `n` of the sequence, without those before it: `rand_xoshiro`'s SplitMix64 does not seek, but its state is only counted on.
    fn word(self, n: u64) -> [u8; 8] {
        use rand::{Rng, SeedableRng};
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.state.wrapping_add(n.wrapping_mul(GAMMA));
        rand_xoshiro::SplitMix64::seed_from_u64(state).next_u64().to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs for seed 1234567, as listed by Rosetta Code ("Pseudo-random numbers/Splitmix64").
    #[test]
    fn generated_words_are_the_published_sequence() {
        let mut bytes = [0; 24];
        Generator { state: 1_234_567 }.fill(0, &mut bytes);
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert!(words.eq(published));
    }

    #[test]
    fn any_part_is_the_same_part_of_the_whole() {
        let store = Store::default();
        store.generate([1; 20], Generator::new(7, "x"), 100);
        let part = |piece, begin, length| {
            let mut out = Vec::new();
            assert!(store.append([1; 20], Span { piece, begin, length }, &mut out));
            out
        };
        let whole = part(0, 0, 300);
        for (piece, begin, length) in [(0, 3, 5), (1, 0, 100), (2, 13, 71), (1, 96, 16)] {
            let from = (piece * 100 + begin) as usize;
            assert_eq!(part(piece, begin, length), whole[from..from + length as usize]);
        }
    }

    #[test]
    fn kept_pieces_are_served_within_their_bounds() {
        let store = Store::default();
        assert!(store.wants([2; 20], 10));
        store.keep([2; 20], 3, vec![9; 10]);
        let mut out = vec![1];
        assert!(store.append([2; 20], Span { piece: 3, begin: 8, length: 2 }, &mut out));
        assert_eq!(out, [1, 9, 9]);
        for (piece, begin, length) in [(3, 8, 3), (3, u32::MAX, 1), (4, 0, 1)] {
            assert!(!store.append([2; 20], Span { piece, begin, length }, &mut out), "{piece} {begin}");
        }
        assert!(!store.wants([2; 20], u32::MAX));
    }
}

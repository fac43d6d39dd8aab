//! Which pieces somebody has. By hand: the wire has bits from the highest on, which the kept bit set crates do not.

/// A set of pieces in the layout of BEP 3's bitfield. It grows as needed, because peers speak of pieces before their number is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    ones: u32,
}

impl Bits {
    /// No piece of `pieces`.
    pub(super) fn none(pieces: u32) -> Self {
        Self { bytes: vec![0; pieces.div_ceil(8) as usize], ones: 0 }
    }

    /// Every piece of `pieces`.
    pub(super) fn all(pieces: u32) -> Self {
        let mut bytes = vec![0xff; pieces.div_ceil(8) as usize];
        if let Some(last) = bytes.last_mut().filter(|_| !pieces.is_multiple_of(8)) {
            *last = !(0xff >> (pieces % 8));
        }
        Self { bytes, ones: pieces }
    }

    /// What a peer sent.
    pub(super) fn from_wire(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), ones: bytes.iter().map(|byte| byte.count_ones()).sum() }
    }

    /// The wire's form.
    pub(super) fn as_wire(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether no piece at or above `pieces` is in it, and its length is not that of a longer one.
    pub(super) fn fits(&self, pieces: u32) -> bool {
        let whole = (pieces / 8) as usize;
        // Where the pieces fill whole bytes, there is none with spare bits.
        let spare = self.bytes.get(whole).is_some_and(|byte| byte & (0xff >> (pieces % 8)) != 0);
        self.bytes.len() <= pieces.div_ceil(8) as usize && !spare
    }

    /// Number of pieces in it.
    pub(super) fn count(&self) -> u32 {
        self.ones
    }

    pub(super) fn has(&self, piece: u32) -> bool {
        self.bytes.get(piece as usize / 8).is_some_and(|byte| byte & (0x80 >> (piece % 8)) != 0)
    }

    /// Adds a piece; whether it was new.
    pub(super) fn add(&mut self, piece: u32) -> bool {
        let at = piece as usize / 8;
        if self.bytes.len() <= at {
            self.bytes.resize(at + 1, 0);
        }
        let bit = 0x80 >> (piece % 8);
        match self.bytes.get_mut(at) {
            Some(byte) if *byte & bit == 0 => {
                *byte |= bit;
                self.ones += 1;
                true
            }
            _ => false,
        }
    }

    /// Takes a piece out; whether it was in.
    pub(super) fn remove(&mut self, piece: u32) -> bool {
        let there = self.has(piece);
        if let Some(byte) = self.bytes.get_mut(piece as usize / 8).filter(|_| there) {
            *byte &= !(0x80 >> (piece % 8));
            self.ones -= 1;
        }
        there
    }

    /// Every piece in it, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.bytes.iter().enumerate().flat_map(|(at, byte)| pieces(at, *byte))
    }

    /// Every piece in it that neither of `others` has, in order.
    pub(super) fn without<'b>(&'b self, others: [&'b Self; 2]) -> impl Iterator<Item = u32> + 'b {
        self.bytes.iter().enumerate().flat_map(move |(at, byte)| {
            let [one, two] = others.map(|other| other.bytes.get(at).copied().unwrap_or(0));
            pieces(at, byte & !(one | two))
        })
    }

    /// Whether there is a piece in it that `other` lacks.
    pub(super) fn offers(&self, other: &Self) -> bool {
        let lacking = self.bytes.iter().enumerate();
        lacking.into_iter().any(|(at, byte)| byte & !other.bytes.get(at).copied().unwrap_or(0) != 0)
    }
}

/// The pieces of one byte, the highest bit first.
fn pieces(at: usize, mut byte: u8) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (byte != 0).then(|| byte.leading_zeros())?;
        byte &= !(0x80 >> bit);
        Some(at as u32 * 8 + bit)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_highest_bit_is_the_first_piece() {
        let mut bits = Bits::none(10);
        assert!(bits.add(0) && bits.add(9) && !bits.add(9));
        assert_eq!(bits.as_wire(), [0x80, 0x40]);
        assert_eq!(Bits::all(10).as_wire(), [0xff, 0xc0]);
        assert!(Bits::all(10).fits(10) && !Bits::all(10).fits(9) && !Bits::from_wire(&[0, 0, 0]).fits(10));
        assert!(Bits::all(16).fits(16) && !Bits::all(17).fits(16));
    }

    proptest! {
        #[test]
        fn as_a_set_of_numbers(pieces in prop::collection::vec(0_u32..200, 0..60), others in prop::collection::vec(0_u32..200, 0..60)) {
            let of = |numbers: &[u32]| {
                let mut bits = Bits::default();
                numbers.iter().for_each(|piece| { bits.add(*piece); });
                (bits, numbers.iter().copied().collect::<BTreeSet<_>>())
            };
            let ((bits, set), (other, others)) = (of(&pieces), of(&others));
            prop_assert_eq!(bits.count() as usize, set.len());
            prop_assert_eq!(bits.offers(&other), !set.is_subset(&others));
            prop_assert_eq!(Bits::from_wire(bits.as_wire()), bits.clone());
            let without: Vec<u32> = set.difference(&others).copied().collect();
            prop_assert_eq!(bits.without([&other, &Bits::default()]).collect::<Vec<_>>(), without.clone());
            prop_assert_eq!(bits.without([&Bits::default(), &other]).collect::<Vec<_>>(), without.clone());
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            let mut left = bits;
            for piece in others {
                prop_assert_eq!(left.remove(piece), set.contains(&piece));
            }
            prop_assert_eq!((left.count() as usize, left.iter().collect::<Vec<_>>()), (without.len(), without));
        }
    }
}

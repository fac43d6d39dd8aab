//! Hash trees of BitTorrent v2 (BEP 52). By hand: the crates for hash trees tell leaves from nodes as RFC 6962 does, or fill up otherwise.

use sha2::{Digest, Sha256};

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// The leaf of a block of 16 KiB, or of the last of a file as short as it is.
pub(super) fn leaf(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The root of a tree of this height over `layer`, filled up with what stands `base` layers above leaves of zeros.
pub(super) fn root(mut layer: Vec<Hash>, base: u32, height: u32) -> Hash {
    let mut filler = (0..base).fold([0; 32], |below, _| node(&below, &below));
    for _ in 0..height {
        let pairs = layer.chunks(2).map(|pair| match pair {
            [left, right] => node(left, right),
            [left, ..] => node(left, &filler),
            [] => filler,
        });
        layer = pairs.collect();
        filler = node(&filler, &filler);
    }
    layer.first().copied().unwrap_or(filler)
}

/// Layers between so many hashes and the root above them.
pub(super) fn height(hashes: u64) -> u32 {
    hashes.next_power_of_two().trailing_zeros()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BLOCK: usize = 16 << 10;

    /// The root by the words of BEP 52: a perfect tree, whose leaves beyond the end are zeros.
    fn naive(data: &[u8], leaves: usize) -> Hash {
        if leaves == 1 {
            return if data.is_empty() { [0; 32] } else { Sha256::digest(data).into() };
        }
        let (left, right) = data.split_at(data.len().min(leaves / 2 * BLOCK));
        let both = [naive(left, leaves / 2), naive(right, leaves / 2)].concat();
        Sha256::digest(both).into()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn roots_are_those_of_the_specification(length in 1_usize..300_000, fill in any::<u8>(), piece_height in 0_u32..4) {
            let data: Vec<u8> = (0..length).map(|n| (n / 7) as u8 ^ fill).collect();
            let leaves: Vec<Hash> = data.chunks(BLOCK).map(leaf).collect();
            let all = height(leaves.len() as u64).max(piece_height);
            let expected = naive(&data, 1 << all);
            prop_assert_eq!(root(leaves.clone(), 0, all), expected);
            // In two steps, as pieces and the layer above them.
            let pieces: Vec<Hash> =
                leaves.chunks(1 << piece_height).map(|piece| root(piece.to_vec(), 0, piece_height)).collect();
            prop_assert_eq!(root(pieces, piece_height, all - piece_height), expected);
        }
    }
}

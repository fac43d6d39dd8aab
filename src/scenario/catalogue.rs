//! Sizes of what can be fetched.

use super::Catalogue;

impl Catalogue {
    /// Number of items, over all classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.classes.iter().map(|class| class.items as usize).sum()
    }

    /// Whether there is nothing to fetch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the item of each rank, most popular first.
    pub fn sizes(&self) -> impl Iterator<Item = u64> + '_ {
        self.classes.iter().flat_map(|class| std::iter::repeat_n(class.size, class.items as usize))
    }
}

/// Piece length for a content of `size` bytes: 2^⌊log2(size)/2+4⌋, within 16 KiB..=16 MiB (imdl's rule).
#[must_use]
pub fn piece_length(size: u64) -> u64 {
    let exponent = (size.max(1) as f64).log2() / 2.0 + 4.0;
    1 << (exponent as u32).clamp(14, 24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ContentClass;

    #[test]
    fn ranks_run_on_from_class_to_class() {
        let class = |items, size| ContentClass { name: String::new(), items, size };
        let catalogue = Catalogue { classes: vec![class(2, 10), class(1, 7)], zipf: 0.0 };
        assert_eq!(catalogue.sizes().collect::<Vec<_>>(), [10, 10, 7]);
        assert_eq!(catalogue.len(), 3);
    }

    /// The table in imdl's documentation: 16 KiB up to 16 MiB, 32 KiB at 64 MiB... taken at the powers where the exponent is whole.
    #[test]
    fn piece_lengths_grow_with_the_square_root() {
        let lengths = [1u64 << 10, 1 << 20, 1 << 22, 1 << 26, 1 << 30, 1 << 50].map(piece_length);
        assert_eq!(lengths, [16 << 10, 16 << 10, 32 << 10, 128 << 10, 512 << 10, 16 << 20]);
    }
}

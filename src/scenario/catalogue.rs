//! Sizes of what can be fetched.

use super::{Catalogue, ContentClass, Via};

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
        self.each(|class| class.size)
    }

    /// How visitors get the item of each rank.
    pub fn vias(&self) -> impl Iterator<Item = Via> + '_ {
        self.each(|class| class.via)
    }

    /// Whether the torrent of each rank names a web seed.
    pub fn web_seeds(&self) -> impl Iterator<Item = bool> + '_ {
        self.each(|class| class.web_seed)
    }

    /// Index of the class of each rank.
    pub fn classes_by_rank(&self) -> impl Iterator<Item = u16> + '_ {
        let indexed = (0..).zip(&self.classes);
        indexed.flat_map(|(index, class)| std::iter::repeat_n(index, class.items as usize))
    }

    /// Popularity of each rank: rank r has weight (r + 1)^−zipf.
    pub fn weights(&self) -> impl Iterator<Item = f64> + '_ {
        (1..=self.len()).map(|rank| libm::pow(rank as f64, -self.zipf))
    }

    /// Share of the wishes that are for content of swarms; exactly 1 where all is.
    #[must_use]
    pub fn swarm_share(&self) -> f64 {
        let (swarm, all) = self.weights().zip(self.vias()).fold((0.0, 0.0), |(swarm, all), (weight, via)| {
            (if via == Via::Swarm { swarm + weight } else { swarm }, all + weight)
        });
        // Nothing to fetch is nobody's but the swarms'.
        if all > 0.0 { swarm / all } else { 1.0 }
    }

    fn each<'a, T: Clone + 'a>(
        &'a self,
        of: impl Fn(&ContentClass) -> T + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        self.classes.iter().flat_map(move |class| std::iter::repeat_n(of(class), class.items as usize))
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

    #[test]
    fn ranks_run_on_from_class_to_class() {
        let class =
            |items, size| ContentClass { name: String::new(), items, size, via: Via::Swarm, web_seed: false };
        let catalogue = Catalogue { classes: vec![class(2, 10), class(1, 7)], zipf: 0.0 };
        assert_eq!(catalogue.sizes().collect::<Vec<_>>(), [10, 10, 7]);
        assert_eq!(catalogue.classes_by_rank().collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(catalogue.len(), 3);
    }

    #[test]
    fn the_swarms_share_is_by_popularity() {
        let class = |items, via| ContentClass { name: String::new(), items, size: 1, via, web_seed: false };
        let share = |classes| Catalogue { classes, zipf: 1.0 }.swarm_share();
        assert_eq!(share(vec![class(30, Via::Swarm), class(7, Via::Swarm)]), 1.0);
        assert_eq!(share(vec![class(3, Via::Gateway)]), 0.0);
        // 1 : 1/2 + 1/3.
        let mixed = share(vec![class(1, Via::Swarm), class(2, Via::Gateway)]);
        assert!((mixed - 6.0 / 11.0).abs() < 1e-12, "{mixed}");
    }

    /// The table in imdl's documentation: 16 KiB up to 16 MiB, 32 KiB at 64 MiB... taken at the powers where the exponent is whole.
    #[test]
    fn piece_lengths_grow_with_the_square_root() {
        let lengths = [1u64 << 10, 1 << 20, 1 << 22, 1 << 26, 1 << 30, 1 << 50].map(piece_length);
        assert_eq!(lengths, [16 << 10, 16 << 10, 32 << 10, 128 << 10, 512 << 10, 16 << 20]);
    }
}

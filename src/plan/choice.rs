//! Weighted choices.

use crate::scenario::Catalogue;

/// A choice among weighted things by a cumulative table, with a guide to where to begin in it. (`rand_distr`'s alias table can fail to
/// be built and does not promise to draw the same values in its next version.)
#[derive(Debug)]
pub(super) struct Choice {
    cumulative: Vec<f64>,
    /// Guide `i` of `n`: the first thing whose bound lies above i / n.
    guide: Vec<u32>,
}

impl Choice {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for bound in &mut cumulative {
            *bound /= sum;
        }
        let parts = cumulative.len();
        let first = |i: usize| cumulative.partition_point(|bound| *bound <= i as f64 / parts as f64) as u32;
        let guide = (0..parts).map(first).collect();
        Self { cumulative, guide }
    }

    /// Bounds between the things, 0..=1.
    pub(super) fn bounds(&self) -> &[f64] {
        &self.cumulative
    }

    /// Popularity of content: rank r has weight (r + 1)^−zipf.
    pub(super) fn zipf(catalogue: &Catalogue) -> Self {
        let items: u64 = catalogue.classes.iter().map(|class| u64::from(class.items)).sum();
        Self::new((1..=items).map(|rank| libm::pow(rank as f64, -catalogue.zipf)))
    }

    /// The thing that belongs to a number in 0..1; two steps on average.
    pub(super) fn pick(&self, uniform: f64) -> usize {
        let last = self.cumulative.len().saturating_sub(1);
        let part = ((uniform * self.guide.len() as f64) as usize).min(last);
        let mut thing = self.guide.get(part).map_or(0, |first| *first as usize);
        while self.cumulative.get(thing).is_some_and(|bound| *bound <= uniform) {
            thing += 1;
        }
        thing.min(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_by_weight() {
        let choice = Choice::new([1.0, 0.0, 3.0].into_iter());
        assert_eq!([0.0, 0.2499, 0.25, 0.9999, 1.0].map(|u| choice.pick(u)), [0, 0, 2, 2, 2]);
    }

    #[test]
    fn zipf_one_makes_the_second_rank_half_as_popular() {
        let mut catalogue = crate::scenario::sample::sample().content;
        catalogue.zipf = 1.0;
        let choice = Choice::zipf(&catalogue);
        let bounds = choice.bounds();
        assert_eq!(bounds.len(), 32);
        assert!((bounds[0] / (bounds[1] - bounds[0]) - 2.0).abs() < 1e-9);
    }
}

//! Weighted choices.

use crate::scenario::Catalogue;

/// A choice among weighted things by a cumulative table. (`rand_distr`'s alias table can fail to be built and does not promise to
/// draw the same values in its next version; this is one binary search.)
#[derive(Debug)]
pub(super) struct Choice {
    cumulative: Vec<f64>,
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
        Self { cumulative }
    }

    /// Popularity of content: rank r has weight (r + 1)^−zipf.
    pub(super) fn zipf(catalogue: &Catalogue) -> Self {
        let items: u64 = catalogue.classes.iter().map(|class| u64::from(class.items)).sum();
        Self::new((1..=items).map(|rank| libm::pow(rank as f64, -catalogue.zipf)))
    }

    /// The thing that belongs to a number in 0..1.
    pub(super) fn pick(&self, uniform: f64) -> usize {
        let last = self.cumulative.len().saturating_sub(1);
        self.cumulative.partition_point(|bound| *bound <= uniform).min(last)
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
        let bounds = Choice::zipf(&catalogue).cumulative;
        assert_eq!(bounds.len(), 32);
        assert!((bounds[0] / (bounds[1] - bounds[0]) - 2.0).abs() < 1e-9);
    }
}

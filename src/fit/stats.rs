//! Statistics that several estimators share. By hand: each is a few lines, and the crates bring matrices and distributions along.

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Draws of a bootstrap.
pub(super) const DRAWS: usize = 200;

/// A value and its interval of 95 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate itself.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    /// The percentile interval of a bootstrap (Efron 1979), widened to hold the estimate itself.
    pub(super) fn of(value: f64, draws: impl Iterator<Item = f64>) -> Self {
        let mut draws: Vec<f64> = draws.filter(|draw| draw.is_finite()).collect();
        draws.sort_by(f64::total_cmp);
        let (low, high) = (quantile(&draws, 0.025), quantile(&draws, 0.975));
        Self { value, low: low.unwrap_or(value).min(value), high: high.unwrap_or(value).max(value) }
    }

    /// The same of a monotone function of it.
    pub(super) fn map(self, function: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (function(self.low), function(self.high));
        Self { value: function(self.value), low: a.min(b), high: a.max(b) }
    }
}

/// The random stream of an estimator: the user's seed and what it is for.
pub(super) fn random(seed: u64, purpose: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed.rotate_left(32) ^ purpose)
}

/// `items` drawn with replacement, as many as there are.
pub(super) fn resample<T: Copy>(items: &[T], random: &mut Xoshiro256PlusPlus) -> Vec<T> {
    items.iter().map(|_| items[random.random_range(0..items.len())]).collect()
}

/// The quantile of sorted values, by linear interpolation (type 7 of Hyndman & Fan 1996).
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// The middle of some values.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The mean; `None` of nothing.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The slope of y over x as the median of all pairwise slopes (Theil 1950, Sen 1968); `None` below three points.
pub(super) fn theil_sen(points: &[(f64, f64)]) -> Option<f64> {
    if points.len() < 3 {
        return None;
    }
    let slopes = points.iter().enumerate().flat_map(|(i, a)| {
        points[i + 1..].iter().filter(|b| b.0 != a.0).map(move |b| (b.1 - a.1) / (b.0 - a.0))
    });
    median(slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let values = [1.0, 2.0, 3.0, 5.0];
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 1.0), quantile(&[], 0.5)),
            (Some(2.5), Some(5.0), None)
        );
        assert_eq!(median([5.0, 1.0, 3.0]), Some(3.0));
    }

    #[test]
    fn an_outlier_does_not_move_the_slope() {
        let mut line: Vec<(f64, f64)> = (0..20).map(|x| (f64::from(x), 3.0 - 1.5 * f64::from(x))).collect();
        line[7].1 = 1e6;
        assert_eq!(theil_sen(&line), Some(-1.5));
        assert_eq!(theil_sen(&line[..2]), None);
    }

    #[test]
    fn a_bootstrap_interval_has_about_the_width_of_theory() {
        let mut random = random(1, 0);
        let sample: Vec<f64> = (0..400).map(|_| random.random::<f64>()).collect();
        let draws: Vec<f64> = (0..1000).filter_map(|_| mean(&resample(&sample, &mut random))).collect();
        let interval = Estimate::of(mean(&sample).unwrap(), draws.into_iter());
        let theory = 2.0 * 1.96 / (12.0_f64 * 400.0).sqrt();
        assert!(((interval.high - interval.low) / theory - 1.0).abs() < 0.15);
    }
}

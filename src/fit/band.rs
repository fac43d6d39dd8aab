//! The band of simulated counts around expected ones.
//!
//! Negative binomial by its mixture: a bin's count is Poisson around its mean times a gamma factor of variance
//! (F − 1)/mean + spread². F is the Fano factor of single bins that the branching ratio gives (the marginal variance of the cluster
//! process at that width), `spread` what varies with the mean itself. Simulating the clusters tick by tick gives the same marginals and
//! adds dependence between bins, which a band of single bins cannot show.

use rand_distr::{Distribution, Gamma, Poisson};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::stats::{quantile, random};

/// Half the width of a normal distribution's middle 70 %, in standard deviations.
const MIDDLE: f64 = 1.036_433;

/// How counts scatter around their mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dispersion {
    /// Variance over mean where `spread` is 0; at least 1.
    pub fano: f64,
    /// Standard deviation over mean of what varies with the mean itself.
    pub spread: f64,
}

/// The middle 70 % of the simulated counts of a bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// 15 % are lower.
    pub low: f64,
    /// Half of them are lower.
    pub middle: f64,
    /// 85 % are lower.
    pub high: f64,
}

impl Band {
    /// Whether a count lies inside.
    #[must_use]
    pub fn holds(&self, count: f64) -> bool {
        (self.low..=self.high).contains(&count)
    }

    /// The pinball loss (Koenker & Bassett 1978) of a count, averaged over the three quantiles.
    #[must_use]
    pub fn pinball(&self, count: f64) -> f64 {
        let loss = |share: f64, quantile: f64| {
            let above = count - quantile;
            if above >= 0.0 { share * above } else { (share - 1.0) * above }
        };
        (loss(0.15, self.low) + loss(0.5, self.middle) + loss(0.85, self.high)) / 3.0
    }
}

impl Dispersion {
    /// With 70 % of the points (count, mean) inside the middle 70 % of a normal distribution of this variance: the smallest spread that
    /// reaches so far or, where `fano` alone reaches further (a few large deviations make it), as much less of `fano`.
    #[must_use]
    pub fn calibrated(fano: f64, points: &[(f64, f64)]) -> Self {
        let needed = |part: fn(f64, f64, f64) -> f64| {
            // Counts are whole: half a count of the distance is none.
            let variance = |count: f64, mean: f64| (((count - mean).abs() - 0.5).max(0.0) / MIDDLE).powi(2);
            let points = points.iter().filter(|(_, mean)| *mean > 0.0);
            let mut needed: Vec<f64> =
                points.map(|(count, mean)| part(variance(*count, *mean), *mean, fano)).collect();
            needed.sort_by(f64::total_cmp);
            quantile(&needed, 0.7).unwrap_or(0.0)
        };
        let spread = needed(|variance, mean, fano| (variance - fano * mean).max(0.0) / (mean * mean)).sqrt();
        let enough = needed(|variance, mean, _| variance / mean);
        Self { fano: if spread > 0.0 { fano } else { enough.clamp(1.0, fano.max(1.0)) }, spread }
    }

    /// A count around `mean`.
    pub(super) fn draw(&self, mean: f64, random: &mut Xoshiro256PlusPlus) -> f64 {
        let variance = (self.fano - 1.0).max(0.0) / mean + self.spread * self.spread;
        // Neither distribution exists where nothing is expected or nothing varies.
        let factor = Gamma::new(1.0 / variance, variance).map_or(1.0, |gamma| gamma.sample(random));
        Poisson::new(mean * factor).map_or(0.0, |poisson| poisson.sample(random))
    }
}

/// The bands of bins with these means over `seeds` simulations, each with a stream of its own.
#[must_use]
pub fn bands(means: &[f64], dispersion: Dispersion, seeds: u64, seed: u64) -> Vec<Band> {
    let mut columns: Vec<Vec<f64>> = means.iter().map(|_| Vec::new()).collect();
    for run in 0..seeds {
        let mut random = random(seed.wrapping_add(run), 4);
        for (column, mean) in columns.iter_mut().zip(means) {
            column.push(dispersion.draw(*mean, &mut random));
        }
    }
    let band = |column: &mut Vec<f64>| {
        column.sort_by(f64::total_cmp);
        let at = |share| quantile(column, share).unwrap_or(0.0);
        Band { low: at(0.15), middle: at(0.5), high: at(0.85) }
    };
    columns.iter_mut().map(band).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_and_the_variance_that_they_should() {
        for (mean, fano, spread) in [(20.0, 1.0, 0.0), (20.0, 6.0, 0.0), (200.0, 3.0, 0.2)] {
            let mut random = random(1, 0);
            let dispersion = Dispersion { fano, spread };
            let draws: Vec<f64> = (0..40_000).map(|_| dispersion.draw(mean, &mut random)).collect();
            let m = draws.iter().sum::<f64>() / 40_000.0;
            let v = draws.iter().map(|draw| (draw - m).powi(2)).sum::<f64>() / 40_000.0;
            let theory = fano * mean + (spread * mean).powi(2);
            assert!((m / mean - 1.0).abs() < 0.02 && (v / theory - 1.0).abs() < 0.06, "{m} {v} for {theory}");
        }
        assert_eq!(Dispersion { fano: 5.0, spread: 0.0 }.draw(0.0, &mut random(1, 0)), 0.0);
    }

    #[test]
    fn the_band_holds_seventy_of_a_hundred_of_its_own_draws() {
        let dispersion = Dispersion { fano: 8.0, spread: 0.3 };
        let means: Vec<f64> = (0..4000).map(|bin| 60.0 + f64::from(bin % 40)).collect();
        let bands = bands(&means, dispersion, 99, 5);
        let mut random = random(77, 0);
        let truth: Vec<f64> = means.iter().map(|mean| dispersion.draw(*mean, &mut random)).collect();
        let inside = bands.iter().zip(&truth).filter(|(band, count)| band.holds(**count)).count();
        assert!((2700..=2920).contains(&inside), "{inside} of 4000");
        let points: Vec<(f64, f64)> = truth.into_iter().zip(means).collect();
        let found = Dispersion::calibrated(8.0, &points);
        assert!((found.spread - 0.3).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn the_pinball_loss_of_the_middle_is_half_the_distance() {
        let band = Band { low: 10.0, middle: 10.0, high: 10.0 };
        assert!(
            (band.pinball(16.0) - 6.0 * 0.5).abs() < 1e-12 && (band.pinball(4.0) - 6.0 * 0.5).abs() < 1e-12
        );
    }
}

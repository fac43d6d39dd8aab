//! How far counts lie from what was predicted for bins that were not fitted, and the band that follows.
//!
//! Split conformal prediction (Vovk et al. 2005; Lei et al. 2018) on the log ratio ln((count + 1)/(mean + 1)) of predictions made
//! without the bin itself: the band is made of quantiles of what was measured, whatever its distribution, so it may be skewed and have
//! heavy tails. Where a prediction was of the same kind (as high above normal, as long after the peak) it counts, others do not.

use rand::seq::SliceRandom;

use super::band::Band;
use super::stats::{quantile, random};

/// Part of the residuals, the nearest ones, that make a band; and the fewest and most.
const NEAREST: usize = 5;
const FEWEST: usize = 20;
const MOST: usize = 200;

/// A prediction that was made without the bin itself, and what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// What kind of prediction it is: residuals of near keys are taken together.
    pub key: f64,
    /// ln((count + 1)/(mean + 1)).
    pub log_ratio: f64,
}

impl Residual {
    /// Of a count where `mean` was predicted.
    #[must_use]
    pub fn new(key: f64, count: f64, mean: f64) -> Self {
        Self { key, log_ratio: ((count + 1.0) / (mean + 1.0)).ln() }
    }
}

/// Residuals to take bands from.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// In order of their keys.
    residuals: Vec<Residual>,
    /// How many of them are independent; all that are taken where `None`.
    independent: Option<usize>,
}

impl Calibration {
    /// From residuals of which each stands for itself, or of which only as many as `independent` do (those of one event hang together):
    /// the fewer, the wider the band; the whole range below six.
    #[must_use]
    pub fn new(mut residuals: Vec<Residual>, independent: Option<usize>) -> Self {
        // Among equal keys no event may come first.
        residuals.shuffle(&mut random(0, 6));
        residuals.sort_by(|a, b| a.key.total_cmp(&b.key));
        Self { residuals, independent }
    }

    /// The band around a prediction.
    #[must_use]
    pub fn band(&self, key: f64, mean: f64) -> Band {
        let all = self.residuals.len();
        let take = (all / NEAREST).clamp(FEWEST, MOST).min(all);
        let place = self.residuals.partition_point(|residual| residual.key < key);
        let last = self.residuals.partition_point(|residual| residual.key <= key);
        let from = ((place + last) / 2).saturating_sub(take / 2).min(all - take);
        let mut near: Vec<f64> =
            self.residuals[from..from + take].iter().map(|residual| residual.log_ratio).collect();
        near.sort_by(f64::total_cmp);
        let independent = self.independent.unwrap_or(take).max(2) as f64;
        let at = |share: f64| {
            // The quantile that a further draw stays below with this probability.
            let place = (share * (independent + 1.0) - 1.0) / (independent - 1.0);
            let log_ratio = quantile(&near, place.clamp(0.0, 1.0)).unwrap_or(0.0);
            ((mean + 1.0) * log_ratio.exp() - 1.0).max(0.0)
        };
        Band { low: at(0.15), middle: at(0.5), high: at(0.85) }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Log ratios that are skewed, and wider for larger keys.
    fn residuals(count: usize, seed: u64) -> Vec<Residual> {
        let mut random = random(seed, 0);
        (0..count)
            .map(|_| {
                let key: f64 = random.random();
                let log_ratio = (1.0 + 4.0 * key) * -random.random::<f64>().ln() * 0.2;
                Residual { key, log_ratio }
            })
            .collect()
    }

    fn inside(calibration: &Calibration, fresh: &[Residual]) -> f64 {
        let held = |residual: &&Residual| {
            let count = 101.0 * residual.log_ratio.exp() - 1.0;
            calibration.band(residual.key, 100.0).holds(count)
        };
        fresh.iter().filter(held).count() as f64 / fresh.len() as f64
    }

    #[test]
    fn seventy_of_a_hundred_fresh_ones_lie_inside_at_either_end() {
        let calibration = Calibration::new(residuals(2000, 1), None);
        let fresh = residuals(4000, 2);
        let (near, far): (Vec<Residual>, Vec<Residual>) = fresh.iter().partition(|fresh| fresh.key < 0.5);
        for part in [fresh, near, far] {
            assert!((inside(&calibration, &part) - 0.7).abs() < 0.04, "{}", inside(&calibration, &part));
        }
    }

    #[test]
    fn few_ones_hold_as_many_on_average_and_few_events_make_it_wider() {
        let fresh = residuals(200, 3);
        let shares = (0..200).map(|seed| inside(&Calibration::new(residuals(20, 10 + seed), None), &fresh));
        let mean = shares.sum::<f64>() / 200.0;
        assert!((mean - 0.7).abs() < 0.03, "{mean}");
        let [many, few, one] = [None, Some(12), Some(1)].map(|independent| {
            let band = Calibration::new(residuals(2000, 1), independent).band(0.5, 100.0);
            band.high / band.low
        });
        assert!(many < few && few < one, "{many} {few} {one}");
    }

    #[test]
    fn nothing_known_leaves_the_prediction_itself() {
        let band = Calibration::new(Vec::new(), None).band(0.0, 7.0);
        assert_eq!((band.low, band.high), (7.0, 7.0));
    }
}

//! Log-normal delays: for drawing, and for averages without drawing.

use crate::scenario::Lag;

/// The 90th percentile of the standard normal distribution.
const Z90: f64 = 1.281_551_565_544_600_4;
/// Strata lie evenly on the normal scale between these bounds; the outermost two reach to infinity.
const Z_BOUND: f64 = 5.0;
const STRATA: usize = 64;

/// A log-normal delay in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Delay {
    mu: f64,
    sigma: f64,
    strata: Vec<Stratum>,
}

/// A slice of a delay's distribution. Averages over the strata, each at its own mean, keep the mean of the distribution exactly,
/// also of a heavy tail.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stratum {
    /// Probability of the slice.
    pub weight: f64,
    /// Mean delay within it, seconds.
    pub mean: f64,
}

impl Delay {
    /// The delay with this median and 90th percentile. A median of zero is no delay at all.
    #[must_use]
    pub fn new(lag: Lag) -> Self {
        let (median, p90) = (lag.median.as_secs_f64(), lag.p90.as_secs_f64());
        let sigma = if median > 0.0 { (libm::log(p90 / median) / Z90).max(0.0) } else { 0.0 };
        let mu = libm::log(median);
        let mean = libm::exp(mu + sigma * sigma / 2.0);
        let stratum = |i: usize| {
            let (low, high) = (bound(i), bound(i + 1));
            let weight = between(low, high);
            // The partial expectation of a log-normal distribution.
            Stratum { weight, mean: mean * between(low - sigma, high - sigma) / weight }
        };
        Self { mu, sigma, strata: (0..STRATA).map(stratum).collect() }
    }

    /// The delay in seconds that belongs to a standard normal deviate.
    #[must_use]
    pub fn at_normal(&self, z: f64) -> f64 {
        libm::exp(self.mu + self.sigma * z)
    }

    /// The slices of the distribution, shortest first.
    #[must_use]
    pub fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    /// For every stratum, the part of its weight that lies beyond `age` seconds.
    pub(super) fn beyond(&self, age: f64) -> impl Iterator<Item = (f64, &Stratum)> {
        let z = if self.sigma == 0.0 {
            if age < self.at_normal(0.0) { f64::NEG_INFINITY } else { f64::INFINITY }
        } else {
            // The logarithm of 0 is -inf: everything lies beyond it.
            (libm::log(age.max(0.0)) - self.mu) / self.sigma
        };
        self.strata.iter().enumerate().filter_map(move |(i, stratum)| {
            let high = bound(i + 1);
            (z < high).then(|| (between(bound(i).max(z), high), stratum))
        })
    }

    /// The delays at which the strata meet, ascending.
    pub(super) fn bounds(&self) -> impl Iterator<Item = f64> {
        (1..STRATA).map(|i| self.at_normal(bound(i)))
    }
}

fn bound(i: usize) -> f64 {
    match i {
        0 => f64::NEG_INFINITY,
        STRATA => f64::INFINITY,
        _ => Z_BOUND * (2.0 * i as f64 / STRATA as f64 - 1.0),
    }
}

/// Standard normal probability between two bounds, taken from the nearer tail so that small ones keep their digits.
fn between(low: f64, high: f64) -> f64 {
    let tail = |z: f64| 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
    if low > 0.0 { tail(low) - tail(high) } else { tail(-high) - tail(-low) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn delay(median: u64, p90: u64) -> Delay {
        Delay::new(Lag { median: Duration::from_secs(median), p90: Duration::from_secs(p90) })
    }

    #[test]
    fn median_and_p90_are_what_was_written() {
        let delay = delay(120, 900);
        assert!((delay.at_normal(0.0) - 120.0).abs() < 1e-9);
        assert!((delay.at_normal(Z90) - 900.0).abs() < 1e-9);
    }

    #[test]
    fn strata_keep_probability_and_mean_of_a_heavy_tail() {
        // LogNormal(4.91, 1.47) minutes, the P2P Trace Archive's session length.
        let (mu, sigma): (f64, f64) = (4.91, 1.47);
        let seconds = |z: f64| Duration::from_secs_f64(60.0 * (mu + sigma * z).exp());
        let delay = Delay::new(Lag { median: seconds(0.0), p90: seconds(Z90) });
        let weight: f64 = delay.strata().iter().map(|s| s.weight).sum();
        let mean: f64 = delay.strata().iter().map(|s| s.weight * s.mean).sum();
        assert!((weight - 1.0).abs() < 1e-12);
        assert!((mean / (60.0 * (mu + sigma * sigma / 2.0).exp()) - 1.0).abs() < 1e-6);
        assert!(delay.strata().is_sorted_by(|a, b| a.mean < b.mean));
    }

    #[test]
    fn beyond_is_the_survival_function() {
        let delay = delay(120, 900);
        for (age, survival) in [(0.0, 1.0), (120.0, 0.5), (900.0, 0.1)] {
            let beyond: f64 = delay.beyond(age).map(|(weight, _)| weight).sum();
            assert!((beyond - survival).abs() < 1e-9, "{beyond} beyond {age} s");
        }
    }

    #[test]
    fn constant_and_zero_delays() {
        let constant = delay(60, 60);
        assert!(constant.strata().iter().all(|s| (s.mean - 60.0).abs() < 1e-6));
        assert_eq!(constant.beyond(60.0).count(), 0);
        let none = delay(0, 0);
        assert!(none.strata().iter().all(|s| s.mean == 0.0));
        assert_eq!((none.at_normal(3.0), none.beyond(0.0).count()), (0.0, 0));
    }
}

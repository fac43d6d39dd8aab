//! Statistics: pure, and at the bottom.

use std::time::Duration;

use hdrhistogram::Histogram;

/// The `quantile` (0..=1) of a histogram of microseconds, in seconds; `None` where it is empty.
#[must_use]
pub(super) fn quantile_seconds(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| histogram.value_at_quantile(quantile) as f64 / 1e6)
}

/// The `quantile` (0..=1) of ascending values, linear between them (type 7 of Hyndman and Fan 1996); 0 where there are none.
#[must_use]
pub(super) fn interpolated(ascending: &[f64], quantile: f64) -> f64 {
    let place = quantile * ascending.len().saturating_sub(1) as f64;
    let at = |index: f64| ascending.get(index as usize).copied().unwrap_or_default();
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}

/// How many of a histogram of microseconds are longer than `limit`, to its three digits.
#[must_use]
pub(super) fn longer_than(histogram: &Histogram<u64>, limit: Duration) -> u64 {
    let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    histogram.len() - histogram.count_between(0, limit)
}

/// `part / whole`, 0 where there is no whole.
#[must_use]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// How many of `n` may be out of place where a `share` of them may: always at least one if any share is allowed, because a single
/// operation says nothing about a share.
#[must_use]
pub(super) fn allowance(share: f64, n: u64) -> u64 {
    if share <= 0.0 { 0 } else { ((share * n as f64 + 1e-9).floor() as u64).max(1) }
}

/// The smallest number of operations of which a `share` is at least one whole operation: 100 for a 99 % quantile.
#[must_use]
pub(super) fn smallest_sample(share: f64) -> u64 {
    if share <= 0.0 { 1 } else { (1.0 / share - 1e-6).ceil() as u64 }
}

/// Little's law over a run: L / (lambda W), 1 where the mean population, the rate and the mean time in the system belong together.
///
/// `populations` is the sum of the population sampled once a second, `moved` how many passed in all, `time` their mean seconds in the
/// system: over any number of seconds L / (lambda W) = (populations / seconds) / (moved / seconds x time). `None` where fewer than 100
/// are to be expected over all samples: the sampling error of the ratio would exceed a tenth.
#[must_use]
pub(super) fn littles_ratio(populations: u64, moved: u64, time: f64) -> Option<f64> {
    let expected = moved as f64 * time;
    (expected >= 100.0).then(|| populations as f64 / expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_operation_never_decides() {
        assert_eq!((allowance(0.01, 5), allowance(0.01, 199), allowance(0.01, 300)), (1, 1, 3));
        assert_eq!(allowance(0.0, 1000), 0);
        assert_eq!(
            (smallest_sample(1.0 - 0.99), smallest_sample(1.0 - 0.999), smallest_sample(0.0)),
            (100, 1000, 1)
        );
    }

    #[test]
    fn counts_the_longer_ones() {
        let mut histogram = crate::record::histogram();
        [100, 1_000, 2_000, 50_000].into_iter().for_each(|micros| histogram.saturating_record(micros));
        assert_eq!(longer_than(&histogram, Duration::from_millis(1)), 2);
        assert_eq!(longer_than(&histogram, Duration::from_secs(1)), 0);
    }

    #[test]
    fn littles_law_of_a_steady_queue() {
        // 100/s that stay 0.05 s each for 60 s: 5 at a time.
        assert_eq!(littles_ratio(5 * 60, 6000, 0.05), Some(1.0));
        assert_eq!(littles_ratio(1, 30, 0.05), None);
    }
}

//! Latencies: dense while they are counted, sparse while they are kept.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that is told apart; longer ones count as this long.
pub const LONGEST: Duration = Duration::from_secs(600);

/// An empty histogram of microseconds: 1 µs to [`LONGEST`], three significant digits. All histograms of operations in all recordings
/// have this shape, so that adding them loses nothing and equal content has equal bytes.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    histogram_to(LONGEST)
}

/// The same up to another bound: its buckets are the same as far as both go.
#[expect(clippy::expect_used, reason = "constant bounds that the crate documents as valid")]
pub(crate) fn histogram_to(longest: Duration) -> Histogram<u64> {
    Histogram::new_with_bounds(1, micros(longest), 3).expect("bounds are valid")
}

/// Counts one latency, one beyond the histogram's bound as that bound. Rounds up to whole microseconds, so that only "at once" is zero.
#[inline]
pub(crate) fn count(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(micros(latency));
}

/// Whole microseconds, rounded up.
#[inline]
pub(crate) fn micros(latency: Duration) -> u64 {
    latency.as_secs() * 1_000_000 + u64::from(latency.subsec_nanos().div_ceil(1000))
}

/// A histogram with only the buckets that hold something: a few KiB where the dense form takes 170.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution {
    /// Highest value of the bucket in microseconds, and how many; ascending.
    points: Vec<(u64, u64)>,
}

impl Distribution {
    /// Everything that a histogram holds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let recorded = histogram.iter_recorded();
        Self { points: recorded.map(|at| (at.value_iterated_to(), at.count_at_value())).collect() }
    }

    /// How many latencies it holds.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.points.iter().map(|&(_, count)| count).sum()
    }

    /// All latencies added up, in microseconds, to three digits each.
    #[must_use]
    pub fn total_micros(&self) -> u64 {
        self.points.iter().map(|&(value, count)| value.saturating_mul(count)).fold(0, u64::saturating_add)
    }

    /// The longest, in microseconds, to three digits; 0 where there is none.
    #[must_use]
    pub fn longest_micros(&self) -> u64 {
        self.points.last().map_or(0, |&(value, _)| value)
    }

    /// Adds everything to a histogram made by [`histogram`], or by [`DownloadTimes::histogram`](super::DownloadTimes::histogram).
    pub fn add_to(&self, histogram: &mut Histogram<u64>) {
        for &(value, count) in &self.points {
            histogram.saturating_record_n(value, count);
        }
    }

    /// Adds another distribution.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.points.extend_from_slice(&other.points);
        self.points.sort_unstable_by_key(|&(value, _)| value);
        self.points.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            kept.1 += if same { later.1 } else { 0 };
            same
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounds_up_and_saturates() {
        let mut all = histogram();
        for latency in [0, 1, 1000, 1001, u64::MAX] {
            count(&mut all, Duration::from_nanos(latency));
        }
        let expected: Vec<_> = vec![(0, 1), (1, 2), (2, 1)];
        assert_eq!(Distribution::of(&all).points[..3], expected);
        assert!(all.equivalent(all.max(), 600_000_000), "{}", all.max());
    }

    proptest! {
        #[test]
        fn sparse_and_dense_hold_the_same(values in prop::collection::vec(0_u64..2_000_000_000_000, 0..200), cut in 0_usize..200) {
            let cut = cut.min(values.len());
            let of = |values: &[u64]| {
                let mut all = histogram();
                values.iter().for_each(|&nanos| count(&mut all, Duration::from_nanos(nanos)));
                all
            };
            let whole = of(&values);
            let mut sum = Distribution::of(&of(&values[..cut]));
            sum.merge(&Distribution::of(&of(&values[cut..])));
            prop_assert_eq!(&sum, &Distribution::of(&whole));
            let mut dense = histogram();
            sum.add_to(&mut dense);
            prop_assert_eq!(dense, whole);
        }
    }
}

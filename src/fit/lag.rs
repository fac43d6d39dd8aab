//! How far a series lags behind another (`domain.md` section 4).
//!
//! Two series of attention rise by day and fall by night together: that alone correlates at any lag. So both are whitened first
//! (differences of logarithms, without the mean of their hour of the day, large ones cut), then correlated at 0 to 48 h. What chance
//! brings is measured by shifting one against the other in a circle by far more than that: the largest correlation over all lags must
//! exceed that of 95 of 100 shifts. Even then a lag is no cause: both may follow a third.

use rand::RngExt;
use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use super::cover::occasions;
use super::stats::{DRAWS, Estimate, mean, quantile, random, resample};
use super::{Fit, Series};

/// Longest lag, seconds.
const LONGEST: i64 = 48 * 3600;
/// A series is at least so many times the longest lag.
const FEWEST: usize = 8;
/// Circular shifts.
const SHIFTS: usize = 999;
/// Differences are cut at so many standard deviations: one viral event shall not decide.
const CUT: f64 = 3.0;
/// Lags of events agree within this part of the lag, or two bins.
const AGREE: f64 = 0.2;

/// What correlating two series at all lags found.
#[derive(Clone, Debug, PartialEq)]
pub struct Lag {
    /// Seconds by which the series lags behind the other where they correlate most; interval by a bootstrap over days.
    pub lag: Estimate,
    /// The correlation there.
    pub correlation: f64,
    /// What 95 of 100 circular shifts stay below, at their best lag.
    pub chance: f64,
    /// The largest correlation where the other lags behind this one.
    pub reverse: f64,
    /// Events of the series.
    pub events: usize,
    /// Those that show the same lag.
    pub agreeing: usize,
}

impl Lag {
    /// Whether there is a lag: beyond chance, shown by at least half of the events, and not the other way round.
    #[must_use]
    pub fn found(&self) -> bool {
        self.significant() && 2 * self.agreeing >= self.events && self.correlation > self.reverse
    }

    /// Whether the correlation exceeds what shifts bring by chance.
    #[must_use]
    pub fn significant(&self) -> bool {
        self.correlation > self.chance
    }
}

/// Why two series cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooShort {
    /// Bins of different length.
    #[error("its bins are of {other} s and those of the series of {own} s: they must be the same")]
    Bins {
        /// Seconds of a bin of the series.
        own: i64,
        /// Seconds of a bin of the other.
        other: i64,
    },
    /// Not enough of both.
    #[error("the two series share {days} days, and a lag of up to 48 h needs 16")]
    Days {
        /// Days that both have.
        days: usize,
    },
}

/// The lag of a series behind `driver`.
///
/// # Errors
/// [`TooShort`]: bins differ, or too little of both.
pub fn lag(series: &Series, driver: &Series, fit: &Fit, seed: u64) -> Result<Lag, TooShort> {
    if series.step != driver.step {
        return Err(TooShort::Bins { own: series.step, other: driver.step });
    }
    // The part of the series that the other has as well.
    let at = |bin: usize| driver.bin(series.second(bin) + series.step / 2);
    let both: Vec<usize> =
        (0..series.values.len()).filter(|bin| (0..driver.values.len() as i64).contains(&at(*bin))).collect();
    let longest = series.bins(LONGEST);
    if both.len() < FEWEST * longest {
        return Err(TooShort::Days { days: both.len() * series.step as usize / 86_400 });
    }
    let follows = whitened(series, both.iter().map(|bin| series.values[*bin]).collect(), both[0]);
    let leads = whitened(series, both.iter().map(|bin| driver.value(at(*bin))).collect(), both[0]);
    let correlation = circular(&leads, &follows);
    let bins = correlation.len();
    let best = |from: usize| {
        (from..=from + longest).map(|k| (correlation[k % bins], k - from)).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (highest, place) = best(0).unwrap_or((0.0, 0));
    let mut random_shift = random(seed, 10);
    let mut shifted: Vec<f64> = (0..SHIFTS)
        .filter_map(|_| Some(best(random_shift.random_range(2 * longest..bins - 2 * longest))?.0))
        .collect();
    shifted.sort_by(f64::total_cmp);
    let products = |from: usize, until: usize| -> Vec<f64> {
        let product = |lag: usize| (from.max(lag)..until).map(|t| leads[t - lag] * follows[t]).sum();
        (0..=longest).map(product).collect()
    };
    let argmax = |sums: &[f64]| (0..sums.len()).max_by(|a, b| sums[*a].total_cmp(&sums[*b])).unwrap_or(0);
    let day = series.bins(86_400).max(2);
    let days: Vec<Vec<f64>> =
        (0..bins).step_by(day).map(|from| products(from, (from + day).min(bins))).collect();
    let mut random_days = random(seed, 11);
    let numbers: Vec<usize> = (0..days.len()).collect();
    let drawn = (0..DRAWS).map(|_| {
        let mut sums = vec![0.0; longest + 1];
        for number in resample(&numbers, &mut random_days) {
            sums.iter_mut().zip(&days[number]).for_each(|(sum, day)| *sum += day);
        }
        argmax(&sums) as f64 * series.step as f64
    });
    let near = (AGREE * place as f64).max(2.0);
    let events: Vec<usize> = (occasions(series, fit).iter())
        .filter(|event| event.window.from >= both[0] && event.window.until <= both[0] + bins)
        .map(|event| argmax(&products(event.window.from - both[0], event.window.until - both[0])))
        .collect();
    Ok(Lag {
        lag: Estimate::of(place as f64 * series.step as f64, drawn),
        correlation: highest,
        chance: quantile(&shifted, 0.95).unwrap_or(1.0),
        reverse: correlation[bins - longest..].iter().copied().fold(f64::MIN, f64::max),
        events: events.len(),
        agreeing: events.iter().filter(|lag| (**lag as f64 - place as f64).abs() <= near).count(),
    })
}

/// Differences of logarithms without the mean of their hour, of variance 1, cut; 0 where one is missing.
fn whitened(series: &Series, values: Vec<Option<f64>>, first: usize) -> Vec<f64> {
    let step = |pair: &[Option<f64>]| Some(pair[1]?.ln_1p() - pair[0]?.ln_1p());
    let raw: Vec<Option<f64>> = std::iter::once(None).chain(values.windows(2).map(step)).collect();
    let cells = if series.step <= 3600 { 24 } else { 1 };
    let hour = |place: usize| {
        let second = series.second(first + place) + series.step / 2;
        (second.rem_euclid(86_400) * cells / 86_400) as usize
    };
    let mut sums = vec![(0.0, 0.0); cells as usize];
    for (place, value) in raw.iter().enumerate() {
        let cell = &mut sums[hour(place)];
        *cell = (cell.0 + value.unwrap_or(0.0), cell.1 + f64::from(u8::from(value.is_some())));
    }
    let rest = |(place, value): (usize, &Option<f64>)| {
        let (sum, count): (f64, f64) = sums[hour(place)];
        value.map_or(0.0, |value| value - sum / count.max(1.0))
    };
    let rest: Vec<f64> = raw.iter().enumerate().map(rest).collect();
    let squares: Vec<f64> = rest.iter().map(|value| value * value).collect();
    let deviation = mean(&squares).unwrap_or(0.0).sqrt().max(1e-12);
    rest.iter().map(|value| (value / deviation).clamp(-CUT, CUT)).collect()
}

/// The correlation of `follows` with what `leads` was k bins before, for every k, in a circle.
fn circular(leads: &[f64], follows: &[f64]) -> Vec<f64> {
    let mut planner = FftPlanner::new();
    let (forward, backward) = (planner.plan_fft_forward(leads.len()), planner.plan_fft_inverse(leads.len()));
    let spectrum = |values: &[f64]| {
        let mut spectrum: Vec<Complex<f64>> = values.iter().map(|value| Complex::new(*value, 0.0)).collect();
        forward.process(&mut spectrum);
        spectrum
    };
    let power = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    let scale = leads.len() as f64 * power(leads) * power(follows);
    let mut product: Vec<Complex<f64>> = spectrum(leads)
        .iter()
        .zip(spectrum(follows))
        .map(|(leads, follows)| leads.conj() * follows)
        .collect();
    backward.process(&mut product);
    product.into_iter().map(|value| value.re / scale).collect()
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Poisson};

    use super::*;

    const DAYS: usize = 30;
    /// Bins of a quarter of an hour.
    const DAY: usize = 96;

    /// What makes attention: log of a slow walk with jumps, its own for every seed.
    fn interest(seed: u64) -> Vec<f64> {
        let mut random = random(seed, 1);
        let mut level = 0.0_f64;
        let mut next = |bin: usize| {
            let burst = if bin % 450 == 300 { 2.5 } else { 0.0 };
            level = 0.97 * level + 0.25 * (random.random::<f64>() - 0.5) + burst;
            level
        };
        (0..DAYS * DAY).map(&mut next).collect()
    }

    /// Counts of an interest that was felt `lag` bins ago, on a daily curve that all share.
    fn counts(interest: &[f64], lag: usize, seed: u64) -> Series {
        let mut random = random(seed, 2);
        let value = |bin: usize| {
            let day = 1.0 + 0.5 * (bin as f64 / DAY as f64 * std::f64::consts::TAU).cos();
            let felt = bin.checked_sub(lag).map_or(0.0, |bin| interest[bin]);
            Some(Poisson::new(150.0 * day * felt.exp()).unwrap().sample(&mut random))
        };
        let values: Vec<Option<f64>> = (0..DAYS * DAY).map(value).collect();
        Series { start: 1_700_000_100, step: 900, values, gaps: Vec::new() }
    }

    fn found(series: &Series, driver: &Series) -> Lag {
        let fit = crate::fit::fit(series, &|_| true, 1).unwrap();
        lag(series, driver, &fit, 1).unwrap()
    }

    #[test]
    fn a_known_lag_is_found_and_not_the_other_way_round() {
        let interest = interest(1);
        let (driver, series) = (counts(&interest, 0, 2), counts(&interest, 11, 3));
        let there = found(&series, &driver);
        assert!(there.found(), "{there:?}");
        assert!((there.lag.value - 11.0 * 900.0).abs() < 1.0, "{there:?}");
        assert!(there.lag.low >= 10.0 * 900.0 && there.lag.high <= 12.0 * 900.0, "{there:?}");
        assert!(there.events >= 3 && there.agreeing >= there.events / 2, "{there:?}");
        let back = found(&driver, &series);
        assert!(!back.found() && back.reverse > back.correlation, "{back:?}");
    }

    #[test]
    fn two_series_that_share_only_the_daily_curve_have_no_lag() {
        let alarms = (0..20).filter(|seed| {
            found(&counts(&interest(100 + seed), 0, 1), &counts(&interest(200 + seed), 0, 2)).found()
        });
        assert!(alarms.count() <= 2);
    }

    #[test]
    fn bins_must_match_and_days_must_suffice() {
        let series = counts(&interest(1), 0, 2);
        let fit = crate::fit::fit(&series, &|_| true, 1).unwrap();
        let minutes = Series { step: 60, ..series.clone() };
        assert_eq!(lag(&series, &minutes, &fit, 1), Err(TooShort::Bins { own: 900, other: 60 }));
        let short = Series { values: series.values[..10 * DAY].to_vec(), ..series.clone() };
        assert_eq!(lag(&series, &short, &fit, 1), Err(TooShort::Days { days: 10 }));
    }
}

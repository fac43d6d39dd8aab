//! Shocks of a series: peaks far above the season, how high, and how they relax.

use super::band::Dispersion;
use super::stats::{Estimate, median, random, theil_sen};
use super::{Season, Series};

/// A peak stands this many robust standard deviations (1.4826 · MAD of log ratios) above the middle.
const DEVIATIONS: f64 = 5.0;
/// A peak is at least this many times the season.
const RATIO: f64 = 3.0;
/// Peaks closer than this are one shock: 12 h, or a week of longer bins.
const APART: i64 = 12 * 3600;
const APART_BINS: usize = 7;
/// Longest relaxation that is followed: two days, or four weeks of longer bins.
const TAIL: i64 = 48 * 3600;
const TAIL_BINS: usize = 28;
/// The tail ends where this many bins in a row are back within two deviations.
const CALM: usize = 3;

/// A shock.
#[derive(Clone, Debug, PartialEq)]
pub struct Shock {
    /// Bin of its peak.
    pub bin: usize,
    /// First bin that it lifts noticeably.
    pub from: usize,
    /// First bin that it does not lift any more.
    pub until: usize,
    /// Peak over season.
    pub ratio: Estimate,
    /// Seconds until the excess is half of the peak's for the first time; none where that is not seen.
    pub half_life: Option<Estimate>,
    /// Exponent p of the relaxation t^−p, by the Theil–Sen slope of log excess over log time; none below three points.
    pub exponent: Option<Estimate>,
}

/// The shape of a peak, before anything is known of the noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Peak {
    pub(super) bin: usize,
    pub(super) from: usize,
    pub(super) until: usize,
}

/// The peaks of the bins that `counts` admits, in order of time.
pub(super) fn peaks(series: &Series, season: &Season, counts: &dyn Fn(usize) -> bool) -> Vec<Peak> {
    // One is added on both sides: the season of a quiet night may be nothing.
    let log_ratio = |bin: usize| {
        let value = series.values.get(bin).copied().flatten().filter(|_| counts(bin))?;
        Some(((value + 1.0) / (season.expected(series, bin) + 1.0)).ln())
    };
    let ratios: Vec<Option<f64>> = (0..series.values.len()).map(log_ratio).collect();
    let Some(middle) = median(ratios.iter().copied().flatten()) else { return Vec::new() };
    let mad = median(ratios.iter().flatten().map(|ratio| (ratio - middle).abs())).unwrap_or(0.0);
    let deviation = (1.4826 * mad).max(1e-3);
    let threshold = (middle + DEVIATIONS * deviation).max(RATIO.ln());
    let back = |bin: usize| ratios.get(bin).copied().flatten().is_none_or(|r| r < middle + 2.0 * deviation);
    let apart = reach(series, APART, APART_BINS);
    let mut high: Vec<(f64, usize)> = ratios
        .iter()
        .enumerate()
        .filter_map(|(bin, ratio)| ratio.filter(|ratio| *ratio >= threshold).map(|ratio| (ratio, bin)))
        .collect();
    high.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<usize> = Vec::new();
    for (_, bin) in high {
        if chosen.iter().all(|other| other.abs_diff(bin) >= apart) {
            chosen.push(bin);
        }
    }
    chosen.sort_unstable();
    let footprint = |bin: usize| {
        let from = (bin.saturating_sub(apart)..bin).rev().find(|bin| back(*bin)).map_or(bin, |bin| bin + 1);
        let last = (bin + reach(series, TAIL, TAIL_BINS)).min(series.values.len());
        let until = (bin + 1..last).find(|end| (*end..end + CALM).all(back)).unwrap_or(last);
        Peak { bin, from, until }
    };
    chosen.into_iter().map(footprint).collect()
}

fn reach(series: &Series, seconds: i64, bins: usize) -> usize {
    if series.step * bins as i64 > seconds { bins } else { series.bins(seconds) }
}

/// How a peak's excess relaxes.
struct Relaxation {
    ratio: f64,
    half_life: Option<f64>,
    exponent: Option<f64>,
}

impl Shock {
    /// A peak with its estimates; intervals by a parametric bootstrap: every bin redrawn around its own value with the series'
    /// dispersion.
    pub(super) fn of(
        series: &Series,
        season: &Season,
        peak: Peak,
        dispersion: Dispersion,
        (count, seed): (usize, u64),
    ) -> Self {
        let bins: Vec<(f64, f64)> = (peak.bin..(peak.until + CALM).min(series.values.len()))
            .map(|bin| (series.values[bin].unwrap_or(f64::NAN), season.expected(series, bin)))
            .collect();
        let found = relaxation(&bins, series.step as f64);
        let mut random = random(seed, 1000 + peak.bin as u64);
        let draws: Vec<Relaxation> = (0..count)
            .map(|_| {
                let mut draw =
                    |value: f64| if value.is_nan() { value } else { dispersion.draw(value, &mut random) };
                let again: Vec<(f64, f64)> =
                    bins.iter().map(|(value, season)| (draw(*value), *season)).collect();
                relaxation(&again, series.step as f64)
            })
            .collect();
        let interval = |value: Option<f64>, part: fn(&Relaxation) -> Option<f64>| {
            value.map(|value| Estimate::of(value, draws.iter().filter_map(part)))
        };
        Self {
            bin: peak.bin,
            from: peak.from,
            until: peak.until,
            ratio: Estimate::of(found.ratio, draws.iter().map(|draw| draw.ratio)),
            half_life: interval(found.half_life, |draw| draw.half_life),
            exponent: interval(found.exponent, |draw| draw.exponent),
        }
    }
}

/// Of (value, season) from the peak's bin on; values that are missing are not numbers.
fn relaxation(bins: &[(f64, f64)], step: f64) -> Relaxation {
    let excess: Vec<f64> = bins.iter().map(|(value, season)| value - season).collect();
    let (value, season) = bins.first().copied().unwrap_or((0.0, 1.0));
    let peak = excess.first().copied().unwrap_or(0.0);
    let half = excess.windows(2).position(|pair| pair[1] <= peak / 2.0).map(|bin| {
        let (before, after) = (excess[bin], excess[bin + 1]);
        step * (bin as f64 + (before - peak / 2.0) / (before - after))
    });
    // Points at equal ratios of time, so that the long end does not outweigh the rest.
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (age, excess) in excess.iter().enumerate().skip(1) {
        let time = (age as f64).ln();
        if *excess > 0.0 && points.last().is_none_or(|last| time - last.0 >= 0.1) {
            points.push((time, excess.ln()));
        }
    }
    Relaxation {
        ratio: value / season.max(1e-9),
        half_life: half.filter(|half| half.is_finite() && peak > 0.0),
        exponent: theil_sen(&points).map(|slope| -slope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three weeks of five minutes at 50, with one shock of 40 times that whose excess falls as t^-1.2.
    fn series(at: usize) -> Series {
        let value = |bin: usize| {
            let noise = [0.0, 3.0, -2.0, 1.0, -3.0, 2.0][bin % 6];
            let excess = match bin.checked_sub(at) {
                None => 0.0,
                Some(0) => 1950.0,
                Some(age) => 1950.0 / 1.5 * (age as f64).powf(-1.2),
            };
            Some(50.0 + noise + excess)
        };
        Series { start: 0, step: 300, values: (0..21 * 288).map(value).collect(), gaps: Vec::new() }
    }

    #[test]
    fn finds_the_one_shock_its_height_and_its_relaxation() {
        let series = series(3000);
        let season = Season::of(&series, &|_| true, 200, 1).unwrap();
        let peaks = peaks(&series, &season, &|_| true);
        assert_eq!(peaks.iter().map(|peak| peak.bin).collect::<Vec<_>>(), [3000]);
        assert_eq!(peaks[0].from, 3000);
        let shock = Shock::of(&series, &season, peaks[0], Dispersion { fano: 2.0, spread: 0.0 }, (200, 1));
        assert!((shock.ratio.value - 40.0).abs() < 1.0, "{:?}", shock.ratio);
        assert!(shock.ratio.low > 37.0 && shock.ratio.high < 43.0, "{:?}", shock.ratio);
        let exponent = shock.exponent.unwrap();
        assert!((exponent.value - 1.2).abs() < 0.15, "{exponent:?}");
        let half_life = shock.half_life.unwrap();
        assert!(half_life.value > 300.0 && half_life.value < 600.0, "{half_life:?}");
    }

    #[test]
    fn a_calm_series_has_no_shock() {
        let calm = series(usize::MAX);
        let season = Season::of(&calm, &|_| true, 200, 1).unwrap();
        assert!(peaks(&calm, &season, &|_| true).is_empty());
    }
}

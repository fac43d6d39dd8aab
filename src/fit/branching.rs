//! Self-excitation from the over-dispersion of counts: n̂ = 1 − 1/√F(w → ∞) (`domain.md` section 1).
//!
//! F(w) is the Fano factor of the counts in windows of length w, around what the season expects. For a Hawkes process with exponential
//! kernel F(w) = k² + (1 − k²)(1 − e^(−aw))/(aw), with k = 1/(1 − n) and a = β(1 − n): the curve over w gives n and the delay 1/β.
//! Changes of the level that the season does not know also raise F at long windows; so n̂ is an upper bound, and windows end at six
//! hours (seven bins at least).

use rand_xoshiro::Xoshiro256PlusPlus;

use super::stats::{Estimate, random, resample};
use super::{Season, Series};

const WINDOWS: [usize; 9] = [1, 2, 3, 4, 7, 12, 24, 48, 72];
/// Longest window, seconds.
const LONGEST: i64 = 6 * 3600;
/// Fewest windows that make a Fano factor.
const FEWEST: usize = 30;
/// Draws of the bootstrap: each fits a curve.
const DRAWS: usize = 60;
/// Where the kernel's scale is looked for, in `a` times bins, with equal ratios between them.
const SCALES: (f64, f64, i32) = (0.003, 10.0, 50);
/// The branching ratio is kept below this: at 1 a cascade would never end.
const MOST: f64 = 0.995;

/// Self-excitation of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Branching {
    /// The branching ratio n̂.
    pub ratio: Estimate,
    /// Mean delay 1/β of what an event sets off, seconds.
    pub delay: Estimate,
    /// The measured Fano factors, as (seconds of the window, factor).
    pub measured: Vec<(f64, f64)>,
    /// Fano factor of single bins that the curve gives.
    pub bin: f64,
}

/// The Fano factor of a Hawkes process with exponential kernel in windows of `window`: `ratio` is n, `delay` is 1/β in the same unit.
#[must_use]
pub fn fano(ratio: f64, delay: f64, window: f64) -> f64 {
    let gain = 1.0 / (1.0 - ratio);
    let exposure = window * (1.0 - ratio) / delay;
    gain * gain + (1.0 - gain * gain) * -(-exposure).exp_m1() / exposure
}

/// What the windows of one length hold, day by day.
struct Tally {
    window: usize,
    /// Sum of (count − expected)² and sum of expected.
    days: Vec<(f64, f64)>,
}

impl Tally {
    fn fano(&self, days: &[usize]) -> f64 {
        let (squares, expected) = days
            .iter()
            .filter_map(|day| self.days.get(*day))
            .fold((0.0, 0.0), |sum, day| (sum.0 + day.0, sum.1 + day.1));
        squares / expected
    }
}

impl Branching {
    /// Self-excitation in the bins that are `calm`; `None` where they are too few.
    #[must_use]
    pub fn of(series: &Series, season: &Season, calm: &dyn Fn(usize) -> bool, seed: u64) -> Option<Self> {
        let longest = series.bins(LONGEST).max(7);
        let tallies: Vec<Tally> = WINDOWS
            .into_iter()
            .filter(|window| *window <= longest)
            .filter_map(|window| tally(series, season, calm, window))
            .collect();
        let days = tallies.iter().map(|tally| tally.days.len()).max()?;
        let all: Vec<usize> = (0..days).collect();
        let curve = |days: &[usize]| {
            let points: Vec<(f64, f64)> =
                tallies.iter().map(|tally| (tally.window as f64, tally.fano(days))).collect();
            hawkes(&points).map(|fitted| (points, fitted))
        };
        let step = series.step as f64;
        let (points, (ratio, delay)) = curve(&all)?;
        let mut random: Xoshiro256PlusPlus = random(seed, 3);
        let draws: Vec<(f64, f64)> =
            (0..DRAWS).filter_map(|_| Some(curve(&resample(&all, &mut random))?.1)).collect();
        Some(Self {
            ratio: Estimate::of(ratio, draws.iter().map(|draw| draw.0)),
            delay: Estimate::of(delay * step, draws.iter().map(|draw| draw.1 * step)),
            measured: points.into_iter().map(|(window, fano)| (window * step, fano)).collect(),
            bin: fano(ratio, delay, 1.0),
        })
    }
}

/// Windows of `window` calm bins without a gap between them.
fn tally(series: &Series, season: &Season, calm: &dyn Fn(usize) -> bool, window: usize) -> Option<Tally> {
    let mut windows: Vec<(usize, f64, f64)> = Vec::new();
    let (mut count, mut expected, mut bins) = (0.0, 0.0, 0);
    for (bin, value) in series.values.iter().enumerate() {
        match value.filter(|_| calm(bin)) {
            Some(value) => {
                (count, expected, bins) = (count + value, expected + season.expected(series, bin), bins + 1)
            }
            None => (count, expected, bins) = (0.0, 0.0, 0),
        }
        if bins == window {
            windows.push((bin, count, expected));
            (count, expected, bins) = (0.0, 0.0, 0);
        }
    }
    // Medians lie below means; without this the difference would count as dispersion.
    let scale = windows.iter().map(|w| w.1).sum::<f64>() / windows.iter().map(|w| w.2).sum::<f64>();
    let block = series.bins(86_400).max(window);
    let mut days = vec![(0.0, 0.0); series.values.len() / block + 1];
    for (bin, count, expected) in &windows {
        let day = &mut days[bin / block];
        *day = (day.0 + (count - scale * expected).powi(2), day.1 + scale * expected);
    }
    (windows.len() >= FEWEST).then_some(Tally { window, days })
}

/// Branching ratio and delay (in the unit of the windows) by least squares on ln F over a grid of delays, the ratio by bisection.
fn hawkes(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let highest = points.iter().map(|point| point.1).fold(f64::NAN, f64::max);
    if highest.is_nan() {
        return None;
    }
    // F at the longest window bounds n from above by half as much again: a curve that does not level off would leave it open.
    let most = (1.0 - 1.0 / (1.5 * highest).max(1.0).sqrt()).min(MOST);
    let (from, until, cells) = SCALES;
    let grid = (0..=cells).map(|i| from * (until / from).powf(f64::from(i) / f64::from(cells)));
    let candidates = grid.flat_map(|a| (0..=80).map(move |i| (most * f64::from(i) / 80.0, a)));
    let error = |(ratio, a): &(f64, f64)| -> f64 {
        let delay = (1.0 - ratio) / a;
        points.iter().map(|(w, f)| (f.max(1e-9).ln() - fano(*ratio, delay, *w).ln()).powi(2)).sum()
    };
    let best = candidates.map(|c| (error(&c), c)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let (ratio, a) = best.1;
    Some((ratio, (1.0 - ratio) / a))
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Poisson};

    use super::*;

    /// The counts-per-tick Hawkes process of `domain.md` section 1.
    fn hawkes_counts(mu: f64, n: f64, beta: f64, bins: usize) -> Vec<Option<f64>> {
        let mut random = random(7, 99);
        let mut poisson =
            |mean: f64| if mean > 0.0 { Poisson::new(mean).unwrap().sample(&mut random) } else { 0.0 };
        let q = (-beta).exp();
        let (a, p0) = ((1.0 - q).powi(2) / beta, 1.0 - (1.0 - q) / beta);
        let mut memory = 0.0;
        let mut tick = || {
            let mut generation = poisson(mu + n * memory);
            let mut count = generation;
            while generation > 0.0 {
                generation = poisson(n * p0 * generation);
                count += generation;
            }
            memory = memory * q + a * count;
            Some(count)
        };
        (0..bins).map(|_| tick()).collect()
    }

    #[test]
    fn the_curve_is_that_of_the_literature() {
        // domain.md: n = 0.8, beta = 0.5: F(200) = 23.8 and F(10) = 9.83.
        assert!((fano(0.8, 2.0, 200.0) - 23.8).abs() < 0.05, "{}", fano(0.8, 2.0, 200.0));
        assert!((fano(0.8, 2.0, 10.0) - 9.83).abs() < 0.01, "{}", fano(0.8, 2.0, 10.0));
        assert!((fano(0.0, 2.0, 10.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn finds_the_ratio_of_a_hawkes_process_and_none_in_a_poisson_stream() {
        for (n, tolerance) in [(0.0, 0.05), (0.5, 0.06), (0.8, 0.05)] {
            let values = hawkes_counts(20.0 * (1.0 - n), n, 0.4, 30 * 288);
            let series = Series { start: 0, step: 300, values, gaps: Vec::new() };
            let season = Season::of(&series, &|_| true, 1).unwrap();
            let found = Branching::of(&series, &season, &|_| true, 1).unwrap();
            assert!((found.ratio.value - n).abs() < tolerance, "n = {n}: {found:?}");
            assert!(found.ratio.low <= n + 0.01 && n - 0.05 <= found.ratio.high, "n = {n}: {found:?}");
        }
    }
}

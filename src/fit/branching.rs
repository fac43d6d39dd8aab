//! Self-excitation from the over-dispersion of counts: n̂ = 1 − 1/√F(w → ∞) (`domain.md` section 1).
//!
//! F(w) is the Fano factor of the counts in windows of length w. For a Hawkes process with exponential kernel
//! F(w) = k² + (1 − k²)(1 − e^(−aw))/(aw), with k = 1/(1 − n) and a = β(1 − n): the curve over w gives n and the delay 1/β.
//! A level that drifts raises F as well. So what is measured is not F itself but the variance of second differences
//! N₁ − 2N₂ + N₃ of neighbouring windows, over that of a Poisson stream: drifts that are straight over three windows cancel (the Allan
//! factor of point processes does the same with first differences, Allan 1966), and for a Hawkes process it follows from F at w, 2w
//! and 3w. Windows end at two hours (seven bins at least): what takes longer counts as drift. Noise that grows with the level still counts as self-excitation.

use rand_xoshiro::Xoshiro256PlusPlus;

use super::stats::{Estimate, median, random, resample};
use super::{Season, Series};

const WINDOWS: [usize; 9] = [1, 2, 3, 4, 7, 12, 24, 48, 72];
/// Longest window, seconds.
const LONGEST: i64 = 2 * 3600;
/// Fewest windows that make a Fano factor.
const FEWEST: usize = 30;
/// Most draws of the bootstrap: each fits a curve.
const DRAWS: usize = 60;
/// Where the kernel's scale is looked for, in `a` times bins: up to this, with so many equal ratios.
const SCALES: (f64, i32) = (10.0, 40);
/// Branching ratios that are tried.
const RATIOS: i32 = 60;
/// The branching ratio is kept below this: at 1 a cascade would never end.
const MOST: f64 = 0.995;

/// Self-excitation of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Branching {
    /// The branching ratio n̂.
    pub ratio: Estimate,
    /// Mean delay 1/β of what an event sets off, seconds.
    pub delay: Estimate,
    /// The measured dispersion of second differences over that of a Poisson stream, as (seconds of the window, factor).
    pub measured: Vec<(f64, f64)>,
    /// Fano factor of single bins that the curve gives.
    pub bin: f64,
    /// The dispersion of single bins in the middle: their median, which bursts do not move; at least 1.
    pub typical: f64,
}

/// The Fano factor of a Hawkes process with exponential kernel in windows of `window`: `ratio` is n, `delay` is 1/β in the same unit.
#[must_use]
pub fn fano(ratio: f64, delay: f64, window: f64) -> f64 {
    let gain = 1.0 / (1.0 - ratio);
    let exposure = window * (1.0 - ratio) / delay;
    gain * gain + (1.0 - gain * gain) * -(-exposure).exp_m1() / exposure
}

/// The variance of second differences of the counts in neighbouring windows over that of a Poisson stream, for the same process.
#[must_use]
pub fn roughness(ratio: f64, delay: f64, window: f64) -> f64 {
    let variance = |windows: f64| windows * fano(ratio, delay, windows * window);
    let (one, two, three) = (variance(1.0), variance(2.0), variance(3.0));
    let next = two / 2.0 - one;
    let after = (three - 3.0 * one - 4.0 * next) / 2.0;
    (6.0 * one - 8.0 * next + 2.0 * after) / 6.0
}

/// What the windows of one length hold, day by day.
struct Tally {
    window: usize,
    /// Sum of squared second differences, the same of a Poisson stream, and how many.
    days: Vec<(f64, f64, f64)>,
}

impl Tally {
    /// Dispersion and number of differences on these days.
    fn of(&self, days: &[usize]) -> (f64, f64) {
        let (squares, poisson, differences) = days
            .iter()
            .filter_map(|day| self.days.get(*day))
            .fold((0.0, 0.0, 0.0), |sum, day| (sum.0 + day.0, sum.1 + day.1, sum.2 + day.2));
        (squares / poisson, differences)
    }
}

/// A measured dispersion.
#[derive(Clone, Copy)]
struct Point {
    window: f64,
    dispersion: f64,
    /// How many differences it is made of.
    weight: f64,
}

impl Branching {
    /// Self-excitation in the bins that are `calm`, with `draws` behind its intervals (sixty at most); `None` where they are too few.
    #[must_use]
    pub fn of(
        series: &Series,
        season: &Season,
        calm: &dyn Fn(usize) -> bool,
        draws: usize,
        seed: u64,
    ) -> Option<Self> {
        let longest = series.bins(LONGEST).max(7);
        let tallies: Vec<Tally> = WINDOWS
            .into_iter()
            .filter(|window| *window <= longest)
            .filter_map(|window| tally(series, season, calm, window))
            .collect();
        let days = tallies.iter().map(|tally| tally.days.len()).max()?;
        let all: Vec<usize> = (0..days).collect();
        let points = |days: &[usize]| -> Vec<Point> {
            let point = |tally: &Tally| {
                let (dispersion, weight) = tally.of(days);
                Point { window: tally.window as f64, dispersion, weight }
            };
            tallies.iter().map(point).filter(|point| point.dispersion.is_finite()).collect()
        };
        let step = series.step as f64;
        let measured = points(&all);
        let (ratio, delay) = hawkes(&measured)?;
        let mut random: Xoshiro256PlusPlus = random(seed, 3);
        let draws: Vec<(f64, f64)> =
            (0..draws.min(DRAWS)).filter_map(|_| hawkes(&points(&resample(&all, &mut random)))).collect();
        Some(Self {
            ratio: Estimate::of(ratio, draws.iter().map(|draw| draw.0)),
            delay: Estimate::of(delay * step, draws.iter().map(|draw| draw.1 * step)),
            measured: measured.into_iter().map(|point| (point.window * step, point.dispersion)).collect(),
            bin: fano(ratio, delay, 1.0),
            typical: typical(&triples(series, season, calm, 1)).max(1.0),
        })
    }
}

/// The second difference of three neighbouring windows.
struct Triple {
    bin: usize,
    square: f64,
    /// What a Poisson stream would have.
    poisson: f64,
}

/// Those of windows of `window` calm bins without a gap between them.
fn triples(series: &Series, season: &Season, calm: &dyn Fn(usize) -> bool, window: usize) -> Vec<Triple> {
    // Runs of whole windows: the bin after each, its count, and the share that the daily curve gives it.
    let mut runs: Vec<Vec<(usize, f64, f64)>> = Vec::new();
    let mut run: Vec<(usize, f64, f64)> = Vec::new();
    let (mut count, mut expected, mut bins) = (0.0, 0.0, 0);
    for (bin, value) in series.values.iter().enumerate() {
        let Some(value) = value.filter(|_| calm(bin)) else {
            (count, expected, bins) = (0.0, 0.0, 0);
            runs.push(std::mem::take(&mut run));
            continue;
        };
        (count, expected, bins) = (count + value, expected + season.cycle(series, bin), bins + 1);
        if bins == window {
            run.push((bin, count, expected));
            (count, expected, bins) = (0.0, 0.0, 0);
        }
    }
    runs.push(run);
    let triple = |windows: &[(usize, f64, f64)]| {
        let [(_, n1, e1), (bin, n2, e2), (_, n3, e3)] = [windows[0], windows[1], windows[2]];
        // What the daily curve gives the difference, at the level that these windows have.
        let level = (n1 + n2 + n3) / (e1 + e2 + e3).max(1e-9);
        let difference = n1 - 2.0 * n2 + n3 - level * (e1 - 2.0 * e2 + e3);
        Triple { bin, square: difference.powi(2), poisson: n1 + 4.0 * n2 + n3 }
    };
    runs.iter().flat_map(|run| run.windows(3)).map(triple).collect()
}

fn tally(series: &Series, season: &Season, calm: &dyn Fn(usize) -> bool, window: usize) -> Option<Tally> {
    let triples = triples(series, season, calm, window);
    let block = series.bins(86_400).max(window);
    let mut days = vec![(0.0, 0.0, 0.0); series.values.len() / block + 1];
    for triple in &triples {
        let day = &mut days[triple.bin / block];
        *day = (day.0 + triple.square, day.1 + triple.poisson, day.2 + 1.0);
    }
    (triples.len() >= FEWEST).then_some(Tally { window, days })
}

/// The median square over that of a normal distribution (chi-square with one degree of freedom: 0.4549).
fn typical(triples: &[Triple]) -> f64 {
    let there = triples.iter().filter(|triple| triple.poisson > 0.0);
    median(there.map(|triple| triple.square / triple.poisson)).unwrap_or(1.0) / 0.4549
}

/// Branching ratio and delay (in the unit of the windows) by least squares on the logarithm of the dispersion, over a grid of both.
fn hawkes(points: &[Point]) -> Option<(f64, f64)> {
    let highest = points.iter().map(|point| point.dispersion).fold(f64::NAN, f64::max);
    if highest.is_nan() {
        return None;
    }
    // The dispersion at the longest window bounds n from above by four times as much: a curve that does not level off would leave it
    // open.
    let most = (1.0 - 1.0 / (4.0 * highest).max(1.0).sqrt()).min(MOST);
    // A kernel that does not level off within the longest window cannot be told from a drift.
    let from = 1.0 / points.iter().map(|point| point.window).fold(1.0, f64::max);
    let (until, cells) = SCALES;
    let grid = (0..=cells).map(|i| from * (until / from).powf(f64::from(i) / f64::from(cells)));
    let candidates =
        grid.flat_map(|a| (0..=RATIOS).map(move |i| (most * f64::from(i) / f64::from(RATIOS), a)));
    let error = |(ratio, a): &(f64, f64)| -> f64 {
        let delay = (1.0 - ratio) / a;
        let square = |point: &Point| {
            let theory = roughness(*ratio, delay, point.window);
            point.weight * (point.dispersion.max(1e-9).ln() - theory.ln()).powi(2)
        };
        points.iter().map(square).sum()
    };
    let best = candidates.map(|c| (error(&c), c)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let (ratio, a) = best.1;
    Some((ratio, (1.0 - ratio) / a))
}

#[cfg(test)]
mod tests {
    use rand_distr::{Distribution, Poisson};

    use super::*;

    /// The counts-per-tick Hawkes process of `domain.md` section 1, with `mu` of a bin.
    fn hawkes_counts(mu: impl Fn(usize) -> f64, n: f64, beta: f64, bins: usize) -> Vec<Option<f64>> {
        let mut random = random(7, 99);
        let mut poisson =
            |mean: f64| if mean > 0.0 { Poisson::new(mean).unwrap().sample(&mut random) } else { 0.0 };
        let q = (-beta).exp();
        let (a, p0) = ((1.0 - q).powi(2) / beta, 1.0 - (1.0 - q) / beta);
        let mut memory = 0.0;
        let tick = |bin| {
            let mut generation = poisson(mu(bin) + n * memory);
            let mut count = generation;
            while generation > 0.0 {
                generation = poisson(n * p0 * generation);
                count += generation;
            }
            memory = memory * q + a * count;
            Some(count)
        };
        (0..bins).map(tick).collect()
    }

    #[test]
    fn the_curve_is_that_of_the_literature() {
        // domain.md: n = 0.8, beta = 0.5: F(200) = 23.8 and F(10) = 9.83.
        assert!((fano(0.8, 2.0, 200.0) - 23.8).abs() < 0.05, "{}", fano(0.8, 2.0, 200.0));
        assert!((fano(0.8, 2.0, 10.0) - 9.83).abs() < 0.01, "{}", fano(0.8, 2.0, 10.0));
        assert!((fano(0.0, 2.0, 10.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn second_differences_of_a_poisson_stream_and_of_long_windows() {
        assert!((roughness(0.0, 2.0, 10.0) - 1.0).abs() < 1e-9);
        // Far apart, windows are independent: what is left is F itself.
        assert!((roughness(0.8, 2.0, 1e6) - 25.0).abs() < 0.01, "{}", roughness(0.8, 2.0, 1e6));
    }

    fn found(values: Vec<Option<f64>>) -> Branching {
        let series = Series { start: 0, step: 300, values, gaps: Vec::new() };
        let season = Season::of(&series, &|_| true, 200, 1).unwrap();
        Branching::of(&series, &season, &|_| true, 200, 1).unwrap()
    }

    #[test]
    fn finds_the_ratio_of_a_hawkes_process_and_none_in_a_poisson_stream() {
        for n in [0.0, 0.3, 0.5, 0.6, 0.8] {
            let found = found(hawkes_counts(|_| 20.0 * (1.0 - n), n, 0.4, 30 * 288));
            assert!((found.ratio.value - n).abs() < 0.1, "n = {n}: {found:?}");
            assert!(found.ratio.low <= n + 0.03 && n - 0.03 <= found.ratio.high, "n = {n}: {found:?}");
        }
    }

    /// A base that swings by 40 % over 80 hours and doubles within the month: no season knows that.
    #[test]
    fn a_base_that_drifts_is_not_taken_for_self_excitation() {
        for n in [0.0, 0.3, 0.6, 0.8] {
            let base = |bin: usize| {
                let swing = (bin as f64 / 960.0 * std::f64::consts::TAU).sin();
                20.0 * (1.0 - n) * (1.0 + 0.4 * swing) * (1.0 + bin as f64 / 8640.0)
            };
            let found = found(hawkes_counts(base, n, 0.4, 30 * 288));
            assert!((found.ratio.value - n).abs() < 0.1, "n = {n}: {found:?}");
        }
    }
}

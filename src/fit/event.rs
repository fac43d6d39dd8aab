//! An event: shocks of one shape on top of a normal day, in the terms of a scenario file.
//!
//! The mean of a bin is base × daily curve × (1 + Σ strength × response), where the response is the program's own
//! ([`crate::demand::Level`]): a rise, the power law (1 + t/c)^−(1+θ), and the echo of self-excitation. Moments are found one after
//! the other where they explain most (matching pursuit, Mallat & Zhang 1993); base and strengths are a non-negative least-squares fit,
//! reweighted by the variance at the mean; rise, c and θ come from a grid. What is
//! minimised in the end is the mean square of ln(count/mean) over its variance.

use std::time::Duration;

use crate::demand::{Level, Shock as Push};
use crate::scenario::{Attention, Channel};

use super::band::Dispersion;
use super::stats::{Estimate, median, random};
use super::{Fit, Series};

/// Moments of the response per bin: shocks need not begin with a bin.
const FINE: usize = 4;
/// Most waves of an event.
const WAVES: usize = 6;
/// Part of a wave's highest response that must lie in the bins that are fitted.
const SEEN: f64 = 0.5;
/// Standard deviation over mean that fits allow for beside the Fano factor (assumed; the band's own is calibrated).
const SPREAD: f64 = 0.3;
/// The base is at least this part of the season's level in the window.
const LEAST: f64 = 0.3;
/// Rises and time constants that are tried, in bins; exponents that are tried.
const RISES: [f64; 4] = [0.5, 1.0, 3.0, 12.0];
const RELAXES: [f64; 6] = [0.5, 1.0, 3.0, 12.0, 48.0, 144.0];
const THETAS: [f64; 4] = [0.1, 0.4, 0.8, 1.6];

/// Bins that are held out together: an hour, one where bins are longer.
pub(super) fn block(series: &Series) -> usize {
    series.bins(3600)
}

/// The bins of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First bin.
    pub from: usize,
    /// First bin after it.
    pub until: usize,
}

impl Window {
    /// From a day before a moment to two days after it; from one week to three weeks where bins are longer than an hour. `None` where
    /// the series does not reach that far.
    #[must_use]
    pub fn around(series: &Series, at: i64) -> Option<Self> {
        let (before, after) =
            if series.step <= 3600 { (86_400, 2 * 86_400) } else { (7 * 86_400, 21 * 86_400) };
        let (from, until) = (series.bin(at - before), series.bin(at + after));
        let (from, until) = (usize::try_from(from).ok()?, usize::try_from(until).ok()?);
        (until <= series.values.len()).then_some(Self { from, until })
    }

    /// Its bins.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until - self.from
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.until
    }
}

/// One shock of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wave {
    /// When it begins, seconds after the window's beginning.
    pub at: f64,
    /// Peak excess of the shock itself over a normal day, its echo not counted.
    pub strength: Estimate,
}

/// An event in the terms of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its bins.
    pub window: Window,
    /// Count per bin of a normal day, averaged over the day.
    pub base: Estimate,
    /// Its shocks, in order of time.
    pub waves: Vec<Wave>,
    /// Their shape: rise, relax, theta; branching and echo are the series'.
    pub attention: Attention,
    /// The mean square of ln(count/mean) over its variance, in the bins that were fitted.
    pub error: f64,
    /// How counts scatter around the mean.
    pub dispersion: Dispersion,
}

impl Event {
    /// The event in those bins of a window that `counts` admits; intervals from `draws` redraws of the counts. `None` where no bin is
    /// left.
    #[must_use]
    pub fn of(
        series: &Series,
        fit: &Fit,
        window: Window,
        counts: &dyn Fn(usize) -> bool,
        shapes: &Shapes,
        draws: usize,
    ) -> Option<Self> {
        let data = Data::of(series, fit, window, counts)?;
        let pursued = |shape| (data.pursue(shape), shape);
        let (first, pilot) = shapes.pilots().map(pursued).min_by(|a, b| data.score(&a.0, &b.0))?;
        let reshaped = shapes.all.iter().map(|shape| (data.solve(shape, first.moments(pilot, shape)), shape));
        let best = reshaped.min_by(|a, b| data.score(&a.0, &b.0))?;
        let (found, shape) = [pursued(best.1), best].into_iter().min_by(|a, b| data.score(&a.0, &b.0))?;
        let dispersion = Dispersion::calibrated(fit.branching.bin, &data.pairs(&found), found.parameters());
        let mut random = random(fit.seed, 5);
        let redrawn: Vec<Vec<f64>> = (0..draws)
            .map(|_| {
                let counts = found.means.iter().map(|mean| dispersion.draw(*mean, &mut random)).collect();
                data.with(counts).solve(shape, found.onsets.clone()).weights
            })
            .collect();
        let base = found.weights[0];
        let part = |wave: usize| {
            let ratios = redrawn.iter().map(move |weights| weights[wave] / weights[0]);
            Estimate::of(found.weights[wave] / base, ratios)
        };
        let mut waves: Vec<Wave> = (found.onsets.iter().zip(1..))
            .map(|(onset, wave)| Wave { at: *onset as f64 * shapes.fine, strength: part(wave) })
            .filter(|wave| wave.strength.value > 0.0)
            .collect();
        waves.sort_by(|a, b| a.at.total_cmp(&b.at));
        Some(Self {
            window,
            base: Estimate::of(base, redrawn.iter().map(|weights| weights[0])),
            waves,
            attention: shape.attention.clone(),
            error: found.error,
            dispersion,
        })
    }
}

/// The responses that are tried on the events of one series.
#[derive(Clone, Debug)]
pub struct Shapes {
    all: Vec<Shape>,
    /// Seconds of a fine cell.
    fine: f64,
}

#[derive(Clone, Debug)]
struct Shape {
    attention: Attention,
    /// Fine cells of its rise.
    rise: i64,
    /// Highest mean response of a bin to a shock of strength 1 that begins with it or before.
    peak: f64,
    /// Integral of the response to a shock of strength 1, in bins, at each fine cell.
    integral: Vec<f64>,
}

impl Shapes {
    /// The responses of a series with this self-excitation; whatever else `defaults` says stays.
    #[must_use]
    pub fn of(series: &Series, fit: &Fit, defaults: &Attention) -> Self {
        let fine = series.step as f64 / FINE as f64;
        let bins =
            Window::around(series, series.second(series.values.len() / 2)).map_or(0, |window| window.len());
        let time = |bins: f64| Duration::from_secs_f64((bins * series.step as f64).max(1.0));
        let all = RISES.iter().flat_map(|rise| {
            RELAXES.iter().flat_map(move |relax| {
                THETAS.iter().map(move |theta| {
                    let attention = Attention {
                        rise: time(*rise),
                        relax: time(*relax),
                        theta: *theta,
                        branching: fit.branching.ratio.value,
                        delay: Duration::from_secs_f64(fit.branching.delay.value.max(1.0)),
                        ..defaults.clone()
                    };
                    Shape::new(attention, bins, fine)
                })
            })
        });
        Self { all: all.collect(), fine }
    }
}

impl Shapes {
    /// One of each rise, with which moments are looked for.
    fn pilots(&self) -> impl Iterator<Item = &Shape> {
        let each = RELAXES.len() * THETAS.len();
        self.all.iter().skip(THETAS.len() + THETAS.len() / 2).step_by(each)
    }
}

impl Shape {
    fn new(attention: Attention, bins: usize, fine: f64) -> Self {
        let push = Push { interest: 1.0, ..Push::default() };
        let cells = bins * FINE;
        let level = Level::new(&[push], &[], &attention, cells as f64 * fine, None);
        let response = |cell: usize| level.at(Channel::Interest, (cell as f64 + 0.5) * fine) - 1.0;
        let mut sum = 0.0;
        let rises = (0..cells).map(|cell| {
            sum += response(cell) / FINE as f64;
            sum
        });
        let integral: Vec<f64> = std::iter::once(0.0).chain(rises).collect();
        let peak =
            (FINE..integral.len()).map(|cell| integral[cell] - integral[cell - FINE]).fold(0.0, f64::max);
        let rise = (attention.rise.as_secs_f64() / fine).round() as i64;
        Self { attention, rise, peak, integral }
    }

    /// The mean response in a bin to a shock that begins in fine cell `onset`.
    fn mean(&self, bin: usize, onset: i64) -> f64 {
        let until = |cell: i64| {
            usize::try_from(cell).map_or(0.0, |cell| self.integral[cell.min(self.integral.len() - 1)])
        };
        let from = (bin * FINE) as i64 - onset;
        until(from + FINE as i64) - until(from)
    }
}

/// The bins that are fitted.
struct Data {
    /// Place in the window, and value of the daily curve.
    bins: Vec<(usize, f64)>,
    counts: Vec<f64>,
    fano: f64,
    /// Fine cells of the window.
    cells: i64,
    /// Fine cells of a block that may be held out.
    block: i64,
    /// Least base: without one, a window full of shocks would have no normal day at all.
    least: f64,
}

/// A fit with one shape.
struct Found {
    /// Fine cells at which the waves begin.
    onsets: Vec<i64>,
    /// The base, then base × strength of each wave.
    weights: Vec<f64>,
    means: Vec<f64>,
    error: f64,
}

impl Found {
    /// What was chosen to fit: the base, three of the shape, moment and strength of each wave.
    fn parameters(&self) -> usize {
        4 + 2 * self.onsets.len()
    }

    /// Where the waves would begin to peak at the same moments with another shape.
    fn moments(&self, from: &Shape, to: &Shape) -> Vec<i64> {
        self.onsets.iter().map(|onset| (onset + from.rise - to.rise).max(0)).collect()
    }
}

impl Data {
    fn of(series: &Series, fit: &Fit, window: Window, counts: &dyn Fn(usize) -> bool) -> Option<Self> {
        let day = |bin: usize| {
            let middle = series.second(bin) as f64 + series.step as f64 / 2.0;
            fit.season.harmonic.map_or(1.0, |harmonic| harmonic.at(middle))
        };
        let there = (window.from..window.until)
            .filter(|bin| counts(*bin))
            .filter_map(|bin| Some(((bin - window.from, day(bin)), series.values[bin]?)));
        let (bins, counts): (Vec<_>, Vec<_>) = there.unzip();
        let cells = (window.len() * FINE) as i64;
        let block = (block(series) * FINE) as i64;
        let normal: f64 = (window.from..window.until).map(|bin| fit.season.expected(series, bin)).sum();
        let least = (LEAST * normal / window.len() as f64).max(1e-3);
        (!bins.is_empty()).then_some(Self { bins, counts, fano: fit.branching.bin, cells, block, least })
    }

    fn with(&self, counts: Vec<f64>) -> Self {
        Self { bins: self.bins.clone(), counts, ..*self }
    }

    fn pairs(&self, found: &Found) -> Vec<(f64, f64)> {
        self.counts.iter().copied().zip(found.means.iter().copied()).collect()
    }

    /// Adds waves as long as each explains something.
    fn pursue(&self, shape: &Shape) -> Found {
        let mut found = self.solve(shape, Vec::new());
        while found.onsets.len() < WAVES {
            let Some(bin) = self.highest(&found) else { break };
            // The peak may lie in a block that is held out before the highest bin that is not.
            let (peak, block) = ((bin * FINE) as i64, self.block);
            let tried = [-block, -3 * block / 4, -block / 2, -block / 4, -6, -3, 0, 2].map(|shift| {
                let onset = (peak - shape.rise + shift).clamp(0, self.cells - 1);
                self.solve(shape, found.onsets.iter().copied().chain([onset]).collect())
            });
            let better = tried.into_iter().min_by(|a, b| self.score(a, b));
            match better.filter(|better| self.score(better, &found).is_lt()) {
                Some(better) => found = better,
                None => break,
            }
        }
        found
    }

    /// Which of two fits is better by Schwarz's criterion (1978), with three parameters for a wave: moment, strength and the choice
    /// among moments. The first wave is free: an event has one at least, without it there would be nothing to rehearse.
    fn score(&self, a: &Found, b: &Found) -> std::cmp::Ordering {
        let points = self.counts.len() as f64;
        let waves = |fit: &Found| fit.onsets.len().max(1) as f64;
        let score = |fit: &Found| points * fit.error.max(1e-12).ln() + 3.0 * waves(fit) * points.ln();
        score(a).total_cmp(&score(b))
    }

    /// The bin whose neighbourhood stands highest above the fit, in standard deviations.
    fn highest(&self, found: &Found) -> Option<usize> {
        let z: Vec<f64> = (self.counts.iter().zip(&found.means))
            .map(|(count, mean)| (count - mean) / self.variance(*mean).sqrt())
            .collect();
        let around = |i: usize| z[i.saturating_sub(1)..(i + 2).min(z.len())].iter().sum::<f64>();
        (0..z.len()).max_by(|a, b| around(*a).total_cmp(&around(*b))).map(|i| self.bins[i].0)
    }

    fn variance(&self, mean: f64) -> f64 {
        self.fano * mean + (SPREAD * mean).powi(2) + 1.0
    }

    /// Base and strengths for waves at these moments.
    fn solve(&self, shape: &Shape, onsets: Vec<i64>) -> Found {
        let mut columns: Vec<Vec<f64>> = vec![self.bins.iter().map(|(_, day)| *day).collect()];
        for onset in &onsets {
            columns.push(self.bins.iter().map(|(bin, day)| day * shape.mean(*bin, *onset)).collect());
        }
        let base = median(self.counts.iter().zip(&self.bins).map(|(count, (_, day))| count / day.max(0.1)));
        let mut weights = vec![0.0; columns.len()];
        weights[0] = base.unwrap_or(1.0).max(self.least);
        let mut means = self.counts.clone();
        for _ in 0..4 {
            let trust: Vec<f64> = means.iter().map(|mean| 1.0 / self.variance(*mean)).collect();
            self.descend(&columns, &trust, &mut weights);
            means = (0..self.bins.len())
                .map(|i| columns.iter().zip(&weights).map(|(column, weight)| weight * column[i]).sum())
                .collect();
        }
        // A wave of which hardly anything lies in the bins that are fitted could have any strength.
        let seen = columns[1..].iter().all(|column| {
            let most = (column.iter().zip(&self.bins)).map(|(response, (_, day))| response / day.max(0.1));
            most.fold(0.0, f64::max) >= SEEN * shape.peak
        });
        let squares = self.counts.iter().zip(&means).map(|(count, mean)| {
            let variance = self.fano / (mean + 1.0) + SPREAD * SPREAD;
            ((count + 1.0) / (mean + 1.0)).ln().powi(2) / variance
        });
        let error = if seen { squares.sum::<f64>() / self.counts.len() as f64 } else { f64::INFINITY };
        Found { onsets, weights, means, error }
    }

    /// Non-negative least squares by coordinate descent; the base has its least.
    fn descend(&self, columns: &[Vec<f64>], trust: &[f64], weights: &mut [f64]) {
        let dot = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).zip(trust).map(|((a, b), trust)| a * b * trust).sum()
        };
        let gram: Vec<Vec<f64>> =
            columns.iter().map(|a| columns.iter().map(|b| dot(a, b)).collect()).collect();
        let target: Vec<f64> = columns.iter().map(|a| dot(a, &self.counts)).collect();
        for _ in 0..50 {
            for (i, row) in gram.iter().enumerate() {
                let rest: f64 =
                    row.iter().zip(&*weights).map(|(g, w)| g * w).sum::<f64>() - row[i] * weights[i];
                let floor = if i == 0 { self.least } else { 0.0 };
                if row[i] > 0.0 {
                    weights[i] = ((target[i] - rest) / row[i]).max(floor);
                }
            }
        }
    }
}

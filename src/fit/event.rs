//! An event: shocks on top of a normal day, in the terms of a scenario file.
//!
//! The mean of a bin is base × normal day × (1 + Σ strength × response). Each shock has a rise and a time constant of its own; the
//! exponent and the echo of self-excitation are common to all. How far to trust it is measured on bins that it was not fitted on: every
//! fifth hour in turn is left out, the shocks are looked for anew, and what was left out is predicted.

use std::time::Duration;

use rand::RngExt;

use crate::demand::{Sinusoid, Week};
use crate::scenario::Attention;

use super::band::Dispersion;
use super::calibrate::Residual;
use super::pursuit::{Data, Found};
use super::shape::{Family, Shapes};
use super::stats::{Estimate, random};
use super::{Fit, Season, Series};

/// Parts that are left out in turn.
const FOLDS: usize = 5;

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
    /// Time to its peak.
    pub rise: Duration,
    /// Time constant of its relaxation.
    pub relax: Duration,
    /// Peak excess of the shock itself over a normal day, its echo not counted.
    pub strength: Estimate,
}

/// An event in the terms of a scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its bins.
    pub window: Window,
    /// Count per bin of a normal weekday, averaged over the day.
    pub base: Estimate,
    /// Its shocks, in order of time.
    pub waves: Vec<Wave>,
    /// What they have in common: theta, branching, delay.
    pub attention: Attention,
    /// The expected counts of the bins of its window.
    pub means: Vec<f64>,
    /// The same of a normal day.
    pub normal: Vec<f64>,
    /// Predictions of bins that were fitted, each made without its hour; keys as of [`height`].
    pub residuals: Vec<Residual>,
}

/// How high a prediction stands above normal, for residuals of the same kind.
#[must_use]
pub fn height(mean: f64, normal: f64) -> f64 {
    (mean / normal.max(1e-9)).ln()
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
        let day = normal_day(series, &fit.season, window);
        let data = Data::of(series, fit, window, &day, counts)?;
        let (found, family) = data.choose(&shapes.families)?;
        let base = found.weights[0];
        let redrawn = redrawn(&data, &found, family, (draws, fit));
        let part = |wave: usize| {
            let ratios = redrawn.iter().map(move |weights| weights[wave] / weights[0]);
            Estimate::of(found.weights[wave] / base, ratios)
        };
        let wave = |(atom, number): (&super::pursuit::Atom, usize)| {
            let shape = &family.shapes[atom.shape];
            let at = atom.onset as f64 * shapes.fine;
            Wave { at, rise: shape.rise, relax: shape.relax, strength: part(number) }
        };
        let mut waves: Vec<Wave> =
            found.atoms.iter().zip(1..).map(wave).filter(|wave| wave.strength.value > 0.0).collect();
        waves.sort_by(|a, b| a.at.total_cmp(&b.at));
        Some(Self {
            window,
            base: Estimate::of(base, redrawn.iter().map(|weights| weights[0])),
            waves,
            attention: family.attention.clone(),
            means: (day.iter().enumerate()).map(|(bin, day)| found.mean(family, bin, *day)).collect(),
            normal: day.iter().map(|day| base * day).collect(),
            residuals: left_out(&data, family, block(series), fit.seed),
        })
    }
}

/// Base and strengths of counts drawn anew around the fit.
fn redrawn(data: &Data, found: &Found, family: &Family, (draws, fit): (usize, &Fit)) -> Vec<Vec<f64>> {
    let points: Vec<(f64, f64)> = data.counts.iter().copied().zip(found.means.iter().copied()).collect();
    let dispersion = Dispersion::calibrated(fit.branching.bin, &points);
    let mut random = random(fit.seed, 5);
    let mut draw = |_| {
        let counts = found.means.iter().map(|mean| dispersion.draw(*mean, &mut random)).collect();
        data.with(counts).solve(family, found.atoms.clone(), Some(&found.means)).weights
    };
    (0..draws).map(&mut draw).collect()
}

/// A normal day's curve in the bins of a window, as a scenario has it: mean 1 over a weekday.
fn normal_day(series: &Series, season: &Season, window: Window) -> Vec<f64> {
    let region = season.region();
    let start = series.second(window.from);
    let (day, week) = (Sinusoid::daily(&region, start), Week::new(&region, start));
    let middle = |bin: usize| (bin as f64 + 0.5) * series.step as f64;
    (0..window.len()).map(|bin| day.at(middle(bin)) * week.at(middle(bin))).collect()
}

/// Every block of bins predicted by a fit on four fifths of the others, with the same family.
fn left_out(data: &Data, family: &Family, block: usize, seed: u64) -> Vec<Residual> {
    let mut random = random(seed, 7);
    let blocks = data.bins.last().map_or(0, |(bin, _)| bin / block + 1);
    let folds: Vec<usize> = (0..blocks).map(|_| random.random_range(0..FOLDS)).collect();
    let mut residuals = Vec::new();
    for fold in 0..FOLDS {
        let Some(rest) = data.only(|bin| folds[bin / block] != fold) else { continue };
        let found = rest.pursue(family);
        let left = data.bins.iter().zip(&data.counts).filter(|((bin, _), _)| folds[bin / block] == fold);
        residuals.extend(left.map(|((bin, day), count)| {
            let mean = found.mean(family, *bin, *day);
            Residual::new(height(mean, found.weights[0] * day), *count, mean)
        }));
    }
    residuals
}

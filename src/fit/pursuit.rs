//! Which shocks an event is made of.
//!
//! Shocks are found one after the other where they explain most (matching pursuit, Mallat & Zhang 1993), each with the rise and the time
//! constant that fit it best; then each is chosen again with the others in place. Base and strengths are a non-negative least-squares
//! fit, reweighted by the variance at the mean, which is F·mean + (spread·mean)²: with a small spread the full bins of a peak weigh as
//! much as the many bins of calm hours, for a rehearsal is about the peak.

use std::cmp::Ordering;

use super::event::{Window, block};
use super::shape::{FINE, Family, Shape};
use super::stats::median;
use super::{Fit, Series};

/// Most shocks of an event.
const WAVES: usize = 10;
/// Part of a shock's highest response that must lie in the bins that are fitted.
const SEEN: f64 = 0.5;
/// Standard deviation over mean that fits allow for beside the Fano factor (assumed; the band's own is calibrated).
const SPREAD: f64 = 0.1;
/// The base is at least this part of the season's level in the window.
const LEAST: f64 = 0.3;
/// Parameters of a shock: moment, strength, rise, time constant, and the choice among moments.
const PARAMETERS: f64 = 5.0;

/// A shock: the number of its shape in the family, and the fine cell at which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atom {
    pub(super) shape: usize,
    pub(super) onset: i64,
}

/// The bins that are fitted.
#[derive(Clone)]
pub(super) struct Data {
    /// Place in the window, and value of a normal day's curve.
    pub(super) bins: Vec<(usize, f64)>,
    pub(super) counts: Vec<f64>,
    fano: f64,
    /// Fine cells of the window.
    cells: i64,
    /// Fine cells of a block that may be held out.
    block: i64,
    /// Least base: without one, a window full of shocks would have no normal day at all.
    least: f64,
}

/// A fit with one family.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) atoms: Vec<Atom>,
    /// The base, then base × strength of each shock.
    pub(super) weights: Vec<f64>,
    pub(super) means: Vec<f64>,
    /// −2 ln of the likelihood with normal scatter of the variance at the mean, but for a constant.
    pub(super) deviance: f64,
}

impl Found {
    /// The mean in a bin of the window where a normal day's curve is `day`.
    pub(super) fn mean(&self, family: &Family, bin: usize, day: f64) -> f64 {
        let waves = self.atoms.iter().zip(&self.weights[1..]);
        day * (self.weights[0]
            + waves
                .map(|(atom, weight)| weight * family.shapes[atom.shape].mean(bin, atom.onset))
                .sum::<f64>())
    }

    /// Schwarz's criterion (1978). The first shock is free: an event has one at least, without it there would be nothing to rehearse.
    fn score(&self) -> f64 {
        let points = self.means.len() as f64;
        self.deviance + PARAMETERS * self.atoms.len().max(1) as f64 * points.ln()
    }

    pub(super) fn better(a: &Self, b: &Self) -> Ordering {
        a.score().total_cmp(&b.score())
    }
}

impl Data {
    pub(super) fn of(
        series: &Series,
        fit: &Fit,
        window: Window,
        day: &[f64],
        counts: &dyn Fn(usize) -> bool,
    ) -> Option<Self> {
        let there = (window.from..window.until)
            .filter(|bin| counts(*bin))
            .filter_map(|bin| Some(((bin - window.from, day[bin - window.from]), series.values[bin]?)));
        let (bins, counts): (Vec<_>, Vec<_>) = there.unzip();
        let cells = (window.len() * FINE) as i64;
        let block = (block(series) * FINE) as i64;
        let normal: f64 = (window.from..window.until).map(|bin| fit.season.expected(series, bin)).sum();
        let least = (LEAST * normal / window.len() as f64).max(1e-3);
        (!bins.is_empty()).then_some(Self { bins, counts, fano: fit.branching.bin, cells, block, least })
    }

    pub(super) fn with(&self, counts: Vec<f64>) -> Self {
        Self { counts, ..self.clone() }
    }

    /// The bins whose place `keep` admits; `None` where none is left.
    pub(super) fn only(&self, keep: impl Fn(usize) -> bool) -> Option<Self> {
        let there = self.bins.iter().zip(&self.counts).filter(|((bin, _), _)| keep(*bin));
        let (bins, counts): (Vec<_>, Vec<_>) = there.map(|(bin, count)| (*bin, *count)).unzip();
        (!bins.is_empty()).then(|| Self { bins, counts, ..*self })
    }

    /// Adds shocks as long as each explains more than it costs.
    pub(super) fn pursue(&self, family: &Family) -> Found {
        let mut found = self.solve(family, Vec::new());
        while found.atoms.len() < WAVES {
            let Some(atom) = self.next(family, &found) else { break };
            let more = self.solve(family, found.atoms.iter().copied().chain([atom]).collect());
            if Found::better(&more, &found).is_ge() {
                break;
            }
            found = self.settled(family, more);
        }
        found
    }

    /// Each shock chosen again with the others in place (cyclic matching pursuit), as long as that is better.
    fn settled(&self, family: &Family, mut found: Found) -> Found {
        for place in 0..found.atoms.len() {
            let mut others = found.atoms.clone();
            let atom = others.remove(place);
            let peak = atom.onset + family.shapes[atom.shape].lead;
            let rest: Vec<f64> = (self.bins.iter().zip(self.counts.iter().zip(&found.means)))
                .map(|((bin, day), (count, mean))| {
                    let own = family.shapes[atom.shape].mean(*bin, atom.onset);
                    count - mean + found.weights[place + 1] * day * own
                })
                .collect();
            let Some(again) = self.candidate(family, &rest, &found.means, peak).filter(|again| *again != atom)
            else {
                continue;
            };
            others.insert(place, again);
            let other = self.solve(family, others);
            if Found::better(&other, &found).is_lt() {
                found = other;
            }
        }
        found
    }

    /// The shock that explains most of what stands highest above a fit.
    fn next(&self, family: &Family, found: &Found) -> Option<Atom> {
        let rest: Vec<f64> =
            self.counts.iter().zip(&found.means).map(|(count, mean)| count - mean).collect();
        let z: Vec<f64> =
            rest.iter().zip(&found.means).map(|(rest, mean)| rest / self.variance(*mean).sqrt()).collect();
        let around = |i: usize| z[i.saturating_sub(1)..(i + 2).min(z.len())].iter().sum::<f64>();
        let highest = (0..z.len()).max_by(|a, b| around(*a).total_cmp(&around(*b)))?;
        self.candidate(family, &rest, &found.means, (self.bins[highest].0 * FINE) as i64)
    }

    /// The shock around a fine cell that explains most of what is left.
    fn candidate(&self, family: &Family, rest: &[f64], means: &[f64], peak: i64) -> Option<Atom> {
        let trust: Vec<f64> = means.iter().map(|mean| 1.0 / self.variance(*mean)).collect();
        let block = self.block;
        let shifts = [-block, -block / 2, -block / 4, -6, -4, -2, -1, 0, 1, 2, 4];
        let tried = family.shapes.iter().enumerate().flat_map(|(number, shape)| {
            let onsets = shifts.map(|shift| (peak - shape.lead + shift).clamp(0, self.cells - 1));
            onsets.map(move |onset| (shape, Atom { shape: number, onset }))
        });
        let gain = |shape: &Shape, atom: &Atom| {
            let (mut along, mut square, mut most) = (0.0, 0.0, 0.0_f64);
            // Bins are in order of time: nothing happens before the shock.
            let first = self.bins.partition_point(|(bin, _)| ((bin + 1) * FINE) as i64 <= atom.onset);
            for i in first..self.bins.len() {
                let (bin, day) = self.bins[i];
                let response = shape.mean(bin, atom.onset);
                along += response * day * rest[i] * trust[i];
                square += (response * day).powi(2) * trust[i];
                most = most.max(response);
            }
            // A shock of which hardly anything lies in the bins that are fitted could have any strength.
            (along > 0.0 && most >= SEEN * shape.peak).then(|| along * along / square)
        };
        let gains = tried.filter_map(|(shape, atom)| Some((gain(shape, &atom)?, atom)));
        gains.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, atom)| atom)
    }

    fn variance(&self, mean: f64) -> f64 {
        self.fano * mean + (SPREAD * mean).powi(2) + 1.0
    }

    /// Base and strengths for these shocks.
    pub(super) fn solve(&self, family: &Family, atoms: Vec<Atom>) -> Found {
        let mut columns: Vec<Vec<f64>> = vec![self.bins.iter().map(|(_, day)| *day).collect()];
        for atom in &atoms {
            let shape = &family.shapes[atom.shape];
            columns.push(self.bins.iter().map(|(bin, day)| day * shape.mean(*bin, atom.onset)).collect());
        }
        let base = median(self.counts.iter().zip(&self.bins).map(|(count, (_, day))| count / day.max(0.1)));
        let mut weights = vec![0.0; columns.len()];
        weights[0] = base.unwrap_or(1.0).max(self.least);
        let mut means = self.counts.clone();
        for _ in 0..3 {
            let trust: Vec<f64> = means.iter().map(|mean| 1.0 / self.variance(*mean)).collect();
            self.descend(&columns, &trust, &mut weights);
            means = (0..self.bins.len())
                .map(|i| columns.iter().zip(&weights).map(|(column, weight)| weight * column[i]).sum())
                .collect();
        }
        let deviance = |(count, mean): (&f64, &f64)| {
            let variance = self.variance(*mean);
            (count - mean).powi(2) / variance + variance.ln()
        };
        let deviance = self.counts.iter().zip(&means).map(deviance).sum();
        Found { atoms, weights, means, deviance }
    }

    /// Non-negative least squares by coordinate descent; the base has its least.
    fn descend(&self, columns: &[Vec<f64>], trust: &[f64], weights: &mut [f64]) {
        let dot = |a: &[f64], b: &[f64]| -> f64 {
            a.iter().zip(b).zip(trust).map(|((a, b), trust)| a * b * trust).sum()
        };
        let mut gram = vec![vec![0.0; columns.len()]; columns.len()];
        for (i, a) in columns.iter().enumerate() {
            for (j, b) in columns.iter().enumerate().take(i + 1) {
                gram[i][j] = dot(a, b);
                gram[j][i] = gram[i][j];
            }
        }
        let target: Vec<f64> = columns.iter().map(|a| dot(a, &self.counts)).collect();
        for _ in 0..100 {
            let mut moved = 0.0_f64;
            for (i, row) in gram.iter().enumerate() {
                let rest: f64 =
                    row.iter().zip(&*weights).map(|(g, w)| g * w).sum::<f64>() - row[i] * weights[i];
                let floor = if i == 0 { self.least } else { 0.0 };
                if row[i] > 0.0 {
                    let weight = ((target[i] - rest) / row[i]).max(floor);
                    moved = moved.max((weight - weights[i]).abs() / (weight + self.least));
                    weights[i] = weight;
                }
            }
            if moved < 1e-4 {
                break;
            }
        }
    }
}

//! Which shocks an event is made of.
//!
//! Shocks are found one after the other where they explain most (matching pursuit, Mallat & Zhang 1993), each with the rise and the time
//! constant that fit it best; then each is chosen again with the others in place. Base and strengths are a non-negative least-squares
//! fit, reweighted by the variance at the mean, which is F·mean + (spread·mean)²: with a small spread the full bins of a peak weigh as
//! much as the many bins of calm hours, for a rehearsal is about the peak; F is that of the middle of calm bins, lest bursts excuse
//! themselves.

use std::cmp::Ordering;

use super::event::{Window, block};
use super::shape::{FINE, Family, Shape};
use super::stats::median;
use super::{Fit, Series};

/// Most shocks of an event.
const WAVES: usize = 12;
/// Shocks with which the family is chosen.
const PILOTS: usize = 4;
/// Part of a shock's highest response that must lie in the bins that are fitted.
const SEEN: f64 = 0.5;
/// Standard deviation over mean that fits allow for beside the Fano factor (assumed; the band's own is calibrated).
const SPREAD: f64 = 0.05;
/// A peak that is missed by more than this part gets a shock of its own, whatever that costs.
const MISSED: f64 = 0.1;
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
        (!bins.is_empty()).then_some(Self { bins, counts, fano: fit.branching.typical, cells, block, least })
    }

    pub(super) fn with(&self, counts: Vec<f64>) -> Self {
        Self { counts, ..self.clone() }
    }

    /// The bins whose place `keep` admits; `None` where none is left.
    pub(super) fn only(&self, keep: impl Fn(usize) -> bool) -> Option<Self> {
        let there = self.bins.iter().zip(&self.counts).filter(|((bin, _), _)| keep(*bin));
        let (bins, counts): (Vec<_>, Vec<_>) = there.map(|(bin, count)| (*bin, *count)).unzip();
        (!bins.is_empty()).then_some(Self { bins, counts, ..*self })
    }

    /// The family with which the first shocks explain most, and the fit with it.
    pub(super) fn choose<'a>(&self, families: &'a [Family]) -> Option<(Found, &'a Family)> {
        let pilots = families.iter().map(|family| (self.grown(family, PILOTS), family));
        let (_, family) = pilots.min_by(|a, b| Found::better(&a.0, &b.0))?;
        Some((self.pursue(family), family))
    }

    /// A fit with one family.
    pub(super) fn pursue(&self, family: &Family) -> Found {
        let found = self.settled(family, self.grown(family, WAVES));
        let peaked = self.missed(&found).and_then(|bin| {
            // Only the peak's own bin counts here: what else is left has been weighed already.
            let left = |i: usize| if i == bin { self.counts[i] - found.means[i] } else { 0.0 };
            self.with_shock(family, &found, bin, &(0..self.counts.len()).map(left).collect::<Vec<_>>())
        });
        peaked.filter(|peaked| peaked.deviance < found.deviance).unwrap_or(found)
    }

    /// Adds shocks as long as each explains more than it costs.
    fn grown(&self, family: &Family, most: usize) -> Found {
        let mut found = self.solve(family, Vec::new(), None);
        while found.atoms.len() < most {
            let left: Vec<f64> =
                self.counts.iter().zip(&found.means).map(|(count, mean)| count - mean).collect();
            let more = self.highest(&found).and_then(|bin| self.with_shock(family, &found, bin, &left));
            match more.filter(|more| Found::better(more, &found).is_lt()) {
                Some(more) => found = more,
                None => break,
            }
        }
        found
    }

    /// The fullest bin, if the fit falls short of it.
    fn missed(&self, found: &Found) -> Option<usize> {
        let fullest = (0..self.counts.len()).max_by(|a, b| self.counts[*a].total_cmp(&self.counts[*b]))?;
        (found.means[fullest] < (1.0 - MISSED) * self.counts[fullest]).then_some(fullest)
    }

    /// A fit with one more shock: the one around a bin that explains most of what is left.
    fn with_shock(&self, family: &Family, found: &Found, bin: usize, left: &[f64]) -> Option<Found> {
        let atom = self.candidate(family, left, &found.means, (self.bins[bin].0 * FINE) as i64)?;
        Some(self.solve(family, found.atoms.iter().copied().chain([atom]).collect(), Some(&found.means)))
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
            let Some(again) =
                self.candidate(family, &rest, &found.means, peak).filter(|again| *again != atom)
            else {
                continue;
            };
            others.insert(place, again);
            let other = self.solve(family, others, Some(&found.means));
            if Found::better(&other, &found).is_lt() {
                found = other;
            }
        }
        found
    }

    /// The bin around which counts stand highest above a fit.
    fn highest(&self, found: &Found) -> Option<usize> {
        let above = |(count, mean): (&f64, &f64)| (count - mean) / self.variance(*mean).sqrt();
        let z: Vec<f64> = self.counts.iter().zip(&found.means).map(above).collect();
        let around = |i: usize| z[i.saturating_sub(1)..(i + 2).min(z.len())].iter().sum::<f64>();
        (0..z.len()).max_by(|a, b| around(*a).total_cmp(&around(*b)))
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
                if (bin * FINE) as i64 - atom.onset > shape.reach {
                    break;
                }
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

    /// Base and strengths for these shocks; `near` are means not far from theirs.
    pub(super) fn solve(&self, family: &Family, atoms: Vec<Atom>, near: Option<&[f64]>) -> Found {
        let mut columns: Vec<Vec<f64>> = vec![self.bins.iter().map(|(_, day)| *day).collect()];
        for atom in &atoms {
            let shape = &family.shapes[atom.shape];
            columns.push(self.bins.iter().map(|(bin, day)| day * shape.mean(*bin, atom.onset)).collect());
        }
        let base = median(self.counts.iter().zip(&self.bins).map(|(count, (_, day))| count / day.max(0.1)));
        let mut weights = vec![0.0; columns.len()];
        weights[0] = base.unwrap_or(1.0).max(self.least);
        let mut means = near.unwrap_or(&self.counts).to_vec();
        for _ in 0..if near.is_some() { 2 } else { 3 } {
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

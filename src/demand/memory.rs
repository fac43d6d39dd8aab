//! Waiting times of self-excitation as sums of exponentials.

use crate::scenario::{Attention, Kernel};

/// Exponentials that a power law is made of: 16 leave 0.5 % of error between 1 s and 7 days.
const TERMS: usize = 16;

/// A probability density of waiting times, Σ weight · rate · e^(−rate·t).
///
/// A power law (t + c)^−(1+θ) is the Laplace transform of a gamma density, and becomes such a sum when that integral is taken over
/// evenly spaced logarithms of the rate x: Σ h · x^(1+θ) · e^(−xc) / Γ(1+θ) · e^(−xt), from 0.02/longest to 30/c.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    terms: Vec<Term>,
}

/// One exponential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    /// Share of the waiting times, 0..=1.
    pub(super) weight: f64,
    /// Per second.
    pub(super) rate: f64,
}

impl Memory {
    /// The waiting times that a scenario's attention asks for, good up to `longest` seconds.
    #[must_use]
    pub fn new(attention: &Attention, longest: f64) -> Self {
        let delay = attention.delay.as_secs_f64();
        match attention.kernel {
            Kernel::Exponential => Self::exponential(delay),
            Kernel::PowerLaw => Self::power_law(attention.theta, delay, longest, TERMS),
        }
    }

    /// Waiting times of this mean, seconds.
    #[must_use]
    pub fn exponential(mean: f64) -> Self {
        Self { terms: vec![Term { weight: 1.0, rate: 1.0 / mean }] }
    }

    /// θ·c^θ·(t + c)^−(1+θ) for θ above 0, as `terms` exponentials; what lies beyond `longest` is spread over the others.
    #[must_use]
    pub fn power_law(theta: f64, c: f64, longest: f64, terms: usize) -> Self {
        let low = libm::log(0.02 / longest.max(c));
        let step = (libm::log(30.0 / c) - low) / (terms - 1) as f64;
        let scale = theta * libm::pow(c, theta) * step / libm::tgamma(1.0 + theta);
        let term = |i: usize| {
            let rate = libm::exp(low + i as f64 * step);
            Term { weight: scale * libm::pow(rate, theta) * libm::exp(-rate * c), rate }
        };
        let mut terms: Vec<Term> = (0..terms).map(term).collect();
        let sum: f64 = terms.iter().map(|term| term.weight).sum();
        // The rest of the mass waits longer than the scenario lasts: it belongs to the slowest term.
        if let Some(slowest) = terms.first_mut() {
            slowest.weight = (slowest.weight + 1.0 - sum).max(0.0);
        }
        let sum: f64 = terms.iter().map(|term| term.weight).sum();
        terms.iter_mut().for_each(|term| term.weight /= sum);
        Self { terms }
    }

    /// The density at `t` seconds, per second.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        self.terms.iter().map(|term| term.weight * term.rate * libm::exp(-term.rate * t)).sum()
    }

    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error table of the sum before the rest is given to its slowest term, θ = 0.4, c = 60 s, 1 s to 7 days.
    #[test]
    fn the_error_of_the_sum_falls_with_its_terms() {
        let (theta, c) = (0.4, 60.0);
        for (terms, published) in [(12, 0.029), (16, 0.0048), (20, 0.0015)] {
            let memory = Memory::power_law(theta, c, 604_800.0, terms);
            let slowest = memory.terms[0];
            let step = (memory.terms[1].rate / slowest.rate).ln();
            let own = theta * c.powf(theta) * step / libm::tgamma(1.0 + theta)
                * slowest.rate.powf(theta)
                * (-slowest.rate * c).exp();
            let error = |i: u32| {
                let t = 604_800_f64.powf(f64::from(i) / 400.0);
                let exact = theta * c.powf(theta) * (t + c).powf(-1.0 - theta);
                let rest = (slowest.weight - own) * slowest.rate * (-slowest.rate * t).exp();
                ((memory.at(t) - rest) / exact - 1.0).abs()
            };
            let worst = (0..=400).map(error).fold(0.0, f64::max);
            assert!((worst / published - 1.0).abs() < 0.25, "{terms} terms: {worst}, published {published}");
        }
    }

    #[test]
    fn it_is_a_density_and_close_to_the_power_law() {
        let memory = Memory::power_law(0.4, 60.0, 604_800.0, TERMS);
        assert!((memory.terms.iter().map(|term| term.weight).sum::<f64>() - 1.0).abs() < 1e-12);
        for t in [1.0, 60.0, 3600.0, 86_400.0] {
            let exact = 0.4 * 60_f64.powf(0.4) * (t + 60.0_f64).powf(-1.4);
            assert!((memory.at(t) / exact - 1.0).abs() < 0.02, "{t} s: {}", memory.at(t) / exact);
        }
    }
}

//! Attention over time: the shocks of all signals, and what they set off.

use crate::scenario::{Attention, Channel};

use super::{Shape, Shock};

/// Grid cells of a level: 16 s for three days, well below the rise of any signal worth a rehearsal.
const CELLS: usize = 16_384;

/// How high attention stands in one region, as a multiple of a normal day: 1 is normal, 2 is twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    step: f64,
    interest: Vec<f64>,
    concern: Vec<f64>,
}

impl Level {
    /// The level over `length` seconds of scenario time under these shocks.
    ///
    /// Added interest and concern set off more of the same ([`echo`]), so a strength is the peak of the shock itself and its echo comes
    /// on top. Fear only takes away what a normal day has: it echoes nothing and stops at nothing left.
    #[must_use]
    pub fn new(shocks: &[Shock], attention: &Attention, length: f64) -> Self {
        let step = length / CELLS as f64;
        let shape = Shape::new(attention);
        let sum = |strength: fn(&Shock) -> f64| -> Vec<f64> {
            let at = |t: f64| shocks.iter().map(|shock| strength(shock) * shape.at(t - shock.at)).sum();
            (0..=CELLS).map(|i| at(i as f64 * step)).collect()
        };
        let excess = |direct: &[f64]| echo(direct, step, attention.branching, attention.delay.as_secs_f64());
        let wanted = excess(&sum(|shock| shock.interest));
        let feared = sum(|shock| shock.fear);
        let interest = wanted.iter().zip(&feared).map(|(more, less)| (1.0 - less).max(0.0) + more).collect();
        let concern = excess(&sum(|shock| shock.concern)).iter().map(|more| 1.0 + more).collect();
        Self { step, interest, concern }
    }

    /// The level of a channel at a moment of scenario time; normal before moment 0, the last one after the end.
    #[must_use]
    pub fn at(&self, channel: Channel, t: f64) -> f64 {
        let values = match channel {
            Channel::Interest => &self.interest,
            Channel::Concern => &self.concern,
        };
        if t < 0.0 {
            return 1.0;
        }
        let position = (t / self.step).min(CELLS as f64);
        let cell = (position as usize).min(CELLS - 1);
        values[cell] + (values[cell + 1] - values[cell]) * (position - cell as f64)
    }
}

/// The mean response of a Hawkes process with exponential kernel n·β·e^(−βt), 1/β = `delay` seconds, to the immigrant rate `direct`
/// on a grid of `step` seconds, starting at rest.
///
/// The mean x = s + n·y, where y is x seen through the kernel's exponential memory: y' = β(s − (1−n)y). Solved exactly for an s that
/// is linear between grid points, so the grid need not resolve the delay. A constant s settles at s/(1−n).
#[must_use]
pub fn echo(direct: &[f64], step: f64, branching: f64, delay: f64) -> Vec<f64> {
    if delay <= 0.0 {
        return direct.iter().map(|s| s / (1.0 - branching)).collect();
    }
    let beta = 1.0 / delay;
    let decay = beta * (1.0 - branching);
    let keep = libm::exp(-decay * step);
    let whole = -libm::expm1(-decay * step) / decay;
    let newer = (1.0 - whole / step) / decay;
    let mut memory = 0.0;
    let mut response = Vec::with_capacity(direct.len());
    for (i, s) in direct.iter().enumerate() {
        if let Some(previous) = i.checked_sub(1).map(|i| direct[i]) {
            memory = keep * memory + beta * (previous * (whole - newer) + s * newer);
        }
        response.push(s + branching * memory);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::sample;

    fn attention() -> Attention {
        Attention {
            rise: Duration::ZERO,
            relax: Duration::from_secs(60),
            theta: 0.4,
            branching: 0.0,
            ..sample::attention()
        }
    }

    #[test]
    fn a_constant_push_settles_at_the_stationary_gain() {
        for (branching, delay, step) in [(0.5, 300.0, 60.0), (0.8, 10.0, 600.0), (0.3, 0.0, 60.0)] {
            let response = echo(&vec![2.0; 4000], step, branching, delay);
            let gain = response[3999] / 2.0;
            assert!((gain - 1.0 / (1.0 - branching)).abs() < 1e-9, "n = {branching}: gain {gain}");
        }
    }

    #[test]
    fn a_constant_push_builds_up_as_the_theory_says() {
        let (n, delay, step) = (0.6, 1800.0, 45.0);
        for (i, x) in echo(&[1.0; 400], step, n, delay).iter().enumerate() {
            let t = i as f64 * step;
            let theory = 1.0 + n / (1.0 - n) * (1.0 - (-(1.0 - n) * t / delay).exp());
            assert!((x - theory).abs() < 1e-9, "{x} against {theory} at {t} s");
        }
    }

    #[test]
    fn a_short_pulse_comes_back_multiplied_by_the_mean_cluster_size() {
        let mut pulse = vec![0.0; 20_000];
        pulse[10..20].fill(1.0);
        let total: f64 = echo(&pulse, 10.0, 0.75, 200.0).iter().sum();
        assert!((total / 10.0 - 4.0).abs() < 1e-6, "{total}");
    }

    #[test]
    fn without_self_excitation_attention_relaxes_with_one_plus_theta() {
        let shock = Shock { interest: 5.0, ..Shock::default() };
        let level = Level::new(&[shock], &attention(), 604_800.0);
        let excess = |t: f64| level.at(Channel::Interest, t) - 1.0;
        let slope = (excess(5e5) / excess(5e4)).log10();
        assert!((slope + 1.4).abs() < 0.002, "log-log slope {slope}");
    }

    #[test]
    fn a_fall_takes_base_demand_away_and_raises_concern_only() {
        let shock = Shock { at: 100.0, fear: 0.3, concern: 4.0, ..Shock::default() };
        let level = Level::new(&[shock], &attention(), 16_384.0);
        assert!((level.at(Channel::Interest, 100.0) - 0.7).abs() < 1e-9);
        assert!((level.at(Channel::Concern, 100.0) - 5.0).abs() < 1e-9);
        let panic = Level::new(&[shock, shock, shock, shock], &attention(), 16_384.0);
        assert_eq!(panic.at(Channel::Interest, 100.0), 0.0);
    }

    #[test]
    fn nothing_moves_before_the_signal_or_the_scenario() {
        let shock = Shock { at: 5000.0, interest: 3.0, ..Shock::default() };
        let level = Level::new(&[shock], &sample::attention(), 16_384.0);
        assert_eq!((level.at(Channel::Interest, -10.0), level.at(Channel::Interest, 4999.0)), (1.0, 1.0));
    }
}

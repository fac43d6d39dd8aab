//! Attention over time: the shocks of all signals, and what they set off.

use crate::scenario::{Attention, Channel, Confounder};

use super::stream::{PATHS, stream};
use super::{Cascade, Memory, Shape, Shock};

/// Grid cells of a level: 16 s for three days, well below the rise of any signal worth a rehearsal.
const CELLS: usize = 16_384;

/// How high attention stands in one region, as a multiple of a normal day: 1 is normal, 2 is twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    step: f64,
    interest: Vec<f64>,
    concern: Vec<f64>,
}

/// What one path of a cascade is drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// The plan's seed.
    pub seed: u64,
    /// The region, which has a stream of its own.
    pub region: u64,
    /// Visits per second of a normal day: the fewer, the more the path departs from its mean.
    pub base: f64,
}

impl Level {
    /// The level over `length` seconds of scenario time under these shocks and confounders: its mean, or the path that is drawn.
    ///
    /// Added interest and concern set off more of the same, so a strength is the peak of the shock itself and what it sets off comes on
    /// top. Fear only takes away what a normal day has: it echoes nothing and stops at nothing left. Moves of the whole market and
    /// confounders multiply all interest.
    #[must_use]
    pub fn new(
        shocks: &[Shock],
        confounders: &[&Confounder],
        attention: &Attention,
        length: f64,
        draw: Option<Draw>,
    ) -> Self {
        let step = length / CELLS as f64;
        let shape = Shape::new(attention);
        let moment = |i: usize| i as f64 * step;
        let sum = |strength: fn(&Shock) -> f64| -> Vec<f64> {
            let felt: Vec<&Shock> = shocks.iter().filter(|shock| strength(shock) != 0.0).collect();
            let at = |t: f64| felt.iter().map(|shock| strength(shock) * shape.at(shock, t)).sum();
            (0..=CELLS).map(moment).map(at).collect()
        };
        let cascade = Cascade::new(&Memory::new(attention, length), attention.branching, step);
        let pushed = sum(|shock| shock.interest);
        let mut wanted = response(&pushed, cascade.clone());
        if let Some(draw) = draw {
            depart(&mut wanted, &pushed, cascade.clone(), attention.branching, draw, step);
        }
        let (feared, market) = (sum(|shock| shock.fear), sum(|shock| shock.market));
        let interest = (0..=CELLS).map(|i| {
            let own = ((1.0 - feared[i]).max(0.0) + wanted[i]).max(0.0);
            let others: f64 = confounders.iter().map(|confounder| factor(confounder, moment(i))).product();
            own * (1.0 + market[i]).max(0.0) * others
        });
        let interest = interest.collect();
        let concern = response(&sum(|shock| shock.concern), cascade).iter().map(|more| 1.0 + more).collect();
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

/// The mean response of a cascade at rest to an immigrant rate on its grid. A constant rate settles at 1/(1 − branching) times itself.
#[must_use]
pub fn response(direct: &[f64], mut cascade: Cascade) -> Vec<f64> {
    direct.iter().map(|rate| cascade.mean(*rate)).collect()
}

/// Adds to a mean excess what one path of the cascade departs from it.
///
/// Arrivals will be Poisson given the path. Were the path the intensity λ of the Hawkes process, their counts would vary too little,
/// were it the events themselves, too much. The autocovariance of λ is n/(2−n) times the covariance density of the events (Hawkes
/// 1971, exponential kernel; in long windows for any kernel), so the departure of λ from its mean is stretched by √((2−n)/n): counts
/// then have the Fano factor of the Hawkes process, also thinned.
fn depart(wanted: &mut [f64], pushed: &[f64], cascade: Cascade, branching: f64, draw: Draw, step: f64) {
    // Without offspring there is nothing to depart: Poisson arrivals are all of it.
    let (one, stretch) = (draw.base * step, libm::sqrt((2.0 - branching) / branching));
    if !(one > 0.0 && stretch.is_finite()) {
        return;
    }
    let mut random = stream(draw.seed, &[PATHS, draw.region]);
    let mut cascade = cascade.settled(one);
    for (wanted, pushed) in wanted.iter_mut().zip(pushed) {
        let immigrants = (1.0 - branching + pushed) * one;
        let expected = cascade.draw(immigrants, &mut random).expected / one;
        *wanted += stretch * (expected - (1.0 + *wanted));
    }
}

/// All interest at a moment against what it would be without the confounder: it comes and goes in a tenth of its time each.
fn factor(confounder: &Confounder, t: f64) -> f64 {
    let (at, duration) = (confounder.at.as_secs_f64(), confounder.duration.as_secs_f64());
    let part = (t - at) / duration;
    1.0 + (confounder.factor - 1.0) * (10.0 * part.min(1.0 - part)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;

//! The responses to a shock that are tried on an event: the program's own ([`crate::demand::Level`]), so that what is fitted is what a
//! scenario does.

use std::time::Duration;

use crate::demand::{Level, Shock as Push};
use crate::scenario::{Attention, Channel};

use super::event::Window;
use super::{Fit, Series};

/// Moments of the response per bin: shocks need not begin with a bin.
pub(super) const FINE: usize = 4;
/// Rises and time constants that are tried for every shock, in bins; exponents that are tried for all shocks of an event.
const RISES: [f64; 3] = [0.25, 2.0, 8.0];
const RELAXES: [f64; 5] = [0.25, 2.0, 8.0, 32.0, 128.0];
const THETAS: [f64; 3] = [0.2, 0.6, 1.6];
/// Parts of the branching ratio that are tried: what is estimated is an upper bound, and too much of it smears every peak.
const PARTS: [f64; 2] = [1.0, 0.5];

/// The responses that are tried on the events of one series.
#[derive(Clone, Debug)]
pub struct Shapes {
    pub(super) families: Vec<Family>,
    /// Seconds of a fine cell.
    pub(super) fine: f64,
}

/// Responses that one scenario can have beside each other: one exponent and one self-excitation.
#[derive(Clone, Debug)]
pub(super) struct Family {
    pub(super) attention: Attention,
    pub(super) shapes: Vec<Shape>,
}

/// The response to a shock of strength 1.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) rise: Duration,
    pub(super) relax: Duration,
    /// Fine cells of its rise.
    pub(super) lead: i64,
    /// Its highest mean over a bin.
    pub(super) peak: f64,
    /// Fine cells after which it stays below a hundredth of that.
    pub(super) reach: i64,
    /// Its mean over the bin that begins `FINE - 1` fine cells before the shock, one fine cell later, and so on.
    means: Vec<f64>,
}

impl Shapes {
    /// The responses of a series with this self-excitation; whatever else `defaults` says stays.
    #[must_use]
    pub fn of(series: &Series, fit: &Fit, defaults: &Attention) -> Self {
        let fine = series.step as f64 / FINE as f64;
        let middle = series.second(series.values.len() / 2);
        let bins = Window::around(series, middle).map_or(0, |window| window.len());
        let family = |(theta, part): (f64, f64)| {
            let attention = Attention {
                theta,
                branching: part * fit.branching.ratio.value,
                delay: Duration::from_secs_f64(fit.branching.delay.value.max(1.0)),
                ..defaults.clone()
            };
            let time = |bins: f64| Duration::from_secs_f64((bins * series.step as f64).max(1.0));
            let each =
                RISES.iter().flat_map(|rise| RELAXES.iter().map(move |relax| (time(*rise), time(*relax))));
            let shapes = each.map(|(rise, relax)| Shape::new(rise, relax, &attention, bins, fine)).collect();
            Family { attention, shapes }
        };
        let each = PARTS.into_iter().flat_map(|part| THETAS.map(|theta| (theta, part)));
        Self { families: each.map(family).collect(), fine }
    }
}

impl Shape {
    fn new(rise: Duration, relax: Duration, attention: &Attention, bins: usize, fine: f64) -> Self {
        let attention = Attention { rise, relax, ..attention.clone() };
        let push = Push { interest: 1.0, ..Push::default() };
        let cells = bins * FINE;
        let level = Level::new(&[push], &[], &attention, cells as f64 * fine, None);
        let at = |cell: f64| level.at(Channel::Interest, cell * fine) - 1.0;
        // A fine cell may hold a whole rise: it is the mean of four moments.
        let response = |cell: usize| {
            [0.125, 0.375, 0.625, 0.875].map(|part| at(cell as f64 + part)).iter().sum::<f64>() / 4.0
        };
        let responses: Vec<f64> =
            std::iter::repeat_n(0.0, FINE - 1).chain((0..cells).map(response)).collect();
        let means: Vec<f64> =
            responses.windows(FINE).map(|bin| bin.iter().sum::<f64>() / FINE as f64).collect();
        let peak = means.iter().copied().fold(0.0, f64::max);
        let reach = means.iter().rposition(|mean| *mean > 0.01 * peak).unwrap_or(0) as i64;
        Self { rise, relax, reach, lead: (rise.as_secs_f64() / fine).round() as i64, peak, means }
    }

    /// The mean response in a bin to a shock that begins in fine cell `onset`.
    pub(super) fn mean(&self, bin: usize, onset: i64) -> f64 {
        let place = (bin * FINE + FINE - 1) as i64 - onset;
        usize::try_from(place).ok().and_then(|place| self.means.get(place)).copied().unwrap_or(0.0)
    }
}

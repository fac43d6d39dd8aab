//! Rates over scenario time.

use super::{Delay, Sinusoid};

/// A rate over scenario time: tabulated from moment 0 on, a normal day before it, its last value after its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    normal: Sinusoid,
    step: f64,
    values: Vec<f64>,
    /// Integral from moment 0 to each grid point.
    integrals: Vec<f64>,
}

impl Series {
    /// Tabulates `rate` at `cells` + 1 points over `length` seconds.
    pub fn tabulate(normal: Sinusoid, length: f64, cells: usize, rate: impl FnMut(f64) -> f64) -> Self {
        let step = length / cells as f64;
        let values: Vec<f64> = (0..=cells).map(|i| i as f64 * step).map(rate).collect();
        let mut sum = 0.0;
        let rises = values.windows(2).map(|pair| {
            sum += step * (pair[0] + pair[1]) / 2.0;
            sum
        });
        let integrals = std::iter::once(0.0).chain(rises).collect();
        Self { normal, step, values, integrals }
    }

    /// The rate at a moment.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        if t < 0.0 {
            return self.normal.at(t);
        }
        let (cell, within) = self.place(t);
        let low = self.values[cell];
        self.values.get(cell + 1).map_or(low, |high| low + (high - low) * within)
    }

    /// The rate of a normal day.
    #[must_use]
    pub const fn normal(&self) -> &Sinusoid {
        &self.normal
    }

    /// The events since moment 0; negative before it.
    #[must_use]
    pub fn integral(&self, t: f64) -> f64 {
        if t < 0.0 {
            return self.normal.integral(t);
        }
        let (cell, within) = self.place(t);
        let (low, high) = (self.values[cell], self.at(t));
        self.integrals[cell] + self.step * within * (low + high) / 2.0
    }

    /// The rate of a `share` of the events after a random delay each.
    #[must_use]
    pub fn delayed(&self, share: f64, delay: &Delay, cells: usize) -> Self {
        let normal = self.normal.delayed(delay).scaled(share);
        Self::tabulate(normal, self.length(), cells, |t| {
            share * delay.strata().iter().map(|s| s.weight * self.at(t - s.mean)).sum::<f64>()
        })
    }

    /// A `share` of it.
    #[must_use]
    pub fn scaled(&self, share: f64) -> Self {
        let all = |numbers: &[f64]| numbers.iter().map(|number| share * number).collect();
        Self {
            normal: self.normal.scaled(share),
            step: self.step,
            values: all(&self.values),
            integrals: all(&self.integrals),
        }
    }

    /// How many are there when each event stays for a random time: starts convolved with the survival of the stay.
    #[must_use]
    pub fn occupancy(&self, stay: &Delay, cells: usize) -> Self {
        Self::tabulate(self.normal.occupancy(stay), self.length(), cells, |t| {
            let until_now = self.integral(t);
            stay.strata().iter().map(|s| s.weight * (until_now - self.integral(t - s.mean))).sum()
        })
    }

    /// Of a `share` of the events after a random delay each: the rate of those whose event lies before `from` and whose delay ends
    /// after it, over the `length` seconds from `from` on.
    #[must_use]
    pub fn residue(&self, share: f64, delay: &Delay, from: f64, length: f64) -> Residue {
        // The rate bends where the strata meet, and drops there where the delay is constant; the even grid follows the daily cycle.
        let even = (0..=RESIDUE_CELLS).map(|i| length * i as f64 / RESIDUE_CELLS as f64);
        let bends =
            delay.bounds().filter(|age| (0.0..length).contains(age)).flat_map(|age| [age.next_down(), age]);
        let mut ages: Vec<f64> = even.chain(bends).collect();
        ages.sort_by(f64::total_cmp);
        ages.dedup();
        let rate = |age: f64| -> f64 {
            let entered = |mean: f64| self.at((from + age - mean).min(from));
            share * delay.beyond(age).map(|(weight, s)| weight * entered(s.mean)).sum::<f64>()
        };
        let rates = ages.iter().map(|age| rate(*age)).collect();
        Residue { ages, rates }
    }

    fn length(&self) -> f64 {
        self.step * (self.values.len() - 1) as f64
    }

    /// The grid cell of a moment and the part of the cell before it; the last point beyond the end.
    fn place(&self, t: f64) -> (usize, f64) {
        let last = self.values.len() - 1;
        let position = t / self.step;
        if position >= last as f64 {
            return (last, (position - last as f64).max(0.0));
        }
        let cell = position as usize;
        (cell, position - cell as f64)
    }
}

const RESIDUE_CELLS: usize = 64;

/// A rate that fades out after a window's start, on grid points of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Residue {
    ages: Vec<f64>,
    rates: Vec<f64>,
}

impl Residue {
    /// The rate `age` seconds after the window's start.
    #[must_use]
    pub fn at(&self, age: f64) -> f64 {
        let above = self.ages.partition_point(|point| *point <= age);
        match (above.checked_sub(1), self.ages.get(above)) {
            (None, _) => self.rates.first().copied().unwrap_or(0.0),
            (Some(_), None) => 0.0,
            (Some(below), Some(high)) => {
                let within = (age - self.ages[below]) / (high - self.ages[below]);
                self.rates[below] + (self.rates[above] - self.rates[below]) * within
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{Lag, Region};

    fn delay(median: u64, p90: u64) -> Delay {
        Delay::new(Lag { median: Duration::from_secs(median), p90: Duration::from_secs(p90) })
    }

    fn day() -> Sinusoid {
        let region =
            Region { name: "r".into(), share: 1.0, utc_offset: 0, peak_hour: 20.0, night: 0.3, weekend: 1.0 };
        Sinusoid::daily(&region, 0).scaled(2.0)
    }

    /// A normal day on which nothing happens.
    fn calm() -> Series {
        Series::tabulate(day(), 86_400.0, 4096, |t| day().at(t))
    }

    #[test]
    fn a_calm_day_stays_normal_through_every_stage() {
        let lag = delay(1800, 20_000);
        let (delayed, there) = (calm().delayed(0.4, &lag, 512), calm().occupancy(&lag, 512));
        for t in [0.0, 10.0, 30_000.0, 80_000.0] {
            assert!((delayed.at(t) / day().delayed(&lag).scaled(0.4).at(t) - 1.0).abs() < 1e-4);
            assert!((there.at(t) / day().occupancy(&lag).at(t) - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_delay_keeps_the_number_of_events() {
        let pulse =
            Series::tabulate(Sinusoid::default(), 86_400.0, 4096, |t| if t < 3600.0 { 1.0 } else { 0.0 });
        let delayed = pulse.delayed(0.5, &delay(1800, 7200), 4096);
        assert!((delayed.integral(86_400.0) / (0.5 * pulse.integral(86_400.0)) - 1.0).abs() < 1e-2);
    }

    #[test]
    fn the_residue_and_the_fresh_events_add_up_to_all_of_them() {
        let (from, length, lag) = (40_000.0, 20_000.0, delay(600, 9000));
        let all = calm().delayed(0.3, &lag, 2048);
        let residue = calm().residue(0.3, &lag, from, length);
        for age in [0.0, 30.0, 700.0, 5000.0, 19_000.0] {
            // Entered inside the window: the same average, by a direct sum over fine strata of the delay.
            let cells = 20_000;
            let mut fresh = 0.0;
            let mut below = 0.0;
            for i in 1..=cells {
                let x = age * f64::from(i) / f64::from(cells);
                let survival: f64 = lag.beyond(x).map(|(weight, _)| weight).sum();
                fresh += 0.3 * ((1.0 - survival) - below) * calm_rate(from + age - x);
                below = 1.0 - survival;
            }
            let sum = residue.at(age) + fresh;
            assert!((sum / all.at(from + age) - 1.0).abs() < 5e-3, "age {age}: {sum}");
        }
        assert_eq!(residue.at(length + 1.0), 0.0);
    }

    fn calm_rate(t: f64) -> f64 {
        day().at(t)
    }

    #[test]
    fn a_constant_delay_leaves_a_residue_of_exactly_that_length() {
        let steady = Series::tabulate(Sinusoid::default(), 86_400.0, 16, |_| 1.0);
        let residue = steady.residue(1.0, &delay(60, 60), 40_000.0, 6400.0);
        assert!((residue.at(30.0) - 1.0).abs() < 1e-9);
        assert_eq!(residue.at(60.1), 0.0);
        assert_eq!(steady.residue(1.0, &delay(0, 0), 40_000.0, 6400.0).at(0.0), 0.0);
    }

    #[test]
    fn between_and_beyond_grid_points() {
        let ramp = Series::tabulate(Sinusoid::default(), 10.0, 5, |t| t);
        assert_eq!((ramp.at(3.0), ramp.at(10.0), ramp.at(12.0)), (3.0, 10.0, 10.0));
        assert!((ramp.integral(3.0) - 4.5).abs() < 1e-12 && (ramp.integral(12.0) - 70.0).abs() < 1e-12);
    }
}

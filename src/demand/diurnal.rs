//! The daily cycle.

use crate::scenario::Region;

use super::{DAY, Delay, Stratum};

const OMEGA: f64 = std::f64::consts::TAU / DAY;

/// A rate that repeats every day: `mean + cos · cos ωt + sin · sin ωt`, with t in seconds of scenario time.
///
/// One harmonic keeps a normal day closed under delays and sums, so that the day before a scenario needs no simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sinusoid {
    mean: f64,
    cos: f64,
    sin: f64,
}

impl Sinusoid {
    /// The daily curve of a region: mean 1 over 24 h, highest at its peak hour, `night` times the highest twelve hours later.
    /// `start` is the wall-clock second (UTC) of scenario time 0.
    #[must_use]
    pub fn daily(region: &Region, start: i64) -> Self {
        let local = (start + i64::from(region.utc_offset)).rem_euclid(DAY as i64) as f64;
        let peak = OMEGA * (region.peak_hour * 3600.0 - local);
        let amplitude = (1.0 - region.night) / (1.0 + region.night);
        Self { mean: 1.0, cos: amplitude * libm::cos(peak), sin: amplitude * libm::sin(peak) }
    }

    /// The rate at a moment.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        self.mean + self.cos * libm::cos(OMEGA * t) + self.sin * libm::sin(OMEGA * t)
    }

    /// The average over a day.
    #[must_use]
    pub const fn mean(&self) -> f64 {
        self.mean
    }

    /// `factor` times this rate.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { mean: factor * self.mean, cos: factor * self.cos, sin: factor * self.sin }
    }

    /// The events of this rate since moment 0; negative before it.
    #[must_use]
    pub fn integral(&self, t: f64) -> f64 {
        self.mean * t + (self.cos * libm::sin(OMEGA * t) + self.sin * (1.0 - libm::cos(OMEGA * t))) / OMEGA
    }

    /// The rate of the same events after a random delay each.
    #[must_use]
    pub fn delayed(&self, delay: &Delay) -> Self {
        let turn = |s: &Stratum| Self {
            mean: self.mean,
            cos: self.cos * libm::cos(OMEGA * s.mean) - self.sin * libm::sin(OMEGA * s.mean),
            sin: self.cos * libm::sin(OMEGA * s.mean) + self.sin * libm::cos(OMEGA * s.mean),
        };
        average(delay, turn)
    }

    /// How many of the events are still there when each stays for a random time (M/G/∞ with a periodic arrival rate).
    #[must_use]
    pub fn occupancy(&self, stay: &Delay) -> Self {
        average(stay, |s| {
            // The integral of the rate over the last `s.mean` seconds, as a function of the moment.
            let (sin, cos) = (libm::sin(OMEGA * s.mean) / OMEGA, (1.0 - libm::cos(OMEGA * s.mean)) / OMEGA);
            Self {
                mean: self.mean * s.mean,
                cos: self.cos * sin - self.sin * cos,
                sin: self.cos * cos + self.sin * sin,
            }
        })
    }
}

/// How many visits a day of the week has, as a multiple of a weekday.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Week {
    weekend: f64,
    /// Seconds of a local Saturday at scenario time 0; negative before it.
    saturday: f64,
}

impl Week {
    /// The week of a region; `start` is the wall-clock second (UTC) of scenario time 0.
    #[must_use]
    pub fn new(region: &Region, start: i64) -> Self {
        // The epoch was a Thursday.
        let local = start + i64::from(region.utc_offset) - 2 * DAY as i64;
        Self { weekend: region.weekend, saturday: local.rem_euclid(7 * DAY as i64) as f64 }
    }

    /// The multiple at a moment: it changes within two hours before and after the midnight.
    #[must_use]
    pub fn at(&self, t: f64) -> f64 {
        const CHANGE: f64 = 4.0 * 3600.0;
        // Wednesday noon is the farthest from a weekend.
        let since = (self.saturday + t + 2.5 * DAY).rem_euclid(7.0 * DAY) - 2.5 * DAY;
        let (into, left) = (since / CHANGE + 0.5, (2.0 * DAY - since) / CHANGE + 0.5);
        1.0 + (self.weekend - 1.0) * into.min(left).clamp(0.0, 1.0)
    }
}

fn average(delay: &Delay, part: impl Fn(&Stratum) -> Sinusoid) -> Sinusoid {
    delay.strata().iter().fold(Sinusoid::default(), |sum, stratum| {
        let part = part(stratum).scaled(stratum.weight);
        Sinusoid { mean: sum.mean + part.mean, cos: sum.cos + part.cos, sin: sum.sin + part.sin }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::Lag;

    fn region() -> Region {
        Region {
            name: "asia".into(),
            share: 1.0,
            utc_offset: 8 * 3600,
            peak_hour: 21.0,
            night: 0.25,
            weekend: 1.0,
        }
    }

    #[test]
    fn a_day_has_mean_one_its_peak_at_the_local_hour_and_its_night_ratio() {
        // Scenario time 0 is 06:00 UTC, 14:00 in the region: the peak is seven hours away.
        let day = Sinusoid::daily(&region(), 6 * 3600);
        let (peak, night) = (day.at(7.0 * 3600.0), day.at(19.0 * 3600.0));
        assert!((night / peak - 0.25).abs() < 1e-12);
        let hours = (0..24).map(|hour| day.at(f64::from(hour) * 3600.0));
        assert!((hours.clone().sum::<f64>() / 24.0 - 1.0).abs() < 1e-12);
        assert!(hours.fold(0.0, f64::max) <= peak + 1e-12);
    }

    #[test]
    fn the_integral_delay_and_occupancy_agree_with_direct_sums() {
        let day = Sinusoid::daily(&region(), 0).scaled(3.0);
        let lag = Lag { median: Duration::from_secs(7200), p90: Duration::from_secs(7200) };
        let fixed = Delay::new(lag);
        for t in [-5e4, 0.0, 1e4, 7e4] {
            assert!((day.delayed(&fixed).at(t) - day.at(t - 7200.0)).abs() < 1e-9);
            let lived = day.integral(t) - day.integral(t - 7200.0);
            assert!((day.occupancy(&fixed).at(t) - lived).abs() < 1e-6);
        }
        let sum: f64 = (0..7200).map(|second| day.at(f64::from(second) + 0.5)).sum();
        assert!((day.integral(7200.0) - sum).abs() < 1e-3);
    }

    #[test]
    fn the_weekend_is_a_local_one() {
        // Friday 2026-03-06, 00:00 UTC, 08:00 in the region: its Saturday begins at hour 16.
        let week = Week::new(&Region { weekend: 0.5, ..region() }, 1_772_755_200);
        let hours = [10.0, 16.0, 20.0, 40.0, 60.0, 64.0, 68.0, 7.0 * 24.0 + 30.0];
        let found = hours.map(|hour| week.at(hour * 3600.0));
        assert_eq!(found, [1.0, 0.75, 0.5, 0.5, 0.5, 0.75, 1.0, 0.5]);
    }
}

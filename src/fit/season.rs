//! What a series does when nothing happens: a slowly moving level, times a daily curve, times the day of the week.
//!
//! Classical multiplicative decomposition with medians in place of means, so that shocks do not reach it.

use crate::scenario::Region;

use super::Series;
use super::stats::{Estimate, median, random, resample};

const DAY: i64 = 86_400;
const HOUR: i64 = 3600;
/// Days on either side that make the level of a day.
const REACH: usize = 14;
/// Fewest days that tell the days of the week apart.
const WEEKLY: usize = 21;

/// Names in the order of [`Season::weekdays`].
pub const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A normal day of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    /// Counts per bin of a normal day, the middle over all days; interval by a bootstrap over days.
    pub level: Estimate,
    /// Multiple of the level at each hour of the day (UTC), mean 1; one value where bins are longer than an hour.
    pub hours: Vec<f64>,
    /// Hour (UTC) at which the first harmonic of the daily curve is highest, and its lowest over its highest value; `None` where bins
    /// are longer than an hour.
    pub harmonic: Option<Harmonic>,
    /// Multiple of the level on each day of the week, mean 1, Thursday (the first of January 1970) first; all 1 below three weeks.
    pub weekdays: [f64; 7],
    /// Level of each day, from the day of the first bin on.
    levels: Vec<f64>,
}

/// The first harmonic of a daily curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Harmonic {
    /// Hour (UTC) of its highest value; the interval may reach below 0 or above 24.
    pub peak_hour: Estimate,
    /// Lowest over highest value, 0..=1.
    pub night: Estimate,
}

impl Season {
    /// The season of the bins that `counts` admits; `None` where they do not fill a day.
    #[must_use]
    pub fn of(series: &Series, counts: &dyn Fn(usize) -> bool, draws: usize, seed: u64) -> Option<Self> {
        let days = days(series, counts);
        let curves: Vec<Vec<f64>> = days.iter().filter_map(|day| day.curve.clone()).collect();
        let hours = if series.step <= HOUR { curve(&curves)? } else { vec![1.0] };
        let mut random = random(seed, 2);
        let harmonic = harmonic(&hours).map(|(peak, night)| {
            let draws: Vec<(f64, f64)> =
                (0..draws).filter_map(|_| harmonic(&curve(&draw_curves(&curves, &mut random))?)).collect();
            // The clock wraps: a draw is taken at the nearest turn to the estimate.
            let near = |hour: f64| peak + (hour - peak + 12.0).rem_euclid(24.0) - 12.0;
            Harmonic {
                peak_hour: Estimate::of(peak, draws.iter().map(|draw| near(draw.0))),
                night: Estimate::of(night, draws.iter().map(|draw| draw.1)),
            }
        });
        let raw: Vec<Option<f64>> = days.iter().map(|day| day.level(series, &hours)).collect();
        let weekdays = weekdays(series, &raw);
        let day_of_week = |day: usize| weekdays[weekday(first_day(series) + day as i64)];
        let plain: Vec<Option<f64>> =
            raw.iter().enumerate().map(|(day, level)| level.map(|level| level / day_of_week(day))).collect();
        let overall = median(plain.iter().copied().flatten())?;
        let levels = (0..plain.len()).map(|day| around(&plain, day).unwrap_or(overall)).collect();
        let there: Vec<f64> = plain.into_iter().flatten().collect();
        let level = Estimate::of(overall, (0..draws).filter_map(|_| median(resample(&there, &mut random))));
        Some(Self { level, hours, harmonic, weekdays, levels })
    }

    /// A normal week in the terms of a scenario: one region, first harmonic of the daily curve, Saturdays and Sundays against weekdays.
    /// Flat where bins are too long to show a day.
    #[must_use]
    pub fn region(&self) -> Region {
        let (peak_hour, night) = self.harmonic.map_or((12.0, 1.0), |h| (h.peak_hour.value, h.night.value));
        let [thursday, friday, saturday, sunday, monday, tuesday, wednesday] = self.weekdays;
        let work = (monday + tuesday + wednesday + thursday + friday) / 5.0;
        Region {
            name: "everywhere".to_owned(),
            share: 1.0,
            utc_offset: 0,
            peak_hour: peak_hour.clamp(0.0, 23.999),
            night: night.clamp(0.0, 1.0),
            weekend: f64::midpoint(saturday, sunday) / work.max(1e-9),
        }
    }

    /// The count that a normal day has in a bin.
    #[must_use]
    pub fn expected(&self, series: &Series, bin: usize) -> f64 {
        let day = (series.second(bin) + series.step / 2).div_euclid(DAY);
        let level = usize::try_from(day - first_day(series)).ok().and_then(|day| self.levels.get(day));
        level.copied().unwrap_or(self.level.value) * self.weekdays[weekday(day)] * self.hour(series, bin)
    }

    /// The part of it that repeats every day, or every week where bins are too long to show a day: mean 1, without a step at midnight.
    #[must_use]
    pub fn cycle(&self, series: &Series, bin: usize) -> f64 {
        if series.step <= HOUR {
            return self.hour(series, bin);
        }
        self.weekdays[weekday((series.second(bin) + series.step / 2).div_euclid(DAY))]
    }

    /// The hours' curve, straight from the middle of one to the next.
    fn hour(&self, series: &Series, bin: usize) -> f64 {
        let middle = series.second(bin) + series.step / 2;
        let place = middle.rem_euclid(DAY) as f64 / DAY as f64 * self.hours.len() as f64 - 0.5;
        let (cells, cell) = (self.hours.len() as i64, place.floor());
        let hour = |cell: i64| self.hours[cell.rem_euclid(cells) as usize];
        let (low, high) = (hour(cell as i64), hour(cell as i64 + 1));
        low + (high - low) * (place - cell)
    }
}

/// The bins of one day.
struct Day {
    bins: Vec<(usize, f64)>,
    /// Mean of each hour over the mean of the day; only of a day that has all hours.
    curve: Option<Vec<f64>>,
}

impl Day {
    fn level(&self, series: &Series, hours: &[f64]) -> Option<f64> {
        median(self.bins.iter().map(|(bin, value)| value / hours[hour(series, *bin) % hours.len()].max(1e-9)))
    }
}

fn days(series: &Series, counts: &dyn Fn(usize) -> bool) -> Vec<Day> {
    let length = series.values.len();
    let day_of = |bin: usize| (series.second(bin) + series.step / 2).div_euclid(DAY) - first_day(series);
    let last = day_of(length.saturating_sub(1));
    let mut days: Vec<Vec<(usize, f64)>> = (0..=last).map(|_| Vec::new()).collect();
    for (bin, value) in series.values.iter().enumerate().filter(|(bin, _)| counts(*bin)) {
        if let (Some(value), Some(day)) =
            (value, usize::try_from(day_of(bin)).ok().and_then(|day| days.get_mut(day)))
        {
            day.push((bin, *value));
        }
    }
    let curve = |bins: &[(usize, f64)]| {
        let mut sums = [(0.0, 0.0); 24];
        for (bin, value) in bins {
            let cell = &mut sums[hour(series, *bin)];
            *cell = (cell.0 + value, cell.1 + 1.0);
        }
        let means: Vec<f64> = sums.iter().map(|(sum, bins)| sum / bins).collect();
        let mean = means.iter().sum::<f64>() / 24.0;
        (mean.is_finite() && mean > 0.0).then(|| means.iter().map(|hour| hour / mean).collect())
    };
    days.into_iter().map(|bins| Day { curve: curve(&bins), bins }).collect()
}

fn first_day(series: &Series) -> i64 {
    (series.start + series.step / 2).div_euclid(DAY)
}

fn hour(series: &Series, bin: usize) -> usize {
    ((series.second(bin) + series.step / 2).rem_euclid(DAY) / HOUR) as usize
}

fn weekday(day: i64) -> usize {
    day.rem_euclid(7) as usize
}

/// The median of every hour over the days, made to have mean 1.
fn curve(days: &[Vec<f64>]) -> Option<Vec<f64>> {
    let hours: Option<Vec<f64>> = (0..24).map(|hour| median(days.iter().map(|day| day[hour]))).collect();
    let hours = hours?;
    let mean = hours.iter().sum::<f64>() / 24.0;
    (mean > 0.0).then(|| hours.iter().map(|hour| hour / mean).collect())
}

fn draw_curves(curves: &[Vec<f64>], random: &mut rand_xoshiro::Xoshiro256PlusPlus) -> Vec<Vec<f64>> {
    let all: Vec<usize> = (0..curves.len()).collect();
    resample(&all, random).into_iter().map(|day| curves[day].clone()).collect()
}

/// Peak hour and night share of the first harmonic of a daily curve.
fn harmonic(hours: &[f64]) -> Option<(f64, f64)> {
    if hours.len() < 24 {
        return None;
    }
    let part = |wave: fn(f64) -> f64| {
        let angle = |hour: usize| (hour as f64 + 0.5) / 24.0 * std::f64::consts::TAU;
        hours.iter().enumerate().map(|(hour, value)| value * wave(angle(hour))).sum::<f64>() / 12.0
    };
    let (cos, sin) = (part(f64::cos), part(f64::sin));
    let amplitude = cos.hypot(sin).min(1.0);
    let peak = (sin.atan2(cos) / std::f64::consts::TAU * 24.0).rem_euclid(24.0);
    Some((peak, (1.0 - amplitude) / (1.0 + amplitude)))
}

/// The median of each day of the week over the level around it.
fn weekdays(series: &Series, levels: &[Option<f64>]) -> [f64; 7] {
    if levels.iter().flatten().count() < WEEKLY {
        return [1.0; 7];
    }
    let ratios = levels.iter().enumerate().filter_map(|(day, level)| {
        let around = around(levels, day).filter(|around| *around > 0.0)?;
        Some((weekday(first_day(series) + day as i64), (*level)? / around))
    });
    let ratios: Vec<(usize, f64)> = ratios.collect();
    let of = |day| median(ratios.iter().filter(|ratio| ratio.0 == day).map(|ratio| ratio.1)).unwrap_or(1.0);
    let raw: [f64; 7] = std::array::from_fn(of);
    let mean = raw.iter().sum::<f64>() / 7.0;
    if mean > 0.0 { raw.map(|day| day / mean) } else { [1.0; 7] }
}

/// The median over the days around a day, itself among them.
fn around(levels: &[Option<f64>], day: usize) -> Option<f64> {
    let until = (day + REACH + 1).min(levels.len());
    median(levels[day.saturating_sub(REACH)..until].iter().copied().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four weeks of quarter hours with a peak at 15:00 UTC, a night of 1/3 and quiet Sundays; every tenth day a shock of six hours.
    fn series() -> Series {
        let value = |bin: i64| {
            let second = bin * 900;
            let turn = (second as f64 + 450.0) / DAY as f64 - 15.0 / 24.0;
            let sunday = if weekday(second / DAY) == 3 { 0.5 } else { 1.0 };
            let shock = if second / DAY % 10 == 4 && second % DAY < 6 * HOUR { 30.0 } else { 1.0 };
            Some(100.0 * sunday * shock * (1.0 + 0.5 * (turn * std::f64::consts::TAU).cos()))
        };
        Series { start: 0, step: 900, values: (0..28 * 96).map(value).collect(), gaps: Vec::new() }
    }

    #[test]
    fn finds_level_curve_and_weekdays_through_shocks() {
        let series = series();
        let season = Season::of(&series, &|_| true, 200, 1).unwrap();
        let harmonic = season.harmonic.unwrap();
        assert!((harmonic.peak_hour.value - 15.0).abs() < 0.05, "{harmonic:?}");
        assert!((harmonic.night.value - 1.0 / 3.0).abs() < 0.01, "{harmonic:?}");
        assert!((season.weekdays[3] / season.weekdays[4] - 0.5).abs() < 0.02, "{:?}", season.weekdays);
        // Noon of a calm Monday: its true value, within the step of the hourly curve.
        let noon = 11 * 96 + 48;
        let expected = season.expected(&series, noon);
        assert!((expected / series.values[noon].unwrap() - 1.0).abs() < 0.02, "{expected}");
    }

    #[test]
    fn bins_of_a_day_have_no_daily_curve() {
        let values = (0..60).map(|day| Some(if weekday(day) < 5 { 10.0 } else { 5.0 })).collect();
        let series = Series { start: 0, step: DAY, values, gaps: Vec::new() };
        let season = Season::of(&series, &|_| true, 200, 1).unwrap();
        assert!(season.harmonic.is_none());
        assert!(
            (season.expected(&series, 14) - 10.0).abs() < 1e-9
                && (season.expected(&series, 19) - 5.0).abs() < 1e-9
        );
    }

    #[test]
    fn nothing_has_no_season() {
        let series = Series { start: 0, step: 300, values: vec![None; 600], gaps: Vec::new() };
        assert!(Season::of(&series, &|_| true, 200, 1).is_none());
    }
}

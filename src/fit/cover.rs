//! Does a fitted scenario's band hold what it was not fitted on?

use crate::demand::Demand;
use crate::problem::Report;
use crate::scenario::{Scenario, VariantName};

use super::band::{Band, Dispersion, bands};
use super::emit::{defaults, emit, read};
use super::event::{Shapes, block};
use super::{Event, Fit, Profiles, Series, Window, fit};

/// Simulations of a band.
const SEEDS: u64 = 99;
/// Most events of a series.
const EVENTS: usize = 16;
/// What a forecast may see of an event, seconds; the first bins where bins are longer than an hour.
const SEEN: i64 = 6 * 3600;
const SEEN_BINS: usize = 2;

/// Which bins of an event's window are held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Every second hour (every second bin where bins are longer): the band between what was seen.
    Between,
    /// Everything later than six hours (two bins where bins are longer than an hour) after the peak: a forecast of the tail.
    Later,
}

/// How a series' fitted scenarios did on the bins that were held out.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// Which bins were held out.
    pub split: Split,
    /// Events that were fitted.
    pub events: usize,
    /// Bins that were held out.
    pub points: usize,
    /// Share of them inside the 70 % band.
    pub inside: f64,
    /// The same of the band of self-excitation alone.
    pub inside_alone: f64,
    /// Mean pinball loss over the mean count.
    pub pinball: f64,
    /// The same of a band that knows only normal days.
    pub pinball_calm: f64,
    /// Share inside, event by event, in order of time.
    pub each: Vec<f64>,
}

/// The expected counts of a fitted scenario in the bins of its window.
pub(super) fn means(series: &Series, bins: usize, scenario: &Scenario) -> Vec<f64> {
    let demand = Demand::new(scenario, VariantName::Baseline);
    let until = |bin: usize| -> f64 {
        let t = (bin as i64 * series.step) as f64;
        demand.regions.iter().map(|flow| flow.visits.integral(t)).sum()
    };
    (0..bins).map(|bin| until(bin + 1) - until(bin)).collect()
}

/// An event, its scenario file and the band of that scenario.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The event.
    pub event: Event,
    /// The scenario file.
    pub text: String,
    /// Expected counts of the bins of its window.
    pub means: Vec<f64>,
    /// Their bands.
    pub bands: Vec<Band>,
}

/// Fits the event of a window in the bins that `counts` admits, writes its scenario, reads it back and simulates it.
///
/// # Errors
/// The written scenario does not read.
pub fn fitted(
    (name, series): (&str, &Series),
    fit: &Fit,
    window: Window,
    counts: &dyn Fn(usize) -> bool,
    shapes: &Shapes,
    draws: usize,
    profiles: &Profiles,
) -> Result<Option<Fitted>, Report> {
    let Some(event) = Event::of(series, fit, window, counts, shapes, draws) else { return Ok(None) };
    let text = emit(name, series, fit, &event, profiles);
    let means = means(series, window.len(), &read(text.clone())?);
    let bands = bands(&means, event.dispersion, SEEDS, fit.seed);
    Ok(Some(Fitted { event, text, means, bands }))
}

/// The responses to try on a series' events.
///
/// # Errors
/// Never for a build that passes its tests: the built-in defaults do not read.
pub fn shapes(series: &Series, fit: &Fit) -> Result<Shapes, Report> {
    Ok(Shapes::of(series, fit, &defaults()?))
}

/// Holds out a part of the windows of the largest shocks (at most sixteen, not overlapping), fits series and scenarios on the rest,
/// and counts what falls into the bands. `None` where nothing can be fitted. Which windows are events is known from the whole series.
///
/// # Errors
/// As [`fitted`].
pub fn cover(series: &Series, whole: &Fit, split: Split) -> Result<Option<Coverage>, Report> {
    let windows = events(series, whole);
    let held = |bin: usize| windows.iter().any(|(at, window)| is_held(series, split, *at, *window, bin));
    let seen = |bin: usize| !held(bin);
    let Some(rest) = fit(series, &seen, whole.seed) else { return Ok(None) };
    let shapes = shapes(series, &rest)?;
    let mut tally = Tally::default();
    for (_, window) in &windows {
        let fitted = fitted(("held-out", series), &rest, *window, &seen, &shapes, 0, &Profiles::default())?;
        if let Some(fitted) = fitted {
            tally.add(series, &rest, &fitted, &held);
        }
    }
    Ok(tally.finish(split))
}

/// Peak bin and window of the largest shocks that have a window of their own, in order of time.
fn events(series: &Series, fit: &Fit) -> Vec<(usize, Window)> {
    let mut largest: Vec<_> = fit.shocks.iter().collect();
    largest.sort_by(|a, b| b.ratio.value.total_cmp(&a.ratio.value));
    let mut chosen: Vec<(usize, Window)> = Vec::new();
    for shock in largest {
        let free = |window: &Window| {
            chosen.iter().all(|(_, other)| other.until <= window.from || window.until <= other.from)
        };
        if let Some(window) = Window::around(series, series.second(shock.bin)).filter(free)
            && chosen.len() < EVENTS
        {
            chosen.push((shock.bin, window));
        }
    }
    chosen.sort_by_key(|(at, _)| *at);
    chosen
}

fn is_held(series: &Series, split: Split, at: usize, window: Window, bin: usize) -> bool {
    if !(window.from..window.until).contains(&bin) {
        return false;
    }
    match split {
        Split::Between => (bin - window.from) / block(series) % 2 == 1,
        Split::Later => bin >= at + if series.step <= 3600 { series.bins(SEEN) } else { SEEN_BINS },
    }
}

/// Sums over the bins that were held out.
#[derive(Default)]
struct Tally {
    points: usize,
    inside: usize,
    alone: usize,
    pinball: f64,
    calm: f64,
    counts: f64,
    each: Vec<f64>,
}

impl Tally {
    fn add(&mut self, series: &Series, fit: &Fit, fitted: &Fitted, held: &dyn Fn(usize) -> bool) {
        let window = fitted.event.window;
        let simulated = |means: &[f64], spread: f64| {
            bands(means, Dispersion { fano: fit.branching.bin, spread }, SEEDS, fit.seed)
        };
        let alone = simulated(&fitted.means, 0.0);
        let normal: Vec<f64> =
            (window.from..window.until).map(|bin| fit.season.expected(series, bin)).collect();
        let calm = simulated(&normal, fitted.event.dispersion.spread);
        let (before, inside_before) = (self.points, self.inside);
        for bin in (window.from..window.until).filter(|bin| held(*bin)) {
            let Some(count) = series.values[bin] else { continue };
            let place = bin - window.from;
            self.points += 1;
            self.inside += usize::from(fitted.bands[place].holds(count));
            self.alone += usize::from(alone[place].holds(count));
            self.pinball += fitted.bands[place].pinball(count);
            self.calm += calm[place].pinball(count);
            self.counts += count;
        }
        if self.points > before {
            self.each.push((self.inside - inside_before) as f64 / (self.points - before) as f64);
        }
    }

    fn finish(self, split: Split) -> Option<Coverage> {
        let share = |part: usize| part as f64 / self.points as f64;
        (self.points > 0).then(|| Coverage {
            split,
            events: self.each.len(),
            points: self.points,
            inside: share(self.inside),
            inside_alone: share(self.alone),
            pinball: self.pinball / self.counts,
            pinball_calm: self.calm / self.counts,
            each: self.each,
        })
    }
}

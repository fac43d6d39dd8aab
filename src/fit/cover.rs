//! Does the band of fitted scenarios hold what they were not fitted on, and better than what needs no model?
//!
//! Every bin of the event windows is held out exactly once per split; season, self-excitation, shocks and the band's width all come from
//! the rest. Three predictions of the same bins get their bands in the same way ([`Calibration`]): the scenario, a normal day, and
//! persistence (the mean of the last hour that was seen). Which windows are events is known from the whole series.

use rand::RngExt;

use crate::problem::Report;

use super::band::Band;
use super::calibrate::{Calibration, Residual};
use super::emit::defaults;
use super::event::{Window, block, height};
use super::gauge::quick;
use super::shape::Shapes;
use super::stats::{DRAWS, Estimate, random, resample};
use super::{Event, Fit, Series};

/// Most events of a series.
const EVENTS: usize = 16;
/// What a forecast may see of an event after its peak, seconds; the first bins where bins are longer than an hour.
const SEEN: i64 = 6 * 3600;
const SEEN_BINS: usize = 2;
/// Fewest past events that tell how far forecasts go wrong.
const PAST: usize = 3;

/// Which bins of an event's window are held out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// A fifth of the hours (bins where they are longer), drawn at random, in turn: the band between what was seen.
    Hours,
    /// Every second hour (bin), and then the others.
    Halves,
    /// Everything later than six hours (two bins where they are longer than an hour) after the peak: a forecast of the tail. Its band
    /// comes from forecasts of earlier events at the same age.
    Later,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hours, Self::Halves, Self::Later];

    const fn folds(self) -> usize {
        match self {
            Self::Hours => 5,
            Self::Halves => 2,
            Self::Later => 1,
        }
    }
}

/// How a series' fitted scenarios did on the bins that were held out. Intervals by a bootstrap over events.
#[derive(Clone, Debug, PartialEq)]
pub struct Coverage {
    /// Which bins were held out.
    pub split: Split,
    /// Events whose bins were judged.
    pub events: usize,
    /// Events before them that only taught how far forecasts go wrong.
    pub taught: usize,
    /// Bins that were held out and judged.
    pub points: usize,
    /// Share of them inside the 70 % band.
    pub inside: Estimate,
    /// Mean pinball loss over the mean count.
    pub pinball: f64,
    /// That loss over the loss of a normal day; below 1 the scenario is better.
    pub against_normal: Estimate,
    /// That loss over the loss of persistence.
    pub against_persistence: Estimate,
    /// Share inside, event by event, in order of time.
    pub each: Vec<f64>,
}

impl Coverage {
    /// Whether the 70 % band holds 60 to 80 %.
    #[must_use]
    pub fn honest(&self) -> bool {
        (0.6..=0.8).contains(&self.inside.value)
    }
}

/// An event that bins are held out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// Bin of its peak.
    pub peak: usize,
    /// Its window.
    pub window: Window,
}

/// The largest shocks that have a window of their own, in order of time.
#[must_use]
pub fn occasions(series: &Series, fit: &Fit) -> Vec<Occasion> {
    let mut largest: Vec<_> = fit.shocks.iter().collect();
    largest.sort_by(|a, b| b.ratio.value.total_cmp(&a.ratio.value));
    let mut chosen: Vec<Occasion> = Vec::new();
    for shock in largest {
        let free = |window: &Window| {
            chosen.iter().all(|other| other.window.until <= window.from || window.until <= other.window.from)
        };
        if let Some(window) = Window::around(series, series.second(shock.bin)).filter(free)
            && chosen.len() < EVENTS
        {
            chosen.push(Occasion { peak: shock.bin, window });
        }
    }
    chosen.sort_by_key(|occasion| occasion.peak);
    chosen
}

/// The responses to try on a series' events.
///
/// # Errors
/// Never for a build that passes its tests: the built-in defaults do not read.
pub fn shapes(series: &Series, fit: &Fit) -> Result<Shapes, Report> {
    Ok(Shapes::of(series, fit, &defaults()?))
}

/// How scenarios do on the bins that a split holds out. `None` where nothing can be judged.
///
/// # Errors
/// As [`shapes`].
pub fn cover(series: &Series, whole: &Fit, split: Split) -> Result<Option<Coverage>, Report> {
    let occasions = occasions(series, whole);
    let mut tally = Tally::default();
    for fold in 0..split.folds() {
        let held = held(series, &occasions, split, (fold, whole.seed));
        let seen = |bin: usize| !held[bin];
        let Some(rest) = quick(series, &seen, whole.seed) else { return Ok(None) };
        let shapes = shapes(series, &rest)?;
        let fits: Vec<Predicted> = (occasions.iter().enumerate())
            .filter_map(|(number, occasion)| {
                let event = Event::of(series, &rest, occasion.window, &seen, &shapes, 0)?;
                Some(Predicted::new(series, &rest, (number, *occasion), event, &held))
            })
            .collect();
        match split {
            Split::Hours | Split::Halves => tally.between(series, &fits, &held),
            Split::Later => tally.later(series, &fits, &held),
        }
    }
    Ok(tally.finish(split, whole.seed))
}

/// For every bin of the series, whether it is held out.
fn held(series: &Series, occasions: &[Occasion], split: Split, (fold, seed): (usize, u64)) -> Vec<bool> {
    let mut held = vec![false; series.values.len()];
    let mut random = random(seed, 8);
    for Occasion { peak, window } in occasions {
        let blocks = window.len() / block(series) + 1;
        let drawn: Vec<usize> = (0..blocks).map(|_| random.random_range(0..split.folds())).collect();
        for (bin, held) in held.iter_mut().enumerate().take(window.until).skip(window.from) {
            let number = (bin - window.from) / block(series);
            *held = match split {
                Split::Hours => drawn[number] == fold,
                Split::Halves => number % 2 == fold,
                Split::Later => bin >= peak + if series.step <= 3600 { series.bins(SEEN) } else { SEEN_BINS },
            };
        }
    }
    held
}

/// What was predicted for an event: by its scenario, by a normal day, by persistence.
struct Predicted {
    number: usize,
    occasion: Occasion,
    event: Event,
    means: [Vec<f64>; 3],
}

impl Predicted {
    fn new(
        series: &Series,
        rest: &Fit,
        (number, occasion): (usize, Occasion),
        event: Event,
        held: &[bool],
    ) -> Self {
        let window = occasion.window;
        let normal = (window.from..window.until).map(|bin| rest.season.expected(series, bin)).collect();
        let means = [event.means.clone(), normal, persistence(series, window, held)];
        Self { number, occasion, event, means }
    }

    /// What a prediction is like: how high above normal for the scenario, else how much.
    fn key(&self, method: usize, place: usize) -> f64 {
        match method {
            0 => height(self.means[0][place], self.event.normal[place]),
            _ => self.means[method][place].ln_1p(),
        }
    }

    /// Bins of its window with a count, as (place, count, whether it was held out).
    fn counts<'a>(
        &self,
        series: &'a Series,
        held: &'a [bool],
    ) -> impl Iterator<Item = (usize, f64, bool)> + use<'a> {
        let from = self.occasion.window.from;
        (from..self.occasion.window.until)
            .filter_map(move |bin| Some((bin - from, series.values[bin]?, held[bin])))
    }

    /// The logarithm of a bin's time after the peak.
    fn age(&self, place: usize) -> f64 {
        ((self.occasion.window.from + place) as f64 - self.occasion.peak as f64).max(1.0).ln()
    }
}

/// The mean of the last block that was seen before each bin's own.
fn persistence(series: &Series, window: Window, held: &[bool]) -> Vec<f64> {
    let block = block(series);
    let mean = |from: usize| {
        let until = (from + block).min(series.values.len());
        let seen: Vec<f64> =
            (from..until).filter(|bin| !held[*bin]).filter_map(|bin| series.values[bin]).collect();
        super::stats::mean(&seen)
    };
    let mut last = mean(window.from.saturating_sub(block)).unwrap_or(0.0);
    let mut predicted = Vec::with_capacity(window.len());
    for from in (window.from..window.until).step_by(block) {
        predicted.extend(std::iter::repeat_n(last, block.min(window.until - from)));
        last = mean(from).unwrap_or(last);
    }
    predicted
}

/// A bin that was judged.
struct Point {
    event: usize,
    count: f64,
    inside: bool,
    loss: [f64; 3],
}

/// The bins that were judged.
#[derive(Default)]
struct Tally {
    points: Vec<Point>,
    taught: usize,
}

impl Tally {
    fn add(&mut self, event: usize, count: f64, bands: [Band; 3]) {
        let loss = bands.map(|band| band.pinball(count));
        self.points.push(Point { event, count, inside: bands[0].holds(count), loss });
    }

    /// Bands from the bins of all events that were seen.
    fn between(&mut self, series: &Series, fits: &[Predicted], held: &[bool]) {
        let calibration = [0, 1, 2].map(|method| {
            let seen = |fit: &Predicted| -> Vec<Residual> {
                if method == 0 {
                    return fit.event.residuals.clone();
                }
                let seen = fit.counts(series, held).filter(|(_, _, held)| !held);
                seen.map(|(place, count, _)| {
                    Residual::new(fit.key(method, place), count, fit.means[method][place])
                })
                .collect()
            };
            Calibration::new(fits.iter().flat_map(seen).collect(), None)
        });
        for fit in fits {
            for (place, count, _) in fit.counts(series, held).filter(|(_, _, held)| *held) {
                let band = |method: usize| {
                    calibration[method].band(fit.key(method, place), fit.means[method][place])
                };
                self.add(fit.number, count, [0, 1, 2].map(band));
            }
        }
    }

    /// Bands from what came of the same forecasts for earlier events.
    fn later(&mut self, series: &Series, fits: &[Predicted], held: &[bool]) {
        for (past, fit) in fits.iter().enumerate() {
            if past < PAST {
                self.taught += 1;
                continue;
            }
            let calibration = [0, 1, 2].map(|method| {
                let went = |fit: &Predicted| -> Vec<Residual> {
                    let came = fit.counts(series, held).filter(|(_, _, held)| *held);
                    came.map(|(place, count, _)| {
                        Residual::new(fit.age(place), count, fit.means[method][place])
                    })
                    .collect()
                };
                Calibration::across(fits[..past].iter().map(went).collect())
            });
            for (place, count, _) in fit.counts(series, held).filter(|(_, _, held)| *held) {
                let band = |method: usize| calibration[method].band(fit.age(place), fit.means[method][place]);
                self.add(fit.number, count, [0, 1, 2].map(band));
            }
        }
    }

    fn finish(self, split: Split, seed: u64) -> Option<Coverage> {
        let mut events: Vec<Sums> = Vec::new();
        let mut numbers: Vec<usize> = self.points.iter().map(|point| point.event).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in &numbers {
            let own = self.points.iter().filter(|point| point.event == *number);
            events.push(own.fold(Sums::default(), Sums::with));
        }
        let all = Sums::of(&events);
        let mut random = random(seed, 9);
        let draws: Vec<Sums> = (0..DRAWS).map(|_| Sums::of(&resample(&events, &mut random))).collect();
        let estimate = |part: fn(&Sums) -> f64| Estimate::of(part(&all), draws.iter().map(part));
        (all.points > 0.0).then(|| Coverage {
            split,
            events: events.len(),
            taught: self.taught,
            points: self.points.len(),
            inside: estimate(|sums| sums.inside / sums.points),
            pinball: all.loss[0] / all.counts,
            against_normal: estimate(|sums| sums.loss[0] / sums.loss[1]),
            against_persistence: estimate(|sums| sums.loss[0] / sums.loss[2]),
            each: events.iter().map(|event| event.inside / event.points).collect(),
        })
    }
}

/// Sums over judged bins.
#[derive(Clone, Copy, Default)]
struct Sums {
    points: f64,
    inside: f64,
    counts: f64,
    loss: [f64; 3],
}

impl Sums {
    fn with(self, point: &Point) -> Self {
        let one = Self {
            points: 1.0,
            inside: f64::from(u8::from(point.inside)),
            counts: point.count,
            loss: point.loss,
        };
        Self::of(&[self, one])
    }

    fn of(parts: &[Self]) -> Self {
        let sum = |part: &dyn Fn(&Self) -> f64| parts.iter().map(part).sum::<f64>();
        Self {
            points: sum(&|part| part.points),
            inside: sum(&|part| part.inside),
            counts: sum(&|part| part.counts),
            loss: [0, 1, 2].map(|method| sum(&|part: &Self| part.loss[method])),
        }
    }
}

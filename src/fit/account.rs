//! Everything that `squall fit` finds, for the report.

use crate::demand::Demand;
use crate::problem::Report;
use crate::scenario::{Scenario, VariantName};

use super::band::{Band, Dispersion, bands};
use super::calibrate::{Calibration, Residual};
use super::cover::{Coverage, Split, cover, occasions, shapes};
use super::emit::{emit, read};
use super::event::height;
use super::lag::{Lag, TooShort, lag};
use super::uplift::{Comparison, Control, TooFewWeeks, Uplift, compare, uplift};
use super::{Event, Fit, Profiles, Series, Shock, Window, fit};

/// Redraws behind the intervals of an event.
const DRAWS: usize = 60;
/// Simulations of a scenario.
const SEEDS: u64 = 99;
/// A peak that the scenario misses by more than this part is a doubt, where it lies outside the band as well.
const PEAK: f64 = 0.25;
/// Fewest events that make a habit.
const FEW: usize = 5;

/// What to look at.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Name of the series, as a scenario may have it.
    pub name: String,
    /// The series.
    pub series: &'a Series,
    /// Moments (Unix seconds) of events; the first one's window becomes the scenario, the largest shock's where there are none.
    pub events: Vec<i64>,
    /// A series that should not have noticed the events.
    pub control: Option<&'a Series>,
    /// A series that this one may lag behind.
    pub behind: Option<&'a Series>,
    /// Where the scenario will find its profiles.
    pub profiles: Profiles,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Account {
    /// The whole series.
    pub fit: Fit,
    /// The event that became a scenario.
    pub scenario: Fitted,
    /// Events in the series.
    pub events: usize,
    /// How such bands do on bins that they were not fitted on; empty where the series has no shock with a window of its own.
    pub coverage: Vec<Coverage>,
    /// The events against the weeks before them.
    pub uplifts: Vec<Against>,
    /// How far this series lags behind another.
    pub lag: Option<Result<Lag, TooShort>>,
    /// What speaks against using the scenario as it is.
    pub doubts: Vec<Doubt>,
}

/// An event, its scenario file and how that compares with what was measured.
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
    /// Share of the bins inside.
    pub inside: f64,
    /// The same of the scenario's own simulation: self-excitation and chance alone.
    pub inside_alone: f64,
    /// Its fullest bin, what the scenario expects there, and the band.
    pub peak: Peak,
}

/// The fullest bin of an event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// What was measured.
    pub count: f64,
    /// What the scenario expects there.
    pub mean: f64,
    /// The band there.
    pub band: Band,
}

impl Peak {
    /// Whether the scenario reaches it: within the band or within a quarter.
    #[must_use]
    pub fn reached(&self) -> bool {
        self.band.holds(self.count) || (self.mean / self.count - 1.0).abs() <= PEAK
    }
}

/// Why to be careful with a fitted scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    /// One event: the band is the whole range that was seen of it, and tells nothing of another.
    OneEvent,
    /// So few events that their spread is hardly known.
    FewEvents(usize),
    /// The 70 % band held less than 60 % or more than 80 % of what was held out.
    Band(Split),
    /// A normal day predicts what was held out no worse.
    NoBetterThanNormal(Split),
    /// The last hour predicts what was held out no worse.
    NoBetterThanPersistence(Split),
    /// The scenario's peak is off.
    Peak,
    /// A control moved with the event (Unix second): what is attributed to the event has another cause as well.
    Control(i64, Control),
    /// The event did no more than some week without it (Unix second).
    NotUnusual(i64),
}

/// An event against the weeks before it, and against a control.
#[derive(Clone, Debug)]
pub struct Against {
    /// Unix second of the event.
    pub at: i64,
    /// Its uplift.
    pub uplift: Result<Uplift, TooFewWeeks>,
    /// The difference to the control, where there are both.
    pub control: Option<Result<Comparison, TooFewWeeks>>,
}

/// Why a series cannot be fitted.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Nothing to estimate from.
    #[error(
        "the series is too short: estimates need a whole day, and thirty differences of bins without a shock"
    )]
    Short,
    /// No window.
    #[error("no shock whose window lies in the series: name a moment with --event")]
    NoEvent,
    /// The moment's window does not lie in the series.
    #[error(
        "the window of the event, 24 h before it to 48 h after it (a week and three weeks in bins longer than an hour), does not lie in the \
         series: name another moment with --event"
    )]
    Outside,
    /// The scenario that was written does not read.
    #[error("the fitted scenario does not read: {0}")]
    Scenario(#[from] Report),
}

/// Fits a series.
///
/// # Errors
/// [`Unfit`] says why it cannot be done.
pub fn account(question: &Question<'_>) -> Result<Account, Unfit> {
    let Question { series, seed, .. } = *question;
    let fit = fit(series, &|_| true, seed).ok_or(Unfit::Short)?;
    let window = match question.events.first() {
        Some(at) => Window::around(series, *at).ok_or(Unfit::Outside)?,
        None => largest(series, &fit).ok_or(Unfit::NoEvent)?,
    };
    let (scenario, events) = fitted(question, &fit, window)?;
    let coverage = validated(series, &fit)?;
    let uplifts: Vec<Against> = question.events.iter().map(|at| against(question, *at)).collect();
    let doubts = doubts(&scenario, events, &coverage, &uplifts);
    let lag = question.behind.map(|driver| lag(series, driver, &fit, seed));
    Ok(Account { fit, scenario, events, coverage, uplifts, lag, doubts })
}

/// Every split on a thread of its own: together they take longest of all.
fn validated(series: &Series, fit: &Fit) -> Result<Vec<Coverage>, Report> {
    std::thread::scope(|scope| {
        let threads = Split::ALL.map(|split| scope.spawn(move || cover(series, fit, split)));
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(all)
    })
}

/// Fits the event of a window, writes its scenario, reads it back and compares what it expects; also the number of events that the band
/// was learnt from.
///
/// # Errors
/// [`Unfit::Outside`] where the window has no bins, [`Unfit::Scenario`] where the scenario does not read.
pub fn fitted(question: &Question<'_>, fit: &Fit, window: Window) -> Result<(Fitted, usize), Unfit> {
    let series = question.series;
    let shapes = shapes(series, fit)?;
    let all = |_: usize| true;
    let event = Event::of(series, fit, window, &all, &shapes, DRAWS).ok_or(Unfit::Outside)?;
    let others = occasions(series, fit).into_iter().map(|occasion| occasion.window);
    let apart = |other: &Window| other.until <= window.from || window.until <= other.from;
    let others: Vec<Event> =
        (others.filter(apart)).filter_map(|other| Event::of(series, fit, other, &all, &shapes, 0)).collect();
    let events = others.len() + 1;
    let residuals: Vec<Residual> =
        others.iter().chain([&event]).flat_map(|event| event.residuals.iter().copied()).collect();
    let calibration = Calibration::new(residuals, (events == 1).then_some(1));
    let text = emit(&question.name, series, fit, &event, &question.profiles);
    let means = means(series, window.len(), &read(text.clone())?);
    let band = |(mean, normal): (&f64, &f64)| calibration.band(height(*mean, *normal), *mean);
    let around: Vec<Band> = means.iter().zip(&event.normal).map(band).collect();
    let alone = bands(&means, Dispersion { fano: fit.branching.bin, spread: 0.0 }, SEEDS, fit.seed);
    let there: Vec<usize> =
        (0..window.len()).filter(|place| series.values[window.from + place].is_some()).collect();
    let count = |place: usize| series.values[window.from + place].unwrap_or(0.0);
    let inside = |bands: &[Band]| {
        there.iter().filter(|place| bands[**place].holds(count(**place))).count() as f64 / there.len() as f64
    };
    let fullest =
        there.iter().copied().max_by(|a, b| count(*a).total_cmp(&count(*b))).ok_or(Unfit::Outside)?;
    let peak = Peak { count: count(fullest), mean: means[fullest], band: around[fullest] };
    let (inside, inside_alone) = (inside(&around), inside(&alone));
    Ok((Fitted { event, text, means, bands: around, inside, inside_alone, peak }, events))
}

/// The expected counts of a fitted scenario in the bins of its window.
fn means(series: &Series, bins: usize, scenario: &Scenario) -> Vec<f64> {
    let demand = Demand::new(scenario, VariantName::Baseline);
    let until = |bin: usize| -> f64 {
        let t = (bin as i64 * series.step) as f64;
        demand.regions.iter().map(|flow| flow.visits.integral(t)).sum()
    };
    (0..bins).map(|bin| until(bin + 1) - until(bin)).collect()
}

fn doubts(scenario: &Fitted, events: usize, coverage: &[Coverage], uplifts: &[Against]) -> Vec<Doubt> {
    let few = match events {
        1 => Some(Doubt::OneEvent),
        _ => (events < FEW).then_some(Doubt::FewEvents(events)),
    };
    let peak = (!scenario.peak.reached()).then_some(Doubt::Peak);
    let bands = coverage.iter().flat_map(|found| {
        let no_better = |ratio: f64, doubt: Doubt| (ratio >= 1.0).then_some(doubt);
        [
            (!found.honest()).then_some(Doubt::Band(found.split)),
            no_better(found.against_normal.value, Doubt::NoBetterThanNormal(found.split)),
            no_better(found.against_persistence.value, Doubt::NoBetterThanPersistence(found.split)),
        ]
    });
    let causes = uplifts.iter().flat_map(|against| {
        let control = match &against.control {
            Some(Ok(found)) if found.state != Control::Steady => {
                Some(Doubt::Control(against.at, found.state))
            }
            _ => None,
        };
        let usual = against.uplift.as_ref().is_ok_and(|found| !found.unusual());
        [control, usual.then_some(Doubt::NotUnusual(against.at))]
    });
    [few, peak].into_iter().chain(bands).chain(causes).flatten().collect()
}

/// The window of the largest shock that has one.
fn largest(series: &Series, fit: &Fit) -> Option<Window> {
    let window = |shock: &&Shock| Window::around(series, series.second(shock.bin)).is_some();
    let shock = fit.shocks.iter().filter(window).max_by(|a, b| a.ratio.value.total_cmp(&b.ratio.value))?;
    Window::around(series, series.second(shock.bin))
}

fn against(question: &Question<'_>, at: i64) -> Against {
    let uplift = uplift(question.series, at, &question.events, question.seed);
    let control = question
        .control
        .zip(uplift.as_ref().ok())
        .map(|(control, uplift)| compare(uplift, control, at, &question.events, question.seed));
    Against { at, uplift, control }
}

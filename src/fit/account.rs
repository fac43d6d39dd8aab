//! Everything that `squall fit` finds, for the report.

use crate::problem::Report;

use super::band::Band;
use super::cover::{Coverage, Fitted, Split, cover, fitted, shapes};
use super::uplift::{Comparison, TooFewWeeks, Uplift, compare, uplift};
use super::{Fit, Profiles, Series, Shock, Window, fit};

/// Redraws behind the intervals of an event.
const DRAWS: usize = 100;

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
    /// Share of the bins of its window inside the band that was fitted on them.
    pub inside: f64,
    /// Its fullest bin, and the band there.
    pub peak: Option<(f64, Band)>,
    /// How such bands do on bins that they were not fitted on; empty where the series has no shock with a window of its own.
    pub coverage: Vec<Coverage>,
    /// The events against the weeks before them.
    pub uplifts: Vec<Against>,
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
    #[error("the series is too short: estimates need a whole day, and thirty bins in a row without a shock")]
    Short,
    /// No window.
    #[error("no shock whose window lies in the series: name a moment with --event")]
    NoEvent,
    /// The moment's window does not lie in the series.
    #[error("the window of the event does not lie in the series")]
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
    let all = |_: usize| true;
    let fit = fit(series, &all, seed).ok_or(Unfit::Short)?;
    let window = match question.events.first() {
        Some(at) => Window::around(series, *at).ok_or(Unfit::Outside)?,
        None => largest(series, &fit).ok_or(Unfit::NoEvent)?,
    };
    let shapes = shapes(series, &fit)?;
    let named = (question.name.as_str(), series);
    let scenario =
        fitted(named, &fit, window, &all, &shapes, DRAWS, &question.profiles)?.ok_or(Unfit::Outside)?;
    let coverage: Result<Vec<Option<Coverage>>, Report> =
        [Split::Between, Split::Later].into_iter().map(|split| cover(series, &fit, split)).collect();
    Ok(Account {
        inside: inside(series, &scenario),
        peak: peak(series, &scenario),
        coverage: coverage?.into_iter().flatten().collect(),
        uplifts: question.events.iter().map(|at| against(question, *at)).collect(),
        scenario,
        fit,
    })
}

/// The window of the largest shock that has one.
fn largest(series: &Series, fit: &Fit) -> Option<Window> {
    let window = |shock: &&Shock| Window::around(series, series.second(shock.bin)).is_some();
    let shock = fit.shocks.iter().filter(window).max_by(|a, b| a.ratio.value.total_cmp(&b.ratio.value))?;
    Window::around(series, series.second(shock.bin))
}

fn inside(series: &Series, fitted: &Fitted) -> f64 {
    let there: Vec<bool> = (fitted.event.window.from..)
        .zip(&fitted.bands)
        .filter_map(|(bin, band)| series.values[bin].map(|count| band.holds(count)))
        .collect();
    there.iter().filter(|inside| **inside).count() as f64 / there.len() as f64
}

fn peak(series: &Series, fitted: &Fitted) -> Option<(f64, Band)> {
    let bins = (fitted.event.window.from..).zip(&fitted.bands);
    bins.filter_map(|(bin, band)| Some((series.values[bin]?, *band))).max_by(|a, b| a.0.total_cmp(&b.0))
}

fn against(question: &Question<'_>, at: i64) -> Against {
    let uplift = uplift(question.series, at, &question.events, question.seed);
    let control = question
        .control
        .zip(uplift.as_ref().ok())
        .map(|(control, uplift)| compare(uplift, control, at, &question.events, question.seed));
    Against { at, uplift, control }
}

//! Everything that is estimated from a whole series.

use super::band::Dispersion;
use super::shock::{Peak, peaks};
use super::stats::DRAWS;
use super::{Branching, Season, Series, Shock};

/// What a series is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// Its normal days.
    pub season: Season,
    /// Its shocks, in order of time.
    pub shocks: Vec<Shock>,
    /// Its self-excitation outside the shocks.
    pub branching: Branching,
    /// Seed of every interval.
    pub seed: u64,
}

/// Estimates season, shocks and branching ratio from the bins that `counts` admits. `None` where they are too few: less than a day,
/// or fewer than thirty calm bins.
#[must_use]
pub fn fit(series: &Series, counts: &dyn Fn(usize) -> bool, seed: u64) -> Option<Fit> {
    gauge(series, counts, DRAWS, seed)
}

/// The same without intervals, for parts of a series.
pub(super) fn quick(series: &Series, counts: &dyn Fn(usize) -> bool, seed: u64) -> Option<Fit> {
    gauge(series, counts, 0, seed)
}

fn gauge(series: &Series, counts: &dyn Fn(usize) -> bool, draws: usize, seed: u64) -> Option<Fit> {
    let season = Season::of(series, counts, draws, seed)?;
    let peaks = peaks(series, &season, counts);
    let shaken = |bin: usize| peaks.iter().any(|peak: &Peak| (peak.from..peak.until).contains(&bin));
    let branching = Branching::of(series, &season, &|bin| counts(bin) && !shaken(bin), draws, seed)?;
    let dispersion = Dispersion { fano: branching.bin, spread: 0.0 };
    let shock = |peak: &Peak| Shock::of(series, &season, *peak, dispersion, (draws, seed));
    let shocks = peaks.iter().map(shock).collect();
    Some(Fit { season, shocks, branching, seed })
}

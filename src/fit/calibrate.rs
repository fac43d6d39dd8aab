//! How far counts lie from what was predicted for bins that were not fitted, and the band that follows.
//!
//! Split conformal prediction (Vovk et al. 2005; Lei et al. 2018) on the log ratio ln((count + 1)/(mean + 1)) of predictions made
//! without the bin itself: the band is made of quantiles of what was measured, whatever its distribution, so it may be skewed and have
//! heavy tails. Where a prediction was of the same kind (as high above normal, as long after the peak) it counts, others do not.

use rand::seq::SliceRandom;

use super::band::Band;
use super::stats::{mean, quantile, random};

/// Part of the residuals, the nearest ones, that make a band; and the fewest and most.
const NEAREST: usize = 5;
const FEWEST: usize = 20;
const MOST: usize = 200;

/// A prediction that was made without the bin itself, and what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Residual {
    /// What kind of prediction it is: residuals of near keys are taken together.
    pub key: f64,
    /// ln((count + 1)/(mean + 1)).
    pub log_ratio: f64,
}

impl Residual {
    /// Of a count where `mean` was predicted.
    #[must_use]
    pub fn new(key: f64, count: f64, mean: f64) -> Self {
        Self { key, log_ratio: ((count + 1.0) / (mean + 1.0)).ln() }
    }
}

/// Residuals to take bands from.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// In order of their keys.
    residuals: Vec<Residual>,
    /// How many of them are independent; all that are taken where `None`.
    independent: Option<usize>,
}

impl Calibration {
    /// From residuals of which each stands for itself, or of which only as many as `independent` do (those of one event hang together):
    /// the fewer, the wider the band; the whole range below six.
    #[must_use]
    pub fn new(mut residuals: Vec<Residual>, independent: Option<usize>) -> Self {
        // Among equal keys no event may come first.
        residuals.shuffle(&mut random(0, 6));
        residuals.sort_by(|a, b| a.key.total_cmp(&b.key));
        Self { residuals, independent }
    }

    /// From residuals of other events, of which those of one event hang together: they count as independent as their intraclass
    /// correlation leaves them (Kish's design effect 1 + (m − 1)ρ with m residuals an event), as the events at least.
    #[must_use]
    pub fn across(events: Vec<Vec<Residual>>) -> Self {
        let independent = independent(&events);
        Self::new(events.into_iter().flatten().collect(), Some(independent))
    }

    /// The band around a prediction.
    #[must_use]
    pub fn band(&self, key: f64, mean: f64) -> Band {
        let all = self.residuals.len();
        let take = (all / NEAREST).clamp(FEWEST, MOST).min(all);
        let place = self.residuals.partition_point(|residual| residual.key < key);
        let last = self.residuals.partition_point(|residual| residual.key <= key);
        let from = ((place + last) / 2).saturating_sub(take / 2).min(all - take);
        let mut near: Vec<f64> =
            self.residuals[from..from + take].iter().map(|residual| residual.log_ratio).collect();
        near.sort_by(f64::total_cmp);
        let independent = self.independent.unwrap_or(take).max(2) as f64;
        let at = |share: f64| {
            // The quantile that a further draw stays below with this probability.
            let place = (share * (independent + 1.0) - 1.0) / (independent - 1.0);
            let log_ratio = quantile(&near, place.clamp(0.0, 1.0)).unwrap_or(0.0);
            ((mean + 1.0) * log_ratio.exp() - 1.0).max(0.0)
        };
        Band { low: at(0.15), middle: at(0.5), high: at(0.85) }
    }
}

/// Residuals over their design effect; ρ from the analysis of variance between and within events.
fn independent(events: &[Vec<Residual>]) -> usize {
    let values =
        |event: &Vec<Residual>| event.iter().map(|residual| residual.log_ratio).collect::<Vec<f64>>();
    let events: Vec<Vec<f64>> = events.iter().map(values).filter(|event| !event.is_empty()).collect();
    let (groups, all) = (events.len(), events.iter().map(Vec::len).sum::<usize>());
    let Some(overall) = mean(&events.concat()).filter(|_| groups > 1 && all > groups) else { return groups };
    let (mut between, mut within) = (0.0, 0.0);
    for event in &events {
        let own = mean(event).unwrap_or(overall);
        between += event.len() as f64 * (own - overall).powi(2) / (groups - 1) as f64;
        within += event.iter().map(|value| (value - own).powi(2)).sum::<f64>() / (all - groups) as f64;
    }
    let size = all as f64 / groups as f64;
    let correlation = ((between - within) / (between + (size - 1.0) * within)).clamp(0.0, 1.0);
    ((all as f64 / (1.0 + (size - 1.0) * correlation)) as usize).max(groups)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Log ratios that are skewed, and wider for larger keys.
    fn residuals(count: usize, seed: u64) -> Vec<Residual> {
        let mut random = random(seed, 0);
        (0..count)
            .map(|_| {
                let key: f64 = random.random();
                let log_ratio = (1.0 + 4.0 * key) * -random.random::<f64>().ln() * 0.2;
                Residual { key, log_ratio }
            })
            .collect()
    }

    fn inside(calibration: &Calibration, fresh: &[Residual]) -> f64 {
        let held = |residual: &&Residual| {
            let count = 101.0 * residual.log_ratio.exp() - 1.0;
            calibration.band(residual.key, 100.0).holds(count)
        };
        fresh.iter().filter(held).count() as f64 / fresh.len() as f64
    }

    #[test]
    fn seventy_of_a_hundred_fresh_ones_lie_inside_at_either_end() {
        let calibration = Calibration::new(residuals(2000, 1), None);
        let fresh = residuals(4000, 2);
        let (near, far): (Vec<Residual>, Vec<Residual>) = fresh.iter().partition(|fresh| fresh.key < 0.5);
        for part in [fresh, near, far] {
            assert!((inside(&calibration, &part) - 0.7).abs() < 0.04, "{}", inside(&calibration, &part));
        }
    }

    #[test]
    fn few_ones_hold_as_many_on_average_and_few_events_make_it_wider() {
        let fresh = residuals(200, 3);
        let shares = (0..200).map(|seed| inside(&Calibration::new(residuals(20, 10 + seed), None), &fresh));
        let mean = shares.sum::<f64>() / 200.0;
        assert!((mean - 0.7).abs() < 0.03, "{mean}");
        let [many, few, one] = [None, Some(12), Some(1)].map(|independent| {
            let band = Calibration::new(residuals(2000, 1), independent).band(0.5, 100.0);
            band.high / band.low
        });
        assert!(many < few && few < one, "{many} {few} {one}");
    }

    #[test]
    fn residuals_that_hang_together_count_less() {
        let events = |together: f64| -> Vec<Vec<Residual>> {
            let mut random = random(5, 0);
            let mut event = || {
                let common: f64 = random.random();
                let mut one = || together * common + (1.0 - together) * random.random::<f64>();
                (0..50).map(|_| Residual { key: 0.0, log_ratio: one() }).collect()
            };
            (0..40).map(|_| event()).collect()
        };
        let [apart, half, bound] = [0.0, 0.5, 1.0].map(|together| independent(&events(together)));
        assert!(apart > 1000 && (60..120).contains(&half) && bound == 40, "{apart} {half} {bound}");
    }

    #[test]
    fn nothing_known_leaves_the_prediction_itself() {
        let band = Calibration::new(Vec::new(), None).band(0.0, 7.0);
        assert_eq!((band.low, band.high), (7.0, 7.0));
    }
}

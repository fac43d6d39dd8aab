//! The feed of signals: what somebody who watches the market sees of a scenario, and when.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

use crate::scenario::{Engagement, FeedFault, Metric, Scenario, Signal, SignalKind};

use super::stream::{FAULTS, stream};

/// One reading of one measure. All measures share this form.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Scenario time at which it happened.
    pub at: Duration,
    /// Scenario time at which it arrived: later where the feed is delayed.
    pub seen: Duration,
    /// What is measured.
    pub metric: Metric,
    /// Its value, with whatever error the feed added; a change, a multiple of normal, or 1 for something that happened.
    pub value: f64,
    /// Its value as it happened.
    pub raw: f64,
    /// How sure the observation is, 0..=1.
    pub confidence: f64,
    /// How good its source is, 0..=1.
    pub quality: f64,
    /// Where it was observed; empty where not given.
    pub provenance: String,
    /// The signal that it belongs to.
    pub signal: String,
    /// Who is behind that.
    pub kind: SignalKind,
    /// What mentions are.
    pub posts: Engagement,
}

/// Everything that the feed of a scenario delivers, in order of arrival: `seed` draws what its faults lose and distort.
#[must_use]
pub fn feed(scenario: &Scenario, seed: u64) -> std::vec::IntoIter<Observation> {
    let signals = scenario.signals.iter().enumerate();
    let happened =
        signals.flat_map(|(number, signal)| readings(signal).map(move |reading| (number, reading)));
    let arrives = |(number, reading)| arrived(reading, number, &scenario.feed_faults, seed);
    let mut seen: Vec<Observation> = happened.filter_map(arrives).collect();
    // What arrives together keeps the order in which it happened.
    seen.sort_by_key(|observation| (observation.seen, observation.at));
    seen.into_iter()
}

/// What a signal says, measure by measure; what is as on a normal day is not news.
fn readings(signal: &Signal) -> impl Iterator<Item = Observation> + '_ {
    let told = [
        (Metric::Price, signal.price, 0.0),
        (Metric::Market, signal.market, 0.0),
        (Metric::Volume, signal.volume, 1.0),
        (Metric::Mentions, signal.mentions, 1.0),
        (Metric::Sentiment, signal.sentiment, 0.0),
        (Metric::Searches, signal.searches, 1.0),
        (Metric::Wallets, signal.wallets, 1.0),
        (Metric::Listing, f64::from(u8::from(signal.go_live.is_some())), 0.0),
        (Metric::Outage, f64::from(u8::from(signal.outage)), 0.0),
    ];
    let reading = |metric, at, value| Observation {
        at,
        seen: at,
        metric,
        value,
        raw: value,
        confidence: signal.confidence,
        quality: signal.quality,
        provenance: signal.source.clone(),
        signal: signal.name.clone(),
        kind: signal.kind,
        posts: signal.posts,
    };
    let news = told.into_iter().filter(|(_, value, normal)| value != normal);
    let shown = news.map(move |(metric, value, _)| reading(metric, signal.at, value));
    shown.chain(signal.go_live.map(|at| reading(Metric::Trading, at, 1.0)))
}

/// A reading as the feed delivers it, if it does.
fn arrived(mut reading: Observation, signal: usize, faults: &[FeedFault], seed: u64) -> Option<Observation> {
    for (number, fault) in faults.iter().enumerate() {
        let concerns = fault.metrics.is_empty() || fault.metrics.contains(&reading.metric);
        if !(concerns && (fault.from..fault.until).contains(&reading.at)) {
            continue;
        }
        let mut random = stream(seed, &[FAULTS, number as u64, signal as u64, reading.metric as u64]);
        if random.random::<f64>() < fault.loss {
            return None;
        }
        reading.seen += fault.delay;
        reading.value = noisy(reading.metric, reading.value, fault.noise, &mut random);
    }
    Some(reading)
}

/// A value with an error of this size relative to it. A multiple stays one, and what happened or did not has no size to be wrong in.
fn noisy(metric: Metric, value: f64, noise: f64, random: &mut impl Rng) -> f64 {
    let error = noise * random.sample::<f64, _>(StandardNormal);
    match metric {
        Metric::Listing | Metric::Trading | Metric::Outage => value,
        Metric::Volume | Metric::Mentions | Metric::Searches | Metric::Wallets => value * libm::exp(error),
        Metric::Price | Metric::Market => (value * (1.0 + error)).max(-1.0),
        Metric::Sentiment => (value * (1.0 + error)).clamp(-1.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::sample;

    const HOUR: Duration = Duration::from_secs(3600);

    fn fault() -> FeedFault {
        let name = "slow".into();
        FeedFault {
            name,
            from: 5 * HOUR,
            until: 7 * HOUR,
            metrics: vec![],
            delay: HOUR,
            loss: 0.0,
            noise: 0.0,
        }
    }

    fn seen(faults: Vec<FeedFault>, seed: u64) -> Vec<(Metric, u64, f64)> {
        let scenario = Scenario { feed_faults: faults, ..sample::sample() };
        feed(&scenario, seed).map(|it| (it.metric, it.seen.as_secs() / 3600, it.value)).collect()
    }

    #[test]
    fn a_listing_is_seen_measure_by_measure_and_again_when_trading_starts() {
        let expected = [
            (Metric::Price, 6, 0.12),
            (Metric::Volume, 6, 3.2),
            (Metric::Mentions, 6, 5.0),
            (Metric::Listing, 6, 1.0),
            (Metric::Trading, 8, 1.0),
        ];
        assert_eq!(seen(Vec::new(), 1), expected);
    }

    #[test]
    fn a_fault_delays_loses_and_distorts_what_it_concerns_and_nothing_else() {
        let late = seen(vec![FeedFault { metrics: vec![Metric::Volume], ..fault() }], 1);
        assert_eq!(late[3..], [(Metric::Volume, 7, 3.2), (Metric::Trading, 8, 1.0)]);
        assert_eq!(seen(vec![FeedFault { loss: 1.0, ..fault() }], 1), [(Metric::Trading, 8, 1.0)]);
        let noise = || vec![FeedFault { noise: 0.2, ..fault() }];
        let noisy = seen(noise(), 1);
        assert!(noisy[1].2 != 3.2 && (1.0..10.0).contains(&noisy[1].2), "{noisy:?}");
        assert_eq!(noisy[3..], [(Metric::Listing, 7, 1.0), (Metric::Trading, 8, 1.0)]);
        assert_eq!(noisy, seen(noise(), 1));
        assert_ne!(noisy, seen(noise(), 2));
        let raw = Scenario { feed_faults: noise(), ..sample::sample() };
        assert!(feed(&raw, 1).any(|it| it.metric == Metric::Volume && it.raw == 3.2));
    }

    #[test]
    fn loss_has_its_share() {
        let half = || vec![FeedFault { loss: 0.5, ..fault() }];
        let kept: usize = (0..500).map(|seed| seen(half(), seed).len() - 1).sum();
        assert!((kept as f64 - 1000.0).abs() < 4.0 * 500_f64.sqrt(), "{kept} of 2000");
    }
}

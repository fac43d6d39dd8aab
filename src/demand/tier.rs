//! Tiers of readiness: what a feed of signals calls for, and why.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::{Attention, Engagement, Metric, Scenario, Signal, SignalKind, VariantName};

use super::{Demand, Observation, Shape, feed, shocks};

/// How ready a fleet should be.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ReadinessTier")]
pub enum Tier {
    /// A normal day.
    #[default]
    Calm,
    /// +5 % price, or anything that could confirm more.
    Watch,
    /// +15 % price and 3x volume.
    Prepare,
    /// A listing, or 10x mentions.
    Scale,
    /// A listing while an exchange cannot be reached, or with a frenzy of mentions.
    Incident,
}

impl Tier {
    /// The name used in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Watch => "watch",
            Self::Prepare => "prepare",
            Self::Scale => "scale",
            Self::Incident => "incident",
        }
    }

    const fn lower(self) -> Self {
        match self {
            Self::Calm | Self::Watch => Self::Calm,
            Self::Prepare => Self::Watch,
            Self::Scale => Self::Prepare,
            Self::Incident => Self::Scale,
        }
    }
}

/// Price move that is worth a watch.
const WATCH_PRICE: f64 = 0.05;
/// Price move that is worth preparing for, with [`PREPARE_VOLUME`].
const PREPARE_PRICE: f64 = 0.15;
const PREPARE_VOLUME: f64 = 3.0;
/// Mentions that ask for capacity by themselves.
const SCALE_MENTIONS: f64 = 10.0;
/// Mentions that make a listing an incident [assumed].
const FRENZY: f64 = 20.0;
/// A multiple of normal that confirms something [assumed].
const CONFIRMS: f64 = 2.0;
/// Confirming signals besides price without which nothing is scaled.
const NEEDED: usize = 2;
/// Confidence times quality from which on an observation counts for more than a watch [assumed].
const BELIEVED: f64 = 0.5;
/// How long an observation counts [assumed].
const HOLDS: Duration = Duration::from_secs(6 * 3600);
/// How long a listing counts: it lasts 24 to 72 h.
const LISTING_HOLDS: Duration = Duration::from_secs(24 * 3600);
/// Elevated capacity goes down tier by tier, this long each [assumed].
const STEP: Duration = Duration::from_secs(3600);
/// How far ahead the expected demand is looked at [assumed].
const AHEAD: u32 = 6;

/// What observations call for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// The tier.
    pub tier: Tier,
    /// The tier that it would be if enough besides the price confirmed it.
    pub unconfirmed: Tier,
    /// What confirms it besides the price, such as `volume`.
    pub confirming: Vec<&'static str>,
    /// What lifts it above a normal day: the signal, what it measures, and the value.
    pub because: Vec<(String, &'static str, f64)>,
}

/// What these observations, all of the same time, call for.
///
/// Observations whose confidence times quality is below one half are worth a watch at most. Scaling and more take two confirming signals
/// besides the price.
#[must_use]
pub fn assess<'a>(observations: impl Iterator<Item = &'a Observation>) -> Assessment {
    let all: Vec<&Observation> = observations.collect();
    let believed: Vec<&Observation> =
        all.iter().copied().filter(|it| it.confidence * it.quality >= BELIEVED).collect();
    let confirming = confirming(&believed);
    let unconfirmed = wanted(&believed);
    let confirmed = if confirming.len() < NEEDED { unconfirmed.min(Tier::Prepare) } else { unconfirmed };
    let tier = confirmed.max(wanted(&all).min(Tier::Watch));
    let because = all.iter().filter(|it| wanted(&[it]) > Tier::Calm);
    let because = because.map(|it| (it.signal.clone(), it.metric.name(), it.value)).collect();
    Assessment { tier, unconfirmed, confirming, because }
}

/// The tier by the thresholds alone.
fn wanted(observations: &[&Observation]) -> Tier {
    let highest = |metrics: &[Metric]| {
        let values = observations.iter().filter(|it| metrics.contains(&it.metric));
        values.map(|it| it.value.abs()).fold(0.0, f64::max)
    };
    let listing = highest(&[Metric::Listing, Metric::Trading]) > 0.0;
    let (mentions, outage) = (highest(&[Metric::Mentions]), highest(&[Metric::Outage]) > 0.0);
    let (price, volume) = (highest(&[Metric::Price, Metric::Market]), highest(&[Metric::Volume]));
    if listing && (outage || mentions >= FRENZY) {
        Tier::Incident
    } else if listing || mentions >= SCALE_MENTIONS {
        Tier::Scale
    } else if price >= PREPARE_PRICE && volume >= PREPARE_VOLUME {
        Tier::Prepare
    } else if price >= WATCH_PRICE || !confirming(observations).is_empty() {
        Tier::Watch
    } else {
        Tier::Calm
    }
}

/// Measures besides the price that say that something is going on; a listing and its start of trading are one.
fn confirming(observations: &[&Observation]) -> Vec<&'static str> {
    let confirms = |it: &&&Observation| match it.metric {
        Metric::Volume | Metric::Mentions | Metric::Searches | Metric::Wallets => it.value >= CONFIRMS,
        Metric::Listing | Metric::Trading | Metric::Outage => it.value > 0.0,
        Metric::Price | Metric::Market | Metric::Sentiment => false,
    };
    let name = |it: &&Observation| match it.metric {
        Metric::Trading => Metric::Listing.name(),
        metric => metric.name(),
    };
    observations.iter().filter(confirms).map(name).collect::<BTreeSet<_>>().into_iter().collect()
}

/// What the response matrix asks for at an expected multiple of normal demand.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Less than 1.2 times a normal day.
    Nothing,
    /// From 1.2 times on: watch more closely.
    Monitor,
    /// From twice on: pre-warm, raise alerts.
    PreWarm,
    /// From three times on: more seedboxes, higher queue limits, tell finance.
    Expand,
}

impl Response {
    /// The response matrix: from which multiple of normal demand on each is called for, ascending.
    pub const MATRIX: [(Self, f64); 3] = [(Self::Monitor, 1.2), (Self::PreWarm, 2.0), (Self::Expand, 3.0)];

    /// The response to an expected multiple of normal demand.
    #[must_use]
    pub fn to(factor: f64) -> Self {
        // As it is shown: what reads 2.00 is twice.
        let factor = (100.0 * factor).round() / 100.0;
        let called_for = Self::MATRIX.into_iter().rfind(|(_, from)| factor >= *from);
        called_for.map_or(Self::Nothing, |(response, _)| response)
    }
}

/// A change of tier, or of the response that is called for.
#[derive(Clone, Debug, PartialEq)]
pub struct TierChange {
    /// Scenario seconds.
    pub at_seconds: f64,
    /// The tier from now on.
    pub tier: Tier,
    /// What the observations that count call for; a higher tier than theirs is on its way down.
    pub assessment: Assessment,
    /// Whose attention it mostly is, as the taxonomy of events has it; `None` where nothing is felt.
    pub driver: Option<&'static str>,
    /// Weighted intensity of the mentions ([`intensity`]).
    pub intensity: f64,
    /// Most demand within six hours that the signals seen so far let expect, as a multiple of a normal day: visits, or the index's traffic
    /// where worry drives that.
    pub factor: f64,
    /// What that asks for.
    pub response: Response,
}

/// How often the outlook is looked at between observations: what was announced comes nearer without another one.
const LOOK: Duration = Duration::from_secs(30 * 60);

/// The tiers and responses that a scenario's feed calls for, change by change, as somebody would see them who knows nothing but the feed.
/// `seed` draws the faults of the feed.
#[must_use]
pub fn tiers(scenario: &Scenario, variant: VariantName, seed: u64) -> Vec<TierChange> {
    let feed: Vec<Observation> = feed(scenario, seed).collect();
    // Tiers change when something is seen, stops to count, or a step down is over; the response whenever it is looked at.
    let mut decisions: BTreeSet<Duration> =
        feed.iter().flat_map(|it| [it.seen, it.seen + holds(it.metric)]).collect();
    let mut looks: BTreeSet<Duration> =
        (1..).map(|n| LOOK * n).take_while(|look| *look < scenario.duration).collect();
    let (mut changes, mut tier, mut response) = (Vec::new(), Tier::Calm, Response::Nothing);
    let mut outlook = Outlook::new(scenario, variant);
    while let Some((now, decides)) = earliest(&mut decisions, &mut looks) {
        if now >= scenario.duration {
            break;
        }
        let counts = |it: &&Observation| (it.seen..it.seen + holds(it.metric)).contains(&now);
        let assessment = assess(feed.iter().filter(counts));
        let before = (tier, response);
        if decides {
            tier = if assessment.tier < tier { tier.lower().max(assessment.tier) } else { assessment.tier };
            if tier > assessment.tier {
                decisions.insert(now + STEP);
            }
        }
        outlook.see(&feed, now);
        let factor = outlook.highest(now);
        response = Response::to(factor);
        if before == (tier, response) {
            continue;
        }
        changes.push(TierChange {
            at_seconds: now.as_secs_f64(),
            tier,
            assessment,
            driver: driver(&outlook.known, now),
            intensity: intensity(&feed, now),
            factor,
            response,
        });
    }
    changes
}

/// Takes the earliest moment out of both sets, and says whether it was in the first.
fn earliest(decisions: &mut BTreeSet<Duration>, looks: &mut BTreeSet<Duration>) -> Option<(Duration, bool)> {
    let now = decisions.first().into_iter().chain(looks.first()).min().copied()?;
    looks.remove(&now);
    Some((now, decisions.remove(&now)))
}

const fn holds(metric: Metric) -> Duration {
    match metric {
        Metric::Listing | Metric::Trading => LISTING_HOLDS,
        _ => HOLDS,
    }
}

/// The day as it looks at a moment: the signals that were seen by then, nothing that is to come or that no signal tells.
struct Outlook<'a> {
    scenario: &'a Scenario,
    variant: VariantName,
    known: Scenario,
    expected: Demand,
    normal: Demand,
}

impl<'a> Outlook<'a> {
    fn new(scenario: &'a Scenario, variant: VariantName) -> Self {
        let known = Scenario { confounders: Vec::new(), signals: Vec::new(), ..scenario.clone() };
        let normal = Demand::new(&known, variant);
        Self { scenario, variant, known, expected: normal.clone(), normal }
    }

    /// Takes in what was seen by now.
    fn see(&mut self, feed: &[Observation], now: Duration) {
        let seen: BTreeSet<&str> =
            feed.iter().filter(|it| it.seen <= now).map(|it| it.signal.as_str()).collect();
        if seen.len() == self.known.signals.len() {
            return;
        }
        let signals = self.scenario.signals.iter().filter(|signal| seen.contains(signal.name.as_str()));
        self.known.signals = signals.cloned().collect();
        self.expected = Demand::new(&self.known, self.variant);
    }

    /// The highest multiple of a normal day in the next hours, over all regions: of visits, or of the index's traffic.
    fn highest(&self, now: Duration) -> f64 {
        let ratio = |minute: u32| {
            let t = now.as_secs_f64() + 60.0 * f64::from(minute);
            let (visits, index) = traffic(&self.expected, t);
            let (usual_visits, usual_index) = traffic(&self.normal, t);
            f64::max(over(visits, usual_visits), over(index, usual_index))
        };
        (0..=AHEAD * 60).step_by(10).map(ratio).fold(0.0, f64::max)
    }
}

/// Visits, and visits with side traffic, over all regions.
fn traffic(demand: &Demand, t: f64) -> (f64, f64) {
    let visits: f64 = demand.regions.iter().map(|flow| flow.visits.at(t)).sum();
    let sides: f64 = demand.regions.iter().flat_map(|flow| &flow.sides).map(|side| side.at(t)).sum();
    (visits, visits + sides)
}

fn over(rate: f64, usual: f64) -> f64 {
    if usual > 0.0 { rate / usual } else { 1.0 }
}

/// Whose signals are felt most at a moment: the member of the taxonomy of events.
fn driver(scenario: &Scenario, now: Duration) -> Option<&'static str> {
    let felt = |kind| {
        let signals = scenario.signals.iter().filter(|signal| signal.kind == kind);
        (
            class(kind),
            signals.map(|signal| force(signal, &scenario.attention, now.as_secs_f64())).sum::<f64>(),
        )
    };
    let kinds = [SignalKind::Official, SignalKind::Creator, SignalKind::Organic, SignalKind::Market];
    let most = kinds.map(felt).into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    most.filter(|(_, felt)| *felt > 0.0).map(|(class, _)| class)
}

/// What a signal still does within an hour.
fn force(signal: &Signal, attention: &Attention, now: f64) -> f64 {
    let shape = Shape::new(attention);
    let at =
        |t: f64| shocks(signal, attention, 1.0).iter().map(|shock| shock.force() * shape.at(shock, t)).sum();
    f64::max(at(now), at(now + 3600.0))
}

const fn class(kind: SignalKind) -> &'static str {
    match kind {
        SignalKind::Official => "official promotion",
        SignalKind::Creator => "creator-led campaign",
        SignalKind::Organic => "organic chatter",
        SignalKind::Market => "market-driven burst",
    }
}

/// The intensity of the mentions at a moment: the excess over normal of each observation × what they are (original 3, repost 2, comment
/// 1.5, like 0.5) × 2 for a creator × confidence × quality, decaying with an hour [assumed].
#[must_use]
pub fn intensity(feed: &[Observation], now: Duration) -> f64 {
    let mentions = feed.iter().filter(|it| it.metric == Metric::Mentions && it.seen <= now);
    let score = |it: &Observation| {
        let kind = match it.posts {
            Engagement::Original => 3.0,
            Engagement::Repost => 2.0,
            Engagement::Comment => 1.5,
            Engagement::Like => 0.5,
        };
        let author = if it.kind == SignalKind::Creator { 2.0 } else { 1.0 };
        let hours = (now - it.seen).as_secs_f64() / 3600.0;
        (it.value - 1.0).max(0.0) * kind * author * it.confidence * it.quality * libm::exp(-hours)
    };
    mentions.map(score).fold(0.0, |sum, score| sum + score)
}

#[cfg(test)]
mod tests;

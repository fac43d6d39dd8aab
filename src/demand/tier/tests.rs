use super::*;
use crate::scenario::{Channel, FeedFault, SideRate, sample};

const HOUR: Duration = Duration::from_secs(3600);

/// Tier, and tier without the rule of two confirming signals, of signals that show together.
fn of(signals: &[Signal]) -> (Tier, Tier) {
    let scenario = Scenario { signals: signals.to_vec(), ..sample::sample() };
    let feed: Vec<Observation> = feed(&scenario, 1).collect();
    let Assessment { tier, unconfirmed, .. } = assess(feed.iter());
    (tier, unconfirmed)
}

fn says(change: impl FnOnce(&mut Signal)) -> Signal {
    let mut signal = sample::signal("it");
    change(&mut signal);
    signal
}

fn listing() -> Signal {
    says(|it| it.go_live = Some(10 * HOUR))
}

#[test]
fn the_thresholds_are_those_of_the_tiers() {
    let price = |price| says(move |it| it.price = price);
    assert_eq!(of(&[price(0.03)]).0, Tier::Calm);
    assert_eq!(of(&[price(0.05)]).0, Tier::Watch);
    assert_eq!(of(&[price(-0.07)]).0, Tier::Watch);
    assert_eq!(of(&[price(0.5)]).0, Tier::Watch, "a price alone is no reason to prepare");
    assert_eq!(of(&[says(|it| (it.price, it.volume) = (0.15, 3.0))]).0, Tier::Prepare);
    assert_eq!(of(&[says(|it| (it.price, it.volume) = (0.15, 2.9))]).0, Tier::Watch);
    let loud = |mentions| says(move |it| (it.mentions, it.searches) = (mentions, 2.0));
    assert_eq!([of(&[loud(9.9)]).0, of(&[loud(10.0)]).0], [Tier::Watch, Tier::Scale]);
    let outage = says(|it| it.outage = true);
    assert_eq!(
        [of(std::slice::from_ref(&outage)).0, of(&[listing(), outage]).0],
        [Tier::Watch, Tier::Incident]
    );
    assert_eq!(
        [of(&[listing(), loud(19.0)]).0, of(&[listing(), loud(20.0)]).0],
        [Tier::Scale, Tier::Incident]
    );
}

#[test]
fn scaling_takes_two_confirming_signals_besides_the_price() {
    assert_eq!(of(&[listing()]), (Tier::Prepare, Tier::Scale));
    assert_eq!(of(&[listing(), says(|it| it.price = 0.3)]), (Tier::Prepare, Tier::Scale));
    assert_eq!(of(&[listing(), says(|it| it.volume = 2.0)]), (Tier::Scale, Tier::Scale));
    assert_eq!(of(&[listing(), says(|it| it.wallets = 2.5)]), (Tier::Scale, Tier::Scale));
    // A 3 % move is nothing; a listing with volume decides whatever the price does.
    assert_eq!(of(&[listing(), says(|it| (it.price, it.volume) = (0.03, 2.0))]).0, Tier::Scale);
}

#[test]
fn what_is_not_believed_is_worth_a_watch() {
    let rumour = Signal { confidence: 0.6, quality: 0.5, volume: 5.0, ..listing() };
    assert_eq!(of(&[rumour]), (Tier::Watch, Tier::Calm));
}

fn clock(scenario: &Scenario) -> Vec<(f64, Tier)> {
    let changes = tiers(scenario, VariantName::Baseline, 1);
    let mut clock: Vec<(f64, Tier)> =
        changes.iter().map(|change| (change.at_seconds / 3600.0, change.tier)).collect();
    // Between them the response alone may change.
    clock.dedup_by_key(|(_, tier)| *tier);
    clock
}

#[test]
fn a_listing_lifts_the_tier_at_once_and_it_comes_down_step_by_step() {
    let mut scenario = sample::sample();
    scenario.duration = 60 * HOUR;
    // Volume and mentions count for six hours, the listing until a day after its start of trading at 8 h.
    let expected = [(6.0, Tier::Scale), (12.0, Tier::Prepare), (32.0, Tier::Watch), (33.0, Tier::Calm)];
    assert_eq!(clock(&scenario), expected);
    scenario.feed_faults = vec![FeedFault {
        name: "slow".into(),
        from: 5 * HOUR,
        until: 7 * HOUR,
        metrics: Vec::new(),
        delay: HOUR,
        loss: 0.0,
        noise: 0.0,
    }];
    assert_eq!(clock(&scenario)[..2], [(7.0, Tier::Scale), (13.0, Tier::Prepare)], "as late as its feed");
}

#[test]
fn a_change_says_whose_attention_it_is_and_what_it_asks_for() {
    let mut scenario = sample::sample();
    let first = tiers(&scenario, VariantName::Baseline, 1).remove(0);
    assert_eq!((first.driver, first.response), (Some("market-driven burst"), Response::Expand));
    assert_eq!(first.assessment.confirming, ["listing", "mentions", "volume"]);
    assert!(first.factor > 3.0);
    scenario.signals[0].kind = SignalKind::Creator;
    let creator = tiers(&scenario, VariantName::Baseline, 1).remove(0);
    assert_eq!(creator.driver, Some("creator-led campaign"));
    assert!((creator.intensity / first.intensity - 2.0).abs() < 1e-12);
    assert_eq!(
        [1.19, 1.2, 2.0, 3.0].map(Response::to),
        [Response::Nothing, Response::Monitor, Response::PreWarm, Response::Expand]
    );
}

#[test]
fn what_is_to_come_is_not_known() {
    let mut scenario = sample::sample();
    let early = Signal { at: 2 * HOUR, price: 0.06, ..sample::signal("early") };
    scenario.signals.insert(0, early);
    let first = tiers(&scenario, VariantName::Baseline, 1).remove(0);
    assert_eq!((first.tier, first.at_seconds, first.response), (Tier::Watch, 7200.0, Response::Nothing));
}

#[test]
fn the_response_changes_when_an_announced_event_comes_near() {
    let mut scenario = sample::sample();
    scenario.duration = 60 * HOUR;
    scenario.signals = vec![Signal { at: 2 * HOUR, go_live: Some(30 * HOUR), ..sample::signal("listing") }];
    let changes = tiers(&scenario, VariantName::Baseline, 1);
    let responses: Vec<(f64, Response)> =
        changes.iter().map(|change| (change.at_seconds / 3600.0, change.response)).collect();
    // Six hours before the start of trading, give or take a look.
    let near =
        |(hour, response): &(f64, Response)| (24.0..=24.5).contains(hour) && *response == Response::Expand;
    assert!(responses.iter().any(near), "{responses:?}");
}

#[test]
fn worry_calls_for_a_response_though_visits_fall() {
    let mut scenario = sample::sample();
    scenario.signals = vec![Signal { price: -0.4, volume: 3.0, ..sample::signal("crash") }];
    scenario.side[0].rate = SideRate::Attention { base: 500.0, follows: Channel::Concern, gain: 2.0 };
    let changes = tiers(&scenario, VariantName::Baseline, 1);
    assert!(changes.iter().any(|change| change.response > Response::Monitor), "{changes:#?}");
}

#[test]
fn intensity_weighs_what_is_posted_and_forgets_it_within_hours() {
    let at = |posts, hours: u32| {
        let signal = says(|it| (it.mentions, it.posts, it.confidence) = (5.0, posts, 0.5));
        let scenario = Scenario { signals: vec![signal], ..sample::sample() };
        let feed: Vec<Observation> = feed(&scenario, 1).collect();
        intensity(&feed, 6 * HOUR + hours * HOUR)
    };
    let posts = [Engagement::Original, Engagement::Repost, Engagement::Comment, Engagement::Like];
    assert_eq!(posts.map(|posts| at(posts, 0)), [6.0, 4.0, 3.0, 1.0]);
    assert!((at(Engagement::Original, 2) / 6.0 - (-2.0_f64).exp()).abs() < 1e-12);
}

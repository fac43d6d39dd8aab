//! What a scenario file says of signals.

use std::time::Duration;

use crate::problem::{Name, Names, OneOf, PositiveDuration, Reported, Table, Text};
use crate::scenario::types::{Echo, Engagement, FeedFault, Metric, Signal, SignalKind};
use crate::scenario::values::{Mood, PositiveFactor, Strength};
use crate::unit::{Change, Factor, Quantity, Share};

use super::{reach, within};

/// Keys that make a signal say something.
const SAYS: [&str; 9] =
    ["price", "market", "volume", "mentions", "listing", "strength", "searches", "wallets", "outage"];

pub(super) fn signals(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
    regions: &Result<Vec<String>, Reported>,
) -> Result<Vec<Signal>, Reported> {
    let mut unique = Names::default();
    let mut signals = table.tables("signal", "A market or social observation.", |table| {
        let name = table.required::<Name>("name", "Name in charts and reports.");
        let kind = table.or(
            "kind",
            "Who is behind it: the project, a creator, people who talk, or the market.",
            OneOf(SignalKind::Market),
        );
        let source = table.optional::<Text>("source", "Where it was observed.");
        let moments = moments(table, duration);
        let lag = table.or("lag", "Time from its showing to its effect.", Duration::ZERO);
        let ramp = table.or(
            "ramp",
            "Time over which its effect builds up beforehand: endogenous attention, which grows and relaxes with 1-2*theta \
             (Crane & Sornette 2008).",
            Duration::ZERO,
        );
        let rise =
            table.optional::<PositiveDuration>("rise", "Time to the peak of its effect, instead of `attention.rise`.");
        let relax = table.optional::<PositiveDuration>(
            "relax",
            "Time constant of its relaxation, instead of `attention.relax`.",
        );
        let price = table.or("price", "Price change.", Change(0.0));
        let market = table.or("market", "Price change of the whole market: a common factor.", Change(0.0));
        let volume = table.or("volume", "Trading volume.", PositiveFactor(Factor(1.0)));
        let mentions = table.or("mentions", "Mentions per hour.", PositiveFactor(Factor(1.0)));
        let posts = table.or("posts", "What the mentions are: the intensity score weighs them by it.", OneOf(Engagement::Original));
        let sentiment = table.or(
            "sentiment",
            "Mood of the mentions: their effect on interest grows by it; below 0 the part that is lost becomes concern.",
            Mood(Change(0.0)),
        );
        let searches =
            table.or("searches", "Searches: evidence for the tiers alone, it moves nothing.", PositiveFactor(Factor(1.0)));
        let wallets = table.or(
            "wallets",
            "Inflow of wallets: evidence for the tiers alone, it moves nothing.",
            PositiveFactor(Factor(1.0)),
        );
        let outage = table.or(
            "outage",
            "An exchange cannot be reached: evidence for the tiers alone, it moves nothing.",
            false,
        );
        let strength = table.optional::<Strength>(
            "strength",
            "Strength of its effect on interest, instead of what follows from price, volume, mentions and listing.",
        );
        let confidence =
            table.or("confidence", "How sure the observation is; scales its effect.", Share(1.0));
        let quality = table.or("quality", "How good its source is; scales its effect.", Share(1.0));
        let echoes = table.tables("echo", "The same effect come again.", |table| {
            let delay = table.required::<PositiveDuration>("delay", "Time after the first effect.");
            let strength = table.required::<Strength>("strength", "Strength against that of the first effect.");
            Ok(Echo { delay: delay?.0, strength: strength?.0 })
        });
        let reached = reach(table, "Regions that it reaches; all where left out.", regions);
        // An unknown key is probably what it says, misspelt.
        if !SAYS.iter().any(|key| table.has(key)) && !table.has_unknown() {
            let hint = "add `price`, `volume`, `mentions`, `listing`, `market` or `strength`".to_owned();
            return Err(table.wrong_here("this signal says nothing".to_owned(), Some(hint)));
        }
        let name = name?.0.0;
        unique.claim(table, "name", &name)?;
        let (at, go_live) = moments?;
        let (lag, ramp) = (lag?, ramp?);
        if ramp > at + lag {
            let hint = format!("its effect is due at {}", (at + lag).write());
            return Err(table.wrong("ramp", "`ramp` begins before the scenario".to_owned(), Some(hint)));
        }
        Ok(Signal {
            name,
            kind: kind?.0,
            source: source?.map(|source| source.0).unwrap_or_default(),
            at,
            lag,
            ramp,
            rise: rise?.map(|rise| rise.0),
            relax: relax?.map(|relax| relax.0),
            price: price?.0,
            market: market?.0,
            volume: volume?.0.0,
            mentions: mentions?.0.0,
            posts: posts?.0,
            sentiment: sentiment?.0.0,
            searches: searches?.0.0,
            wallets: wallets?.0.0,
            outage: outage?,
            strength: strength?.map(|strength| strength.0),
            go_live,
            confidence: confidence?.0,
            quality: quality?.0,
            echoes: echoes?,
            regions: reached?,
        })
    })?;
    signals.sort_by_key(|signal| signal.at);
    Ok(signals)
}

pub(super) fn feed_faults(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
) -> Result<Vec<FeedFault>, Reported> {
    let mut unique = Names::default();
    let doc = "What is wrong with the feed of signals: it moves what is seen of them (`squall signals`), and no load.";
    table.tables("feed_fault", doc, |table| {
        let name = table.required::<Name>("name", "Name in reports.");
        let from = table.required::<Duration>("from", "Scenario time of its beginning.");
        let until = table.required::<Duration>("until", "Scenario time of its end.");
        let metrics = table.list::<OneOf<Metric>>("metrics", "What it concerns; everything where left out.");
        let delay = table.or("delay", "How much later it is seen.", Duration::ZERO);
        let loss = table.or("loss", "Observations that never arrive.", Share(0.0));
        let noise =
            table.or("noise", "Standard deviation of the error of values, relative to them.", Share(0.0));
        let (name, from, until) = (name?.0.0, from?, until?);
        unique.claim(table, "name", &name)?;
        within(table, "from", from, duration)?;
        if until <= from {
            return Err(table.wrong("until", "`until` must be later than `from`".to_owned(), None));
        }
        let metrics = metrics?.into_iter().map(|metric| metric.into_inner().0).collect();
        Ok(FeedFault { name, from, until, metrics, delay: delay?, loss: loss?.0, noise: noise?.0 })
    })
}

/// When a signal shows, and when trading starts if it is a listing.
fn moments(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
) -> Result<(Duration, Option<Duration>), Reported> {
    let at =
        table.optional::<Duration>("at", "Scenario time at which it shows; a listing has `listing` instead.");
    let listing = table.optional_table("listing", "An exchange listing.", |table| {
        let announce = table.required::<Duration>("announce", "Scenario time of the announcement.");
        let go_live = table.required::<Duration>("go_live", "Scenario time at which trading starts.");
        let (announce, go_live) = (announce?, go_live?);
        if go_live <= announce {
            return Err(table.wrong("go_live", "`go_live` must be later than `announce`".to_owned(), None));
        }
        within(table, "go_live", go_live, duration)?;
        Ok((announce, go_live))
    });
    if table.has("at") && table.has("listing") {
        let hint = "its `announce` says when it shows: leave `at` out".to_owned();
        return Err(table.wrong("at", "a signal has `at` or `listing`, not both".to_owned(), Some(hint)));
    }
    match (at?, listing?) {
        (None, None) => Err(table.miss::<Duration>("at")),
        (Some(at), _) => {
            within(table, "at", at, duration)?;
            Ok((at, None))
        }
        (None, Some((announce, go_live))) => Ok((announce, Some(go_live))),
    }
}

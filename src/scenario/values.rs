//! What single keys of scenarios hold.

use std::time::Duration;

use super::{AbuseKind, Channel, ConfounderKind, Engagement, Event, Kernel, Metric, SignalKind, Via};
use crate::problem::{Choice, OneOf, Shown, Text, bounded, shown};
use crate::unit::{BitRate, ByteSize, Change, Factor, Quantity};

/// What side traffic follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// A kind of attention.
    Attention(Channel),
    /// An event of the funnel.
    Funnel(Event),
}

impl Choice for Follows {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("interest", Self::Attention(Channel::Interest)),
        ("concern", Self::Attention(Channel::Concern)),
        ("visits", Self::Funnel(Event::Visit)),
        ("metadata", Self::Funnel(Event::Metadata)),
        ("starts", Self::Funnel(Event::Start)),
        ("stops", Self::Funnel(Event::Stop)),
    ];
}

/// How an HTTP request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
}

impl Choice for Method {
    const NAMES: &'static [(&'static str, Self)] = &[("GET", Self::Get), ("POST", Self::Post)];
}

impl Choice for Via {
    const NAMES: &'static [(&'static str, Self)] = &[("swarm", Self::Swarm), ("gateway", Self::Gateway)];
}

impl Choice for SignalKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("official", Self::Official),
        ("creator", Self::Creator),
        ("organic", Self::Organic),
        ("market", Self::Market),
    ];
}

impl Choice for Engagement {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("original", Self::Original),
        ("repost", Self::Repost),
        ("comment", Self::Comment),
        ("like", Self::Like),
    ];
}

impl Choice for Metric {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("price", Self::Price),
        ("market", Self::Market),
        ("volume", Self::Volume),
        ("mentions", Self::Mentions),
        ("sentiment", Self::Sentiment),
        ("searches", Self::Searches),
        ("wallets", Self::Wallets),
        ("listing", Self::Listing),
        ("trading", Self::Trading),
        ("outage", Self::Outage),
    ];
}

impl Metric {
    /// The name used in files and feeds.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(self)
    }
}

impl SignalKind {
    /// The name used in files and feeds.
    #[must_use]
    pub fn name(self) -> &'static str {
        name_of(self)
    }
}

/// The name that files use.
fn name_of<C: Choice + PartialEq>(member: C) -> &'static str {
    C::NAMES.iter().find(|(_, other)| *other == member).map_or("", |(name, _)| *name)
}

impl Choice for ConfounderKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("rally", Self::Rally),
        ("exchange-campaign", Self::ExchangeCampaign),
        ("creator-collaboration", Self::CreatorCollaboration),
        ("unrelated-release", Self::UnrelatedRelease),
        ("geography", Self::Geography),
        ("seasonal-cycle", Self::SeasonalCycle),
    ];
}

impl Choice for AbuseKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("index", Self::Index),
        ("metadata", Self::Metadata),
        ("announce", Self::Announce),
        ("dht", Self::Dht),
        ("dht-crawl", Self::DhtCrawl),
        ("dns", Self::Dns),
        ("pieces", Self::Pieces),
    ];
}

impl Choice for Kernel {
    const NAMES: &'static [(&'static str, Self)] =
        &[("exponential", Self::Exponential), ("power-law", Self::PowerLaw)];
}

impl<C: Choice + PartialEq> Shown for OneOf<C> {
    fn shown(&self) -> String {
        format!("\"{}\"", name_of(self.0))
    }
}

bounded! {
    /// A file beside the scenario.
    pub(super) FilePath(Text): "a path relative to this file", "\"../profiles/clients.toml\"", |_| true;
    /// A reference to a region of the audience.
    pub(super) RegionName(Text): "the name of a region", "\"asia\"", |_| true;
    /// A multiple that has a logarithm.
    pub(super) PositiveFactor(Factor): "a multiple of normal above 0", Factor::FORMS, |it| it.0 > 0.0;
    /// An effect on attention.
    pub(super) Strength(f64): "a strength from 0 to 1000 (1 doubles the base)", "2 or 0.5", |it| (0.0..=1e3).contains(it);
    /// A mood between two ends.
    pub(super) Mood(Change): "a mood from -100% to +100%, with its sign", "\"-40%\"", |it| it.0 <= 1.0;
    /// A multiple of the market's move.
    pub(super) Beta(f64): "a multiple from 0 to 100", "2", |it| (0.0..=1e2).contains(it);
    /// An exponent of a relaxation or of a popularity.
    pub(super) Exponent(f64): "an exponent from 0 to 5", "0.8", |it| (0.0..=5.0).contains(it);
    /// A branching ratio; at 1 a cascade would never end.
    pub(super) Branching(f64): "a branching ratio from 0 up to, but not, 1", "0.3", |it| (0.0..1.0).contains(it);
    /// A local time of day, in hours.
    pub(super) Hour(f64): "an hour of the day from 0 up to, but not, 24", "20 or 20.5", |it| (0.0..24.0).contains(it);
    /// Requests that come with one event.
    pub(super) Each(f64): "a number above 0 and at most 100", "0.3 or 2", |it| *it > 0.0 && *it <= 100.0;
    /// A document that is sent.
    pub(super) Json(Text): "a JSON document on one line", "'{\"jsonrpc\":\"2.0\",\"method\":\"getBalance\",\"id\":1}'",
        |it| serde_json::from_str::<serde::de::IgnoredAny>(&it.0).is_ok();
    /// A bandwidth that lets something through.
    pub(super) Bandwidth(BitRate): "a bandwidth above 0", BitRate::FORMS, |it| it.0 > 0.0;
    /// Connections, at least one.
    pub(super) Connections(u32): "a number of connections above 0", "4000", |it| *it > 0;
    /// A delay that relays know.
    pub(super) Delay(Duration): "a duration of at most an hour", Duration::FORMS, |it| *it <= Duration::from_secs(3600);
    /// Operations served at a time.
    pub(super) Servers(u32): "a number of servers above 0", "8", |it| *it > 0;
    /// Things of which a page or a visitor has a few.
    pub(super) Few(u32): "a whole number from 0 to 100", "3", |it| *it <= 100;
    /// Connections that are kept.
    pub(super) KeptConnections(u32): "a whole number from 1 to 65536", "64", |it| (1..=65_536).contains(it);
    /// Items of a content class.
    pub(super) Items(u32): "a whole number from 1 to 65536", "4", |it| (1..=65_536).contains(it);
    /// A size of something that can be fetched.
    pub(super) Size(ByteSize): "a size from 1 B to 1 TiB", ByteSize::FORMS, |it| (1..=1 << 40).contains(&it.0);
}

shown!(Strength => |it| it.0, Exponent => |it| it.0, Branching => |it| it.0, Few => |it| it.0,
    Hour => |it| it.0, Beta => |it| it.0, Mood => |it| it.0.shown(), PositiveFactor => |it| it.0.shown());

//! What single keys of scenarios hold.

use super::{AbuseKind, Channel, ConfounderKind, Kernel, SignalKind};
use crate::problem::{Choice, OneOf, Shown, Text, bounded, shown};
use crate::unit::{ByteSize, Change, Factor, Quantity};

impl Choice for Channel {
    const NAMES: &'static [(&'static str, Self)] =
        &[("interest", Self::Interest), ("concern", Self::Concern)];
}

impl Choice for SignalKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("official", Self::Official),
        ("creator", Self::Creator),
        ("organic", Self::Organic),
        ("market", Self::Market),
    ];
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
    ];
}

impl Choice for Kernel {
    const NAMES: &'static [(&'static str, Self)] =
        &[("exponential", Self::Exponential), ("power-law", Self::PowerLaw)];
}

impl<C: Choice + PartialEq> Shown for OneOf<C> {
    fn shown(&self) -> String {
        let name = C::NAMES.iter().find(|(_, member)| *member == self.0).map_or("", |(name, _)| *name);
        format!("\"{name}\"")
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
    /// Things of which a page or a visitor has a few.
    pub(super) Few(u32): "a whole number from 0 to 100", "3", |it| *it <= 100;
    /// Items of a content class.
    pub(super) Items(u32): "a whole number from 1 to 65536", "4", |it| (1..=65_536).contains(it);
    /// A size of something that can be fetched.
    pub(super) Size(ByteSize): "a size from 1 B to 1 TiB", ByteSize::FORMS, |it| (1..=1 << 40).contains(&it.0);
}

shown!(Strength => |it| it.0, Exponent => |it| it.0, Branching => |it| it.0, Few => |it| it.0,
    Hour => |it| it.0, Beta => |it| it.0, Mood => |it| it.0.shown(), PositiveFactor => |it| it.0.shown());

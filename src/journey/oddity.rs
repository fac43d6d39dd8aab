//! What is noticed about answers beyond a failure's cause.

use serde::{Deserialize, Serialize};

/// What is wrong, or odd, about an answer. Those that [fail](Oddity::fails) an operation end it with [`super::Cause::Incorrect`], or with
/// [`super::Cause::Malformed`] where it broke the protocol, and say why; the others are counted only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// More peers, or more DHT nodes, than were asked for.
    TooMany,
    /// A peer that cannot be in this swarm.
    Stranger,
    /// A peer that had left before the question was asked.
    Stale,
    /// Nobody but the asker, though others are known to be there.
    OnlyOneself,
    /// Fewer seeds than are known to be there, or more than there can be.
    Seeds,
    /// Fewer leeches than are known to be there, or more than there can be.
    Leeches,
    /// An interval that no client could obey.
    Interval,
    /// The asker's own address among others: several common trackers answer so.
    Oneself,
    /// An answer to a request that was given up.
    Late,
    /// One more answer than requests.
    Duplicate,
    /// An answer to nothing that was asked.
    Unasked,
    /// A datagram too short to say what it answers.
    Broken,
    /// The tracker answered with a warning.
    Warning,
    /// An answer from another address than was asked: not taken.
    OtherSource,
    /// A DHT node that calls itself otherwise than it was named.
    OtherId,
    /// A DHT node whose id its address does not allow (BEP 42).
    InsecureId,
    /// A DHT node that gave no token to a lookup that needs one to announce.
    NoToken,
    /// An id, a node or a peer of a wrong length.
    Length,
}

impl Oddity {
    /// Every oddity.
    pub const ALL: [Self; 18] = [
        Self::TooMany,
        Self::Stranger,
        Self::Stale,
        Self::OnlyOneself,
        Self::Seeds,
        Self::Leeches,
        Self::Interval,
        Self::Oneself,
        Self::Late,
        Self::Duplicate,
        Self::Unasked,
        Self::Broken,
        Self::Warning,
        Self::OtherSource,
        Self::OtherId,
        Self::InsecureId,
        Self::NoToken,
        Self::Length,
    ];

    /// The name used in files, tables and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooMany => "too-many",
            Self::Stranger => "stranger",
            Self::Stale => "stale",
            Self::OnlyOneself => "only-oneself",
            Self::Seeds => "seeds",
            Self::Leeches => "leeches",
            Self::Interval => "interval",
            Self::Oneself => "oneself",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Unasked => "unasked",
            Self::Broken => "broken",
            Self::Warning => "warning",
            Self::OtherSource => "other-source",
            Self::OtherId => "other-id",
            Self::InsecureId => "insecure-id",
            Self::NoToken => "no-token",
            Self::Length => "length",
        }
    }

    /// Whether an answer with it is wrong.
    #[must_use]
    pub const fn fails(self) -> bool {
        match self {
            Self::TooMany
            | Self::Stranger
            | Self::Stale
            | Self::OnlyOneself
            | Self::Seeds
            | Self::Leeches
            | Self::Interval
            | Self::OtherId
            | Self::NoToken
            | Self::Length => true,
            Self::Oneself
            | Self::Late
            | Self::Duplicate
            | Self::Unasked
            | Self::Broken
            | Self::Warning
            | Self::OtherSource
            | Self::InsecureId => false,
        }
    }
}

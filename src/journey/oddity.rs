//! What is noticed about answers beyond a failure's cause.

use serde::{Deserialize, Serialize};

/// What is wrong, or odd, about an answer. Those that [fail](Oddity::fails) an operation end it with [`super::Cause::Incorrect`] and say
/// why; the others are counted only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Oddity {
    /// More peers than were asked for.
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
}

impl Oddity {
    /// Every oddity.
    pub const ALL: [Self; 13] = [
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
            | Self::Interval => true,
            Self::Oneself | Self::Late | Self::Duplicate | Self::Unasked | Self::Broken | Self::Warning => {
                false
            }
        }
    }
}

//! The names of the layers.

use std::fmt;

/// A part of the fleet that can saturate on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Index,
    Metadata,
    Tracker,
    Dht,
    Seedbox,
}

impl Layer {
    pub(crate) const ALL: [Self; 5] = [Self::Index, Self::Metadata, Self::Tracker, Self::Dht, Self::Seedbox];

    /// The name in arguments, profiles and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Metadata => "metadata",
            Self::Tracker => "tracker",
            Self::Dht => "dht",
            Self::Seedbox => "seedbox",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|layer| layer.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

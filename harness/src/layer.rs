//! The names of the layers.

use std::fmt;

/// A process of the testbed: a part of the fleet that can saturate on its own, or what stands before all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Index,
    Metadata,
    Tracker,
    Dht,
    Seedbox,
    /// The relays.
    Shape,
}

impl Layer {
    /// The layers of the fleet.
    pub(crate) const FLEET: [Self; 5] =
        [Self::Index, Self::Metadata, Self::Tracker, Self::Dht, Self::Seedbox];

    /// The name in arguments, profiles and messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Metadata => "metadata",
            Self::Tracker => "tracker",
            Self::Dht => "dht",
            Self::Seedbox => "seedbox",
            Self::Shape => "shape",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::FLEET.into_iter().chain([Self::Shape]).find(|layer| layer.name() == name)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! A visitor's download: its milestones, and what downloads are told apart by.

use crate::unit::Tick;

/// What downloads, and the visitors' part in the swarms, are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// Class of the content, as an index into the catalogue.
    pub class: u16,
    /// Access line of the visitor, as an index into the mix.
    pub access: u8,
}

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// The visitor wants it: at its due moment, whenever the generator comes to it.
    Begun,
    /// The first piece is whole and checked.
    FirstPiece,
    /// Nothing of it follows.
    Ended(Fate),
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// With all of the content.
    Complete,
    /// With as much as the visitor wanted, which is less than all.
    Enough,
    /// After the last try that the visitor makes.
    GaveUp,
    /// With the run.
    Cut,
}

/// A milestone of a download, of a swarm or through a gateway. Times are from `due`, so that a generator or a target that holds up the
/// beginning is not forgiven (coordinated omission).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Download {
    /// When the transfer was intended to begin: as planned, or when what it depends on had ended.
    pub due: Tick,
    /// When the milestone was reached.
    pub at: Tick,
    /// Which.
    pub reached: Milestone,
}

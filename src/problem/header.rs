//! The first two keys of every file: the version of the format, and what the file is.

use super::reader::{Reported, read_some};
use super::value::{Choice, OneOf, bounded};
use super::{Problem, Table};

/// What a file describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileKind {
    /// A day to rehearse.
    Scenario,
    /// A fleet under load.
    Target,
    /// A mix of BitTorrent clients.
    Clients,
    /// A mix of access lines.
    Access,
    /// A model of a fleet: queues.
    Model,
    /// What a fleet promises.
    Envelope,
}

/// The version of the format that this program reads.
const VERSION: u32 = 1;

bounded! {
    /// The version of a file format.
    Version(u32): "a whole number", "1", |_| true;
}

impl Choice for FileKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("scenario", Self::Scenario),
        ("target", Self::Target),
        ("clients", Self::Clients),
        ("access", Self::Access),
        ("model", Self::Model),
        ("envelope", Self::Envelope),
    ];
}

impl FileKind {
    /// The name that files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// What the file says that it is.
    ///
    /// # Errors
    /// The text is not TOML, or it does not say.
    pub fn of(text: &str) -> Result<Self, Vec<Problem>> {
        read_some(text, |table| table.required::<OneOf<Self>>("kind", KIND).map(|kind| kind.0))
    }
}

const KIND: &str = "What the file describes.";

/// Reads the header of a file that should be of `kind`.
///
/// # Errors
/// The file is of another version or another kind: the rest would only give follow-on errors. (A missing header does not hide the rest.)
pub(super) fn header(table: &mut Table<'_>, kind: FileKind) -> Result<(), Reported> {
    let version = table.required::<Version>("squall", "Version of the file format, 1.");
    let found = table.required::<OneOf<FileKind>>("kind", KIND);
    if let Ok(Version(other)) = version
        && other != VERSION
    {
        let message =
            format!("this file is written in format {other}, and this program reads format {VERSION}");
        return Err(table.wrong("squall", message, None));
    }
    match found {
        Ok(OneOf(other)) if other != kind => {
            let message = format!("this file is of kind `{}`, not `{}`", other.name(), kind.name());
            Err(table.wrong("kind", message, None))
        }
        _ => Ok(()),
    }
}

//! `squall schema FORMAT`: what an editor needs to complete and check files, and a program to read them.

use clap::ValueEnum;
use clap::builder::PossibleValue;
use schemars::generate::SchemaSettings;

use crate::analysis::search::Capacities;
use crate::analysis::{Checkup, Summary};
use crate::model::ModelTarget;
use crate::problem::{self, FileKind};
use crate::{profile, scenario};

/// A format that has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// A file that people write.
    File(FileKind),
    /// Any profile: whichever its `kind` says.
    Profile,
    /// `summary.json` of a run directory.
    Summary,
    /// What `squall doctor` found.
    Doctor,
    /// What `squall search` found.
    Search,
}

impl SchemaOf {
    /// The name that the command line and the files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File(kind) => kind.name(),
            Self::Profile => "profile",
            Self::Summary => "summary",
            Self::Doctor => "doctor",
            Self::Search => "search",
        }
    }
}

impl ValueEnum for SchemaOf {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::File(FileKind::Scenario),
            Self::Profile,
            Self::File(FileKind::Target),
            Self::File(FileKind::Clients),
            Self::File(FileKind::Access),
            Self::File(FileKind::Model),
            Self::File(FileKind::Envelope),
            Self::Summary,
            Self::Doctor,
            Self::Search,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::File(kind) => kind.to_possible_value(),
            Self::Profile => Some(PossibleValue::new(self.name()).help("Any of the five that follow")),
            Self::Summary => {
                Some(PossibleValue::new(self.name()).help("The verdict of a run, `summary.json`"))
            }
            Self::Doctor => Some(PossibleValue::new(self.name()).help("What `squall doctor` found")),
            Self::Search => Some(PossibleValue::new(self.name()).help("What `squall search` found")),
        }
    }
}

/// The kinds of files that are called profiles.
const PROFILES: [FileKind; 5] =
    [FileKind::Target, FileKind::Clients, FileKind::Access, FileKind::Model, FileKind::Envelope];

/// The JSON Schema (2020-12) of a format. Ends with a newline.
#[must_use]
pub fn schema(of: SchemaOf) -> String {
    let schema = match of {
        SchemaOf::File(kind) => problem::schema(kind, &keys(kind)),
        SchemaOf::Profile => {
            let each = PROFILES.map(|kind| problem::schema(kind, &keys(kind)));
            serde_json::json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": each })
        }
        SchemaOf::Summary => written::<Summary>(),
        SchemaOf::Doctor => written::<Checkup>(),
        SchemaOf::Search => written::<Capacities>(),
    };
    format!("{schema:#}\n")
}

/// Derived from the very type that is written.
fn written<T: schemars::JsonSchema>() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>().to_value()
}

fn keys(kind: FileKind) -> Vec<problem::Description> {
    match kind {
        FileKind::Scenario => scenario::keys(),
        FileKind::Target => profile::target_keys(),
        FileKind::Clients => profile::clients_keys(),
        FileKind::Access => profile::access_keys(),
        FileKind::Model => ModelTarget::keys(),
        FileKind::Envelope => profile::envelope_keys(),
    }
}

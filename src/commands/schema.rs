//! `squall schema KIND`: what an editor needs to complete and check files.

use crate::model::ModelTarget;
use crate::problem::{self, FileKind};
use crate::{profile, scenario};

/// The JSON Schema (2020-12) of files of a kind. Ends with a newline.
#[must_use]
pub fn schema(of: FileKind) -> String {
    let keys = match of {
        FileKind::Scenario => scenario::keys(),
        FileKind::Target => profile::target_keys(),
        FileKind::Clients => profile::clients_keys(),
        FileKind::Access => profile::access_keys(),
        FileKind::Model => ModelTarget::keys(),
    };
    format!("{:#}\n", problem::schema(of, &keys))
}

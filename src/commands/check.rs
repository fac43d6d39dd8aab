//! `squall check FILE...`: reads files and says what is wrong with them.

use std::path::{Path, PathBuf};

use crate::model::ModelTarget;
use crate::problem::{FileKind, Report, SourceFile};
use crate::{profile, scenario};

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// What to print: a line for each good file, every problem of the others, and a count. Ends with a newline.
    pub text: String,
    /// Whether all files are good.
    pub ok: bool,
}

/// Checks scenarios (with the profiles that they name), target profiles and mixes; each file says what it is.
#[must_use]
pub fn check(paths: &[PathBuf], color: bool) -> CheckResult {
    let mut good = String::new();
    let mut wrong = Report::default();
    for path in paths {
        match check_file(path) {
            Ok(kind) => {
                good.push_str(&format!("{}: a good file of kind `{}`\n", path.display(), kind.name()))
            }
            Err(report) => wrong.merge(report),
        }
    }
    let problems = match wrong.len() {
        0 => String::new(),
        1 => format!("{}\n1 problem\n", wrong.render(color)),
        many => format!("{}\n{many} problems\n", wrong.render(color)),
    };
    CheckResult { text: good + &problems, ok: wrong.is_empty() }
}

fn check_file(path: &Path) -> Result<FileKind, Report> {
    let file = SourceFile::load(path)?;
    let kind = FileKind::of(&file.text).map_err(|problems| Report::of(file.clone(), problems))?;
    match kind {
        FileKind::Scenario => scenario::parse(file, &mut SourceFile::open).map(drop),
        FileKind::Target => profile::Target::of(file).map(drop),
        FileKind::Clients => {
            profile::parse_clients(&file.text).map(drop).map_err(|problems| Report::of(file, problems))
        }
        FileKind::Access => {
            profile::parse_access(&file.text).map(drop).map_err(|problems| Report::of(file, problems))
        }
        FileKind::Model => ModelTarget::of(file).map(drop),
        FileKind::Envelope => {
            profile::parse_envelope(&file.text).map(drop).map_err(|problems| Report::of(file, problems))
        }
    }?;
    Ok(kind)
}

//! Reading a scenario file and the profiles that it names.

use std::io;
use std::path::Path;

use crate::problem::{
    Description, FileKind, Problem, Report, Reported, SourceFile, Table, describe, plain, read,
};
use crate::profile::Mix;

use super::Scenario;
use super::spec::scenario;
use super::values::FilePath;

/// A scenario, and every file that it was read from: itself first, then its profiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What the files mean.
    pub scenario: Scenario,
    /// What they say.
    pub files: Vec<SourceFile>,
}

/// Reads a scenario file and the profiles that it names.
///
/// # Errors
/// A file cannot be read, or everything that is wrong with any of them.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let file = SourceFile::load(path)?;
    parse(file, &mut SourceFile::open)
}

/// As [`load`], with the profiles read by `open`.
///
/// # Errors
/// As [`load`].
pub fn parse(
    file: SourceFile,
    open: &mut dyn FnMut(&Path) -> io::Result<SourceFile>,
) -> Result<Loaded, Report> {
    let directory = file.path.parent().unwrap_or(Path::new("")).to_owned();
    let mut profiles = Profiles { directory: &directory, open, files: Vec::new(), report: Report::default() };
    let result = read(&file.text, FileKind::Scenario, |table| scenario(table, &mut profiles));
    let Profiles { files: mut profile_files, report: profile_report, .. } = profiles;
    match result {
        Ok(scenario) => {
            let mut files = vec![file];
            files.append(&mut profile_files);
            Ok(Loaded { scenario, files })
        }
        Err(problems) => {
            let mut report = Report::of(file, problems);
            report.merge(profile_report);
            Err(report)
        }
    }
}

/// Every key of a scenario file.
#[must_use]
pub fn keys() -> Vec<Description> {
    let open = &mut |_: &Path| Err(io::ErrorKind::NotFound.into());
    let mut profiles =
        Profiles { directory: Path::new(""), open, files: Vec::new(), report: Report::default() };
    describe(FileKind::Scenario, |table| scenario(table, &mut profiles))
}

/// The profiles that a scenario names.
pub(super) struct Profiles<'a> {
    /// What paths are relative to.
    directory: &'a Path,
    open: &'a mut dyn FnMut(&Path) -> io::Result<SourceFile>,
    files: Vec<SourceFile>,
    report: Report,
}

impl Profiles<'_> {
    /// Reads the mix whose path is the value of `key`.
    pub(super) fn mix<T>(
        &mut self,
        table: &mut Table<'_>,
        key: &'static str,
        doc: &'static str,
        parse: fn(&str) -> Result<Mix<T>, Vec<Problem>>,
    ) -> Result<Mix<T>, Reported> {
        let path = self.directory.join(table.required::<FilePath>(key, doc)?.0.0);
        let file = (self.open)(&path).map_err(|error| {
            let hint = "the path is relative to the directory of this file".to_owned();
            table.wrong(key, format!("cannot read `{}`: {}", path.display(), plain(&error)), Some(hint))
        })?;
        match parse(&file.text) {
            Ok(mix) => {
                self.files.push(file);
                Ok(mix)
            }
            Err(problems) => {
                self.report.add(file, problems);
                Err(Reported::elsewhere())
            }
        }
    }
}

#[cfg(test)]
mod tests;

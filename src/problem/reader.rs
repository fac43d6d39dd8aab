//! A strict reader of TOML.
//!
//! Not serde: its first error ends the reading, and this reader reports all of them, each with its place. The functions that read a
//! table ask for every key first and only then give up (`?`), so that no problem hides another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::de::DeTable;

use super::header::header;
use super::source::position;
use super::{Description, FileKind, Problem, Table};

/// Proof that a problem was reported: whoever has none to report has a value to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported(());

impl Reported {
    /// For a problem that another table or the report on another file accounts for.
    pub(crate) const fn elsewhere() -> Self {
        Self(())
    }
}

/// Reads a file of a kind: its header, then the rest by `read`.
///
/// # Errors
/// Everything that is wrong with the text. Empty where `read` gave up for a reason that lies in another file.
pub fn read<T>(
    text: &str,
    kind: FileKind,
    read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
) -> Result<T, Vec<Problem>> {
    read_some(text, |table| {
        header(table, kind)?;
        let value = read(table);
        table.report_unknown();
        value
    })
}

/// Runs `read` over the text's top level and does not mind keys that it does not ask for.
pub(super) fn read_some<T>(
    text: &str,
    read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
) -> Result<T, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax(text, &errors));
    }
    let sink = Sink { text, ..Sink::default() };
    let mut table = Table::new(document.get_ref(), 0..0, String::new(), &sink);
    let value = read(&mut table);
    table.report_missing();
    let problems = sink.problems.into_inner();
    match value {
        Ok(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

/// Every key that `read` asks for, in its order: it reads an empty document and what it asks for is noted. The reading function is the
/// description, so that the two cannot disagree.
pub fn describe<T>(
    kind: FileKind,
    read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
) -> Vec<Description> {
    let nothing = DeTable::new();
    let sink = Sink { described: Some(RefCell::default()), ..Sink::default() };
    let mut table = Table::new(&nothing, 0..0, String::new(), &sink);
    // Both give up, for want of every key; the description is all that is wanted.
    let _ = header(&mut table, kind);
    let _ = read(&mut table);
    sink.described.map(RefCell::into_inner).unwrap_or_default()
}

/// Syntax errors, one a line: after an error the parser guesses, and what it finds on the same line is often its own doing. For the same
/// reason nothing else is checked in a file with syntax errors.
fn syntax(text: &str, errors: &[toml::de::Error]) -> Vec<Problem> {
    let mut problems: BTreeMap<usize, Problem> = BTreeMap::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        let (line, _) = position(text, span.start);
        let problem = Problem { span, message: format!("not TOML: {}", error.message()), hint: None };
        problems.entry(line).or_insert(problem);
    }
    problems.into_values().collect()
}

/// Where all tables of a document note what they find.
#[derive(Default)]
pub(super) struct Sink<'r> {
    pub(super) text: &'r str,
    problems: RefCell<Vec<Problem>>,
    /// Where the keys that are asked for are noted, if anybody wants to know.
    pub(super) described: Option<RefCell<Vec<Description>>>,
}

impl Sink<'_> {
    pub(super) fn report(&self, span: Range<usize>, message: String, hint: Option<String>) -> Reported {
        self.problems.borrow_mut().push(Problem { span, message, hint });
        Reported(())
    }
}

/// The names of one kind of thing, each once.
#[derive(Debug, Default)]
pub struct Names {
    places: BTreeMap<String, Range<usize>>,
}

impl Names {
    /// Takes the name that `key` of `table` holds.
    ///
    /// # Errors
    /// It is taken.
    pub fn claim(&mut self, table: &Table<'_>, key: &str, name: &str) -> Result<(), Reported> {
        if let Some(place) = self.places.get(name) {
            let (line, _) = position(table.text(), place.start);
            let message = format!("`{key}` is \"{name}\" a second time");
            return Err(table.wrong(key, message, Some(format!("line {line} has it already"))));
        }
        self.places.insert(name.to_owned(), table.span(key));
        Ok(())
    }
}

/// All the values, or a report if one is missing; unlike `collect`, every item is looked at.
pub(super) fn all<T>(values: impl Iterator<Item = Result<T, Reported>>) -> Result<Vec<T>, Reported> {
    let values: Vec<Result<T, Reported>> = values.collect();
    values.into_iter().collect()
}

//! What is wrong with a file, and all of it at once.
//!
//! [`Table`] reads a TOML document key by key and notes every problem with its place; [`Report`] renders the problems of several files.

mod describe;
mod header;
mod hint;
mod reader;
mod report;
mod schema;
mod source;
mod table;
mod value;

pub use describe::{Description, Form, Presence};
pub use header::FileKind;
pub use reader::{Names, Reported, describe, read};
pub use report::Report;
pub(crate) use report::plain;
pub use schema::schema;
pub use source::SourceFile;
pub use table::Table;
pub use value::{Choice, Moment, Name, OneOf, PositiveDuration, PositiveRate, Shown, Text, UrlPath, Value};
pub(crate) use value::{bounded, shown};

/// One thing wrong with one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Byte range in the file's text; empty at the place where something is missing.
    pub span: std::ops::Range<usize>,
    /// What is wrong, one line.
    pub message: String,
    /// The way out, one line ("did you mean `volume`?").
    pub hint: Option<String>,
}

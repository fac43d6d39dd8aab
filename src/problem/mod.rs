//! What is wrong with a file, and all of it at once.

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

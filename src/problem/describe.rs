//! What a format consists of, told by the code that reads it.

/// A key of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its place, `audience.region[].share`.
    pub path: String,
    /// What it is, with article and range.
    pub noun: String,
    /// How it is written; empty for tables.
    pub forms: String,
    /// Whether it must be there.
    pub presence: Presence,
    /// What it means, one sentence.
    pub doc: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It may be left out, which means something of its own.
    Optional,
    /// It may be left out, which means this.
    Default(String),
}

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
    /// What TOML has for it.
    pub form: Form,
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

/// What TOML has for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table.
    Table,
    /// An array of tables.
    Tables,
    /// An array of values of one form.
    List(Box<Self>),
    /// True or false.
    Boolean,
    /// Any number.
    Number,
    /// A whole number.
    Integer {
        /// The smallest.
        least: i64,
        /// The greatest.
        most: i64,
    },
    /// A text, or a number where that may stand for it.
    Text {
        /// A regular expression (ECMA-262) that every accepted text matches.
        pattern: Option<&'static str>,
        /// Whether a number may stand for it.
        or_number: bool,
    },
    /// One of these texts.
    Choice(Vec<&'static str>),
    /// A date and time.
    Moment,
}

impl Form {
    /// Any text.
    pub const TEXT: Self = Self::Text { pattern: None, or_number: false };
}

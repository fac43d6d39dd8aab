//! A table under reading.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::hint::{did_you_mean, nearest};
use super::reader::{Reported, Sink, all};
use super::{Description, Form, Presence, Shown, Value};

const A_TABLE: &str = "a table";
const AN_ARRAY: &str = "an array of tables";

/// What is asked for under a key.
struct Asked {
    noun: String,
    forms: String,
    form: Form,
}

impl Asked {
    fn value<T: Value>() -> Self {
        Self { noun: T::noun(), forms: T::forms(), form: T::form() }
    }

    fn list<T: Value>() -> Self {
        let noun = format!("a list, each {}", T::noun());
        Self { noun, forms: T::forms(), form: Form::List(Box::new(T::form())) }
    }

    fn table() -> Self {
        Self { noun: A_TABLE.to_owned(), forms: String::new(), form: Form::Table }
    }

    fn tables() -> Self {
        Self { noun: AN_ARRAY.to_owned(), forms: String::new(), form: Form::Tables }
    }
}

/// A table of the document under reading.
pub struct Table<'r> {
    content: &'r DeTable<'r>,
    /// Where it begins: what is missing is missing here.
    place: Range<usize>,
    /// Its name, `audience.region[]`; empty for the top level.
    path: String,
    asked: Vec<&'static str>,
    /// Required keys that are not there, and how they are written.
    missing: Vec<(&'static str, String)>,
    sink: &'r Sink<'r>,
}

impl<'r> Table<'r> {
    pub(super) fn new(
        content: &'r DeTable<'r>,
        place: Range<usize>,
        path: String,
        sink: &'r Sink<'r>,
    ) -> Self {
        Self { content, place, path, asked: Vec::new(), missing: Vec::new(), sink }
    }

    /// A key that must be there.
    ///
    /// # Errors
    /// It is missing, or its value is none of these.
    pub fn required<T: Value>(&mut self, key: &'static str, doc: &'static str) -> Result<T, Reported> {
        self.ask(key, doc, Asked::value::<T>(), Presence::Required);
        match self.value(key)? {
            Some(value) => Ok(value),
            None => Err(self.miss::<T>(key)),
        }
    }

    /// A key that may be left out.
    ///
    /// # Errors
    /// It is there and its value is none of these.
    pub fn optional<T: Value>(
        &mut self,
        key: &'static str,
        doc: &'static str,
    ) -> Result<Option<T>, Reported> {
        self.ask(key, doc, Asked::value::<T>(), Presence::Optional);
        self.value(key)
    }

    /// A key that means `default` where it is left out.
    ///
    /// # Errors
    /// It is there and its value is none of these.
    pub fn or<T: Shown>(&mut self, key: &'static str, doc: &'static str, default: T) -> Result<T, Reported> {
        self.ask(key, doc, Asked::value::<T>(), Presence::Default(default.shown()));
        Ok(self.value(key)?.unwrap_or(default))
    }

    /// A list of values; empty where it is left out.
    ///
    /// # Errors
    /// It is no list, or one of its values is none of these.
    pub fn list<T: Value>(
        &mut self,
        key: &'static str,
        doc: &'static str,
    ) -> Result<Vec<Spanned<T>>, Reported> {
        self.values(key, doc, Presence::Optional).map(Option::unwrap_or_default)
    }

    /// A list of values, at least one.
    ///
    /// # Errors
    /// As [`Table::list`], or it is missing or empty.
    pub fn filled_list<T: Value>(
        &mut self,
        key: &'static str,
        doc: &'static str,
    ) -> Result<Vec<Spanned<T>>, Reported> {
        let values = self.values(key, doc, Presence::Required)?;
        self.filled(
            key,
            values,
            format!("write `{key} = [...]`, each {}, for example {}", T::noun(), T::forms()),
        )
    }

    /// A table that must be there.
    ///
    /// # Errors
    /// It is missing, or something in it is wrong.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        match self.nested(key, doc, Presence::Required, read)? {
            Some(value) => Ok(value),
            None => Err(self.absent(key, format!("add `[{}]`", self.name_of(key)))),
        }
    }

    /// A table that may be left out.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<Option<T>, Reported> {
        self.nested(key, doc, Presence::Optional, read)
    }

    /// A table all of whose keys may be left out, and so may it.
    ///
    /// # Errors
    /// Something in it is wrong.
    pub fn table_of_defaults<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        self.ask(key, doc, Asked::table(), Presence::Optional);
        match self.content.get(key) {
            Some(value) => self.enter(value, key, self.name_of(key), read),
            None => read(&mut Table::new(&DeTable::new(), self.place.clone(), self.name_of(key), self.sink)),
        }
    }

    /// An array of tables; empty where it is left out.
    ///
    /// # Errors
    /// It is something else, or something in one of them is wrong.
    pub fn tables<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        read: impl FnMut(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<Vec<T>, Reported> {
        self.array(key, doc, Presence::Optional, read).map(Option::unwrap_or_default)
    }

    /// An array of tables, at least one.
    ///
    /// # Errors
    /// As [`Table::tables`], or there is none.
    pub fn filled_tables<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        read: impl FnMut(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<Vec<T>, Reported> {
        let values = self.array(key, doc, Presence::Required, read)?;
        self.filled(key, values, format!("add `[[{}]]`", self.name_of(key)))
    }

    /// Whether the key is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.content.contains_key(key)
    }

    /// Where the key's value stands; where the table begins if it has none.
    #[must_use]
    pub fn span(&self, key: &str) -> Range<usize> {
        self.content.get(key).map_or_else(|| self.place.clone(), Spanned::span)
    }

    /// The whole document.
    pub(super) fn text(&self) -> &str {
        self.sink.text
    }

    /// Whether there are keys that were not asked for so far.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        self.unknown().next().is_some()
    }

    /// Notes that a key that must be there is not. It is reported when the table is closed: the key may be there under a misspelt name.
    pub fn miss<T: Value>(&mut self, key: &'static str) -> Reported {
        self.absent(key, format!("add `{key}`, {}, for example {}", T::noun(), T::forms()))
    }

    /// Reports something wrong with the table as a whole.
    pub fn wrong_here(&self, message: String, hint: Option<String>) -> Reported {
        self.wrong_at(self.place.clone(), message, hint)
    }

    /// Reports something wrong with the value of a key, or with the table if it has no such key.
    pub fn wrong(&self, key: &str, message: String, hint: Option<String>) -> Reported {
        self.wrong_at(self.span(key), message, hint)
    }

    /// Reports something wrong with a place of the document.
    pub fn wrong_at(&self, span: Range<usize>, message: String, hint: Option<String>) -> Reported {
        self.sink.report(span, message, hint)
    }

    /// Reports a reference to something that is not there, with what is there instead.
    pub fn dangling<'c>(
        &self,
        span: Range<usize>,
        written: &str,
        what: &str,
        there: impl IntoIterator<Item = &'c str> + Clone,
    ) -> Reported {
        self.wrong_at(span, format!("there is no {what} `{written}`"), did_you_mean(written, there))
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn report_unknown(&mut self) {
        let unknown: Vec<_> = self.unknown().collect();
        for key in unknown {
            let written = key.get_ref();
            let unused = self.asked.iter().copied().filter(|asked| !self.content.contains_key(*asked));
            // A required key that is only misspelt is not missing as well.
            if let Some(meant) = nearest(written, unused.clone()) {
                self.missing.retain(|(missing, _)| *missing != meant);
            }
            let message = format!("unknown key `{written}`{}", self.inside());
            self.sink.report(key.span(), message, did_you_mean(written, unused));
        }
    }

    /// Reports the keys that must be there and are not.
    pub(super) fn report_missing(&mut self) {
        for (key, hint) in std::mem::take(&mut self.missing) {
            self.sink.report(self.place.clone(), format!("`{key}` is missing{}", self.inside()), Some(hint));
        }
    }

    fn unknown(&self) -> impl Iterator<Item = &'r Spanned<DeString<'r>>> {
        self.content.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref()))
    }

    fn inside(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) }
    }

    /// The full name of a key.
    fn name_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Notes that a key was asked for.
    fn ask(&mut self, key: &'static str, doc: &'static str, asked: Asked, presence: Presence) {
        self.asked.push(key);
        if let Some(described) = &self.sink.described {
            let Asked { noun, forms, form } = asked;
            let path = self.name_of(key);
            described.borrow_mut().push(Description { path, noun, forms, form, presence, doc });
        }
    }

    fn absent(&mut self, key: &'static str, hint: String) -> Reported {
        self.missing.push((key, hint));
        Reported::elsewhere()
    }

    fn value<T: Value>(&self, key: &str) -> Result<Option<T>, Reported> {
        self.content.get(key).map(|value| self.convert(key, value)).transpose()
    }

    fn convert<T: Value>(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<T, Reported> {
        let written = value.get_ref();
        T::from_toml(written).ok_or_else(|| {
            self.wrong_at(value.span(), format!("`{key}` must be {}", T::noun()), Some(T::hint(written)))
        })
    }

    fn values<T: Value>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        presence: Presence,
    ) -> Result<Option<Vec<Spanned<T>>>, Reported> {
        self.ask(key, doc, Asked::list::<T>(), presence);
        let Some(value) = self.content.get(key) else {
            return Ok(None);
        };
        let Some(array) = value.get_ref().as_array() else {
            let (message, hint) =
                (format!("`{key}` must be a list"), format!("write [...], each {}", T::forms()));
            return Err(self.wrong(key, message, Some(hint)));
        };
        all(array.iter().map(|value| Ok(Spanned::new(value.span(), self.convert(key, value)?)))).map(Some)
    }

    /// What a list holds, if it is there and holds something.
    fn filled<T>(
        &mut self,
        key: &'static str,
        values: Option<Vec<T>>,
        hint: String,
    ) -> Result<Vec<T>, Reported> {
        match values {
            None => Err(self.absent(key, hint)),
            Some(values) if values.is_empty() => {
                Err(self.wrong(key, format!("`{key}` is empty"), Some(hint)))
            }
            Some(values) => Ok(values),
        }
    }

    fn nested<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        presence: Presence,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<Option<T>, Reported> {
        self.ask(key, doc, Asked::table(), presence);
        let Some(value) = self.content.get(key) else {
            self.describe(self.name_of(key), read);
            return Ok(None);
        };
        self.enter(value, key, self.name_of(key), read).map(Some)
    }

    fn array<T>(
        &mut self,
        key: &'static str,
        doc: &'static str,
        presence: Presence,
        mut read: impl FnMut(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<Option<Vec<T>>, Reported> {
        self.ask(key, doc, Asked::tables(), presence);
        let path = format!("{}[]", self.name_of(key));
        let Some(value) = self.content.get(key) else {
            self.describe(path, read);
            return Ok(None);
        };
        let Some(array) = value.get_ref().as_array() else {
            let hint = format!("write `[[{}]]`", self.name_of(key));
            return Err(self.wrong(key, format!("`{key}` must be {AN_ARRAY}"), Some(hint)));
        };
        all(array.iter().map(|value| self.enter(value, key, path.clone(), &mut read))).map(Some)
    }

    /// Reads one table inside this one.
    fn enter<T>(
        &self,
        value: &Spanned<DeValue<'_>>,
        key: &str,
        path: String,
        read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let Some(content) = value.get_ref().as_table() else {
            let hint = format!("write `{key} = {{ ... }}` or a `[{}]` of its own", self.name_of(key));
            return Err(self.wrong_at(value.span(), format!("`{key}` must be {A_TABLE}"), Some(hint)));
        };
        let mut table = Table::new(content, value.span(), path, self.sink);
        let result = read(&mut table);
        table.report_unknown();
        table.report_missing();
        result
    }

    /// Lets `read` describe a table that is not there.
    fn describe<T>(&self, path: String, read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>) {
        if self.sink.described.is_some() {
            // Gives up, for want of every key.
            let _ = read(&mut Table::new(&DeTable::new(), self.place.clone(), path, self.sink));
        }
    }
}

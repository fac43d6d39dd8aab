//! What a single key can hold.

use std::time::Duration;

use toml::de::DeValue;

use super::Form;
use super::hint::did_you_mean;
use crate::unit::{Quantity, Rate};

/// Something that one TOML value writes.
pub trait Value: Sized {
    /// What it is, with article and range: completes "must be …".
    fn noun() -> String;

    /// How it is written: completes "for example …".
    fn forms() -> String;

    /// What TOML has for it.
    fn form() -> Form;

    /// What `value` writes, if it writes one of these.
    fn from_toml(value: &DeValue<'_>) -> Option<Self>;

    /// The way out where `value` writes none.
    fn hint(_value: &DeValue<'_>) -> String {
        format!("for example {}", Self::forms())
    }
}

/// A value that can be a default: it can be written down.
pub trait Shown: Value {
    /// The TOML that writes it.
    fn shown(&self) -> String;
}

impl<Q: Quantity> Value for Q {
    fn noun() -> String {
        Q::NOUN.to_owned()
    }

    fn forms() -> String {
        Q::FORMS.to_owned()
    }

    fn form() -> Form {
        Form::Text { pattern: Some(Q::PATTERN), or_number: Q::BARE }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match value {
            DeValue::String(text) => Q::parse(text),
            DeValue::Integer(number) if Q::BARE && number.radix() == 10 => Q::parse(number.as_str()),
            DeValue::Float(number) if Q::BARE => Q::parse(number.as_str()),
            _ => None,
        }
    }
}

impl<Q: Quantity> Shown for Q {
    fn shown(&self) -> String {
        format!("\"{}\"", self.write())
    }
}

impl Value for f64 {
    fn noun() -> String {
        "a number".to_owned()
    }

    fn forms() -> String {
        "0.8 or 2".to_owned()
    }

    fn form() -> Form {
        Form::Number
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let number: f64 = match value {
            DeValue::Float(number) => number.as_str().parse().ok()?,
            DeValue::Integer(_) => i32::from_toml(value)?.into(),
            _ => return None,
        };
        number.is_finite().then_some(number)
    }
}

impl Value for bool {
    fn noun() -> String {
        "true or false, without quotes".to_owned()
    }

    fn forms() -> String {
        "true or false".to_owned()
    }

    fn form() -> Form {
        Form::Boolean
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }
}

/// Whole numbers of a type that TOML's 64 bits hold.
macro_rules! whole {
    ($($number:ty),*) => {$(
        impl Value for $number {
            fn noun() -> String {
                format!("a whole number from {} to {}", Self::MIN, Self::MAX)
            }

            fn forms() -> String {
                "3".to_owned()
            }

            fn form() -> Form {
                Form::Integer { least: Self::MIN.into(), most: Self::MAX.into() }
            }

            fn from_toml(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                Self::from_str_radix(number.as_str(), number.radix()).ok()
            }
        }
    )*};
}

whole!(i32, u16, u32);

/// One line of text that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl Value for Text {
    fn noun() -> String {
        "one line of text".to_owned()
    }

    fn forms() -> String {
        "\"A listing day\"".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        let line = !text.trim().is_empty() && !text.contains(char::is_control);
        line.then(|| Self(text.to_owned()))
    }
}

/// A closed set of names.
pub trait Choice: Copy + 'static {
    /// Every member and the name that files use.
    const NAMES: &'static [(&'static str, Self)];
}

/// One of a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneOf<C>(pub C);

impl<C: Choice> Value for OneOf<C> {
    fn noun() -> String {
        let names: Vec<String> = C::NAMES.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        format!("one of {}", names.join(", "))
    }

    fn forms() -> String {
        C::NAMES.first().map(|(name, _)| format!("\"{name}\"")).unwrap_or_default()
    }

    fn form() -> Form {
        Form::Choice(C::NAMES.iter().map(|(name, _)| *name).collect())
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let written = value.as_str()?;
        C::NAMES.iter().find(|(name, _)| *name == written).map(|&(_, member)| Self(member))
    }

    fn hint(value: &DeValue<'_>) -> String {
        let names = C::NAMES.iter().map(|(name, _)| *name);
        let near = value.as_str().and_then(|written| did_you_mean(written, names));
        near.unwrap_or_else(|| format!("for example {}", Self::forms()))
    }
}

/// Types of another [`Value`] with a narrower range: `Name(inner): "noun", "forms", |inner| test;`
macro_rules! bounded {
    ($($(#[$doc:meta])* $vis:vis $name:ident($inner:ty): $noun:expr, $forms:expr, $test:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name(pub $inner);

        impl $crate::problem::Value for $name {
            fn noun() -> String {
                String::from($noun)
            }

            fn forms() -> String {
                String::from($forms)
            }

            fn form() -> $crate::problem::Form {
                <$inner as $crate::problem::Value>::form()
            }

            fn from_toml(value: &toml::de::DeValue<'_>) -> Option<Self> {
                let test: fn(&$inner) -> bool = $test;
                <$inner as $crate::problem::Value>::from_toml(value).filter(test).map(Self)
            }
        }
    )*};
}
pub(crate) use bounded;

/// [`Shown`] for values whose `Display` is TOML.
macro_rules! shown {
    ($($value:ty => |$it:ident| $inner:expr),* $(,)?) => {$(
        impl $crate::problem::Shown for $value {
            fn shown(&self) -> String {
                let $it = self;
                $inner.to_string()
            }
        }
    )*};
}
pub(crate) use shown;

bounded! {
    /// A duration that takes time.
    pub PositiveDuration(Duration): "a duration above 0 and of at most ten years", Duration::FORMS, |it| !it.is_zero();
    /// A rate of something that happens.
    pub PositiveRate(Rate): "a rate above 0", Rate::FORMS, |it| it.0 > 0.0;
    /// A name that files, tables, paths and metrics can carry.
    pub Name(Text): "a name of at most 64 letters, digits, `-`, `_` and `.`", "\"asia-pacific\"", |it| is_name(&it.0);
    /// A path on a web server.
    pub UrlPath(Text): "a path on the server", "\"/index.html\"", |it| is_path(&it.0);
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= 64 && text.bytes().all(letter) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// A moment on the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub jiff::Timestamp);

impl Value for Moment {
    fn noun() -> String {
        "a date and time with its offset from UTC".to_owned()
    }

    fn forms() -> String {
        "2026-03-01T08:00:00Z or 2026-03-01T09:00:00+01:00, without quotes".to_owned()
    }

    fn form() -> Form {
        Form::Moment
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_datetime()?.to_string().parse().ok().map(Self)
    }
}

shown!(f64 => |it| it, bool => |it| it, u32 => |it| it, PositiveDuration => |it| it.0.shown(),
    UrlPath => |it| format!("\"{}\"", it.0.0));

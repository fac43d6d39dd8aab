//! Reading quantities as people write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::decimal::{format_scaled, parse_scaled};

/// Why a text is not the quantity it should be; the message names the accepted forms.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnitError(pub String);

/// Something that is written as a number with a unit.
pub trait Quantity: Sized {
    /// What it is, with article and range: completes "must be …".
    const NOUN: &'static str;
    /// How it is written: completes "for example …".
    const FORMS: &'static str;
    /// A regular expression (ECMA-262, as JSON Schema has it) that every text matches which [`Quantity::parse`] takes.
    const PATTERN: &'static str;
    /// Whether a bare number is among the accepted forms.
    const BARE: bool = false;

    /// The quantity that `text` writes, if it writes one. Never infinite, never NaN.
    fn parse(text: &str) -> Option<Self>;

    /// The way to write it; [`Quantity::parse`] gives exactly this quantity back.
    fn write(&self) -> String;

    /// The quantity that `text` writes.
    ///
    /// # Errors
    /// Names the accepted forms.
    fn read(text: &str) -> Result<Self, UnitError> {
        Self::parse(text)
            .ok_or_else(|| UnitError(format!("must be {}, for example {}", Self::NOUN, Self::FORMS)))
    }
}

/// A relative change of something that cannot fall below nothing, `"+18%"` = 0.18, `"-7.5%"` = -0.075; at least -1. The sign is required,
/// so that 18% of something is not read as a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change(pub f64);

/// A multiple of normal, `"3.2x"` = 3.2; never negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Factor(pub f64);

/// A part of a whole, `"35%"` or `0.35`; within 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// Events per second, `"12/s"`, `"90/min"`, `"3000/h"`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(pub f64);

/// Bytes, `"256 KiB"`, `"4 MiB"`, `"1.5 GB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A bandwidth in bytes per second, written in bits (`"20 Mbit/s"`) or bytes (`"40 MiB/s"`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitRate(pub f64);

/// Seconds east of UTC, `"+08:00"`, `"-03:30"`; within -12:00..=+14:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UtcOffset(pub i32);

/// A span of time, `"90s"`, `"2h 30m"`, `"72h"`; at most ten years, so that sums of them do not overflow.
///
/// # Errors
/// Names the accepted units where the text is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    Duration::read(text)
}

impl Quantity for Change {
    const NOUN: &'static str = "a change with its sign, of at least -100%";
    const FORMS: &'static str = "\"+18%\" or \"-7.5%\"";
    const PATTERN: &'static str = r"^[+-][0-9][0-9.]*\s*%$";

    fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = match text.strip_prefix('+') {
            Some(rest) => (1.0, rest),
            None => (-1.0, text.strip_prefix('-')?),
        };
        let change = sign * percent(rest)?;
        (change >= -1.0).then_some(Self(change))
    }

    fn write(&self) -> String {
        let sign = if self.0.is_sign_negative() { '-' } else { '+' };
        format!("{sign}{}%", format_scaled(self.0, 2))
    }
}

impl Quantity for Factor {
    const NOUN: &'static str = "a multiple of normal";
    const FORMS: &'static str = "\"3.2x\"";
    const PATTERN: &'static str = r"^[0-9][0-9.]*\s*x$";

    fn parse(text: &str) -> Option<Self> {
        parse_scaled(text.strip_suffix('x')?.trim_end(), 0).map(Self)
    }

    fn write(&self) -> String {
        format!("{}x", format_scaled(self.0, 0))
    }
}

impl Quantity for Share {
    const NOUN: &'static str = "a share from 0% to 100%";
    const FORMS: &'static str = "\"35%\" or 0.35";
    const PATTERN: &'static str = r"^[0-9][0-9.]*\s*%?$";
    const BARE: bool = true;

    fn parse(text: &str) -> Option<Self> {
        let share = percent(text).or_else(|| parse_scaled(text, 0))?;
        (share <= 1.0).then_some(Self(share))
    }

    fn write(&self) -> String {
        format!("{}%", format_scaled(self.0, 2))
    }
}

impl Quantity for Rate {
    const NOUN: &'static str = "a rate";
    const FORMS: &'static str = "\"12/s\", \"90/min\" or \"3000/h\"";
    const PATTERN: &'static str = r"^[0-9][0-9.]*\s*/\s*(s|min|h)$";

    fn parse(text: &str) -> Option<Self> {
        let (number, unit) = text.split_once('/')?;
        let seconds = match unit.trim_start() {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        Some(Self(parse_scaled(number.trim_end(), 0)? / seconds))
    }

    fn write(&self) -> String {
        format!("{}/s", format_scaled(self.0, 0))
    }
}

impl Quantity for ByteSize {
    const NOUN: &'static str = "a size in bytes";
    const FORMS: &'static str = "\"256 KiB\", \"4 MiB\" or \"1.5 GB\"";
    const PATTERN: &'static str = r"^[0-9.].*[bB]$";

    fn parse(text: &str) -> Option<Self> {
        // A bare number could mean bytes or KiB: the unit is required. bytesize saturates where the size does not fit.
        let has_unit = text.ends_with(['b', 'B']);
        let size: bytesize::ByteSize = text.parse().ok()?;
        (has_unit && size.as_u64() < u64::MAX).then_some(Self(size.as_u64()))
    }

    fn write(&self) -> String {
        // Not bytesize's own rendering: that rounds to one decimal.
        const UNITS: [(u64, &str); 4] =
            [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = UNITS.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        whole.map_or_else(|| format!("{} B", self.0), |(unit, name)| format!("{} {name}", self.0 / unit))
    }
}

impl Quantity for BitRate {
    const NOUN: &'static str = "a bandwidth";
    const FORMS: &'static str = "\"20 Mbit/s\" in bits or \"40 MiB/s\" in bytes";
    const PATTERN: &'static str = r"^[0-9][0-9.]*\s*([kMG]?(bit|B)|[KMG]iB)/s$";

    fn parse(text: &str) -> Option<Self> {
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = text.split_at(split);
        let bytes = match unit.trim_start() {
            "bit/s" => parse_scaled(number, 0)? / 8.0,
            "kbit/s" => parse_scaled(number, 3)? / 8.0,
            "Mbit/s" => parse_scaled(number, 6)? / 8.0,
            "Gbit/s" => parse_scaled(number, 9)? / 8.0,
            "B/s" => parse_scaled(number, 0)?,
            "kB/s" => parse_scaled(number, 3)?,
            "MB/s" => parse_scaled(number, 6)?,
            "GB/s" => parse_scaled(number, 9)?,
            "KiB/s" => parse_scaled(number, 0)? * 1024.0,
            "MiB/s" => parse_scaled(number, 0)? * 1_048_576.0,
            "GiB/s" => parse_scaled(number, 0)? * 1_073_741_824.0,
            _ => return None,
        };
        bytes.is_finite().then_some(Self(bytes))
    }

    fn write(&self) -> String {
        let bits = self.0 * 8.0;
        let (exponent, unit) = match bits {
            1e9.. => (-9, "Gbit/s"),
            1e6.. => (-6, "Mbit/s"),
            1e3.. => (-3, "kbit/s"),
            _ => (0, "bit/s"),
        };
        format!("{} {unit}", format_scaled(bits, exponent))
    }
}

impl Quantity for UtcOffset {
    const NOUN: &'static str = "an offset from UTC between -12:00 and +14:00";
    const FORMS: &'static str = "\"+08:00\" or \"-03:30\"";
    const PATTERN: &'static str = r"^[+-][0-9]{2}:[0-5][0-9]$";

    fn parse(text: &str) -> Option<Self> {
        let (sign, rest) = match text.strip_prefix('+') {
            Some(rest) => (1, rest),
            None => (-1, text.strip_prefix('-')?),
        };
        let (hours, minutes) = rest.split_once(':')?;
        let two_digits = |part: &str| {
            let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| part.parse::<i32>().ok()).flatten()
        };
        let minutes = two_digits(minutes).filter(|&minutes| minutes < 60)?;
        let seconds = sign * (two_digits(hours)? * 3600 + minutes * 60);
        (-12 * 3600..=14 * 3600).contains(&seconds).then_some(Self(seconds))
    }

    fn write(&self) -> String {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let minutes = self.0.abs() / 60;
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

impl Quantity for Duration {
    const NOUN: &'static str = "a duration of at most ten years";
    const FORMS: &'static str = "\"90s\", \"15m\", \"2h 30m\" or \"3d\"";
    const PATTERN: &'static str = r"^\s*[0-9][0-9a-zA-Zµ.\s]*$";

    fn parse(text: &str) -> Option<Self> {
        // humantime 2.4 adds with a carry that is not checked: sums near u64::MAX seconds would panic, and need long numbers.
        let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max()?;
        if text.len() > 64 || longest > 9 {
            return None;
        }
        const LONGEST: Duration = Duration::from_secs(3653 * 86_400);
        humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST)
    }

    fn write(&self) -> String {
        // humantime spells days out, "2days 3h".
        humantime::format_duration(*self).to_string().replace("days", "d").replace("day", "d")
    }
}

/// `"18%"` and `"18 %"` as 0.18.
fn percent(text: &str) -> Option<f64> {
    parse_scaled(text.strip_suffix('%')?.trim_end(), -2)
}

/// Gives a quantity of ours the two traits by which the rest of the language reads and writes it.
macro_rules! written {
    ($($quantity:ty),*) => {$(
        impl FromStr for $quantity {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<Self, UnitError> {
                Self::read(text)
            }
        }

        impl fmt::Display for $quantity {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.write())
            }
        }
    )*};
}

written!(Change, Factor, Share, Rate, ByteSize, BitRate, UtcOffset);

#[cfg(test)]
mod tests;

//! Reading quantities as people write them.

use std::time::Duration;

use thiserror::Error;

/// Why a text is not the quantity it should be; the message names the accepted forms.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct UnitError(pub String);

/// A relative change, `"+18%"` = 0.18, `"-7.5%"` = -0.075. The sign is required, so that 18% of something is not read as a change.
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

/// A span of time, `"90s"`, `"2h 30m"`, `"72h"`.
///
/// # Errors
/// Names the accepted units where the text is no duration.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    humantime::parse_duration(text).map_err(|_| {
        UnitError(
            "a duration is a number with a unit, such as \"90s\", \"15m\", \"2h 30m\", \"3d\"".to_owned(),
        )
    })
}

/// An offset from UTC, `"+08:00"` or `"-03:30"`, in seconds.
///
/// # Errors
/// Names the accepted form where the text is no offset.
pub fn parse_offset(text: &str) -> Result<i32, UnitError> {
    let wrong = || UnitError("an offset from UTC is written \"+08:00\" or \"-03:30\"".to_owned());
    let (sign, rest) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => return Err(wrong()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    let hours: i32 = hours.parse().map_err(|_| wrong())?;
    let minutes: i32 = minutes.parse().map_err(|_| wrong())?;
    if !(0..=14).contains(&hours) || !(0..60).contains(&minutes) {
        return Err(wrong());
    }
    Ok(sign * (hours * 3600 + minutes * 60))
}

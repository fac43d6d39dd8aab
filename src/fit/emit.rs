//! The scenario file of an event: the only place that knows which keys say what was estimated.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use crate::problem::{Report, SourceFile};
use crate::scenario::{self, Attention, Scenario};
use crate::unit::Quantity;

use super::event::Wave;
use super::stats::Estimate;
use super::{Event, Fit, Series};

/// Profiles of the program itself, for a scenario that is used without being written.
const CLIENTS: &str = include_str!("../../profiles/clients.toml");
const ACCESS: &str = include_str!("../../profiles/access.toml");

/// The strongest signal that a scenario may have.
const STRONGEST: f64 = 1000.0;

/// Where the profiles that a scenario names are, as the scenario sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles(pub String);

impl Default for Profiles {
    fn default() -> Self {
        Self("../profiles".to_owned())
    }
}

/// The scenario of an event of the series called `name` (kebab-case), with every estimate, its interval and where it comes from.
#[must_use]
pub fn emit(name: &str, series: &Series, fit: &Fit, event: &Event, profiles: &Profiles) -> String {
    let length = event.window.len() as i64 * series.step;
    let (harmonic, region) = (fit.season.harmonic, fit.season.region());
    let attention = &event.attention;
    let per_hour = |count: f64| count * 3600.0 / series.step as f64;
    let mut text = format!(
        "# Fitted by `squall fit` from the series {name}: counts of something that visits are taken to follow one for one.\n\
         # Intervals are of 95 %. Each signal is one shock that was found; what caused it is not in the series.\n\
         squall = 1\nkind = \"scenario\"\nname = \"{name}\"\ntitle = \"Fitted from the series {name}\"\n\
         start = {}\nduration = \"{length}s\"\nclients = \"{dir}/clients.toml\"\naccess = \"{dir}/access.toml\"\n\n\
         [cut]\nspeed = {:.3} # in about a minute\n\n",
        moment(series.second(event.window.from)),
        (length as f64 / 60.0).clamp(0.1, 1e6),
        dir = profiles.0.replace(['"', '\\', '\n'], "_"),
    );
    text += &format!(
        "[audience]\n# {} an hour on a weekday in this window; {} over the whole series (median of days).\nbase = \"{:.6}/h\"\n\n",
        shown(event.base.map(per_hour)),
        shown(fit.season.level.map(per_hour)),
        per_hour(event.base.value),
    );
    let daily = harmonic.map_or_else(
        || "# Bins are too long to show a daily curve: none is assumed.\n".to_owned(),
        |h| {
            format!(
                "# First harmonic of the hours' medians, UTC: peak hour {}, night {}.\n",
                shown(h.peak_hour),
                shown(h.night)
            )
        },
    );
    text += &format!(
        "[[audience.region]]\nname = \"{}\"\nshare = \"100%\"\nutc_offset = \"+00:00\"\n{daily}peak_hour = {:.4}\nnight = {:.5}\n\
         weekend = \"{:.4}x\" # median of Saturdays and Sundays against weekdays\n\n",
        region.name, region.peak_hour, region.night, region.weekend,
    );
    text += &format!(
        "[attention]\n# Exponent with the least deviance of those tried.\ntheta = {}\n\
         # From the dispersion of second differences outside shocks: {}; noise that grows with the level counts\n\
         # as well, so half of it was tried too.\nbranching = {:.4}\n\
         # Mean delay from the growth of that dispersion with the window: {} s.\ndelay = \"{}\"\n",
        attention.theta,
        shown(fit.branching.ratio),
        attention.branching,
        shown(fit.branching.delay),
        written(attention.delay),
    );
    for (number, wave) in (1..).zip(&event.waves) {
        text += &signals(number, wave, series.second(event.window.from));
    }
    text + "\n# What a visitor fetches is not in the series: assumed.\n[[content]]\nclass = \"client\"\nitems = 4\nsize = \"4 MiB\"\n"
}

/// The signal of a wave; several of the same moment where one may not be so strong.
fn signals(number: usize, wave: &Wave, start: i64) -> String {
    let parts = (wave.strength.value / STRONGEST).ceil().max(1.0);
    let signal = |part: usize| {
        let name = if part == 0 { format!("shock-{number}") } else { format!("shock-{number}-{part}") };
        format!(
            "\n[[signal]]\nname = \"{name}\"\n# {}: strength {} (peak excess over a normal day, before its echo).\n\
             at = \"{}\"\nrise = \"{}\"\nrelax = \"{}\"\nstrength = {:.6}\n",
            moment(start + wave.at as i64),
            shown(wave.strength),
            written(Duration::from_secs_f64(wave.at)),
            written(wave.rise),
            written(wave.relax),
            wave.strength.value / parts,
        )
    };
    (0..parts as usize).map(signal).collect()
}

/// The scenario that such a text means; profiles are the program's own.
///
/// # Errors
/// Everything that is wrong with the text.
pub(super) fn read(text: String) -> Result<Scenario, Report> {
    let own = |path: &Path| {
        let text = if path.ends_with("access.toml") { ACCESS } else { CLIENTS };
        io::Result::Ok(SourceFile { path: path.to_owned(), text: text.to_owned() })
    };
    let file = SourceFile { path: "fitted.toml".into(), text };
    scenario::parse(file, &mut { own }).map(|loaded| loaded.scenario)
}

/// What scenario files mean where they say nothing of attention.
///
/// # Errors
/// As [`read`].
pub(super) fn defaults() -> Result<Attention, Report> {
    read(DEFAULTS.to_owned()).map(|scenario| scenario.attention)
}

const DEFAULTS: &str = r#"squall = 1
kind = "scenario"
name = "defaults"
title = "What is assumed"
start = 2026-01-01T00:00:00Z
duration = "1h"
clients = "clients.toml"
access = "access.toml"
[audience]
base = "1/s"
[[audience.region]]
name = "everywhere"
share = "100%"
utc_offset = "+00:00"
[[content]]
class = "client"
items = 1
size = "1 MiB"
"#;

/// A duration as scenario files have it, in whole milliseconds.
fn written(duration: Duration) -> String {
    Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).write()
}

fn moment(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

/// `0.8 (0.7 to 0.9)`.
fn shown(estimate: Estimate) -> String {
    format!("{} ({} to {})", number(estimate.value), number(estimate.low), number(estimate.high))
}

fn number(value: f64) -> String {
    let digits = (2 - value.abs().max(1e-3).log10().floor() as i32).clamp(0, 5);
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

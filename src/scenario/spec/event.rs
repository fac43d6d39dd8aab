//! What a scenario file says of everything else that happens.

use std::time::Duration;

use crate::problem::{Name, Names, OneOf, PositiveDuration, PositiveRate, Reported, Table};
use crate::scenario::types::{Abuse, AbuseKind, Confounder, ConfounderKind, Incident};
use crate::unit::{Factor, Share};

use super::{reach, within};

pub(super) fn confounders(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
    regions: &Result<Vec<String>, Reported>,
) -> Result<Vec<Confounder>, Reported> {
    let mut unique = Names::default();
    let doc = "What moves interest at the same time and has nothing to do with the signals.";
    table.tables("confounder", doc, |table| {
        let name = table.required::<Name>("name", "Name in charts and reports.");
        let what = table.required::<OneOf<ConfounderKind>>("what", "What it is.");
        let at = table.required::<Duration>("at", "Scenario time of its beginning.");
        let lasts = table.required::<PositiveDuration>(
            "duration",
            "How long it lasts; it comes and goes in a tenth of that each.",
        );
        let factor = table.required::<Factor>("factor", "All interest, against what it would be without it.");
        let reached = reach(table, "Regions that it reaches; all where left out.", regions);
        let (name, at) = (name?.0.0, at?);
        unique.claim(table, "name", &name)?;
        within(table, "at", at, duration)?;
        let (what, duration, factor) = (what?.0, lasts?.0, factor?.0);
        Ok(Confounder { name, what, at, duration, factor, regions: reached? })
    })
}

pub(super) fn abuse(
    table: &mut Table<'_>,
    duration: Result<Duration, Reported>,
    regions: &Result<Vec<String>, Reported>,
) -> Result<Vec<Abuse>, Reported> {
    let mut unique = Names::default();
    let abuse = table.tables("abuse", "Load that no visitor makes: bots, scrapers, a flood.", |table| {
        let name = table.required::<Name>("name", "Name in charts and reports.");
        let what = table.required::<OneOf<AbuseKind>>("what", "What it asks for, again and again.");
        let from = table.required::<Duration>("from", "Scenario time of its beginning.");
        let until = table.required::<Duration>("until", "Scenario time of its end.");
        let rate = table.required::<PositiveRate>("rate", "Requests, over its regions together.");
        let old_clusters = table.or(
            "old_clusters",
            "Requests from address clusters that were seen before (assumed).",
            Share(0.01),
        );
        let reached = reach(table, "Regions that it comes from; all where left out.", regions);
        let (name, from, until) = (name?.0.0, from?, until?);
        unique.claim(table, "name", &name)?;
        within(table, "from", from, duration)?;
        if until <= from {
            return Err(table.wrong("until", "`until` must be later than `from`".to_owned(), None));
        }
        let (what, rate, old_clusters) = (what?.0, rate?.0.0, old_clusters?.0);
        Ok(Abuse { name, what, from, until, rate, old_clusters, regions: reached? })
    })?;
    if abuse.len() > 256 {
        let hint = "at most 256 are told apart".to_owned();
        return Err(table.wrong("abuse", format!("{} times `abuse` is too many", abuse.len()), Some(hint)));
    }
    Ok(abuse)
}

pub(super) fn incidents(
    table: &mut Table<'_>,
    key: &'static str,
    doc: &'static str,
    duration: Result<Duration, Reported>,
) -> Result<Vec<Incident>, Reported> {
    let mut unique = Names::default();
    table.tables(key, doc, |table| {
        let name = table.required::<Name>("name", "Name in charts and reports.");
        let at = table.required::<Duration>("at", "Scenario time of its beginning.");
        let share = table.or("share", "Share of those whom it concerns.", Share(1.0));
        let over = table.or(
            "over",
            "Time over which it happens to them, evenly.",
            PositiveDuration(Duration::from_secs(10)),
        );
        let (name, at) = (name?.0.0, at?);
        unique.claim(table, "name", &name)?;
        within(table, "at", at, duration)?;
        Ok(Incident { name, at, share: share?.0, over: over?.0 })
    })
}

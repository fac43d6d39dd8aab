//! A log that is replayed, for people and for programs (CSV; JSON by [`super::forecast::json`]).

use std::fmt::Write as _;

use crate::plan::replay::Survey;

use super::forecast::lines;
use super::plan::{HEIGHT, block, clock, rate, span};
use super::table::{Align, table};

const EVENTS: [&str; 4] = ["started", "interval", "completed", "stopped"];
/// Columns left of the strip.
const GUTTER: usize = 12;

/// The rate of all announces over the log, and how many there are of each event. The strip has a column for each row of the survey.
#[must_use]
pub fn text(survey: &Survey) -> String {
    let mut out = format!(
        "{}: {} announces of {} torrents in {}, replayed in {}; {} lines are left out\n\nannounces per second of the run\n",
        survey.log,
        survey.announces,
        survey.torrents,
        span(survey.log_seconds),
        span(survey.run_seconds),
        survey.unread
    );
    let rates: Vec<f64> = survey.rows.iter().map(|row| row.announces_per_second.iter().sum()).collect();
    let top = rates.iter().copied().fold(0.0, f64::max);
    for level in (0..HEIGHT).rev() {
        let label = if level == HEIGHT - 1 { rate(top) } else { String::new() };
        let blocks: String = rates.iter().map(|rate| block(*rate, top, level)).collect();
        let _ = writeln!(out, "{label:>width$} │{}", blocks.trim_end(), width = GUTTER - 2);
    }
    let end = clock(survey.log_seconds);
    let _ = writeln!(
        out,
        "{:>width$}  T+00:00{end:>rest$}\n",
        "",
        width = GUTTER - 2,
        rest = rates.len().saturating_sub(7)
    );
    let mut rows = vec![["event", "announces"].map(str::to_owned).to_vec()];
    rows.extend(
        EVENTS.iter().zip(survey.events).map(|(event, count)| vec![(*event).to_owned(), count.to_string()]),
    );
    out += &table(&[Align::Left, Align::Right], &rows);
    let _ = writeln!(
        out,
        "\nfullest second of the run: {} announces, {} after its beginning\ndigest     {}",
        survey.busiest_second,
        span(survey.busiest_at_seconds as f64),
        survey.digest
    );
    out
}

/// One line per bucket: `log_seconds, run_seconds` and a rate for each event, `started_per_second` and so on.
///
/// # Errors
/// None that a log can cause: the text is written to memory.
pub fn csv(survey: &Survey) -> Result<String, csv::Error> {
    let head: Vec<String> = ["log_seconds".to_owned(), "run_seconds".to_owned()]
        .into_iter()
        .chain(EVENTS.map(|event| format!("{event}_per_second")))
        .collect();
    let rows = survey.rows.iter().map(|row| {
        let figures = [row.log_seconds, row.run_seconds].into_iter().chain(row.announces_per_second);
        figures.map(|figure| figure.to_string()).collect()
    });
    lines(head.iter().map(String::as_str).collect::<Vec<_>>().iter(), rows)
}

//! A plan for people (chart) and for programs (JSON, CSV).
//!
//! The chart is made of block characters here: the chart crates for terminals (`textplots` and its like) draw one curve in braille with
//! an axis of their own, while five strips over one time axis with the signals marked under their columns need every column in hand.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::plan::{Crowd, Effect, Explanation, Overview, Row, SignalMark, Stage};

/// Rows of a strip.
pub(super) const HEIGHT: usize = 4;
/// Columns left of a strip.
const GUTTER: usize = 22;
/// Fewest columns of a strip.
const NARROWEST: usize = 20;
const COLORS: [AnsiColor; 5] =
    [AnsiColor::Blue, AnsiColor::Cyan, AnsiColor::Green, AnsiColor::Yellow, AnsiColor::Magenta];
pub(super) const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What a plan counts, for readers who hold it beside a verdict.
pub(super) const STEPS: &str = "Figures count steps of visitors: a visit is one step, and 1 + assets requests; a transfer is one step, and many pieces.\n\
    The layers of a verdict count operations, which are more.\n";

/// The plan as a terminal chart: a strip for each stage's expected rate, signals under their columns, totals and peaks.
#[must_use]
pub fn text(overview: &Overview, width: usize, color: bool) -> String {
    let ink = Ink { color };
    let columns = width.saturating_sub(GUTTER).max(NARROWEST);
    let sections =
        [header(overview, &ink), strips(overview, columns, &ink), table(overview, &ink), footer(overview)];
    let mut out = String::new();
    for line in sections.join("\n").lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// The plan as JSON; the fields are those of [`Overview`], rates in steps per second of the run.
///
/// # Errors
/// None that a plan can cause: every number of it is finite or written as null.
pub fn json(overview: &Overview) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(overview)
}

/// The rows of a plan as CSV, one line per bucket:
///
/// | column | meaning |
/// |---|---|
/// | `scenario_seconds`, `run_seconds` | beginning of the bucket on both clocks |
/// | `expected_<stage>_per_second` | expected steps per second of the run, in the bucket's middle |
/// | `drawn_<stage>_per_second` | drawn steps per second of the run, over the bucket |
/// | `population` | modelled peers in swarms |
/// | `interest_<region>`, `concern_<region>` | level of attention, 1 on a normal day |
///
/// # Errors
/// None that a plan can cause: the text is written to memory.
pub fn csv(overview: &Overview) -> Result<String, csv::Error> {
    let curves = &overview.curves;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let stages = |what: &str| Stage::ALL.map(|stage| format!("{what}_{}_per_second", stage.name()));
    let regions = |what: &str| curves.regions.iter().map(|region| format!("{what}_{region}")).collect();
    let header: [Vec<String>; 6] = [
        vec!["scenario_seconds".into(), "run_seconds".into()],
        stages("expected").into(),
        stages("drawn").into(),
        vec!["population".into()],
        regions("interest"),
        regions("concern"),
    ];
    writer.write_record(header.concat())?;
    for row in &curves.rows {
        writer.write_record(cells(row).map(|number| number.to_string()))?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cells(row: &Row) -> impl Iterator<Item = f64> {
    let times = [row.scenario_seconds, row.run_seconds];
    let rates = row.expected.iter().chain(&row.drawn);
    times.into_iter().chain(rates.chain([&row.population]).chain(&row.interest).chain(&row.concern).copied())
}

/// Why the load moves, in one sentence.
#[must_use]
pub fn sentence(overview: &Overview) -> String {
    let Some(Explanation { trigger, at_seconds, front, downstream }) = &overview.explanation else {
        let mut others = overview.confounders.iter();
        return match (others.next(), others.next()) {
            (None, _) => "No signal moves this window: a normal day.".into(),
            (Some(other), None) => {
                format!(
                    "No signal moves this window, but \"{}\" at {}.",
                    other.name,
                    moment(overview, other.at_seconds)
                )
            }
            _ => "No signal moves this window; what happens besides is marked below.".into(),
        };
    };
    let effect = |effect: &Effect, what: &str| {
        format!("{what} to {:.1}x of a normal day {} later", effect.factor, span(effect.lag_seconds))
    };
    format!(
        "\"{trigger}\" at {} alone takes {}, and {}.",
        moment(overview, *at_seconds),
        effect(front, "index traffic"),
        effect(downstream, "tracker announces")
    )
}

/// Everything that is marked, with its letter: signals with capitals, what happens besides with small ones.
pub(super) fn marks(overview: &Overview) -> impl Iterator<Item = (char, &SignalMark)> {
    ('A'..='Z').zip(&overview.signals).chain(('a'..='z').zip(&overview.confounders))
}

fn header(overview: &Overview, ink: &Ink) -> String {
    let variant = format!("{:?}", overview.variant).to_lowercase();
    format!(
        "{}  {} ({variant})\n{} to {} in {} at speed {}, scale {}\n\n{}\n",
        ink.bold(&overview.scenario),
        overview.title,
        moment(overview, overview.from_seconds),
        moment(overview, overview.until_seconds),
        span(overview.run_seconds),
        overview.speed,
        overview.scale,
        sentence(overview),
    )
}

/// A strip for each stage, and below them the time axis and the signals.
fn strips(overview: &Overview, columns: usize, ink: &Ink) -> String {
    let rows = &overview.curves.rows;
    let mut out = String::from("expected rate, steps per second of the run\n");
    for (summary, color) in overview.curves.stages.iter().zip(COLORS) {
        let (stage, top) = (summary.stage, summary.peak_rate);
        let rates = resample(rows, columns, |row| row.expected[stage as usize]);
        for level in (0..HEIGHT).rev() {
            let label = match level {
                level if level == HEIGHT - 1 => format!("{:<9}{:>10}", stage.name(), rate(top)),
                0 => "0".into(),
                _ => String::new(),
            };
            let blocks: String = rates.iter().map(|rate| block(*rate, top, level)).collect();
            let _ = writeln!(out, "{label:>width$} │{}", ink.paint(&blocks, color), width = GUTTER - 3);
        }
    }
    let _ = writeln!(out, "{:>width$} └{}", "", "─".repeat(columns), width = GUTTER - 3);
    let mut ruler = vec![' '; columns];
    let (from, until) = (overview.from_seconds, overview.until_seconds);
    for (letter, mark) in marks(overview) {
        let part = (mark.at_seconds - from) / (until - from);
        let place = (part * columns as f64) as usize;
        // Signals come first: what stands in their column has a line in the list below.
        if (0.0..1.0).contains(&part) && ruler[place] == ' ' {
            ruler[place] = letter;
        }
    }
    let ruler: String = ruler.into_iter().collect();
    let _ = writeln!(out, "{:>width$}  {}", "signals", ink.bold(&ruler), width = GUTTER - 3);
    let (first, last) = (moment(overview, from), moment(overview, until));
    let ends = columns.saturating_sub(first.len());
    let _ = writeln!(out, "{:>width$}  {first}{last:>ends$}", "", width = GUTTER - 3);
    for (letter, mark) in marks(overview) {
        let outside = if (from..until).contains(&mark.at_seconds) { "" } else { " (outside the window)" };
        let _ = writeln!(out, "  {letter}  {:<12} {}{outside}", moment(overview, mark.at_seconds), mark.name);
    }
    out
}

/// The highest value that falls into each column.
fn resample(rows: &[Row], columns: usize, value: impl Fn(&Row) -> f64) -> Vec<f64> {
    let edge = |column: usize| column * rows.len() / columns;
    (0..columns)
        .map(|column| {
            let last = edge(column + 1).max(edge(column) + 1).min(rows.len());
            rows[edge(column)..last].iter().map(&value).fold(0.0, f64::max)
        })
        .collect()
}

/// One cell of a strip: how much of row `level` the value fills.
pub(super) fn block(value: f64, top: f64, level: usize) -> char {
    let eighths = if top > 0.0 { (value / top * 8.0 * HEIGHT as f64).round() as usize } else { 0 };
    EIGHTHS[eighths.saturating_sub(8 * level).min(8)]
}

fn table(overview: &Overview, ink: &Ink) -> String {
    let heads = ["stage", "steps", "peak", "at", "fullest second", "at"];
    let line = |cells: [&str; 6]| {
        let [stage, steps, peak, at, second, second_at] = cells;
        format!("{stage:<9}{steps:>12}{peak:>12}  {at:<11}{second:>15}  {second_at}")
    };
    let mut out = ink.bold(&line(heads)) + "\n";
    for stage in &overview.curves.stages {
        let _ = writeln!(
            out,
            "{}",
            line([
                stage.stage.name(),
                &stage.total.to_string(),
                &rate(stage.peak_rate),
                &moment(overview, stage.peak_at_seconds),
                &stage.busiest_second.to_string(),
                &moment(overview, stage.busiest_at_seconds),
            ])
        );
    }
    out
}

fn footer(overview: &Overview) -> String {
    let population = overview.curves.rows.iter().map(|row| row.population);
    let (least, most) = population.fold((f64::INFINITY, 0.0), |(least, most), n| (n.min(least), n.max(most)));
    let Crowd { returning, old_clusters, cached, reachable } = overview.crowd;
    let [returning, old_clusters, cached, reachable] =
        [returning, old_clusters, cached, reachable].map(|share| format!("{:.0}%", 100.0 * share));
    format!(
        "population {least:.0} to {most:.0} modelled peers, each for a session (`funnel.session`), as trackers see them\n\
         visitors   {returning} return, {cached} with the assets in their cache; {old_clusters} from address clusters seen before\n\
         clients    {reachable} can be reached by peers\narrivals   {}, each a visitor or a peer of the population with all its steps\nseed       {}\ndigest     {}\n\n{STEPS}",
        overview.arrivals, overview.seed, overview.digest
    )
}

pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 100.0 => format!("{rate:.0}/s"),
        rate if rate >= 1.0 => format!("{rate:.1}/s"),
        rate => format!("{rate:.3}/s"),
    }
}

/// Scenario time from which on moments are told in days.
const DAYS_FROM: f64 = 72.0 * 3600.0;

/// A moment of scenario time, `T+08:30`, with seconds where it has some; from the third day's end on `T+7d 08:30`.
pub(super) fn clock(seconds: f64) -> String {
    if seconds < DAYS_FROM { hours(seconds.round() as u64) } else { days(seconds.round() as u64) }
}

/// A moment of a plan: in days where the plan is longer than three.
pub(super) fn moment(overview: &Overview, seconds: f64) -> String {
    let all = seconds.round() as u64;
    if overview.until_seconds > DAYS_FROM { days(all) } else { hours(all) }
}

fn hours(all: u64) -> String {
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match seconds {
        0 => format!("T+{hours:02}:{minutes:02}"),
        _ => format!("T+{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

fn days(all: u64) -> String {
    let (days, hours, minutes) = (all / 86_400, all / 3600 % 24, all / 60 % 60);
    if hours + minutes == 0 { format!("T+{days}d") } else { format!("T+{days}d {hours:02}:{minutes:02}") }
}

/// A span of time, to the minute from ten minutes on.
pub(super) fn span(seconds: f64) -> String {
    let unit = if seconds < 600.0 { 1.0 } else { 60.0 };
    let rounded = std::time::Duration::from_secs((seconds / unit).round() as u64 * unit as u64);
    humantime::format_duration(rounded).to_string()
}

/// Colours, or none.
struct Ink {
    color: bool,
}

impl Ink {
    fn paint(&self, text: &str, color: AnsiColor) -> String {
        self.dress(text, color.on_default())
    }

    fn bold(&self, text: &str) -> String {
        self.dress(text, Style::new().bold())
    }

    fn dress(&self, text: &str, style: Style) -> String {
        if self.color { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::Plan;
    use crate::scenario::{VariantName, sample};

    fn overview(buckets: usize) -> Overview {
        Plan::new(Arc::new(sample::sample()), VariantName::Baseline, 1).overview(buckets)
    }

    #[test]
    fn the_chart_fits_its_width_and_marks_the_signals_under_their_columns() {
        for (width, buckets) in [(100, 78), (80, 10), (60, 500)] {
            let chart = text(&overview(buckets), width, false);
            assert!(chart.lines().filter(|l| l.contains('│')).all(|l| l.chars().count() <= width));
            assert!(!chart.contains('\u{1b}'));
            let ruler = chart.lines().find(|line| line.trim_start().starts_with("signals")).unwrap();
            let columns = width - GUTTER;
            let column = |hour: usize| GUTTER - 1 + hour * columns / 24;
            assert_eq!((ruler.find('A'), ruler.find('B')), (Some(column(6)), Some(column(8))));
        }
    }

    #[test]
    fn the_chart_names_what_a_reader_looks_for() {
        let overview = overview(40);
        let chart = text(&overview, 80, true);
        for part in ["listing goes live", "T+08:00", &overview.digest, "pieces", "seed       1", "baseline"] {
            assert!(chart.contains(part), "{part} is missing in\n{chart}");
        }
        assert!(chart.contains('\u{1b}'));
    }

    #[test]
    fn one_sentence_says_trigger_lag_and_metric() {
        let effect = |stage, factor, lag_seconds| Effect { stage, factor, lag_seconds };
        let why = Explanation {
            trigger: "listing".into(),
            at_seconds: 28_800.0,
            front: effect(Stage::Index, 6.04, 1210.0),
            downstream: effect(Stage::Announce, 3.0, 5400.0),
        };
        assert_eq!(
            sentence(&Overview { explanation: Some(why), ..overview(5) }),
            "\"listing\" at T+08:00 alone takes index traffic to 6.0x of a normal day 20m later, and tracker announces \
             to 3.0x of a normal day 1h 30m later."
        );
        let calm = Overview { explanation: None, confounders: Vec::new(), ..overview(5) };
        assert_eq!(sentence(&calm), "No signal moves this window: a normal day.");
        let herd = vec![SignalMark { name: "herd".into(), at_seconds: 5.0 * 3600.0 }];
        let restart = Overview { confounders: herd, ..calm };
        assert_eq!(sentence(&restart), "No signal moves this window, but \"herd\" at T+05:00.");
    }

    #[test]
    fn moments_are_told_in_days_once_there_are_more_than_three() {
        let hour = 3600.0;
        let moments = [8.5, 71.0, 72.0, 180.5].map(|hours| clock(hours * hour));
        assert_eq!(moments, ["T+08:30", "T+71:00", "T+3d", "T+7d 12:30"]);
        let long = Overview { until_seconds: 504.0 * hour, ..overview(5) };
        assert_eq!([0.0, 36.0].map(|hours| moment(&long, hours * hour)), ["T+0d", "T+1d 12:00"]);
        assert_eq!(moment(&overview(5), 24.0 * hour), "T+24:00");
    }

    #[test]
    fn csv_has_one_line_a_bucket_under_its_header() {
        let overview = overview(12);
        let table = csv(&overview).unwrap();
        let mut reader = ::csv::Reader::from_reader(table.as_bytes());
        let header = reader.headers().unwrap().clone();
        assert_eq!(
            header.iter().take(3).collect::<Vec<_>>(),
            ["scenario_seconds", "run_seconds", "expected_index_per_second"]
        );
        assert_eq!(header.iter().next_back(), Some("concern_america"));
        let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), 12);
        let column = header.iter().position(|name| name == "drawn_pieces_per_second").unwrap();
        for (record, row) in records.iter().zip(&overview.curves.rows) {
            assert_eq!(record[column].parse(), Ok(row.drawn[4]));
        }
    }

    #[test]
    fn json_holds_the_same_figures() {
        let overview = overview(6);
        let value: serde_json::Value = serde_json::from_str(&json(&overview).unwrap()).unwrap();
        assert_eq!(value["curves"]["rows"].as_array().map(Vec::len), Some(6));
        assert_eq!(value["curves"]["stages"][0]["total"], overview.curves.stages[0].total);
        assert_eq!(value["digest"], overview.digest);
        assert_eq!(value["variant"], "baseline");
    }
}

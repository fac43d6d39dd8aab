//! The report as a page of its own: no script, nothing from elsewhere, light or dark as the reader's system has it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::analysis::{Slice, Summary, Timeline};
use crate::record::SignalMark;

use super::chart::{Chart, Line, clock, figure, letters};
use super::quantity::{bytes, percent, rate, three_digits};
use super::swarm::{self, CONNECTIONS, EXCHANGE, Heads, TIMES};
use super::text;

/// Colours that differ for the colour-blind too (Okabe and Ito 2008), on either ground; of two lines in a chart the blue one is dashed, so
/// that one does not hide the other.
const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#fff;--ink:#1a1a1a;--soft:#555;--rule:#d4d4d4;--blue:#0072b2;--orange:#c04c00;--green:#00785a}\
@media(prefers-color-scheme:dark){:root{--ground:#16181c;--ink:#ececec;--soft:#b4b8bf;--rule:#3c4048;--blue:#62bdf2;--orange:#f0a63c;--green:#3fcf9f}}\
body{background:var(--ground);color:var(--ink);font:16px/1.45 system-ui,sans-serif;max-width:1060px;margin:1.5rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0 0 .5rem}h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--rule)}\
pre{font:14px/1.4 ui-monospace,monospace;overflow-x:auto}\
figure{margin:1.2rem 0}figcaption{margin-bottom:.2rem}.key{margin-left:.8em;white-space:nowrap}\
svg{width:100%;height:auto;display:block}svg text{font:15px system-ui,sans-serif;fill:var(--soft)}\
.grid{stroke:var(--rule)}.signal{stroke:var(--soft);stroke-dasharray:3 3}.end{text-anchor:end}.middle{text-anchor:middle}\
.line{fill:none;stroke-width:2.5;stroke-linejoin:round}.line.blue{stroke-dasharray:9 5}.blue{color:var(--blue);stroke:var(--blue)}.orange{color:var(--orange);stroke:var(--orange)}.green{color:var(--green);stroke:var(--green)}\
.key{stroke:none}.wide{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
caption{text-align:left;font-weight:600;margin-bottom:.2rem}td,th{padding:.2rem .45rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}\
th{color:var(--soft);font-weight:600}.group{text-align:center}td:first-child,th:first-child{text-align:left}\
.soft{color:var(--soft)}dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}dt{color:var(--soft)}dd{margin:0}";

/// The page.
#[must_use]
pub fn html(summary: &Summary, timeline: &Timeline) -> String {
    let title = format!("{}: {}", summary.verdict.name().to_uppercase(), summary.manifest.scenario);
    // Equal runs have equal pages, wherever they lie.
    let summary = &Summary { directory: None, ..summary.clone() };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (summary.manifest.scenario) }
                pre { (text::verdict(summary)) }
                @if swarm::is_there(summary) { (swarm_section(summary, timeline)) }
                h2 { "In full" }
                pre { (text::text(summary, false)) }
            }
        }
    };
    page.into_string() + "\n"
}

fn swarm_section(summary: &Summary, timeline: &Timeline) -> Markup {
    let marks = marks(summary);
    html! {
        section #swarm {
            h2 { "Swarm" }
            dl { @for (name, what) in swarm::facts(summary) { dt { (name) } dd { (what) } } }
            p.soft {
                @for (letter, mark) in letters(&marks) {
                    strong { (letter) } " " (mark.name) " " (clock(mark.at_seconds, summary.recorded_seconds as f64)) " \u{2003}"
                }
            }
            @for chart in charts(summary, timeline, &marks) { (figure(&chart)) }
            @let lines = swarm::lines(summary);
            (table("How long downloads took, from due", TIMES, &lines, swarm::Line::times))
            (table("What became of them, and where their bytes came from", EXCHANGE, &lines, swarm::Line::exchange))
            @if summary.swarm.dials > 0 {
                (table("Connections to peers", CONNECTIONS, &lines, swarm::Line::connections))
            }
        }
    }
}

/// What happened on the run's clock: signals, and faults from their beginning to their end.
fn marks(summary: &Summary) -> Vec<SignalMark> {
    let faults = summary.manifest.faults.iter().flat_map(|fault| {
        let (name, ends_at) = (&fault.name, fault.at_seconds + fault.for_seconds);
        let begins = format!("{name} ({}) begins", fault.layer.name());
        [
            SignalMark { name: begins, at_seconds: fault.at_seconds },
            SignalMark { name: format!("{name} ends"), at_seconds: ends_at },
        ]
    });
    summary.manifest.signals.iter().cloned().chain(faults).collect()
}

/// The charts that have something to show.
fn charts<'a>(summary: &Summary, timeline: &Timeline, marks: &'a [SignalMark]) -> Vec<Chart<'a>> {
    let line = |name, class, of: &dyn Fn(&Slice) -> Option<f64>| Line {
        name,
        class,
        values: timeline.slices.iter().map(of).collect(),
    };
    let chart = |title, unit, base, top, lines: Vec<Line>| Chart {
        title,
        lines,
        top,
        unit,
        base,
        seconds: (summary.recorded_seconds.max(1)) as f64,
        signals: marks,
    };
    let per_second = |value: f64| format!("{}/s", bytes(value as u64));
    let mut charts = Vec::new();
    if !summary.swarm.is_empty() {
        let mut from = vec![
            line("from the target's peers", "orange", &|slice| Some(slice.from_others)),
            line("from other visitors", "blue", &|slice| Some(slice.from_visitors)),
        ];
        if summary.swarm.from_web > 0 {
            from.push(line("from its web seeds", "green", &|slice| Some(slice.from_web)));
        }
        charts.push(chart("Payload received", per_second, 1024.0, None, from));
        charts.push(chart(
            "Origin offload",
            percent,
            1.0,
            Some(1.0),
            vec![line("share that came from visitors", "green", &|slice| slice.offload)],
        ));
    }
    if summary.swarm.pieces > 0 {
        let copies = line("peers that had it", "green", &|slice| slice.copies);
        charts.push(chart("Copies of a piece when it became whole", three_digits, 1.0, None, vec![copies]));
    }
    charts.push(chart(
        "Downloads in progress",
        three_digits,
        1.0,
        None,
        vec![line("mean of each slice", "green", &|slice| Some(slice.in_progress))],
    ));
    charts.push(chart(
        "Downloads begun and fetched",
        rate,
        1.0,
        None,
        vec![
            line("begun", "orange", &|slice| Some(slice.begun)),
            line("fetched, whole or as far as wanted", "blue", &|slice| Some(slice.fetched)),
        ],
    ));
    if summary.swarm.opened() > 0 {
        charts.push(chart(
            "Connections to peers",
            rate,
            1.0,
            None,
            vec![
                line("opened", "orange", &|slice| Some(slice.opened)),
                line("ended", "blue", &|slice| Some(slice.ended)),
            ],
        ));
    }
    charts
}

/// A table with a row for each line.
fn table<'a>(
    caption: &str,
    (groups, heads): Heads,
    lines: &[swarm::Line<'a>],
    of: fn(&swarm::Line<'a>) -> Vec<String>,
) -> Markup {
    html! {
        div.wide {
            table {
                caption { (caption) }
                thead {
                    tr { th {} @for (columns, group) in groups { th.group colspan=(columns) { (group) } } }
                    tr { th { "downloads" } @for head in heads { th { (head) } } }
                }
                tbody {
                    @for line in lines {
                        tr { td { (line.name) } @for figure in of(line) { td { (figure) } } }
                    }
                }
            }
        }
    }
}

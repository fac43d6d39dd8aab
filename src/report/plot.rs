//! A plan as a picture (SVG).
//!
//! By hand: chart crates (`plotters` and its like) lay out one chart with its own axes and measure fonts for it, while this is six strips
//! over one time axis with the signals through all of them, and a browser measures the text.

use std::fmt::Write as _;

use crate::plan::{Overview, Stage};

use super::plan::{STEPS, marks, moment, rate, sentence};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 140.0;
const RIGHT: f64 = 34.0;
/// Left edge of titles and stage names.
const MARGIN: f64 = 14.0;
/// Where the first strip begins.
const TOP: f64 = 100.0;
const STRIP: f64 = 84.0;
const GAP: f64 = 18.0;
const LINE: f64 = 17.0;
/// Colours that differ for the colour-blind too (Okabe and Ito 2008).
const COLORS: [&str; 5] = ["#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7"];
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#333}.title{font-size:18px;font-weight:600}.small{font-size:11px;fill:#666}\
                     .grid{stroke:#ddd}.signal{stroke:#999;stroke-dasharray:3 3}.normal{fill:none;stroke:#777;stroke-dasharray:5 3}\
                     .leechers{fill:none;stroke:#d55e00;stroke-width:2}.seeds{fill:none;stroke:#000;stroke-width:2;stroke-dasharray:2 3}.letter{font-weight:600;text-anchor:middle}.end{text-anchor:end}.middle{text-anchor:middle}";

/// The expected rate of every stage over scenario time, over that of a normal day (`normal`, row by row), with the signals marked.
#[must_use]
pub fn svg(overview: &Overview, normal: &[[f64; 5]]) -> String {
    let bottom = TOP + 6.0 * (STRIP + GAP);
    let notes = marks(overview).count().div_ceil(2) as f64 * LINE;
    let height = bottom + 60.0 + notes + 2.0 * LINE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let variant = format!("{:?}", overview.variant).to_lowercase();
    text(&mut out, (MARGIN, 30.0), "title", &overview.title);
    text(&mut out, (MARGIN, 50.0), "", &sentence(overview));
    let what = format!(
        "{} ({variant}), scale {}: expected steps per second of the run (solid) and of a normal day (dashed)",
        overview.scenario, overview.scale
    );
    text(&mut out, (MARGIN, 70.0), "small", &what);
    signals(&mut out, overview, bottom);
    for stage in Stage::ALL {
        strip(&mut out, overview, normal, stage);
    }
    swarm(&mut out, overview);
    axis(&mut out, overview, bottom);
    legend(&mut out, overview, bottom + 50.0);
    for (line, note) in STEPS.lines().enumerate() {
        text(&mut out, (LEFT, bottom + 55.0 + notes + line as f64 * LINE), "small", note);
    }
    out + "</svg>\n"
}

fn strip(out: &mut String, overview: &Overview, normal: &[[f64; 5]], stage: Stage) {
    let index = stage as usize;
    let floor = floor(index);
    let rows = &overview.curves.rows;
    let expected: Vec<f64> = rows.iter().map(|row| row.expected[index]).collect();
    let normal: Vec<f64> = normal.iter().map(|rates| rates[index]).collect();
    let top = round_up(expected.iter().chain(&normal).copied().fold(0.0, f64::max));
    grid(out, floor, [rate(top), rate(top / 2.0)]);
    let (right, color) = (WIDTH - RIGHT, COLORS[index]);
    let line = path(&expected, floor, top);
    let _ = writeln!(
        out,
        "<path fill=\"{color}\" fill-opacity=\".18\" d=\"M{LEFT},{floor}L{line}L{right},{floor}Z\"/>"
    );
    let _ = writeln!(out, "<polyline class=\"normal\" points=\"{}\"/>", path(&normal, floor, top));
    let _ =
        writeln!(out, "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" points=\"{line}\"/>");
    text(out, (MARGIN, floor - STRIP / 2.0 + 4.0), "", stage.name());
}

/// Who is in the swarms, by the fluid model.
fn swarm(out: &mut String, overview: &Overview) {
    let floor = floor(Stage::ALL.len());
    let rows = &overview.curves.rows;
    let leechers: Vec<f64> = rows.iter().map(|row| row.leechers).collect();
    let seeds: Vec<f64> = rows.iter().map(|row| row.seeds).collect();
    let top = round_up(leechers.iter().chain(&seeds).copied().fold(0.0, f64::max));
    grid(out, floor, [count(top), count(top / 2.0)]);
    for (peers, class) in [(leechers, "leechers"), (seeds, "seeds")] {
        let _ = writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", path(&peers, floor, top));
    }
    let middle = floor - STRIP / 2.0;
    for (line, label) in (0..).zip(["peers", "— leechers", "··· seeds"]) {
        let class = if line == 0 { "" } else { "small" };
        text(out, (MARGIN, middle - 12.0 + f64::from(line) * LINE), class, label);
    }
}

/// The lower edge of a strip.
fn floor(strip: usize) -> f64 {
    TOP + strip as f64 * (STRIP + GAP) + STRIP
}

/// The lines of a strip, with labels at its top and its middle.
fn grid(out: &mut String, floor: f64, [top, middle]: [String; 2]) {
    let right = WIDTH - RIGHT;
    for (share, label) in [(1.0, top), (0.5, middle), (0.0, "0".to_owned())] {
        let y = floor - STRIP * share;
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{LEFT},{y}H{right}\"/>");
        text(out, (LEFT - 8.0, y + 4.0), "small end", &label);
    }
}

fn path(values: &[f64], floor: f64, top: f64) -> String {
    let point = |(i, value): (usize, &f64)| {
        let x = LEFT + (WIDTH - LEFT - RIGHT) * (i as f64 + 0.5) / values.len() as f64;
        format!("{x:.1},{:.1} ", floor - STRIP * value / top)
    };
    values.iter().enumerate().map(point).collect()
}

/// A number of peers, with as many decimals as its half needs.
fn count(peers: f64) -> String {
    if peers >= 10.0 { format!("{peers:.0}") } else { format!("{peers:.2}") }
}

/// A line through all strips for everything that is marked, its letter above it; letters that would stand on one another move aside.
fn signals(out: &mut String, overview: &Overview, bottom: f64) {
    let placed =
        marks(overview).filter_map(|(letter, mark)| Some((place(overview, mark.at_seconds)?, letter)));
    let mut placed: Vec<(f64, char)> = placed.collect();
    placed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = 0.0;
    for (x, letter) in placed {
        let _ = writeln!(out, "<path class=\"signal\" d=\"M{x:.1},{}V{}\"/>", TOP - 8.0, bottom - GAP);
        let at = f64::max(x, free);
        text(out, (at, TOP - 12.0), "letter", &letter.to_string());
        free = at + 13.0;
    }
}

fn axis(out: &mut String, overview: &Overview, bottom: f64) {
    const HOUR: f64 = 3600.0;
    let (from, until) = (overview.from_seconds, overview.until_seconds);
    let steps =
        [1.0 / 60.0, 1.0 / 12.0, 1.0 / 6.0, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 168.0, 720.0]
            .map(|hours| hours * HOUR);
    let step = steps.into_iter().find(|step| (until - from) / step <= 12.0).unwrap_or(until - from);
    let first = (from / step).ceil() as u64;
    for tick in (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= until) {
        let x = LEFT + (WIDTH - LEFT - RIGHT) * (tick - from) / (until - from);
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{x:.1},{TOP}V{}\"/>", bottom - GAP + 5.0);
        text(out, (x, bottom + 4.0), "small middle", &moment(overview, tick));
    }
}

/// What is marked, in two columns.
fn legend(out: &mut String, overview: &Overview, top: f64) {
    for (i, (letter, mark)) in marks(overview).enumerate() {
        let outside = if place(overview, mark.at_seconds).is_some() { "" } else { " (outside the window)" };
        let note = format!("{letter}  {}  {}{outside}", moment(overview, mark.at_seconds), mark.name);
        let x = LEFT + if i % 2 == 0 { 0.0 } else { (WIDTH - LEFT) / 2.0 };
        text(out, (x, top - LINE + (i / 2) as f64 * LINE), "", &note);
    }
}

/// Where a moment stands; `None` outside the window.
fn place(overview: &Overview, seconds: f64) -> Option<f64> {
    let part = (seconds - overview.from_seconds) / (overview.until_seconds - overview.from_seconds);
    (0.0..1.0).contains(&part).then_some(LEFT + (WIDTH - LEFT - RIGHT) * part)
}

/// The next of 1, 2, 5, 10, 20, ...; 1 for nothing.
pub(super) fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = libm::pow(10.0, libm::log10(value).floor());
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(10.0 * power)
}

fn text(out: &mut String, (x, y): (f64, f64), class: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{content}</text>");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::Plan;
    use crate::scenario::{VariantName, sample};

    #[test]
    fn the_picture_names_stages_and_signals_and_escapes_what_people_wrote() {
        let mut scenario = sample::sample();
        scenario.title = "Risk & <reward>".to_owned();
        let overview = Plan::new(Arc::new(scenario), VariantName::Breakout, 1).overview(60);
        let normal: Vec<[f64; 5]> = overview.curves.rows.iter().map(|_| [1.0; 5]).collect();
        let svg = svg(&overview, &normal);
        assert!(
            svg.contains(">Risk &amp; &lt;reward&gt;</text>")
                && svg.contains("(breakout)")
                && !svg.contains("<reward>")
        );
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        for stage in Stage::ALL {
            assert!(svg.contains(&format!(">{}</text>", stage.name())));
        }
        assert_eq!(svg.matches("class=\"signal\"").count(), marks(&overview).count());
        assert_eq!(svg.matches("<polyline").count(), 12);
    }

    #[test]
    fn scales_end_on_round_figures() {
        assert_eq!([0.0, 2.0, 7.1, 53.4, 900.0].map(round_up), [1.0, 2.0, 8.0, 60.0, 1000.0]);
    }
}

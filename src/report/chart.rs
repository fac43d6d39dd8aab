//! Lines over the time of a run (SVG, inside a page that has the colours).
//!
//! By hand, for the reason that [`super::plot`] gives: the browser measures the text, and colours follow the page's light or dark.

use maud::{Markup, html};

use crate::record::SignalMark;

use super::plot::round_up;

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const PLOT: f64 = 150.0;
const HEIGHT: f64 = TOP + PLOT + 28.0;
/// Room for a letter.
const LETTER: f64 = 16.0;
/// Labels of the time axis, at most.
const TICKS: f64 = 10.0;

/// One line: a name, the class that colours it, a value a slice; none where there is nothing to tell.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) values: Vec<Option<f64>>,
}

/// A chart.
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
    /// The value at the upper edge, where the lines do not say it.
    pub(super) top: Option<f64>,
    /// How a value is written.
    pub(super) unit: fn(f64) -> String,
    /// What a unit of the axis is rounded in: 1024 for bytes.
    pub(super) base: f64,
    /// Seconds from its left edge to its right.
    pub(super) seconds: f64,
    pub(super) signals: &'a [SignalMark],
}

/// Draws it, with its title and the names of its lines above it.
pub(super) fn figure(chart: &Chart<'_>) -> Markup {
    let highest = chart.lines.iter().flat_map(|line| &line.values).flatten().copied().fold(0.0, f64::max);
    let top = chart.top.unwrap_or_else(|| round_up_in(chart.base, highest));
    let floor = TOP + PLOT;
    let x = |share: f64| LEFT + (WIDTH - LEFT - RIGHT) * share;
    let right = x(1.0);
    html! {
        figure {
            figcaption {
                strong { (chart.title) }
                @for line in &chart.lines { " " span.key.(line.class) { "● " (line.name) } }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(chart.title) {
                @for share in [0.0, 0.5, 1.0] {
                    @let y = floor - PLOT * share;
                    path.grid d=(format!("M{LEFT},{y}H{right}")) {}
                    text.end x=(LEFT - 8.0) y=(y + 5.0) { ((chart.unit)(top * share)) }
                }
                @for second in ticks(chart.seconds) {
                    @let at = x(second / chart.seconds);
                    path.grid d=(format!("M{at:.1},{floor}v5")) {}
                    text.middle x=(format!("{at:.1}")) y=(floor + 22.0) { (clock(second, chart.seconds)) }
                }
                @for (at, label, letter) in placed(chart, x) {
                    path.signal d=(format!("M{at:.1},{TOP}V{floor}")) {}
                    text.middle x=(format!("{label:.1}")) y=(TOP - 9.0) { (letter) }
                }
                @for line in &chart.lines {
                    @for run in runs(&line.values) {
                        @let points = points(&run, line.values.len(), |share, value| {
                            (x(share), floor - PLOT * (value / top).min(1.0))
                        });
                        polyline.line.(line.class) points=(points) {}
                    }
                }
            }
        }
    }
}

/// What happened on the run's clock, in order of time, each under a letter.
pub(super) fn letters(signals: &[SignalMark]) -> Vec<(char, &SignalMark)> {
    let mut sorted: Vec<_> = signals.iter().collect();
    sorted.sort_by(|one, other| one.at_seconds.total_cmp(&other.at_seconds));
    ('A'..='Z').cycle().zip(sorted).collect()
}

/// Where signals stand, where their letters do, and which; letters that would stand on one another move aside.
fn placed(chart: &Chart<'_>, x: impl Fn(f64) -> f64) -> Vec<(f64, f64, char)> {
    let mut free = 0.0;
    let inside = letters(chart.signals)
        .into_iter()
        .filter(|(_, mark)| (0.0..chart.seconds).contains(&mark.at_seconds));
    let place = inside.map(|(letter, mark)| {
        let at = x(mark.at_seconds / chart.seconds);
        let label = f64::max(at, free);
        free = label + LETTER;
        (at, label, letter)
    });
    place.collect()
}

/// The values that follow one another without a gap, each with its place.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let indexed: Vec<_> = values.iter().enumerate().collect();
    let told = indexed.split(|(_, value)| value.is_none()).filter(|run| !run.is_empty());
    told.map(|run| run.iter().filter_map(|(i, value)| Some((*i, (**value)?))).collect()).collect()
}

/// A run of values as points of a line. A single value is a line as wide as its slice.
fn points(run: &[(usize, f64)], slices: usize, place: impl Fn(f64, f64) -> (f64, f64)) -> String {
    let at = |i: f64, value: f64| {
        let (x, y) = place(i / slices as f64, value);
        format!("{x:.1},{y:.1}")
    };
    match run {
        [(i, value)] => format!("{} {}", at(*i as f64, *value), at(*i as f64 + 1.0, *value)),
        run => run.iter().map(|&(i, value)| at(i as f64 + 0.5, value)).collect::<Vec<_>>().join(" "),
    }
}

/// The next round figure in units of a base: 1, 1.5, 2, ... KiB, MiB for 1024.
fn round_up_in(base: f64, value: f64) -> f64 {
    let mut unit = 1.0;
    while base > 1.0 && value >= unit * base {
        unit *= base;
    }
    (round_up(value / unit) * unit).max(1.0)
}

/// Round moments of a run.
fn ticks(seconds: f64) -> impl Iterator<Item = f64> {
    const STEPS: [f64; 16] = [
        1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21600.0,
        86400.0,
    ];
    let step = STEPS.into_iter().find(|step| seconds / step <= TICKS).unwrap_or(seconds / TICKS);
    (0..).map(move |n| f64::from(n) * step).take_while(move |at| *at <= seconds)
}

/// A moment of a run of this length: `45 s`, `2:30`, `1:02:30`.
pub(super) fn clock(at: f64, length: f64) -> String {
    let whole = at as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match length {
        length if length <= 120.0 => format!("{whole} s"),
        length if length <= 3600.0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_figures_of_their_base() {
        assert_eq!(round_up_in(1024.0, 37.2 * 1024.0 * 1024.0), 40.0 * 1024.0 * 1024.0);
        assert_eq!([0.0, 0.3, 7.1, 53.4].map(|value| round_up_in(1.0, value)), [1.0, 1.0, 8.0, 60.0]);
    }

    #[test]
    fn letters_do_not_stand_on_one_another() {
        let mark = |name: &str, at_seconds| SignalMark { name: name.to_owned(), at_seconds };
        let signals = [mark("late", 50.5), mark("early", 50.0), mark("before", -1.0), mark("alone", 90.0)];
        let chart = Chart {
            title: "",
            lines: Vec::new(),
            top: None,
            unit: |_| String::new(),
            base: 1.0,
            seconds: 100.0,
            signals: &signals,
        };
        let seen = placed(&chart, |share| share * 1000.0);
        assert_eq!(seen, [(500.0, 500.0, 'B'), (505.0, 516.0, 'C'), (900.0, 900.0, 'D')]);
    }

    #[test]
    fn gaps_divide_a_line() {
        assert_eq!(
            runs(&[None, Some(1.0), Some(2.0), None, None, Some(3.0)]),
            [vec![(1, 1.0), (2, 2.0)], vec![(5, 3.0)]]
        );
        assert_eq!(points(&[(5, 3.0)], 6, |share, value| (share * 6.0, value)), "5.0,3.0 6.0,3.0");
    }

    #[test]
    fn moments_are_told_as_the_length_asks() {
        assert_eq!(ticks(62.0).collect::<Vec<_>>(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        let told = [(50.0, 62.0), (150.0, 600.0), (3750.0, 7200.0)].map(|(at, length)| clock(at, length));
        assert_eq!(told, ["50 s", "2:30", "1:02:30"]);
    }
}

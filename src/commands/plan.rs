//! `squall plan`.

use std::fs;
use std::path::Path;

use super::cli::{PlanArgs, PlanFormat, ViewArgs};
use super::exit::{Exit, Failure};
use super::rehearsal::{check_end, prepare};
use super::{Colors, print};
use crate::analysis::forecast;
use crate::plan::replay::Replay;
use crate::plan::{Overview, Plan, Schedule, Stage};
use crate::report::{forecast as views, plan as format, plot, replay as log};

/// Points of the curves: more than a terminal has columns, so that a chart never has to invent any.
const BUCKETS: usize = 240;

/// Shows what a scenario would send.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files, [`Exit::Trouble`] where the plot cannot be written.
pub(super) fn plan(args: &PlanArgs, colors: Colors) -> Result<Exit, Failure> {
    let plan = match prepare(&args.cut, colors)?.schedule {
        Schedule::Drawn(plan) => plan,
        Schedule::Replayed(replay) => return survey(&replay, args.output_format),
    };
    if let Some(path) = &args.plot {
        check_plot(path)?;
        fs::write(path, picture(&plan)).map_err(|error| Failure::trouble(path.display(), error))?;
    }
    let text = match (&args.view, args.output_format) {
        (ViewArgs { bands: Some(seeds), .. }, form) => {
            let bands = forecast::bands(&plan, *seeds);
            match form {
                PlanFormat::Text => Ok(views::bands_text(&bands)),
                PlanFormat::Json => views::json(&bands).map_err(trouble),
                PlanFormat::Csv => views::bands_csv(&bands).map_err(trouble),
            }
        }
        (ViewArgs { compare: true, .. }, form) => {
            let forecasts = forecast::compare(&plan);
            match form {
                PlanFormat::Text => Ok(views::compare_text(&forecasts)),
                PlanFormat::Json => views::json(&forecasts).map_err(trouble),
                PlanFormat::Csv => views::compare_csv(&forecasts).map_err(trouble),
            }
        }
        (ViewArgs { regions: true, .. }, form) => match form {
            // What the table's figures leave of a line.
            PlanFormat::Text => {
                Ok(views::regions_text(&forecast::regions(&plan, width().saturating_sub(46))))
            }
            PlanFormat::Json => views::json(&forecast::regions(&plan, BUCKETS)).map_err(trouble),
            PlanFormat::Csv => views::regions_csv(&forecast::regions(&plan, BUCKETS)).map_err(trouble),
        },
        (_, form) => {
            let overview = plan.overview(BUCKETS);
            match form {
                PlanFormat::Text => Ok(format::text(&overview, width(), colors.out)),
                PlanFormat::Json => format::json(&overview).map_err(trouble),
                PlanFormat::Csv => format::csv(&overview).map_err(trouble),
            }
        }
    };
    print::out(&text?)?;
    Ok(Exit::Done)
}

/// Shows a log that is replayed.
fn survey(replay: &Replay, form: PlanFormat) -> Result<Exit, Failure> {
    let columns = if form == PlanFormat::Text { width().saturating_sub(12) } else { BUCKETS };
    let survey = replay.survey(columns);
    check_end(replay)?;
    let text = match form {
        PlanFormat::Text => Ok(log::text(&survey)),
        PlanFormat::Json => views::json(&survey).map_err(trouble),
        PlanFormat::Csv => log::csv(&survey).map_err(trouble),
    };
    print::out(&text?)?;
    Ok(Exit::Done)
}

/// A picture is written in one format. PNG would take a rasteriser and fonts, which every desktop has.
///
/// # Errors
/// [`Exit::Input`] where the name asks for another format.
fn check_plot(path: &Path) -> Result<(), Failure> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg")) {
        return Ok(());
    }
    let (name, svg) = (path.display(), path.with_extension("svg"));
    let message = format!(
        "error: --plot writes SVG, and {name} does not end in .svg\n  hint: --plot {svg}; `rsvg-convert {svg} -o FILE.png` makes a PNG of it",
        svg = svg.display()
    );
    Err(Failure::new(Exit::Input, message))
}

/// The plot: the plan over a normal day.
fn picture(plan: &Plan) -> String {
    let overview = plan.overview(BUCKETS);
    let normal = forecast::normal_day(plan);
    let Overview { from_seconds, until_seconds, .. } = overview;
    let middle = |i: usize| from_seconds + (until_seconds - from_seconds) * (i as f64 + 0.5) / BUCKETS as f64;
    let rates: Vec<[f64; 5]> =
        (0..BUCKETS).map(|i| Stage::ALL.map(|stage| normal.expected(stage, middle(i)))).collect();
    plot::svg(&overview, &rates)
}

fn trouble(error: impl std::fmt::Display) -> Failure {
    Failure::trouble("writing the plan", error)
}

/// Columns of the terminal; 100 where there is none.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 100 } else { columns.clamp(60, 160) }
}

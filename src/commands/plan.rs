//! `squall plan`.

use super::cli::{PlanArgs, PlanFormat};
use super::exit::{Exit, Failure};
use super::rehearsal::prepare;
use super::{Colors, print};
use crate::report::plan as format;

/// Points of the curves: more than a terminal has columns, so that a chart never has to invent any.
const BUCKETS: usize = 240;

/// Shows what a scenario would send.
///
/// # Errors
/// [`Exit::Input`] with every problem of the files.
pub(super) fn plan(args: &PlanArgs, colors: Colors) -> Result<Exit, Failure> {
    let prepared = prepare(&args.cut, colors)?;
    let overview = prepared.plan.overview(BUCKETS);
    let trouble = |error: &dyn std::fmt::Display| Failure::trouble("writing the plan", error);
    let text = match args.output_format {
        PlanFormat::Text => format::text(&overview, width(), colors.out),
        PlanFormat::Json => format::json(&overview).map_err(|error| trouble(&error))?,
        PlanFormat::Csv => format::csv(&overview).map_err(|error| trouble(&error))?,
    };
    print::out(&text)?;
    Ok(Exit::Done)
}

/// Columns of the terminal; 100 where there is none.
fn width() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 100 } else { columns.clamp(60, 160) }
}

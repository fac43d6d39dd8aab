//! Bands, forecasts and regions of a plan, for people (tables) and for programs (CSV; JSON by [`json`]).

use serde::Serialize;

use crate::analysis::forecast::{Band, Bands, Forecast, RegionCurve};

use super::plan::{EIGHTHS, STEPS, clock, rate, span};
use super::table::{Align, table};

/// A view as JSON; the fields are those of its type.
///
/// # Errors
/// None that a view can cause: every number of it is finite or written as null.
pub fn json<T: Serialize + ?Sized>(view: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(view)
}

/// Totals and peaks of each stage over many seeds.
#[must_use]
pub fn bands_text(bands: &Bands) -> String {
    let last = bands.first_seed.wrapping_add(u64::from(bands.seeds).saturating_sub(1));
    let mut out = format!(
        "{} seeds ({} to {last}): 15 % of them drew less than the first figure, half less than the second, 85 % less than the third.\n\n",
        bands.seeds, bands.first_seed
    );
    let mut rows = vec![cells(["stage", "steps 15 %", "50 %", "85 %", "peak 15 %", "50 %", "85 %"])];
    for stage in &bands.stages {
        let totals = figures(&stage.total).map(|figure| format!("{figure:.0}"));
        let peaks = figures(&stage.peak_per_second).map(rate);
        rows.push([vec![stage.stage.name().to_owned()], totals.into(), peaks.into()].concat());
    }
    out += &table(&aligned::<7>(), &rows);
    out + "\nPeaks are the highest drawn rates of 5 s of the run. Seeds differ by chance alone; --compare shows what the forecasts disagree on.\n"
        + STEPS
}

/// One line per stage: `stage, total_15, total_50, total_85, peak_15_per_second, peak_50_per_second, peak_85_per_second`.
///
/// # Errors
/// None that a view can cause: the text is written to memory.
pub fn bands_csv(bands: &Bands) -> Result<String, csv::Error> {
    let head = [
        "total_15",
        "total_50",
        "total_85",
        "peak_15_per_second",
        "peak_50_per_second",
        "peak_85_per_second",
    ];
    let rows = bands.stages.iter().map(|stage| {
        let figures = figures(&stage.total).into_iter().chain(figures(&stage.peak_per_second));
        std::iter::once(stage.stage.name().to_owned())
            .chain(figures.map(|figure| figure.to_string()))
            .collect()
    });
    lines(["stage"].iter().chain(&head), rows)
}

/// The three forecasts side by side.
#[must_use]
pub fn compare_text(forecasts: &[Forecast]) -> String {
    let heads = ["stage", "forecast", "steps", "of normal", "peak", "at", "of normal", "doubles in"];
    let mut rows = vec![cells(heads)];
    let stages = forecasts.first().map_or(0, |forecast| forecast.stages.len());
    for stage in 0..stages {
        for (place, forecast) in forecasts.iter().enumerate() {
            let figures = &forecast.stages[stage];
            rows.push(vec![
                if place == 0 { figures.stage.name().to_owned() } else { String::new() },
                format!("{:?}", forecast.variant).to_lowercase(),
                format!("{:.0}", figures.total),
                multiple(figures.uplift),
                rate(figures.peak_per_second),
                clock(figures.peak_at_seconds),
                multiple(figures.peak_uplift),
                figures.doubling_seconds.map_or("never".to_owned(), span),
            ]);
        }
    }
    let mut align = aligned::<8>();
    align[1] = Align::Left;
    table(&align, &rows)
        + "\nA normal day is the same window without signals, abuse, restarts and exoduses. The second \"of normal\" is the most that the rate exceeds that\n\
           of a normal day at the same hour; \"doubles in\" the shortest scenario time in which it doubles.\n"
        + STEPS
}

/// One line per forecast and stage; the columns are the fields of [`crate::analysis::forecast::StageForecast`].
///
/// # Errors
/// None that a view can cause: the text is written to memory.
pub fn compare_csv(forecasts: &[Forecast]) -> Result<String, csv::Error> {
    let head = [
        "forecast",
        "stage",
        "total",
        "uplift",
        "peak_per_second",
        "peak_at_seconds",
        "peak_uplift",
        "doubling_seconds",
    ];
    let optional = |figure: Option<f64>| figure.map(|figure| figure.to_string()).unwrap_or_default();
    let rows = forecasts.iter().flat_map(|forecast| {
        forecast.stages.iter().map(move |stage| {
            vec![
                format!("{:?}", forecast.variant).to_lowercase(),
                stage.stage.name().to_owned(),
                stage.total.to_string(),
                optional(stage.uplift),
                stage.peak_per_second.to_string(),
                stage.peak_at_seconds.to_string(),
                optional(stage.peak_uplift),
                optional(stage.doubling_seconds),
            ]
        })
    });
    lines(&head, rows)
}

/// Each region's visits, as figures and as a curve.
#[must_use]
pub fn regions_text(regions: &[RegionCurve]) -> String {
    let mut rows = vec![cells(["region", "visits", "peak", "at", "expected visits over the window"])];
    let top = regions.iter().map(|region| region.peak_per_second).fold(0.0, f64::max);
    for region in regions {
        let bars = region.points.iter().map(|point| {
            let eighths = if top > 0.0 { (point.visits_per_second / top * 8.0).round() as usize } else { 0 };
            EIGHTHS[eighths.min(8)]
        });
        rows.push(vec![
            region.region.clone(),
            format!("{:.0}", region.visits),
            rate(region.peak_per_second),
            clock(region.peak_at_seconds),
            bars.collect(),
        ]);
    }
    let mut align = aligned::<5>();
    align[4] = Align::Left;
    table(&align, &rows) + "\nAll curves have one scale.\n" + STEPS
}

/// One line per region and moment: `region` and the fields of [`crate::analysis::forecast::RegionPoint`].
///
/// # Errors
/// None that a view can cause: the text is written to memory.
pub fn regions_csv(regions: &[RegionCurve]) -> Result<String, csv::Error> {
    let rows = regions.iter().flat_map(|region| {
        region.points.iter().map(|point| {
            let figures =
                [point.scenario_seconds, point.visits_per_second, point.starts_per_second, point.population];
            std::iter::once(region.region.clone()).chain(figures.map(|figure| figure.to_string())).collect()
        })
    });
    lines(&["region", "scenario_seconds", "visits_per_second", "starts_per_second", "population"], rows)
}

fn figures(band: &Band) -> [f64; 3] {
    [band.low, band.middle, band.high]
}

fn multiple(figure: Option<f64>) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{figure:.2}x"))
}

fn cells<const N: usize>(heads: [&str; N]) -> Vec<String> {
    heads.map(str::to_owned).into()
}

/// Names on the left, figures on the right.
fn aligned<const N: usize>() -> [Align; N] {
    std::array::from_fn(|column| if column == 0 { Align::Left } else { Align::Right })
}

pub(super) fn lines<'h>(
    head: impl IntoIterator<Item = &'h &'h str>,
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use crate::analysis::forecast::{bands, compare, regions};
    use crate::plan::Plan;
    use crate::scenario::{VariantName, sample};

    fn plan() -> Plan {
        let mut scenario = sample::sample();
        scenario.cut.speed = 8000.0;
        Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
    }

    #[test]
    fn every_view_says_what_it_counts_and_fits_its_table() {
        let plan = plan();
        let bands = bands(&plan, NonZeroU32::new(3).unwrap());
        let (compared, regions) = (compare(&plan), regions(&plan, 40));
        for text in [bands_text(&bands), compare_text(&compared), regions_text(&regions)] {
            assert!(text.ends_with(STEPS), "{text}");
        }
        assert!(bands_text(&bands).starts_with("3 seeds (1 to 3)"));
        let compared = compare_text(&compared);
        assert_eq!(compared.lines().filter(|line| line.contains("breakout")).count(), 5, "{compared}");
        assert_eq!(regions_text(&regions).lines().count(), 1 + regions.len() + 2 + STEPS.lines().count());
    }

    #[test]
    fn csv_has_one_line_a_figure() {
        let plan = plan();
        let count = |text: String| text.lines().count();
        assert_eq!(count(bands_csv(&bands(&plan, NonZeroU32::MIN)).unwrap()), 1 + 5);
        assert_eq!(count(compare_csv(&compare(&plan)).unwrap()), 1 + 15);
        let regions = regions(&plan, 7);
        assert_eq!(count(regions_csv(&regions).unwrap()), 1 + 7 * regions.len());
    }
}

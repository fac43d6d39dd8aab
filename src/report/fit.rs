//! What `squall fit` found, for people.

use jiff::Timestamp;

use crate::fit::{
    Account, Against, Comparison, Control, Coverage, Estimate, Series, Shock, Split, Uplift, WEEKDAYS,
};

use super::quantity::{percent, three_digits};
use super::table::{Align, table};

/// Most shocks and gaps that are listed.
const LISTED: usize = 10;

/// The findings as text; ends with a newline.
#[must_use]
pub fn text(name: &str, series: &Series, account: &Account) -> String {
    let sections = [
        measured(name, series),
        normal(series, account),
        shocks(series, account),
        scenario(series, account),
        coverage(&account.coverage),
        uplifts(&account.uplifts),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn measured(name: &str, series: &Series) -> String {
    let missing: usize = series.gaps.iter().map(|gap| gap.bins).sum();
    let mut text = format!(
        "{name}: {} bins of {} from {}, {missing} missing in {} gaps\n",
        series.values.len(),
        span(series.step as f64),
        moment(series.start),
        series.gaps.len(),
    );
    for gap in series.gaps.iter().take(LISTED) {
        text += &format!("  {} missing after line {}\n", gap.bins, gap.line);
    }
    text + &more(series.gaps.len())
}

fn normal(series: &Series, account: &Account) -> String {
    let season = &account.fit.season;
    let branching = &account.fit.branching;
    let mut text = format!("normal day (intervals of 95 %)\n  level {} per bin\n", interval(season.level));
    match season.harmonic {
        Some(daily) => {
            text += &format!(
                "  peak hour {} UTC, night {} of the peak (first harmonic)\n",
                interval(daily.peak_hour),
                interval(daily.night)
            );
        }
        None => text += &format!("  no daily curve: bins of {}\n", span(series.step as f64)),
    }
    let days = WEEKDAYS.iter().zip(season.weekdays).map(|(day, factor)| format!("{day} {factor:.2}"));
    text += &format!("  {}\n", days.collect::<Vec<_>>().join("  "));
    let fanos =
        branching.measured.iter().map(|(window, f)| format!("{} {}", span(*window), three_digits(*f)));
    text += &format!("  Fano factor by window: {}\n", fanos.collect::<Vec<_>>().join("  "));
    text + &format!(
        "  branching ratio {}, mean delay {} s (drifts of the level count as self-excitation: an upper bound)\n",
        interval(branching.ratio),
        interval(branching.delay)
    )
}

fn shocks(series: &Series, account: &Account) -> String {
    let mut largest: Vec<&Shock> = account.fit.shocks.iter().collect();
    largest.sort_by(|a, b| b.ratio.value.total_cmp(&a.ratio.value));
    let mut rows =
        vec![["shock at", "times normal", "half-life, min", "exponent"].map(str::to_owned).to_vec()];
    let shown = |estimate: Option<Estimate>| estimate.map_or_else(|| "-".to_owned(), interval);
    let minutes = |seconds: Estimate| Estimate {
        value: seconds.value / 60.0,
        low: seconds.low / 60.0,
        high: seconds.high / 60.0,
    };
    for shock in largest.iter().take(LISTED) {
        rows.push(vec![
            moment(series.second(shock.bin)),
            interval(shock.ratio),
            shown(shock.half_life.map(minutes)),
            shown(shock.exponent),
        ]);
    }
    let columns = [Align::Left, Align::Right, Align::Right, Align::Right];
    table(&columns, &rows) + &more(largest.len())
}

fn scenario(series: &Series, account: &Account) -> String {
    let event = &account.scenario.event;
    let shape = &event.attention;
    let mut text = format!(
        "scenario of {} to {}\n  base {} per bin, rise {}, relaxation (1 + t/{})^-{:.1}\n",
        moment(series.second(event.window.from)),
        moment(series.second(event.window.until)),
        interval(event.base),
        span(shape.rise.as_secs_f64()),
        span(shape.relax.as_secs_f64()),
        1.0 + shape.theta,
    );
    for wave in &event.waves {
        let at = moment(series.second(event.window.from) + wave.at as i64);
        text += &format!("  shock at {at}, strength {}\n", interval(wave.strength));
    }
    text += &format!(
        "  70 % band of its simulation: holds {} of the bins that it was fitted on\n",
        percent(account.inside)
    );
    if let Some((count, band)) = account.peak {
        text += &format!(
            "  its fullest bin has {count:.0}; the simulation has {:.0} there (15 % {:.0}, 85 % {:.0})\n",
            band.middle, band.low, band.high
        );
    }
    text
}

fn coverage(coverage: &[Coverage]) -> String {
    if coverage.is_empty() {
        return String::new();
    }
    let head = [
        "held out",
        "events",
        "bins",
        "in 70 % band",
        "branching alone",
        "pinball",
        "normal day's",
        "60-80 %",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for found in coverage {
        let name = match found.split {
            Split::Between => "every second hour or bin",
            Split::Later => "what comes after the peak",
        };
        rows.push(vec![
            name.to_owned(),
            found.events.to_string(),
            found.points.to_string(),
            percent(found.inside),
            percent(found.inside_alone),
            format!("{:.3}", found.pinball),
            format!("{:.3}", found.pinball_calm),
            if (0.6..=0.8).contains(&found.inside) { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let right = [Align::Right; 7];
    let columns: Vec<Align> = std::iter::once(Align::Left).chain(right).collect();
    "bands on bins that were not fitted (pinball loss over the mean count)\n".to_owned()
        + &table(&columns, &rows)
}

fn uplifts(all: &[Against]) -> String {
    all.iter().map(against).collect::<Vec<_>>().join("\n")
}

fn against(event: &Against) -> String {
    let title = format!("event {}\n", moment(event.at));
    let uplift = match &event.uplift {
        Ok(found) => self::uplift(found),
        Err(why) => format!("  no uplift: {why}\n"),
    };
    let control = match &event.control {
        Some(Ok(found)) => comparison(found),
        Some(Err(why)) => format!("  no control: {why}\n"),
        None => String::new(),
    };
    title + &uplift + &control
}

fn uplift(found: &Uplift) -> String {
    format!(
        "  {:.0} against {} in the {} weeks before ({} dropped)\n  uplift {} in 72 h, {} in the first 6 h, {} at the peak\n  weeks against each other: {}\n",
        found.event,
        list(&found.weeks, 0),
        found.weeks.len(),
        found.dropped,
        interval(found.whole),
        interval(found.first_hours),
        interval(found.peak),
        list(&found.placebo, 2),
    )
}

fn comparison(found: &Comparison) -> String {
    let state = match found.state {
        Control::Steady => "steady",
        Control::Contaminated => {
            "CONTAMINATED: it rose more than in any week without the event, so the difference understates it"
        }
        Control::Fell => {
            "UNSTEADY: it fell more than in any week without the event, so the difference overstates it"
        }
    };
    format!(
        "  difference in differences {:.3} (log ratio; without the event {})\n  control: {} times its weeks, {state}\n",
        found.log_ratio,
        list(&found.placebo, 3),
        three_digits(found.control.whole.value),
    )
}

fn list(values: &[f64], digits: usize) -> String {
    values.iter().map(|value| format!("{value:.digits$}")).collect::<Vec<_>>().join(", ")
}

/// `0.80 (0.70 to 0.90)`.
fn interval(estimate: Estimate) -> String {
    let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(three_digits);
    format!("{value} ({low} to {high})")
}

fn more(all: usize) -> String {
    if all > LISTED { format!("  and {} more\n", all - LISTED) } else { String::new() }
}

fn span(seconds: f64) -> String {
    humantime::format_duration(std::time::Duration::from_secs_f64(seconds.max(0.0).round())).to_string()
}

fn moment(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}

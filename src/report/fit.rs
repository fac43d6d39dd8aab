//! What `squall fit` found, for people.

use jiff::Timestamp;

use crate::fit::{
    Account, Against, Comparison, Control, Coverage, Doubt, Estimate, Lag, Series, Shock, Split, Uplift,
    WEEKDAYS,
};

use super::quantity::{percent, three_digits};
use super::table::{Align, table};

/// Most shocks and gaps that are listed.
const LISTED: usize = 10;

/// The findings as text; ends with a newline.
#[must_use]
pub fn text(name: &str, series: &Series, account: &Account) -> String {
    let sections = [
        verdict(account),
        scenario(series, account),
        coverage(&account.coverage),
        uplifts(&account.uplifts),
        lag(account),
        measured(name, series),
        normal(series, account),
        shocks(series, account),
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
    text +=
        &format!("  dispersion of second differences by window: {}\n", fanos.collect::<Vec<_>>().join("  "));
    text + &format!(
        "  branching ratio {}, mean delay {} s (noise that grows with the level counts as well: an upper bound)\n",
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

/// What to do with the scenario, and everything that speaks against it.
fn verdict(account: &Account) -> String {
    let scenario = &account.scenario;
    let peak = scenario.peak;
    let mut text = if account.doubts.is_empty() {
        "✓ USABLE: nothing speaks against the fitted scenario\n".to_owned()
    } else {
        format!("! USE WITH CARE: {} doubt(s) about the fitted scenario\n", account.doubts.len())
    };
    text += &format!(
        "  peak: measured {:.0} a bin, scenario {:.0} (70 % band {:.0} to {:.0}); band learnt from {} event(s)\n",
        peak.count, peak.mean, peak.band.low, peak.band.high, account.events,
    );
    let doubts = account.doubts.iter().map(|doubt| format!("  ! {}\n", self::doubt(doubt)));
    text + &doubts.collect::<String>()
}

fn doubt(doubt: &Doubt) -> String {
    match doubt {
        Doubt::OneEvent => {
            "one event only: the band is all that was seen of it, the next may be quite different".to_owned()
        }
        Doubt::FewEvents(events) => format!("{events} events only: how much they differ is hardly known"),
        Doubt::Band(split) => {
            format!("the 70 % band does not hold 60 to 80 % of what was held out ({})", self::split(*split))
        }
        Doubt::NoBetterThanNormal(split) => {
            format!("a normal day predicts what was held out as well ({})", self::split(*split))
        }
        Doubt::NoBetterThanPersistence(split) => {
            format!("the last hour predicts what was held out as well ({})", self::split(*split))
        }
        Doubt::Peak => {
            "the scenario misses the peak: outside its band and off by more than a quarter".to_owned()
        }
        Doubt::Control(at, Control::Fell) => {
            format!("the control fell with the event of {}: something else moved as well", moment(*at))
        }
        Doubt::Control(at, _) => format!(
            "the control rose with the event of {}: the event is not the only cause of the rise",
            moment(*at)
        ),
        Doubt::NotUnusual(at) => {
            format!("the event of {} brought no more than some week without it", moment(*at))
        }
    }
}

const fn split(split: Split) -> &'static str {
    match split {
        Split::Hours => "random hours in turn",
        Split::Halves => "every second hour, then the others",
        Split::Later => "later than 6 h after the peak",
    }
}

fn scenario(series: &Series, account: &Account) -> String {
    let scenario = &account.scenario;
    let event = &scenario.event;
    let mut text = format!(
        "scenario of {} to {} (intervals of 95 %)\n  base {} per bin, relaxation (1 + t/c)^-{:.1}\n",
        moment(series.second(event.window.from)),
        moment(series.second(event.window.until)),
        interval(event.base),
        1.0 + event.attention.theta,
    );
    for wave in &event.waves {
        let at = moment(series.second(event.window.from) + wave.at as i64);
        text += &format!(
            "  shock at {at}, strength {}, rise {}, c {}\n",
            interval(wave.strength),
            span(wave.rise.as_secs_f64()),
            span(wave.relax.as_secs_f64()),
        );
    }
    text + &format!(
        "  its 70 % band holds {} of its bins; chance and self-excitation alone, as `squall plan --bands` draws them, {}\n",
        percent(scenario.inside),
        percent(scenario.inside_alone),
    )
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
        "pinball",
        "/ normal day's",
        "/ last hour's",
        "60-80 %",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for found in coverage {
        let inside = found.inside;
        rows.push(vec![
            split(found.split).to_owned(),
            found.events.to_string(),
            found.points.to_string(),
            format!("{} ({:.0} to {:.0})", percent(inside.value), 100.0 * inside.low, 100.0 * inside.high),
            format!("{:.3}", found.pinball),
            interval(found.against_normal),
            interval(found.against_persistence),
            if found.honest() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    let columns: Vec<Align> = std::iter::once(Align::Left).chain([Align::Right; 7]).collect();
    let taught = coverage.iter().map(|found| found.taught).max().unwrap_or(0);
    let first = if taught > 0 {
        format!(
            "  the first {taught} events are not judged later than 6 h: they teach how far such forecasts go wrong\n"
        )
    } else {
        String::new()
    };
    "bands on bins that were not fitted (pinball loss over the mean count, and over that of simpler predictions: below 1 is better)\n"
        .to_owned()
        + &table(&columns, &rows)
        + &first
}

fn lag(account: &Account) -> String {
    match &account.lag {
        None => String::new(),
        Some(Err(why)) => format!("lag behind the other series\n  not looked for: {why}\n"),
        Some(Ok(found)) => lagged(found),
    }
}

fn lagged(found: &Lag) -> String {
    let minutes = |estimate: Estimate| {
        let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(span);
        format!("{value} ({low} to {high})")
    };
    let head = if found.found() {
        format!("it lags {} behind the other series\n", minutes(found.lag))
    } else {
        let why = if !found.significant() {
            "the correlation is what chance brings"
        } else if found.correlation <= found.reverse {
            "the other series follows this one rather than leads it"
        } else {
            "too few events show the same"
        };
        format!("no lag found behind the other series: {why}; the best was {}\n", minutes(found.lag))
    };
    format!(
        "{head}  correlation {:.3} after whitening; 95 of 100 circular shifts stay below {:.3}; the other way round {:.3}\n  \
         {} of {} events show this lag; a lag is no cause: both may follow a third\n",
        found.correlation, found.chance, found.reverse, found.agreeing, found.events,
    )
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

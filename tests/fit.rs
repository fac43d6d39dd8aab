//! `squall fit` on measured series: stock-ticker tweets (Numenta Anomaly Benchmark) and page views (Wikipedia).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy sees the helpers of an integration test as ordinary code"
)]

mod program;

use std::path::Path;

use squall::fit::{self, Account, Control, Doubt, Fit, Profiles, Question, Series, Split, Window};
use squall::problem::SourceFile;

use program::{run, stderr};

/// A measured series; `None`, and a line that says so, where the data is not there.
fn series(path: &str, log: bool) -> Option<Series> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(path);
    match SourceFile::open(&path) {
        Ok(file) => Some(Series::read(file, log).unwrap()),
        Err(_) => {
            println!("skipped: {} is not there", path.display());
            None
        }
    }
}

fn tweets(ticker: &str) -> Option<Series> {
    series(&format!("nab/Twitter_volume_{ticker}.csv"), false)
}

fn views() -> Option<Series> {
    series("wikipedia/example_wp_log_peyton_manning.csv", true)
}

fn whole(series: &Series) -> Fit {
    fit::fit(series, &|_| true, 1).unwrap()
}

fn second(moment: &str) -> i64 {
    format!("{moment}Z").parse::<jiff::Timestamp>().unwrap().as_second()
}

/// The oracles of domain.md section 4: weeks, uplift, first six hours, difference in differences.
#[test]
fn uplift_of_known_events() {
    let (Some(fb), Some(aapl), Some(goog)) = (tweets("FB"), tweets("AAPL"), tweets("GOOG")) else { return };
    let facebook = second("2015-04-03T17:47:53");
    let found = fit::uplift(&fb, facebook, &[], 1).unwrap();
    assert!(!found.unusual(), "a week without the event brought more");
    assert_eq!((found.event, found.weeks.clone()), (13_499.0, vec![15_202.0, 12_289.0, 11_042.0, 12_544.0]));
    assert!((found.whole.value - 1.057).abs() < 5e-4 && (found.first_hours.value - 2.31).abs() < 5e-3);
    let against = fit::compare(&found, &goog, facebook, &[], 1).unwrap();
    assert!((against.log_ratio - 0.280).abs() < 1e-3, "{against:?}");
    assert_eq!(against.state, Control::Fell);

    let apple = second("2015-03-31T03:27:53");
    let found = fit::uplift(&aapl, apple, &[], 1).unwrap();
    assert_eq!(
        (found.event, found.weeks.clone()),
        (192_441.0, vec![46_226.0, 57_394.0, 128_303.0, 77_270.0])
    );
    assert!((found.whole.value - 2.490).abs() < 5e-4 && (found.first_hours.value - 7.95).abs() < 5e-3);
    let against = fit::compare(&found, &goog, apple, &[], 1).unwrap();
    assert!((against.log_ratio - 0.465).abs() < 1e-3, "{against:?}");
    assert!((against.control.whole.value - 1.564).abs() < 5e-4);
    assert_eq!(against.state, Control::Contaminated);
}

/// The 70 % band of fitted scenarios holds 60 to 80 % of the bins of event windows that were held out, every one once, whichever hours
/// (days) are held out together. The forecast of what comes after the peak is printed and not judged: nothing makes it right.
fn band_holds(series: Option<Series>, splits: &[Split]) {
    let Some(series) = series else { return };
    let whole = whole(&series);
    for split in splits {
        let found = fit::cover(&series, &whole, *split).unwrap().unwrap();
        println!("{found:?}");
        assert!((0.6..=0.8).contains(&found.inside.value), "{found:?}");
        assert!(found.events >= 5 && found.points >= 400, "{found:?}");
    }
    println!("{:?}", fit::cover(&series, &whole, Split::Later).unwrap());
}

#[test]
fn the_band_holds_on_fb() {
    band_holds(tweets("FB"), &[Split::Hours, Split::Halves]);
}

#[test]
fn the_band_holds_on_aapl() {
    band_holds(tweets("AAPL"), &[Split::Hours, Split::Halves]);
}

#[test]
fn the_band_holds_on_goog() {
    band_holds(tweets("GOOG"), &[Split::Hours, Split::Halves]);
}

#[test]
fn the_band_holds_on_wikipedia() {
    // Without every second day the band is too wide (more than 80 % inside): it is measured on gaps of three days and used on one.
    band_holds(views(), &[Split::Hours]);
}

/// The scenario of an event reaches its peak: within the band or within a quarter.
#[test]
fn fitted_peaks_are_those_that_were_measured() {
    let events = [
        (tweets("FB"), "2015-04-03T17:47:53"),
        (tweets("AAPL"), "2015-03-31T03:27:53"),
        (tweets("GOOG"), "2015-03-28T05:57:53"),
        (views(), "2014-02-03T00:00:00"),
        (views(), "2015-11-30T00:00:00"),
    ];
    for (series, at) in events {
        let Some(series) = series else { return };
        let window = Window::around(&series, second(at)).unwrap();
        let found = fit::fitted(&question(&series, &[], None), &whole(&series), window).unwrap().0;
        let peak = found.peak;
        println!("{peak:?}");
        // What the scenario file says is what was fitted.
        let off = found.means.iter().zip(&found.event.means).map(|(read, fitted)| (read - fitted).abs());
        let off = off.sum::<f64>() / found.means.iter().sum::<f64>();
        assert!(off < 0.05, "{at}: {off}");
        assert!((peak.mean / peak.count - 1.0).abs() < 0.25, "{at}: {peak:?}");
        assert!(peak.reached(), "{at}: {peak:?}");
    }
}

fn question<'a>(series: &'a Series, events: &[i64], control: Option<&'a Series>) -> Question<'a> {
    Question {
        name: "measured".to_owned(),
        series,
        events: events.to_vec(),
        control,
        behind: None,
        profiles: Profiles::default(),
        seed: 1,
    }
}

fn account(series: &Series, events: &[i64], control: Option<&Series>) -> Account {
    fit::account(&question(series, events, control)).unwrap()
}

/// Five weeks of quarter hours around 100 with a daily curve, and shocks of some 30 times that on some days.
fn shaken(days: &[i64]) -> String {
    let mut text = "moment,count\n".to_owned();
    for bin in 0..35 * 96_i64 {
        let turn = (bin as f64 / 96.0 - 0.75) * std::f64::consts::TAU;
        let excess = |day: &i64| {
            let age = bin - (day * 96 + 40);
            if age < 0 { 0.0 } else { 30.0 * (1.0 + age as f64 / 4.0).powf(-1.4) }
        };
        let excess: f64 = days.iter().map(excess).sum();
        let noise = 1.0 + 0.1 * f64::from([0_i32, 2, -1, 1, -2, 0, 1, -1][(bin * 5 % 8) as usize]);
        let count = 100.0 * (1.0 + 0.4 * turn.cos()) * noise * (1.0 + excess);
        let at = jiff::Timestamp::from_second(1_700_000_100 + bin * 900).unwrap();
        text += &format!("{at},{count:.0}\n");
    }
    text
}

fn made(days: &[i64]) -> Series {
    Series::read(SourceFile { path: "made.csv".into(), text: shaken(days) }, false).unwrap()
}

/// Named failure mode: overfitting one viral event.
#[test]
fn one_viral_event_is_no_habit() {
    let (one, many) = (account(&made(&[30]), &[], None), account(&made(&[5, 10, 15, 20, 25, 30]), &[], None));
    assert_eq!((one.events, many.events), (1, 6));
    assert!(one.doubts.contains(&Doubt::OneEvent) && !many.doubts.contains(&Doubt::OneEvent));
    let width = |account: &Account| -> f64 {
        let bands = account.scenario.bands.iter().zip(&account.scenario.means);
        bands.map(|(band, mean)| (band.high - band.low) / mean).sum::<f64>()
            / account.scenario.means.len() as f64
    };
    assert!(width(&one) > 1.3 * width(&many), "{} against {}", width(&one), width(&many));
}

/// Named failure mode: hiding uncertainty. What speaks against a scenario stands above everything else.
#[test]
fn doubts_come_first() {
    let series = made(&[30]);
    let found = account(&series, &[], None);
    let text = squall::report::fit::text("made", &series, &found);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("! USE WITH CARE"), "{text}");
    assert!(text.contains("one event only") && text.contains("70 % band"), "{text}");
    assert!(found.scenario.event.waves.iter().all(|wave| wave.strength.high > wave.strength.low), "{text}");
}

/// Named failure mode: taking correlation for cause. The control rose as well, so the rise has another cause too.
#[test]
fn a_control_that_rose_as_well_raises_a_doubt() {
    let (Some(aapl), Some(goog)) = (tweets("AAPL"), tweets("GOOG")) else { return };
    let apple = second("2015-03-31T03:27:53");
    let found = account(&aapl, &[apple], Some(&goog));
    assert!(found.doubts.contains(&Doubt::Control(apple, Control::Contaminated)), "{:?}", found.doubts);
}

#[test]
fn a_series_becomes_a_scenario_that_the_program_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (series, scenario) = (dir.path().join("Shaken 1.csv"), dir.path().join("fitted.toml"));
    std::fs::write(&series, shaken(&[30])).unwrap();
    let profiles = concat!(env!("CARGO_MANIFEST_DIR"), "/profiles");
    let [from, to] = [&series, &scenario].map(|path| path.display().to_string());
    let output = run(&["fit", &from, "--out", &to, "--profiles", profiles]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let loaded = squall::scenario::load(&scenario).unwrap().scenario;
    assert_eq!(loaded.name, "shaken-1");
    let region = &loaded.audience.regions[0];
    assert!((region.night - 0.6 / 1.4).abs() < 0.05, "{region:?}");
    assert!((loaded.audience.base * 900.0 / 100.0 - 1.0).abs() < 0.1, "{}", loaded.audience.base);
    // The shock shows a day after the window's beginning.
    let largest =
        loaded.signals.iter().max_by(|a, b| a.strength.unwrap().total_cmp(&b.strength.unwrap())).unwrap();
    assert!((largest.at.as_secs_f64() - 86_400.0).abs() < 3600.0, "{:?}", loaded.signals);
    assert!(largest.rise.is_some() && largest.relax.is_some(), "{largest:?}");
    let again = run(&["fit", &from, "--out", &to, "--profiles", profiles]);
    assert_eq!(output.stdout, again.stdout, "the same series and seed give the same report");
}

#[test]
fn what_is_wrong_with_a_series_is_said_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.csv");
    std::fs::write(&path, "t,v\n2015-01-01 00:00:00,1\n2015-01-01 00:05:00,x\n2015-01-01 00:10:00,-1\n")
        .unwrap();
    let output = run(&["fit", &path.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("bad.csv:3:1") && said.contains("bad.csv:4:1"), "{said}");
}

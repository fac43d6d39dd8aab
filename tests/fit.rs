//! `squall fit` on measured series: stock-ticker tweets (Numenta Anomaly Benchmark) and page views (Wikipedia).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy sees the helpers of an integration test as ordinary code"
)]

mod program;

use std::path::Path;

use squall::fit::{self, Control, Fit, Series, Split};
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

fn fitted(series: &Series) -> Fit {
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

/// The 70 % band of fitted scenarios holds 60 to 80 % of the bins of event windows that were held out, hour by hour (day by day).
fn band_holds(series: Option<Series>) {
    let Some(series) = series else { return };
    let found = fit::cover(&series, &fitted(&series), Split::Between).unwrap().unwrap();
    println!("{found:?}");
    assert!((0.6..=0.8).contains(&found.inside), "{found:?}");
    assert!(found.events >= 5 && found.points >= 200, "{found:?}");
}

#[test]
fn the_band_holds_on_fb() {
    band_holds(tweets("FB"));
}

#[test]
fn the_band_holds_on_aapl() {
    band_holds(tweets("AAPL"));
}

#[test]
fn the_band_holds_on_goog() {
    band_holds(tweets("GOOG"));
}

#[test]
fn the_band_holds_on_wikipedia() {
    band_holds(views());
}

/// Five weeks of quarter hours around 100 with a daily curve, and one shock of some 30 times that in the last week.
fn shaken() -> String {
    let mut text = "moment,count\n".to_owned();
    for bin in 0..35 * 96_i64 {
        let turn = (bin as f64 / 96.0 - 0.75) * std::f64::consts::TAU;
        let age = bin - (30 * 96 + 40);
        let excess = if age < 0 { 0.0 } else { 30.0 * (1.0 + age as f64 / 4.0).powf(-1.4) };
        let noise = 1.0 + 0.1 * f64::from([0_i32, 2, -1, 1, -2, 0, 1, -1][(bin * 5 % 8) as usize]);
        let count = 100.0 * (1.0 + 0.4 * turn.cos()) * noise * (1.0 + excess);
        let at = jiff::Timestamp::from_second(1_700_000_100 + bin * 900).unwrap();
        text += &format!("{at},{count:.0}\n");
    }
    text
}

#[test]
fn a_series_becomes_a_scenario_that_the_program_reads() {
    let dir = tempfile::tempdir().unwrap();
    let (series, scenario) = (dir.path().join("Shaken 1.csv"), dir.path().join("fitted.toml"));
    std::fs::write(&series, shaken()).unwrap();
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
    let first = loaded.signals[0].at.as_secs_f64();
    assert!((first - 86_400.0).abs() < 3600.0, "{:?}", loaded.signals);
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

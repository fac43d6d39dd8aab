//! `squall fit` on measured series: stock-ticker tweets (Numenta Anomaly Benchmark) and page views (Wikipedia).

use std::path::Path;

use squall::fit::{self, Control, Fit, Series, Split};
use squall::problem::SourceFile;

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

#[test]
fn bands_of_held_out_points() {
    let all =
        [("FB", tweets("FB")), ("AAPL", tweets("AAPL")), ("GOOG", tweets("GOOG")), ("Wikipedia", views())];
    for (name, series) in all {
        let Some(series) = series else { continue };
        let fit = fitted(&series);
        println!("{name}: {:?} {:?} {:?}", fit.season.level, fit.season.harmonic, fit.branching);
        for split in [Split::Between, Split::Later] {
            let started = std::time::Instant::now();
            let found = fit::cover(&series, &fit, split).unwrap().unwrap();
            println!("{name} {found:?} {:?}", started.elapsed());
        }
    }
}

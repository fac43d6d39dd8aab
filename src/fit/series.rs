//! A measured series: a CSV file of moments and counts.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::problem::{Problem, Report, SourceFile};

/// Longest series, in bins: ten years of minutes are more, but nobody fits those.
const LONGEST: i64 = 2_000_000;

/// Counts in equal bins.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Unix second at which the first bin begins.
    pub start: i64,
    /// Seconds of a bin.
    pub step: i64,
    /// The count of each bin; `None` where the file has none.
    pub values: Vec<Option<f64>>,
    /// Where the file has none.
    pub gaps: Vec<Gap>,
}

/// Missing bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Line of the file after which they are missing.
    pub line: u64,
    /// How many.
    pub bins: usize,
}

/// A row of the file.
struct Row {
    at: i64,
    value: f64,
    line: u64,
    span: std::ops::Range<usize>,
}

impl Series {
    /// Reads a CSV file with a header and two columns: a moment (`2015-02-26 21:42:53`, a date, or RFC 3339; UTC where it says nothing)
    /// and a value, with `log` its natural logarithm. The bin is the commonest distance of two rows. Gaps are kept as such.
    ///
    /// # Errors
    /// Everything that is wrong, by line: a row that cannot be read, a negative value, a moment twice, out of order or between bins;
    /// fewer than three rows, or more than two million bins.
    pub fn read(file: SourceFile, log: bool) -> Result<Self, Report> {
        match rows(&file.text, log).and_then(assemble) {
            Ok(series) => Ok(series),
            Err(problems) => Err(Report::of(file, problems)),
        }
    }

    /// The Unix second at which a bin begins.
    #[must_use]
    pub fn second(&self, bin: usize) -> i64 {
        self.start + self.step * bin as i64
    }

    /// The bin that a Unix second falls into, also before and after the series.
    #[must_use]
    pub fn bin(&self, second: i64) -> i64 {
        (second - self.start).div_euclid(self.step)
    }

    /// Bins of a time, at least one.
    #[must_use]
    pub fn bins(&self, seconds: i64) -> usize {
        usize::try_from(seconds / self.step).unwrap_or(1).max(1)
    }

    /// The value of a bin; none outside the series.
    #[must_use]
    pub fn value(&self, bin: i64) -> Option<f64> {
        usize::try_from(bin).ok().and_then(|bin| self.values.get(bin).copied().flatten())
    }

    /// The sum over the bins `from..until`; `None` unless all are there.
    #[must_use]
    pub fn sum(&self, from: i64, until: i64) -> Option<f64> {
        (from..until).map(|bin| self.value(bin)).sum()
    }
}

fn rows(text: &str, log: bool) -> Result<Vec<Row>, Vec<Problem>> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let at = error.position().map_or(0, |position| offset(position.byte()));
                problems.push(problem(at..at, error.to_string(), None));
                break;
            }
        };
        let (at, line) =
            record.position().map_or((0, 0), |position| (offset(position.byte()), position.line()));
        let span = at..at + record.as_byte_record().as_slice().len().max(1);
        match row(&record, log) {
            Ok((at, value)) => rows.push(Row { at, value, line, span }),
            Err(message) => problems.push(problem(span, message, None)),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(problems) }
}

fn row(record: &csv::StringRecord, log: bool) -> Result<(i64, f64), String> {
    let [at, value] = record.iter().collect::<Vec<_>>()[..] else {
        return Err(format!("{} columns instead of a moment and a value", record.len()));
    };
    let at = moment(at).ok_or_else(|| format!("`{at}` is not a moment, such as 2015-02-26 21:42:53"))?;
    let number: f64 = value.trim().parse().map_err(|_| format!("`{value}` is not a number"))?;
    let number = if log { number.exp() } else { number };
    if number.is_finite() && number >= 0.0 {
        Ok((at, number))
    } else {
        Err(format!("`{value}` is not a count: it must be finite and not negative"))
    }
}

/// The Unix second of a moment as series write it; UTC where it names no zone.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let text = text.trim();
    let with_zone = text.parse::<Timestamp>().ok();
    let moment = with_zone.or_else(|| {
        text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    });
    moment.map(Timestamp::as_second)
}

fn assemble(rows: Vec<Row>) -> Result<Series, Vec<Problem>> {
    let order: Vec<Problem> = rows
        .windows(2)
        .filter_map(|pair| {
            let message = match pair[1].at.cmp(&pair[0].at) {
                std::cmp::Ordering::Greater => return None,
                std::cmp::Ordering::Equal => "the same moment as in the row before",
                std::cmp::Ordering::Less => "an earlier moment than in the row before",
            };
            let hint = Some("sort the file and decide which of two rows counts".to_owned());
            Some(problem(pair[1].span.clone(), message.to_owned(), hint))
        })
        .collect();
    if !order.is_empty() {
        return Err(order);
    }
    let (Some(first), Some(step)) = (rows.first(), commonest_step(&rows)) else {
        return Err(vec![problem(0..0, "a series needs at least three rows".to_owned(), None)]);
    };
    let place = |row: &Row| (row.at - first.at) / step;
    let off: Vec<Problem> = rows
        .iter()
        .filter(|row| (row.at - first.at) % step != 0)
        .map(|row| problem(row.span.clone(), format!("this moment is not on the grid of {step} s"), None))
        .collect();
    if !off.is_empty() {
        return Err(off);
    }
    let length = rows.last().map_or(0, place) + 1;
    if length > LONGEST {
        return Err(vec![problem(0..0, format!("{length} bins: at most {LONGEST} are read"), None)]);
    }
    let mut values = vec![None; offset(length.unsigned_abs())];
    for row in &rows {
        values[offset(place(row).unsigned_abs())] = Some(row.value);
    }
    let missing = |pair: &[Row]| Gap {
        line: pair[0].line,
        bins: offset((place(&pair[1]) - place(&pair[0])).unsigned_abs()) - 1,
    };
    let gaps = rows.windows(2).map(missing).filter(|gap| gap.bins > 0).collect();
    Ok(Series { start: first.at, step, values, gaps })
}

/// The commonest distance of two rows in seconds, the shortest of several; `None` below three rows.
fn commonest_step(rows: &[Row]) -> Option<i64> {
    let mut steps: Vec<i64> = rows.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    steps.sort_unstable();
    let runs: Vec<&[i64]> = steps.chunk_by(|a, b| a == b).collect();
    let longest = runs.iter().map(|run| run.len()).max().filter(|_| rows.len() >= 3)?;
    runs.iter().find(|run| run.len() == longest).and_then(|run| run.first().copied())
}

fn problem(span: std::ops::Range<usize>, message: String, hint: Option<String>) -> Problem {
    Problem { span, message, hint }
}

fn offset(byte: u64) -> usize {
    usize::try_from(byte).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Series, Vec<String>> {
        let file = SourceFile { path: "s.csv".into(), text: text.to_owned() };
        Series::read(file, false).map_err(|report| report.lines())
    }

    #[test]
    fn reads_moments_dates_and_gaps() {
        let series = read("timestamp,value\n2015-02-26 21:42:53,1\n2015-02-26 21:47:53,2\n2015-02-26 21:52:53,0\n2015-02-26 22:07:53,4\n").unwrap();
        assert_eq!((series.start, series.step), (1_424_986_973, 300));
        assert_eq!(series.values, [Some(1.0), Some(2.0), Some(0.0), None, None, Some(4.0)]);
        assert_eq!(series.gaps, [Gap { line: 4, bins: 2 }]);
        assert_eq!((series.sum(0, 3), series.sum(0, 4), series.sum(-1, 2)), (Some(3.0), None, None));
        let days =
            read("\"ds\",\"y\"\n\"2007-12-10\",1\n\"2007-12-11\",2\n2007-12-12T02:00:00+02:00,3\n").unwrap();
        assert_eq!((days.step, days.values.len()), (86_400, 3));
    }

    #[test]
    fn values_may_be_logarithms() {
        let file = SourceFile {
            path: "s.csv".into(),
            text: "ds,y\n2007-12-10,0\n2007-12-11,1\n2007-12-12,2\n".into(),
        };
        let values = Series::read(file, true).unwrap().values;
        assert!((values[1].unwrap() - std::f64::consts::E).abs() < 1e-12);
    }

    #[test]
    fn every_wrong_row_is_named_with_its_line() {
        let wrong =
            read("t,v\n2015-02-26 21:42:53,1\nyesterday,2\n2015-02-26 21:52:53,-3\n2015-02-26 21:57:53\n")
                .unwrap_err();
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("s.csv:3:1: `yesterday` is not a moment"), "{}", wrong[0]);
        assert!(wrong[1].starts_with("s.csv:4:1: `-3` is not a count"), "{}", wrong[1]);
        assert!(wrong[2].starts_with("s.csv:5:1: 1 columns"), "{}", wrong[2]);
    }

    #[test]
    fn duplicates_disorder_and_rows_between_bins_are_refused() {
        let row = |minute: &str| format!("2015-02-26 21:{minute},1\n");
        let file =
            |minutes: &[&str]| "t,v\n".to_owned() + &minutes.iter().map(|m| row(m)).collect::<String>();
        let first = |minutes: &[&str]| read(&file(minutes)).unwrap_err()[0].clone();
        assert!(first(&["00:00", "05:00", "05:00"]).starts_with("s.csv:4:1: the same moment"));
        assert!(first(&["00:00", "10:00", "05:00"]).starts_with("s.csv:4:1: an earlier moment"));
        assert!(
            first(&["00:00", "05:00", "10:00", "13:00"])
                .contains("s.csv:5:1: this moment is not on the grid")
        );
        assert!(first(&["00:00", "05:00"]).contains("at least three rows"));
    }
}

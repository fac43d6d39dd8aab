//! Reading a run directory again, and adding recordings up.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde::de::DeserializeOwned;

use super::abort::Aborted;
use super::breakdown::Breakdown;
use super::downloads::DownloadTimes;
use super::error::RecordError;
use super::files::{self, Header, INTERVALS, MANIFEST, RESOURCES, Series, TIMELINE, Trailer};
use super::latency::Distribution;
use super::ledger::Ledger;
use super::manifest::Manifest;
use super::resources::{Metrics, Resources};
use super::row::Row;

/// A run, read from its directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Where it lies; absent for a sum of several.
    pub directory: Option<PathBuf>,
    /// What was run.
    pub manifest: Manifest,
    /// Every second, from 0, without a gap.
    pub rows: Vec<Row>,
    /// Samples of processes, in order of writing.
    pub resources: Vec<Resources>,
    /// What was read of the machine and of metrics of the target, in order of writing.
    pub metrics: Vec<Metrics>,
    /// Who it was for; empty unless the run ended properly.
    pub breakdown: Breakdown,
    /// Whether the run ended properly and is here as a whole.
    pub finished: bool,
    /// The second in which the run was told to end early (a signal, a withdrawn authorisation), if it was.
    pub stopped_at_seconds: Option<u64>,
    /// Why the target's profile wanted it to end early, if it did.
    pub aborted: Option<Aborted>,
    /// Journeys and operations without a known end; zero where the run ended properly.
    pub unsettled: u64,
    /// What is missing, a line each.
    pub notes: Vec<String>,
}

impl Recording {
    /// Reads a run directory. A run that was killed is read as far as it got: `finished` is false and `notes` says what is missing.
    ///
    /// # Errors
    /// When a file is missing, of another version, damaged elsewhere than at its end, or its books do not balance.
    pub fn read(dir: &Path) -> Result<Self, RecordError> {
        let mut notes = Vec::new();
        let manifest = read_manifest(&dir.join(MANIFEST))?;
        let (mut rows, trailer) = read_timeline(&dir.join(TIMELINE), &mut notes)?;
        let (resources, metrics) = read_resources(&dir.join(RESOURCES), &mut notes)?;
        let intervals = read_intervals(&dir.join(INTERVALS), &mut notes)?;
        let kept = attach(&mut rows, intervals);
        if kept < rows.len() {
            notes.push(format!("{INTERVALS} ends before second {kept}: later seconds are left out"));
            rows.truncate(kept);
        }
        let mut ledger = Ledger::default();
        rows.iter().try_for_each(|row| ledger.add(row))?;
        let finished = trailer.is_some() && notes.is_empty();
        if finished {
            ledger.close()?;
        } else {
            notes.push(format!("the run did not end properly: its record stops after {} s", rows.len()));
        }
        Ok(Self {
            directory: Some(dir.to_owned()),
            manifest,
            rows,
            resources,
            metrics,
            stopped_at_seconds: trailer.as_ref().and_then(|trailer| trailer.stopped_at_seconds),
            aborted: trailer.as_ref().and_then(|trailer| trailer.aborted.clone()),
            breakdown: trailer.map(|trailer| trailer.breakdown).unwrap_or_default(),
            finished,
            unsettled: ledger.unsettled(),
            notes,
        })
    }

    /// Adds recordings of parts of one plan: second by second, the sum is what one recorder of all their workers would have recorded.
    ///
    /// # Errors
    /// When there is none, or they are not parts of one plan on one target.
    pub fn merge(parts: &[Self]) -> Result<Self, RecordError> {
        let Some((first, rest)) = parts.split_first() else {
            return Err(RecordError::Unmergeable("there is none".to_owned()));
        };
        let mut sum = Self { directory: None, ..first.clone() };
        for part in rest {
            same_plan(&sum.manifest, &part.manifest)?;
            sum.manifest.workers += part.manifest.workers;
            sum.finished &= part.finished;
            let stops = [sum.stopped_at_seconds, part.stopped_at_seconds];
            sum.stopped_at_seconds = stops.into_iter().flatten().min();
            let aborts = [sum.aborted.take(), part.aborted.clone()];
            sum.aborted = aborts.into_iter().flatten().min_by_key(|aborted| aborted.at_seconds);
            sum.breakdown += &part.breakdown;
            sum.resources.extend_from_slice(&part.resources);
            sum.metrics.extend_from_slice(&part.metrics);
            sum.notes.extend_from_slice(&part.notes);
            add_rows(&mut sum.rows, &part.rows);
        }
        // What is in flight at the end of a shorter part is not in its missing seconds: the books know it.
        let mut ledger = Ledger::default();
        for row in &mut sum.rows {
            ledger.enter(row);
            ledger.note_in_flight(row);
            ledger.verify(row)?;
        }
        sum.unsettled = ledger.unsettled();
        Ok(sum)
    }
}

fn same_plan(one: &Manifest, other: &Manifest) -> Result<(), RecordError> {
    let sides = [
        ("plan digests", one.plan_digest == other.plan_digest),
        ("seeds", one.seed == other.seed),
        ("cuts", one.cut == other.cut),
        ("envelopes", one.envelope == other.envelope),
        ("worlds", one.world == other.world),
        ("modes (isolated, coupled)", one.isolated == other.isolated),
    ];
    match sides.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(RecordError::Unmergeable(format!("their {what} differ"))),
        None => Ok(()),
    }
}

fn add_rows(sum: &mut Vec<Row>, rows: &[Row]) {
    for second in sum.len()..rows.len() {
        sum.push(Row { second: second as u64, ..Row::default() });
    }
    for (sum, row) in sum.iter_mut().zip(rows) {
        sum.journeys += &row.journeys;
        sum.swarm += &row.swarm;
        sum.downloads += &row.downloads;
        sum.download_times.merge(&row.download_times);
        for (kind, row) in &row.kinds {
            let sum = sum.kinds.entry(*kind).or_default();
            sum.counts += &row.counts;
            sum.traffic += &row.traffic;
            sum.latencies.merge(&row.latencies);
        }
    }
}

fn read_text(path: &Path) -> Result<String, RecordError> {
    fs::read_to_string(path).map_err(RecordError::io(path))
}

fn parse<T: DeserializeOwned>(path: &Path, line: usize, text: &str) -> Result<T, RecordError> {
    serde_json::from_str(text).map_err(|error| RecordError::Malformed {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    })
}

fn read_manifest(path: &Path) -> Result<Manifest, RecordError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = read_text(path)?;
    let found = parse::<Versioned>(path, 1, &text)?.version;
    if found != Manifest::VERSION {
        return Err(RecordError::Format {
            path: path.to_owned(),
            expected: format!("version {}", Manifest::VERSION),
            found: format!("version {found}"),
        });
    }
    parse(path, 1, &text)
}

/// The lines of a JSON-lines file after its header. A torn end is noted, not an error.
fn read_lines<'a>(
    path: &Path,
    file: &str,
    text: &'a str,
    notes: &mut Vec<String>,
) -> Result<impl Iterator<Item = (usize, &'a str)>, RecordError> {
    let (mut lines, torn) = files::lines(text);
    if torn {
        notes.push(format!("the last line of {file} is torn"));
    }
    if let Some((line, text)) = lines.next() {
        let found: Header = parse(path, line, text)?;
        if found != Header::of(file) {
            let (expected, found) = (format!("{:?}", Header::of(file)), format!("{found:?}"));
            return Err(RecordError::Format { path: path.to_owned(), expected, found });
        }
    }
    Ok(lines)
}

fn read_timeline(path: &Path, notes: &mut Vec<String>) -> Result<(Vec<Row>, Option<Trailer>), RecordError> {
    let text = read_text(path)?;
    let mut rows = Vec::new();
    let mut trailer = None;
    for (line, text) in read_lines(path, TIMELINE, &text, notes)? {
        let wrong =
            |reason: &str| RecordError::Malformed { path: path.to_owned(), line, reason: reason.to_owned() };
        if trailer.is_some() {
            return Err(wrong("a line after the end of the recording"));
        }
        if text.starts_with("{\"finished\"") {
            trailer = Some(parse(path, line, text)?);
            continue;
        }
        let row: Row = parse(path, line, text)?;
        if row.second != rows.len() as u64 {
            return Err(wrong("the seconds do not follow one another"));
        }
        rows.push(row);
    }
    Ok((rows, trailer))
}

fn read_resources(
    path: &Path,
    notes: &mut Vec<String>,
) -> Result<(Vec<Resources>, Vec<Metrics>), RecordError> {
    let text = read_text(path)?;
    let (mut resources, mut metrics) = (Vec::new(), Vec::new());
    for (line, text) in read_lines(path, RESOURCES, &text, notes)? {
        if text.starts_with("{\"source\"") {
            metrics.push(parse(path, line, text)?);
        } else {
            resources.push(parse(path, line, text)?);
        }
    }
    Ok((resources, metrics))
}

type Intervals = BTreeMap<u64, Vec<(Series, Distribution)>>;

fn read_intervals(path: &Path, notes: &mut Vec<String>) -> Result<Intervals, RecordError> {
    let text = read_text(path)?;
    let (lines, torn) = files::lines(&text);
    if torn {
        notes.push(format!("the last line of {INTERVALS} is torn"));
    }
    let mut intervals = Intervals::new();
    for (line, text) in lines {
        let wrong = |reason: String| RecordError::Malformed { path: path.to_owned(), line, reason };
        let whole = format!("{text}\n");
        for entry in IntervalLogIterator::new(whole.as_bytes()) {
            let entry = entry.map_err(|_| wrong("not a line of an interval log".to_owned()))?;
            let LogEntry::Interval(interval) = entry else { continue };
            let series = interval
                .tag()
                .and_then(|tag| Series::parse(&tag))
                .ok_or_else(|| wrong("the tag names no kind and measure".to_owned()))?;
            let histogram = files::decode(&interval).map_err(wrong)?;
            let second = interval.start_timestamp().as_secs();
            intervals.entry(second).or_default().push((series, Distribution::of(&histogram)));
        }
    }
    Ok(intervals)
}

/// Puts the histograms into their rows. Gives the number of rows before the first one that lacks some because the log ends there.
fn attach(rows: &mut [Row], intervals: Intervals) -> usize {
    let last = intervals.last_key_value().map_or(0, |(&second, _)| second);
    for (second, found) in intervals {
        // Histograms without a line of the timeline belong to a second that was never closed.
        let Some(row) = rows.get_mut(second as usize) else { break };
        for (series, distribution) in found {
            series.place(row).merge(&distribution);
        }
    }
    let lacks = |row: &Row| {
        let DownloadTimes { first_piece, completion } = &row.download_times;
        let downloads =
            first_piece.count() < row.downloads.first_pieces || completion.count() < row.downloads.complete;
        downloads
            || row.kinds.iter().any(|(kind, row)| {
                let measured = row.counts.measured();
                let latencies = &row.latencies;
                latencies.service.count() < measured
                    || !kind.is_part() && latencies.due.count().min(latencies.lag.count()) < measured
            })
    };
    rows.iter().position(|row| row.second >= last && lacks(row)).unwrap_or(rows.len())
}

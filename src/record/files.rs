//! The files of a run directory: their names, their headers, how a second is written and a line is read.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{
    IntervalLogHistogram, IntervalLogWriterBuilder, IntervalLogWriterError, Tag,
};
use hdrhistogram::serialization::{Deserializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::journey::Kind;

use super::abort::Aborted;
use super::breakdown::Breakdown;
use super::downloads::DownloadCount;
use super::error::RecordError;
use super::latency::Distribution;
use super::manifest::Manifest;
use super::resources::{Metrics, Resources};
use super::row::{KindRow, Row};
use super::second::Second;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const TIMELINE: &str = "timeline.jsonl";
pub(crate) const INTERVALS: &str = "intervals.hlog";
pub(crate) const RESOURCES: &str = "resources.jsonl";
pub(crate) const SOURCES: &str = "sources";

/// The comment that HdrHistogram's own log readers look for.
const INTERVALS_HEADER: &str = "#[Squall interval log; values in microseconds]\n#[Histogram log format version 1.3]\n\
    \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// First line of a JSON-lines file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    format: String,
    version: u32,
}

impl Header {
    pub(crate) fn of(file: &str) -> Self {
        let stem = file.trim_end_matches(".jsonl");
        Self { format: format!("squall-{stem}"), version: Manifest::VERSION }
    }
}

/// Last line of the timeline of a run that ended properly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trailer {
    pub(crate) finished: bool,
    pub(crate) stopped_at_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) aborted: Option<Aborted>,
    pub(crate) breakdown: Breakdown,
}

/// What a histogram measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Due,
    Service,
    Lag,
}

impl Measure {
    const ALL: [Self; 3] = [Self::Due, Self::Service, Self::Lag];

    const fn name(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Service => "service",
            Self::Lag => "lag",
        }
    }

    /// Where a row keeps it.
    fn place(self, row: &mut KindRow) -> &mut Distribution {
        match self {
            Self::Due => &mut row.latencies.due,
            Self::Service => &mut row.latencies.service,
            Self::Lag => &mut row.latencies.lag,
        }
    }
}

/// What the interval log holds a histogram of, for each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// A measure of a kind of operation.
    Operation(Kind, Measure),
    /// From due to the first piece of downloads.
    FirstPiece,
    /// From due to the last piece of downloads.
    Completion,
}

const FIRST_PIECE: &str = "download.first-piece";
const COMPLETION: &str = "download.completion";

impl Series {
    /// Its tag in the log, `page.due`.
    fn tag(self) -> String {
        match self {
            Self::Operation(kind, measure) => format!("{}.{}", kind.name(), measure.name()),
            Self::FirstPiece => FIRST_PIECE.to_owned(),
            Self::Completion => COMPLETION.to_owned(),
        }
    }

    /// Reads a tag.
    pub(crate) fn parse(tag: &str) -> Option<Self> {
        match tag {
            FIRST_PIECE => return Some(Self::FirstPiece),
            COMPLETION => return Some(Self::Completion),
            _ => {}
        }
        let (kind, measure) = tag.split_once('.')?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
        let measure = Measure::ALL.into_iter().find(|known| known.name() == measure)?;
        Some(Self::Operation(kind, measure))
    }

    /// Where a row keeps it.
    pub(crate) fn place(self, row: &mut Row) -> &mut Distribution {
        match self {
            Self::Operation(kind, measure) => measure.place(row.kinds.entry(kind).or_default()),
            Self::FirstPiece => &mut row.download_times.first_piece,
            Self::Completion => &mut row.download_times.completion,
        }
    }
}

/// Everything that was measured in a second, in order of the log.
fn histograms(second: &Second) -> impl Iterator<Item = (Series, &Histogram<u64>)> {
    let kinds = Kind::ALL.into_iter().filter_map(|kind| Some((kind, second.get(kind)?)));
    let operations = kinds.flat_map(|(kind, counted)| {
        let of = move |measure| match measure {
            Measure::Due => &counted.due,
            Measure::Service => &counted.service,
            Measure::Lag => &counted.lag,
        };
        Measure::ALL.map(|measure| (Series::Operation(kind, measure), of(measure)))
    });
    let DownloadCount { first_piece, completion, .. } = &second.downloads;
    let downloads = [(Series::FirstPiece, first_piece), (Series::Completion, completion)];
    let downloads = downloads.into_iter().filter_map(|(series, times)| Some((series, times.as_deref()?)));
    operations.chain(downloads).filter(|(_, histogram)| !histogram.is_empty())
}

/// One file that is appended to, whole lines at a time and unbuffered: what was appended survives the death of the process.
pub(crate) struct Log {
    path: PathBuf,
    to: Box<dyn Write + Send>,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self, RecordError> {
        let to = Box::new(File::create_new(&path).map_err(RecordError::io(&path))?);
        Ok(Self { path, to })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.to.write_all(bytes).and_then(|()| self.to.flush()).map_err(RecordError::io(&self.path))
    }

    fn append_json(&mut self, value: &impl Serialize) -> Result<(), RecordError> {
        let mut line =
            serde_json::to_vec(value).map_err(|error| RecordError::io(&self.path)(error.into()))?;
        line.push(b'\n');
        self.append(&line)
    }
}

/// The open files of a recording.
pub(crate) struct Files {
    pub(crate) timeline: Log,
    pub(crate) intervals: Log,
    pub(crate) resources: Log,
    serializer: V2DeflateSerializer,
}

impl Files {
    /// Makes the run directory: everything that is known before the first second.
    pub(crate) fn create(
        dir: &Path,
        manifest: &Manifest,
        sources: &[(String, String)],
    ) -> Result<Self, RecordError> {
        fs::create_dir_all(dir).map_err(RecordError::io(dir))?;
        if fs::read_dir(dir).map_err(RecordError::io(dir))?.next().is_some() {
            return Err(RecordError::NotEmpty { path: dir.to_owned() });
        }
        let mut log = Log::create(dir.join(MANIFEST))?;
        let mut text =
            serde_json::to_vec_pretty(manifest).map_err(|error| RecordError::io(&log.path)(error.into()))?;
        text.push(b'\n');
        log.append(&text)?;
        if !sources.is_empty() {
            fs::create_dir(dir.join(SOURCES)).map_err(RecordError::io(dir))?;
        }
        for (name, text) in sources {
            // Only the file's own name: a source may come from anywhere, its copy stays in the run directory.
            let name = Path::new(name).file_name().unwrap_or(name.as_ref());
            Log::create(dir.join(SOURCES).join(name))?.append(text.as_bytes())?;
        }
        let mut files = Self {
            timeline: Log::create(dir.join(TIMELINE))?,
            intervals: Log::create(dir.join(INTERVALS))?,
            resources: Log::create(dir.join(RESOURCES))?,
            serializer: V2DeflateSerializer::new(),
        };
        files.timeline.append_json(&Header::of(TIMELINE))?;
        files.resources.append_json(&Header::of(RESOURCES))?;
        files.intervals.append(INTERVALS_HEADER.as_bytes())?;
        Ok(files)
    }

    /// Appends a second: its histograms first, so that a line of the timeline vouches for them.
    pub(crate) fn append(&mut self, row: &Row, second: &Second) -> Result<(), RecordError> {
        let mut lines = Vec::new();
        self.encode(row.second, second, &mut lines)
            .map_err(|error| RecordError::io(&self.intervals.path)(io::Error::other(error)))?;
        self.intervals.append(&lines)?;
        self.timeline.append_json(row)
    }

    pub(crate) fn append_resources(&mut self, sample: &Resources) -> Result<(), RecordError> {
        self.resources.append_json(sample)
    }

    pub(crate) fn append_metrics(&mut self, metrics: &Metrics) -> Result<(), RecordError> {
        self.resources.append_json(metrics)
    }

    pub(crate) fn finish(
        &mut self,
        stopped_at_seconds: Option<u64>,
        aborted: Option<Aborted>,
        breakdown: Breakdown,
    ) -> Result<(), RecordError> {
        self.timeline.append_json(&Trailer { finished: true, stopped_at_seconds, aborted, breakdown })
    }

    fn encode(
        &mut self,
        second: u64,
        counted: &Second,
        lines: &mut Vec<u8>,
    ) -> Result<(), IntervalLogWriterError<impl std::error::Error + Send + Sync + 'static + use<>>> {
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(lines, &mut self.serializer)?;
        let start = Duration::from_secs(second);
        for (series, histogram) in histograms(counted) {
            log.write_histogram(histogram, start, Duration::from_secs(1), Tag::new(&series.tag()))?;
        }
        Ok(())
    }
}

/// Decodes a histogram of the interval log.
pub(crate) fn decode(interval: &IntervalLogHistogram<'_>) -> Result<Histogram<u64>, String> {
    let bytes = STANDARD.decode(interval.encoded_histogram()).map_err(|error| error.to_string())?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| error.to_string())
}

/// The whole lines of a file with their numbers, and whether its last line is torn: a line counts once its end is there.
pub(crate) fn lines(text: &str) -> (impl Iterator<Item = (usize, &str)>, bool) {
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    ((1..).zip(text[..whole].lines()), whole < text.len())
}

#[cfg(test)]
impl Log {
    /// A log on a disk that a test controls.
    pub(crate) fn on(to: Box<dyn Write + Send>) -> Self {
        Self { path: "test".into(), to }
    }
}

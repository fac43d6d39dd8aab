//! The recorder: what happened, second by second, on disk as it happens.
//!
//! Each worker counts into its own [`WorkerRecorder`] and hands over finished seconds; a [`Recorder`] adds them up and, once every worker
//! has passed a second, appends it to the run directory. [`Recording`] reads such a directory again, whole or torn.
//!
//! | file | content |
//! |---|---|
//! | `manifest.json` | what was run, where, against which promise |
//! | `timeline.jsonl` | a header line, one object a second, a trailer line if the run ended properly, which says whether it was stopped before its end |
//! | `intervals.hlog` | HDR interval log, one histogram a second, kind and measure (`page.due`, `page.service`, `page.lag`; `download.first-piece`, `download.completion`), in microseconds |
//! | `resources.jsonl` | what the generator, the target's local processes and the machine used, and what metrics of the target said |
//! | `sources/` | the files that the run was made of |
//!
//! Invariants: at the end planned = released + shed and released = ok + failed + cut, for journeys and for every kind, and the downloads that were begun are those that ended; at any earlier
//! second the left side is never the smaller one. The writer and the reader check them with the same code.
//! What was appended survives the death of the process, not that of the machine: files are not synced. The two latest seconds are still open in
//! the workers. Adding is all that merging does, so workers, shards and machines merge alike. Nothing here reads a clock.

mod abort;
mod breakdown;
mod downloads;
mod error;
mod files;
mod host;
mod latency;
mod ledger;
mod manifest;
mod outlook;
mod read;
mod recorder;
mod resources;
mod row;
mod second;
mod snapshot;
mod worker;

#[cfg(test)]
pub(crate) mod synthetic;
#[cfg(test)]
mod tests;

pub use abort::{AbortCondition, Aborted};
pub use breakdown::{Breakdown, CONTENT_RANKS, GroupTally, Tally};
pub use downloads::{DownloadTimes, Downloads, LONGEST_DOWNLOAD};
pub use error::RecordError;
pub use host::{Bound, Host, Shortage};
pub use latency::{Distribution, LONGEST, histogram};
pub use manifest::{FaultMark, Manifest, Replayed, SignalMark, WorldName};
pub use outlook::{Outlook, OutlookChange};
pub use read::Recording;
pub use recorder::{Inbox, Intake, Recorder, ResourceSink, channel, run};
pub use resources::{Metrics, Resources};
pub use row::{Counts, Failures, KindRow, Latencies, Row, Traffic};
pub use snapshot::{Snapshot, StageSnapshot, Totals};
pub use worker::{Batch, WorkerRecorder};

//! Adding up what the workers counted, and writing it down.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};

use crate::drive::{Stop, StopLevel};

use super::breakdown::Breakdown;
use super::error::RecordError;
use super::files::Files;
use super::ledger::Ledger;
use super::manifest::Manifest;
use super::resources::{Metrics, Resources};
use super::second::Second;
use super::snapshot::Snapshot;
use super::worker::{Batch, WorkerRecorder};

/// What the recorder is told.
pub(crate) enum Message {
    Batch(Batch),
    Resources(Box<Resources>),
    Metrics(Box<Metrics>),
    Lost,
}

impl Message {
    /// The second of the run that it tells of.
    fn second(&self) -> Option<u64> {
        match self {
            // A worker hands over what lies before its open seconds as the next one begins; its last batch ends with the second it is in.
            Self::Batch(Batch { last: None, through, .. }) => Some(*through),
            Self::Batch(Batch { through, .. }) => Some(through.saturating_sub(1)),
            Self::Resources(sample) => Some(sample.second),
            Self::Metrics(metrics) => Some(metrics.at_seconds as u64),
            Self::Lost => None,
        }
    }
}

/// Where the messages of all workers arrive.
pub struct Inbox {
    from: Receiver<Message>,
    workers: usize,
}

/// Where samples of processes are handed in, from any thread.
#[derive(Clone)]
pub struct ResourceSink(SyncSender<Message>);

impl ResourceSink {
    /// Hands in one sample. After the recorder has ended it goes nowhere.
    pub fn send(&self, sample: Resources) {
        let _ = self.0.send(Message::Resources(Box::new(sample)));
    }

    /// Hands in what was read elsewhere, likewise.
    pub fn send_metrics(&self, metrics: Metrics) {
        let _ = self.0.send(Message::Metrics(Box::new(metrics)));
    }
}

/// Seconds that a recorder may fall behind each worker.
const BACKLOG: usize = 16;

/// The recorders of `workers` workers, and the inbox that they report to.
///
/// A recorder that falls 16 s behind holds the workers up, because memory is bounded: in virtual time that is the brake on workers that
/// are faster than the disk; in the live world it takes a disk that stands still, and shows as send lag, which voids the run.
#[must_use]
pub fn channel(workers: usize) -> (Vec<WorkerRecorder>, ResourceSink, Inbox) {
    let (to, from) = mpsc::sync_channel(BACKLOG * workers.max(1));
    let recorders = (0..workers).map(|worker| WorkerRecorder::new(worker, to.clone())).collect();
    (recorders, ResourceSink(to), Inbox { from, workers })
}

/// Adds up seconds and writes them down, without a thread or a clock of its own.
pub struct Recorder {
    files: Files,
    open: BTreeMap<u64, Second>,
    next: u64,
    ledger: Ledger,
    breakdown: Breakdown,
    stopped_at_seconds: Option<u64>,
}

impl Recorder {
    /// Starts a recording in an empty (or new) directory, with copies of the files that the run is made of: (name, text).
    ///
    /// # Errors
    /// When the directory is not empty or cannot be written.
    pub fn create(
        dir: &Path,
        manifest: &Manifest,
        sources: &[(String, String)],
    ) -> Result<Self, RecordError> {
        Ok(Self::on(Files::create(dir, manifest, sources)?))
    }

    pub(crate) fn on(files: Files) -> Self {
        Self {
            files,
            open: BTreeMap::new(),
            next: 0,
            ledger: Ledger::default(),
            breakdown: Breakdown::default(),
            stopped_at_seconds: None,
        }
    }

    /// Adds what a worker counted.
    pub fn merge(&mut self, batch: Batch) {
        for (second, counted) in batch.seconds {
            // A closed second stays closed; what comes too late for it counts in the earliest open one.
            self.open.entry(second.max(self.next)).or_default().merge(counted);
        }
        if let Some(breakdown) = &batch.last {
            self.breakdown += breakdown;
        }
    }

    /// Writes down the next second. It must be behind every worker.
    ///
    /// # Errors
    /// When the disk says no, or the books do not balance.
    pub fn close_next(&mut self) -> Result<Snapshot, RecordError> {
        let number = self.next;
        let second = self.open.remove(&number).unwrap_or_default();
        self.next += 1;
        let mut row = second.to_row(number);
        self.ledger.enter(&row);
        self.ledger.note_in_flight(&mut row);
        self.files.append(&row, &second)?;
        self.ledger.verify(&row)?;
        Ok(Snapshot::of(&row))
    }

    /// Writes down a sample of a process.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn resources(&mut self, sample: &Resources) -> Result<(), RecordError> {
        self.files.append_resources(sample)
    }

    /// Writes down what was read elsewhere.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn metrics(&mut self, metrics: &Metrics) -> Result<(), RecordError> {
        self.files.append_metrics(metrics)
    }

    /// The first second that is not written yet.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The second after the last in which anything happened.
    fn end(&self) -> u64 {
        self.open.last_key_value().map_or(self.next, |(second, _)| second + 1)
    }

    /// Notes that the run was told to end early, in this second; the first word counts.
    pub fn stopped(&mut self, at_seconds: u64) {
        self.stopped_at_seconds.get_or_insert(at_seconds);
    }

    /// Ends the recording properly: all workers have finished and all seconds are written.
    ///
    /// # Errors
    /// When the books do not balance, or the disk says no.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.ledger.close()?;
        self.files.finish(self.stopped_at_seconds, self.breakdown)
    }
}

/// Records until every worker has finished. Meant for a thread of its own; `on_second` is called there, after each closed second. A
/// run that is told to `stop` while workers are at work is recorded as stopped, in the second of the message that follows.
///
/// # Errors
/// When the disk says no, the books do not balance, or a worker was lost; what was written until then stays readable.
pub fn run(
    mut recorder: Recorder,
    inbox: Inbox,
    stop: &Stop,
    mut on_second: impl FnMut(&Snapshot),
) -> Result<(), RecordError> {
    let mut through = vec![0; inbox.workers];
    let (mut finished, mut lost, mut end) = (0, 0, 0);
    while finished + lost < inbox.workers {
        // Cannot fail before that: every worker that is neither finished nor lost holds a sender.
        let Ok(message) = inbox.from.recv() else { break };
        if let Some(second) = message.second()
            && stop.level() != StopLevel::Run
        {
            recorder.stopped(second);
        }
        match message {
            Message::Resources(sample) => recorder.resources(&sample)?,
            Message::Metrics(metrics) => recorder.metrics(&metrics)?,
            Message::Lost => lost += 1,
            Message::Batch(batch) => {
                finished += usize::from(batch.last.is_some());
                end = end.max(batch.through);
                through[batch.worker] = if batch.last.is_some() { u64::MAX } else { batch.through };
                recorder.merge(batch);
                let behind = through.iter().copied().min().unwrap_or(0).min(end);
                while recorder.next() < behind {
                    on_second(&recorder.close_next()?);
                }
            }
        }
    }
    // A lost worker holds up the others' last seconds no longer.
    while recorder.next() < recorder.end() {
        on_second(&recorder.close_next()?);
    }
    for message in inbox.from.try_iter() {
        match message {
            Message::Resources(sample) => recorder.resources(&sample)?,
            Message::Metrics(metrics) => recorder.metrics(&metrics)?,
            Message::Batch(_) | Message::Lost => {}
        }
    }
    if lost > 0 {
        return Err(RecordError::WorkersLost(lost));
    }
    recorder.finish()
}

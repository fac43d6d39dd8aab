//! Adding up what the workers counted, and writing it down.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};

use crate::drive::{Stop, StopLevel};

use super::abort::{AbortWatch, Aborted};
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
    watch: AbortWatch,
    /// Why a run that is under way has to end after the latest second, if it has to.
    too_bad: Option<Aborted>,
    aborted: Option<Aborted>,
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
        let watch = AbortWatch::new(&manifest.envelope, manifest.length);
        Ok(Self { watch, ..Self::on(Files::create(dir, manifest, sources)?) })
    }

    pub(crate) fn on(files: Files) -> Self {
        Self {
            files,
            open: BTreeMap::new(),
            next: 0,
            ledger: Ledger::default(),
            breakdown: Breakdown::default(),
            stopped_at_seconds: None,
            watch: AbortWatch::default(),
            too_bad: None,
            aborted: None,
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
        self.too_bad = self.watch.see(&row);
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
        self.files.finish(self.stopped_at_seconds, self.aborted, self.breakdown)
    }
}

/// Takes what the workers hand over, message by message, and closes the seconds that are behind all of them.
pub struct Intake {
    recorder: Recorder,
    inbox: Inbox,
    stop: Stop,
    /// Of each worker, the first second for which something may still come.
    through: Vec<u64>,
    finished: usize,
    lost: usize,
    end: u64,
}

impl Intake {
    /// The intake of a recorder. A run that is told to `stop` while workers are at work is recorded as stopped, in the second of the
    /// message that follows; one that the target's profile wants to end ([`crate::profile::AbortOn`]) is told so here.
    #[must_use]
    pub fn new(recorder: Recorder, inbox: Inbox, stop: &Stop) -> Self {
        let through = vec![0; inbox.workers];
        Self { recorder, inbox, stop: stop.clone(), through, finished: 0, lost: 0, end: 0 }
    }

    /// Takes the messages that are there, without waiting; for a worker that shares its thread with its recorder.
    ///
    /// # Errors
    /// When the disk says no, or the books do not balance.
    pub fn take_waiting(&mut self, on_second: &mut impl FnMut(&Snapshot)) -> Result<(), RecordError> {
        while let Ok(message) = self.inbox.from.try_recv() {
            self.take(message, on_second)?;
        }
        Ok(())
    }

    fn take(&mut self, message: Message, on_second: &mut impl FnMut(&Snapshot)) -> Result<(), RecordError> {
        if let Some(second) = message.second()
            && self.stop.level() != StopLevel::Run
        {
            self.recorder.stopped(second);
        }
        match message {
            Message::Resources(sample) => self.recorder.resources(&sample)?,
            Message::Metrics(metrics) => self.recorder.metrics(&metrics)?,
            Message::Lost => self.lost += 1,
            Message::Batch(batch) => {
                self.finished += usize::from(batch.last.is_some());
                self.end = self.end.max(batch.through);
                self.through[batch.worker] = if batch.last.is_some() { u64::MAX } else { batch.through };
                self.recorder.merge(batch);
                let behind = self.through.iter().copied().min().unwrap_or(0).min(self.end);
                while self.recorder.next() < behind {
                    self.close_next(on_second)?;
                }
            }
        }
        Ok(())
    }

    fn close_next(&mut self, on_second: &mut impl FnMut(&Snapshot)) -> Result<(), RecordError> {
        on_second(&self.recorder.close_next()?);
        let under_way = self.stop.level() == StopLevel::Run && self.finished < self.inbox.workers;
        if under_way && let Some(aborted) = self.recorder.too_bad.take() {
            self.recorder.stopped(aborted.at_seconds);
            self.recorder.aborted = Some(aborted);
            self.stop.raise(StopLevel::Drain);
        }
        Ok(())
    }

    /// Ends the recording: every worker has finished, or is lost.
    ///
    /// # Errors
    /// As [`run`].
    pub fn finish(mut self, on_second: &mut impl FnMut(&Snapshot)) -> Result<(), RecordError> {
        self.take_waiting(on_second)?;
        // A lost worker holds up the others' last seconds no longer.
        while self.recorder.next() < self.recorder.end() {
            self.close_next(on_second)?;
        }
        if self.lost > 0 {
            return Err(RecordError::WorkersLost(self.lost));
        }
        self.recorder.finish()
    }
}

/// Records until every worker has finished. Meant for a thread of its own; `on_second` is called there, after each closed second.
///
/// # Errors
/// When the disk says no, the books do not balance, or a worker was lost; what was written until then stays readable.
pub fn run(
    recorder: Recorder,
    inbox: Inbox,
    stop: &Stop,
    mut on_second: impl FnMut(&Snapshot),
) -> Result<(), RecordError> {
    let mut intake = Intake::new(recorder, inbox, stop);
    while intake.finished + intake.lost < intake.inbox.workers {
        // Cannot fail before that: every worker that is neither finished nor lost holds a sender.
        let Ok(message) = intake.inbox.from.recv() else { break };
        intake.take(message, &mut on_second)?;
    }
    intake.finish(&mut on_second)
}

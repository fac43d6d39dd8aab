//! Counting on the hot path: one recorder a worker, nothing shared.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;

use crate::drive::{Event, Shed};
use crate::journey::Milestone;
use crate::unit::Tick;

use super::breakdown::{Breakdown, Tallies};
use super::recorder::Message;
use super::second::Second;

/// Seconds that a worker keeps open: the current one and the one before, in which what was due just before the turn still counts.
const OPEN: u64 = 2;

/// Finished seconds of one worker.
#[derive(Debug)]
pub struct Batch {
    /// Which worker.
    pub(crate) worker: usize,
    /// What it counted; seconds in which nothing happened are absent.
    pub(crate) seconds: Vec<(u64, Second)>,
    /// No later batch of this worker holds anything for a second before this one.
    pub(crate) through: u64,
    /// Who it was for, with the worker's last batch.
    pub(crate) last: Option<Breakdown>,
}

/// Counts what one worker observes and hands over finished seconds. No lock, no shared counter, no clock of its own.
///
/// What became due (and what was shed) counts in the second of `due`, what was released in the second of `released`, what ended, with its
/// bytes and latencies, in the second of `ended`. The current second and the one before are open; what belongs to an earlier one, because
/// the worker itself was late, counts in the earliest open second: the totals are always right, and the offered series is right as
/// long as a worker is less than a second behind its plan.
#[derive(Debug)]
pub struct WorkerRecorder {
    worker: usize,
    first: u64,
    open: VecDeque<Second>,
    tallies: Tallies,
    to: SyncSender<Message>,
    finished: bool,
}

impl WorkerRecorder {
    pub(crate) fn new(worker: usize, to: SyncSender<Message>) -> Self {
        let open = (0..OPEN).map(|_| Second::default()).collect();
        Self { worker, first: 0, open, tallies: Tallies::default(), to, finished: false }
    }

    /// Counts one event.
    pub fn observe(&mut self, event: Event) {
        match event {
            Event::Clock(now) => _ = self.at(now),
            Event::JourneyDue(due) => self.at(due).journeys.planned += 1,
            Event::JourneyReleased(at) => self.at(at).journeys.released += 1,
            Event::JourneyShed(due) => self.at(due).journeys.shed += 1,
            Event::JourneyEnded(at, settled) => self.at(at).journeys.settle(settled),
            Event::Planned(kind, due, attempt) => {
                let counts = &mut self.at(due).kind(kind).counts;
                counts.planned += 1;
                counts.retries += u64::from(attempt > 0);
            }
            Event::Released(kind, _, at) => self.at(at).kind(kind).counts.released += 1,
            Event::Shed(kind, due, why) => {
                let counts = &mut self.at(due).kind(kind).counts;
                counts.shed += 1;
                counts.shed_ceiling += u64::from(why == Shed::Ceiling);
            }
            Event::Swarm(until, group, swarm) => {
                self.at(until).swarm += &swarm;
                self.tallies.count_swarm(group, &swarm);
            }
            Event::Download(group, download) => {
                let at = if download.reached == Milestone::Begun { download.due } else { download.at };
                self.at(at).downloads.count(&download);
                self.tallies.count_download(group, &download);
            }
            Event::Part(seen) => self.at(seen.ended).kind(seen.kind).settle(&seen, true),
            Event::Settled(seen) => {
                self.at(seen.ended).kind(seen.kind).settle(&seen, false);
                self.tallies.count(&seen);
            }
        }
    }

    /// Hands over what is left: the worker has come to its end.
    pub fn finish(mut self) {
        let seconds = self.take_before(self.first + OPEN);
        // The current second counts if it has something to say: a run that ends at 60.000 s has sixty seconds.
        let end = seconds.last().map_or(0, |(last, _)| last + 1).max(self.first - 1);
        self.finished = true;
        self.send(seconds, end, Some(self.tallies.breakdown()));
    }

    /// The open second that a tick counts in; a tick beyond the open ones closes the earliest.
    #[inline]
    fn at(&mut self, tick: Tick) -> &mut Second {
        let second = tick.second().max(self.first);
        if second >= self.first + OPEN {
            let first = second + 1 - OPEN;
            let seconds = self.take_before(first);
            self.send(seconds, first, None);
        }
        &mut self.open[(second - self.first) as usize]
    }

    /// Closes the open seconds before `first`, which becomes the first open one.
    fn take_before(&mut self, first: u64) -> Vec<(u64, Second)> {
        let mut closed = Vec::new();
        for second in (self.first..first).take(OPEN as usize) {
            let done = std::mem::take(&mut self.open[0]);
            self.open.rotate_left(1);
            if !done.is_empty() {
                closed.push((second, done));
            }
        }
        self.first = first;
        closed
    }

    fn send(&self, seconds: Vec<(u64, Second)>, through: u64, last: Option<Breakdown>) {
        let batch = Batch { worker: self.worker, seconds, through, last };
        // The receiver goes away only after an error of its own, which its thread returns.
        let _ = self.to.send(Message::Batch(batch));
    }
}

impl Drop for WorkerRecorder {
    /// A worker that goes away without finishing makes the recording incomplete.
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.to.send(Message::Lost);
        }
    }
}

//! What goes on beside a run: signals, the target's authorisation, samples of processes.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::drive::{Stop, StopLevel};
use crate::live::{self, Clock, Guard, Refusal, Sampler, Scraped};
use crate::profile::Target;
use crate::record::{Metrics, ResourceSink, Resources};

use super::exit::Failure;
use super::print;
use super::threads::{block_on, join, spawn};

/// Why a run ended before its plan.
pub(super) enum Interruption {
    /// SIGINT or SIGTERM.
    Signal,
    /// The target no longer agrees.
    Withdrawn(Refusal),
}

/// Who may end a run early, and does so by the stop signal.
pub(super) struct Interrupter {
    done: oneshot::Sender<()>,
    thread: thread::JoinHandle<Result<Option<Interruption>, Failure>>,
}

impl Interrupter {
    /// Listens for signals, and for the `target` to withdraw its leave where there is one.
    pub(super) fn start(target: Option<(Arc<Target>, Arc<Guard>)>, stop: &Stop) -> Result<Self, Failure> {
        let (done, until) = oneshot::channel();
        let stop = stop.clone();
        let thread = spawn("signals", move || {
            block_on(async move {
                match target {
                    Some((target, guard)) => interruption(live::watch(&target, &guard), &stop, until).await,
                    None => interruption(std::future::pending(), &stop, until).await,
                }
            })?
        })?;
        Ok(Self { done, thread })
    }

    /// The run is over: why it ended early, if it did.
    pub(super) fn end(self) -> Result<Option<Interruption>, Failure> {
        // It may have ended on its own.
        let _ = self.done.send(());
        join(self.thread)?
    }
}

/// Reads beside a run, once a second, what processes use, what the machine drops, and what metrics of the target say.
pub(super) struct Sampling {
    done: mpsc::Sender<()>,
    processes: thread::JoinHandle<()>,
    /// Where the target has metrics.
    metrics: Option<Scraping>,
}

impl Sampling {
    pub(super) fn start(
        target: &Arc<Target>,
        guard: &Arc<Guard>,
        clock: Clock,
        sink: ResourceSink,
    ) -> Result<Self, Failure> {
        let (done, ended) = mpsc::channel();
        let metrics = match target.metrics.is_empty() {
            true => None,
            false => Some(Scraping::start(Arc::clone(target), Arc::clone(guard), clock, sink.clone())?),
        };
        let sampler = Sampler::new(target);
        let processes = spawn("sampler", move || sample(sampler, clock, &sink, &ended))?;
        Ok(Self { done, processes, metrics })
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        let _ = self.done.send(());
        join(self.processes)?;
        self.metrics.map_or(Ok(()), Scraping::end)
    }
}

/// Samples the processes and the machine once a second until `ended` says so, and once more then.
fn sample(mut sampler: Sampler, clock: Clock, sink: &ResourceSink, ended: &mpsc::Receiver<()>) {
    loop {
        let last =
            !matches!(ended.recv_timeout(Duration::from_secs(1)), Err(mpsc::RecvTimeoutError::Timeout));
        let now = clock.now();
        for sample in sampler.sample() {
            sink.send(Resources {
                second: now.second(),
                layer: sample.layer,
                pid: sample.pid,
                cpu_seconds: sample.cpu_seconds,
                rss_bytes: sample.rss_bytes,
                descriptors: sample.descriptors,
                at_seconds: Some(now.as_secs_f64()),
                worker_cpu_seconds: sample.worker_cpu_seconds,
                readings: sample.readings,
            });
        }
        sink.send_metrics(Metrics {
            source: Metrics::MACHINE.to_owned(),
            at_seconds: now.as_secs_f64(),
            layer: None,
            readings: sampler.machine(),
            trouble: None,
        });
        if last {
            break;
        }
    }
}

/// Reads the target's metrics until it is told that the run is over.
struct Scraping {
    done: oneshot::Sender<()>,
    thread: thread::JoinHandle<Result<(), Failure>>,
}

impl Scraping {
    fn start(
        target: Arc<Target>,
        guard: Arc<Guard>,
        clock: Clock,
        sink: ResourceSink,
    ) -> Result<Self, Failure> {
        let (done, until) = oneshot::channel::<()>();
        let thread = spawn("metrics", move || {
            block_on(async move {
                let hand_in = |Scraped { source, layer, at_seconds, readings, trouble }| {
                    sink.send_metrics(Metrics { source, at_seconds, layer: Some(layer), readings, trouble });
                };
                tokio::select! {
                    scraped = live::scrape(&target, &guard, clock, hand_in) => {
                        scraped.map_err(|error| Failure::trouble("reading metrics", error))
                    }
                    // However it ends: the run is over.
                    _ = until => Ok(()),
                }
            })?
        })?;
        Ok(Self { done, thread })
    }

    fn end(self) -> Result<(), Failure> {
        let _ = self.done.send(());
        join(self.thread)?
    }
}

/// Waits for a signal that asks the program to end.
///
/// # Errors
/// Signals cannot be listened for.
#[cfg(feature = "testbed")]
pub(super) fn until_signal() -> Result<(), Failure> {
    block_on(async {
        Signals::listen()?.next().await;
        Ok(())
    })?
}

/// The signals that ask a program to end: SIGINT and SIGTERM.
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|error| Failure::trouble("listening for signals", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for reasons to end the run early, and raises the stop signal, until the run is `done`; the reason that counts.
async fn interruption(
    withdrawn: impl Future<Output = Refusal>,
    stop: &Stop,
    mut done: oneshot::Receiver<()>,
) -> Result<Option<Interruption>, Failure> {
    let mut signals = Signals::listen()?;
    let mut withdrawn = pin!(withdrawn);
    let mut found = None;
    loop {
        tokio::select! {
            _ = &mut done => return Ok(found),
            () = signals.next() => match found {
                None => {
                    print::note("interrupted: letting what is under way finish; once more stops at once");
                    stop.raise(StopLevel::Drain);
                    found = Some(Interruption::Signal);
                }
                Some(_) => stop.raise(StopLevel::Now),
            },
            refusal = &mut withdrawn, if !matches!(found, Some(Interruption::Withdrawn(_))) => {
                stop.raise(StopLevel::Now);
                found = Some(Interruption::Withdrawn(refusal));
            }
        }
    }
}

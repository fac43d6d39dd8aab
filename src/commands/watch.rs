//! What goes on beside a run: signals, the target's authorisation, samples of processes.

use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::drive::{Stop, StopLevel};
use crate::live::{self, Clock, Guard, Refusal, Sampler};
use crate::profile::Target;
use crate::record::{ResourceSink, Resources};

use super::exit::Failure;
use super::threads::{block_on, join, spawn};

/// Why a run ended before its plan.
pub(super) enum Interruption {
    /// SIGINT or SIGTERM.
    Signal,
    /// The target no longer agrees.
    Withdrawn(Refusal),
}

/// Those who watch a run: signals, the target's authorisation, the processes' resources.
pub(super) struct Watch {
    done: oneshot::Sender<()>,
    signals: thread::JoinHandle<Result<Option<Interruption>, Failure>>,
    sampling: mpsc::Sender<()>,
    sampler: thread::JoinHandle<()>,
}

impl Watch {
    pub(super) fn start(
        target: &Arc<Target>,
        guard: &Arc<Guard>,
        stop: &Stop,
        clock: Clock,
        sink: ResourceSink,
    ) -> Result<Self, Failure> {
        let (done, until) = oneshot::channel();
        let (target_, guard, stop) = (Arc::clone(target), Arc::clone(guard), stop.clone());
        let signals = spawn("signals", move || block_on(interruption(&target_, &guard, &stop, until))?)?;
        let (sampling, ended) = mpsc::channel();
        let sampler = Sampler::new(target);
        let sampler = spawn("sampler", move || sample(&sampler, clock, &sink, &ended))?;
        Ok(Self { done, signals, sampling, sampler })
    }

    pub(super) fn end(self) -> Result<Option<Interruption>, Failure> {
        // Either may have ended on its own.
        let _ = self.done.send(());
        let _ = self.sampling.send(());
        join(self.sampler)?;
        join(self.signals)?
    }
}

/// Samples the processes once a second until `ended` says so, and once more then.
fn sample(sampler: &Sampler, clock: Clock, sink: &ResourceSink, ended: &mpsc::Receiver<()>) {
    loop {
        let last =
            !matches!(ended.recv_timeout(Duration::from_secs(1)), Err(mpsc::RecvTimeoutError::Timeout));
        let second = clock.now().second();
        for sample in sampler.sample() {
            sink.send(Resources {
                second,
                layer: sample.layer,
                pid: sample.pid,
                cpu_seconds: sample.cpu_seconds,
                rss_bytes: sample.rss_bytes,
                descriptors: sample.descriptors,
            });
        }
        if last {
            break;
        }
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
    target: &Target,
    guard: &Guard,
    stop: &Stop,
    mut done: oneshot::Receiver<()>,
) -> Result<Option<Interruption>, Failure> {
    let mut signals = Signals::listen()?;
    let mut withdrawn = pin!(live::watch(target, guard));
    let mut found = None;
    loop {
        tokio::select! {
            _ = &mut done => return Ok(found),
            () = signals.next() => {
                // The second signal is from somebody who cannot wait.
                stop.raise(if found.is_none() { StopLevel::Drain } else { StopLevel::Now });
                found.get_or_insert(Interruption::Signal);
            }
            refusal = &mut withdrawn, if !matches!(found, Some(Interruption::Withdrawn(_))) => {
                stop.raise(StopLevel::Now);
                found = Some(Interruption::Withdrawn(refusal));
            }
        }
    }
}

//! Threads and runtimes, with errors that say which.

use std::thread;

use tokio::runtime::{Builder, LocalOptions};

use super::exit::{Exit, Failure};

/// Runs a future that spawns local tasks, on a runtime of its own.
pub(super) fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> Result<T, Failure> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(|error| Failure::trouble("starting a runtime", error))?;
    // As a task among the others: whoever wakes the future that a runtime waits for pays a system call for it.
    let task = runtime.spawn_local(future);
    runtime.block_on(task).map_err(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => Failure::trouble("running a task", error),
    })
}

/// A named thread.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, Failure> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Failure::trouble(format!("starting thread {name}"), error))
}

/// What a thread gave.
pub(super) fn join<T>(thread: thread::JoinHandle<T>) -> Result<T, Failure> {
    let name = thread.thread().name().unwrap_or("?").to_owned();
    thread.join().map_err(|_| Failure::new(Exit::Trouble, format!("thread {name} panicked; this is a bug")))
}

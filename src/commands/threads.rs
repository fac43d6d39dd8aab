//! Threads and runtimes, with errors that say which.

use std::thread;

use super::exit::{Exit, Failure};

/// A runtime for one thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::trouble("starting a runtime", error))
}

/// Runs a future that spawns local tasks, on a runtime of its own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = runtime()?;
    Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
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

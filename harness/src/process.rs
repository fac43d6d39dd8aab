//! A layer's process as the testbed sees it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddrV4;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde::Serialize;

use crate::layer::Layer;
use crate::{SUBCOMMAND, TestbedError};

/// Lines of standard error that are kept.
const LAST_LINES: usize = 12;
/// Characters of such a line that are kept.
const LINE_LIMIT: usize = 400;

/// A started layer. It is killed when it is dropped.
pub(crate) struct Process {
    layer: Layer,
    child: Child,
    /// Held: the layer lives as long as this. Its thread also writes the assignment, so that a layer that does not read blocks nobody.
    lifeline: Option<Sender<()>>,
    /// Lines of standard output; disconnected when the process has ended.
    lines: Receiver<String>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    errors: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts `program` as `layer`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(crate) fn start(
        program: &Path,
        layer: Layer,
        assignment: &impl Serialize,
    ) -> Result<Self, TestbedError> {
        let failed =
            |source| TestbedError::Spawn { layer: layer.name(), program: program.to_owned(), source };
        let mut line = serde_json::to_vec(assignment).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        let mut child = Command::new(program)
            .args([SUBCOMMAND, layer.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that Ctrl-C reaches the run alone, which then ends its layers in its own time.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (lifeline, held) = channel();
        thread::spawn(move || hold(stdin, &line, &held));
        let (sender, lines) = channel();
        thread::spawn(move || read_lines(stdout, |line| sender.send(line).is_ok()));
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&last_words);
        let errors = thread::spawn(move || read_lines(stderr, |line| keep_last(&kept, line)));
        Ok(Self { layer, child, lifeline: Some(lifeline), lines, last_words, errors: Some(errors) })
    }

    pub(crate) fn layer(&self) -> Layer {
        self.layer
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the layer says where it answers.
    ///
    /// # Errors
    /// It ended, it said nothing until the deadline, it said something else.
    pub(crate) fn addresses(&mut self, deadline: Instant) -> Result<Vec<SocketAddrV4>, TestbedError> {
        let layer = self.layer.name();
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => serde_json::from_str(&answer).map_err(|_| TestbedError::Answer { layer, answer }),
            Err(RecvTimeoutError::Timeout) => {
                Err(TestbedError::Late { layer, last_words: self.last_words() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
        }
    }

    /// Waits until the layer says where it answers, if that is one address.
    ///
    /// # Errors
    /// As those of [`addresses`](Self::addresses).
    pub(crate) fn address(&mut self, deadline: Instant) -> Result<SocketAddrV4, TestbedError> {
        match self.addresses(deadline)?.as_slice() {
            [address] => Ok(*address),
            other => Err(TestbedError::Answer { layer: self.layer.name(), answer: format!("{other:?}") }),
        }
    }

    fn ended(&mut self) -> TestbedError {
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        if let Some(errors) = self.errors.take() {
            let _ = errors.join();
        }
        TestbedError::Ended { layer: self.layer.name(), status, last_words: self.last_words() }
    }

    /// Tells the layer to end, without waiting for it.
    pub(crate) fn release(&mut self) {
        self.lifeline = None;
    }

    /// Waits until `deadline` for a released layer to end.
    pub(crate) fn wait_until(&mut self, deadline: Instant) {
        while let Ok(_unasked) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        }
    }

    fn last_words(&self) -> String {
        let lines = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut text, line| {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  {line}");
            text
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended already. SIGKILL also ends a process that is stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the assignment and keeps standard input open until the other end of `held` goes.
fn hold(stdin: Option<ChildStdin>, assignment: &[u8], held: &Receiver<()>) {
    let Some(mut stdin) = stdin else { return };
    // A layer that has ended cannot be written to; `ready` reports that.
    let _ = stdin.write_all(assignment).and_then(|()| stdin.flush());
    let _ = held.recv();
}

/// Hands on every line until the source ends or `take` has had enough.
fn read_lines(source: Option<impl Read>, mut take: impl FnMut(String) -> bool) {
    let Some(source) = source else { return };
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if !take(String::from_utf8_lossy(&line).trim_end().to_owned()) {
            return;
        }
        line.clear();
    }
}

fn keep_last(kept: &Mutex<VecDeque<String>>, line: String) -> bool {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() == LAST_LINES {
        kept.pop_front();
    }
    kept.push_back(line.chars().take(LINE_LIMIT).collect());
    true
}

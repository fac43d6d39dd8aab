//! The only place that writes to the terminal.

use std::io::{self, ErrorKind, Write};

use super::exit::Failure;

/// Prints a text on standard output, with one newline at its end. A reader that has gone (`| head`) is no error: it has what it wanted.
///
/// # Errors
/// Standard output cannot be written for any other reason, such as a full disk behind it.
pub(super) fn out(text: &str) -> Result<(), Failure> {
    let mut stream = io::stdout().lock();
    match writeln!(stream, "{}", text.trim_end()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::trouble("writing to standard output", error))
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard error. When that is gone nobody can be told, and what is under way goes on.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end());
}

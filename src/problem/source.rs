//! A file and the places in it.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it was read from, as it was named.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl SourceFile {
    /// Longest file that is read, in bytes: a target with a hundred thousand torrents fits, a device that never ends does not.
    const LONGEST: u64 = 16 << 20;

    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 16 MiB, or is not UTF-8.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut bytes = Vec::new();
        File::open(path)?.take(Self::LONGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > Self::LONGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 16 MiB"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 text (byte {byte})"))
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        position(&self.text, offset)
    }

    /// The part of `span` that can be underlined: inside the text, on character boundaries, on its first line.
    pub(super) fn underlined(&self, span: &Range<usize>) -> Range<usize> {
        let start = boundary(&self.text, span.start);
        let end = boundary(&self.text, span.end.max(start));
        let line_end = self.text[start..].find(['\n', '\r']).map_or(self.text.len(), |length| start + length);
        start..end.min(line_end)
    }
}

/// Line and column of a byte offset in `text`, both from 1; the column counts characters.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..boundary(text, offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The nearest character boundary at or before `offset`.
fn boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

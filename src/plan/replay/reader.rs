//! Reading a log as it lies on disk: line by line, in order of time, never more of it in memory than a minute.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Take};
use std::path::Path;

use super::line::{Announce, Unread};
use super::{Entry, Known, SLACK};

/// Longest line, in bytes: an announce has some hundred.
const LONGEST: u64 = 64 << 10;
/// Most unread lines whose numbers are kept.
const KEPT: usize = 20;

/// What became of the lines of a log. Empty lines do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Lines that are announces.
    pub read: u64,
    /// Lines that are not.
    pub unread: u64,
    /// The first twenty of them, by number from 1, with the reason.
    pub first_unread: Vec<(u64, Unread)>,
}

/// The announces of one second, in the order in which they were written.
pub(super) struct Second {
    /// Unix time.
    pub(super) second: i64,
    pub(super) entries: Vec<Entry>,
}

/// A log under way.
///
/// Logs are written when answers are sent, by several processes at a time, so neighbours may have changed places: a second is given away
/// once a line [`SLACK`] seconds younger was seen.
#[derive(Debug)]
pub(super) struct Reader {
    source: BufReader<Take<File>>,
    line: Vec<u8>,
    number: u64,
    waiting: BTreeMap<i64, Vec<Entry>>,
    newest: i64,
    /// Seconds before this one were given away.
    given: i64,
    lines: Lines,
}

impl Reader {
    /// Opens the first `bytes` of a log.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self {
            source: BufReader::with_capacity(1 << 16, File::open(path)?.take(bytes)),
            line: Vec::new(),
            number: 0,
            waiting: BTreeMap::new(),
            newest: i64::MIN,
            given: i64::MIN,
            lines: Lines::default(),
        })
    }

    /// The next second that has announces; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(super) fn next_second(&mut self, known: &Known) -> io::Result<Option<Second>> {
        loop {
            let whole = |(second, _): (&i64, &Vec<Entry>)| *second < self.newest.saturating_sub(SLACK);
            if self.waiting.first_key_value().is_some_and(whole) || !self.read_line(known)? {
                let Some((second, entries)) = self.waiting.pop_first() else { return Ok(None) };
                self.given = second + 1;
                return Ok(Some(Second { second, entries }));
            }
        }
    }

    /// What became of the lines so far.
    pub(super) const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Takes one line; whether there was one.
    fn read_line(&mut self, known: &Known) -> io::Result<bool> {
        self.line.clear();
        if self.source.by_ref().take(LONGEST).read_until(b'\n', &mut self.line)? == 0 {
            return Ok(false);
        }
        self.number += 1;
        if self.line.len() as u64 == LONGEST && self.line.last() != Some(&b'\n') {
            self.source.skip_until(b'\n')?;
            self.leave_out(Unread::Length);
            return Ok(true);
        }
        // A stray byte spoils the field that it stands in, not the line.
        let found = match String::from_utf8_lossy(&self.line).trim() {
            "" => return Ok(true),
            text => Announce::read(text).map(|announce| (announce.second, known.entry(&announce))),
        };
        match found {
            Ok((second, _)) if second < self.given => self.leave_out(Unread::Late),
            Ok((second, entry)) => {
                self.lines.read += 1;
                self.newest = self.newest.max(second);
                self.waiting.entry(second).or_default().push(entry);
            }
            Err(why) => self.leave_out(why),
        }
        Ok(true)
    }

    fn leave_out(&mut self, why: Unread) {
        self.lines.unread += 1;
        if self.lines.first_unread.len() < KEPT {
            self.lines.first_unread.push((self.number, why));
        }
    }
}

//! A tracker's access log as a plan: the announces of a day that was, at its moments or faster.
//!
//! The log is in the combined form (`%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`) that nginx, Apache and HTTP trackers write.
//! A line that is not an announce of that form is counted with its number and left out. By hand: the crates for such logs parse one
//! line into strings and stop there, and the query (BEP 3) is what matters here.
//!
//! The log stays on disk. It is read once before the run (ranks of the torrents, length, fingerprint), and once more by every shard as
//! the run goes, which holds a minute of it at a time. What a log knows is kept: event, `numwant`, `left`, `downloaded`, who the peer
//! is, and its client where the scenario's mix has it. What no log tells (region, access line, other clients) is drawn from the mixes,
//! once for each peer.

mod line;
mod reader;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::demand::stream::key;
use crate::profile::{Client, Mix};
use crate::scenario::Scenario;
use crate::unit::Tick;

use super::choice::Choice;
use super::{AnnounceEvent, Arrival, Cohort, Logged, Origin, PlannedStep, What};

pub use line::{Announce, Unread};
pub use reader::Lines;
use reader::{Reader, Second};
pub use survey::{Survey, SurveyRow};

/// Seconds that a line may be older than one before it.
pub const SLACK: i64 = 60;
/// Ranks that can be told apart.
const RANKS: usize = 1 << 16;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is read several times, and this can be read but once.
    #[error("{path} is not a regular file, and a log is read several times", path = path.display())]
    NotAFile {
        /// The log.
        path: PathBuf,
    },
    /// It has no announce.
    #[error("{path} has no announce{reasons}", path = path.display(), reasons = reasons(lines))]
    Nothing {
        /// The log.
        path: PathBuf,
        /// What it has instead.
        lines: Lines,
    },
    /// It was changed while it was replayed.
    #[error("{path} was changed while it was read: {read} announces now, {planned} before", path = path.display())]
    Changed {
        /// The log.
        path: PathBuf,
        /// Announces found before the run.
        planned: u64,
        /// Announces found by a shard.
        read: u64,
    },
}

/// The first lines that were not read, one to a line.
fn reasons(lines: &Lines) -> String {
    lines.first_unread.iter().fold(String::new(), |mut text, (number, why)| {
        let _ = write!(text, "\n  line {number}: {why}");
        text
    })
}

impl Lines {
    /// What was left out, in words; `None` where nothing was.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let others = self.unread.saturating_sub(self.first_unread.len() as u64);
        let more = if others > 0 { format!("\n  and {others} more") } else { String::new() };
        let all = self.read + self.unread;
        (self.unread > 0)
            .then(|| format!("{} of {all} lines are left out:{}{more}", self.unread, reasons(self)))
    }
}

/// A log that is ready to be replayed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replay {
    log: Arc<Log>,
    /// Log seconds to a run second.
    speed: f64,
    seed: u64,
    /// Set by the first shard that could not read on.
    trouble: Arc<OnceLock<ReplayError>>,
}

/// What the first reading found.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    /// Bytes that were there when it was read first: what is written to it later does not belong to the plan.
    bytes: u64,
    lines: Lines,
    first: i64,
    last: i64,
    /// Rank of each torrent, the most announced first; equals in order of their bytes.
    ranks: HashMap<[u8; 20], u16>,
    torrents: usize,
    known: Known,
    /// Over everything that was read.
    digest: [u8; 32],
}

impl Replay {
    /// Reads a log for the visitors of a scenario, to be replayed in real time. `seed` decides what the log does not tell.
    ///
    /// # Errors
    /// The log cannot be read, or has no announce.
    pub fn open(path: &Path, scenario: &Scenario, seed: u64) -> Result<Self, ReplayError> {
        let failed = |source| ReplayError::Io { path: path.to_owned(), source };
        let file = fs::metadata(path).map_err(failed)?;
        if !file.is_file() {
            return Err(ReplayError::NotAFile { path: path.to_owned() });
        }
        let known = Known::new(scenario);
        let mut reader = Reader::open(path, file.len()).map_err(failed)?;
        let mut counts: HashMap<[u8; 20], u64> = HashMap::new();
        let mut hash = Sha256::new_with_prefix("squall replay 1\n");
        let mut seconds: Option<(i64, i64)> = None;
        while let Some(Second { second, entries }) = reader.next_second(&known).map_err(failed)? {
            seconds = Some((seconds.map_or(second, |(first, _)| first), second));
            for entry in &entries {
                *counts.entry(entry.info_hash).or_default() += 1;
                entry.put(second, &mut hash);
            }
        }
        let lines = reader.lines().clone();
        let Some((first, last)) = seconds else {
            return Err(ReplayError::Nothing { path: path.to_owned(), lines });
        };
        let log = Log {
            path: path.to_owned(),
            bytes: file.len(),
            lines,
            first,
            last,
            torrents: counts.len(),
            ranks: ranks(counts),
            known,
            digest: hash.finalize().into(),
        };
        Ok(Self { log: Arc::new(log), speed: 1.0, seed, trouble: Arc::default() })
    }

    /// The same with `speed` log seconds to a run second, above 0. Nothing is left out: the rates grow with the speed.
    #[must_use]
    pub fn at_speed(self, speed: f64) -> Self {
        Self { speed, ..self }
    }

    /// The log.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.log.path
    }

    /// What became of its lines.
    #[must_use]
    pub fn lines(&self) -> &Lines {
        &self.log.lines
    }

    /// Torrents that it names. Those beyond the 65,536 most announced share the last rank.
    #[must_use]
    pub fn torrents(&self) -> usize {
        self.log.torrents
    }

    /// The log's first second, Unix time.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.log.first
    }

    /// From the first announce to the end of the second of the last, on the log's clock.
    #[must_use]
    pub fn span(&self) -> Duration {
        Duration::from_secs(self.log.last.abs_diff(self.log.first) + 1)
    }

    /// How long it takes on the run clock.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.span().div_f64(self.speed)
    }

    /// Its fingerprint, SHA-256 in hexadecimal: speed, seed, mixes, and what every announce says.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new_with_prefix(self.log.digest);
        hash.update(self.speed.to_bits().to_le_bytes());
        hash.update(self.seed.to_le_bytes());
        for number in self.log.known.numbers() {
            hash.update(number.to_bits().to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Shard `i` of `n`: the announces whose number leaves `i` when divided by `n`, in order of due. Empty for `i` ≥ `n`. Where the log
    /// cannot be read on, it ends, and [`Replay::trouble`] says why.
    #[must_use]
    pub fn shard(&self, i: u32, n: u32) -> Shard {
        Shard { replay: self.clone(), shard: u64::from(i), of: u64::from(n), state: State::New }
    }

    /// Why a shard ended before the log did, if one did.
    #[must_use]
    pub fn trouble(&self) -> Option<&ReplayError> {
        self.trouble.get()
    }

    /// Announce `index`, `part` of its second after that begins. Every one is an arrival of its own.
    fn arrival(&self, index: u64, second: i64, part: f64, entry: &Entry) -> Arrival {
        let seconds = ((second - self.log.first) as f64 + part) / self.speed;
        let at = Tick((seconds * 1e9) as u64);
        let seed = key(self.seed, &[entry.peer]);
        // The peer's own stream, so that it is the same in all its announces.
        let mut random = SplitMix64::seed_from_u64(key(seed, &[]));
        let known = &self.log.known;
        let mut pick = |mix: &Choice| u8::try_from(mix.pick(random.random())).unwrap_or(u8::MAX);
        let (region, access, client) = (pick(&known.regions), pick(&known.access), pick(&known.others));
        let reach: f64 = random.random();
        Arrival {
            index,
            origin: Origin::Logged(entry.logged),
            // A log does not tell; peers that announce again were there before.
            cohort: Cohort::Returning,
            region,
            client: entry.client.unwrap_or(client),
            access,
            // Peers fetch no pages.
            cached: false,
            reachable: known.unreachable.get(usize::from(access)).is_none_or(|share| reach >= *share),
            content: self.log.ranks.get(&entry.info_hash).copied().unwrap_or(u16::MAX),
            seed,
            steps: SmallVec::from_iter([PlannedStep { at, what: What::Announce(entry.event) }]),
        }
    }
}

fn ranks(counts: HashMap<[u8; 20], u64>) -> HashMap<[u8; 20], u16> {
    let mut ranked: Vec<([u8; 20], u64)> = counts.into_iter().collect();
    ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let rank = |rank: usize| u16::try_from(rank.min(RANKS - 1)).unwrap_or(u16::MAX);
    ranked.into_iter().enumerate().map(|(place, (hash, _))| (hash, rank(place))).collect()
}

/// What is kept of a line.
#[derive(Clone, Debug)]
struct Entry {
    info_hash: [u8; 20],
    event: AnnounceEvent,
    logged: Logged,
    /// Client, where the mix has it.
    client: Option<u8>,
    /// Who announces, as one number.
    peer: u64,
}

impl Entry {
    fn put(&self, second: i64, hash: &mut Sha256) {
        let Logged { numwant, left, downloaded } = self.logged;
        hash.update(second.to_le_bytes());
        hash.update(self.info_hash);
        hash.update([self.event as u8, self.client.is_some().into(), self.client.unwrap_or(0)]);
        hash.update(numwant.to_le_bytes());
        for bytes in [left, downloaded] {
            hash.update([bytes.is_some().into()]);
            hash.update(bytes.unwrap_or(0).to_le_bytes());
        }
        hash.update(self.peer.to_le_bytes());
    }
}

/// What a scenario knows of those who announce.
#[derive(Debug)]
struct Known {
    clients: Mix<Client>,
    /// Clients that a log names and the mix has not.
    others: Choice,
    access: Choice,
    /// Of each access line.
    unreachable: Vec<f64>,
    regions: Choice,
}

impl Known {
    fn new(scenario: &Scenario) -> Self {
        Self {
            clients: scenario.clients.clone(),
            others: Choice::new(scenario.clients.members.iter().map(|(_, share)| *share)),
            access: Choice::new(scenario.access.members.iter().map(|(_, share)| *share)),
            unreachable: scenario.access.members.iter().map(|(line, _)| line.unreachable).collect(),
            regions: Choice::new(scenario.audience.regions.iter().map(|region| region.share)),
        }
    }

    fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        [&self.others, &self.access, &self.regions]
            .into_iter()
            .flat_map(Choice::numbers)
            .chain(self.unreachable.iter().copied())
    }

    fn entry(&self, announce: &Announce<'_>) -> Entry {
        // A peer without an id is told apart by its address.
        let name: &[u8] = announce.peer_id.as_ref().map_or(announce.host.as_bytes(), |id| id);
        let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let words: SmallVec<[u64; 4]> = name.chunks(8).map(word).collect();
        let logged = Logged {
            numwant: announce.numwant.and_then(|wanted| i32::try_from(wanted).ok()).unwrap_or(-1),
            left: announce.left,
            downloaded: announce.downloaded,
        };
        Entry {
            info_hash: announce.info_hash,
            event: announce.event,
            logged,
            client: self.client(announce),
            peer: key(0, &words),
        }
    }

    /// The member of the mix with the beginning of the peer id, else with the user agent, else the same program in another version
    /// (BEP 20: the two letters after the hyphen).
    fn client(&self, announce: &Announce<'_>) -> Option<u8> {
        let id = announce.peer_id.as_ref();
        let find = |is: &dyn Fn(&Client) -> bool| {
            let place = self.clients.members.iter().position(|(client, _)| is(client))?;
            u8::try_from(place).ok()
        };
        let begins = |client: &Client, length: usize| {
            id.is_some_and(|id| id[..length] == client.peer_id_prefix[..length])
        };
        find(&|client| begins(client, 8))
            .or_else(|| find(&|client| client.user_agent == announce.agent))
            .or_else(|| find(&|client| client.peer_id_prefix[0] == b'-' && begins(client, 3)))
    }
}

/// The arrivals of one shard of a replayed log, in order of due. Holds the announces of a minute.
#[derive(Debug)]
pub struct Shard {
    replay: Replay,
    shard: u64,
    of: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    New,
    Open(Open),
    Over,
}

/// A log of which a shard has read some.
#[derive(Debug)]
struct Open {
    reader: Box<Reader>,
    /// Announces of the seconds before, over all shards.
    counted: u64,
    /// The shard's own arrivals of the present second, last first.
    drafts: Vec<Arrival>,
}

impl Shard {
    /// The next arrival; `None` at the end of the log.
    fn advance(&mut self) -> Result<Option<Arrival>, ReplayError> {
        let log = &self.replay.log;
        let failed = |source| ReplayError::Io { path: log.path.clone(), source };
        if matches!(self.state, State::New) && self.shard < self.of {
            let reader = Box::new(Reader::open(&log.path, log.bytes).map_err(failed)?);
            self.state = State::Open(Open { reader, counted: 0, drafts: Vec::new() });
        }
        let State::Open(open) = &mut self.state else { return Ok(None) };
        loop {
            if let Some(arrival) = open.drafts.pop() {
                return Ok(Some(arrival));
            }
            let Some(Second { second, entries }) = open.reader.next_second(&log.known).map_err(failed)?
            else {
                let (path, planned, read) = (log.path.clone(), log.lines.read, open.reader.lines().read);
                return if read == planned {
                    Ok(None)
                } else {
                    Err(ReplayError::Changed { path, planned, read })
                };
            };
            // The log tells the order within a second and no more: its announces are spread evenly over it.
            let part = |place: usize| place as f64 / entries.len() as f64;
            let own = entries.iter().enumerate().zip(open.counted..);
            let own = own.filter(|(_, index)| index % self.of == self.shard);
            let draw = |((place, entry), index): ((usize, &Entry), u64)| {
                self.replay.arrival(index, second, part(place), entry)
            };
            open.drafts.extend(own.map(draw));
            open.drafts.reverse();
            open.counted += entries.len() as u64;
        }
    }
}

impl Iterator for Shard {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let next = self.advance();
        if !matches!(next, Ok(Some(_))) {
            self.state = State::Over;
        }
        next.unwrap_or_else(|trouble| {
            // The first to fail says why; the others fail for the same reason.
            let _ = self.replay.trouble.set(trouble);
            None
        })
    }
}

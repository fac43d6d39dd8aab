//! One line of an access log.

use jiff::fmt::strtime;
use percent_encoding::percent_decode_str;

use crate::plan::AnnounceEvent;

/// An announce that a tracker logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce<'a> {
    /// Unix second at which it was logged.
    pub second: i64,
    /// Who asked, as the first field of the line has it: an address as a rule.
    pub host: &'a str,
    /// User agent; empty where the line ends before it.
    pub agent: &'a str,
    /// Its swarm.
    pub info_hash: [u8; 20],
    /// The peer's id (BEP 3, BEP 20); none where it names none of twenty bytes.
    pub peer_id: Option<[u8; 20]>,
    /// What it says.
    pub event: AnnounceEvent,
    /// Peers that it asks for; none where it leaves that to the tracker.
    pub numwant: Option<u32>,
    /// Bytes that it still wants; none where it does not say.
    pub left: Option<u64>,
    /// Bytes that it has fetched; none where it does not say.
    pub downloaded: Option<u64>,
}

/// Why a line is not an announce that can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// Not the combined form.
    #[error("not a line of an access log in the combined form")]
    Form,
    /// Longer than any announce.
    #[error("longer than 64 KiB")]
    Length,
    /// A moment that does not exist, or of another form than `[02/Jan/2006:15:04:05 -0700]`.
    #[error("no moment such as [02/Jan/2006:15:04:05 -0700]")]
    Moment,
    /// Later lines were replayed already: see [`super::SLACK`].
    #[error("more than a minute older than a line before it; sort the log by time")]
    Late,
    /// Another request.
    #[error("not a GET of /announce")]
    Request,
    /// No `info_hash` of twenty bytes.
    #[error("no info_hash of 20 bytes")]
    InfoHash,
    /// An event that BEP 3 does not know.
    #[error("an event other than started, completed and stopped")]
    Event,
    /// A number that is none.
    #[error("numwant, left or downloaded is not a number")]
    Number,
}

impl<'a> Announce<'a> {
    /// Reads a line. `numwant` below 0 is what some clients write for "as many as you like", and counts as none.
    ///
    /// # Errors
    /// [`Unread`] says why it is not an announce.
    pub fn read(line: &'a str) -> Result<Self, Unread> {
        let (before, rest) = line.split_once('[').ok_or(Unread::Form)?;
        let (at, rest) = rest.split_once(']').ok_or(Unread::Form)?;
        let (request, rest) =
            rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')).ok_or(Unread::Form)?;
        let second = strtime::parse("%d/%b/%Y:%H:%M:%S %z", at)
            .and_then(|parsed| parsed.to_timestamp())
            .map_err(|_| Unread::Moment)?
            .as_second();
        let mut words = request.split(' ');
        let (Some("GET"), Some(path)) = (words.next(), words.next()) else { return Err(Unread::Request) };
        // Private trackers put a key before it: /0123abcd/announce.
        let (path, query) = path.split_once('?').ok_or(Unread::Request)?;
        if !path.ends_with("/announce") {
            return Err(Unread::Request);
        }
        let mut announce = Self {
            second,
            host: before.split(' ').next().unwrap_or_default(),
            // What follows the request: ` 200 312 "referer" "agent"`.
            agent: rest.split('"').nth(3).unwrap_or_default(),
            info_hash: [0; 20],
            peer_id: None,
            event: AnnounceEvent::Interval,
            numwant: None,
            left: None,
            downloaded: None,
        };
        let mut info_hash = None;
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "info_hash" => info_hash = Some(twenty_bytes(value).ok_or(Unread::InfoHash)?),
                "peer_id" => announce.peer_id = twenty_bytes(value),
                "event" => announce.event = event(value)?,
                "numwant" => {
                    let wanted: i64 = value.parse().map_err(|_| Unread::Number)?;
                    announce.numwant = u32::try_from(wanted).ok();
                }
                "left" => announce.left = Some(value.parse().map_err(|_| Unread::Number)?),
                "downloaded" => announce.downloaded = Some(value.parse().map_err(|_| Unread::Number)?),
                _ => {}
            }
        }
        announce.info_hash = info_hash.ok_or(Unread::InfoHash)?;
        Ok(announce)
    }
}

fn twenty_bytes(value: &str) -> Option<[u8; 20]> {
    let mut bytes = percent_decode_str(value);
    let mut twenty = [0; 20];
    for place in &mut twenty {
        *place = bytes.next()?;
    }
    bytes.next().is_none().then_some(twenty)
}

fn event(value: &str) -> Result<AnnounceEvent, Unread> {
    match value {
        "started" => Ok(AnnounceEvent::Started),
        "completed" => Ok(AnnounceEvent::Completed),
        "stopped" => Ok(AnnounceEvent::Stopped),
        // Some clients write the key without a value, or `empty` as BEP 3 spells it.
        "" | "empty" => Ok(AnnounceEvent::Interval),
        _ => Err(Unread::Event),
    }
}

//! WebTorrent's tracker protocol: JSON messages in which a byte string is written with one character (U+0000 to U+00FF) for each byte.
//!
//! Visitors want numbers, not browsers to talk to, so they offer no connections, and offers that are passed on to them are let pass.
//! There is no specification but the implementations (`bittorrent-tracker`, aquatic).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::journey::Cause;

use super::{Announce, Answer, Counts, Refused};

/// Longest message that is read: an offer to connect is a few KB.
pub(in super::super) const MAX_MESSAGE: usize = 256 << 10;

#[derive(Serialize)]
struct AnnounceMessage<'a> {
    action: &'static str,
    info_hash: String,
    peer_id: String,
    numwant: i32,
    uploaded: u64,
    downloaded: u64,
    left: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    offers: [(); 0],
}

/// An announce without offers.
pub(in super::super) fn announce_message(announce: &Announce) -> String {
    json(&AnnounceMessage {
        action: "announce",
        info_hash: text(&announce.info_hash),
        peer_id: text(&announce.peer_id),
        numwant: announce.numwant.max(0),
        uploaded: announce.uploaded,
        downloaded: announce.downloaded,
        left: announce.left,
        event: announce.event(),
        offers: [],
    })
}

#[derive(Serialize)]
struct ScrapeMessage {
    action: &'static str,
    info_hash: Vec<String>,
}

/// A scrape.
pub(in super::super) fn scrape_message(hashes: &[[u8; 20]]) -> String {
    json(&ScrapeMessage { action: "scrape", info_hash: hashes.iter().map(|hash| text(hash)).collect() })
}

/// These messages are maps with text keys, which always have a JSON form.
fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[derive(Deserialize)]
struct RawMessage {
    action: Option<String>,
    info_hash: Option<String>,
    #[serde(rename = "failure reason", alias = "failure_reason")]
    failure: Option<serde_json::Value>,
    #[serde(rename = "warning message")]
    warning: Option<serde_json::Value>,
    interval: Option<i64>,
    complete: Option<u64>,
    incomplete: Option<u64>,
    files: Option<BTreeMap<String, RawCounts>>,
}

#[derive(Deserialize)]
struct RawCounts {
    complete: Option<u64>,
    incomplete: Option<u64>,
}

/// The answer to an announce; `None` where the message is something else (an offer of another peer, an answer about another torrent).
///
/// # Errors
/// [`Cause::Rejected`] for a failure reason, [`Cause::Malformed`] for what is no message.
pub(in super::super) fn answer(message: &[u8], info_hash: &[u8; 20]) -> Result<Option<Answer>, Refused> {
    let raw = read(message)?;
    let about_it = raw.info_hash.is_some_and(|hash| hash == text(info_hash));
    if raw.action.as_deref() != Some("announce") || !about_it || raw.interval.is_none() {
        return Ok(None);
    }
    Ok(Some(Answer {
        peers: Vec::new(),
        interval: raw.interval,
        counts: Counts { seeds: raw.complete, leeches: raw.incomplete },
        external: None,
        warning: raw.warning.is_some(),
        tracker_id: None,
    }))
}

/// The counts of these hashes in the answer to a scrape; `None` where the message is something else.
///
/// # Errors
/// [`Cause::Rejected`] for a failure reason, [`Cause::Malformed`] for what is no message.
pub(in super::super) fn scraped(message: &[u8], hashes: &[[u8; 20]]) -> Result<Option<Vec<Counts>>, Refused> {
    let raw = read(message)?;
    let (Some("scrape"), Some(files)) = (raw.action.as_deref(), raw.files) else { return Ok(None) };
    let of = |hash: &[u8; 20]| {
        files
            .get(&text(hash))
            .map_or_else(Counts::default, |file| Counts { seeds: file.complete, leeches: file.incomplete })
    };
    Ok(Some(hashes.iter().map(of).collect()))
}

fn read(message: &[u8]) -> Result<RawMessage, Refused> {
    let raw: RawMessage = serde_json::from_slice(message).map_err(|_| Cause::Malformed)?;
    if raw.failure.is_some() { Err(Cause::Rejected.into()) } else { Ok(raw) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ANNOUNCE;
    use super::*;

    #[test]
    fn messages_are_written_as_webtorrent_writes_them() {
        assert_eq!(
            announce_message(&ANNOUNCE),
            "{\"action\":\"announce\",\"info_hash\":\"\\u0000ÿhhhhhhhhhhhhhhhhh~\",\"peer_id\":\"-SQ0001-pppppppppp\\u0001 \",\
             \"numwant\":50,\"uploaded\":3,\"downloaded\":1,\"left\":2,\"event\":\"started\",\"offers\":[]}"
        );
        let scrape = scrape_message(&[[b'a'; 20], [0xff; 20]]);
        assert_eq!(
            scrape,
            format!(
                "{{\"action\":\"scrape\",\"info_hash\":[\"{}\",\"{}\"]}}",
                "a".repeat(20),
                "ÿ".repeat(20)
            )
        );
    }

    #[test]
    fn answers_are_read_or_refused() {
        let hash = [b'a'; 20];
        let about =
            |rest: &str| format!("{{\"action\":\"announce\",\"info_hash\":\"{}\"{rest}}}", "a".repeat(20));
        let read = |text: &str| answer(text.as_bytes(), &hash);
        let whole = read(&about(",\"interval\":120,\"complete\":1,\"incomplete\":2")).unwrap().unwrap();
        assert_eq!((whole.interval, whole.counts), (Some(120), Counts { seeds: Some(1), leeches: Some(2) }));
        assert_eq!(read(&about(",\"offer\":{\"type\":\"offer\"},\"peer_id\":\"x\"")), Ok(None));
        assert_eq!(answer(about(",\"interval\":120").as_bytes(), &[b'b'; 20]), Ok(None), "another torrent");
        assert_eq!(read("{\"action\":\"announce\",\"failure reason\":\"no\"}"), Err(Cause::Rejected.into()));
        assert_eq!(read("{\"action\":"), Err(Cause::Malformed.into()));
        let files = format!(
            "{{\"action\":\"scrape\",\"files\":{{\"{}\":{{\"complete\":3,\"incomplete\":4}}}}}}",
            "a".repeat(20)
        );
        let counts = Counts { seeds: Some(3), leeches: Some(4) };
        assert_eq!(scraped(files.as_bytes(), &[hash, [0; 20]]), Ok(Some(vec![counts, Counts::default()])));
        assert_eq!(scraped(about("").as_bytes(), &[hash]), Ok(None));
    }

    proptest! {
        #[test]
        fn byte_strings_round_trip(bytes in any::<[u8; 20]>()) {
            let message: serde_json::Value = serde_json::from_str(&scrape_message(&[bytes])).unwrap();
            let read: Option<Vec<u8>> = message["info_hash"][0].as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            prop_assert_eq!(read, Some(bytes.to_vec()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), almost in "[\\[\\]{}:,\"a-c0-9]{0,60}") {
            for message in [&bytes[..], almost.as_bytes()] {
                let _ = (answer(message, &[0; 20]), scraped(message, &[[0; 20]]));
            }
        }
    }
}

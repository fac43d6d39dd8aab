//! The HTTP tracker protocol (BEP 3): queries in the order of the real clients, answers in bencode (BEP 7, 23, 24, 31, 48).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bt_bencode::{ByteString, Value};
use serde::Deserialize;

use crate::journey::{Cause, Peer};

use super::super::bencode;
use super::{Announce, Answer, Counts, Refused, compact_v4, compact_v6};

/// Longest `tracker id` that is repeated.
const MAX_TRACKER_ID: usize = 1_024;
/// Longest answer that is read: 1,000 peers as dictionaries are about 100 KB.
pub(in super::super) const MAX_ANSWER: usize = 1 << 20;
/// "Never" in `retry in` (BEP 31): longer than any run.
const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The path and query of an announce: the tracker's path, then the client's query with its placeholders filled in, then what the tracker
/// wants to be told again (by the name that libtorrent and Transmission send).
pub(in super::super) fn announce_path(
    path: &str,
    query: &str,
    announce: &Announce,
    tracker_id: Option<&[u8]>,
) -> String {
    let mut url = joined(path);
    for parameter in query.split('&') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let filled = fill(value, announce);
        if filled.is_empty() && !value.is_empty() {
            continue;
        }
        if !url.ends_with(['?', '&']) {
            url.push('&');
        }
        url.push_str(name);
        url.push('=');
        url.push_str(&filled);
    }
    if let Some(id) = tracker_id {
        url.push_str("&trackerid=");
        url.push_str(&escape(id));
    }
    url
}

fn fill(value: &str, announce: &Announce) -> String {
    match value {
        "{info_hash}" => escape(&announce.info_hash),
        "{peer_id}" => escape(&announce.peer_id),
        "{port}" => announce.port.to_string(),
        "{uploaded}" => announce.uploaded.to_string(),
        "{downloaded}" => announce.downloaded.to_string(),
        "{left}" => announce.left.to_string(),
        "{event}" => announce.event().to_owned(),
        // BEP 3 knows no way to leave the number to the tracker but silence.
        "{numwant}" if announce.numwant < 0 => String::new(),
        "{numwant}" => announce.numwant.to_string(),
        "{key}" => format!("{:08x}", announce.key),
        "{KEY}" => format!("{:08X}", announce.key),
        fixed => fixed.to_owned(),
    }
}

/// The path and query of a scrape (BEP 48); `None` where the announce path does not say where that would be.
pub(in super::super) fn scrape_path(path: &str, hashes: &[[u8; 20]]) -> Option<String> {
    let (base, query) = path.split_once('?').map_or((path, None), |(base, query)| (base, Some(query)));
    let (directory, name) = base.rsplit_once('/')?;
    let rest = name.strip_prefix("announce")?;
    let mut url = format!("{directory}/scrape{rest}?");
    url.extend(query.into_iter().flat_map(|query| [query, "&"]));
    let hashes: Vec<String> = hashes.iter().map(|hash| format!("info_hash={}", escape(hash))).collect();
    url.push_str(&hashes.join("&"));
    Some(url)
}

fn joined(path: &str) -> String {
    format!("{path}{}", if path.contains('?') { '&' } else { '?' })
}

/// Percent-encoding in small letters, as libtorrent, Transmission and µTorrent write it; `percent-encoding` writes capitals.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(3 * bytes.len());
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(rename = "failure reason")]
    failure: Option<Value>,
    #[serde(rename = "retry in")]
    retry_in: Option<Value>,
    #[serde(rename = "warning message")]
    warning: Option<Value>,
    interval: Option<i64>,
    #[serde(rename = "tracker id")]
    tracker_id: Option<ByteString>,
    complete: Option<u64>,
    incomplete: Option<u64>,
    peers: Option<Value>,
    peers6: Option<ByteString>,
    #[serde(rename = "external ip")]
    external: Option<ByteString>,
}

/// The answer to an announce. An interval may be missing: clients then take half an hour (libtorrent). What follows the dictionary is let
/// pass, as libtorrent and Transmission do: aquatic ends its answers with a line break.
///
/// # Errors
/// [`Cause::Rejected`] for a failure reason, [`Cause::Malformed`] for what is no answer.
pub(in super::super) fn answer(body: &[u8]) -> Result<Answer, Refused> {
    let raw: RawAnswer = bencode::decode_first(body).ok_or(Cause::Malformed)?;
    if raw.failure.is_some() {
        return Err(Refused { cause: Cause::Rejected, retry_in: raw.retry_in.as_ref().and_then(retry_in) });
    }
    let mut peers = match &raw.peers {
        None => Vec::new(),
        Some(Value::ByteStr(list)) => compact_v4(list).ok_or(Cause::Malformed)?,
        Some(Value::List(list)) => {
            let peers: Option<Vec<Option<Peer>>> = list.iter().map(listed).collect();
            peers.ok_or(Cause::Malformed)?.into_iter().flatten().collect()
        }
        Some(_) => return Err(Cause::Malformed.into()),
    };
    peers.extend(raw.peers6.map_or(Some(Vec::new()), |list| compact_v6(&list)).ok_or(Cause::Malformed)?);
    Ok(Answer {
        peers,
        interval: raw.interval,
        counts: Counts { seeds: raw.complete, leeches: raw.incomplete },
        external: raw.external.and_then(|bytes| address(&bytes)),
        warning: raw.warning.is_some(),
        // As long as a URL can be: a tracker that sends more will not get it back.
        tracker_id: raw.tracker_id.map(ByteString::into_vec).filter(|id| id.len() <= MAX_TRACKER_ID),
    })
}

/// Minutes, or the word `never` (BEP 31).
fn retry_in(value: &Value) -> Option<Duration> {
    match value {
        Value::ByteStr(text) if text.as_slice() == b"never" => Some(NEVER),
        Value::ByteStr(text) => minutes(std::str::from_utf8(text).ok()?.parse().ok()?),
        value => minutes(value.as_u64()?),
    }
}

fn minutes(number: u64) -> Option<Duration> {
    Some(Duration::from_secs(number.checked_mul(60)?).min(NEVER))
}

/// A peer as a dictionary (BEP 3): `None` where it is none, and no peer where it has a name in the place of an address, which nobody
/// resolves.
fn listed(value: &Value) -> Option<Option<Peer>> {
    let Value::Dict(dict) = value else { return None };
    let field = |name: &[u8]| dict.get(name);
    let port = u16::try_from(field(b"port")?.as_u64()?).ok()?;
    let Value::ByteStr(ip) = field(b"ip")? else { return None };
    let ip: Option<IpAddr> = std::str::from_utf8(ip).ok().and_then(|text| text.parse().ok());
    Some(ip.map(|ip| Peer::new(ip, port)))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

#[derive(Deserialize)]
struct RawScrape {
    #[serde(rename = "failure reason")]
    failure: Option<Value>,
    files: Option<BTreeMap<ByteString, RawCounts>>,
}

#[derive(Deserialize)]
struct RawCounts {
    complete: Option<u64>,
    incomplete: Option<u64>,
}

/// The counts of these hashes in the answer to a scrape; empty ones for a hash that the tracker does not know.
///
/// # Errors
/// [`Cause::Rejected`] for a failure reason, [`Cause::Malformed`] for what is no answer.
pub(in super::super) fn scraped(body: &[u8], hashes: &[[u8; 20]]) -> Result<Vec<Counts>, Refused> {
    let raw: RawScrape = bencode::decode_first(body).ok_or(Cause::Malformed)?;
    if raw.failure.is_some() {
        return Err(Cause::Rejected.into());
    }
    let files = raw.files.ok_or(Cause::Malformed)?;
    let of = |hash: &[u8; 20]| {
        files
            .get(&hash[..])
            .map_or_else(Counts::default, |file| Counts { seeds: file.complete, leeches: file.incomplete })
    };
    Ok(hashes.iter().map(of).collect())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::super::ANNOUNCE;
    use super::*;
    use crate::plan::AnnounceEvent;
    use crate::profile::TrackerHabits;

    #[test]
    fn queries_keep_the_order_of_the_client() {
        let libtorrent = announce_path("/announce", TrackerHabits::LIBTORRENT, &ANNOUNCE, None);
        assert_eq!(
            libtorrent,
            "/announce?info_hash=%00%ffhhhhhhhhhhhhhhhhh~&peer_id=-SQ0001-pppppppppp%01%20&port=5&uploaded=3&downloaded=1&\
             left=2&corrupt=0&key=00000ABC&event=started&numwant=50&compact=1&no_peer_id=1&supportcrypto=1&redundant=0"
        );
        let quiet = Announce { event: AnnounceEvent::Interval, numwant: -1, ..ANNOUNCE };
        let short = "left={left}&event={event}&numwant={numwant}&key={key}&compact=1";
        assert_eq!(
            announce_path("/a?p=1", short, &quiet, Some(b"a b")),
            "/a?p=1&left=2&key=00000abc&compact=1&trackerid=a%20b"
        );
        let hashes = [[b'a'; 20], [b' '; 20]];
        let spaces = "%20".repeat(20);
        assert_eq!(
            scrape_path("/x/announce.php?p=1", &hashes).unwrap(),
            format!("/x/scrape.php?p=1&info_hash=aaaaaaaaaaaaaaaaaaaa&info_hash={spaces}")
        );
        assert_eq!(scrape_path("/a/b", &hashes), None, "BEP 48 gives it no address");
    }

    #[test]
    fn answers_are_read_or_refused() {
        let opentracker =
            b"d8:completei1e10:downloadedi0e10:incompletei2e8:intervali1748e12:min intervali874e\
            15:warning message2:hm10:tracker id3:a b11:external ip4:\x7f\0\0\x015:peers6:\x7f\0\0\x01\x1a\xe16:peers618:\
            \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe2e";
        let read = answer(opentracker).unwrap();
        assert_eq!(read.peers, ["127.0.0.1:6881".parse().unwrap(), "[::1]:6882".parse().unwrap()]);
        assert_eq!((read.interval, read.warning), (Some(1748), true));
        assert_eq!(read.counts, Counts { seeds: Some(1), leeches: Some(2) });
        assert_eq!(read.external, Some("127.0.0.1".parse().unwrap()));
        assert_eq!(read.tracker_id.as_deref(), Some(&b"a b"[..]));
        let listed = answer(b"d8:intervali60e5:peersld2:ip3:::14:porti1eed2:ip4:name4:porti1eeee").unwrap();
        assert_eq!(listed.peers, ["[::1]:1".parse().unwrap()], "names are not resolved");
        let refused = |body: &[u8]| answer(body).unwrap_err();
        assert_eq!(refused(b"d14:failure reason2:noe"), Cause::Rejected.into());
        let retry =
            |text: &str| refused(format!("d14:failure reason2:no8:retry in{text}e").as_bytes()).retry_in;
        assert_eq!(retry("5:never"), Some(NEVER));
        assert_eq!([retry("i2e"), retry("1:2")], [Some(Duration::from_secs(120)); 2]);
        for broken in
            [&b"d5:peers5:abcdee"[..], b"d6:peers65:abcdee", b"d8:intervali60e", b"<html>", b"d5:peersi1ee"]
        {
            assert_eq!(refused(broken), Cause::Malformed.into(), "{}", String::from_utf8_lossy(broken));
        }
    }

    #[test]
    fn a_line_break_after_an_answer_is_let_pass() {
        // As aquatic_http 0.9 sends it.
        let body =
            b"d8:completei1e10:incompletei0e8:intervali120e5:peers6:\x7f\0\0\x01\xeb\xd96:peers60:e\r\n";
        assert_eq!(answer(body).unwrap().peers, [SocketAddr::from(([127, 0, 0, 1], 60_377))]);
    }

    #[test]
    fn scrapes_are_read_or_refused() {
        let body = b"d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei5e10:downloadedi6e10:incompletei7eeee";
        let counts = Counts { seeds: Some(5), leeches: Some(7) };
        assert_eq!(scraped(body, &[[b'b'; 20], [b'a'; 20]]), Ok(vec![Counts::default(), counts]));
        assert_eq!(scraped(b"d14:failure reason2:noe", &[]), Err(Cause::Rejected.into()));
        assert_eq!(scraped(b"de", &[]), Err(Cause::Malformed.into()));
    }

    proptest! {
        #[test]
        fn answers_round_trip(seeds in any::<u32>(), leeches in any::<u32>(), interval in any::<i64>(),
                              list in prop::collection::vec(any::<[u8; 6]>(), 0..60)) {
            let list = list.concat();
            let mut body = format!("d8:completei{seeds}e10:incompletei{leeches}e8:intervali{interval}e5:peers{}:", list.len()).into_bytes();
            body.extend(&list);
            body.push(b'e');
            let read = answer(&body).unwrap();
            prop_assert_eq!(read.interval, Some(interval));
            prop_assert_eq!(read.counts, Counts { seeds: Some(seeds.into()), leeches: Some(leeches.into()) });
            prop_assert_eq!(Some(read.peers), compact_v4(&list));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), almost in "[idle0-9:a-c-]{0,60}") {
            for body in [&bytes[..], almost.as_bytes(), format!("d5:peers{almost}e").as_bytes()] {
                let _ = (answer(body), scraped(body, &[[0; 20]]));
            }
        }

        #[test]
        fn escaping_loses_nothing(bytes in any::<[u8; 20]>()) {
            let decoded: Vec<u8> = percent_encoding::percent_decode_str(&escape(&bytes)).collect();
            prop_assert_eq!(decoded, bytes.to_vec());
        }
    }
}

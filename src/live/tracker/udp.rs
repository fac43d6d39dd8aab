//! The UDP tracker protocol's datagrams (BEP 15) and their URL data (BEP 41). By hand: they are fixed layouts, and the embedded testbed's
//! tracker is built on the one well-kept codec, which must not check itself.

use smallvec::{SmallVec, smallvec};

use crate::journey::Cause;
use crate::plan::AnnounceEvent;

use super::{Announce, Answer, Counts, compact_v4, compact_v6};

const MAGIC: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;
/// The option that carries the URL's path and query (BEP 41).
const URL_DATA: u8 = 2;
/// A request: announces, which are most, need no memory of their own.
pub(in super::super) type Datagram = SmallVec<[u8; 128]>;

/// Hashes that one scrape may name (BEP 15).
pub(in super::super) const MAX_SCRAPED: usize = 74;

/// A connect request.
pub(in super::super) fn connect_request(transaction: u32) -> [u8; 16] {
    let mut datagram = [0; 16];
    put(&mut datagram, 0, MAGIC.to_be_bytes());
    put(&mut datagram, 8, CONNECT.to_be_bytes());
    put(&mut datagram, 12, transaction.to_be_bytes());
    datagram
}

/// An announce request; the tracker takes the sender's address. `path`, where there is one, follows as URL data.
pub(in super::super) fn announce_request(
    connection: u64,
    transaction: u32,
    announce: &Announce,
    path: &str,
) -> Datagram {
    let event: u32 = match announce.event {
        AnnounceEvent::Interval => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    let mut datagram = smallvec![0; 98];
    put(&mut datagram, 0, connection.to_be_bytes());
    put(&mut datagram, 8, ANNOUNCE.to_be_bytes());
    put(&mut datagram, 12, transaction.to_be_bytes());
    put(&mut datagram, 16, announce.info_hash);
    put(&mut datagram, 36, announce.peer_id);
    put(&mut datagram, 56, announce.downloaded.to_be_bytes());
    put(&mut datagram, 64, announce.left.to_be_bytes());
    put(&mut datagram, 72, announce.uploaded.to_be_bytes());
    put(&mut datagram, 80, event.to_be_bytes());
    put(&mut datagram, 88, announce.key.to_be_bytes());
    put(&mut datagram, 92, announce.numwant.to_be_bytes());
    put(&mut datagram, 96, announce.port.to_be_bytes());
    for data in path.as_bytes().chunks(255) {
        datagram.extend([URL_DATA, data.len() as u8]);
        datagram.extend_from_slice(data);
    }
    datagram
}

/// A scrape request; hashes beyond [`MAX_SCRAPED`] are left out.
pub(in super::super) fn scrape_request(connection: u64, transaction: u32, hashes: &[[u8; 20]]) -> Datagram {
    let mut datagram = smallvec![0; 16];
    put(&mut datagram, 0, connection.to_be_bytes());
    put(&mut datagram, 8, SCRAPE.to_be_bytes());
    put(&mut datagram, 12, transaction.to_be_bytes());
    datagram.extend(hashes.iter().take(MAX_SCRAPED).flatten().copied());
    datagram
}

/// The transaction id of an answer.
pub(in super::super) fn transaction(datagram: &[u8]) -> Option<u32> {
    number(datagram, 4)
}

/// The connection id in the answer to a connect request.
///
/// # Errors
/// [`Cause::Rejected`] for a tracker error, [`Cause::Malformed`] for anything else.
pub(in super::super) fn connection_id(datagram: &[u8]) -> Result<u64, Cause> {
    expect(datagram, CONNECT)?;
    let bytes = datagram.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Cause::Malformed)?;
    Ok(u64::from_be_bytes(*bytes))
}

/// The answer to an announce; an IPv6 tracker sends IPv6 peers.
///
/// # Errors
/// [`Cause::Rejected`] for a tracker error, [`Cause::Malformed`] for anything else.
pub(in super::super) fn answer(datagram: &[u8], v6: bool) -> Result<Answer, Cause> {
    expect(datagram, ANNOUNCE)?;
    let number = |at| number(datagram, at).ok_or(Cause::Malformed);
    let (interval, leeches, seeds) = (number(8)?, number(12)?, number(16)?);
    let list = datagram.get(20..).ok_or(Cause::Malformed)?;
    let peers = if v6 { compact_v6(list) } else { compact_v4(list) };
    Ok(Answer {
        peers: peers.ok_or(Cause::Malformed)?,
        interval: Some(i64::from(interval.cast_signed())),
        counts: Counts { seeds: Some(seeds.into()), leeches: Some(leeches.into()) },
        external: None,
        warning: false,
        tracker_id: None,
    })
}

/// The counts in the answer to a scrape of `hashes` hashes, in the order of the request. A tracker may answer for the first of them only
/// (aquatic for 70).
///
/// # Errors
/// [`Cause::Rejected`] for a tracker error, [`Cause::Malformed`] for anything else.
pub(in super::super) fn scraped(datagram: &[u8], hashes: usize) -> Result<Vec<Counts>, Cause> {
    expect(datagram, SCRAPE)?;
    let list = datagram.get(8..).ok_or(Cause::Malformed)?;
    let (swarms, rest) = list.as_chunks::<12>();
    if swarms.is_empty() || swarms.len() > hashes || !rest.is_empty() {
        return Err(Cause::Malformed);
    }
    let counts = |swarm: &[u8; 12]| Counts {
        seeds: number(swarm, 0).map(u64::from),
        leeches: number(swarm, 8).map(u64::from),
    };
    Ok(swarms.iter().map(counts).collect())
}

fn expect(datagram: &[u8], action: u32) -> Result<(), Cause> {
    match number(datagram, 0) {
        Some(found) if found == action => Ok(()),
        Some(ERROR) => Err(Cause::Rejected),
        _ => Err(Cause::Malformed),
    }
}

fn put<const N: usize>(datagram: &mut [u8], at: usize, field: [u8; N]) {
    datagram[at..at + N].copy_from_slice(&field);
}

fn number(datagram: &[u8], at: usize) -> Option<u32> {
    datagram.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ANNOUNCE as SAMPLE;
    use super::*;

    #[test]
    fn requests_have_the_layout_of_the_specification() {
        assert_eq!(connect_request(0x0102_0304), *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04");
        let announce = Announce { info_hash: [b'h'; 20], peer_id: [b'p'; 20], numwant: -1, key: 4, ..SAMPLE };
        let mut expected = b"\0\0\0\0\0\0\0\x09\0\0\0\x01\0\0\0\x08".to_vec();
        expected.extend(b"hhhhhhhhhhhhhhhhhhhhpppppppppppppppppppp");
        expected.extend(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03");
        expected.extend(b"\0\0\0\x02\0\0\0\0\0\0\0\x04\xff\xff\xff\xff\0\x05");
        assert_eq!(announce_request(9, 8, &announce, "")[..], expected);
        expected.extend(b"\x02\x03/a?");
        assert_eq!(announce_request(9, 8, &announce, "/a?")[..], expected);
        let long = announce_request(9, 8, &announce, &"x".repeat(300));
        assert_eq!((long[98..100].to_vec(), long[355..357].to_vec()), (vec![2, 255], vec![2, 45]));
        let scrape = scrape_request(9, 8, &[[b'a'; 20], [b'b'; 20]]);
        assert_eq!(
            scrape[..],
            *b"\0\0\0\0\0\0\0\x09\0\0\0\x02\0\0\0\x08aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"
        );
        assert_eq!(scrape_request(9, 8, &[[0; 20]; 80]).len(), 16 + 74 * 20);
    }

    #[test]
    fn answers_are_read_or_refused() {
        assert_eq!(connection_id(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07"), Ok(7));
        let list = b"\0\0\0\x01\0\0\0\x01\0\0\x07\x08\0\0\0\0\0\0\0\x01\x7f\0\0\x01\x1a\xe1";
        let read = answer(list, false).unwrap();
        assert_eq!((read.peers, read.interval), (vec!["127.0.0.1:6881".parse().unwrap()], Some(1800)));
        assert_eq!(read.counts, Counts { seeds: Some(1), leeches: Some(0) });
        assert_eq!(answer(&list[..25], false), Err(Cause::Malformed), "half a peer");
        assert_eq!(
            answer(&list[..8], false),
            Err(Cause::Malformed),
            "opentracker's answer to unknown hashes"
        );
        assert_eq!(answer(b"\0\0\0\x03\0\0\0\x01no", false), Err(Cause::Rejected));
        let counts = b"\0\0\0\x02\0\0\0\x01\0\0\0\x05\0\0\0\x06\0\0\0\x07";
        assert_eq!(scraped(counts, 1), Ok(vec![Counts { seeds: Some(5), leeches: Some(7) }]));
        assert_eq!(scraped(counts, 2).unwrap().len(), 1, "the first of two");
        assert_eq!(scraped(counts, 0), Err(Cause::Malformed));
        assert_eq!(scraped(&counts[..19], 1), Err(Cause::Malformed));
        assert_eq!(connection_id(list), Err(Cause::Malformed), "another action");
        assert_eq!(connection_id(b"\0\0\0\0\0\0\0\x01\0\0\0\0"), Err(Cause::Malformed));
        assert_eq!(transaction(&list[..7]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), v6 in any::<bool>()) {
            let _ = (transaction(&bytes), connection_id(&bytes), answer(&bytes, v6), scraped(&bytes, bytes.len() / 12));
        }
    }
}

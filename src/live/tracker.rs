//! The UDP tracker protocol's datagrams (BEP 15). By hand: they are fixed layouts of at most 98 bytes, and the embedded testbed's
//! tracker is built on the one well-kept codec, which must not check itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::journey::{Cause, Peer};
use crate::plan::AnnounceEvent;

const MAGIC: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const ERROR: u32 = 3;

/// What an announce says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announce {
    pub(super) info_hash: [u8; 20],
    pub(super) peer_id: [u8; 20],
    pub(super) downloaded: u64,
    pub(super) left: u64,
    pub(super) uploaded: u64,
    pub(super) event: AnnounceEvent,
    pub(super) key: u32,
    pub(super) numwant: i32,
    pub(super) port: u16,
}

/// A connect request.
pub(super) fn connect_request(transaction: u32) -> [u8; 16] {
    let mut datagram = [0; 16];
    put(&mut datagram, 0, MAGIC.to_be_bytes());
    put(&mut datagram, 8, CONNECT.to_be_bytes());
    put(&mut datagram, 12, transaction.to_be_bytes());
    datagram
}

/// An announce request; the tracker takes the sender's address.
pub(super) fn announce_request(connection: u64, transaction: u32, announce: &Announce) -> [u8; 98] {
    let event: u32 = match announce.event {
        AnnounceEvent::Interval => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
    };
    let mut datagram = [0; 98];
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
    datagram
}

/// The transaction id of an answer.
pub(super) fn transaction(datagram: &[u8]) -> Option<u32> {
    number(datagram, 4)
}

/// The connection id in the answer to a connect request.
///
/// # Errors
/// [`Cause::Rejected`] for a tracker error, [`Cause::Malformed`] for anything else.
pub(super) fn connection_id(datagram: &[u8]) -> Result<u64, Cause> {
    expect(datagram, CONNECT)?;
    let bytes = datagram.get(8..).and_then(|rest| rest.first_chunk()).ok_or(Cause::Malformed)?;
    Ok(u64::from_be_bytes(*bytes))
}

/// The peers in the answer to an announce; an IPv6 tracker sends IPv6 peers.
///
/// # Errors
/// [`Cause::Rejected`] for a tracker error, [`Cause::Malformed`] for anything else.
pub(super) fn peers(datagram: &[u8], v6: bool) -> Result<Vec<Peer>, Cause> {
    expect(datagram, ANNOUNCE)?;
    let list = datagram.get(20..).ok_or(Cause::Malformed)?;
    let peers = if v6 { compact_v6(list) } else { compact_v4(list) };
    peers.ok_or(Cause::Malformed)
}

fn expect(datagram: &[u8], action: u32) -> Result<(), Cause> {
    match number(datagram, 0) {
        Some(found) if found == action => Ok(()),
        Some(ERROR) => Err(Cause::Rejected),
        _ => Err(Cause::Malformed),
    }
}

/// Compact IPv4 peers (BEP 23); `None` where the length is no multiple of 6.
pub(super) fn compact_v4(list: &[u8]) -> Option<Vec<Peer>> {
    let (peers, rest) = list.as_chunks::<6>();
    let peer = |&[a, b, c, d, high, low]: &[u8; 6]| {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]))
    };
    rest.is_empty().then(|| peers.iter().map(peer).collect())
}

/// Compact IPv6 peers (BEP 7); `None` where the length is no multiple of 18.
pub(super) fn compact_v6(list: &[u8]) -> Option<Vec<Peer>> {
    let (peers, rest) = list.as_chunks::<18>();
    let peer = |bytes: &[u8; 18]| {
        let (address, port) = bytes.split_first_chunk::<16>()?;
        Some(SocketAddr::new(Ipv6Addr::from(*address).into(), u16::from_be_bytes(port.try_into().ok()?)))
    };
    if rest.is_empty() { peers.iter().map(peer).collect() } else { None }
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

    use super::*;

    #[test]
    fn requests_have_the_layout_of_the_specification() {
        assert_eq!(connect_request(0x0102_0304), *b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04");
        let announce = Announce {
            info_hash: [b'h'; 20],
            peer_id: [b'p'; 20],
            downloaded: 1,
            left: 2,
            uploaded: 3,
            event: AnnounceEvent::Started,
            key: 4,
            numwant: -1,
            port: 5,
        };
        let mut expected = b"\0\0\0\0\0\0\0\x09\0\0\0\x01\0\0\0\x08".to_vec();
        expected.extend(b"hhhhhhhhhhhhhhhhhhhhpppppppppppppppppppp");
        expected.extend(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03");
        expected.extend(b"\0\0\0\x02\0\0\0\0\0\0\0\x04\xff\xff\xff\xff\0\x05");
        assert_eq!(announce_request(9, 8, &announce).to_vec(), expected);
    }

    #[test]
    fn answers_are_read_or_refused() {
        assert_eq!(connection_id(b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07"), Ok(7));
        let list = b"\0\0\0\x01\0\0\0\x01\0\0\x07\x08\0\0\0\0\0\0\0\x01\x7f\0\0\x01\x1a\xe1";
        assert_eq!(peers(list, false), Ok(vec!["127.0.0.1:6881".parse().unwrap()]));
        assert_eq!(peers(&list[..25], false), Err(Cause::Malformed), "half a peer");
        assert_eq!(peers(&list[..8], false), Err(Cause::Malformed), "opentracker's answer to unknown hashes");
        assert_eq!(peers(b"\0\0\0\x03\0\0\0\x01no", false), Err(Cause::Rejected));
        assert_eq!(connection_id(list), Err(Cause::Malformed), "another action");
        assert_eq!(connection_id(b"\0\0\0\0\0\0\0\x01\0\0\0\0"), Err(Cause::Malformed));
        assert_eq!(transaction(&list[..7]), None);
    }

    proptest! {
        #[test]
        fn compact_peers_round_trip(v4 in prop::collection::vec(any::<(u32, u16)>(), 0..80),
                                    v6 in prop::collection::vec(any::<(u128, u16)>(), 0..80)) {
            let expected: Vec<Peer> = v4.iter().map(|&(ip, port)| (Ipv4Addr::from_bits(ip), port).into()).collect();
            let list: Vec<u8> =
                v4.iter().flat_map(|(ip, port)| [&ip.to_be_bytes()[..], &port.to_be_bytes()].concat()).collect();
            prop_assert_eq!(compact_v4(&list), Some(expected));
            let expected: Vec<Peer> = v6.iter().map(|&(ip, port)| (Ipv6Addr::from_bits(ip), port).into()).collect();
            let list: Vec<u8> =
                v6.iter().flat_map(|(ip, port)| [&ip.to_be_bytes()[..], &port.to_be_bytes()].concat()).collect();
            prop_assert_eq!(compact_v6(&list), Some(expected));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), v6 in any::<bool>()) {
            let _ = (transaction(&bytes), connection_id(&bytes), peers(&bytes, v6));
        }
    }
}

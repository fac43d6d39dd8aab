//! The tracker protocols' messages, as pure functions over bytes: UDP (BEP 15, 41), HTTP (BEP 3, 7, 23, 24, 31, 48), WebSocket
//! (WebTorrent). What they have in common stands here.

pub(super) mod http;
pub(super) mod udp;
pub(super) mod ws;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::journey::{Cause, Peer};
use crate::plan::AnnounceEvent;

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

impl Announce {
    /// The event as HTTP and WebSocket name it; a regular announce has none.
    fn event(&self) -> &'static str {
        match self.event {
            AnnounceEvent::Interval => "",
            AnnounceEvent::Started => "started",
            AnnounceEvent::Completed => "completed",
            AnnounceEvent::Stopped => "stopped",
        }
    }
}

/// How many are in a swarm; `None` where the tracker does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) seeds: Option<u64>,
    pub(super) leeches: Option<u64>,
}

/// What a tracker answers to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// As the tracker named them.
    pub(super) peers: Vec<Peer>,
    /// Until the next announce; signed, because trackers can say anything.
    pub(super) interval: Option<i64>,
    pub(super) counts: Counts,
    /// The asker's address as the tracker sees it (BEP 24).
    pub(super) external: Option<IpAddr>,
    /// Whether the tracker had something to complain of and answered all the same.
    pub(super) warning: bool,
    /// What the tracker wants to be told with later announces (BEP 3).
    pub(super) tracker_id: Option<Vec<u8>>,
}

/// Why a tracker gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) cause: Cause,
    /// How long it does not want to be asked again (BEP 31).
    pub(super) retry_in: Option<Duration>,
}

impl From<Cause> for Refused {
    fn from(cause: Cause) -> Self {
        Self { cause, retry_in: None }
    }
}

/// Compact IPv4 peers (BEP 23); `None` where the length is no multiple of 6.
pub(super) fn compact_v4(list: &[u8]) -> Option<Vec<Peer>> {
    let (peers, rest) = list.as_chunks();
    rest.is_empty().then(|| peers.iter().map(peer_v4).collect())
}

/// One peer of such a list.
pub(super) fn peer_v4(&[a, b, c, d, high, low]: &[u8; 6]) -> Peer {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), u16::from_be_bytes([high, low]))
}

/// Compact IPv6 peers (BEP 7); `None` where the length is no multiple of 18.
pub(super) fn compact_v6(list: &[u8]) -> Option<Vec<Peer>> {
    let (peers, rest) = list.as_chunks();
    rest.is_empty().then(|| peers.iter().map(peer_v6).collect())
}

/// One peer of such a list.
pub(super) fn peer_v6(peer: &[u8; 18]) -> Peer {
    let [ip @ .., high, low] = *peer;
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)), u16::from_be_bytes([high, low]))
}

/// An announce for the tests of the codecs.
#[cfg(test)]
const ANNOUNCE: Announce = Announce {
    info_hash: *b"\x00\xffhhhhhhhhhhhhhhhhh~",
    peer_id: *b"-SQ0001-pppppppppp\x01 ",
    downloaded: 1,
    left: 2,
    uploaded: 3,
    event: AnnounceEvent::Started,
    key: 0xabc,
    numwant: 50,
    port: 5,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
    }
}

//! KRPC, the DHT's messages (BEP 5), as a visitor needs them: queries out and their answers in, and (`asked`) the other way round.
//!
//! Queries are templates: they have one form, and every part of it but the token has a fixed length.

mod asked;

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::journey::{Cause, Peer};

use super::bencode;
use super::tracker::{peer_v4, peer_v6};

pub(super) use asked::{QueryError, Response, Sample, asked};

/// A node id or an info-hash: both live in one space.
pub(super) type Id = [u8; 20];

/// Bytes of a token that are still kept; nodes use 4 to 20.
const MAX_TOKEN: usize = 64;
/// Longest message that is looked at for its transaction id.
const MAX_ID_SEARCH: usize = 8 << 10;

/// A node as another one names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) id: Id,
    pub(super) address: SocketAddr,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: Id,
    pub(super) nodes: Vec<Node>,
    pub(super) peers: Vec<Peer>,
    pub(super) token: Option<Vec<u8>>,
    /// The address that the query came from, as the node sees it (BEP 42).
    pub(super) seen_as: Option<IpAddr>,
    /// What it says of the info-hashes that it holds, where it was asked.
    pub(super) samples: Option<Samples>,
}

/// An answer to `sample_infohashes` (BEP 51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Samples {
    /// Info-hashes that it names.
    pub(super) named: usize,
    /// Seconds until it may be asked again.
    pub(super) interval: i64,
}

/// What is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query<'a> {
    /// Whether it is there.
    Ping,
    /// The nodes closest to an id.
    FindNode { target: &'a Id, want: Want },
    /// Peers of a swarm, and the nodes closest to its info-hash.
    GetPeers { info_hash: &'a Id, want: Want },
    /// Some of the info-hashes that the node holds, and the nodes closest to an id (BEP 51).
    SampleInfohashes { target: &'a Id, want: Want },
    /// To remember a peer that listens on `port` at the address that the query comes from.
    AnnouncePeer { info_hash: &'a Id, port: u16, token: &'a [u8] },
}

/// The nodes that an answer shall name (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Of the family that the query travels in; nothing is said, as most clients say nothing.
    Same,
    /// Of IPv4.
    Four,
    /// Of IPv6.
    Six,
    /// Of both.
    Both,
}

impl Want {
    const fn argument(self) -> &'static [u8] {
        match self {
            Self::Same => b"",
            Self::Four => b"4:wantl2:n4e",
            Self::Six => b"4:wantl2:n6e",
            Self::Both => b"4:wantl2:n42:n6e",
        }
    }
}

impl Query<'_> {
    /// As a datagram that carries this transaction id, from the node `own`. One that is `read_only` says so (BEP 43), so that nobody asks
    /// it anything.
    pub(super) fn encode(&self, transaction: u32, own: &Id, read_only: bool) -> Vec<u8> {
        let mut query = Vec::with_capacity(192);
        query.extend(b"d1:ad2:id20:");
        query.extend(own);
        let name: &[u8] = match *self {
            Self::Ping => b"4:ping",
            Self::FindNode { target, want } => {
                query.extend(b"6:target20:");
                query.extend(target);
                query.extend(want.argument());
                b"9:find_node"
            }
            Self::GetPeers { info_hash, want } => {
                query.extend(b"9:info_hash20:");
                query.extend(info_hash);
                query.extend(want.argument());
                b"9:get_peers"
            }
            Self::SampleInfohashes { target, want } => {
                query.extend(b"6:target20:");
                query.extend(target);
                query.extend(want.argument());
                b"17:sample_infohashes"
            }
            Self::AnnouncePeer { info_hash, port, token } => {
                query.extend(b"12:implied_porti0e9:info_hash20:");
                query.extend(info_hash);
                query.extend(format!("4:porti{port}e5:token{}:", token.len()).into_bytes());
                query.extend(token);
                b"13:announce_peer"
            }
        };
        query.extend(b"e1:q");
        query.extend(name);
        if read_only {
            query.extend(b"2:roi1e");
        }
        query.extend(b"1:t4:");
        query.extend(transaction.to_be_bytes());
        query.extend(b"1:y1:qe");
        query
    }
}

/// Why a datagram is no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The node said no.
    Error,
    /// No bencode, or no KRPC.
    Malformed,
    /// An id, a node or a peer of a wrong length.
    Length,
}

impl Fault {
    /// What it means for the query.
    pub(super) const fn cause(self) -> Cause {
        match self {
            Self::Error => Cause::Rejected,
            Self::Malformed | Self::Length => Cause::Malformed,
        }
    }
}

/// The transaction id of an answer to one of our queries: ids of another length are not ours.
pub(super) fn transaction(datagram: &[u8]) -> Option<u32> {
    let datagram = datagram.get(..datagram.len().min(MAX_ID_SEARCH))?;
    let id = bencode::field(datagram, b"t")?.strip_prefix(b"4:")?;
    id.try_into().ok().map(u32::from_be_bytes)
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, with = "serde_bytes")]
    y: &'a [u8],
    #[serde(borrow)]
    r: Option<Body<'a>>,
    #[serde(borrow, default, with = "serde_bytes")]
    ip: Option<&'a [u8]>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    #[serde(borrow, default, with = "serde_bytes")]
    nodes: Option<&'a [u8]>,
    #[serde(borrow, default, with = "serde_bytes")]
    nodes6: Option<&'a [u8]>,
    #[serde(borrow, default, with = "serde_bytes")]
    token: Option<&'a [u8]>,
    #[serde(borrow, default, with = "serde_bytes")]
    samples: Option<&'a [u8]>,
    interval: Option<i64>,
    #[serde(borrow, default)]
    values: Vec<&'a serde_bytes::Bytes>,
}

/// Reads an answer.
///
/// # Errors
/// Anything that is no answer.
pub(super) fn read(datagram: &[u8]) -> Result<Answer, Fault> {
    let message: Message<'_> = bencode::decode(datagram).ok_or(Fault::Malformed)?;
    match (message.y, message.r) {
        (b"r", Some(response)) => {
            let answer = answer(&response).ok_or(Fault::Length)?;
            // Nodes that do not know BEP 42 say nothing, and what some say is an address without a port.
            Ok(Answer { seen_as: message.ip.and_then(peer).map(|it| it.ip()), ..answer })
        }
        (b"e", _) => Err(Fault::Error),
        _ => Err(Fault::Malformed),
    }
}

fn answer(response: &Body<'_>) -> Option<Answer> {
    let mut nodes = compact_nodes::<26, 6>(response.nodes.unwrap_or_default(), peer_v4)?;
    nodes.extend(compact_nodes::<38, 18>(response.nodes6.unwrap_or_default(), peer_v6)?);
    let peers = response.values.iter().map(|value| peer(value)).collect::<Option<Vec<_>>>()?;
    let token = response.token.map(<[u8]>::to_vec);
    if token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN) {
        return None;
    }
    let samples = match response.samples {
        Some(samples) if samples.len() % size_of::<Id>() != 0 => return None,
        Some(samples) => {
            Some(Samples { named: samples.len() / size_of::<Id>(), interval: response.interval.unwrap_or(0) })
        }
        None => None,
    };
    Some(Answer { id: response.id.try_into().ok()?, nodes, peers, token, seen_as: None, samples })
}

fn peer(value: &[u8]) -> Option<Peer> {
    value.try_into().map(peer_v4).or_else(|_| value.try_into().map(peer_v6)).ok()
}

/// Nodes of N bytes, of which the last P are the address.
fn compact_nodes<const N: usize, const P: usize>(
    list: &[u8],
    address: fn(&[u8; P]) -> Peer,
) -> Option<Vec<Node>> {
    let (nodes, rest) = list.as_chunks::<N>();
    let node = |bytes: &[u8; N]| {
        let (id, place) = bytes.split_first_chunk()?;
        Some(Node { id: *id, address: address(place.try_into().ok()?) })
    };
    if rest.is_empty() { nodes.iter().map(node).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use bt_bencode::Value;
    use proptest::prelude::*;

    use super::*;

    const OWN: &Id = b"abcdefghij0123456789";
    const HASH: &Id = b"mnopqrstuvwxyz123456";
    const ID: u32 = u32::from_be_bytes(*b"abcd");

    #[test]
    fn queries_are_those_of_the_specification() {
        let query = Query::GetPeers { info_hash: HASH, want: Want::Same }.encode(ID, OWN, false);
        let expected = "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t4:abcd1:y1:qe";
        assert_eq!(String::from_utf8(query).unwrap(), expected);
        let query =
            Query::AnnouncePeer { info_hash: HASH, port: 6881, token: b"aoeusnth" }.encode(ID, OWN, true);
        let expected = "d1:ad2:id20:abcdefghij012345678912:implied_porti0e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e\
                        5:token8:aoeusnthe1:q13:announce_peer2:roi1e1:t4:abcd1:y1:qe";
        assert_eq!(String::from_utf8(query).unwrap(), expected);
        let query = Query::Ping.encode(ID, OWN, true);
        let expected = "d1:ad2:id20:abcdefghij0123456789e1:q4:ping2:roi1e1:t4:abcd1:y1:qe";
        assert_eq!(String::from_utf8(query).unwrap(), expected);
        let query = Query::FindNode { target: HASH, want: Want::Both }.encode(ID, OWN, true);
        let expected = "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node\
                        2:roi1e1:t4:abcd1:y1:qe";
        assert_eq!(String::from_utf8(query).unwrap(), expected);
    }

    #[test]
    fn answers_are_read_strictly() {
        let peers =
            b"d1:rd2:id20:abcdefghij01234567895:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t4:aaaa1:y1:re";
        let answer = read(peers).unwrap();
        assert_eq!(
            answer.peers,
            ["97.120.106.101:11893".parse().unwrap(), "105.100.104.116:28269".parse().unwrap()]
        );
        assert_eq!((answer.token.as_deref(), answer.nodes.len()), (Some(&b"aoeusnth"[..]), 0));
        assert_eq!(transaction(peers), Some(u32::from_be_bytes(*b"aaaa")));
        let nodes = b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456\x7f\0\0\x01\x1a\xe1e1:t4:aaaa1:y1:re";
        assert_eq!(
            read(nodes).unwrap().nodes,
            [Node { id: *HASH, address: "127.0.0.1:6881".parse().unwrap() }]
        );
        assert_eq!(read(b"d1:eli201e4:Oopse1:t4:aaaa1:y1:ee"), Err(Fault::Error));
        for short in [
            &b"d1:rd2:id19:abcdefghij012345678e1:t4:aaaa1:y1:re"[..],
            b"d1:rd2:id20:abcdefghij01234567895:nodes25:mnopqrstuvwxyz123456\x7f\0\0\x01\x1ae1:t4:aaaa1:y1:re",
            b"d1:rd2:id20:abcdefghij01234567896:valuesl5:axje.ee1:t4:aaaa1:y1:re",
        ] {
            assert_eq!(read(short), Err(Fault::Length), "{}", String::from_utf8_lossy(short));
        }
        for broken in [
            &b"d1:t4:aaaa1:y1:re"[..],
            b"d1:t4:aaaa1:y1:qe",
            b"d1:rd2:id20:abcdefghij0123456789e1:t4:aaaa1:y1:re ",
        ] {
            assert_eq!(read(broken), Err(Fault::Malformed), "{}", String::from_utf8_lossy(broken));
        }
        let six = b"d1:rd2:id20:abcdefghij01234567896:nodes638:mnopqrstuvwxyz123456\
                    \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1e1:t4:aaaa1:y1:re";
        assert_eq!(read(six).unwrap().nodes, [Node { id: *HASH, address: "[::1]:6881".parse().unwrap() }]);
        assert_eq!(read(b"d1:rd2:id20:mnopqrstuvwxyz123456e1:t4:aaaa1:y1:re").unwrap().id, *HASH, "pong");
        let samples = b"d1:rd2:id20:mnopqrstuvwxyz1234568:intervali60e5:nodes0:3:numi9e7:samples20:abcdefghij0123456789e1:t4:aaaa1:y1:re";
        assert_eq!(read(samples).unwrap().samples, Some(Samples { named: 1, interval: 60 }));
        let torn = b"d1:rd2:id20:mnopqrstuvwxyz1234567:samples19:abcdefghij012345678e1:t4:aaaa1:y1:re";
        assert_eq!(read(torn), Err(Fault::Length));
        assert_eq!(transaction(b"d1:t2:aa1:y1:re"), None, "not an id of ours");
    }

    proptest! {
        #[test]
        fn queries_are_bencode(id in any::<Id>(), hash in any::<Id>(), transaction in any::<u32>(), port in any::<u16>(),
                               token in prop::collection::vec(any::<u8>(), 0..30)) {
            for query in [
                Query::Ping,
                Query::FindNode { target: &hash, want: Want::Both },
                Query::GetPeers { info_hash: &hash, want: Want::Same },
                Query::SampleInfohashes { target: &hash, want: Want::Both },
                Query::AnnouncePeer { info_hash: &hash, port, token: &token },
            ] {
                let query = query.encode(transaction, &id, port % 2 == 0);
                let value: Value = bt_bencode::from_slice(&query).unwrap();
                prop_assert_eq!(bt_bencode::to_vec(&value).unwrap(), query.clone(), "canonical");
                prop_assert_eq!(super::transaction(&query), Some(transaction));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (read(&bytes), transaction(&bytes));
        }

        #[test]
        fn arbitrary_answers_never_panic(nodes in prop::collection::vec(any::<u8>(), 0..80),
                                         values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4)) {
            let values: String = values.iter().map(|value| format!("{}:{}", value.len(), "v".repeat(value.len()))).collect();
            let mut message = format!("d1:rd2:id20:abcdefghij01234567895:nodes{}:", nodes.len()).into_bytes();
            message.extend(&nodes);
            message.extend(format!("6:valuesl{values}ee1:t4:aaaa1:y1:re").into_bytes());
            let fits = nodes.len() % 26 == 0;
            prop_assert!(fits || read(&message).is_err());
        }
    }
}

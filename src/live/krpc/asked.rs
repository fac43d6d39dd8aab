//! The other side of KRPC: queries of other nodes in, responses and errors out.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;
use serde_bytes::Bytes;

use crate::journey::Peer;

use super::super::bencode;
use super::{Id, Node, Query, Want};

/// Longest transaction id that is sent back; nodes use 1 to 8 bytes.
const MAX_TRANSACTION: usize = 32;

/// A query of another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) struct Asked<'a> {
    /// What the answer must carry.
    pub(in crate::live) transaction: &'a [u8],
    /// What is asked, or what is wrong with it.
    pub(in crate::live) query: Result<Query<'a>, QueryError>,
}

/// Why a query has no response (the codes are those of BEP 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::live) enum QueryError {
    /// Arguments are missing, or are not what they have to be.
    Malformed,
    /// The token is not one that the asker's address was given of late.
    BadToken,
    /// Nobody here knows this query.
    UnknownMethod,
}

impl QueryError {
    /// As a datagram.
    pub(in crate::live) fn encode(self, transaction: &[u8]) -> Vec<u8> {
        let list: &[u8] = match self {
            Self::Malformed => b"i203e15:malformed query",
            Self::BadToken => b"i203e9:bad token",
            Self::UnknownMethod => b"i204e14:method unknown",
        };
        let mut error = [b"d1:el", list, b"e"].concat();
        entry(&mut error, b"t", transaction);
        error.extend(b"1:y1:ee");
        error
    }
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, with = "serde_bytes")]
    id: &'a [u8],
    #[serde(borrow, default, with = "serde_bytes")]
    target: Option<&'a [u8]>,
    #[serde(borrow, default, with = "serde_bytes")]
    info_hash: Option<&'a [u8]>,
    #[serde(borrow, default, with = "serde_bytes")]
    token: Option<&'a [u8]>,
    port: Option<u16>,
    implied_port: Option<i64>,
    #[serde(borrow, default)]
    want: Vec<&'a Bytes>,
}

/// Reads a query that came from this address; `None` where the datagram is no query, or one without a transaction id.
pub(in crate::live) fn asked(datagram: &[u8], from: SocketAddr) -> Option<Asked<'_>> {
    let text = |key| bencode::string(bencode::field(datagram, key)?);
    if text(b"y")? != b"q" {
        return None;
    }
    let transaction = text(b"t").filter(|it| it.len() <= MAX_TRANSACTION)?;
    let query = match text(b"q") {
        Some(method) => query(method, bencode::field(datagram, b"a"), from.port()),
        None => Err(QueryError::Malformed),
    };
    Some(Asked { transaction, query })
}

fn query<'a>(method: &[u8], arguments: Option<&'a [u8]>, from_port: u16) -> Result<Query<'a>, QueryError> {
    let arguments = || {
        let arguments: Option<Arguments<'a>> = arguments.and_then(bencode::decode);
        arguments.filter(|it| it.id.len() == size_of::<Id>()).ok_or(QueryError::Malformed)
    };
    let id = |bytes: Option<&'a [u8]>| -> Result<&'a Id, QueryError> {
        bytes.and_then(|it| it.try_into().ok()).ok_or(QueryError::Malformed)
    };
    match method {
        b"ping" => arguments().map(|_| Query::Ping),
        b"find_node" => {
            arguments().and_then(|it| Ok(Query::FindNode { target: id(it.target)?, want: want(&it) }))
        }
        b"get_peers" => {
            arguments().and_then(|it| Ok(Query::GetPeers { info_hash: id(it.info_hash)?, want: want(&it) }))
        }
        b"sample_infohashes" => {
            arguments().and_then(|it| Ok(Query::SampleInfohashes { target: id(it.target)?, want: want(&it) }))
        }
        b"announce_peer" => {
            let it = arguments()?;
            let port = if it.implied_port.unwrap_or(0) == 0 { it.port } else { Some(from_port) };
            Ok(Query::AnnouncePeer {
                info_hash: id(it.info_hash)?,
                port: port.filter(|port| *port != 0).ok_or(QueryError::Malformed)?,
                token: it.token.ok_or(QueryError::Malformed)?,
            })
        }
        _ => Err(QueryError::UnknownMethod),
    }
}

fn want(arguments: &Arguments<'_>) -> Want {
    let has = |family: &[u8]| arguments.want.iter().any(|it| it.as_ref() == family);
    match (has(b"n4"), has(b"n6")) {
        (false, false) => Want::Same,
        (true, false) => Want::Four,
        (false, true) => Want::Six,
        (true, true) => Want::Both,
    }
}

/// The response to a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::live) struct Response {
    /// Nodes of IPv4, where they were asked for.
    pub(in crate::live) nodes: Option<Vec<Node>>,
    /// Nodes of IPv6, where they were asked for.
    pub(in crate::live) nodes6: Option<Vec<Node>>,
    /// What an announce to this node has to carry.
    pub(in crate::live) token: Option<[u8; 8]>,
    /// Peers of the swarm that was asked about.
    pub(in crate::live) peers: Vec<Peer>,
    /// Info-hashes, where they were asked for.
    pub(in crate::live) sample: Option<Sample>,
}

/// Some of the info-hashes that a node holds (BEP 51).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::live) struct Sample {
    pub(in crate::live) info_hashes: Vec<Id>,
    /// How many it holds.
    pub(in crate::live) held: usize,
    /// Seconds until there are others.
    pub(in crate::live) interval: u64,
}

impl Response {
    /// As a datagram from the node `own` to the asker, which is told its address as it is seen from here (BEP 42).
    pub(in crate::live) fn encode(&self, transaction: &[u8], own: &Id, asker: SocketAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend(b"d");
        entry(&mut out, b"ip", &compact(asker));
        out.extend(b"1:rd");
        entry(&mut out, b"id", own);
        if let Some(sample) = &self.sample {
            out.extend(format!("8:intervali{}e", sample.interval).into_bytes());
        }
        for (key, nodes) in [(&b"nodes"[..], &self.nodes), (b"nodes6", &self.nodes6)] {
            if let Some(nodes) = nodes {
                let compact = |node: &Node| [&node.id[..], &compact(node.address)].concat();
                entry(&mut out, key, &nodes.iter().flat_map(compact).collect::<Vec<u8>>());
            }
        }
        if let Some(sample) = &self.sample {
            out.extend(format!("3:numi{}e", sample.held).into_bytes());
            entry(&mut out, b"samples", sample.info_hashes.as_flattened());
        }
        if let Some(token) = &self.token {
            entry(&mut out, b"token", token);
        }
        if !self.peers.is_empty() {
            out.extend(b"6:valuesl");
            self.peers.iter().for_each(|peer| text(&mut out, &compact(*peer)));
            out.extend(b"e");
        }
        out.extend(b"e");
        entry(&mut out, b"t", transaction);
        out.extend(b"1:y1:re");
        out
    }
}

fn compact(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &port].concat(),
        IpAddr::V6(ip) => [&ip.octets()[..], &port].concat(),
    }
}

fn entry(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    text(out, key);
    text(out, value);
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(format!("{}:", bytes.len()).into_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use bt_bencode::Value;
    use proptest::prelude::*;

    use super::super::{Answer, Samples, read};
    use super::*;

    const OWN: &Id = b"mnopqrstuvwxyz123456";
    const HASH: &Id = b"mnopqrstuvwxyz123456";

    fn from() -> SocketAddr {
        "127.0.0.1:6881".parse().unwrap()
    }

    /// The queries of BEP 5 and 32, letter for letter.
    #[test]
    fn the_queries_of_the_specification_are_read() {
        let target = HASH;
        for (datagram, query) in [
            ("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", Query::Ping),
            (
                "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
                Query::FindNode { target, want: Want::Same },
            ),
            (
                "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:wantl2:n6ee1:q9:get_peers1:t2:aa1:y1:qe",
                Query::GetPeers { info_hash: HASH, want: Want::Six },
            ),
            (
                "d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti9e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
                Query::AnnouncePeer { info_hash: HASH, port: 6_881, token: b"aoeusnth" },
            ),
            (
                "d1:ad2:id20:abcdefghij012345678912:implied_porti0e9:info_hash20:mnopqrstuvwxyz1234564:porti9e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
                Query::AnnouncePeer { info_hash: HASH, port: 9, token: b"aoeusnth" },
            ),
        ] {
            let asked = asked(datagram.as_bytes(), from()).unwrap();
            assert_eq!(asked, Asked { transaction: b"aa", query: Ok(query) }, "{datagram}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_query_is_said() {
        let query = |arguments: &str, method: &str| {
            let datagram = format!("d1:a{arguments}1:q{}:{method}1:t1:x1:y1:qe", method.len());
            asked(datagram.as_bytes(), from()).unwrap().query.err()
        };
        let id = "2:id20:abcdefghij0123456789";
        assert_eq!(query("de", "vote"), Some(QueryError::UnknownMethod));
        for (arguments, method) in [
            ("de", "ping"),
            ("le", "ping"),
            ("d2:id3:abce", "ping"),
            (&format!("d{id}e"), "find_node"),
            (&format!("d{id}6:target3:abce"), "find_node"),
            (&format!("d{id}6:target20:mnopqrstuvwxyz1234564:want2:n4e"), "find_node"),
            (&format!("d{id}9:info_hashi3ee"), "get_peers"),
            (&format!("d{id}9:info_hash20:mnopqrstuvwxyz1234564:porti9ee"), "announce_peer"),
            (&format!("d{id}9:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:xe"), "announce_peer"),
            (&format!("d{id}9:info_hash20:mnopqrstuvwxyz1234564:porti65536e5:token1:xe"), "announce_peer"),
        ] {
            assert_eq!(query(arguments, method), Some(QueryError::Malformed), "{method} {arguments}");
        }
        for other in ["d1:rde1:t1:x1:y1:re", "d1:y1:qe", "d1:ti3e1:y1:qe", "d1:t1:x1:yi3ee", "x", ""] {
            assert_eq!(asked(other.as_bytes(), from()), None, "{other}");
        }
        assert_eq!(asked(b"d1:t1:x1:y1:qe", from()).unwrap().query, Err(QueryError::Malformed));
        assert_eq!(QueryError::UnknownMethod.encode(b"aa"), b"d1:eli204e14:method unknowne1:t2:aa1:y1:ee");
    }

    /// The responses of BEP 5, with the asker's address of BEP 42.
    #[test]
    fn responses_are_those_of_the_specification() {
        let own = b"0123456789abcdefghij";
        let ip = "2:ip6:\x7f\0\0\x01\x1a\u{e1}";
        let text = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect::<String>();
        let pong = Response::default().encode(b"aa", own, from());
        assert_eq!(text(pong), format!("d{ip}1:rd2:id20:0123456789abcdefghije1:t2:aa1:y1:re"));
        let peers = vec!["97.120.106.101:11893".parse().unwrap(), "105.100.104.116:28269".parse().unwrap()];
        let response = Response { token: Some(*b"aoeusnth"), peers, ..Response::default() };
        assert_eq!(
            text(response.encode(b"aa", own, from())),
            format!(
                "d{ip}1:rd2:id20:0123456789abcdefghij5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"
            )
        );
    }

    fn nodes(ipv6: bool) -> impl Strategy<Value = Option<Vec<Node>>> {
        let node = (any::<Id>(), any::<[u8; 16]>(), 1..=u16::MAX).prop_map(move |(id, ip, port)| {
            let [a, b, c, d, ..] = ip;
            let ip = if ipv6 { IpAddr::from(ip) } else { IpAddr::from([a, b, c, d]) };
            Node { id, address: SocketAddr::new(ip, port) }
        });
        prop::option::of(prop::collection::vec(node, 0..9))
    }

    proptest! {
        #[test]
        fn what_visitors_ask_is_what_visitors_read(id in any::<Id>(), hash in any::<Id>(), transaction in any::<u32>(),
                port in 1..=u16::MAX, token in prop::collection::vec(any::<u8>(), 0..30), read_only in any::<bool>()) {
            for query in [
                Query::Ping,
                Query::FindNode { target: &hash, want: Want::Both },
                Query::GetPeers { info_hash: &hash, want: Want::Same },
                Query::SampleInfohashes { target: &hash, want: Want::Six },
                Query::AnnouncePeer { info_hash: &hash, port, token: &token },
            ] {
                let datagram = query.encode(transaction, &id, read_only);
                let asked = asked(&datagram, from());
                prop_assert_eq!(asked, Some(Asked { transaction: &transaction.to_be_bytes(), query: Ok(query) }));
            }
        }

        #[test]
        fn what_visitors_answer_is_what_visitors_read(nodes in nodes(false), nodes6 in nodes(true), token in any::<Option<[u8; 8]>>(),
                hashes in prop::option::of(prop::collection::vec(any::<Id>(), 0..4)), transaction in any::<[u8; 4]>()) {
            let sample = hashes.map(|info_hashes| Sample { held: info_hashes.len(), info_hashes, interval: 60 });
            let peers = nodes.iter().flatten().map(|node| node.address).collect();
            let response = Response { nodes, nodes6, token, peers, sample };
            let datagram = response.encode(&transaction, OWN, from());
            let value: Value = bt_bencode::from_slice(&datagram).unwrap();
            prop_assert_eq!(bt_bencode::to_vec(&value).unwrap(), datagram.clone(), "canonical");
            prop_assert_eq!(super::super::transaction(&datagram), Some(u32::from_be_bytes(transaction)));
            let answer = Answer {
                id: *OWN,
                nodes: [&response.nodes, &response.nodes6].into_iter().flatten().flatten().copied().collect(),
                peers: response.peers,
                token: response.token.map(|it| it.to_vec()),
                seen_as: Some(from().ip()),
                samples: response.sample.map(|it| Samples { named: it.info_hashes.len(), interval: 60 }),
            };
            prop_assert_eq!(read(&datagram), Ok(answer));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = asked(&bytes, from());
        }

        #[test]
        fn arbitrary_arguments_never_panic(arguments in "d2:id20:[a-b]{20}[0-9a-eil:n]{0,40}e", method in "(ping|get_peers|announce_peer|x)") {
            let _ = query(method.as_bytes(), Some(arguments.as_bytes()), 1);
        }

        #[test]
        fn transaction_ids_of_any_bytes_come_back(transaction in prop::collection::vec(any::<u8>(), 0..=MAX_TRANSACTION)) {
            let datagram = QueryError::BadToken.encode(&transaction);
            let value: Value = bt_bencode::from_slice(&datagram).unwrap();
            prop_assert_eq!(bt_bencode::to_vec(&value).unwrap(), datagram.clone());
            let mut query = b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping".to_vec();
            entry(&mut query, b"t", &transaction);
            query.extend(b"1:y1:qe");
            prop_assert_eq!(asked(&query, from()).unwrap(), Asked { transaction: &transaction, query: Ok(Query::Ping) });
        }
    }
}

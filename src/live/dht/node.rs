//! What visitors' nodes answer (BEP 5, 32, 42, 51), without a socket and without a clock.
//!
//! A node is what stands behind one address: visitors that share it share its id. It answers from when the first of its visitors that can
//! be reached asked something, until the end of the run: clients stay on for hours after what brought them there.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use crate::unit::Tick;

use super::super::krpc::{self, Id, Node, Query, QueryError, Response, Sample, Want};
use super::super::udp::Served;
use super::announced::Announced;
use super::id;
use super::table::{Acquaintances, Table};

/// Nodes in an answer (BEP 5).
const K: usize = 8;
/// Nodes of a worker that answer, the latest ones: some 5 KB each, 20 MB together.
const MAX_NODES: usize = 4_096;
/// How often the secret behind the tokens changes, in seconds; the one before stays good (BEP 5).
const SECRET_LIFE: u64 = 5 * 60;
/// Info-hashes in an answer (BEP 51; libtorrent's number).
const MAX_SAMPLES: usize = 20;
/// Seconds after which a node names other info-hashes.
const SAMPLE_INTERVAL: u64 = 60;

/// A worker's nodes: who they are, whom they know, what they were told.
#[derive(Debug)]
pub(super) struct Nodes {
    /// Keeps ids and tokens of workers and runs apart.
    seed: u64,
    /// Nodes that the worker has found good, of IPv4 and of IPv6.
    pub(super) known: [Acquaintances; 2],
    /// The worker's own address as others see it (BEP 42), where the sockets do not say. The first answer counts: ids are to stay.
    seen_as: [Option<IpAddr>; 2],
    /// The nodes that answer, by local address, with what they know.
    open: HashMap<IpAddr, Table>,
    /// The same, oldest first.
    order: VecDeque<IpAddr>,
    announced: Announced,
}

impl Nodes {
    /// None that answers yet; the scenario's clock is `speed` times as fast as the run's.
    pub(super) fn new(seed: u64, speed: f64) -> Self {
        Self {
            seed,
            known: Default::default(),
            seen_as: [None; 2],
            open: HashMap::new(),
            order: VecDeque::new(),
            announced: Announced::new(speed),
        }
    }

    /// The id of the node at a local address, bound to it (BEP 42) as far as it is known.
    pub(super) fn id(&self, local: IpAddr) -> Id {
        let random = self.digest(b"id", 0, local);
        let address = Some(local).filter(|it| !it.is_unspecified()).or(self.seen_as[family(local)]);
        address.map_or(random, |address| id::bind(address, random))
    }

    /// A node said from which address it was asked.
    pub(super) fn seen_as(&mut self, address: IpAddr) {
        self.seen_as[family(address)].get_or_insert(address);
    }

    /// From now on the node at this address answers. The oldest goes where there are too many.
    pub(super) fn open(&mut self, local: IpAddr) {
        if self.open.contains_key(&local) {
            return;
        }
        if self.order.len() >= MAX_NODES
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.order.push_back(local);
        self.open.insert(local, Table::fresh(self.id(local)));
    }

    /// Whether the node at this address answers.
    pub(super) fn is_open(&self, local: IpAddr) -> bool {
        self.open.contains_key(&local)
    }

    /// What a visitor's node has come to know, for those who ask it.
    pub(super) fn learn(&mut self, local: IpAddr, table: &Table) {
        if let Some(own) = self.open.get_mut(&local) {
            own.clone_from(table);
        }
    }

    /// A peer that may have been announced to these nodes has left.
    pub(super) fn left(&mut self, peer: SocketAddr, now: Tick) {
        self.announced.left(peer, now);
    }

    /// What a datagram that came to a local address is answered with.
    pub(super) fn serve(&mut self, datagram: &[u8], from: SocketAddr, local: IpAddr, now: Tick) -> Served {
        let Some(asked) = krpc::asked(datagram, from) else { return Served::NoQuery };
        if !self.is_open(local) {
            return Served::Silence;
        }
        let response = asked.query.and_then(|query| self.respond(query, from, local, now));
        Served::Answer(match response {
            Ok(response) => response.encode(asked.transaction, &self.id(local), from),
            Err(error) => error.encode(asked.transaction),
        })
    }

    fn respond(
        &mut self,
        query: Query<'_>,
        from: SocketAddr,
        local: IpAddr,
        now: Tick,
    ) -> Result<Response, QueryError> {
        Ok(match query {
            Query::Ping => Response::default(),
            Query::FindNode { target, want } => self.around(target, want, local, now),
            Query::GetPeers { info_hash, want } => Response {
                token: Some(self.token(from.ip(), now.second() / SECRET_LIFE)),
                peers: self.announced.peers(local, *info_hash, now),
                ..self.around(info_hash, want, local, now)
            },
            Query::SampleInfohashes { target, want } => {
                Response { sample: Some(self.sample(local, now)), ..self.around(target, want, local, now) }
            }
            Query::AnnouncePeer { info_hash, port, token } => {
                if !self.accepts(token, from.ip(), now) {
                    return Err(QueryError::BadToken);
                }
                self.announced.put(local, *info_hash, SocketAddr::new(from.ip(), port), now);
                Response::default()
            }
        })
    }

    /// The nodes closest to a key, of the families that are wanted (BEP 32).
    fn around(&self, key: &Id, want: Want, local: IpAddr, now: Tick) -> Response {
        let wanted = match want {
            Want::Same => [local.is_ipv4(), local.is_ipv6()],
            Want::Four => [true, false],
            Want::Six => [false, true],
            Want::Both => [true, true],
        };
        let [nodes, nodes6] = [0, 1].map(|of| wanted[of].then(|| self.closest(key, of, local, now)));
        Response { nodes, nodes6, ..Response::default() }
    }

    /// What the node at `local` knows itself; where that is nobody, and of the other family, what the worker knows.
    fn closest(&self, key: &Id, of: usize, local: IpAddr, now: Tick) -> Vec<Node> {
        let table = self.open.get(&local).filter(|_| of == family(local));
        let own = table.map_or_else(Vec::new, |table| table.closest(key, K, now));
        if own.is_empty() { self.known[of].closest(key, K, now) } else { own }
    }

    fn sample(&self, local: IpAddr, now: Tick) -> Sample {
        let mut info_hashes = self.announced.info_hashes(local, now);
        let held = info_hashes.len();
        // Each interval names those that follow on the last ones.
        let first = (now.second() / SAMPLE_INTERVAL) as usize * MAX_SAMPLES;
        info_hashes.rotate_left(first.checked_rem(held).unwrap_or(0));
        info_hashes.truncate(MAX_SAMPLES);
        Sample { info_hashes, held, interval: SAMPLE_INTERVAL }
    }

    /// What an asker's address needs to announce: follows from the secret of a period, so that none is kept.
    fn token(&self, asker: IpAddr, period: u64) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] = self.digest(b"token", period, asker);
        [a, b, c, d, e, f, g, h]
    }

    fn accepts(&self, token: &[u8], asker: IpAddr, now: Tick) -> bool {
        let period = now.second() / SECRET_LIFE;
        [Some(period), period.checked_sub(1)].into_iter().flatten().any(|it| self.token(asker, it) == token)
    }

    fn digest(&self, purpose: &[u8], period: u64, address: IpAddr) -> [u8; 20] {
        let mut hash = Sha1::new();
        hash.update(purpose);
        hash.update(self.seed.to_be_bytes());
        hash.update(period.to_be_bytes());
        match address {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        hash.finalize().into()
    }
}

/// 0 for IPv4, 1 for IPv6.
fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::super::super::krpc::Answer;
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 16, 0, 1));
    const ASKER: &Id = b"abcdefghij0123456789";
    const HASH: &Id = b"mnopqrstuvwxyz123456";

    fn asker() -> SocketAddr {
        "127.0.0.1:6881".parse().unwrap()
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_millis(1_000 * seconds)
    }

    fn node(n: u8) -> Node {
        Node { id: [n; 20], address: ([127, 0, 0, n], 7_000).into() }
    }

    fn nodes() -> Nodes {
        let mut nodes = Nodes::new(1, 1.0);
        nodes.open(LOCAL);
        nodes
    }

    fn send(nodes: &mut Nodes, from: SocketAddr, query: Query<'_>, now: Tick) -> Result<Answer, krpc::Fault> {
        let Served::Answer(answer) = nodes.serve(&query.encode(9, ASKER, false), from, LOCAL, now) else {
            panic!("no answer")
        };
        assert_eq!(krpc::transaction(&answer), Some(9));
        krpc::read(&answer)
    }

    fn ask(nodes: &mut Nodes, query: Query<'_>, now: Tick) -> Result<Answer, krpc::Fault> {
        send(nodes, asker(), query, now)
    }

    #[test]
    fn a_node_has_one_id_that_its_address_allows() {
        let mut nodes = nodes();
        let own = nodes.id(LOCAL);
        assert!(id::allows(LOCAL, &own));
        assert_ne!(own, nodes.id("127.16.0.2".parse().unwrap()));
        assert_ne!(own, Nodes::new(2, 1.0).id(LOCAL));
        let pong = ask(&mut nodes, Query::Ping, at(0)).unwrap();
        assert_eq!((pong.id, pong.seen_as), (own, Some(asker().ip())), "BEP 42");
        let somewhere = Ipv4Addr::UNSPECIFIED.into();
        let [first, second] = ["124.31.75.21", "21.75.31.124"].map(|it| it.parse().unwrap());
        assert!(!id::allows(first, &nodes.id(somewhere)));
        nodes.seen_as(first);
        nodes.seen_as(second);
        nodes.seen_as(Ipv6Addr::LOCALHOST.into());
        assert!(id::allows(first, &nodes.id(somewhere)), "and keeps it");
        assert_eq!(nodes.id(LOCAL), own);
    }

    #[test]
    fn only_open_nodes_answer_and_only_queries() {
        let mut nodes = nodes();
        let ping = Query::Ping.encode(9, ASKER, false);
        let closed = "127.16.0.2".parse().unwrap();
        assert_eq!(nodes.serve(&ping, asker(), closed, at(0)), Served::Silence);
        let answer = b"d1:rd2:id20:abcdefghij0123456789e1:t2:aa1:y1:re";
        for other in [&answer[..], b"", b"d1:y1:qe"] {
            assert_eq!(nodes.serve(other, asker(), LOCAL, at(0)), Served::NoQuery);
        }
        let vote = b"d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t3:abc1:y1:qe";
        let unknown = Served::Answer(b"d1:eli204e14:method unknowne1:t3:abc1:y1:ee".to_vec());
        assert_eq!(nodes.serve(vote, asker(), LOCAL, at(0)), unknown);
    }

    #[test]
    fn announced_peers_are_named_to_others() {
        let mut nodes = nodes();
        let get = Query::GetPeers { info_hash: HASH, want: Want::Same };
        let token = ask(&mut nodes, get, at(0)).unwrap().token.unwrap();
        let announce = Query::AnnouncePeer { info_hash: HASH, port: 4_711, token: &token };
        let other = "127.0.0.2:6881".parse().unwrap();
        assert_eq!(
            send(&mut nodes, other, announce, at(0)),
            Err(krpc::Fault::Error),
            "it is not their token"
        );
        ask(&mut nodes, announce, at(1)).unwrap();
        let peers = send(&mut nodes, other, get, at(2)).unwrap().peers;
        assert_eq!(peers, ["127.0.0.1:4711".parse().unwrap()]);
        let elsewhere = Query::GetPeers { info_hash: ASKER, want: Want::Same };
        assert!(ask(&mut nodes, elsewhere, at(2)).unwrap().peers.is_empty());
        let sample =
            ask(&mut nodes, Query::SampleInfohashes { target: HASH, want: Want::Same }, at(3)).unwrap();
        assert_eq!(sample.samples, Some(krpc::Samples { named: 1, interval: 60 }));
    }

    /// BEP 5: the secret changes every five minutes, and tokens up to ten minutes old are accepted.
    #[test]
    fn tokens_are_good_for_five_to_ten_minutes() {
        let mut nodes = nodes();
        for given in [0, 299, 300, 12_345] {
            let get = Query::GetPeers { info_hash: HASH, want: Want::Same };
            let token = ask(&mut nodes, get, at(given)).unwrap().token.unwrap();
            let announce = Query::AnnouncePeer { info_hash: HASH, port: 1, token: &token };
            assert!(ask(&mut nodes, announce, at(given + 300)).is_ok());
            assert_eq!(ask(&mut nodes, announce, at(given + 600)), Err(krpc::Fault::Error));
        }
    }

    #[test]
    fn a_node_names_whom_it_knows_itself_before_whom_its_worker_knows() {
        let mut nodes = nodes();
        let six = Node { id: [7; 20], address: "[::1]:7000".parse().unwrap() };
        (1..=20).for_each(|n| nodes.known[0].add(node(n), at(0)));
        nodes.known[1].add(six, at(0));
        let find = |want| Query::FindNode { target: &[3; 20], want };
        let named = ask(&mut nodes, find(Want::Same), at(1)).unwrap().nodes;
        assert_eq!((named.len(), named[0]), (8, node(3)));
        let mut table = Table::fresh(nodes.id(LOCAL));
        table.add(node(30), at(1));
        nodes.learn(LOCAL, &table);
        assert_eq!(ask(&mut nodes, find(Want::Four), at(1)).unwrap().nodes, [node(30)]);
        assert_eq!(ask(&mut nodes, find(Want::Both), at(1)).unwrap().nodes, [node(30), six]);
        assert_eq!(ask(&mut nodes, find(Want::Six), at(1)).unwrap().nodes, [six]);
        let later = at(1) + Duration::from_secs(15 * 60);
        assert!(
            ask(&mut nodes, find(Want::Both), later).unwrap().nodes.is_empty(),
            "nobody is good any more"
        );
    }

    #[test]
    fn every_info_hash_is_sampled_in_its_turn() {
        let mut nodes = nodes();
        (0..50).for_each(|n| nodes.announced.put(LOCAL, [n; 20], node(1).address, at(0)));
        let samples = |minute: u64| nodes.sample(LOCAL, at(60 * minute)).info_hashes;
        let mut seen: Vec<Id> = [samples(0), samples(1), samples(2)].concat();
        assert_eq!(seen.len(), 60);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), nodes.sample(LOCAL, at(0)).held), (50, 50));
    }

    #[test]
    fn the_oldest_node_makes_room() {
        let mut nodes = nodes();
        for n in 0..u32::try_from(MAX_NODES).unwrap() {
            nodes.open(Ipv4Addr::from_bits(0x7f20_0000 + n).into());
        }
        assert_eq!(
            (nodes.open.len(), nodes.order.len(), nodes.is_open(LOCAL)),
            (MAX_NODES, MAX_NODES, false)
        );
        nodes.open(LOCAL);
        assert_eq!((nodes.open.len(), nodes.is_open(LOCAL)), (MAX_NODES, true));
    }

    /// The longest answer fits a datagram that no link splits (1,280 bytes with IPv6 and UDP headers).
    #[test]
    fn answers_are_small() {
        let local: IpAddr = Ipv6Addr::LOCALHOST.into();
        let mut nodes = Nodes::new(1, 1.0);
        nodes.open(local);
        for n in 1..=200_u16 {
            let address = SocketAddr::new(local, n);
            nodes.known[1].add(Node { id: [n as u8; 20], address }, at(0));
            nodes.announced.put(local, *HASH, address, at(0));
        }
        let get = Query::GetPeers { info_hash: HASH, want: Want::Same }.encode(9, ASKER, false);
        let Served::Answer(answer) = nodes.serve(&get, "[::1]:9".parse().unwrap(), local, at(0)) else {
            panic!("no answer")
        };
        let read = krpc::read(&answer).unwrap();
        assert_eq!((read.nodes.len(), read.peers.len()), (8, 32));
        assert!(answer.len() <= 1_280 - 48, "{}", answer.len());
    }
}

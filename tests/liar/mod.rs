//! A tracker that keeps true swarms, over UDP or HTTP, and lies about them when it is told to. Its codecs are its own.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use squall::profile::TrackerKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    NoSeeds,
    ManySeeds,
    NoLeeches,
    ManyLeeches,
    Stranger,
    OtherSwarm,
    OnlyTheAsker,
    TheAskerToo,
    TooMany,
    WhoLeft,
    IntervalZero,
    IntervalOfYears,
    Truncated,
    // Those that only datagrams can tell:
    Twice,
    OtherTransaction,
    Scrap,
    Late,
}

type Hash = [u8; 20];

/// What the tracker knows: a seedbox is in every swarm, at the visitors' port.
#[derive(Default)]
struct Swarms {
    inside: BTreeMap<Hash, Vec<SocketAddr>>,
    left: Vec<SocketAddr>,
}

struct Reply {
    interval: u32,
    seeds: u32,
    leeches: u32,
    peers: Vec<SocketAddr>,
}

impl Swarms {
    /// Enters an announce, and says what is true, or not.
    fn announce(&mut self, hash: Hash, peer: SocketAddr, stops: bool, lie: Lie) -> Reply {
        let swarm = self.inside.entry(hash).or_default();
        swarm.retain(|other| *other != peer);
        let seedbox = SocketAddr::from(([127, 255, 255, 254], peer.port()));
        let mut reply = Reply { interval: 1_800, seeds: 1, leeches: 0, peers: vec![seedbox] };
        reply.peers.extend(swarm.iter());
        if stops {
            self.left.push(peer);
        } else {
            swarm.push(peer);
        }
        reply.leeches = swarm.len() as u32;
        let port = peer.port();
        match lie {
            Lie::NoSeeds => reply.seeds = 0,
            Lie::ManySeeds => reply.seeds = 1_000,
            Lie::NoLeeches => reply.leeches = 1,
            Lie::ManyLeeches => reply.leeches = 1_000,
            Lie::Stranger => reply.peers.push(SocketAddr::from(([127, 0, 0, 9], port))),
            Lie::OtherSwarm => {
                let others = self.inside.iter().filter(|(other, _)| **other != hash);
                reply.peers.extend(others.flat_map(|(_, peers)| peers));
            }
            Lie::OnlyTheAsker => reply.peers = vec![peer],
            Lie::TheAskerToo => reply.peers.push(peer),
            Lie::TooMany => {
                reply.peers = (0..51).map(|n| SocketAddr::from(([127, 100, 0, n], port))).collect()
            }
            Lie::WhoLeft => reply.peers.extend(&self.left),
            Lie::IntervalZero => reply.interval = 0,
            Lie::IntervalOfYears => reply.interval = 1 << 30,
            Lie::None | Lie::Truncated | Lie::Twice | Lie::OtherTransaction | Lie::Scrap | Lie::Late => {}
        }
        reply
    }
}

fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let bytes = |peer: &SocketAddr| match peer.ip() {
        IpAddr::V4(ip) => [&ip.octets()[..], &peer.port().to_be_bytes()].concat(),
        IpAddr::V6(_) => panic!("only IPv4 here"),
    };
    peers.iter().flat_map(bytes).collect()
}

/// Answers that were held back, and for whom.
type Held = Rc<RefCell<Vec<(Vec<u8>, SocketAddr)>>>;

pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    pub(crate) lie: Rc<Cell<Lie>>,
    held: Held,
    holds: Rc<Notify>,
    udp: Option<Rc<UdpSocket>>,
}

impl Liar {
    /// Starts it, truthful; within a `LocalSet`.
    pub(crate) async fn start(kind: TrackerKind) -> Self {
        let lie = Rc::new(Cell::new(Lie::None));
        let (held, holds) = (Rc::default(), Rc::new(Notify::new()));
        if kind == TrackerKind::Udp {
            let socket = Rc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
            let liar = Self {
                address: socket.local_addr().unwrap(),
                lie,
                held,
                holds,
                udp: Some(Rc::clone(&socket)),
            };
            let serve =
                datagrams(socket, Rc::clone(&liar.lie), Rc::clone(&liar.held), Rc::clone(&liar.holds));
            tokio::task::spawn_local(serve);
            liar
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::task::spawn_local(requests(listener, Rc::clone(&lie)));
            Self { address, lie, held, holds, udp: None }
        }
    }

    /// Waits until an answer is held back.
    pub(crate) async fn holds_one(&self) {
        self.holds.notified().await;
    }

    /// Sends what was held back.
    pub(crate) async fn let_go(&self) {
        for (answer, to) in self.held.take() {
            self.udp.as_ref().unwrap().send_to(&answer, to).await.unwrap();
        }
    }
}

async fn datagrams(socket: Rc<UdpSocket>, lie: Rc<Cell<Lie>>, held: Held, holds: Rc<Notify>) {
    let mut swarms = Swarms::default();
    let mut buffer = [0; 2_048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let request = &buffer[..length];
        let transaction = &request[12..16];
        if request[8..12] == [0; 4] {
            socket.send_to(&[&[0; 4], transaction, b"an id..."].concat(), from).await.unwrap();
            continue;
        }
        assert_eq!(&request[98..], b"\x02\x09/announce", "URL data (BEP 41)");
        let port = u16::from_be_bytes(request[96..98].try_into().unwrap());
        let stops = request[83] == 3;
        let peer = SocketAddr::new(from.ip(), port);
        let reply = swarms.announce(request[16..36].try_into().unwrap(), peer, stops, lie.get());
        let numbers = [reply.interval, reply.leeches, reply.seeds].map(u32::to_be_bytes).concat();
        let answer = |id: &[u8]| [&[0, 0, 0, 1], id, &numbers, &compact(&reply.peers)].concat();
        let right = answer(transaction);
        let datagrams = match lie.get() {
            Lie::Truncated => vec![right[..right.len() - 3].to_vec()],
            Lie::Twice => vec![right.clone(), right],
            Lie::OtherTransaction => vec![answer(b"none"), right],
            Lie::Scrap => vec![b"???".to_vec(), right],
            Lie::Late => {
                held.borrow_mut().push((right, from));
                holds.notify_one();
                Vec::new()
            }
            _ => vec![right],
        };
        for datagram in datagrams {
            socket.send_to(&datagram, from).await.unwrap();
        }
    }
}

async fn requests(listener: TcpListener, lie: Rc<Cell<Lie>>) {
    let mut swarms = Swarms::default();
    while let Ok((mut stream, from)) = listener.accept().await {
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).await.unwrap();
        let request = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let query = request.split(' ').nth(1).unwrap().strip_prefix("/announce?").unwrap();
        let field = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let hash: Hash = decoded(field("info_hash").unwrap()).try_into().unwrap();
        assert_eq!((decoded(field("peer_id").unwrap()).len(), field("compact")), (20, Some("1")));
        let peer = SocketAddr::new(from.ip(), field("port").unwrap().parse().unwrap());
        let reply = swarms.announce(hash, peer, field("event") == Some("stopped"), lie.get());
        let list = compact(&reply.peers);
        let mut body = format!(
            "d8:completei{}e10:incompletei{}e8:intervali{}e5:peers{}:",
            reply.seeds,
            reply.leeches,
            reply.interval,
            list.len()
        )
        .into_bytes();
        body.extend(list);
        body.push(b'e');
        if lie.get() == Lie::Truncated {
            body.truncate(body.len() - 3);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    }
}

/// What percent-encoding stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            bytes.push(u8::from_str_radix(std::str::from_utf8(&after[..2]).unwrap(), 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

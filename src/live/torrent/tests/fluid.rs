//! A swarm of visitors in virtual time against the fluid model of Qiu and Srikant (SIGCOMM 2004): the same state machine, its bytes carried by a
//! queue instead of sockets.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

use crate::demand::Fluid;

use super::super::super::metainfo::info_of;
use super::super::super::shaper::Bucket;
use super::super::super::wire::{BLOCK, Frames};
use super::super::*;

const PIECES: u32 = 200;
const PIECE: u32 = 8 * BLOCK;
/// Peers that a newcomer connects to; as many again connect to it in time.
const NEIGHBOURS: usize = 12;
const SIZE: f64 = PIECES as f64 * PIECE as f64;

/// What was seen in the steady state.
#[derive(Debug)]
struct Seen {
    leeches: f64,
    seeds: f64,
    /// Seconds that a leech is there, whether it finishes or gives up: the model's T.
    stay: f64,
}

struct Node {
    torrent: Torrent,
    down: Bucket,
    up: Bucket,
    came: Tick,
    done: Option<Tick>,
    /// The origin stays and is not counted.
    origin: bool,
    links: BTreeMap<PeerKey, (usize, PeerKey)>,
    frames: BTreeMap<PeerKey, Frames>,
    /// When each link is woken next; other wakes of it are void.
    wakes: BTreeMap<PeerKey, Tick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Arrive,
    /// A node leaves, if it is still what it was: a leech that gives up, or a seed.
    Leave(usize, bool),
    Wake(usize, PeerKey),
}

struct Net {
    now: Tick,
    agenda: BinaryHeap<Reverse<(Tick, What)>>,
    nodes: BTreeMap<usize, Node>,
    next: usize,
    layout: Rc<Layout>,
    info_hash: [u8; 20],
    store: Rc<Store>,
    random: SplitMix64,
    fluid: Fluid,
    stays: Vec<f64>,
}

impl Net {
    fn new(fluid: Fluid, seed: u64) -> Self {
        let content: Vec<u8> = (0..PIECES * PIECE).map(|n| (n / 7 % 251) as u8).collect();
        let (info, info_hash) = info_of(&content, PIECE as usize);
        let store = Rc::new(Store::default());
        for (piece, data) in content.chunks(PIECE as usize).enumerate() {
            store.keep(info_hash, piece as u32, data.to_vec());
        }
        let mut net = Self {
            now: Tick::ZERO,
            agenda: BinaryHeap::new(),
            nodes: BTreeMap::new(),
            next: 0,
            layout: Rc::new(Layout::from_info(&info, &info_hash.into()).unwrap()),
            info_hash,
            store,
            random: SplitMix64::seed_from_u64(seed),
            fluid,
            stays: Vec::new(),
        };
        // One that stays, with a visitor's line.
        net.seed(net.fluid.up, true);
        // As many seeds as the model says, so that there is something to begin with.
        for _ in 0..5 {
            let seed = net.seed(net.fluid.up, false);
            net.nodes.get_mut(&seed).unwrap().done = Some(Tick::ZERO);
            // They stay until there are others who have everything.
            net.agenda.push(Reverse((Tick::from_millis(2_000_000), What::Leave(seed, true))));
        }
        net.after(ARRIVALS, What::Arrive);
        net
    }

    /// Puts something on the agenda after an exponential time.
    fn after(&mut self, rate: f64, what: What) {
        let wait = -(1.0 - self.random.random::<f64>()).ln() / rate;
        self.agenda.push(Reverse((self.now + Duration::from_secs_f64(wait), what)));
    }

    /// Adds somebody who has everything.
    fn seed(&mut self, up: f64, origin: bool) -> usize {
        let seed = self.add(up, origin);
        let picker = self.nodes.get_mut(&seed).unwrap().torrent.picker.as_mut().unwrap();
        (0..PIECES).for_each(|piece| picker.add_for_test(piece));
        seed
    }

    fn add(&mut self, up: f64, origin: bool) -> usize {
        let n = self.next;
        self.next += 1;
        let own = Own { info_hash: self.info_hash.into(), client: "x".into(), port: Some(1), slots: 4 };
        let random = SplitMix64::seed_from_u64(n as u64);
        let mut torrent = Torrent::new(own, Some(Rc::clone(&self.layout)), Rc::clone(&self.store), random);
        torrent.want(PIECES);
        let node = Node {
            torrent,
            down: self.line(self.fluid.down),
            up: self.line(up),
            came: self.now,
            done: None,
            origin,
            links: BTreeMap::new(),
            frames: BTreeMap::new(),
            wakes: BTreeMap::new(),
        };
        self.nodes.insert(n, node);
        n
    }

    /// A line without the burst that a bucket begins with: the model knows rates alone.
    fn line(&self, copies: f64) -> Bucket {
        let mut line = Bucket::new(copies * SIZE, self.now);
        while line.take(self.now, BLOCK).is_ok() {}
        line
    }

    fn arrive(&mut self) {
        self.after(ARRIVALS, What::Arrive);
        let new = self.add(self.fluid.up, false);
        self.after(self.fluid.abort, What::Leave(new, false));
        let others: Vec<usize> = self.nodes.keys().copied().filter(|other| *other != new).collect();
        for other in others.into_iter().sample(&mut self.random, NEIGHBOURS) {
            self.connect(new, other);
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let now = self.now;
        let mut join = |of: usize, peer: usize, incoming| {
            let address = SocketAddr::from(([127, 16, (peer >> 8) as u8, peer as u8], 1));
            let mut peer_id = [0; 20];
            peer_id[..8].copy_from_slice(&peer.to_be_bytes());
            let meeting = Meeting { address, incoming, peer_id, extended: false, fast: true, visitor: true };
            self.nodes.get_mut(&of).unwrap().torrent.join(meeting, now)
        };
        let (key_a, key_b) = (join(a, b, false), join(b, a, true));
        for (of, key, to) in [(a, key_a, (b, key_b)), (b, key_b, (a, key_a))] {
            let node = self.nodes.get_mut(&of).unwrap();
            node.links.insert(key, to);
            node.frames.insert(key, Frames::default());
        }
        self.pump(VecDeque::from([(a, key_a), (b, key_b)]));
    }

    fn leave(&mut self, n: usize) {
        let Some(node) = self.nodes.remove(&n) else { return };
        if node.done.is_none() {
            self.stays.push(self.now.since(node.came).as_secs_f64());
        }
        let mut awake = VecDeque::new();
        for (peer, key) in node.links.into_values() {
            let Some(other) = self.nodes.get_mut(&peer) else { continue };
            other.links.remove(&key);
            other.frames.remove(&key);
            other.torrent.leave(key, self.now);
            awake.extend(other.torrent.awake().into_iter().map(|key| (peer, key)));
        }
        self.pump(awake);
    }

    /// Lets connections do what they can until all of them wait.
    fn pump(&mut self, mut work: VecDeque<(usize, PeerKey)>) {
        while let Some((n, key)) = work.pop_front() {
            let Some(node) = self.nodes.get_mut(&n) else { continue };
            let Some(&(peer, peer_key)) = node.links.get(&key) else { continue };
            let due = node.torrent.turn(key, self.now).unwrap();
            let asking = node.torrent.ask(key, &mut node.down, self.now);
            let serving = node.torrent.serve(key, 0, &mut node.up, self.now);
            let mut out = Vec::new();
            node.torrent.take_out(key, &mut out);
            let waits = [asking, serving].into_iter().flatten().map(|wait| self.now + wait);
            let wake = waits.chain(due).min();
            if let Some(wake) = wake
                && node.wakes.insert(key, wake) != Some(wake)
            {
                self.agenda.push(Reverse((wake, What::Wake(n, key))));
            }
            work.extend(node.torrent.awake().into_iter().map(|key| (n, key)));
            if out.is_empty() {
                continue;
            }
            let other = self.nodes.get_mut(&peer).unwrap();
            let frames = other.frames.get_mut(&peer_key).unwrap();
            frames.space(out.len()).extend(out);
            while let Some(message) = frames.next().unwrap() {
                other.torrent.handle(peer_key, message, self.now).unwrap();
            }
            work.push_back((peer, peer_key));
            work.extend(other.torrent.awake().into_iter().map(|key| (peer, key)));
            // More of what waits.
            work.push_back((n, key));
            if !other.origin && other.done.is_none() && other.torrent.is_done() {
                other.done = Some(self.now);
                let stay = self.now.since(other.came).as_secs_f64();
                self.stays.push(stay);
                self.after(self.fluid.leave, What::Leave(peer, true));
            }
        }
    }

    fn run(mut self, warm_up: f64, until: f64) -> Seen {
        let (mut leeches, mut seeds) = (0.0, 0.0);
        let mut measuring = false;
        while let Some(Reverse((at, what))) = self.agenda.pop() {
            if at.as_secs_f64() >= warm_up && !measuring {
                measuring = true;
                self.stays.clear();
            }
            if measuring {
                let span = at.since(self.now).as_secs_f64();
                let of = |done: bool| {
                    self.nodes.values().filter(|it| !it.origin && it.done.is_some() == done).count() as f64
                };
                leeches += span * of(false);
                seeds += span * of(true);
            }
            self.now = at;
            if at.as_secs_f64() >= until {
                break;
            }
            match what {
                What::Arrive => self.arrive(),
                What::Leave(n, seed) if self.nodes.get(&n).is_some_and(|it| it.done.is_some() == seed) => {
                    self.leave(n)
                }
                What::Leave(..) => {}
                What::Wake(n, key) => {
                    let Some(node) = self.nodes.get_mut(&n) else { continue };
                    if node.wakes.get(&key) == Some(&at) {
                        node.wakes.remove(&key);
                        self.pump(VecDeque::from([(n, key)]));
                    }
                }
            }
        }
        let span = until - warm_up;
        Seen {
            leeches: leeches / span,
            seeds: seeds / span,
            stay: self.stays.iter().sum::<f64>() / self.stays.len() as f64,
        }
    }
}

/// Downloads that begin, per second.
const ARRIVALS: f64 = 0.04;
/// Few give up: the model takes what a copy still needs for memoryless, so that nothing is lost with those who leave; copies here all have
/// the same size.
const UPLOAD_BOUND: Fluid =
    Fluid { abort: 0.0001, down: 0.002, up: 0.00125, effectiveness: 1.0, leave: 0.005 };

/// Some five hundred visitors and one seed that stays.
fn agrees_with_the_model(fluid: Fluid) {
    let seen = Net::new(fluid, 7).run(3_000.0, 12_500.0);
    let (peers, stay) = fluid.steady(ARRIVALS);
    for (seen, expected) in [(seen.leeches, peers.leechers), (seen.seeds, peers.seeds), (seen.stay, stay)] {
        assert!((seen / expected - 1.0).abs() < 0.15, "{seen} instead of {expected}");
    }
}

#[test]
fn a_swarm_held_by_what_leeches_give_settles_where_the_fluid_model_says() {
    agrees_with_the_model(UPLOAD_BOUND);
}

#[test]
fn a_swarm_held_by_what_leeches_can_take_settles_where_the_fluid_model_says() {
    agrees_with_the_model(Fluid { leave: 0.001, ..UPLOAD_BOUND });
}

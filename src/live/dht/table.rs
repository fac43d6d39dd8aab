//! What nodes a visitor's client knows (BEP 5): a table of its own, and the acquaintances of a worker, from which the tables of clients
//! that have long been in the DHT are drawn.
//!
//! A client that has run for days has filled its buckets from the whole network. No visitor lives that long here, so the table of one
//! that comes "warm" is drawn [assumed]: of the nodes that the worker has found good in the last quarter of an hour, each bucket gets the
//! K that stand first in an order of the visitor's own. How many queries a lookup then takes follows from that table alone, and not from
//! how much the worker knows.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_xoshiro::SplitMix64;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::super::krpc::{Id, Node};
use super::super::lookup::distance;
use crate::unit::Tick;

/// Nodes of a bucket (BEP 5).
const K: usize = 8;
/// Nodes that a visitor remembers at most: eight full buckets, which is all there is of a network of 2,048 nodes.
const MAX_NODES: usize = 64;
/// Good nodes that a worker remembers at most.
const MAX_ACQUAINTANCES: usize = 2_048;
/// Buckets that are told apart: of two ids that were drawn, one pair of 2^31 shares more bits. Those share the last one.
const BUCKETS: usize = 32;
/// How long a node is good after its last answer, in run time (BEP 5).
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// The routing table of one visitor.
#[derive(Clone, Debug)]
pub(super) struct Table {
    own: Id,
    nodes: Vec<Entry>,
}

/// A node of a table.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Leading bits that its id shares with the own one.
    bucket: u32,
    node: Node,
    /// When it last answered.
    seen: Tick,
}

impl Table {
    /// The table of a client that has just been installed.
    pub(super) const fn fresh(own: Id) -> Self {
        Self { own, nodes: Vec::new() }
    }

    /// A node answered: it is taken in if its bucket has room, or holds one that is not good any more.
    pub(super) fn add(&mut self, node: Node, now: Tick) {
        let entry = Entry { bucket: shared_bits(&self.own, &node.id), node, seen: now };
        let (mut full, mut stale) = (0, None);
        for (at, other) in self.nodes.iter_mut().enumerate() {
            if other.node.address == node.address {
                *other = entry;
                return;
            }
            if other.bucket == entry.bucket {
                full += 1;
                stale = stale.or_else(|| (!is_good(other.seen, now)).then_some(at));
            }
        }
        if full < K && self.nodes.len() < MAX_NODES {
            self.nodes.push(entry);
        } else if let Some(stale) = stale.and_then(|at| self.nodes.get_mut(at)) {
            *stale = entry;
        }
    }

    /// A node did not answer.
    pub(super) fn remove(&mut self, address: SocketAddr) {
        self.nodes.retain(|entry| entry.node.address != address);
    }

    /// The good nodes closest to a key.
    pub(super) fn closest(&self, key: &Id, count: usize, now: Tick) -> Vec<Node> {
        let good = self.nodes.iter().filter(|entry| is_good(entry.seen, now));
        nearest(good.map(|entry| entry.node).collect(), key, count)
    }
}

/// The nodes that a worker has found good.
#[derive(Debug, Default)]
pub(super) struct Acquaintances {
    // Few, and in networks that are authorised: nobody gains by making them collide.
    nodes: FxHashMap<SocketAddr, (Id, Tick)>,
}

impl Acquaintances {
    pub(super) fn add(&mut self, node: Node, now: Tick) {
        if self.nodes.len() >= MAX_ACQUAINTANCES && !self.nodes.contains_key(&node.address) {
            self.nodes.retain(|_, (_, seen)| is_good(*seen, now));
            if self.nodes.len() >= MAX_ACQUAINTANCES {
                return;
            }
        }
        self.nodes.insert(node.address, (node.id, now));
    }

    pub(super) fn remove(&mut self, address: SocketAddr) {
        self.nodes.remove(&address);
    }

    /// The good nodes closest to a key.
    pub(super) fn closest(&self, key: &Id, count: usize, now: Tick) -> Vec<Node> {
        let good = self.nodes.iter().filter(|(_, (_, seen))| is_good(*seen, now));
        nearest(good.map(|(&address, &(id, _))| Node { id, address }).collect(), key, count)
    }

    /// The table of a visitor who has long been in the DHT: the same for the same seed and acquaintances. Every one of them is looked at
    /// for every visitor that comes; only those that stand first in their bucket are put in order.
    pub(super) fn table(&self, own: Id, seed: u64, now: Tick) -> Table {
        let mut first: [SmallVec<[(u64, &SocketAddr); K]>; BUCKETS] =
            std::array::from_fn(|_| SmallVec::new());
        for (address, (id, seen)) in &self.nodes {
            if !is_good(*seen, now) {
                continue;
            }
            let rank = rank(seed, id);
            let first = &mut first[(shared_bits(&own, id) as usize).min(BUCKETS - 1)];
            // As nearly all of them.
            if first.len() == K && first.last().is_some_and(|(last, _)| *last < rank) {
                continue;
            }
            let at = first.partition_point(|other| *other < (rank, address));
            if at < K {
                first.truncate(K - 1);
                first.insert(at, (rank, address));
            }
        }
        let mut ranked: Vec<(u64, &SocketAddr)> = first.into_iter().flatten().collect();
        ranked.sort_unstable();
        let entry = |(_, &address): (u64, &SocketAddr)| {
            let &(id, seen) = self.nodes.get(&address)?;
            Some(Entry { bucket: shared_bits(&own, &id), node: Node { id, address }, seen })
        };
        Table { own, nodes: ranked.into_iter().take(MAX_NODES).filter_map(entry).collect() }
    }
}

fn nearest(mut nodes: Vec<Node>, key: &Id, count: usize) -> Vec<Node> {
    if count < nodes.len() {
        nodes.select_nth_unstable_by_key(count, |node| distance(key, &node.id));
        nodes.truncate(count);
    }
    nodes.sort_unstable_by_key(|node| distance(key, &node.id));
    nodes
}

fn is_good(seen: Tick, now: Tick) -> bool {
    now.since(seen) < GOOD_FOR
}

/// The place of a node in the order of the visitor with this seed.
fn rank(seed: u64, id: &Id) -> u64 {
    let tail = id.last_chunk().copied().map_or(0, u64::from_be_bytes);
    SplitMix64::seed_from_u64(seed ^ tail).next_u64()
}

fn shared_bits(a: &Id, b: &Id) -> u32 {
    let head = |id: &Id| id.first_chunk().copied().map_or(0, u64::from_be_bytes);
    let shared = (head(a) ^ head(b)).leading_zeros();
    if shared < u64::BITS {
        return shared;
    }
    let apart = distance(a, b);
    let whole = apart.iter().take_while(|byte| **byte == 0).count();
    8 * whole as u32 + apart.get(whole).map_or(0, |byte| byte.leading_zeros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Id = [0; 20];
    const NOW: Tick = Tick(1);

    fn node(first: u8, n: u16) -> Node {
        let mut id = [first; 20];
        id[18..].copy_from_slice(&n.to_be_bytes());
        Node { id, address: ([127, 0, 0, 1], n).into() }
    }

    #[test]
    fn a_full_bucket_keeps_its_good_nodes() {
        let mut table = Table::fresh(OWN);
        (1..=20).for_each(|n| table.add(node(0x80, n), NOW));
        (21..=24).for_each(|n| table.add(node(0x01, n), NOW));
        let closest = table.closest(&OWN, 40, NOW);
        assert_eq!(
            closest.iter().map(|it| it.address.port()).collect::<Vec<_>>(),
            [21, 22, 23, 24, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let later = NOW + GOOD_FOR;
        assert_eq!(table.closest(&OWN, 40, later), []);
        table.add(node(0x80, 30), later);
        assert_eq!(table.closest(&OWN, 40, later), [node(0x80, 30)], "in the place of a stale one");
        table.remove(node(0x80, 30).address);
        assert_eq!(table.closest(&OWN, 40, later), []);
    }

    #[test]
    fn warm_tables_are_the_visitors_own_and_bounded() {
        let mut known = Acquaintances::default();
        for n in 1..5_000_u16 {
            known.add(
                Node {
                    id: super::super::id::bind([n as u8, (n >> 8) as u8, 3, 4].into(), [n as u8; 20]),
                    ..node(0, n)
                },
                NOW,
            );
        }
        assert_eq!(known.nodes.len(), MAX_ACQUAINTANCES);
        let table = |seed| known.table(OWN, seed, NOW).closest(&OWN, 1_000, NOW);
        assert_eq!(table(1), table(1));
        assert_ne!(table(1), table(2));
        assert!((K..=MAX_NODES).contains(&table(1).len()), "{}", table(1).len());
        known.add(node(0, 9_999), NOW + GOOD_FOR);
        assert_eq!(known.nodes.len(), 1, "room is made by those that are not good any more");
    }

    proptest! {
        #[test]
        fn no_bucket_holds_more_than_k(ids in prop::collection::vec(any::<Id>(), 0..300)) {
            let mut table = Table::fresh(OWN);
            for (n, id) in ids.into_iter().enumerate() {
                table.add(Node { id, address: ([127, 0, 0, 1], n as u16 + 1).into() }, NOW);
            }
            prop_assert!(table.nodes.len() <= MAX_NODES);
            for bucket in 0..160 {
                prop_assert!(table.nodes.iter().filter(|it| it.bucket == bucket).count() <= K);
            }
        }

        /// The same as if all acquaintances were added in the visitor's order.
        #[test]
        fn a_warm_table_holds_those_that_come_first(ids in prop::collection::vec(any::<Id>(), 0..300), own: Id, seed: u64) {
            let nodes = ids.into_iter().zip(1..).map(|(id, n)| Node { id, address: ([127, 0, 0, 1], n).into() });
            let mut ranked: Vec<(u64, Node)> = nodes.map(|node| (rank(seed, &node.id), node)).collect();
            let mut known = Acquaintances::default();
            ranked.iter().for_each(|(_, node)| known.add(*node, NOW));
            ranked.sort_unstable_by_key(|(rank, node)| (*rank, node.address));
            let mut table = Table::fresh(own);
            ranked.into_iter().for_each(|(_, node)| table.add(node, NOW));
            let nodes = |table: Table| table.nodes.into_iter().map(|entry| entry.node).collect::<Vec<_>>();
            prop_assert_eq!(nodes(known.table(own, seed, NOW)), nodes(table));
        }
    }
}

//! Peers that others announced to a worker's nodes (BEP 5): bounded in number and age.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::super::krpc::Id;
use crate::journey::Peer;
use crate::unit::Tick;

/// Peers of one swarm that one node remembers, and names in an answer: with the nodes beside them, a datagram that no link splits.
const MAX_PEERS: usize = 32;
/// Peers that all nodes of a worker remember together, the latest ones: some 5 MB.
const MAX_ANNOUNCED: usize = 16_384;
/// How long an announced peer is named (libtorrent's half an hour): in run time, as nodes of the target count it, while the peer is there.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// A peer of a swarm, as the node at a local address was told of it.
type Entry = (IpAddr, Id, Peer);

/// Stands before all peers.
const FIRST: Peer = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

/// The peers that nodes were told of, by node.
#[derive(Debug)]
pub(super) struct Announced {
    /// Until when each is named.
    until: BTreeMap<Entry, Tick>,
    by_end: BTreeSet<(Tick, Entry)>,
    by_peer: BTreeSet<(Peer, IpAddr, Id)>,
    afterlife: Duration,
}

impl Announced {
    /// None yet. A peer that is known to have left is named for half an hour of the scenario's clock, which is `speed` times as fast: a peer
    /// of minutes would otherwise be named for days after it.
    pub(super) fn new(speed: f64) -> Self {
        let afterlife = LIFE.div_f64(speed.max(1.0));
        Self { until: BTreeMap::new(), by_end: BTreeSet::new(), by_peer: BTreeSet::new(), afterlife }
    }

    /// The node at `local` was told of a peer.
    pub(super) fn put(&mut self, local: IpAddr, info_hash: Id, peer: Peer, now: Tick) {
        let entry = (local, info_hash, peer);
        self.remove(&entry);
        let swarm: Vec<(Tick, Entry)> =
            self.swarm(local, info_hash).map(|(entry, until)| (*until, *entry)).collect();
        if swarm.len() >= MAX_PEERS
            && let Some((_, first)) = swarm.into_iter().min()
        {
            self.remove(&first);
        }
        self.insert(entry, now + LIFE);
        while let Some(&(until, first)) = self.by_end.first()
            && (self.until.len() > MAX_ANNOUNCED || until <= now)
        {
            self.remove(&first);
        }
    }

    /// A peer has left its swarms.
    pub(super) fn left(&mut self, peer: Peer, now: Tick) {
        let places = self.by_peer.range((peer, Ipv4Addr::UNSPECIFIED.into(), [0; 20])..);
        let places: Vec<_> = places.take_while(|(of, ..)| *of == peer).copied().collect();
        for (_, local, info_hash) in places {
            let entry = (local, info_hash, peer);
            if let Some(until) = self.remove(&entry) {
                self.insert(entry, until.min(now + self.afterlife));
            }
        }
    }

    /// The peers of a swarm that the node at `local` names.
    pub(super) fn peers(&self, local: IpAddr, info_hash: Id, now: Tick) -> Vec<Peer> {
        let fresh = self.swarm(local, info_hash).filter(|(_, until)| now < **until);
        fresh.map(|((.., peer), _)| *peer).collect()
    }

    /// The info-hashes of which the node at `local` knows peers.
    pub(super) fn info_hashes(&self, local: IpAddr, now: Tick) -> Vec<Id> {
        let of_node = self.until.range((local, [0; 20], FIRST)..).take_while(|((of, ..), _)| *of == local);
        let fresh = of_node.filter(|(_, until)| now < **until);
        let mut hashes: Vec<Id> = fresh.map(|((_, info_hash, _), _)| *info_hash).collect();
        hashes.dedup();
        hashes
    }

    fn swarm(&self, local: IpAddr, info_hash: Id) -> impl Iterator<Item = (&Entry, &Tick)> {
        let from = self.until.range((local, info_hash, FIRST)..);
        from.take_while(move |((of, hash, _), _)| (*of, *hash) == (local, info_hash))
    }

    fn insert(&mut self, entry: Entry, until: Tick) {
        let (local, info_hash, peer) = entry;
        self.until.insert(entry, until);
        self.by_end.insert((until, entry));
        self.by_peer.insert((peer, local, info_hash));
    }

    fn remove(&mut self, entry: &Entry) -> Option<Tick> {
        let until = self.until.remove(entry)?;
        let (local, info_hash, peer) = *entry;
        self.by_end.remove(&(until, *entry));
        self.by_peer.remove(&(peer, local, info_hash));
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn peer(n: u16) -> Peer {
        ([127, 0, 0, 2], n).into()
    }

    #[test]
    fn peers_live_for_half_an_hour_after_their_last_announce() {
        let mut announced = Announced::new(1.0);
        let at = |minutes: u64| Tick(0) + Duration::from_secs(60 * minutes);
        announced.put(LOCAL, [1; 20], peer(1), at(0));
        announced.put(LOCAL, [1; 20], peer(2), at(0));
        announced.put(LOCAL, [1; 20], peer(1), at(20));
        assert_eq!(announced.peers(LOCAL, [1; 20], at(29)), [peer(1), peer(2)]);
        assert_eq!(announced.peers(LOCAL, [1; 20], at(30)), [peer(1)]);
        assert_eq!(announced.info_hashes(LOCAL, at(49)), [[1; 20]]);
        assert!(announced.info_hashes(LOCAL, at(50)).is_empty());
        announced.put(LOCAL, [2; 20], peer(3), at(50));
        assert_eq!((announced.until.len(), announced.by_end.len()), (1, 1), "what is over is forgotten");
    }

    #[test]
    fn peers_that_have_left_are_named_for_half_an_hour_of_the_scenario() {
        let mut announced = Announced::new(1_800.0);
        let at = |millis: u64| Tick::from_millis(millis);
        let other: IpAddr = "127.0.0.9".parse().unwrap();
        for (local, n) in [(LOCAL, 1), (LOCAL, 2), (other, 1)] {
            announced.put(local, [1; 20], peer(n), at(0));
        }
        announced.left(peer(1), at(500));
        announced.left(peer(3), at(500));
        assert_eq!(announced.peers(LOCAL, [1; 20], at(1_499)), [peer(1), peer(2)]);
        assert_eq!(announced.peers(LOCAL, [1; 20], at(1_500)), [peer(2)]);
        assert!(announced.peers(other, [1; 20], at(1_500)).is_empty());
        // It comes back.
        announced.put(LOCAL, [1; 20], peer(1), at(2_000));
        assert_eq!(announced.peers(LOCAL, [1; 20], at(60_000)), [peer(1), peer(2)]);
        assert_eq!((announced.until.len(), announced.by_end.len(), announced.by_peer.len()), (2, 2, 2));
    }

    #[test]
    fn nodes_and_swarms_are_kept_apart() {
        let mut announced = Announced::new(1.0);
        let other: IpAddr = "127.0.0.9".parse().unwrap();
        announced.put(LOCAL, [1; 20], peer(1), Tick(1));
        announced.put(LOCAL, [2; 20], peer(2), Tick(1));
        announced.put(other, [1; 20], peer(3), Tick(1));
        assert_eq!(announced.peers(LOCAL, [1; 20], Tick(2)), [peer(1)]);
        assert_eq!(announced.peers(other, [1; 20], Tick(2)), [peer(3)]);
        assert_eq!(announced.info_hashes(LOCAL, Tick(2)), [[1; 20], [2; 20]]);
        assert_eq!(announced.info_hashes(other, Tick(2)), [[1; 20]]);
        assert!(announced.peers(other, [2; 20], Tick(2)).is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let mut announced = Announced::new(1.0);
        for n in 1..=100_u16 {
            announced.put(LOCAL, [1; 20], peer(n), Tick(u64::from(n)));
        }
        let left = announced.peers(LOCAL, [1; 20], Tick(200));
        assert_eq!((left.len(), left[0], left[31]), (MAX_PEERS, peer(69), peer(100)));
        for n in 0..20_000_u64 {
            let mut info_hash = [9; 20];
            info_hash[..8].copy_from_slice(&n.to_be_bytes());
            announced.put(LOCAL, info_hash, peer(7), Tick(1_000 + n));
        }
        assert_eq!((announced.until.len(), announced.by_end.len()), (MAX_ANNOUNCED, MAX_ANNOUNCED));
        assert!(announced.peers(LOCAL, [1; 20], Tick(30_000)).is_empty());
    }
}

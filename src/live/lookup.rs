//! An iterative lookup as a pure state machine (BEP 5; parallelism and width are the client's): whom to ask next, and when it is over.

use std::net::SocketAddr;

use rustc_hash::FxHashSet;

use super::krpc::{Id, Node};

/// How a client looks up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Breadth {
    /// Queries under way at a time.
    pub(super) alpha: usize,
    /// Closest nodes that have to answer.
    pub(super) width: usize,
}

/// Nodes remembered in one lookup, nearest first (libtorrent keeps 100).
const MAX_CANDIDATES: usize = 100;
/// Queries of one lookup, whatever the nodes answer.
const MAX_QUERIES: usize = 100;

/// One lookup.
#[derive(Debug)]
pub(super) struct Lookup {
    key: Id,
    breadth: Breadth,
    /// Nearest first; nodes whose id is not known yet are last.
    candidates: Vec<Candidate>,
    // As many as MAX_QUERIES answers name: too few for who would make them collide.
    known: FxHashSet<SocketAddr>,
    queries: usize,
}

#[derive(Debug)]
struct Candidate {
    distance: Id,
    id: Option<Id>,
    address: SocketAddr,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Fresh,
    Asked,
    /// Asked, and past the short time-out: others are asked in its stead, though it may still answer.
    Slow,
    Answered {
        token: Option<Vec<u8>>,
    },
    Failed,
}

impl Lookup {
    /// A lookup of `key` that begins at `nodes` and at `bootstrap`, whose ids are not known.
    pub(super) fn new(
        key: Id,
        breadth: Breadth,
        nodes: impl IntoIterator<Item = Node>,
        bootstrap: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let mut lookup =
            Self { key, breadth, candidates: Vec::new(), known: FxHashSet::default(), queries: 0 };
        lookup.offer(nodes);
        for address in bootstrap {
            lookup.add(None, address);
        }
        lookup
    }

    /// The next node to ask now; counts it as asked.
    pub(super) fn next_query(&mut self) -> Option<SocketAddr> {
        let under_way = self.candidates.iter().filter(|it| it.state == State::Asked).count();
        if under_way >= self.breadth.alpha || self.queries >= MAX_QUERIES {
            return None;
        }
        let next =
            self.closest().find(|&at| self.candidates.get(at).is_some_and(|it| it.state == State::Fresh))?;
        let candidate = self.candidates.get_mut(next)?;
        candidate.state = State::Asked;
        self.queries += 1;
        Some(candidate.address)
    }

    /// The id under which a node was named, where it was.
    pub(super) fn known_id(&self, address: SocketAddr) -> Option<Id> {
        self.candidates.iter().find(|it| it.address == address)?.id
    }

    /// A node answered: `id` is what it calls itself.
    pub(super) fn answered(&mut self, address: SocketAddr, id: Id, token: Option<Vec<u8>>) {
        let Some(at) = self.candidates.iter().position(|it| it.address == address) else { return };
        let mut candidate = self.candidates.remove(at);
        candidate.state = State::Answered { token };
        candidate.id = Some(id);
        candidate.distance = distance(&self.key, &id);
        self.insert(candidate);
    }

    /// Adds nodes that an answer named.
    pub(super) fn offer(&mut self, nodes: impl IntoIterator<Item = Node>) {
        for node in nodes {
            self.add(Some(node.id), node.address);
        }
    }

    /// A node let the short time-out pass.
    pub(super) fn slow(&mut self, address: SocketAddr) {
        self.set(address, State::Slow);
    }

    /// A node refused, broke the protocol or let the long time-out pass.
    pub(super) fn failed(&mut self, address: SocketAddr) {
        self.set(address, State::Failed);
    }

    /// Whether the closest nodes have all answered, or nobody is left to ask.
    pub(super) fn is_over(&self) -> bool {
        let mut closest = self.closest().filter_map(|at| self.candidates.get(at));
        let all_answered = closest.all(|it| matches!(it.state, State::Answered { .. }));
        let none_under_way = !self.candidates.iter().any(|it| matches!(it.state, State::Asked | State::Slow));
        // Slow nodes are waited for only while not one node has answered.
        let any_answered = self.candidates.iter().any(|it| matches!(it.state, State::Answered { .. }));
        (all_answered && (any_answered || none_under_way)) || (self.queries >= MAX_QUERIES && none_under_way)
    }

    /// The closest nodes that answered with a token, with it: where a peer is to be announced.
    pub(super) fn holders(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let holder = |it: &Candidate| matches!(it.state, State::Answered { token: Some(_) });
        self.candidates.iter().filter(move |it| holder(it)).take(self.breadth.width).filter_map(
            |it| match &it.state {
                State::Answered { token: Some(token) } => Some((it.address, token.as_slice())),
                _ => None,
            },
        )
    }

    /// Places of the closest nodes that count: neither failed nor slow.
    fn closest(&self) -> impl Iterator<Item = usize> {
        let counts = |it: &Candidate| !matches!(it.state, State::Failed | State::Slow);
        self.candidates
            .iter()
            .enumerate()
            .filter(move |(_, it)| counts(it))
            .map(|(at, _)| at)
            .take(self.breadth.width)
    }

    fn add(&mut self, id: Option<Id>, address: SocketAddr) {
        if address.port() == 0 || !self.known.insert(address) {
            return;
        }
        let distance = id.map_or([0xff; 20], |id| distance(&self.key, &id));
        self.insert(Candidate { distance, id, address, state: State::Fresh });
    }

    fn insert(&mut self, candidate: Candidate) {
        let at = self.candidates.partition_point(|it| it.distance <= candidate.distance);
        self.candidates.insert(at, candidate);
        if self.candidates.len() > MAX_CANDIDATES
            && let Some(far) = self.candidates.iter().rposition(|it| it.state == State::Fresh)
        {
            self.candidates.remove(far);
        }
    }

    fn set(&mut self, address: SocketAddr, state: State) {
        let candidate = self.candidates.iter_mut().find(|it| it.address == address);
        if let Some(candidate) = candidate {
            candidate.state = state;
        }
    }
}

/// The XOR distance (BEP 5).
pub(super) fn distance(a: &Id, b: &Id) -> Id {
    std::array::from_fn(|n| a[n] ^ b[n])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const KEY: Id = [0; 20];
    const BREADTH: Breadth = Breadth { alpha: 5, width: 8 };

    fn node(n: u16) -> Node {
        let mut id = [0; 20];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id[19] = 1;
        Node { id, address: ([127, 0, 0, 1], n.max(1)).into() }
    }

    fn address(n: u16) -> SocketAddr {
        node(n).address
    }

    /// Answers every query with the nodes that `know` gives; returns who was asked, in order.
    fn run(mut lookup: Lookup, know: impl Fn(SocketAddr) -> Vec<Node>) -> (Lookup, Vec<u16>) {
        let mut asked = Vec::new();
        while !lookup.is_over() {
            let batch: Vec<SocketAddr> = std::iter::from_fn(|| lookup.next_query()).collect();
            assert!((1..=BREADTH.alpha).contains(&batch.len()));
            for address in batch {
                asked.push(address.port());
                lookup.answered(address, node(address.port()).id, Some(vec![1]));
                lookup.offer(know(address));
            }
        }
        (lookup, asked)
    }

    #[test]
    fn a_lookup_converges_on_the_closest_nodes() {
        let closer =
            |from: SocketAddr| (1..=8).map(|n| node(from.port().saturating_sub(n * 50).max(n))).collect();
        let (lookup, asked) = run(Lookup::new(KEY, BREADTH, [], [address(2000)]), closer);
        let mut holders: Vec<u16> = lookup.holders().map(|(address, _)| address.port()).collect();
        holders.sort_unstable();
        assert_eq!(holders, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert!(asked.len() < 60, "{asked:?}");
    }

    #[test]
    fn slow_nodes_make_room_and_failed_ones_do_not_count() {
        let mut lookup = Lookup::new(KEY, BREADTH, (1..=20).map(node), []);
        let first: Vec<u16> = std::iter::from_fn(|| lookup.next_query()).map(|it| it.port()).collect();
        assert_eq!(first, [1, 2, 3, 4, 5]);
        lookup.slow(address(1));
        lookup.failed(address(2));
        assert_eq!(std::iter::from_fn(|| lookup.next_query()).count(), 2);
        for n in 3..=7 {
            lookup.answered(address(n), node(n).id, Some(vec![]));
        }
        while let Some(next) = lookup.next_query() {
            lookup.answered(next, node(next.port()).id, Some(vec![]));
        }
        assert!(lookup.is_over());
        assert_eq!(lookup.holders().map(|(it, _)| it.port()).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9, 10]);
        lookup.answered(address(1), node(1).id, Some(vec![]));
        assert_eq!(lookup.holders().next().unwrap().0, address(1), "a late answer counts");
    }

    #[test]
    fn nobody_to_ask_is_over_and_silence_alone_is_not() {
        assert!(Lookup::new(KEY, BREADTH, [], []).is_over());
        let mut lookup = Lookup::new(KEY, BREADTH, [], [address(9)]);
        assert!(!lookup.is_over());
        lookup.next_query().unwrap();
        lookup.slow(address(9));
        assert!(!lookup.is_over(), "the only node may still answer");
        lookup.failed(address(9));
        assert!(lookup.is_over());
    }

    proptest! {
        #[test]
        fn every_network_ends_within_bounds(links in prop::collection::vec(any::<u16>(), 1..600), start in any::<u16>()) {
            let know = |from: SocketAddr| {
                let at = usize::from(from.port()) % links.len();
                links.iter().cycle().skip(at).take(8).map(|&n| node(n.max(1))).collect::<Vec<_>>()
            };
            let mut lookup = Lookup::new(KEY, BREADTH, [], [address(start)]);
            let mut asked = HashSet::new();
            for turn in 0.. {
                if lookup.is_over() {
                    break;
                }
                prop_assert!(turn <= MAX_QUERIES);
                while let Some(next) = lookup.next_query() {
                    prop_assert!(asked.insert(next), "asked twice");
                    if next.port() % 3 == 0 {
                        lookup.failed(next);
                    } else {
                        lookup.answered(next, node(next.port()).id, None);
                        lookup.offer(know(next));
                    }
                }
            }
            prop_assert!(asked.len() <= MAX_QUERIES);
            prop_assert!(lookup.candidates.len() <= MAX_CANDIDATES + 1);
        }
    }
}

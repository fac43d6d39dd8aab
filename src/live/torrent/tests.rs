mod fluid;
mod v2;

use rand::SeedableRng;

use super::super::metainfo::info_of;
use super::super::shaper::Bucket;
use super::super::wire::{BLOCK, Span};
use super::*;

/// Three pieces: two of 40,000 bytes (three blocks each) and a short one.
fn content() -> Vec<u8> {
    (0..90_000_u32).map(|n| (n * 7 / 3) as u8).collect()
}

struct Peer {
    torrent: Torrent,
    now: Tick,
    line: Bucket,
}

impl Peer {
    fn new(slots: usize) -> Self {
        let (info, hash) = info_of(&content(), 40_000);
        Self::knowing(Some(Rc::new(Layout::from_info(&info, &hash.into()).unwrap())), Rc::default(), slots)
    }

    fn knowing(layout: Option<Rc<Layout>>, store: Rc<Store>, slots: usize) -> Self {
        let info_hash = info_of(&content(), 40_000).1.into();
        let own = Own { info_hash, client: "test/1".into(), port: Some(1), slots };
        let mut torrent = Torrent::new(own, layout, store, SplitMix64::seed_from_u64(1));
        torrent.want(3);
        Self { torrent, now: Tick::ZERO, line: Bucket::new(1e12, Tick::ZERO) }
    }

    fn join(&mut self, n: u8, fast: bool) -> PeerKey {
        let meeting = Meeting {
            address: SocketAddr::from(([127, 0, 0, n], 1)),
            incoming: false,
            peer_id: [n; 20],
            extended: false,
            fast,
            visitor: false,
        };
        let key = self.torrent.join(meeting, self.now);
        self.sent(key);
        key
    }

    /// What was sent to a peer since this was last asked, after its requests were made.
    fn sent(&mut self, key: PeerKey) -> Vec<Vec<u8>> {
        self.torrent.ask(key, &mut self.line, self.now);
        self.torrent.serve(key, 0, &mut self.line, self.now);
        let (mut out, mut messages) = (Vec::new(), Vec::new());
        self.torrent.take_out(key, &mut out);
        let mut rest = &out[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (body, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            messages.push(body.to_vec());
            rest = after;
        }
        messages
    }

    /// The requests among it.
    fn asked(&mut self, key: PeerKey) -> Vec<Span> {
        self.sent(key).iter().filter(|body| body[0] == 6).map(|body| span(body)).collect()
    }

    fn handle(&mut self, key: PeerKey, message: Message<'_>) -> Result<(), Cause> {
        self.torrent.handle(key, message, self.now)
    }

    fn give(&mut self, key: PeerKey, span: Span) -> Result<(), Cause> {
        let content = content();
        let begin = (span.piece * 40_000 + span.begin) as usize;
        let data = &content[begin..begin + span.length as usize];
        self.handle(key, Message::Block { piece: span.piece, begin: span.begin, data })
    }

    fn unchoked(&mut self, n: u8, bits: &[u8]) -> PeerKey {
        let key = self.join(n, false);
        self.handle(key, Message::Bitfield(bits)).unwrap();
        self.handle(key, Message::Unchoke).unwrap();
        key
    }
}

fn span(body: &[u8]) -> Span {
    let number = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
    Span { piece: number(1), begin: number(5), length: number(9) }
}

#[test]
fn ready_means_unchoked_with_something_to_give() {
    let mut peer = Peer::new(4);
    let key = peer.join(1, false);
    peer.handle(key, Message::Have(1)).unwrap();
    assert_eq!(peer.sent(key), [[2]], "interested");
    peer.handle(key, Message::Have(2)).unwrap();
    assert!(peer.sent(key).is_empty() && !peer.torrent.is_ready() && peer.torrent.is_held_back());
    peer.handle(key, Message::Unchoke).unwrap();
    assert!(peer.torrent.is_ready() && !peer.torrent.is_held_back());
    peer.handle(key, Message::Choke).unwrap();
    assert!(!peer.torrent.is_ready());
}

#[test]
fn everything_is_fetched_in_any_order_and_checked() {
    let mut peer = Peer::new(4);
    let key = peer.unchoked(1, &[0xe0]);
    let asked = peer.asked(key);
    assert_eq!(asked.iter().map(|span| span.length).sum::<u32>(), 90_000);
    for span in asked.into_iter().rev() {
        peer.give(key, span).unwrap();
    }
    assert!(peer.torrent.take_piece() && peer.torrent.take_piece() && peer.torrent.take_piece());
    assert!(!peer.torrent.take_piece() && peer.torrent.is_done() && peer.torrent.is_useless(key));
    assert_eq!(peer.sent(key), [[3]], "not interested any more");
}

#[test]
fn blocks_that_were_not_asked_for_are_malformed() {
    let data = &[0; BLOCK as usize + 1][..];
    for (piece, begin, data) in [
        (0, 0, &data[2..]),
        (0, 0, data),
        (0, 1, &data[1..]),
        (3, 0, &data[1..]),
        (0, 3 * BLOCK, &data[1..]),
        (0, u32::MAX, &data[1..]),
    ] {
        let mut peer = Peer::new(4);
        let key = peer.unchoked(1, &[0xe0]);
        peer.asked(key);
        assert_eq!(
            peer.handle(key, Message::Block { piece, begin, data }),
            Err(Cause::Malformed),
            "{piece} {begin}"
        );
    }
    let mut peer = Peer::new(4);
    let key = peer.unchoked(1, &[0xe0]);
    let span = peer.asked(key)[0];
    peer.give(key, span).unwrap();
    assert_eq!(peer.give(key, span), Err(Cause::Malformed), "twice");
}

#[test]
fn a_choke_frees_requests_for_others_and_late_blocks_are_no_breach() {
    let mut peer = Peer::new(4);
    let slow = peer.unchoked(1, &[0xe0]);
    let asked = peer.asked(slow);
    peer.handle(slow, Message::Choke).unwrap();
    let other = peer.unchoked(2, &[0xe0]);
    assert_eq!(peer.asked(other).len(), asked.len());
    peer.give(slow, asked[0]).unwrap();
    // With the Fast extension every refusal has a name, and a refusal of nothing is a breach.
    let mut peer = Peer::new(4);
    let fast = peer.join(1, true);
    peer.handle(fast, Message::HaveAll).unwrap();
    peer.handle(fast, Message::Unchoke).unwrap();
    let asked = peer.asked(fast);
    peer.handle(fast, Message::Choke).unwrap();
    peer.give(fast, asked[0]).unwrap();
    peer.handle(fast, Message::Reject(asked[1])).unwrap();
    assert_eq!(peer.handle(fast, Message::Reject(asked[1])), Err(Cause::Malformed));
}

#[test]
fn the_rarest_piece_goes_first_once_there_is_something_to_give() {
    // Ten pieces of one block.
    let content = vec![5; 10 * BLOCK as usize];
    let (info, info_hash) = info_of(&content, BLOCK as usize);
    let own = Own { info_hash: info_hash.into(), client: "x".into(), port: None, slots: 4 };
    let layout = Rc::new(Layout::from_info(&info, &info_hash.into()).unwrap());
    let mut torrent = Torrent::new(own, Some(layout), Rc::default(), SplitMix64::seed_from_u64(1));
    torrent.want(10);
    let mut peer = Peer { torrent, now: Tick::ZERO, line: Bucket::new(1e12, Tick::ZERO) };
    // Pieces 4 to 9 are with both, 0 to 3 with the first alone.
    let (both, one) = (peer.join(1, false), peer.join(2, false));
    peer.handle(one, Message::Bitfield(&[0xff, 0xc0])).unwrap();
    peer.handle(both, Message::Bitfield(&[0x0f, 0xc0])).unwrap();
    peer.handle(both, Message::Unchoke).unwrap();
    for span in peer.asked(both).into_iter().take(4) {
        let data = &content[..span.length as usize];
        peer.handle(both, Message::Block { piece: span.piece, begin: 0, data }).unwrap();
    }
    peer.handle(both, Message::Choke).unwrap();
    peer.handle(one, Message::Unchoke).unwrap();
    let mut order: Vec<u32> = peer.asked(one).iter().map(|span| span.piece).collect();
    assert_eq!(order.len(), 6);
    // Behind the two that were begun.
    order[2..].sort_unstable();
    assert_eq!(order[2..], [0, 1, 2, 3]);
}

#[test]
fn the_last_blocks_are_asked_of_two_and_cancelled() {
    let mut peer = Peer::new(4);
    let slow = peer.unchoked(1, &[0xe0]);
    let asked = peer.asked(slow);
    let quick = peer.unchoked(2, &[0xe0]);
    assert_eq!(peer.asked(quick), [asked[0]], "everything is under way already: one at a time");
    let third = peer.unchoked(3, &[0xe0]);
    assert_eq!(peer.asked(third), [asked[1]], "and twice is enough");
    peer.give(quick, asked[0]).unwrap();
    let cancel = peer.sent(slow).into_iter().find(|body| body[0] == 8).unwrap();
    assert_eq!(span(&cancel), asked[0]);
    peer.give(slow, asked[0]).unwrap();
    assert_eq!(peer.torrent.tally().wasted, u64::from(asked[0].length));
}

#[test]
fn who_gives_wrong_bytes_is_found() {
    // Alone: at once.
    let mut peer = Peer::new(4);
    let liar = peer.unchoked(1, &[0xe0]);
    let asked = peer.asked(liar);
    let wrong = |span: Span| Message::Block {
        piece: span.piece,
        begin: span.begin,
        data: &[9; 40_000][..span.length as usize],
    };
    let first = asked[0].piece;
    let mut results = Vec::new();
    for span in asked.iter().filter(|span| span.piece == first) {
        results.push(peer.handle(liar, wrong(*span)));
    }
    assert_eq!(results.pop(), Some(Err(Cause::Incorrect)));
    // Together: the piece is fetched again from one alone, which is acquitted; the other is told apart when it has one alone.
    let mut peer = Peer::new(4);
    let (liar, good) = (peer.unchoked(1, &[0xe0]), peer.unchoked(2, &[0xe0]));
    let asked = peer.asked(liar);
    peer.asked(good);
    let piece: Vec<Span> = asked.iter().filter(|span| span.piece == asked[0].piece).copied().collect();
    peer.handle(liar, wrong(piece[0])).unwrap();
    for span in &piece[1..] {
        assert_eq!(peer.asked(good), [*span]);
        peer.give(good, *span).unwrap();
    }
    assert_eq!(peer.torrent.tally().wrong_pieces, 1);
    let again = peer.asked(good);
    assert_eq!(again.iter().filter(|span| span.piece == piece[0].piece).count(), piece.len());
    assert!(peer.asked(liar).iter().all(|span| span.piece != piece[0].piece), "from one alone");
    // What is known to be right is compared block by block.
    let mut other = Peer::knowing(peer.torrent.layout().cloned(), Rc::clone(&peer.torrent.store), 4);
    for span in again.into_iter().filter(|span| span.piece == piece[0].piece) {
        peer.give(good, span).unwrap();
    }
    assert!(peer.torrent.take_piece());
    let liar = other.unchoked(1, &[0xe0]);
    let asked = other.asked(liar);
    let known = *asked.iter().find(|span| span.piece == piece[0].piece).unwrap();
    assert_eq!(other.handle(liar, wrong(known)), Err(Cause::Incorrect));
}

/// A peer with everything.
fn seed(slots: usize) -> Peer {
    let mut peer = Peer::new(slots);
    let key = peer.unchoked(200, &[0xe0]);
    for span in peer.asked(key) {
        peer.give(key, span).unwrap();
    }
    peer.torrent.leave(key, peer.now);
    peer
}

#[test]
fn slots_are_given_at_once_and_change_by_rounds() {
    let mut seed = seed(2);
    let keys: Vec<PeerKey> = (1..=5).map(|n| seed.join(n, true)).collect();
    for key in &keys {
        seed.handle(*key, Message::Interested).unwrap();
    }
    let open = |seed: &mut Peer| {
        let of = |key: &PeerKey| seed.torrent.remotes.get(key).is_some_and(|remote| !remote.choked);
        keys.iter().copied().filter(|key| of(key)).collect::<Vec<_>>()
    };
    assert_eq!(open(&mut seed).len(), 3, "two, and the optimistic one");
    let mut served = std::collections::BTreeSet::new();
    for round in 1..=12 {
        for key in open(&mut seed) {
            seed.handle(key, Message::Request(Span { piece: 0, begin: 0, length: BLOCK })).unwrap();
            let block = seed.sent(key).into_iter().find(|body| body[0] == 7).unwrap();
            assert_eq!(block[9..], content()[..BLOCK as usize]);
            served.insert(key);
        }
        seed.now = Tick::from_millis(round * 10_000);
        let due = seed.torrent.turn(keys[0], seed.now).unwrap();
        assert_eq!(due, Some(seed.now + Duration::from_secs(10)));
        assert_eq!(open(&mut seed).len(), 3);
    }
    assert_eq!(served.len(), 5, "each has its turn");
    // A slot that is given up goes to the next at once.
    let before = open(&mut seed);
    seed.torrent.leave(before[0], seed.now);
    assert_eq!(open(&mut seed).len(), 3);
}

#[test]
fn requests_that_nobody_may_make_are_refused() {
    let whole = Span { piece: 0, begin: 0, length: BLOCK };
    let mut empty = Peer::new(4);
    let key = empty.join(1, true);
    empty.handle(key, Message::Request(whole)).unwrap();
    assert_eq!(empty.sent(key)[0][0], 16, "refused by name");
    let mut seed = seed(4);
    let key = seed.join(2, false);
    seed.handle(key, Message::Request(whole)).unwrap();
    assert!(seed.sent(key).is_empty(), "choked");
    let key = seed.join(1, true);
    seed.handle(key, Message::Request(whole)).unwrap();
    assert_eq!(seed.sent(key)[0][0], 7, "three pieces are all allowed fast");
    seed.handle(key, Message::Interested).unwrap();
    seed.sent(key);
    seed.handle(key, Message::Request(whole)).unwrap();
    seed.handle(key, Message::Cancel(whole)).unwrap();
    assert!(seed.sent(key).iter().all(|body| body[0] == 16), "cancelled");
    for span in [
        Span { piece: 9, ..whole },
        Span { begin: 39_999, ..whole },
        Span { begin: u32::MAX, ..whole },
        Span { length: 0, ..whole },
        Span { length: 1 << 20, ..whole },
    ] {
        assert_eq!(seed.handle(key, Message::Request(span)), Err(Cause::Malformed), "{span:?}");
    }
}

#[test]
fn whoever_is_silent_for_twenty_seconds_is_snubbed() {
    let mut peer = Peer::new(4);
    let silent = peer.unchoked(1, &[0xe0]);
    let asked = peer.asked(silent);
    let due = peer.torrent.turn(silent, peer.now).unwrap().unwrap();
    assert_eq!(due, Tick::from_millis(20_000));
    peer.now = due;
    peer.torrent.turn(silent, peer.now).unwrap();
    assert_eq!(peer.torrent.tally().snubs, 1);
    let other = peer.unchoked(2, &[0xe0]);
    assert_eq!(peer.asked(other).len(), asked.len());
    peer.give(silent, asked[0]).unwrap();
}

//! Which block to ask a peer for: rarest piece first (BEP 3), pieces that are begun before new ones, and in the end the last blocks from
//! several peers at once.

use std::collections::BTreeMap;
use std::rc::Rc;

use rand::RngExt;
use rand_xoshiro::SplitMix64;

use super::super::metainfo::Layout;
use super::super::wire::{BLOCK, Span};
use super::bits::Bits;
use super::proof::Proof;
use super::store::Store;

/// Pieces that are picked at random before rarity counts: whoever has nothing needs something to give soon (libtorrent's
/// `initial_picker_threshold`).
const RANDOM_FIRST: u32 = 4;
/// Peers that are asked for the same block in the end.
const END_GAME: u8 = 2;

/// A peer, by the number of its connection.
pub(in super::super) type PeerKey = u32;

/// What a block did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was there already.
    Again,
    /// More are to come.
    Stored,
    /// The piece is whole and its hash right.
    Whole,
    /// The bytes are wrong. These peers gave the piece; where it is only one, it is its fault.
    Wrong(Vec<PeerKey>),
}

/// The pieces of a download.
#[derive(Debug)]
pub(super) struct Picker {
    layout: Rc<Layout>,
    info_hash: [u8; 20],
    /// Peers that have each piece.
    copies: Vec<u16>,
    have: Bits,
    begun: Vec<Begun>,
    /// Those that are begun.
    started: Bits,
    /// Pieces that are fetched in all.
    wanted: u32,
    random: SplitMix64,
    store: Rc<Store>,
}

#[derive(Debug)]
struct Begun {
    index: u32,
    length: u32,
    blocks: Vec<Slot>,
    content: Content,
    /// Who gave blocks of it.
    givers: Vec<PeerKey>,
    /// After a wrong hash only one peer is asked, so that it is known whose fault it is.
    alone: Option<Option<PeerKey>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Free,
    /// Asked of so many peers.
    Asked(u8),
    Here,
}

/// Bytes on their way to a check.
#[derive(Debug)]
enum Content {
    /// They are known: each block is compared as it comes.
    Known(Rc<[u8]>),
    /// They are kept for others.
    Kept(Vec<u8>),
    /// They are hashed as they come, so that the piece is never held whole; blocks out of order wait.
    Hashed { proof: Box<Proof>, next: u32, early: BTreeMap<u32, Vec<u8>> },
}

impl Picker {
    pub(super) fn new(
        layout: Rc<Layout>,
        info_hash: [u8; 20],
        wanted: u32,
        store: Rc<Store>,
        random: SplitMix64,
    ) -> Self {
        let pieces = layout.pieces();
        Self {
            copies: vec![0; pieces as usize],
            have: Bits::none(pieces),
            begun: Vec::new(),
            started: Bits::none(pieces),
            wanted: wanted.min(pieces),
            layout,
            info_hash,
            random,
            store,
        }
    }

    /// Fetches this many pieces in all.
    pub(super) fn want(&mut self, pieces: u32) {
        self.wanted = pieces.min(self.layout.pieces());
    }

    /// Has a piece that nobody gave.
    #[cfg(test)]
    pub(super) fn add_for_test(&mut self, piece: u32) {
        self.have.add(piece);
    }

    pub(super) fn have(&self) -> &Bits {
        &self.have
    }

    /// Whether all is there that was wanted; not before something was.
    pub(super) fn is_done(&self) -> bool {
        self.wanted > 0 && self.have.count() >= self.wanted
    }

    /// Whether `theirs` has something that is wanted.
    pub(super) fn wants_of(&self, theirs: &Bits) -> bool {
        self.have.count() < self.wanted && theirs.offers(&self.have)
    }

    /// Peers that have this piece.
    pub(super) fn copies(&self, piece: u32) -> u16 {
        self.copies.get(piece as usize).copied().unwrap_or(0)
    }

    pub(super) fn gained(&mut self, piece: u32) {
        if let Some(copies) = self.copies.get_mut(piece as usize) {
            *copies = copies.saturating_add(1);
        }
    }

    pub(super) fn lost(&mut self, theirs: &Bits) {
        for piece in theirs.iter() {
            if let Some(copies) = self.copies.get_mut(piece as usize) {
                *copies = copies.saturating_sub(1);
            }
        }
    }

    /// The next block to ask this peer for, of those that it `has`. In the end game, what others were asked for is asked of those alone who
    /// owe nothing, one block at a time (libtorrent's `request_a_block`): more would come twice, or be on its way still when all is there.
    pub(super) fn pick(&mut self, peer: PeerKey, theirs: &Bits, owes: bool) -> Option<Span> {
        if let Some(span) = self.pick_begun(peer, theirs) {
            return Some(span);
        }
        if let Some(index) = self.pick_new(theirs) {
            self.begin(index)?;
            return self.pick_begun(peer, theirs);
        }
        if owes { None } else { self.pick_again(theirs) }
    }

    fn pick_begun(&mut self, peer: PeerKey, theirs: &Bits) -> Option<Span> {
        for piece in &mut self.begun {
            if !theirs.has(piece.index) || piece.alone.is_some_and(|one| one.is_some_and(|one| one != peer)) {
                continue;
            }
            if let Some(block) = piece.blocks.iter().position(|slot| *slot == Slot::Free) {
                if let Some(one) = &mut piece.alone {
                    *one = Some(peer);
                }
                piece.blocks[block] = Slot::Asked(1);
                return Some(piece.span(block as u32));
            }
        }
        None
    }

    fn pick_new(&mut self, theirs: &Bits) -> Option<u32> {
        if self.have.count() + self.begun.len() as u32 >= self.wanted {
            return None;
        }
        let random_first = self.have.count() < RANDOM_FIRST;
        let (mut best, mut rarity, mut ties) = (None, u16::MAX, 0_u32);
        for piece in theirs.without([&self.have, &self.started]) {
            let copies = if random_first { 0 } else { self.copies.get(piece as usize).copied().unwrap_or(0) };
            if best.is_none() || copies < rarity {
                (best, rarity, ties) = (Some(piece), copies, 1);
            } else if copies == rarity {
                // Each of n equals is kept with the chance 1/n.
                ties += 1;
                if self.random.random_range(0..ties) == 0 {
                    best = Some(piece);
                }
            }
        }
        best
    }

    fn pick_again(&mut self, theirs: &Bits) -> Option<Span> {
        for piece in self.begun.iter_mut().filter(|piece| theirs.has(piece.index) && piece.alone.is_none()) {
            for block in 0..piece.blocks.len() {
                if let Slot::Asked(times) = piece.blocks[block]
                    && times < END_GAME
                {
                    piece.blocks[block] = Slot::Asked(times + 1);
                    return Some(piece.span(block as u32));
                }
            }
        }
        None
    }

    fn begin(&mut self, index: u32) -> Option<()> {
        let piece = self.layout.piece(index)?;
        let length = piece.length;
        let content = if let Some(known) = self.store.kept(self.info_hash, index) {
            Content::Known(known)
        } else if self.store.wants(self.info_hash, length) {
            Content::Kept(vec![0; length as usize])
        } else {
            Content::Hashed { proof: Box::new(Proof::of(&piece)), next: 0, early: BTreeMap::new() }
        };
        let blocks = vec![Slot::Free; length.div_ceil(BLOCK) as usize];
        self.started.add(index);
        self.begun.push(Begun { index, length, blocks, content, givers: Vec::new(), alone: None });
        Some(())
    }

    /// A request that will not be answered.
    pub(super) fn give_up(&mut self, span: Span) {
        let Some(piece) = self.begun.iter_mut().find(|piece| piece.index == span.piece) else { return };
        if let Some(slot) = piece.blocks.get_mut((span.begin / BLOCK) as usize) {
            match *slot {
                Slot::Asked(0 | 1) => *slot = Slot::Free,
                Slot::Asked(times) => *slot = Slot::Asked(times - 1),
                Slot::Free | Slot::Here => {}
            }
        }
        if piece.blocks.iter().all(|slot| *slot != Slot::Asked(1))
            && let Some(one) = &mut piece.alone
        {
            *one = None;
        }
    }

    /// Takes a block in that was asked for; its length is the span's.
    pub(super) fn take(&mut self, peer: PeerKey, span: Span, data: &[u8]) -> Taken {
        let Some(at) = self.begun.iter().position(|piece| piece.index == span.piece) else {
            return Taken::Again;
        };
        let Some(piece) = self.begun.get_mut(at) else { return Taken::Again };
        let block = span.begin / BLOCK;
        match piece.blocks.get_mut(block as usize) {
            None | Some(Slot::Here) => return Taken::Again,
            Some(slot) => *slot = Slot::Here,
        }
        if !piece.givers.contains(&peer) {
            piece.givers.push(peer);
        }
        if !piece.content.take(span.begin, data) {
            // Only this block is wrong, and it is known whose it is.
            piece.blocks[block as usize] = Slot::Free;
            piece.givers.retain(|giver| *giver != peer);
            return Taken::Wrong(vec![peer]);
        }
        if piece.blocks.iter().any(|slot| *slot != Slot::Here) {
            return Taken::Stored;
        }
        let piece = self.begun.swap_remove(at);
        self.started.remove(piece.index);
        let proof = self.layout.piece(piece.index).map(|piece| Proof::of(&piece));
        match piece.content.check(proof) {
            Some(content) => {
                if let Some(data) = content {
                    self.store.keep(self.info_hash, piece.index, data);
                }
                self.have.add(piece.index);
                Taken::Whole
            }
            None => {
                let givers = piece.givers;
                if self.begin(piece.index).is_some()
                    && let Some(again) = self.begun.last_mut()
                {
                    again.alone = Some(None);
                }
                Taken::Wrong(givers)
            }
        }
    }
}

impl Begun {
    fn span(&self, block: u32) -> Span {
        let begin = block * BLOCK;
        Span { piece: self.index, begin, length: (self.length - begin).min(BLOCK) }
    }
}

impl Content {
    /// Takes bytes in; whether they can be right.
    fn take(&mut self, begin: u32, data: &[u8]) -> bool {
        let range = begin as usize..begin as usize + data.len();
        match self {
            Self::Known(known) => known.get(range) == Some(data),
            Self::Kept(kept) => {
                if let Some(space) = kept.get_mut(range) {
                    space.copy_from_slice(data);
                }
                true
            }
            Self::Hashed { proof, next, early } => {
                if begin != *next {
                    early.insert(begin, data.to_vec());
                    return true;
                }
                proof.add_block(data);
                *next += data.len() as u32;
                while let Some(data) = early.remove(next) {
                    *next += data.len() as u32;
                    proof.add_block(&data);
                }
                true
            }
        }
    }

    /// Whether the whole is right, and what is to be kept of it.
    fn check(self, proof: Option<Proof>) -> Option<Option<Vec<u8>>> {
        match self {
            Self::Known(_) => Some(None),
            Self::Kept(data) => {
                let mut proof = proof?;
                data.chunks(BLOCK as usize).for_each(|block| proof.add_block(block));
                proof.holds().then_some(Some(data))
            }
            Self::Hashed { proof, .. } => proof.holds().then_some(None),
        }
    }
}

//! One peer connection as a pure state machine: messages in, bytes to send out. No socket, no clock.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use crate::journey::Cause;
use crate::profile::InfoHash;

use super::metainfo::{Layout, MAX_METADATA, MAX_PIECES};
use super::wire::{self, BLOCK, Message};

mod layers;
mod proof;

use layers::LayerFetch;
use proof::Proof;

/// What the peer has told, and what is being fetched from it.
#[derive(Debug)]
pub(super) struct Session {
    info_hash: InfoHash,
    layout: Option<Rc<Layout>>,
    choked: bool,
    /// A choke discards requests, and so does a piece that is not wanted any more, but blocks sent before may still come: from then on
    /// unknown blocks are no breach.
    discarded: bool,
    interested: bool,
    bitfield: Vec<u8>,
    metadata: Option<MetadataFetch>,
    layers: Option<LayerFetch>,
    no_metadata: bool,
    /// Requests that may be under way at a time.
    pipeline: u32,
    in_flight: u32,
    /// The piece that is being fetched, then those after it that are begun.
    pieces: VecDeque<PieceFetch>,
    /// Pieces before this one will be wanted.
    until: u32,
}

#[derive(Debug)]
struct MetadataFetch {
    bytes: Vec<u8>,
    missing: Vec<bool>,
}

#[derive(Debug)]
struct PieceFetch {
    index: u32,
    length: u32,
    blocks: Vec<Block>,
    /// Blocks before this one are hashed.
    hashed: u32,
    proof: Proof,
    early: BTreeMap<u32, Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Unasked,
    Asked,
    Here,
}

impl Session {
    /// A session after the handshakes; `layout` where it is known already. `extended`: the peer speaks the extension protocol.
    pub(super) fn new(info_hash: InfoHash, layout: Option<Rc<Layout>>, extended: bool) -> Self {
        Self {
            info_hash,
            layout,
            choked: true,
            discarded: false,
            interested: false,
            bitfield: Vec::new(),
            metadata: None,
            layers: None,
            no_metadata: !extended,
            pipeline: 0,
            in_flight: 0,
            pieces: VecDeque::new(),
            until: 0,
        }
    }

    /// The layout, once known.
    pub(super) fn layout(&self) -> Option<&Rc<Layout>> {
        self.layout.as_ref()
    }

    /// Whether the peer can be asked for pieces.
    pub(super) fn is_ready(&self) -> bool {
        self.layout.is_some() && !self.choked && self.bitfield.iter().any(|&byte| byte != 0)
    }

    /// Whether blocks of a piece are to come.
    pub(super) fn is_fetching(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Whether it is the peer that makes us wait, by choking or by not having what we want.
    pub(super) fn is_held_back(&self) -> bool {
        self.choked || self.pieces.front().is_some_and(|piece| !self.has(piece.index))
    }

    /// # Errors
    /// [`Cause::Rejected`] where the layout can come neither from the peer nor from elsewhere.
    pub(super) fn check_metadata(&self) -> Result<(), Cause> {
        if self.layout.is_none() && self.no_metadata { Err(Cause::Rejected) } else { Ok(()) }
    }

    /// Takes a message in and appends to `out` what it calls for.
    ///
    /// # Errors
    /// [`Cause::Malformed`], [`Cause::Incorrect`] for a bad hash, [`Cause::Rejected`] for refused metadata or hashes.
    pub(super) fn handle(&mut self, message: Message<'_>, out: &mut Vec<u8>) -> Result<(), Cause> {
        match message {
            Message::KeepAlive | Message::Other => Ok(()),
            Message::Choke => {
                self.choke();
                Ok(())
            }
            Message::Unchoke => {
                self.choked = false;
                Ok(())
            }
            Message::Have(piece) => self.have(piece, out),
            Message::Bitfield(bits) => {
                self.bitfield = bits.to_vec();
                self.check_bitfield()?;
                self.show_interest(out);
                Ok(())
            }
            Message::Block { piece, begin, data } => self.block(piece, begin, data),
            Message::Extensions { ut_metadata, metadata_size } => {
                self.extensions(ut_metadata, metadata_size, out)
            }
            Message::MetadataBlock { block, data } => self.metadata_block(block, data, out),
            Message::Hashes { request, hashes } => {
                self.layers.as_mut().ok_or(Cause::Malformed)?.answered(&request, hashes, out)?;
                self.settle()
            }
            Message::MetadataReject | Message::HashReject(_) => {
                self.no_metadata = true;
                self.check_metadata()
            }
        }
    }

    fn choke(&mut self) {
        self.choked = true;
        self.discarded = true;
        self.in_flight = 0;
        let blocks = self.pieces.iter_mut().flat_map(|piece| &mut piece.blocks);
        blocks.filter(|block| **block == Block::Asked).for_each(|block| *block = Block::Unasked);
    }

    fn have(&mut self, piece: u32, out: &mut Vec<u8>) -> Result<(), Cause> {
        let limit = self.layout.as_ref().map_or(MAX_PIECES, |layout| layout.pieces());
        if piece >= limit {
            return Err(Cause::Malformed);
        }
        let byte = piece as usize / 8;
        if self.bitfield.len() <= byte {
            self.bitfield.resize(byte + 1, 0);
        }
        if let Some(bits) = self.bitfield.get_mut(byte) {
            *bits |= 0x80 >> (piece % 8);
        }
        self.show_interest(out);
        Ok(())
    }

    fn has(&self, piece: u32) -> bool {
        self.bitfield.get(piece as usize / 8).is_some_and(|bits| bits & (0x80 >> (piece % 8)) != 0)
    }

    /// A bitfield has one bit for each piece, padded to whole bytes. Grown from `have` messages it may be shorter.
    fn check_bitfield(&self) -> Result<(), Cause> {
        let fits = self
            .layout
            .as_ref()
            .is_none_or(|layout| self.bitfield.len() <= (layout.pieces() as usize).div_ceil(8));
        if fits { Ok(()) } else { Err(Cause::Malformed) }
    }

    fn show_interest(&mut self, out: &mut Vec<u8>) {
        if !self.interested && self.bitfield.iter().any(|&byte| byte != 0) {
            self.interested = true;
            wire::interested(out);
        }
    }

    fn extensions(&mut self, id: u8, size: Option<u64>, out: &mut Vec<u8>) -> Result<(), Cause> {
        if self.layout.is_some() || self.metadata.is_some() || self.layers.is_some() {
            return Ok(());
        }
        let (Some(size), true) = (size.filter(|&size| size > 0), id != 0) else {
            self.no_metadata = true;
            return self.check_metadata();
        };
        let size = usize::try_from(size).ok().filter(|&size| size <= MAX_METADATA).ok_or(Cause::Malformed)?;
        let blocks = size.div_ceil(BLOCK as usize);
        for block in 0..blocks {
            wire::metadata_request(out, id, block as u32);
        }
        self.metadata = Some(MetadataFetch { bytes: vec![0; size], missing: vec![true; blocks] });
        Ok(())
    }

    fn metadata_block(&mut self, block: u32, data: &[u8], out: &mut Vec<u8>) -> Result<(), Cause> {
        if self.layout.is_some() || self.layers.is_some() {
            return Ok(());
        }
        let fetch = self.metadata.as_mut().ok_or(Cause::Malformed)?;
        let missing = fetch.missing.get_mut(block as usize).ok_or(Cause::Malformed)?;
        let begin = block as usize * BLOCK as usize;
        let end = (begin + BLOCK as usize).min(fetch.bytes.len());
        let space = fetch.bytes.get_mut(begin..end).ok_or(Cause::Malformed)?;
        if space.len() != data.len() {
            return Err(Cause::Malformed);
        }
        space.copy_from_slice(data);
        *missing = false;
        if !fetch.missing.contains(&true) {
            let layout = Layout::from_info(&fetch.bytes, &self.info_hash)?;
            self.metadata = None;
            self.layers = Some(LayerFetch::begin(layout, out));
            self.settle()?;
        }
        Ok(())
    }

    /// The layout is known once no layer of hashes is missing from it.
    fn settle(&mut self) -> Result<(), Cause> {
        if let Some(fetched) = self.layers.take_if(|layers| layers.is_done()) {
            self.layout = Some(Rc::new(fetched.layout()));
            self.check_bitfield()?;
        }
        Ok(())
    }

    /// Begins to fetch the first of these pieces, with what is there of it already; the others will be wanted after it, in order.
    /// `pipeline`: requests that may be under way at a time.
    ///
    /// # Errors
    /// [`Cause::Local`] where the torrent has no such piece.
    pub(super) fn fetch(&mut self, pieces: Range<u32>, pipeline: u32) -> Result<(), Cause> {
        self.pipeline = pipeline;
        self.until = pieces.end;
        if self.pieces.front().is_some_and(|begun| begun.index == pieces.start) {
            return Ok(());
        }
        self.discarded |= self.in_flight > 0;
        self.in_flight = 0;
        self.pieces.clear();
        self.pieces.push_back(self.begin(pieces.start)?);
        Ok(())
    }

    fn begin(&self, index: u32) -> Result<PieceFetch, Cause> {
        let piece = self.layout.as_ref().and_then(|layout| layout.piece(index)).ok_or(Cause::Local)?;
        let length = piece.length;
        Ok(PieceFetch {
            index,
            length,
            blocks: vec![Block::Unasked; length.div_ceil(BLOCK) as usize],
            hashed: 0,
            proof: Proof::of(&piece),
            early: BTreeMap::new(),
        })
    }

    /// Bytes of the block that should be asked for next, where one should. Begins the piece after those begun when its turn comes.
    pub(super) fn wanted(&mut self) -> Option<u32> {
        if self.choked || self.in_flight >= self.pipeline {
            return None;
        }
        if self.next_unasked().is_none() {
            let next = self.pieces.back().map(|piece| piece.index + 1).filter(|&next| next < self.until)?;
            self.pieces.push_back(self.begin(next).ok()?);
        }
        let (at, block) = self.next_unasked()?;
        let piece = self.pieces.get(at).filter(|piece| self.has(piece.index))?;
        // Two pipelines beyond the first block that is missing: bounds what waits to be hashed, and the pieces that are begun.
        let before: usize = self.pieces.range(..at).map(|piece| piece.blocks.len()).sum();
        let ahead = before as u32 + block - self.pieces.front()?.hashed;
        (ahead < 2 * self.pipeline).then(|| piece.block_length(block))
    }

    /// Asks for the block that [`Session::wanted`] speaks of.
    pub(super) fn ask(&mut self, out: &mut Vec<u8>) {
        let Some((at, block)) = self.next_unasked() else { return };
        let Some(piece) = self.pieces.get_mut(at) else { return };
        wire::request(out, piece.index, block * BLOCK, piece.block_length(block));
        self.in_flight += 1;
        if let Some(state) = piece.blocks.get_mut(block as usize) {
            *state = Block::Asked;
        }
    }

    /// The first block that was not asked for, and the place of its piece among those begun.
    fn next_unasked(&self) -> Option<(usize, u32)> {
        let mut pieces = self.pieces.iter().enumerate();
        pieces.find_map(|(at, piece)| Some((at, piece.next_unasked()?)))
    }

    fn block(&mut self, index: u32, begin: u32, data: &[u8]) -> Result<(), Cause> {
        let stray = if self.discarded { Ok(()) } else { Err(Cause::Malformed) };
        let Some(piece) = self.pieces.iter_mut().find(|piece| piece.index == index) else { return stray };
        let block = begin / BLOCK;
        let Some(state) = piece.blocks.get_mut(block as usize) else { return Err(Cause::Malformed) };
        let before = *state;
        if before == Block::Here || (before == Block::Unasked && self.discarded) {
            return stray;
        }
        if before == Block::Unasked || !begin.is_multiple_of(BLOCK) {
            return Err(Cause::Malformed);
        }
        *state = Block::Here;
        if data.len() != piece.block_length(block) as usize {
            return Err(Cause::Malformed);
        }
        self.in_flight -= 1;
        piece.hash(block, data);
        Ok(())
    }

    /// Whether the piece is whole and right; forgets it then.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] where its hash is not the torrent's.
    pub(super) fn finished(&mut self) -> Result<bool, Cause> {
        let whole = self.pieces.front().is_some_and(|piece| piece.hashed as usize == piece.blocks.len());
        let Some(piece) = whole.then(|| self.pieces.pop_front()).flatten() else { return Ok(false) };
        if piece.proof.holds() { Ok(true) } else { Err(Cause::Incorrect) }
    }
}

impl PieceFetch {
    fn next_unasked(&self) -> Option<u32> {
        let from = self.hashed as usize;
        let offset = self.blocks.get(from..)?.iter().position(|&block| block == Block::Unasked)?;
        u32::try_from(from + offset).ok()
    }

    fn block_length(&self, block: u32) -> u32 {
        (self.length - block * BLOCK).min(BLOCK)
    }

    /// Hashes as it comes, so that a piece is never held whole; blocks out of order wait.
    fn hash(&mut self, block: u32, data: &[u8]) {
        if block != self.hashed {
            self.early.insert(block, data.to_vec());
            return;
        }
        self.proof.add_block(data);
        self.hashed += 1;
        while let Some(data) = self.early.remove(&self.hashed) {
            self.proof.add_block(&data);
            self.hashed += 1;
        }
    }
}

#[cfg(test)]
mod tests;

//! The info dictionary, from peers and for peers (BEP 9).

use std::rc::Rc;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::metainfo::{Layout, MAX_METADATA};
use super::super::wire::{self, HashRequest, METADATA_BLOCK};
use super::Torrent;
use super::give::MAX_WAITING;
use super::layers::LayerFetch;
use super::picker::PeerKey;
use super::remote::SNUBBED_AFTER;

/// An info dictionary on its way. It comes from one peer at a time: it is small, and whose fault it is then needs no search.
#[derive(Debug)]
pub(super) struct Fetch {
    from: PeerKey,
    /// When it last gave something of it, or was first asked.
    progress: Tick,
    bytes: Vec<u8>,
    missing: Vec<bool>,
    /// The hashes of a v2 torrent's pieces, which come after it.
    layers: Option<LayerFetch>,
}

impl Torrent {
    /// Asks a peer for the info dictionary where it is wanted and nobody else is asked.
    pub(super) fn want_metadata(&mut self, key: PeerKey, now: Tick) -> Result<(), Cause> {
        let asked = self.metadata.as_ref().is_some_and(|fetch| self.remotes.contains_key(&fetch.from));
        if self.layout.is_some() || asked {
            return Ok(());
        }
        let Some(remote) = self.remotes.get_mut(&key) else { return Ok(()) };
        let Some(size) = remote.offer.metadata_size.filter(|size| *size > 0 && remote.offer.ut_metadata != 0)
        else {
            // It may learn it itself.
            return Ok(());
        };
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_METADATA).ok_or(Cause::Malformed)?;
        let blocks = size.div_ceil(METADATA_BLOCK);
        for block in 0..blocks {
            wire::metadata_request(&mut remote.out, remote.offer.ut_metadata, block as u32);
        }
        let (bytes, missing) = (vec![0; size], vec![true; blocks]);
        self.metadata = Some(Fetch { from: key, progress: now, bytes, missing, layers: None });
        self.awake.push(key);
        Ok(())
    }

    pub(super) fn metadata_block(
        &mut self,
        key: PeerKey,
        block: u32,
        data: &[u8],
        now: Tick,
    ) -> Result<(), Cause> {
        if self.layout.is_some() {
            return Ok(());
        }
        let fetch = self.metadata.as_mut().filter(|fetch| fetch.from == key && fetch.layers.is_none());
        let (Some(fetch), Some(remote)) = (fetch, self.remotes.get_mut(&key)) else {
            return Err(Cause::Malformed);
        };
        let missing = fetch.missing.get_mut(block as usize).ok_or(Cause::Malformed)?;
        let begin = block as usize * METADATA_BLOCK;
        let end = (begin + METADATA_BLOCK).min(fetch.bytes.len());
        let space = fetch.bytes.get_mut(begin..end).ok_or(Cause::Malformed)?;
        if space.len() != data.len() {
            return Err(Cause::Malformed);
        }
        space.copy_from_slice(data);
        *missing = false;
        fetch.progress = now;
        if !fetch.missing.contains(&true) {
            let layout = Layout::from_info(&fetch.bytes, &self.own.info_hash)?;
            fetch.layers = Some(LayerFetch::begin(layout, &mut remote.out));
            self.settle();
        }
        Ok(())
    }

    /// Takes in hashes of pieces (BEP 52).
    pub(super) fn hashes(
        &mut self,
        key: PeerKey,
        request: &HashRequest,
        hashes: &[u8],
        now: Tick,
    ) -> Result<(), Cause> {
        let fetch = self.metadata.as_mut().filter(|fetch| fetch.from == key);
        let (Some(fetch), Some(remote)) = (fetch, self.remotes.get_mut(&key)) else {
            return Err(Cause::Malformed);
        };
        let layers = fetch.layers.as_mut().ok_or(Cause::Malformed)?;
        layers.answered(request, hashes, &mut remote.out)?;
        fetch.progress = now;
        self.settle();
        Ok(())
    }

    /// The layout is known once no layer of hashes is missing from it.
    fn settle(&mut self) {
        let layers = self.metadata.as_mut().and_then(|fetch| fetch.layers.take_if(|layers| layers.is_done()));
        if let Some(layers) = layers {
            self.know(Rc::new(layers.layout()));
        }
    }

    /// A peer does not give metadata: it is asked of another, if there is one.
    pub(super) fn metadata_refused(&mut self, key: PeerKey, now: Tick) -> Result<(), Cause> {
        if let Some(remote) = self.remotes.get_mut(&key) {
            remote.offer.metadata_size = None;
        }
        if self.metadata.as_ref().is_some_and(|fetch| fetch.from == key) {
            self.metadata = None;
            for other in self.keys() {
                if let Err(cause) = self.want_metadata(other, now)
                    && let Some(remote) = self.remotes.get_mut(&other)
                {
                    remote.doomed = Some(cause);
                    self.awake.push(other);
                }
            }
        }
        if self.layout.is_none() && self.metadata.is_none() { Err(Cause::Rejected) } else { Ok(()) }
    }

    /// When a peer that gives the metadata counts as silent.
    pub(super) fn metadata_due(&self, key: PeerKey) -> Option<Tick> {
        let fetch = self.metadata.as_ref().filter(|fetch| fetch.from == key)?;
        Some(fetch.progress + SNUBBED_AFTER)
    }

    /// Gives a block of the metadata, where there is one, and where what was given before is on its way.
    pub(super) fn give_metadata(&mut self, key: PeerKey, block: u32) {
        let Some(remote) = self.remotes.get_mut(&key).filter(|remote| remote.offer.ut_metadata != 0) else {
            return;
        };
        let id = remote.offer.ut_metadata;
        let room = remote.out.len() < MAX_WAITING;
        let info = self.layout.as_ref().filter(|_| room).map(|layout| layout.info());
        let begin = (block as usize).saturating_mul(METADATA_BLOCK);
        match info.and_then(|info| {
            info.get(begin..info.len().min(begin.saturating_add(METADATA_BLOCK))).zip(Some(info))
        }) {
            Some((data, info)) if !data.is_empty() => {
                wire::metadata_block(&mut remote.out, id, block, info.len(), data);
            }
            _ => wire::metadata_reject(&mut remote.out, id, block),
        }
    }
}

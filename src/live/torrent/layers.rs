//! The hashes of v2 pieces, which an info dictionary does not hold, from a peer (BEP 52).

use std::collections::VecDeque;

use crate::journey::Cause;

use super::super::metainfo::{Layout, MissingLayer};
use super::super::wire::{self, HashRequest};

/// Hashes of one request (BEP 52: no more than 512).
const MAX_HASHES: u32 = 512;
/// Requests that are under way at a time.
const PIPELINE: usize = 8;

/// Fetches the layers that a layout lacks, one after the other.
#[derive(Debug)]
pub(super) struct LayerFetch {
    layout: Layout,
    layers: VecDeque<Fetching>,
    /// Requests to be made, then those under way.
    requests: VecDeque<HashRequest>,
    under_way: Vec<HashRequest>,
}

/// A layer and the hashes of it that are here.
#[derive(Debug)]
struct Fetching {
    layer: MissingLayer,
    hashes: Vec<u8>,
    missing: u32,
}

impl LayerFetch {
    /// Appends the first requests to `out`.
    pub(super) fn begin(layout: Layout, out: &mut Vec<u8>) -> Self {
        let missing = layout.missing_layers();
        let requests = missing.iter().flat_map(requests_of).collect();
        let fetching = |layer: MissingLayer| Fetching {
            layer,
            hashes: vec![0; 32 * layer.hashes as usize],
            missing: layer.hashes,
        };
        let layers = missing.into_iter().map(fetching).collect();
        let mut fetch = Self { layout, layers, requests, under_way: Vec::new() };
        fetch.ask(out);
        fetch
    }

    fn ask(&mut self, out: &mut Vec<u8>) {
        while self.under_way.len() < PIPELINE {
            let Some(request) = self.requests.pop_front() else { return };
            wire::hash_request(out, &request);
            self.under_way.push(request);
        }
    }

    /// Takes in an answer, and appends the next request to `out`. Hashes are checked once their layer is whole, against its root: then
    /// no proof of a part is needed.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where nobody asked for that, [`Cause::Incorrect`] where the hashes are not the torrent's.
    pub(super) fn answered(
        &mut self,
        request: &HashRequest,
        hashes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Cause> {
        let at = self.under_way.iter().position(|asked| asked == request).ok_or(Cause::Malformed)?;
        self.under_way.swap_remove(at);
        if hashes.len() != 32 * request.length as usize {
            return Err(Cause::Malformed);
        }
        let of = self.layers.iter().position(|fetching| fetching.layer.root == request.root);
        let of = of.ok_or(Cause::Malformed)?;
        let Some(fetching) = self.layers.get_mut(of) else { return Err(Cause::Malformed) };
        // What comes after the last piece only fills the tree up.
        let count = request.length.min(fetching.layer.hashes.saturating_sub(request.index));
        let begin = 32 * request.index as usize;
        let space = fetching.hashes.get_mut(begin..begin + 32 * count as usize);
        let part = hashes.get(..32 * count as usize);
        let (space, part) = space.zip(part).ok_or(Cause::Malformed)?;
        space.copy_from_slice(part);
        fetching.missing -= count;
        if fetching.missing == 0
            && let Some(whole) = self.layers.remove(of)
        {
            self.layout.add_layer(&whole.layer.root, &whole.hashes)?;
        }
        self.ask(out);
        Ok(())
    }

    pub(super) fn is_done(&self) -> bool {
        self.layers.is_empty()
    }

    pub(super) fn layout(self) -> Layout {
        self.layout
    }
}

/// The requests that cover a layer, padding included.
fn requests_of(layer: &MissingLayer) -> impl Iterator<Item = HashRequest> + use<> {
    let MissingLayer { root, base, hashes } = *layer;
    let length = hashes.next_power_of_two().min(MAX_HASHES);
    let begins = (0..hashes).step_by(length as usize);
    begins.map(move |index| HashRequest { root, base, index, length, proof_layers: 0 })
}

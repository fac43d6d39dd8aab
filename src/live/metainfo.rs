//! Info dictionaries: how a torrent is cut into pieces, and what proves them. Of BitTorrent v1 (BEP 3), v2, or both (BEP 52).

mod tree;

use std::collections::HashMap;
use std::rc::Rc;

use serde::Deserialize;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use url::Url;

use crate::journey::Cause;
use crate::profile::InfoHash;

use super::bencode;
use super::merkle::{self, Hash};
use super::web_seed;
use super::wire::BLOCK;

/// Bytes of a `.torrent` or an info dictionary that are still read: 4 MiB are 200,000 pieces.
pub(super) const MAX_METADATA: usize = 4 << 20;
/// Pieces of a torrent: as many as v1 metadata of that length can have.
pub(super) const MAX_PIECES: u32 = MAX_METADATA as u32 / 20;
/// Bytes of a piece that are still fetched; the largest in use are 16 MiB (domain.md section 2).
const MAX_PIECE: u64 = 64 << 20;

/// How a torrent is cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    piece_length: u32,
    v1: Option<Stream>,
    v2: Option<Files>,
    info: Rc<[u8]>,
    /// The web seeds that the `.torrent` names (BEP 19).
    web_seeds: Rc<[Url]>,
}

/// What v1 says: pieces of one long stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stream {
    size: u64,
    hashes: Vec<[u8; 20]>,
}

/// What v2 says: every file begins with a piece. Empty files are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Files {
    files: Vec<FileTree>,
    pieces: u32,
}

/// A file and the tree over its blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileTree {
    length: u64,
    root: Hash,
    first_piece: u32,
    pieces: u32,
    /// The roots of its pieces, once known. A file of one piece has none but `root`.
    layer: Vec<Hash>,
}

/// A piece and what proves it. At least one of the proofs is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes to fetch.
    pub(super) length: u32,
    pub(super) v1: Option<StreamPiece>,
    pub(super) v2: Option<TreePiece>,
}

/// SHA-1 over the piece and the zeros that stand between the files of a hybrid torrent (BEP 47).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamPiece {
    pub(super) hash: [u8; 20],
    pub(super) padding: u32,
}

/// Root of the tree of this height over the piece's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TreePiece {
    pub(super) root: Hash,
    pub(super) height: u32,
}

/// A layer of piece roots that an info dictionary does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MissingLayer {
    /// The root of its file.
    pub(super) root: Hash,
    /// Layers between the blocks and it.
    pub(super) base: u32,
    /// Hashes in it.
    pub(super) hashes: u32,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(rename = "piece length")]
    piece_length: u64,
    #[serde(rename = "meta version")]
    meta_version: Option<u64>,
    #[serde(borrow, default, with = "serde_bytes")]
    pieces: Option<&'a [u8]>,
    length: Option<u64>,
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
struct File {
    length: u64,
    #[serde(default, with = "serde_bytes")]
    attr: Vec<u8>,
}

impl Layout {
    /// The layout in a `.torrent` file.
    ///
    /// # Errors
    /// [`Cause::Malformed`], or [`Cause::Incorrect`] where it is another torrent's or a layer of hashes is not that of its root.
    pub(super) fn from_torrent(file: &[u8], info_hash: &InfoHash) -> Result<Self, Cause> {
        let mut layout = Self::from_info(bencode::field(file, b"info").ok_or(Cause::Malformed)?, info_hash)?;
        layout.web_seeds = web_seed::url_list(file).into();
        let roots = layout.layers_without_hashes();
        if roots.is_empty() {
            return Ok(layout);
        }
        let layers = bencode::field(file, b"piece layers").and_then(bencode::entries);
        let layers: HashMap<_, _> = layers.ok_or(Cause::Malformed)?.collect();
        for missing in roots {
            let layer = layers.get(&missing.root[..]).and_then(|layer| bencode::string(layer));
            layout.add_layer(&missing.root, layer.ok_or(Cause::Malformed)?)?;
        }
        Ok(layout)
    }

    /// The layout in a raw info dictionary, which holds no layers of hashes: see [`Layout::missing_layers`].
    ///
    /// # Errors
    /// [`Cause::Malformed`], or [`Cause::Incorrect`] where it is another torrent's.
    pub(super) fn from_info(info: &[u8], info_hash: &InfoHash) -> Result<Self, Cause> {
        let v1 = info_hash.v1().is_none_or(|hash| <[u8; 20]>::from(Sha1::digest(info)) == *hash);
        let v2 = info_hash.v2().is_none_or(|hash| Hash::from(Sha256::digest(info)) == *hash);
        if !v1 || !v2 {
            return Err(Cause::Incorrect);
        }
        Self::parse(info, info_hash).ok_or(Cause::Malformed)
    }

    /// Reads what the versions say whose hash is known; what the other one says concerns clients of that version.
    fn parse(raw: &[u8], info_hash: &InfoHash) -> Option<Self> {
        let info: Info = bencode::decode(raw)?;
        let piece_length = u32::try_from(info.piece_length).ok()?;
        if !(1..=MAX_PIECE).contains(&info.piece_length) {
            return None;
        }
        let v1 = match info_hash.v1() {
            Some(_) => Some(Stream::parse(&info)?),
            None => None,
        };
        let v2 = match info_hash.v2() {
            Some(_) if info.meta_version == Some(2) => Some(Files::parse(raw, piece_length)?),
            Some(_) => return None,
            None => None,
        };
        let fits = v2.as_ref().is_none_or(|v2| v1.is_none() || v2.matches(&info));
        fits.then(|| Self { piece_length, v1, v2, info: raw.into(), web_seeds: Rc::default() })
    }

    /// The raw info dictionary.
    pub(super) fn info(&self) -> &[u8] {
        &self.info
    }

    /// The web seeds that come with it: a `.torrent` names some, an info dictionary never does.
    pub(super) fn web_seeds(&self) -> &[Url] {
        &self.web_seeds
    }

    /// Whether its pieces are those of v2, where every file begins with one.
    pub(super) fn has_tree(&self) -> bool {
        self.v2.is_some()
    }

    /// Bytes of every piece but the last, or the last of a file.
    pub(super) fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Number of pieces.
    pub(super) fn pieces(&self) -> u32 {
        match (&self.v1, &self.v2) {
            (_, Some(files)) => files.pieces,
            // Metadata is bounded far below 2^32 hashes.
            (Some(stream), None) => u32::try_from(stream.hashes.len()).unwrap_or(u32::MAX),
            (None, None) => 0,
        }
    }

    /// Bytes of the whole content.
    pub(super) fn size(&self) -> u64 {
        match (&self.v1, &self.v2) {
            (_, Some(files)) => files.files.iter().map(|file| file.length).sum(),
            (Some(stream), None) => stream.size,
            (None, None) => 0,
        }
    }

    /// A piece and its proofs; `None` past the end, and where there is no proof.
    pub(super) fn piece(&self, index: u32) -> Option<Piece> {
        let stream = match &self.v1 {
            Some(stream) => Some(stream.piece(index, self.piece_length)?),
            None => None,
        };
        let Some(files) = &self.v2 else {
            let (length, hash) = stream?;
            return Some(Piece { length, v1: Some(StreamPiece { hash, padding: 0 }), v2: None });
        };
        let (length, v2) = files.piece(index, self.piece_length)?;
        let v1 = match stream {
            Some((whole, hash)) => Some(StreamPiece { hash, padding: whole.checked_sub(length)? }),
            None => None,
        };
        (v1.is_some() || v2.is_some()).then_some(Piece { length, v1, v2 })
    }

    /// The layers without which pieces cannot be checked. Those of a hybrid torrent can, by their SHA-1.
    pub(super) fn missing_layers(&self) -> Vec<MissingLayer> {
        if self.v1.is_some() { Vec::new() } else { self.layers_without_hashes() }
    }

    /// Each root once: files with the same content have the same.
    fn layers_without_hashes(&self) -> Vec<MissingLayer> {
        let base = self.piece_height();
        let files = self.v2.iter().flat_map(|v2| &v2.files);
        let missing = files.filter(|file| file.pieces > 1 && file.layer.is_empty());
        let mut layers: Vec<_> =
            missing.map(|file| MissingLayer { root: file.root, base, hashes: file.pieces }).collect();
        layers.sort_unstable_by_key(|layer| layer.root);
        layers.dedup_by_key(|layer| layer.root);
        layers
    }

    /// Takes in the hashes below a root.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where they are too many or too few, [`Cause::Incorrect`] where they are not those of the root.
    pub(super) fn add_layer(&mut self, root: &Hash, hashes: &[u8]) -> Result<(), Cause> {
        let base = self.piece_height();
        let (layer, rest) = hashes.as_chunks::<32>();
        let files = self.v2.iter_mut().flat_map(|v2| &mut v2.files);
        for file in files.filter(|file| file.root == *root && file.pieces > 1) {
            if !rest.is_empty() || layer.len() != file.pieces as usize {
                return Err(Cause::Malformed);
            }
            let height = merkle::height(file.pieces.into());
            if merkle::root(layer.to_vec(), base, height) != *root {
                return Err(Cause::Incorrect);
            }
            file.layer = layer.to_vec();
        }
        Ok(())
    }

    /// Layers between blocks and pieces.
    fn piece_height(&self) -> u32 {
        merkle::height(u64::from(self.piece_length / BLOCK))
    }
}

impl Stream {
    fn parse(info: &Info<'_>) -> Option<Self> {
        let size = match (info.length, &info.files) {
            (Some(length), None) => length,
            (None, Some(files)) => files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.length))?,
            _ => return None,
        };
        let (hashes, rest) = info.pieces?.as_chunks::<20>();
        let fits = size > 0 && rest.is_empty() && hashes.len() as u64 == size.div_ceil(info.piece_length);
        fits.then(|| Self { size, hashes: hashes.to_vec() })
    }

    fn piece(&self, index: u32, piece_length: u32) -> Option<(u32, [u8; 20])> {
        let hash = *self.hashes.get(index as usize)?;
        let begin = u64::from(index) * u64::from(piece_length);
        let length = self.size.checked_sub(begin)?.min(u64::from(piece_length));
        Some((u32::try_from(length).ok()?, hash))
    }
}

#[cfg(test)]
pub(super) fn info_of(content: &[u8], piece_length: usize) -> (Vec<u8>, [u8; 20]) {
    let hashes: Vec<u8> = content.chunks(piece_length).flat_map(Sha1::digest).collect();
    let mut info = format!(
        "d6:lengthi{}e4:name1:x12:piece lengthi{piece_length}e6:pieces{}:",
        content.len(),
        hashes.len()
    )
    .into_bytes();
    info.extend(hashes);
    info.push(b'e');
    let hash = Sha1::digest(&info).into();
    (info, hash)
}

/// A v2 info dictionary of one file, with pieces of a block.
#[cfg(test)]
pub(super) fn v2_info_of(length: u64, root: &Hash) -> (Vec<u8>, InfoHash) {
    let head = format!("d9:file treed1:xd0:d6:lengthi{length}e11:pieces root32:");
    let tail = b"eee12:meta versioni2e4:name1:x12:piece lengthi16384ee";
    let info = [head.as_bytes(), root, tail].concat();
    let hash = InfoHash::V2(Sha256::digest(&info).into());
    (info, hash)
}

#[cfg(test)]
mod tests;

//! What v2 says of a torrent: its `file tree` (BEP 52).

use serde::Deserialize;

use super::super::bencode;
use super::super::merkle;
use super::super::wire::BLOCK;
use super::{FileTree, Files, Hash, Info, MAX_PIECES, TreePiece};

#[derive(Deserialize)]
struct Leaf<'a> {
    length: u64,
    #[serde(borrow, default, with = "serde_bytes", rename = "pieces root")]
    root: Option<&'a [u8]>,
}

impl Files {
    pub(super) fn parse(info: &[u8], piece_length: u32) -> Option<Self> {
        if piece_length < BLOCK || !piece_length.is_power_of_two() {
            return None;
        }
        let mut files = Self { files: Vec::new(), pieces: 0 };
        files.add_directory(bencode::field(info, b"file tree")?, piece_length)?;
        (!files.files.is_empty()).then_some(files)
    }

    /// Adds the files of a directory in its order. As deep as bencode is read at all.
    fn add_directory(&mut self, directory: &[u8], piece_length: u32) -> Option<()> {
        for (name, value) in bencode::entries(directory)? {
            // No path has an empty part: that key marks the directory as a file.
            if name.is_empty() {
                self.add_file(bencode::decode(value)?, piece_length)?;
            } else {
                self.add_directory(value, piece_length)?;
            }
        }
        Some(())
    }

    fn add_file(&mut self, Leaf { length, root }: Leaf<'_>, piece_length: u32) -> Option<()> {
        if length == 0 {
            return Some(());
        }
        let pieces = u32::try_from(length.div_ceil(piece_length.into())).ok()?;
        let root = root?.try_into().ok()?;
        let file = FileTree { length, root, first_piece: self.pieces, pieces, layer: Vec::new() };
        self.pieces = self.pieces.checked_add(pieces).filter(|&pieces| pieces <= MAX_PIECES)?;
        self.files.push(file);
        Some(())
    }

    /// Whether what v1 says of a hybrid torrent comes to the same: the same files, each at the beginning of a piece, and padding between.
    pub(super) fn matches(&self, info: &Info<'_>) -> bool {
        let mut tree = self.files.iter().map(|file| (file.length, file.first_piece));
        let mut at = 0_u64;
        let mut same = |length: u64, is_padding: bool| {
            let first_piece = (at / info.piece_length, at % info.piece_length);
            at = at.saturating_add(length);
            is_padding
                || length == 0
                || tree.next().is_some_and(|(of, first)| of == length && first_piece == (first.into(), 0))
        };
        let all = match &info.files {
            Some(files) => files.iter().all(|file| same(file.length, file.attr.contains(&b'p'))),
            None => info.length.is_some_and(|length| same(length, false)),
        };
        all && tree.next().is_none() && at.div_ceil(info.piece_length) == u64::from(self.pieces)
    }

    /// Bytes of a piece, and its proof where that is known; `None` past the end.
    pub(super) fn piece(&self, index: u32, piece_length: u32) -> Option<(u32, Option<TreePiece>)> {
        let after = self.files.partition_point(|file| file.first_piece <= index);
        let file = self.files.get(after.checked_sub(1)?)?;
        let nth = index - file.first_piece;
        let begin = u64::from(nth) * u64::from(piece_length);
        let length = file.length.checked_sub(begin).filter(|&left| left > 0)?.min(piece_length.into());
        let proof = if file.pieces == 1 {
            Some(TreePiece { root: file.root, height: merkle::height(length.div_ceil(BLOCK.into())) })
        } else {
            let height = merkle::height(u64::from(piece_length / BLOCK));
            file.layer.get(nth as usize).map(|&root: &Hash| TreePiece { root, height })
        };
        Some((u32::try_from(length).ok()?, proof))
    }
}

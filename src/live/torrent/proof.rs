//! Whether a piece is what its torrent says: hashed block by block, so that a piece is never held whole.

use sha1::{Digest, Sha1};

use super::super::merkle::{self, Hash};
use super::super::metainfo::{Piece, StreamPiece, TreePiece};

/// The proofs of one piece; of a hybrid torrent's there are two (BEP 52).
#[derive(Debug)]
pub(in super::super) struct Proof {
    v1: Option<(Sha1, StreamPiece)>,
    v2: Option<(Vec<Hash>, TreePiece)>,
}

impl Proof {
    pub(in super::super) fn of(piece: &Piece) -> Self {
        Self { v1: piece.v1.map(|v1| (Sha1::new(), v1)), v2: piece.v2.map(|v2| (Vec::new(), v2)) }
    }

    /// Takes in the next block.
    pub(in super::super) fn add_block(&mut self, data: &[u8]) {
        if let Some((hasher, _)) = &mut self.v1 {
            hasher.update(data);
        }
        if let Some((leaves, _)) = &mut self.v2 {
            leaves.push(merkle::leaf(data));
        }
    }

    /// Whether the blocks were the piece's.
    pub(in super::super) fn holds(self) -> bool {
        let v1 = self.v1.is_none_or(|(mut hasher, piece)| {
            const ZEROS: [u8; 4_096] = [0; 4_096];
            let mut left = piece.padding as usize;
            while left > 0 {
                let zeros = ZEROS.get(..left).unwrap_or(&ZEROS);
                hasher.update(zeros);
                left -= zeros.len();
            }
            <[u8; 20]>::from(hasher.finalize()) == piece.hash
        });
        let v2 = self.v2.is_none_or(|(leaves, piece)| merkle::root(leaves, 0, piece.height) == piece.root);
        v1 && v2
    }
}

//! Info dictionaries (BEP 3): how a torrent is cut into pieces.

use std::rc::Rc;

use serde::Deserialize;
use sha1::{Digest, Sha1};

use crate::journey::{Cause, Reply};

use super::bencode;

/// Bytes of a `.torrent` or an info dictionary that are still read: 4 MiB are 200,000 pieces.
pub(super) const MAX_METADATA: usize = 4 << 20;
/// Bytes of a piece that are still fetched; the largest in use are 16 MiB (domain.md section 2).
const MAX_PIECE: u64 = 64 << 20;

/// How a torrent is cut into pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    piece_length: u32,
    size: u64,
    hashes: Vec<[u8; 20]>,
    info: Rc<[u8]>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(rename = "piece length")]
    piece_length: u64,
    #[serde(borrow, with = "serde_bytes")]
    pieces: &'a [u8],
    length: Option<u64>,
    files: Option<Vec<File>>,
}

#[derive(Deserialize)]
struct File {
    length: u64,
}

impl Layout {
    /// The layout in a `.torrent` file.
    ///
    /// # Errors
    /// [`Cause::Malformed`], or [`Cause::Incorrect`] where it is another torrent's.
    pub(super) fn from_torrent(file: &[u8], info_hash: &[u8; 20]) -> Result<Self, Cause> {
        Self::from_info(bencode::field(file, b"info").ok_or(Cause::Malformed)?, info_hash)
    }

    /// The layout in a raw info dictionary.
    ///
    /// # Errors
    /// [`Cause::Malformed`], or [`Cause::Incorrect`] where it is another torrent's.
    pub(super) fn from_info(info: &[u8], info_hash: &[u8; 20]) -> Result<Self, Cause> {
        if <[u8; 20]>::from(Sha1::digest(info)) != *info_hash {
            return Err(Cause::Incorrect);
        }
        Self::parse(info).ok_or(Cause::Malformed)
    }

    fn parse(raw: &[u8]) -> Option<Self> {
        let info: Info = bencode::decode(raw)?;
        let size = match (info.length, info.files) {
            (Some(length), None) => length,
            (None, Some(files)) => files.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.length))?,
            _ => return None,
        };
        let (hashes, rest) = info.pieces.as_chunks::<20>();
        let fits = (1..=MAX_PIECE).contains(&info.piece_length)
            && size > 0
            && rest.is_empty()
            && hashes.len() as u64 == size.div_ceil(info.piece_length);
        fits.then_some(Self {
            piece_length: u32::try_from(info.piece_length).ok()?,
            size,
            hashes: hashes.to_vec(),
            info: raw.into(),
        })
    }

    /// The raw info dictionary.
    pub(super) fn info(&self) -> &[u8] {
        &self.info
    }

    /// Bytes of every piece but the last.
    pub(super) fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Number of pieces.
    pub(super) fn pieces(&self) -> u32 {
        // Metadata is bounded far below 2^32 hashes.
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// Bytes of the whole content.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes and hash of a piece; `None` past the end.
    pub(super) fn piece(&self, index: u32) -> Option<(u32, [u8; 20])> {
        let hash = *self.hashes.get(index as usize)?;
        let begin = u64::from(index) * u64::from(self.piece_length);
        let length = (self.size - begin).min(u64::from(self.piece_length));
        Some((u32::try_from(length).ok()?, hash))
    }

    /// What a journey needs to know.
    pub(super) fn reply(&self) -> Reply {
        Reply::Metadata { pieces: self.pieces(), size: self.size }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_info_hash_is_taken_over_the_raw_span() {
        let (info, hash) = info_of(&[1; 70_000], 32_768);
        let torrent = [b"d8:announce3:abc4:info".as_slice(), &info, b"e"].concat();
        let layout = Layout::from_torrent(&torrent, &hash).unwrap();
        assert_eq!((layout.pieces(), layout.size()), (3, 70_000));
        assert_eq!(layout.piece(1).unwrap().0, 32_768);
        assert_eq!(layout.piece(2).unwrap().0, 70_000 - 65_536);
        assert_eq!(layout.piece(3), None);
        assert_eq!(Layout::from_torrent(&torrent, &[0; 20]), Err(Cause::Incorrect));
        assert_eq!(Layout::from_torrent(&info, &hash), Err(Cause::Malformed), "no info dictionary");
    }

    #[test]
    fn several_files_add_up_and_impossible_layouts_are_malformed() {
        let hashes = "h".repeat(40);
        let parse = |info: String| Layout::parse(info.as_bytes());
        let files = "5:filesld6:lengthi30e4:pathl1:aeed6:lengthi20e4:pathl1:beee";
        let layout = parse(format!("d{files}12:piece lengthi32e6:pieces40:{hashes}e")).unwrap();
        assert_eq!((layout.size(), layout.piece(1).unwrap().0), (50, 18));
        for broken in [
            format!("d6:lengthi50e12:piece lengthi0e6:pieces40:{hashes}e"),
            format!("d6:lengthi65e12:piece lengthi32e6:pieces40:{hashes}e"),
            format!("d6:lengthi-5e12:piece lengthi32e6:pieces40:{hashes}e"),
            format!("d6:lengthi0e12:piece lengthi32e6:pieces0:{}e", ""),
            format!("d6:lengthi50e12:piece lengthi32e6:pieces39:{}e", &hashes[1..]),
            format!("d12:piece lengthi32e6:pieces40:{hashes}e"),
            format!("d{files}6:lengthi50e12:piece lengthi32e6:pieces40:{hashes}e"),
        ] {
            assert_eq!(parse(broken.clone()), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn pieces_cover_the_content(length in 1_usize..200_000, piece in 1_usize..70_000) {
            prop_assume!(length / piece < 5_000);
            let (info, hash) = info_of(&vec![0; length], piece);
            let layout = Layout::from_info(&info, &hash).unwrap();
            let covered: u64 = (0..layout.pieces()).map(|index| u64::from(layout.piece(index).unwrap().0)).sum();
            prop_assert_eq!(covered, length as u64);
        }
    }
}

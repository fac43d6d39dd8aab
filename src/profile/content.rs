//! What a target holds.

use cid::Cid;
use url::Url;

/// One thing that can be fetched: as a torrent, through the gateway, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentItem {
    /// Name in reports.
    pub name: String,
    /// Its torrent.
    pub torrent: Option<TorrentItem>,
    /// The root of its DAG: a file of UnixFS, SHA-256, raw or DAG-PB.
    pub cid: Option<Cid>,
    /// What its bytes are computed from, where they are: visitors need not keep them to give them to others.
    pub seed: Option<u64>,
}

impl ContentItem {
    /// What its torrent is known by.
    #[must_use]
    pub fn info_hash(&self) -> Option<&InfoHash> {
        self.torrent.as_ref().map(|torrent| &torrent.info_hash)
    }
}

/// The torrent of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TorrentItem {
    /// What it is known by.
    pub info_hash: InfoHash,
    /// Path of the `.torrent` on the metadata server.
    pub path: String,
    /// Web seeds (BEP 19) that visitors know of beside those that the `.torrent` names, as from a magnet link.
    pub web_seeds: Vec<Url>,
}

/// Hashes of an info dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InfoHash {
    /// SHA-1 (BEP 3): a v1 torrent, or a hybrid one that visitors take for such.
    V1([u8; 20]),
    /// SHA-256 (BEP 52).
    V2([u8; 32]),
    /// Both, of a torrent that is both (BEP 52).
    Hybrid {
        /// SHA-1.
        v1: [u8; 20],
        /// SHA-256.
        v2: [u8; 32],
    },
}

impl InfoHash {
    /// What trackers, DHT nodes and peers are told: of a SHA-256 the first 20 bytes (BEP 52), of two hashes the SHA-1.
    #[must_use]
    pub fn on_the_wire(&self) -> [u8; 20] {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => *v1,
            Self::V2(v2) => truncated(v2),
        }
    }

    /// The SHA-1, where it is known.
    #[must_use]
    pub const fn v1(&self) -> Option<&[u8; 20]> {
        match self {
            Self::V1(v1) | Self::Hybrid { v1, .. } => Some(v1),
            Self::V2(_) => None,
        }
    }

    /// The SHA-256, where it is known.
    #[must_use]
    pub const fn v2(&self) -> Option<&[u8; 32]> {
        match self {
            Self::V2(v2) | Self::Hybrid { v2, .. } => Some(v2),
            Self::V1(_) => None,
        }
    }

    /// Whether a handshake with this hash is about this torrent: peers may answer for a hybrid one with either.
    #[must_use]
    pub fn is_named_by(&self, hash: &[u8; 20]) -> bool {
        self.v1() == Some(hash) || self.v2().is_some_and(|v2| truncated(v2) == *hash)
    }
}

impl From<[u8; 20]> for InfoHash {
    fn from(v1: [u8; 20]) -> Self {
        Self::V1(v1)
    }
}

fn truncated(hash: &[u8; 32]) -> [u8; 20] {
    std::array::from_fn(|n| hash[n])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_torrent_answers_to_both_names() {
        let (v1, v2) = ([1; 20], [2; 32]);
        let hybrid = InfoHash::Hybrid { v1, v2 };
        assert_eq!([hybrid.on_the_wire(), InfoHash::V2(v2).on_the_wire()], [[1; 20], [2; 20]]);
        assert!(
            hybrid.is_named_by(&[1; 20]) && hybrid.is_named_by(&[2; 20]) && !hybrid.is_named_by(&[3; 20])
        );
        assert!(!InfoHash::V2(v2).is_named_by(&[1; 20]) && !InfoHash::from(v1).is_named_by(&[2; 20]));
    }
}

//! Hot paths of the live world, one operation at a time, for `benches/`: what they are made of is private.

use sha1::{Digest, Sha1};

use crate::plan::AnnounceEvent;

use super::krpc::{Query, Want};
use super::metainfo::{Piece, StreamPiece};
use super::torrent::Proof;
use super::tracker::{Announce, udp};
use super::wire::BLOCK;

/// The datagrams of visitor `number`: its announce to a UDP tracker, and its query for peers to a node of the DHT.
#[must_use]
pub fn encode(number: u32) -> impl Sized {
    let mut hash = [7; 20];
    if let Some(first) = hash.first_chunk_mut() {
        *first = number.to_be_bytes();
    }
    let announce = Announce {
        info_hash: hash,
        peer_id: hash,
        downloaded: 0,
        left: u64::from(number),
        uploaded: 0,
        event: AnnounceEvent::Started,
        key: number,
        numwant: 200,
        port: 6_881,
    };
    (
        udp::announce_request(0x0102_0304_0506_0708, number, &announce, ""),
        Query::GetPeers { info_hash: &hash, want: Want::Same }.encode(number, &hash, true),
    )
}

/// A piece that came, and what its torrent says of it.
#[derive(Clone, Debug)]
pub struct Fetched {
    data: Vec<u8>,
    piece: Piece,
}

impl Fetched {
    /// A piece of so many bytes, as v1 torrents have them.
    #[must_use]
    pub fn new(length: u32) -> Self {
        let data: Vec<u8> = (0..length).map(|n| (n / 251) as u8 ^ n as u8).collect();
        let v1 = StreamPiece { hash: Sha1::digest(&data).into(), padding: 0 };
        Self { data, piece: Piece { length, v1: Some(v1), v2: None } }
    }

    /// Whether it is what its torrent says; hashed block by block.
    #[must_use]
    pub fn holds(&self) -> bool {
        let mut proof = Proof::of(&self.piece);
        self.data.chunks(BLOCK as usize).for_each(|block| proof.add_block(block));
        proof.holds()
    }
}

//! `.torrent` files (BEP 3), made here because librqbit 9.1 writes one hash too many when the size is a multiple of the piece length.

use std::net::SocketAddrV4;

use librqbit_bencode::bencode_serialize_to_writer;
use librqbit_bencode::raw_value::RawValue;
use librqbit_sha1_wrapper::{ISha1, Sha1};
use serde::{Deserialize, Serialize};

use crate::content::{Content, Source};

/// The info dictionary; its fields stand in the order that bencoding asks for.
#[derive(Serialize)]
struct Info<'a> {
    length: u64,
    name: &'a str,
    #[serde(rename = "piece length")]
    piece_length: u64,
    #[serde(with = "serde_bytes")]
    pieces: Vec<u8>,
}

/// The file around it, which keeps the info dictionary byte for byte as it was hashed.
#[derive(Serialize)]
struct Metainfo<'a> {
    announce: String,
    info: RawValue<&'a [u8]>,
    #[serde(rename = "url-list", skip_serializing_if = "Option::is_none")]
    url_list: Option<&'a str>,
}

/// One item ready to be offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Torrent {
    pub(crate) name: String,
    /// SHA-1 of the bencoded info dictionary.
    pub(crate) info_hash: [u8; 20],
    /// The bencoded info dictionary.
    pub(crate) info: Vec<u8>,
    /// Bytes of the item.
    pub(crate) size: u64,
    /// Whether its file names a web seed.
    pub(crate) web_seed: bool,
}

impl Torrent {
    /// Hashes the whole item.
    ///
    /// # Errors
    /// The bencoder's.
    pub(crate) fn new(seed: u64, item: &Content) -> anyhow::Result<Self> {
        let piece_length = piece_length(item.size);
        let info = Info {
            length: item.size,
            name: &item.name,
            piece_length,
            pieces: piece_hashes(Source::new(seed, &item.name), item.size, piece_length),
        };
        let mut bytes = Vec::new();
        bencode_serialize_to_writer(&info, &mut bytes)?;
        Ok(Self {
            name: item.name.clone(),
            info_hash: sha1(&bytes),
            info: bytes,
            size: item.size,
            web_seed: item.web_seed,
        })
    }

    /// The `.torrent` file that names `tracker`, and a web seed where there is one.
    ///
    /// # Errors
    /// The bencoder's.
    pub(crate) fn file(&self, tracker: SocketAddrV4, url_list: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let metainfo = Metainfo { announce: tracker_url(tracker), info: RawValue(&self.info), url_list };
        let mut file = Vec::new();
        bencode_serialize_to_writer(&metainfo, &mut file)?;
        Ok(file)
    }

    /// The info-hash as 40 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.info_hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(crate) fn tracker_url(tracker: SocketAddrV4) -> String {
    format!("udp://{tracker}/announce")
}

/// Bytes a piece for content of `size` bytes: 2^(⌊log2 size⌋/2 + 4) within 16 KiB and 16 MiB, as imdl chooses it.
fn piece_length(size: u64) -> u64 {
    (1 << (size.ilog2() / 2 + 4)).clamp(16 << 10, 16 << 20)
}

fn piece_hashes(source: Source, size: u64, piece_length: u64) -> Vec<u8> {
    let mut hashes = Vec::new();
    let mut piece = vec![0; piece_length as usize];
    for start in (0..size).step_by(piece_length as usize) {
        let length = piece_length.min(size - start) as usize;
        source.fill(start, &mut piece[..length]);
        hashes.extend_from_slice(&sha1(&piece[..length]));
    }
    hashes
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = Sha1::new();
    hash.update(bytes);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent(size: u64) -> Torrent {
        Torrent::new(1, &Content { name: "item".to_owned(), size, gateway: false, web_seed: false }).unwrap()
    }

    #[test]
    fn piece_length_follows_the_size_within_its_bounds() {
        assert_eq!(piece_length(1), 16 << 10);
        assert_eq!(piece_length((1 << 20) + 5), 16 << 10);
        assert_eq!(piece_length(1 << 26), 128 << 10);
        assert_eq!(piece_length(1 << 30), 512 << 10);
        assert_eq!(piece_length(1 << 50), 16 << 20);
    }

    #[test]
    fn there_is_one_hash_a_piece_at_and_around_multiples() {
        let hashes = |size| piece_hashes(Source::new(1, "item"), size, 16 << 10).len() / 20;
        assert_eq!(hashes(1), 1);
        assert_eq!(hashes((16 << 10) - 1), 1);
        assert_eq!(hashes(16 << 10), 1);
        assert_eq!(hashes((16 << 10) + 1), 2);
        assert_eq!(hashes(64 << 10), 4);
    }

    #[test]
    fn the_file_is_what_another_author_parses() {
        let torrent = torrent(40_000);
        let seed = "http://127.0.0.1:80/files/";
        let file = torrent.file("127.0.0.1:6969".parse().unwrap(), Some(seed)).unwrap();
        let parsed = librqbit::torrent_from_bytes(&file).unwrap();
        assert_eq!(parsed.info_hash.0, torrent.info_hash);
        assert_eq!(parsed.announce.unwrap().as_ref(), b"udp://127.0.0.1:6969/announce");
        let ending = format!("8:url-list{}:{seed}e", seed.len());
        assert!(file.ends_with(ending.as_bytes()));
        assert_eq!(torrent.hex().len(), 40);
    }
}

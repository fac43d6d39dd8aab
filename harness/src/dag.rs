//! Content as IPFS has it: a UnixFS file as a DAG of blocks, balanced as Kubo builds it, and CARs of it. Written by hand: what reads it on
//! the other side are the crates of other authors.

use std::collections::HashMap;

use data_encoding::BASE32_NOPAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::content::{Content, Source};

/// Bytes of a leaf, Kubo's own.
const LEAF: u64 = 256 << 10;
/// Links of a node. Kubo has 174; with so few, content of a few MiB has a tree of more than one level.
const FAN_OUT: usize = 16;

/// Codes of the multicodec table.
const RAW: u8 = 0x55;
const DAG_PB: u8 = 0x70;

/// A CIDv1 of SHA-256: version, codec, hash function, length, digest.
type Cid = [u8; 36];

fn cid(codec: u8, hash: &[u8; 32]) -> Cid {
    let mut cid = [0; 36];
    cid[..4].copy_from_slice(&[1, codec, 0x12, 32]);
    cid[4..].copy_from_slice(hash);
    cid
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// A CID as text: base32 behind its multibase prefix.
fn text(cid: &Cid) -> String {
    format!("b{}", BASE32_NOPAD.encode(cid).to_ascii_lowercase())
}

/// One item ready to be offered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dag {
    name: String,
    size: u64,
    /// SHA-256 of each leaf.
    leaves: Vec<[u8; 32]>,
}

impl Dag {
    /// Hashes the whole item.
    pub(crate) fn new(seed: u64, item: &Content) -> Self {
        let source = Source::new(seed, &item.name);
        let mut leaf = vec![0; LEAF as usize];
        let leaves = (0..item.size).step_by(LEAF as usize).map(|start| {
            let length = LEAF.min(item.size - start) as usize;
            source.fill(start, &mut leaf[..length]);
            sha256(&leaf[..length])
        });
        Self { name: item.name.clone(), size: item.size, leaves: leaves.collect() }
    }

    /// The CID of its root.
    pub(crate) fn root(&self) -> String {
        self.build(&mut |_, _| {})
    }

    /// Builds the tree from its leaves up; every block goes to `each`. The root's CID.
    fn build(&self, each: &mut impl FnMut(&Part, Block)) -> String {
        let mut level: Vec<Part> = Vec::new();
        for (start, hash) in (0..).step_by(LEAF as usize).zip(&self.leaves) {
            let size = LEAF.min(self.size - start);
            let part = Part { cid: cid(RAW, hash), size, below: size };
            each(&part, Block::Leaf { start, length: size as usize });
            level.push(part);
        }
        while level.len() > 1 {
            let parents = level.chunks(FAN_OUT).map(|parts| {
                let bytes = node(parts);
                let part = Part {
                    cid: cid(DAG_PB, &sha256(&bytes)),
                    size: parts.iter().map(|part| part.size).sum(),
                    below: bytes.len() as u64 + parts.iter().map(|part| part.below).sum::<u64>(),
                };
                each(&part, Block::Node { bytes, links: parts.iter().map(|part| part.cid).collect() });
                part
            });
            level = parents.collect();
        }
        level.first().map(|part| text(&part.cid)).unwrap_or_default()
    }
}

/// A part of a file on its way up.
struct Part {
    cid: Cid,
    /// Bytes of the file.
    size: u64,
    /// Bytes of all blocks.
    below: u64,
}

enum Block {
    Leaf { start: u64, length: usize },
    Node { bytes: Vec<u8>, links: Vec<Cid> },
}

/// All blocks of some items.
pub(crate) struct Store {
    blocks: HashMap<Cid, (Source, Block)>,
}

impl Store {
    /// What these DAGs are made of; leaves are computed when they are asked for.
    pub(crate) fn new(seed: u64, dags: &[Dag]) -> Self {
        let mut blocks = HashMap::new();
        for dag in dags {
            let source = Source::new(seed, &dag.name);
            dag.build(&mut |part, block| {
                blocks.insert(part.cid, (source, block));
            });
        }
        Self { blocks }
    }

    /// The block that a CID names.
    pub(crate) fn block(&self, cid: &str) -> Option<Vec<u8>> {
        let (source, block) = self.blocks.get(&named(cid)?)?;
        Some(bytes(*source, block))
    }

    /// A CARv1 with everything below a CID, parents first.
    pub(crate) fn car(&self, cid: &str) -> Option<Vec<u8>> {
        let root = named(cid)?;
        // {"roots": [root], "version": 1} in DAG-CBOR: a CID is tag 42 over its bytes behind a zero.
        let header = [&b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00"[..], &root, b"\x67version\x01"].concat();
        let mut car = Vec::new();
        delimited(&mut car, &[&header]);
        let mut ahead = vec![root];
        while let Some(cid) = ahead.pop() {
            let (source, block) = self.blocks.get(&cid)?;
            delimited(&mut car, &[&cid, &bytes(*source, block)]);
            if let Block::Node { links, .. } = block {
                ahead.extend(links.iter().rev());
            }
        }
        Some(car)
    }
}

fn bytes(source: Source, block: &Block) -> Vec<u8> {
    match block {
        Block::Leaf { start, length } => {
            let mut bytes = vec![0; *length];
            source.fill(*start, &mut bytes);
            bytes
        }
        Block::Node { bytes, .. } => bytes.clone(),
    }
}

fn named(text: &str) -> Option<Cid> {
    let upper = text.strip_prefix('b')?.to_ascii_uppercase();
    BASE32_NOPAD.decode(upper.as_bytes()).ok()?.try_into().ok()
}

/// A node of a file in DAG-PB, its fields in the order that its canonical form asks for: links (2), then data (1).
fn node(parts: &[Part]) -> Vec<u8> {
    let mut node = Vec::new();
    for part in parts {
        let mut link = Vec::new();
        field(&mut link, 1, &part.cid);
        field(&mut link, 2, b"");
        number(&mut link, 3, part.below);
        field(&mut node, 2, &link);
    }
    let mut file = Vec::new();
    // A file.
    number(&mut file, 1, 2);
    number(&mut file, 3, parts.iter().map(|part| part.size).sum());
    parts.iter().for_each(|part| number(&mut file, 4, part.size));
    field(&mut node, 1, &file);
    node
}

/// A field of protobuf that is bytes.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    delimited(message, &[bytes]);
}

/// A field of protobuf that is a number.
fn number(message: &mut Vec<u8>, number: u8, value: u64) {
    message.push(number << 3);
    varint(message, value);
}

/// Bytes behind their length, as protobuf and CAR have them.
fn delimited(to: &mut Vec<u8>, parts: &[&[u8]]) {
    varint(to, parts.iter().map(|part| part.len() as u64).sum());
    parts.iter().for_each(|part| to.extend_from_slice(part));
}

/// Seven bits a byte, the lowest first.
fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_published_ones() {
        // SHA-256 b94d27b9934d3e08..., as every multiformats example has it.
        assert_eq!(
            text(&cid(RAW, &sha256(b"hello world"))),
            "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
        );
        // The empty file, QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH in CIDv1.
        assert_eq!(
            text(&cid(DAG_PB, &sha256(b"\x0a\x04\x08\x02\x18\x00"))),
            "bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y"
        );
    }

    #[test]
    fn every_block_is_found_by_the_hash_of_its_bytes() {
        let item = Content { name: "item".to_owned(), size: 17 * LEAF + 5, gateway: true, web_seed: false };
        let dag = Dag::new(3, &item);
        let store = Store::new(3, std::slice::from_ref(&dag));
        // 18 leaves, two nodes above them, the root.
        assert_eq!(store.blocks.len(), 21);
        for name in store.blocks.keys() {
            assert_eq!(&name[4..], sha256(&store.block(&text(name)).unwrap()));
        }
        assert_eq!(store.block("bafk"), None);
        // What npm's `ipfs-unixfs-importer` 17.1.1 makes of the same bytes, with as many links a node and leaves as large.
        assert_eq!(dag.root(), "bafybeiaqto6zml5rxzwfhadresdeycpqvweicbag3arn37qpmp4tdre6dm");
        let car = store.car(&dag.root()).unwrap();
        assert!(car.len() as u64 > item.size && car.len() as u64 <= item.size + 4096, "{}", car.len());
    }

    #[test]
    fn one_leaf_is_a_root() {
        let dag =
            Dag::new(1, &Content { name: "small".to_owned(), size: LEAF, gateway: true, web_seed: false });
        assert!(dag.root().starts_with("bafkrei"), "raw bytes");
    }
}

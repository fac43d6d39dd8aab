//! Files as DAGs of blocks (UnixFS in DAG-PB, <https://specs.ipfs.tech/unixfs/>), each block named by the SHA-256 of its bytes, and the
//! archives that carry several of them (CARv1, <https://ipld.io/specs/transport/car/carv1/>).
//!
//! CIDs, DAG-PB and CAR are read by the crates of their authors. The one message of UnixFS is read here, field by field with
//! `quick-protobuf`: the crates that have it bring an IPFS node's worth of code along.

use std::collections::{HashMap, HashSet};

use cid::Cid;
use futures_util::FutureExt;
use hyper::body::Bytes;
use ipld_dagpb::PbNode;
use iroh_car::CarReader;
use quick_protobuf::BytesReader;
use sha2::{Digest, Sha256};

use crate::journey::Cause;

/// Bytes of a block that are still read; gateways agree on 2 MiB, and no more is read out of a CAR.
pub(super) const MAX_BLOCK: usize = 4 << 20;
/// Bytes of a file below one link that are still read: Kubo's own trees have 174 × 256 KiB there.
const MAX_TREE: u64 = 64 << 20;

/// Codes of the multicodec table (<https://github.com/multiformats/multicodec>).
const SHA2_256: u64 = 0x12;
const RAW: u64 = 0x55;
const DAG_PB: u64 = 0x70;

/// Types of UnixFS that are bytes of a file.
const UNIXFS_RAW: i32 = 0;
const UNIXFS_FILE: i32 = 2;

/// A file, or a part of one: its own bytes, and what it links to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    links: Vec<Link>,
    size: u64,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    cid: Cid,
    size: u64,
}

impl Node {
    /// The node that a block is, if the block is the one that `cid` names.
    ///
    /// # Errors
    /// [`Cause::Incorrect`] where it is another block; [`Cause::Malformed`] where it is no part of a file, or named in another way than
    /// by SHA-256.
    pub(super) fn read(cid: &Cid, block: &[u8]) -> Result<Self, Cause> {
        if cid.hash().code() != SHA2_256 {
            return Err(Cause::Malformed);
        }
        if cid.hash().digest() != Sha256::digest(block).as_slice() {
            return Err(Cause::Incorrect);
        }
        match cid.codec() {
            RAW => Ok(Self { links: Vec::new(), size: block.len() as u64 }),
            DAG_PB => Self::parse(block).ok_or(Cause::Malformed),
            _ => Err(Cause::Malformed),
        }
    }

    fn parse(block: &[u8]) -> Option<Self> {
        let node = PbNode::from_bytes(Bytes::copy_from_slice(block)).ok()?;
        let file = UnixFs::read(&node.data?).ok()?;
        if !matches!(file.kind, UNIXFS_RAW | UNIXFS_FILE) || file.block_sizes.len() != node.links.len() {
            return None;
        }
        let sizes = file.block_sizes.iter();
        let size = sizes.clone().try_fold(file.inline, |sum, size| sum.checked_add(*size))?;
        let links = node.links.iter().zip(sizes).map(|(link, size)| Link { cid: link.cid, size: *size });
        (file.size.is_none_or(|said| said == size)).then(|| Self { links: links.collect(), size })
    }

    /// Bytes of the file.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Parts that are fetched one by one: its links, or where it has none, itself.
    pub(super) fn pieces(&self) -> u32 {
        u32::try_from(self.links.len().max(1)).unwrap_or(u32::MAX)
    }

    /// The link behind a piece; `None` where the piece is the node itself, or not there.
    pub(super) fn link(&self, piece: u32) -> Option<&Link> {
        self.links.get(piece as usize)
    }
}

impl Link {
    /// What it leads to.
    pub(super) const fn cid(&self) -> &Cid {
        &self.cid
    }

    /// Whether it leads to bytes, and not to another node.
    pub(super) const fn is_leaf(&self) -> bool {
        self.cid.codec() == RAW
    }

    /// Bytes that an answer with all of it may have; `None` where that is more than is read. Where every KiB is a block of its own, a CAR
    /// is a tenth longer than the file.
    pub(super) fn limit(&self) -> Option<usize> {
        match self.is_leaf() {
            true => Some(MAX_BLOCK).filter(|limit| self.size <= *limit as u64),
            false if self.size > MAX_TREE => None,
            false => usize::try_from(self.size + self.size / 8).ok()?.checked_add(64 << 10),
        }
    }

    /// Checks a block against the link.
    ///
    /// # Errors
    /// As [`Node::read`]; [`Cause::Incorrect`] too where it has another size than the link says.
    pub(super) fn check_block(&self, block: &[u8]) -> Result<(), Cause> {
        let node = Node::read(&self.cid, block)?;
        if node.size == self.size { Ok(()) } else { Err(Cause::Incorrect) }
    }

    /// Checks a CAR with everything below the link, in any order.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where it cannot be read or something is missing: that is how a gateway shows that it failed half-way;
    /// [`Cause::Incorrect`] where a block is another one than its CID names, or has another size than its link says.
    pub(super) fn check_car(&self, car: &[u8]) -> Result<(), Cause> {
        // Bytes that are there already are never waited for.
        let nodes = nodes(car).now_or_never().ok_or(Cause::Malformed)??;
        let (mut seen, mut ahead) = (HashSet::from([self.cid]), vec![*self]);
        while let Some(link) = ahead.pop() {
            let node = nodes.get(&link.cid).ok_or(Cause::Malformed)?;
            // Nothing below need be looked at twice: a link whose size fits its node fits it wherever it stands.
            if node.size != link.size {
                return Err(Cause::Incorrect);
            }
            for below in &node.links {
                match nodes.get(&below.cid) {
                    Some(node) if node.size != below.size => return Err(Cause::Incorrect),
                    _ if seen.insert(below.cid) => ahead.push(*below),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Every block of a CAR, checked against its own CID.
async fn nodes(car: &[u8]) -> Result<HashMap<Cid, Node>, Cause> {
    let mut reader = CarReader::new(car).await.map_err(|_| Cause::Malformed)?;
    let mut nodes = HashMap::new();
    while let Some((cid, block)) = reader.next_block().await.map_err(|_| Cause::Malformed)? {
        nodes.insert(cid, Node::read(&cid, &block)?);
    }
    Ok(nodes)
}

/// The message of UnixFS, as far as files need it.
#[derive(Debug, Default)]
struct UnixFs {
    kind: i32,
    /// Bytes of the file in the message itself.
    inline: u64,
    size: Option<u64>,
    block_sizes: Vec<u64>,
}

impl UnixFs {
    fn read(bytes: &[u8]) -> quick_protobuf::Result<Self> {
        let mut reader = BytesReader::from_bytes(bytes);
        let mut file = Self { kind: -1, ..Self::default() };
        while !reader.is_eof() {
            // Number of the field × 8 + type on the wire.
            match reader.next_tag(bytes)? {
                8 => file.kind = reader.read_int32(bytes)?,
                18 => file.inline = reader.read_bytes(bytes)?.len() as u64,
                24 => file.size = Some(reader.read_uint64(bytes)?),
                32 => file.block_sizes.push(reader.read_uint64(bytes)?),
                34 => file
                    .block_sizes
                    .extend(reader.read_packed(bytes, |reader, bytes| reader.read_uint64(bytes))?),
                other => reader.read_unknown(bytes, other)?,
            }
        }
        Ok(file)
    }
}

/// Whatever comes, as a block with the right name and as a CAR: for `live::fuzz`.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(bytes: &[u8]) {
    let Ok(hash) = cid::multihash::Multihash::wrap(SHA2_256, &Sha256::digest(bytes)) else { return };
    let cid = Cid::new_v1(DAG_PB, hash);
    let size = Node::read(&cid, bytes).map_or(0, |node| node.size);
    // The CAR's own first root, or nothing behind the header would ever be reached.
    let root = CarReader::new(bytes).now_or_never().and_then(Result::ok);
    let root = root.and_then(|reader| reader.header().roots().first().copied());
    let _ = Link { cid: root.unwrap_or(cid), size }.check_car(bytes);
}

#[cfg(test)]
mod tests;

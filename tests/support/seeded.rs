//! A torrent whose content web servers have, and what becomes of a visitor who fetches it.

use sha1::{Digest, Sha1};
use squall::journey::{Cause, Operation, Peer, Reply, Swarm, Web};
use squall::live::LiveWorld;
use squall::profile::Target;

use super::{perform, target};

pub(crate) const PIECE: usize = 32 << 10;

/// A torrent and its bytes.
pub(crate) struct Seeded {
    pub(crate) content: Vec<u8>,
    info: String,
    hashes: Vec<u8>,
    pub(crate) info_hash: [u8; 20],
}

fn text(text: &str) -> String {
    format!("{}:{text}", text.len())
}

impl Seeded {
    /// `size` bytes in the file `release.bin`.
    pub(crate) fn single(size: usize) -> Self {
        Self::of(size, &format!("6:lengthi{size}e4:name{}", text("release.bin")))
    }

    /// Files in the folder `release`, one after the other.
    pub(crate) fn folder(files: &[(&str, usize)]) -> Self {
        let file = |(path, length): &(&str, usize)| {
            let parts: String = path.split('/').map(text).collect();
            format!("d6:lengthi{length}e4:pathl{parts}ee")
        };
        let list: String = files.iter().map(file).collect();
        let size = files.iter().map(|(_, length)| length).sum();
        Self::of(size, &format!("5:filesl{list}e4:name{}", text("release")))
    }

    fn of(size: usize, files: &str) -> Self {
        let content: Vec<u8> = (0..size as u32).map(|n| (n * 7 / 3 + n / 251) as u8).collect();
        let hashes: Vec<u8> = content.chunks(PIECE).flat_map(Sha1::digest).collect();
        let info = format!("d{files}12:piece lengthi{PIECE}e6:pieces{}:", hashes.len());
        let mut seeded = Self { content, info, hashes, info_hash: [0; 20] };
        seeded.info_hash = Sha1::digest(seeded.info()).into();
        seeded
    }

    fn info(&self) -> Vec<u8> {
        [self.info.as_bytes(), &self.hashes, b"e"].concat()
    }

    pub(crate) fn pieces(&self) -> u32 {
        self.content.len().div_ceil(PIECE) as u32
    }

    pub(crate) fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// The `.torrent` that names these web seeds: one as a string, several as a list.
    pub(crate) fn torrent(&self, urls: &[&str]) -> Vec<u8> {
        let list = match urls {
            [one] => text(one),
            _ => format!("l{}e", urls.iter().map(|url| text(url)).collect::<String>()),
        };
        [b"d4:info", &self.info()[..], b"8:url-list", list.as_bytes(), b"e"].concat()
    }

    /// A target all of whose layers are at this address, with this content.
    pub(crate) fn target(&self, address: std::net::SocketAddr) -> Target {
        target(address, self.info_hash)
    }
}

/// What became of a fetch.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// How it ended: with the cause of the first operation that failed.
    pub(crate) result: Result<(), Cause>,
    pub(crate) web: Web,
    pub(crate) swarm: Swarm,
    pub(crate) foreign: u32,
}

/// Fetches the `.torrent` and then every piece, from these peers and whatever web seeds there are.
pub(crate) async fn fetch(world: &mut LiveWorld, n: u64, peers: Vec<Peer>, seeded: &Seeded) -> Fetched {
    let known = perform(world, n, Operation::Torrent).await;
    assert!(matches!(known.result, Ok(Reply::Metadata { .. })), "{:?}", known.result);
    let mut fetched = Fetched { result: Ok(()), web: Web::default(), swarm: Swarm::default(), foreign: 0 };
    let until = seeded.pieces();
    let pieces = (0..until).map(|index| Operation::Piece { index, until });
    for operation in std::iter::once(Operation::Handshake { peers }).chain(pieces) {
        let outcome = perform(world, n, operation).await;
        fetched.web += &outcome.web;
        fetched.foreign += outcome.foreign;
        if let Err(cause) = outcome.result {
            fetched.result = Err(cause);
            break;
        }
    }
    fetched.swarm = super::swarm(world);
    fetched
}

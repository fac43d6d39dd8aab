//! What reads bytes that a stranger sent, by name: for `harness/fuzz`, and for the test that every input of `tests/corpus` stays harmless.

use futures_util::FutureExt;
use rand::SeedableRng;
use rand_xoshiro::SplitMix64;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::profile::InfoHash;

use super::bencode;
use super::dag;
use super::dns;
use super::krpc;
use super::metainfo::Layout;
use super::metrics;
use super::mse;
use super::tracker::{http, udp, ws};
use super::web_seed::Files;
use super::wire::Frames;

/// A decoder that takes any bytes.
pub type Target = fn(&[u8]);

/// Every decoder of the live world.
pub const TARGETS: [(&str, Target); 13] = [
    ("bencode", |data| {
        let _ = bencode::first_value(data).and_then(|value| bencode::field(value, b"r"));
    }),
    ("krpc", |data| {
        let _ = (krpc::transaction(data), krpc::read(data));
        let _ = krpc::asked(data, ([127, 0, 0, 1], 6_881).into());
    }),
    ("dag", dag::read_any),
    ("dns", dns::read_any),
    ("metrics", metrics::read_any),
    ("udp-tracker", |data| {
        let _ = (udp::transaction(data), udp::connection_id(data), udp::scraped(data, 3));
        let _ = (udp::answer(data, false), udp::answer(data, true));
    }),
    ("http-tracker", |data| {
        let _ = (http::answer(data), http::scraped(data, &[[b'a'; 20]]));
    }),
    ("http1", |data| {
        // As it comes from a socket: in parts, the first byte saying how large they are.
        let Some((&part, rest)) = data.split_first() else { return };
        let _ = crate::live::http::read_all(rest, part.into());
    }),
    ("ws-tracker", |data| {
        let _ = (ws::answer(data, &[b'a'; 20]), ws::scraped(data, &[[b'a'; 20]]));
    }),
    ("torrent", |data| {
        // The hash must fit, or nothing behind its check would ever be reached.
        let info = bencode::field(data, b"info").unwrap_or(data);
        let (v1, v2) = (Sha1::digest(info).into(), Sha256::digest(info).into());
        for hash in [InfoHash::V1(v1), InfoHash::V2(v2), InfoHash::Hybrid { v1, v2 }] {
            let _ = Layout::from_info(info, &hash);
            let Ok(layout) = Layout::from_torrent(data, &hash) else { continue };
            let Some(files) = Files::of(&layout) else { continue };
            let whole = u64::from(layout.pieces()) * u64::from(layout.piece_length());
            for url in layout.web_seeds() {
                let _ = files.path(url, files.parts(0, whole).len() / 2);
            }
        }
    }),
    ("peer-wire", |data| {
        // As it comes from a socket: in parts, the first byte saying how large they are.
        let Some((&part, rest)) = data.split_first() else { return };
        let mut frames = Frames::default();
        for part in rest.chunks(usize::from(part).max(1)) {
            frames.space(part.len()).extend_from_slice(part);
            while let Ok(Some(_)) = frames.next() {}
        }
        frames.rest();
    }),
    // Not ours, and what else reads uTP in that library is private.
    ("utp", |data| {
        let _ = librqbit_utp::raw::UtpHeader::deserialize(data);
    }),
    ("mse", |data| {
        // What a peer answers, and what it begins with. Keys and paddings are always the same, so that inputs get as far as once.
        let mut peer = tokio::io::join(data, tokio::io::sink());
        let mut random = SplitMix64::seed_from_u64(1);
        let _ = mse::initiate(&mut peer, &[b'a'; 20], mse::ARC4, &mut random).now_or_never();
        let mut peer = tokio::io::join(data, tokio::io::sink());
        let mut random = SplitMix64::seed_from_u64(1);
        let asked = mse::receive(&mut peer, Vec::new(), &mut random).now_or_never();
        if let Some(Ok(asked)) = asked {
            let _ = asked.accept(&mut peer, &[b'a'; 20], mse::ARC4).now_or_never();
        }
    }),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn no_input_of_the_corpus_harms() {
        for (name, target) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
            let inputs: Vec<_> =
                std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(inputs.len() >= 3, "{name} has a corpus");
            for input in inputs {
                target(&std::fs::read(&input).unwrap());
            }
        }
    }
}

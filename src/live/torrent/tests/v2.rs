//! The hashes of a v2 torrent's pieces, from a peer.

use super::super::super::merkle;
use super::super::super::metainfo::v2_info_of;
use super::super::super::wire::HashRequest;
use super::*;

/// A torrent of one file whose piece layer takes two requests: its info dictionary, its hash and its layer.
fn v2_torrent() -> (Vec<u8>, InfoHash, Vec<[u8; 32]>) {
    let layer: Vec<[u8; 32]> = (0..600_u32).map(|n| merkle::leaf(&n.to_be_bytes())).collect();
    let root = merkle::root(layer.clone(), 0, 10);
    let (info, hash) = v2_info_of(600 * u64::from(BLOCK), &root);
    (info, hash, layer)
}

fn request_of(index: u32, length: u32) -> HashRequest {
    let (_, _, layer) = v2_torrent();
    HashRequest { root: merkle::root(layer, 0, 10), base: 0, index, length, proof_layers: 0 }
}

/// A visitor that has the info dictionary of [`v2_torrent`], and what it asked for then.
fn without_layers() -> (Peer, PeerKey, Vec<Vec<u8>>) {
    let (info, info_hash, _) = v2_torrent();
    let own = Own { info_hash, client: "x".into(), port: None, slots: 4 };
    let torrent = Torrent::new(own, None, Rc::default(), SplitMix64::seed_from_u64(1));
    let mut peer = Peer { torrent, now: Tick::ZERO, line: Bucket::new(1e12, Tick::ZERO) };
    let key = peer.join(1, false);
    let offer = Offer { ut_metadata: 3, metadata_size: Some(info.len() as u64), ..Offer::default() };
    peer.handle(key, Message::Offer(offer)).unwrap();
    peer.sent(key);
    peer.handle(key, Message::MetadataBlock { block: 0, data: &info }).unwrap();
    let sent = peer.sent(key);
    (peer, key, sent)
}

#[test]
fn layers_of_hashes_are_fetched_and_checked() {
    let (_, _, layer) = v2_torrent();
    let (mut peer, key, sent) = without_layers();
    let mut expected = [Vec::new(), Vec::new()];
    wire::hash_request(&mut expected[0], &request_of(0, 512));
    wire::hash_request(&mut expected[1], &request_of(512, 512));
    assert_eq!(sent, expected.map(|message| message[4..].to_vec()));
    let (first, second) = layer.split_at(512);
    let second = [second.as_flattened(), &[0; 32 * 424]].concat();
    peer.handle(key, Message::Hashes { request: request_of(512, 512), hashes: &second }).unwrap();
    assert!(peer.torrent.layout().is_none());
    let whole = Message::Hashes { request: request_of(0, 512), hashes: first.as_flattened() };
    peer.handle(key, whole.clone()).unwrap();
    assert_eq!(peer.torrent.layout().unwrap().pieces(), 600);
    assert_eq!(peer.handle(key, whole), Err(Cause::Malformed), "nobody asks any more");

    let (mut peer, key, _) = without_layers();
    peer.handle(key, Message::Hashes { request: request_of(512, 512), hashes: &second }).unwrap();
    let zeros = [0; 32 * 512];
    let wrong = Message::Hashes { request: request_of(0, 512), hashes: &zeros };
    assert_eq!(peer.handle(key, wrong), Err(Cause::Incorrect));
    for (request, hashes) in [(request_of(0, 256), &zeros[..32 * 256]), (request_of(0, 512), &zeros[1..])] {
        let (mut peer, key, _) = without_layers();
        assert_eq!(peer.handle(key, Message::Hashes { request, hashes }), Err(Cause::Malformed));
    }
    let (mut peer, key, _) = without_layers();
    assert_eq!(peer.handle(key, Message::HashReject(request_of(0, 512))), Err(Cause::Rejected));
    peer.handle(key, Message::HashRequest(request_of(0, 512))).unwrap();
    assert_eq!(peer.sent(key)[0][0], 23, "refused by name");
}

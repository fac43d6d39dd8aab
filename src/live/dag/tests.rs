use cid::multihash::Multihash;
use proptest::prelude::*;

use super::*;

fn name(codec: u64, block: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(SHA2_256, &Sha256::digest(block)).unwrap())
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

/// A node of UnixFS in DAG-PB over these parts.
fn node(kind: u8, parts: &[(Cid, u64)]) -> Vec<u8> {
    let links = parts.iter().map(|(cid, _)| field(2, &[field(1, &cid.to_bytes()), field(2, b"")].concat()));
    let size = parts.iter().fold(0_u64, |sum, (_, size)| sum.wrapping_add(*size));
    let sizes = parts.iter().map(|(_, size)| [vec![0x20], varint(*size)].concat());
    let file = [vec![0x08, kind, 0x18], varint(size), sizes.collect::<Vec<_>>().concat()].concat();
    [links.collect::<Vec<_>>().concat(), field(1, &file)].concat()
}

fn section(parts: &[&[u8]]) -> Vec<u8> {
    let bytes = parts.concat();
    [varint(bytes.len() as u64), bytes].concat()
}

/// A CARv1 of these blocks.
fn car(root: &Cid, blocks: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let header =
        [b"\xa2\x65roots\x81\xd8\x2a\x58\x25\x00", &root.to_bytes()[..], b"\x67version\x01"].concat();
    let sections = blocks.iter().map(|(cid, block)| section(&[&cid.to_bytes(), block]));
    [section(&[&header]), sections.collect::<Vec<_>>().concat()].concat()
}

/// A file of three leaves under two nodes: the link to its root, and its blocks.
fn tree() -> (Link, Vec<(Cid, Vec<u8>)>) {
    let leaves = [vec![1; 100], vec![2; 100], vec![3; 7]];
    let named = leaves.each_ref().map(|leaf| (name(RAW, leaf), leaf.len() as u64));
    let left = node(2, &named[..2]);
    let root = node(2, &[(name(DAG_PB, &left), 200), named[2]]);
    let mut blocks = vec![(name(DAG_PB, &root), root), (name(DAG_PB, &left), left)];
    blocks.extend(named.iter().map(|(cid, _)| *cid).zip(leaves));
    (Link { cid: blocks[0].0, size: 207 }, blocks)
}

#[test]
fn published_names_are_of_their_blocks() {
    let size = |cid: &str, block: &[u8]| Node::read(&cid.parse().unwrap(), block).map(|node| node.size());
    let raw = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
    assert_eq!(size(raw, b"hello world"), Ok(11));
    assert_eq!(size(raw, b"hello_world"), Err(Cause::Incorrect));
    // What `ipfs add` makes of an empty file, and of `hello world` with a line break, in CIDs of both versions.
    let empty = b"\x0a\x04\x08\x02\x18\x00";
    assert_eq!(size("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", empty), Ok(0));
    assert_eq!(size("bafybeif7ztnhq65lumvvtr4ekcwd2ifwgm3awq4zfr3srh462rwyinlb4y", empty), Ok(0));
    let hello = b"\x0a\x12\x08\x02\x12\x0chello world\n\x18\x0c";
    assert_eq!(size("QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o", hello), Ok(12));
}

/// What npm's `ipfs-unixfs-importer` 17.1.1 made of the bytes i mod 251 for i below 1000, 64 a leaf, four links a node, and `@ipld/car`
/// 5.4.7 of that: children first.
#[test]
fn what_another_author_built_is_read() {
    let v1: &[u8] = include_bytes!("../../../tests/corpus/dag/importer-v1");
    let v0: &[u8] = include_bytes!("../../../tests/corpus/dag/importer-v0");
    for (car, root) in [
        (v1, "bafybeiemrpy7dnz67ybuotx2u3w7xkwarcfcbwsglfbw6szkc3ytxqxoje"),
        // Leaves are nodes too.
        (v0, "QmXryJDJjNwrk4sgA2nidhsbcVZZV968d2JXttF2vokFjx"),
    ] {
        let link = Link { cid: root.parse().unwrap(), size: 1000 };
        assert_eq!(link.check_car(car), Ok(()), "{root}");
        let node = nodes(car).now_or_never().unwrap().unwrap().remove(&link.cid).unwrap();
        assert_eq!((node.size(), node.pieces()), (1000, 4));
        assert_eq!(node.link(3).unwrap().size, 1000 - 3 * 256);
        assert_eq!(link.check_car(&car[..car.len() - 1]), Err(Cause::Malformed));
    }
}

#[test]
fn a_root_tells_its_parts() {
    let (link, blocks) = tree();
    let root = Node::read(&link.cid, &blocks[0].1).unwrap();
    assert_eq!((root.size(), root.pieces()), (207, 2));
    let parts: Vec<_> =
        (0..3).map(|piece| root.link(piece).map(|link| (link.size, link.is_leaf()))).collect();
    assert_eq!(parts, [Some((200, false)), Some((7, true)), None]);
    assert_eq!(root.link(1).unwrap().check_block(&[3; 7]), Ok(()));
    assert_eq!(root.link(1).unwrap().check_block(&[3; 8]), Err(Cause::Incorrect));
    let alone = Node::read(&name(RAW, b"all"), b"all").unwrap();
    assert_eq!((alone.size(), alone.pieces(), alone.link(0)), (3, 1, None));
}

#[test]
fn no_file_is_malformed() {
    let leaf = name(RAW, b"leaf");
    let read = |block: &[u8]| Node::read(&name(DAG_PB, block), block);
    assert_eq!(read(&node(1, &[(leaf, 4)])), Err(Cause::Malformed), "a directory");
    assert_eq!(read(&field(1, b"\x08\x02\x18\x05")), Err(Cause::Malformed), "five bytes from nowhere");
    let without_sizes = [field(2, &field(1, &leaf.to_bytes())), field(1, b"\x08\x02")].concat();
    assert_eq!(read(&without_sizes), Err(Cause::Malformed));
    assert_eq!(
        read(&node(2, &[(leaf, u64::MAX), (leaf, 1)])),
        Err(Cause::Malformed),
        "more than there can be"
    );
    assert_eq!(read(b"no protobuf"), Err(Cause::Malformed));
    // DAG-CBOR, and SHA-1.
    assert_eq!(Node::read(&name(0x71, b"\xa0"), b"\xa0"), Err(Cause::Malformed));
    let old = Cid::new_v1(RAW, Multihash::wrap(0x11, &[0; 20]).unwrap());
    assert_eq!(Node::read(&old, b""), Err(Cause::Malformed));
}

#[test]
fn a_car_must_hold_all_of_the_tree() {
    let (link, blocks) = tree();
    assert_eq!(link.check_car(&car(&link.cid, &blocks)), Ok(()));
    let mut other: Vec<_> = blocks.iter().rev().cloned().collect();
    other.push(blocks[2].clone());
    assert_eq!(link.check_car(&car(&link.cid, &other)), Ok(()), "another order, and a block twice");
    for lost in 0..blocks.len() {
        let mut some = blocks.clone();
        some.remove(lost);
        assert_eq!(link.check_car(&car(&link.cid, &some)), Err(Cause::Malformed), "without block {lost}");
        let mut wrong = blocks.clone();
        wrong[lost].1[0] ^= 1;
        assert_eq!(link.check_car(&car(&link.cid, &wrong)), Err(Cause::Incorrect), "block {lost} is wrong");
    }
    let whole = car(&link.cid, &blocks);
    for length in 0..whole.len() {
        assert_eq!(link.check_car(&whole[..length]), Err(Cause::Malformed), "{length} bytes");
    }
    assert_eq!(Link { size: 206, ..link }.check_car(&whole), Err(Cause::Incorrect), "of another size");
    // A parent that says of its leaf what is not so.
    let leaf = (name(RAW, b"leaf"), b"leaf".to_vec());
    let liar = node(2, &[(leaf.0, 5)]);
    let link = Link { cid: name(DAG_PB, &liar), size: 5 };
    assert_eq!(link.check_car(&car(&link.cid, &[(link.cid, liar), leaf])), Err(Cause::Incorrect));
}

#[test]
fn what_is_shared_is_looked_at_once() {
    // 2^40 leaves, all the same.
    let mut below = (name(RAW, b"x"), 1_u64);
    let mut blocks = vec![(below.0, b"x".to_vec())];
    for _ in 0..40 {
        let block = node(2, &[below, below]);
        below = (name(DAG_PB, &block), 2 * below.1);
        blocks.push((below.0, block));
    }
    assert_eq!(Link { cid: below.0, size: below.1 }.check_car(&car(&below.0, &blocks)), Ok(()));
}

#[test]
fn too_much_is_not_asked_for() {
    let link = |codec, size| Link { cid: name(codec, b""), size };
    assert_eq!(link(RAW, 1 << 20).limit(), Some(MAX_BLOCK));
    assert_eq!(link(RAW, 5 << 20).limit(), None);
    assert_eq!(link(DAG_PB, 65 << 20).limit(), None);
    assert!(link(DAG_PB, 44 << 20).limit().unwrap() > 44 << 20);
}

proptest! {
    #[test]
    fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_any(&bytes);
        read_any(&[car(&name(RAW, b""), &[]), bytes].concat());
    }

    #[test]
    fn one_wrong_byte_never_goes_unnoticed(at in any::<prop::sample::Index>(), bit in 0_u32..8) {
        let (link, blocks) = tree();
        let mut car = car(&link.cid, &blocks);
        // The header is nobody's hash; blocks begin behind it.
        let start = 59;
        let at = start + at.index(car.len() - start);
        car[at] ^= 1_u8 << bit;
        prop_assert!(link.check_car(&car).is_err());
    }
}

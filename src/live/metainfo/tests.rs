use proptest::prelude::*;

use super::*;

const V1: InfoHash = InfoHash::V1([0; 20]);
const V2: InfoHash = InfoHash::V2([0; 32]);
const HYBRID: InfoHash = InfoHash::Hybrid { v1: [0; 20], v2: [0; 32] };
/// Not a hash of anything.
const ROOT: &str = "rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr";

#[test]
fn the_info_hash_is_taken_over_the_raw_span() {
    let (info, hash) = info_of(&[1; 70_000], 32_768);
    let torrent = [b"d8:announce3:abc4:info".as_slice(), &info, b"e"].concat();
    let layout = Layout::from_torrent(&torrent, &hash.into()).unwrap();
    assert_eq!((layout.pieces(), layout.size()), (3, 70_000));
    assert_eq!(layout.piece(1).unwrap().length, 32_768);
    assert_eq!(layout.piece(2).unwrap().length, 70_000 - 65_536);
    assert_eq!(layout.piece(3), None);
    assert_eq!(Layout::from_torrent(&torrent, &[0; 20].into()), Err(Cause::Incorrect));
    assert_eq!(Layout::from_torrent(&info, &hash.into()), Err(Cause::Malformed), "no info dictionary");
}

#[test]
fn several_files_add_up_and_impossible_layouts_are_malformed() {
    let hashes = "h".repeat(40);
    let parse = |info: String| Layout::parse(info.as_bytes(), &V1);
    let files = "5:filesld6:lengthi30e4:pathl1:aeed6:lengthi20e4:pathl1:beee";
    let layout = parse(format!("d{files}12:piece lengthi32e6:pieces40:{hashes}e")).unwrap();
    assert_eq!((layout.size(), layout.piece(1).unwrap().length), (50, 18));
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

/// A file in a `file tree`, by its entry's name.
fn file(name: &str, length: u64) -> String {
    let root = if length == 0 { String::new() } else { format!("11:pieces root32:{ROOT}") };
    format!("{}:{name}d0:d6:lengthi{length}e{root}ee", name.len())
}

fn v2_info(tree: &str, piece_length: u32) -> String {
    format!("d9:file treed{tree}e12:meta versioni2e12:piece lengthi{piece_length}ee")
}

#[test]
fn files_of_v2_begin_with_a_piece() {
    let tree = [file("a", 40_000), format!("3:dird{}e", file("b", 20_000)), file("e", 0), file("f", 16_384)];
    let layout = Layout::parse(v2_info(&tree.concat(), 16_384).as_bytes(), &V2).unwrap();
    assert_eq!((layout.pieces(), layout.size()), (6, 76_384));
    assert_eq!(layout.piece(0), None, "its proof is not known");
    let small = Piece { length: 16_384, v1: None, v2: Some(TreePiece { root: [b'r'; 32], height: 0 }) };
    assert_eq!((layout.piece(5), layout.piece(6)), (Some(small), None));
    // The files `a` and `dir/b` with the same root, which cannot be.
    assert_eq!(layout.missing_layers(), [MissingLayer { root: [b'r'; 32], base: 0, hashes: 3 }]);
    let small = Layout::parse(v2_info(&file("a", 40_000), 65_536).as_bytes(), &V2).unwrap();
    assert_eq!(small.piece(0).unwrap().v2.unwrap().height, 2, "no higher than the file needs");
}

#[test]
fn impossible_trees_are_malformed() {
    let deep = format!("{}{}{}", "1:xd".repeat(40), file("a", 1), "e".repeat(40));
    for (tree, piece_length) in [
        (String::new(), 16_384),
        (file("a", 0), 16_384),
        (file("a", 1), 8_192),
        (file("a", 1), 49_152),
        (deep, 16_384),
        (file("a", 1 << 60), 16_384),
        (file("a", 200_000 * 16_384).repeat(2), 16_384),
        ("1:ad0:d6:lengthi5eee".to_owned(), 16_384),
        ("1:ad0:d6:lengthi5e11:pieces root3:abceee".to_owned(), 16_384),
        ("1:ai5e".to_owned(), 16_384),
    ] {
        let info = v2_info(&tree, piece_length);
        assert_eq!(Layout::parse(info.as_bytes(), &V2), None, "{info}");
    }
    let other = v2_info(&file("a", 1), 16_384).replace("versioni2e", "versioni3e");
    assert_eq!(Layout::parse(other.as_bytes(), &V2), None, "a version that nobody knows");
    assert_eq!(Layout::parse(v2_info(&file("a", 1), 16_384).as_bytes(), &V1), None, "no v1 in it");
}

#[test]
fn layers_are_checked_against_their_root() {
    let layer: Vec<Hash> = (0..3_u8).map(|n| merkle::leaf(&[n])).collect();
    let (info, hash) = v2_info_of(40_000, &merkle::root(layer.clone(), 0, 2));
    let root = merkle::root(layer.clone(), 0, 2);
    let torrent = |layers: &[u8]| {
        let head = [b"d4:info", &info[..], b"12:piece layersd32:", &root].concat();
        [&head, format!("{}:", layers.len()).as_bytes(), layers, b"ee"].concat()
    };
    let good = layer.as_flattened();
    let layout = Layout::from_torrent(&torrent(good), &hash).unwrap();
    assert_eq!(layout.piece(2).unwrap().length, 40_000 - 32_768);
    assert_eq!(layout.piece(1).unwrap().v2, Some(TreePiece { root: layer[1], height: 0 }));
    assert_eq!(layout.missing_layers(), []);
    let mut bad = good.to_vec();
    bad[40] ^= 1;
    assert_eq!(Layout::from_torrent(&torrent(&bad), &hash), Err(Cause::Incorrect));
    assert_eq!(Layout::from_torrent(&torrent(&good[32..]), &hash), Err(Cause::Malformed));
    let without = [b"d4:info", &info[..], b"12:piece layersdee"].concat();
    assert_eq!(Layout::from_torrent(&without, &hash), Err(Cause::Malformed));
    assert_eq!(Layout::from_info(&info, &V2), Err(Cause::Incorrect), "another torrent's");
}

#[test]
fn both_halves_of_a_hybrid_torrent_must_agree() {
    let hybrid = |files: &str, pieces: usize| {
        let tree = [file("a", 20_000), file("b", 5)].concat();
        let hashes = "h".repeat(20 * pieces);
        let rest = format!("12:meta versioni2e12:piece lengthi16384e6:pieces{}:{hashes}", hashes.len());
        format!("d9:file treed{tree}e5:filesl{files}e{rest}e")
    };
    let (a, pad, b) = ("d6:lengthi20000ee", "d4:attr1:p6:lengthi12768ee", "d6:lengthi5ee");
    let layout = Layout::parse(hybrid(&[a, pad, b].concat(), 3).as_bytes(), &HYBRID).unwrap();
    assert_eq!((layout.pieces(), layout.size()), (3, 20_005));
    let second = layout.piece(1).unwrap();
    assert_eq!((second.length, second.v1.unwrap().padding, second.v2), (20_000 - 16_384, 12_768, None));
    assert_eq!(layout.missing_layers(), [], "the SHA-1 is enough");
    assert!(layout.piece(2).unwrap().v2.is_some());
    for (files, pieces) in
        [([a, b, ""], 2), ([b, pad, a], 3), ([a, pad, ""], 2), ([a, pad, "d6:lengthi6ee"], 3)]
    {
        let info = hybrid(&files.concat(), pieces);
        assert_eq!(Layout::parse(info.as_bytes(), &HYBRID), None, "{info}");
        assert!(Layout::parse(info.as_bytes(), &V1).is_some(), "who knows v1 alone does not see it: {info}");
    }
}

proptest! {
    #[test]
    fn pieces_cover_the_content(length in 1_usize..200_000, piece in 1_usize..70_000) {
        prop_assume!(length / piece < 5_000);
        let (info, hash) = info_of(&vec![0; length], piece);
        let layout = Layout::from_info(&info, &hash.into()).unwrap();
        let covered: u64 = (0..layout.pieces()).map(|index| u64::from(layout.piece(index).unwrap().length)).sum();
        prop_assert_eq!(covered, length as u64);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), tree in "[de0-9:a]{0,40}") {
        let almost = v2_info(&tree, 16_384).into_bytes();
        for info in [&bytes, &almost] {
            let torrent = [b"d4:info", &info[..], b"12:piece layersd", tree.as_bytes(), b"ee"].concat();
            let (v1, v2) = (Sha1::digest(info).into(), Sha256::digest(info).into());
            for hash in [InfoHash::V1(v1), InfoHash::V2(v2), InfoHash::Hybrid { v1, v2 }] {
                let _ = (Layout::from_torrent(&torrent, &hash), Layout::from_info(info, &hash));
            }
        }
    }
}

use proptest::prelude::*;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::super::metainfo::{info_of, v2_info_of};
use super::*;
use crate::profile::InfoHash;

fn urls(torrent: &str) -> Vec<String> {
    url_list(torrent.as_bytes()).into_iter().map(String::from).collect()
}

#[test]
fn a_url_list_is_one_string_or_several() {
    assert_eq!(urls("d8:url-list16:http://a.test/x/e"), ["http://a.test/x/"]);
    assert_eq!(
        urls("d8:url-listl15:http://a.test/f10:ftp://b/x/15:https://c.test/3:?!?ee"),
        ["http://a.test/f", "https://c.test/"]
    );
    for none in
        ["de", "d8:url-list0:e", "d8:url-listlee", "d8:url-listi7ee", "d8:url-listl2:\u{ff}i7eee", "x"]
    {
        assert!(urls(none).is_empty(), "{none}");
    }
    let many = format!("d8:url-listl{}ee", "14:http://a.test/".repeat(MAX_URLS + 9));
    assert_eq!(urls(&many).len(), MAX_URLS);
}

fn of_v1(info: &str) -> Option<Files> {
    let hash: [u8; 20] = Sha1::digest(info).into();
    Files::of(&Layout::from_info(info.as_bytes(), &hash.into()).unwrap())
}

/// Pieces of 10 bytes; files as (length, attributes, path).
fn many(files: &[(u64, &str, &str)]) -> Option<Files> {
    let text = |text: &str| format!("{}:{text}", text.len());
    let one = |(length, attr, path): &(u64, &str, &str)| {
        let parts: String = path.split('/').map(text).collect();
        format!("d4:attr{}6:lengthi{length}e4:pathl{parts}ee", text(attr))
    };
    let size: u64 = files.iter().map(|(length, ..)| length).sum();
    let pieces = size.div_ceil(10) as usize;
    let list: String = files.iter().map(one).collect();
    of_v1(&format!(
        "d5:filesl{list}e4:name5:a & b12:piece lengthi10e6:pieces{}:{}e",
        pieces * 20,
        "h".repeat(pieces * 20)
    ))
}

fn path(files: &Files, url: &str, file: usize) -> String {
    files.path(&Url::parse(url).unwrap(), file).unwrap()
}

#[test]
fn a_single_file_is_the_url_or_below_it() {
    let (info, hash) = info_of(&[7; 25], 10);
    let files = Files::of(&Layout::from_info(&info, &hash.into()).unwrap()).unwrap();
    assert_eq!(path(&files, "http://a.test", 0), "/x");
    assert_eq!(path(&files, "http://a.test/pub/", 0), "/pub/x");
    assert_eq!(path(&files, "http://a.test/pub/renamed.iso", 0), "/pub/renamed.iso");
    assert_eq!(path(&files, "http://a.test/get?file=7#part", 0), "/get?file=7");
    assert_eq!(files.parts(8, 25), [Part::Bytes { file: 0, begin: 8, end: 25, of: 25 }]);
}

#[test]
fn many_files_are_below_the_name_of_their_folder() {
    let files =
        many(&[(12, "", "one"), (0, "", "nothing"), (8, "p", ".pad/8"), (5, "x", "in/two ü#?.iso")]).unwrap();
    assert_eq!(path(&files, "http://a.test/pub", 0), "/pub/a%20%26%20b/one");
    assert_eq!(path(&files, "http://a.test/pub/", 2), "/pub/a%20%26%20b/in/two%20%C3%BC%23%3F.iso");
    assert_eq!(
        files.path(&Url::parse("http://a.test/").unwrap(), 1),
        None,
        "no server has what stands between"
    );
    let bytes = |file, begin, end, of| Part::Bytes { file, begin, end, of };
    assert_eq!(files.parts(0, 25), [bytes(0, 0, 12, 12), Part::Zeros(8), bytes(2, 0, 5, 5)]);
    assert_eq!(files.parts(10, 20), [bytes(0, 10, 12, 12), Part::Zeros(8)]);
    assert_eq!(files.parts(13, 22), [Part::Zeros(7), bytes(2, 0, 2, 5)]);
    assert_eq!(files.parts(14, 14), []);
}

#[test]
fn names_that_lead_elsewhere_are_not_followed() {
    for path in ["..", "a/../../b", "./a", "a//b"] {
        assert_eq!(many(&[(5, "", path)]), None, "{path}");
    }
    let hidden = many(&[(5, "", "...")]).unwrap();
    assert_eq!(path(&hidden, "http://a.test/", 0), "/a%20%26%20b/...");
}

#[test]
fn files_of_v2_begin_with_a_piece() {
    let (info, hash) = v2_info_of(5, &[1; 32]);
    let single = Files::of(&Layout::from_info(&info, &hash).unwrap()).unwrap();
    assert!(single.single);
    assert_eq!(path(&single, "http://a.test/pub/", 0), "/pub/x");

    let leaf = |length: u64| format!("d0:d6:lengthi{length}e11:pieces root32:{}ee", "r".repeat(32));
    let info = format!(
        "d9:file treed1:a{}1:bd1:c{}1:d{}ee12:meta versioni2e4:name1:n12:piece lengthi16384ee",
        leaf(16_385),
        leaf(7),
        leaf(16_384)
    );
    let hash = InfoHash::V2(Sha256::digest(&info).into());
    let files = Files::of(&Layout::from_info(info.as_bytes(), &hash).unwrap()).unwrap();
    assert_eq!(path(&files, "http://a.test", 1), "/n/b/c");
    let bytes = |file, begin, end, of| Part::Bytes { file, begin, end, of };
    assert_eq!(files.parts(16_384, 16_385), [bytes(0, 16_384, 16_385, 16_385)]);
    assert_eq!(files.parts(32_768, 32_775), [bytes(1, 0, 7, 7)]);
    assert_eq!(files.parts(49_152, 65_536), [bytes(2, 0, 16_384, 16_384)]);
}

proptest! {
    /// Every byte of the pieces is one byte of one file, or a zero between them, and none comes twice.
    #[test]
    fn parts_are_the_bytes_of_the_files_in_order(
        lengths in prop::collection::vec((0_u64..25, any::<bool>()), 1..12),
        (from, to) in (0_u64..300, 0_u64..300),
    ) {
        let names: Vec<String> = (0..lengths.len()).map(|n| format!("f{n}")).collect();
        let size: u64 = lengths.iter().map(|(length, _)| length).sum();
        prop_assume!(size > 0);
        let listed: Vec<_> = lengths.iter().zip(&names).map(|((length, pad), name)| (*length, if *pad { "p" } else { "" }, name.as_str())).collect();
        let files = many(&listed).unwrap();
        // What stands where, byte by byte.
        let whole: Vec<Option<(usize, u64)>> = lengths.iter().enumerate()
            .flat_map(|(n, (length, pad))| (0..*length).map(move |at| (!pad).then_some((n, at)))).collect();
        let (begin, end) = (from.min(to) % (size + 1), from.max(to) % (size + 1));
        let (begin, end) = (begin.min(end), begin.max(end));
        let mut bytes = Vec::new();
        for part in files.parts(begin, end) {
            match part {
                Part::Zeros(zeros) => bytes.extend((0..zeros).map(|_| None)),
                Part::Bytes { file, begin, end, of } => {
                    prop_assert!(begin < end && end <= of);
                    let n: usize = files.files[file].path.as_ref().unwrap()[1..].parse().unwrap();
                    prop_assert_eq!(of, lengths[n].0);
                    bytes.extend((begin..end).map(|at| Some((n, at))));
                }
            }
        }
        prop_assert_eq!(&bytes[..], &whole[begin as usize..end as usize]);
    }

    #[test]
    fn any_name_is_one_segment_of_a_path(name in prop::collection::vec(any::<u8>(), 1..40)) {
        let Some(text) = segment(&name) else { return Ok(()) };
        prop_assert!(!text.contains(['/', '?', '#', ' ']) && text.is_ascii());
        prop_assert_eq!(percent_encoding::percent_decode_str(&text).collect::<Vec<_>>(), name.clone());
        let url = Url::parse("http://a.test/").unwrap().join(&format!("x/{text}")).unwrap();
        prop_assert_eq!(url.path(), format!("/x/{text}"));
    }

    #[test]
    fn whatever_stands_in_a_torrent_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = url_list(&bytes);
        let _ = url_list(&[b"d8:url-list", &bytes[..], b"e"].concat());
    }
}

//! Reading `[[content]]`.

use cid::Cid;
use toml::de::DeValue;
use url::Url;

use super::super::{ContentItem, InfoHash, TorrentItem};
use crate::problem::{Form, Name, Names, Reported, Table, UrlPath, Value};

/// The info-hash by which a torrent is known.
struct Known(InfoHash);

impl Value for Known {
    fn noun() -> String {
        "an info-hash of 40 hexadecimal digits, or of 64 (BitTorrent v2)".to_owned()
    }

    fn forms() -> String {
        "\"0123456789abcdef0123456789abcdef01234567\"".to_owned()
    }

    fn form() -> Form {
        Form::Text { pattern: Some("^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"), or_number: false }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        unhex(text).map(InfoHash::V1).or_else(|| unhex(text).map(InfoHash::V2)).map(Self)
    }
}

/// The second info-hash of a hybrid torrent.
struct Second([u8; 32]);

impl Value for Second {
    fn noun() -> String {
        "an info-hash of 64 hexadecimal digits".to_owned()
    }

    fn forms() -> String {
        "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"".to_owned()
    }

    fn form() -> Form {
        Form::Text { pattern: Some("^[0-9a-fA-F]{64}$"), or_number: false }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        unhex(value.as_str()?).map(Self)
    }
}

/// The root of a DAG that the live world can check.
struct ContentId(Cid);

impl ContentId {
    /// Codes of the multicodec table: SHA-256, raw bytes, DAG-PB.
    const CHECKED: [(u64, u64); 2] = [(0x12, 0x55), (0x12, 0x70)];
}

impl Value for ContentId {
    fn noun() -> String {
        "a CID, version 0 or 1, of SHA-256 and raw bytes or DAG-PB".to_owned()
    }

    fn forms() -> String {
        "\"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e\"".to_owned()
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let cid: Cid = value.as_str()?.parse().ok()?;
        let whole = cid.hash().size() == 32;
        (whole && Self::CHECKED.contains(&(cid.hash().code(), cid.codec()))).then_some(Self(cid))
    }
}

/// Where a web seed is.
struct WebUrl(Url);

impl Value for WebUrl {
    fn noun() -> String {
        "an HTTP URL".to_owned()
    }

    fn forms() -> String {
        "\"http://files.staging/pub/\"".to_owned()
    }

    fn form() -> Form {
        Form::Text { pattern: Some("^https?://"), or_number: false }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let url = Url::parse(value.as_str()?).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(Self(url))
    }
}

/// What no two items may share.
#[derive(Default)]
pub(super) struct Unique {
    names: Names,
    hashes: Names,
    cids: Names,
}

/// Exactly `N` bytes in hexadecimal.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads one of `[[content]]`.
pub(super) fn content(table: &mut Table<'_>, unique: &mut Unique) -> Result<ContentItem, Reported> {
    let name = table.required::<Name>("name", "Name in reports.");
    let torrent = torrent(table);
    let cid =
        table.optional::<ContentId>("cid", "Root of its DAG, for visitors who read it through the gateway.");
    let seed = table.optional::<u32>(
        "seed",
        "Where the content is computed as the testbed does it: its seed. Visitors then need not keep it to give it to others.",
    );
    let (name, torrent, cid) = (name?.0.0, torrent?, cid?.map(|cid| cid.0));
    let unique_name = unique.names.claim(table, "name", &name);
    let unique_hash = torrent.as_ref().map_or(Ok(()), |torrent| {
        unique.hashes.claim(table, "info_hash", &hex(&torrent.info_hash.on_the_wire()))
    });
    let unique_cid = cid.map_or(Ok(()), |cid| unique.cids.claim(table, "cid", &cid.to_string()));
    unique_name?;
    unique_hash?;
    unique_cid?;
    if torrent.is_none() && cid.is_none() {
        let hint = "add `info_hash` and `torrent`, or a `cid`, or all three".to_owned();
        return Err(table.wrong_here("neither a torrent nor a `cid`".to_owned(), Some(hint)));
    }
    Ok(ContentItem { name, torrent, cid, seed: seed?.map(u64::from) })
}

/// Reads the keys of a torrent, where there are any.
fn torrent(table: &mut Table<'_>) -> Result<Option<TorrentItem>, Reported> {
    let known = table.optional::<Known>(
        "info_hash",
        "SHA-1 of the info dictionary, also of a hybrid torrent; of one that is v2 alone its SHA-256 (BEP 52). With `torrent`.",
    );
    let second = table.optional::<Second>(
        "info_hash_v2",
        "SHA-256 of a hybrid torrent: visitors are clients that know v2 then, and check both.",
    );
    let path = table
        .optional::<UrlPath>("torrent", "Path of the `.torrent` on the metadata server. With `info_hash`.");
    let web_seeds = table.list::<WebUrl>(
        "web_seeds",
        "Web seeds (BEP 19) of the torrent beside those that its `.torrent` names: on servers of this profile, or at literal addresses.",
    );
    let (known, second, path, web_seeds) = (known?, second?, path?, web_seeds?);
    let (Known(known), path) = match (known, path) {
        (Some(known), Some(path)) => (known, path.0.0),
        (None, None) if second.is_none() && web_seeds.is_empty() => return Ok(None),
        (None, _) => return Err(table.miss::<Known>("info_hash")),
        (Some(_), None) => return Err(table.miss::<UrlPath>("torrent")),
    };
    let info_hash = match (known, second) {
        (known, None) => known,
        (InfoHash::V1(v1), Some(Second(v2))) => InfoHash::Hybrid { v1, v2 },
        (InfoHash::V2(_) | InfoHash::Hybrid { .. }, Some(_)) => {
            let hint =
                "of a hybrid torrent `info_hash` is the SHA-1, of a v2 torrent there is one hash".to_owned();
            return Err(table.wrong("info_hash_v2", "two v2 info-hashes".to_owned(), Some(hint)));
        }
    };
    let web_seeds = web_seeds.into_iter().map(|url| url.into_inner().0).collect();
    Ok(Some(TorrentItem { info_hash, path, web_seeds }))
}

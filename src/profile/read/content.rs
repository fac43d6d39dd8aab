//! Reading `[[content]]`.

use toml::de::DeValue;

use super::super::{ContentItem, InfoHash};
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
pub(super) fn content(
    table: &mut Table<'_>,
    names: &mut Names,
    hashes: &mut Names,
) -> Result<ContentItem, Reported> {
    let name = table.required::<Name>("name", "Name in reports.");
    let known = table.required::<Known>(
        "info_hash",
        "SHA-1 of the info dictionary, also of a hybrid torrent; of one that is v2 alone its SHA-256 (BEP 52).",
    );
    let second = table.optional::<Second>(
        "info_hash_v2",
        "SHA-256 of a hybrid torrent: visitors are clients that know v2 then, and check both.",
    );
    let torrent = table.required::<UrlPath>("torrent", "Path of the `.torrent` on the metadata server.");
    let (name, known) = (name?.0.0, known?.0);
    let unique_name = names.claim(table, "name", &name);
    let unique_hash = hashes.claim(table, "info_hash", &hex(&known.on_the_wire()));
    let info_hash = match (known, second?) {
        (known, None) => known,
        (InfoHash::V1(v1), Some(Second(v2))) => InfoHash::Hybrid { v1, v2 },
        (InfoHash::V2(_) | InfoHash::Hybrid { .. }, Some(_)) => {
            let hint =
                "of a hybrid torrent `info_hash` is the SHA-1, of a v2 torrent there is one hash".to_owned();
            return Err(table.wrong("info_hash_v2", "two v2 info-hashes".to_owned(), Some(hint)));
        }
    };
    unique_name?;
    unique_hash?;
    Ok(ContentItem { name, info_hash, torrent_path: torrent?.0.0 })
}

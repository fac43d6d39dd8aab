//! Bencode from outside (BEP 3): checked whole before anything is made of it.
//!
//! `bt_bencode` builds the values. It has no raw spans, which the info-hash needs, recurses as deep as the sender likes and adds
//! lengths without a check, hence the scanner in front of it. Keys out of order are let pass, as common clients do.

use serde::Deserialize;

/// Nesting that is still read; real messages need 5, and a v2 torrent four more than its folders.
const DEPTH: u32 = 32;

/// The first value in `data`, exactly; `None` where there is none.
pub(super) fn first_value(data: &[u8]) -> Option<&[u8]> {
    data.get(..end(data, 0, DEPTH)?)
}

/// The raw value of `key` in a dictionary that is the whole of `dict`.
pub(super) fn field<'a>(dict: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    entries(dict)?.find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// The keys and raw values, in their order, of a dictionary that is the whole of `dict`.
pub(super) fn entries(dict: &[u8]) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
    if first_value(dict)?.len() != dict.len() || dict.first() != Some(&b'd') {
        return None;
    }
    let mut at = 1;
    Some(std::iter::from_fn(move || {
        dict.get(at).filter(|byte| **byte != b'e')?;
        let value = end(dict, at, DEPTH)?;
        let next = end(dict, value, DEPTH)?;
        let entry = (string(dict.get(at..value)?)?, dict.get(value..next)?);
        at = next;
        Some(entry)
    }))
}

/// The typed value that is the whole of `data`.
pub(super) fn decode<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Option<T> {
    if first_value(data)?.len() != data.len() {
        return None;
    }
    bt_bencode::from_slice(data).ok()
}

/// The typed value that `data` begins with, whatever follows it.
pub(super) fn decode_first<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Option<T> {
    bt_bencode::from_slice(first_value(data)?).ok()
}

/// The bytes of a byte string that is the whole of `value`, a raw value; `None` where that is something else.
pub(super) fn string(value: &[u8]) -> Option<&[u8]> {
    value.first().filter(|byte| byte.is_ascii_digit())?;
    let colon = value.iter().position(|&byte| byte == b':')?;
    value.get(colon + 1..)
}

/// Where the value that begins at `at` ends.
fn end(data: &[u8], at: usize, depth: u32) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    match data.get(at)? {
        b'i' => integer_end(data, at),
        b'0'..=b'9' => string_end(data, at),
        b'l' => {
            let mut at = at + 1;
            while *data.get(at)? != b'e' {
                at = end(data, at, depth)?;
            }
            Some(at + 1)
        }
        b'd' => {
            let mut at = at + 1;
            while *data.get(at)? != b'e' {
                at = end(data, string_end(data, at)?, depth)?;
            }
            Some(at + 1)
        }
        _ => None,
    }
}

/// `i-42e`; neither `-0` nor leading zeros.
fn integer_end(data: &[u8], at: usize) -> Option<usize> {
    let digits = at + 1 + usize::from(data.get(at + 1) == Some(&b'-'));
    let last = digits + data.get(digits..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = data.get(digits..last)?;
    let canonical = match number.first()? {
        b'0' => number.len() == 1 && digits == at + 1,
        _ => number.len() <= 19,
    };
    (canonical && data.get(last) == Some(&b'e')).then_some(last + 1)
}

/// `4:spam`; no leading zeros.
fn string_end(data: &[u8], at: usize) -> Option<usize> {
    let rest = data.get(at..)?;
    let (mut length, mut digits) = (0_usize, 0);
    // Read here, and not by `str::parse`: a datagram of the DHT has some fifteen of them, and each is read more than once.
    while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
        length = length.checked_mul(10)?.checked_add(usize::from(digit - b'0'))?;
        digits += 1;
    }
    let canonical = digits == 1 || (digits > 1 && rest.first() != Some(&b'0'));
    let end = (at + digits + 1).checked_add(length)?;
    (canonical && rest.get(digits) == Some(&b':') && end <= data.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use bt_bencode::Value;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_end_where_they_end() {
        for whole in ["i0e", "i-7e", "0:", "4:spam", "le", "d1:al1:bi3eee", "d1:bi1e1:ai2ee"] {
            assert_eq!(first_value(whole.as_bytes()), Some(whole.as_bytes()), "{whole}");
            assert_eq!(first_value(format!("{whole}rest").as_bytes()), Some(whole.as_bytes()), "{whole}");
        }
        for broken in [
            "",
            "i-0e",
            "i03e",
            "ie",
            "i1",
            "03:abc",
            "4:abc",
            "l",
            "d1:a",
            "di1ei2ee",
            "x",
            "99999999999999999999999:a",
            "18446744073709551615:a",
            "i99999999999999999999e",
        ] {
            assert_eq!(first_value(broken.as_bytes()), None, "{broken}");
        }
        assert_eq!(first_value(&[b'l'; 1 << 20]), None, "a nesting bomb");
    }

    #[test]
    fn fields_are_raw_spans() {
        let dict = b"d1:a4:info4:infod6:lengthi3ee1:z1:ye";
        assert_eq!(field(dict, b"info"), Some(&b"d6:lengthi3ee"[..]));
        assert_eq!(field(dict, b"a"), Some(&b"4:info"[..]));
        assert_eq!(field(dict, b"none"), None);
        assert_eq!(field(b"d1:ai1ee ", b"a"), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..20)
                .prop_map(|bytes| Value::ByteStr(bt_bencode::ByteString::from(bytes))),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
                prop::collection::btree_map(prop::collection::vec(any::<u8>(), 0..9), inner, 0..5).prop_map(
                    |map| {
                        let keyed = map.into_iter().map(|(key, it)| (bt_bencode::ByteString::from(key), it));
                        Value::Dict(keyed.collect())
                    }
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_encoder_writes_is_read(value in value(), tail in prop::collection::vec(any::<u8>(), 0..9)) {
            let whole = bt_bencode::to_vec(&value).unwrap();
            let mut longer = whole.clone();
            longer.extend(&tail);
            prop_assert_eq!(first_value(&longer), Some(&whole[..]));
            // Compared as bytes: a number has two forms as a `Value`.
            let read: Value = decode(&whole).unwrap();
            prop_assert_eq!(bt_bencode::to_vec(&read).unwrap(), whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = first_value(&bytes);
            let _ = field(&bytes, b"a");
            let _ = decode::<Value>(&bytes);
        }

        #[test]
        fn almost_bencode_never_panics(text in "[idle0-9:a-c-]{0,60}") {
            let _ = field(text.as_bytes(), b"a");
            let _ = decode::<Value>(text.as_bytes());
        }
    }
}

//! What header fields say: when to come again, and who answered. Fields that break their syntax say nothing, as their RFCs ask for.

use std::io::Read;
use std::time::{Duration, SystemTime};

use flate2::read::MultiGzDecoder;
use hyper::HeaderMap;
use hyper::header::{AGE, CONTENT_ENCODING, DATE, HeaderName, RETRY_AFTER};
use sfv::{List, ListEntry, Parser};

use crate::journey::Cause;

/// Longest pause that is taken over: who is told to wait longer comes again no sooner than any run ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(366 * 86_400);

/// The pause that a server asks for (RFC 9110 section 10.2.3), in seconds or until a date. Dates count from the answer's own `Date`, so
/// that the server's clock need not be ours.
pub(super) fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| fields.get(name)?.to_str().ok();
    let wanted = text(RETRY_AFTER)?.trim();
    let pause = if is_number(wanted) {
        Duration::from_secs(wanted.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(wanted).ok()?;
        let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
        // A date in the past asks for no pause.
        date.duration_since(now).unwrap_or_default()
    };
    Some(pause.min(LONGEST_PAUSE))
}

/// Who answered, as far as caches on the way tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheAnswer {
    /// A cache.
    Hit,
    /// The origin, asked by a cache.
    Miss,
}

/// Reads `Cache-Status` (RFC 9211), else the fields that came before it, else `Age` (RFC 9111 section 5.1: only caches send it).
pub(super) fn cache_answer(fields: &HeaderMap) -> Option<CacheAnswer> {
    cache_status(fields).or_else(|| cache_words(fields)).or_else(|| {
        let age = fields.get(AGE)?.to_str().ok()?;
        is_number(age.trim()).then_some(CacheAnswer::Hit)
    })
}

/// One hit on the way is enough: the origin was not asked.
fn cache_status(fields: &HeaderMap) -> Option<CacheAnswer> {
    let lines: Vec<&[u8]> = fields.get_all("cache-status").iter().map(|line| line.as_bytes()).collect();
    if lines.is_empty() {
        return None;
    }
    let list: List = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    let caches = || {
        list.iter().filter_map(|cache| match cache {
            ListEntry::Item(cache) => Some(&cache.params),
            ListEntry::InnerList(_) => None,
        })
    };
    if caches().any(|cache| cache.get("hit").and_then(|hit| hit.as_boolean()) == Some(true)) {
        return Some(CacheAnswer::Hit);
    }
    caches().any(|cache| cache.contains_key("fwd")).then_some(CacheAnswer::Miss)
}

/// Fields of one word for each cache, such as `HIT`, `Miss from cloudfront`, `TCP_MEM_HIT` or `MISS, HIT`.
const WORD_FIELDS: [HeaderName; 3] = [
    HeaderName::from_static("cf-cache-status"),
    HeaderName::from_static("x-cache"),
    HeaderName::from_static("x-cache-status"),
];

fn cache_words(fields: &HeaderMap) -> Option<CacheAnswer> {
    let line = WORD_FIELDS.iter().find_map(|name| fields.get(name)?.to_str().ok())?;
    let words =
        || line.split(',').filter_map(|cache| cache.split_ascii_whitespace().next()).filter_map(cache_word);
    words().find(|answer| *answer == CacheAnswer::Hit).or_else(|| words().next())
}

/// The words of nginx, Varnish, Squid, Fastly, CloudFront and Cloudflare. What a cache gives while it asks again, or after the origin
/// said that nothing changed, it gives itself.
fn cache_word(word: &str) -> Option<CacheAnswer> {
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "stale" | "updating" | "revalidated" => Some(CacheAnswer::Hit),
        "expired" | "bypass" | "dynamic" => Some(CacheAnswer::Miss),
        _ if word.ends_with("hit") => Some(CacheAnswer::Hit),
        _ if word.ends_with("miss") => Some(CacheAnswer::Miss),
        _ => None,
    }
}

/// A body as it was before it was compressed, of at most `limit` bytes.
///
/// # Errors
/// [`Cause::Malformed`] where it is longer, broken, or compressed in a way that was not asked for.
pub(super) fn decoded(body: Vec<u8>, fields: &HeaderMap, limit: usize) -> Result<Vec<u8>, Cause> {
    let Some(coding) = fields.get(CONTENT_ENCODING) else { return Ok(body) };
    match coding.as_bytes().to_ascii_lowercase().as_slice() {
        b"identity" => Ok(body),
        b"gzip" | b"x-gzip" => {
            let mut plain = Vec::new();
            let decoder = MultiGzDecoder::new(body.as_slice());
            decoder.take(limit as u64 + 1).read_to_end(&mut plain).map_err(|_| Cause::Malformed)?;
            if plain.len() > limit { Err(Cause::Malformed) } else { Ok(plain) }
        }
        _ => Err(Cause::Malformed),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(line).collect()
    }

    fn pause(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        retry_after(&fields(pairs), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn pauses_are_seconds_or_dates() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(pause(&[("retry-after", "120")]), seconds(120));
        assert_eq!(pause(&[("retry-after", "99999999999999999999999")]), Some(LONGEST_PAUSE));
        // The example of RFC 9110, its other two forms of dates, and no other words.
        let date = ("date", "Fri, 31 Dec 1999 23:59:49 GMT");
        assert_eq!(pause(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"), date]), seconds(10));
        assert_eq!(pause(&[("retry-after", "Friday, 31-Dec-99 23:59:59 GMT"), date]), seconds(10));
        assert_eq!(pause(&[("retry-after", "Fri Dec 31 23:59:59 1999"), date]), seconds(10));
        assert_eq!(pause(&[("retry-after", "Fri, 31 Dec 1999 23:59:00 GMT"), date]), seconds(0));
        assert_eq!(pause(&[("retry-after", "Thu, 01 Jan 1970 00:01:00 GMT")]), seconds(60), "by our clock");
        for silent in ["", "soon", "-1", "1.5", "+3"] {
            assert_eq!(pause(&[("retry-after", silent)]), None, "{silent}");
        }
        assert_eq!(pause(&[]), None);
    }

    #[test]
    fn caches_tell_in_their_ways() {
        use CacheAnswer::{Hit, Miss};
        let cases = [
            ("cache-status", "ExampleCache; hit", Some(Hit)),
            ("cache-status", "OriginCache; hit; ttl=1100, \"CDN Company Here\"; fwd=uri-miss", Some(Hit)),
            ("cache-status", "ExampleCache; fwd=uri-miss; stored", Some(Miss)),
            ("cache-status", "ExampleCache; hit=?0; fwd=stale; fwd-status=304", Some(Miss)),
            ("cache-status", "ExampleCache; detail=TUNNEL", None),
            ("cache-status", "ExampleCache; hit; ???", None),
            ("cache-status", "", None),
            ("x-cache", "HIT from proxy.example:3128", Some(Hit)),
            ("x-cache", "Miss from cloudfront", Some(Miss)),
            ("x-cache", "RefreshHit from cloudfront", Some(Hit)),
            ("x-cache", "MISS, HIT", Some(Hit)),
            ("x-cache", "TCP_MISS", Some(Miss)),
            ("x-cache", "Error from cloudfront", None),
            ("x-cache-status", "EXPIRED", Some(Miss)),
            ("cf-cache-status", "REVALIDATED", Some(Hit)),
            ("cf-cache-status", "DYNAMIC", Some(Miss)),
            ("age", "0", Some(Hit)),
            ("age", "-5", None),
            ("age", "old", None),
        ];
        for (name, value, expected) in cases {
            assert_eq!(cache_answer(&fields(&[(name, value)])), expected, "{name}: {value}");
        }
        let lines =
            [("cache-status", "Origin; fwd=miss"), ("cache-status", "Edge; hit"), ("x-cache", "MISS")];
        assert_eq!(cache_answer(&fields(&lines)), Some(Hit), "several lines are one list");
        assert_eq!(cache_answer(&fields(&[("x-cache", "MISS"), ("age", "7")])), Some(Miss));
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_unpacked_within_their_limit() {
        let packed = gzip(&[7; 1000]);
        let by = |coding, body: &[u8], limit| {
            decoded(body.to_vec(), &fields(&[("content-encoding", coding)]), limit)
        };
        assert_eq!(by("gzip", &packed, 1000), Ok(vec![7; 1000]));
        assert_eq!(by("GZIP", &packed, 999), Err(Cause::Malformed), "a bomb");
        assert_eq!(by("gzip", &packed[..packed.len() - 9], 1000), Err(Cause::Malformed));
        assert_eq!(by("br", &packed, 1000), Err(Cause::Malformed), "not asked for");
        assert_eq!(by("identity", b"plain", 9), Ok(b"plain".to_vec()));
        assert_eq!(decoded(b"plain".to_vec(), &HeaderMap::new(), 9), Ok(b"plain".to_vec()));
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_field_is_read_without_a_panic(value in "[ -~]{0,60}", bytes in prop::collection::vec(0x20_u8..=0xff, 0..40)) {
            for name in ["retry-after", "date", "cache-status", "x-cache", "age", "content-encoding"] {
                let mut map = fields(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"), (name, &value)]);
                if let Ok(raw) = HeaderValue::from_bytes(&bytes) {
                    map.append(name, raw);
                }
                let _ = (retry_after(&map, SystemTime::UNIX_EPOCH), cache_answer(&map), decoded(bytes.clone(), &map, 64));
            }
        }

        #[test]
        fn any_number_of_seconds_is_taken_over(seconds in 0_u64..31_000_000) {
            prop_assert_eq!(pause(&[("retry-after", &seconds.to_string())]), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn what_was_packed_is_unpacked(plain in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(decoded(gzip(&plain), &fields(&[("content-encoding", "gzip")]), 2000), Ok(plain));
        }
    }
}

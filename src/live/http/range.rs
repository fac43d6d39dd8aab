//! Parts of files (RFC 9110 section 14), as BitTorrent clients fetch them from web seeds.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use url::{Position, Url};

use crate::journey::Cause;

use super::super::meter::Meter;
use super::ask::{self, Ask};
use super::connection::Answer;
use super::{Agent, Browser, Kept, MAX_REDIRECTS, Site, Verdict, verdict};

/// How long a server may send nothing (libtorrent's `urlseed_timeout`).
const SILENCE: Duration = Duration::from_secs(20);
/// Bytes of the page around a redirect that are still read, so that the connection can be used again.
const MAX_NOTE: usize = 64 << 10;

/// A file on a server.
#[derive(Clone, Debug)]
pub(in super::super) struct Place {
    site: Rc<Site>,
    path: String,
}

/// Who fetches.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Fetcher<'a> {
    pub(in super::super) user_agent: &'a str,
    pub(in super::super) browser: Browser,
    pub(in super::super) meter: &'a Meter,
}

/// The part of a file that is wanted. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    pub(in super::super) bytes: Range<u64>,
    /// Bytes of the whole file.
    pub(in super::super) of: u64,
}

impl Place {
    /// Where a URL leads to; `None` where that is none of the target's servers and may not be contacted.
    pub(in super::super) fn find(agent: &Agent, url: &Url) -> Option<Self> {
        let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        Some(Self { site: agent.site_at(url).ok()?, path })
    }

    /// Another file on the same server.
    pub(in super::super) fn beside(&self, path: String) -> Self {
        Self { site: Rc::clone(&self.site), path }
    }
}

impl Agent {
    /// Fetches a part of a file on the kept connection where it still leads there, and hands on its bytes as they come; no more are read
    /// before `each` is done with them. Returns where the file was in the end, if it was elsewhere. After an error the connection is closed.
    ///
    /// A server that ignores `Range` may send the whole file where the whole is wanted, and nowhere else: libtorrent and aria2 refuse it as
    /// well, since the bytes that nobody asked for would be most of the traffic.
    ///
    /// # Errors
    /// What the network or the server did, or `each` says: [`Cause::Rejected`] where the server ignores the range, [`Cause::Incorrect`]
    /// where its file has another size, [`Cause::Malformed`] where it sends another part, more or less.
    pub(in super::super) async fn fetch_part(
        &self,
        place: &Place,
        wanted: &Wanted,
        fetcher: Fetcher<'_>,
        kept: &mut Kept,
        mut each: impl AsyncFnMut(&[u8]) -> Result<(), Cause>,
    ) -> Result<Option<Place>, Cause> {
        let mut at = place.clone();
        for hop in 0..=MAX_REDIRECTS {
            let (path, fields) = (ask::path(&at.path)?, wanted.fields()?);
            let ask = Ask { more: Some(&fields), ..Ask::new(&path, fetcher.user_agent)? };
            // Whatever goes wrong half-way: what is left of the answer must not be taken for the next.
            let mut connection = std::mem::take(kept);
            let sent = self.send(&at.site, &ask, fetcher.browser, &mut connection, fetcher.meter);
            let mut answer = within_patience(sent).await?;
            match verdict(&answer, false, fetcher.meter)? {
                Verdict::Moved { location, .. } => {
                    let read = answer.read(fetcher.meter, None, MAX_NOTE, |_| {});
                    within_patience(read).await?;
                    fetcher.meter.web(|web| web.redirects += 1);
                    let (site, path) = self.destination(&at.site, &at.path, &location)?;
                    at = Place { site, path };
                }
                Verdict::Done => {
                    wanted.check(answer.head.status, &answer.head.headers)?;
                    wanted.read(&mut answer, fetcher, &mut each).await?;
                    *kept = connection;
                    return Ok((hop > 0).then_some(at));
                }
            }
            *kept = connection;
        }
        // As a rule a loop.
        Err(Cause::Incorrect)
    }
}

impl Wanted {
    /// No `Accept-Encoding`: a part of a compressed file is of no use.
    fn fields(&self) -> Result<HeaderMap, Cause> {
        let range = format!("bytes={}-{}", self.bytes.start, self.bytes.end.saturating_sub(1));
        let range = HeaderValue::try_from(range).map_err(|_| Cause::Local)?;
        Ok(HeaderMap::from_iter([(RANGE, range)]))
    }

    /// Whether an answer that says yes is about this part.
    fn check(&self, status: StatusCode, fields: &HeaderMap) -> Result<(), Cause> {
        let text = |name| fields.get(name).and_then(|field: &HeaderValue| field.to_str().ok());
        if text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Cause::Malformed);
        }
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let (bytes, of) = text(CONTENT_RANGE).and_then(content_range).ok_or(Cause::Malformed)?;
                if of.is_some_and(|of| of != self.of) {
                    return Err(Cause::Incorrect);
                }
                if bytes == self.bytes { Ok(()) } else { Err(Cause::Malformed) }
            }
            StatusCode::OK if self.bytes == (0..self.of) => {
                let length = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
                if length.is_none_or(|length: u64| length == self.of) {
                    Ok(())
                } else {
                    Err(Cause::Incorrect)
                }
            }
            StatusCode::OK => Err(Cause::Rejected),
            _ => Err(Cause::Malformed),
        }
    }

    async fn read(
        &self,
        answer: &mut Answer,
        fetcher: Fetcher<'_>,
        each: &mut impl AsyncFnMut(&[u8]) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let mut missing = self.bytes.end.saturating_sub(self.bytes.start);
        while let Some(data) = within_patience(answer.data()).await? {
            fetcher.meter.received(data.len());
            missing = missing.checked_sub(data.len() as u64).ok_or(Cause::Malformed)?;
            each(&data).await?;
        }
        if missing == 0 { Ok(()) } else { Err(Cause::Closed) }
    }
}

async fn within_patience<T>(step: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    tokio::time::timeout(SILENCE, step).await.unwrap_or(Err(Cause::Timeout))
}

/// `bytes 0-99/1234`, or with `*` for a size that is not known: the part, and the size of the whole.
fn content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (part, of) = rest.trim().split_once('/')?;
    let (first, last) = part.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (first, last): (u64, u64) = (number(first)?, number(last)?);
    let of = if of == "*" { None } else { Some(number(of)?) };
    let fits = unit.eq_ignore_ascii_case("bytes") && first <= last && of.is_none_or(|of| last < of);
    fits.then(|| Some((first..last.checked_add(1)?, of)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 0-99/1234"), Some((0..100, Some(1234))));
        assert_eq!(content_range("Bytes 7-7/*"), Some((7..8, None)));
        for wrong in [
            "",
            "bytes",
            "bytes 0-99",
            "bytes */1234",
            "bytes 9-0/20",
            "bytes 0-20/20",
            "lines 0-9/20",
            "bytes -5-9/20",
            "bytes 0-+9/20",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    fn check(bytes: Range<u64>, status: u16, fields: &[(&'static str, &str)]) -> Result<(), Cause> {
        let fields = fields.iter().map(|(name, text)| {
            (hyper::header::HeaderName::from_static(name), HeaderValue::from_str(text).unwrap())
        });
        Wanted { bytes, of: 100 }.check(StatusCode::from_u16(status).unwrap(), &fields.collect())
    }

    #[test]
    fn an_answer_must_be_about_the_part_that_was_asked_for() {
        assert_eq!(check(10..20, 206, &[("content-range", "bytes 10-19/100")]), Ok(()));
        assert_eq!(check(10..20, 206, &[("content-range", "bytes 10-19/*")]), Ok(()));
        assert_eq!(check(10..20, 206, &[]), Err(Cause::Malformed));
        assert_eq!(check(10..20, 206, &[("content-range", "bytes 10-20/100")]), Err(Cause::Malformed));
        assert_eq!(
            check(10..20, 206, &[("content-range", "bytes 10-19/101")]),
            Err(Cause::Incorrect),
            "another file"
        );
        let packed = [("content-range", "bytes 10-19/100"), ("content-encoding", "gzip")];
        assert_eq!(check(10..20, 206, &packed), Err(Cause::Malformed));
        assert_eq!(
            check(10..20, 200, &[("content-length", "100")]),
            Err(Cause::Rejected),
            "the range is ignored"
        );
        assert_eq!(check(0..100, 200, &[("content-length", "100")]), Ok(()));
        assert_eq!(check(0..100, 200, &[]), Ok(()), "chunked");
        assert_eq!(check(0..100, 200, &[("content-length", "99")]), Err(Cause::Incorrect));
        assert_eq!(check(0..100, 204, &[]), Err(Cause::Malformed));
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_what_is_understood(first in 0_u64..1 << 60, length in 1_u64..1 << 40, more in 0_u64..1 << 40) {
            let wanted = Wanted { bytes: first..first + length, of: first + length + more };
            let fields = wanted.fields().unwrap();
            let range = fields[RANGE].to_str().unwrap().replace('=', " ");
            prop_assert_eq!(content_range(&format!("{range}/{}", wanted.of)), Some((wanted.bytes, Some(wanted.of))));
        }

        #[test]
        fn whatever_stands_there_is_read_without_a_panic(text in "[ -~]{0,40}", numbers in "bytes [0-9]{0,22}-[0-9]{0,22}/[0-9*]{0,22}") {
            let _ = (content_range(&text), content_range(&numbers));
        }
    }
}

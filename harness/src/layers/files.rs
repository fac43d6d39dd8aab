//! The content as files on a web server, whole or in parts (RFC 9110 section 14): what a web seed is (BEP 19).

use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::content::Source;

/// Bytes that are computed at a time, so that a large file is never in memory.
const STEP: u64 = 64 << 10;

/// A file that is computed as it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct File {
    pub(super) source: Source,
    /// Bytes.
    pub(super) size: u64,
}

/// The whole file, or the one part that is asked for. Who asks for several at once gets the whole, as RFC 9110 lets servers do, and who asks
/// for what nobody can read too.
pub(super) async fn file(
    State(files): State<Arc<HashMap<String, File>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, StatusCode> {
    let file = files.get(&name).copied().ok_or(StatusCode::NOT_FOUND)?;
    let asked = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(asked) = asked.and_then(|range| http_range_header::parse_range_header(range).ok()) else {
        return Ok(file.whole());
    };
    Ok(match asked.validate(file.size).as_deref() {
        Ok([part]) => file.part(part),
        Ok(_) => file.whole(),
        Err(_) => {
            let range = [(header::CONTENT_RANGE, format!("bytes */{}", file.size))];
            (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response()
        }
    })
}

impl File {
    fn whole(self) -> Response {
        let fields = [(header::CONTENT_LENGTH, self.size.to_string())];
        (fields, [(header::ACCEPT_RANGES, "bytes")], self.body(0..self.size)).into_response()
    }

    fn part(self, part: &RangeInclusive<u64>) -> Response {
        let (first, last) = (*part.start(), *part.end());
        let fields = [
            (header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", self.size)),
            (header::CONTENT_LENGTH, (last + 1 - first).to_string()),
        ];
        (StatusCode::PARTIAL_CONTENT, fields, self.body(first..last + 1)).into_response()
    }

    fn body(self, Range { start, end }: Range<u64>) -> Body {
        let steps = (start..end).step_by(STEP as usize).map(move |at| {
            let mut bytes = vec![0; (end - at).min(STEP) as usize];
            self.source.fill(at, &mut bytes);
            Ok::<_, std::convert::Infallible>(Bytes::from(bytes))
        });
        Body::from_stream(stream::iter(steps))
    }
}

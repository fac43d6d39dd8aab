//! HTTP/1.1 (RFC 9112) on one connection, one exchange after the other.
//!
//! hyper's connection is a task with channels and buffers of its own: half of what an exchange costs here, and some 20 KiB for every visitor
//! who waits for an answer (`benches/RESULTS.md`). This one is driven by who waits for it, reads into a buffer that a server's visitors
//! share, and holds nothing while it waits. Heads and chunk sizes are read by httparse, as hyper's are.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};

use crate::journey::Cause;

use super::ask::Ask;
use super::connection::{Stream, io_cause};

/// Fields of an answer (hyper's number).
const MAX_FIELDS: usize = 100;
/// Bytes of a head, of a chunk's first line, of trailers.
const MAX_HEAD: usize = 32 << 10;
/// Bytes that are read at a time.
const READ: usize = 64 << 10;

/// What the connections of a worker to one server read into, and write from.
#[derive(Clone, Debug)]
pub(super) struct Buffers(Rc<Both>);

#[derive(Debug)]
struct Both {
    read: RefCell<Box<[u8]>>,
    /// Away while somebody writes from it.
    write: RefCell<Vec<u8>>,
}

impl Default for Buffers {
    fn default() -> Self {
        let read = RefCell::new(vec![0; READ].into_boxed_slice());
        Self(Rc::new(Both { read, write: RefCell::default() }))
    }
}

/// Where a connection waits for its next exchange; empty while one is under way, and for ever where its end was the connection's.
pub(super) type Home = Rc<RefCell<Option<Box<One>>>>;

/// A connection between two exchanges, or in one.
#[derive(Debug)]
pub(super) struct One {
    stream: Box<dyn Stream>,
    buffers: Buffers,
    /// What has come and is not taken yet.
    rest: BytesMut,
}

impl One {
    pub(super) fn new(stream: Box<dyn Stream>, buffers: Buffers) -> Self {
        Self { stream, buffers, rest: BytesMut::new() }
    }

    /// Whether nothing has come since the last exchange, not even the end.
    pub(super) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(Waker::noop());
        let read = Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte));
        self.rest.is_empty() && read.is_pending()
    }

    /// Sends a request to a host.
    ///
    /// # Errors
    /// What the network did.
    pub(super) async fn send(&mut self, ask: &Ask<'_>, host: &HeaderValue) -> Result<(), Cause> {
        let mut out = self.buffers.0.write.take();
        out.clear();
        ask.write(host, &mut out);
        self.stream.write_all(&out).await.map_err(|error| io_cause(&error))?;
        self.buffers.0.write.replace(out);
        // What TLS still holds.
        self.stream.flush().await.map_err(|error| io_cause(&error))
    }

    /// Reads the head of the answer, and past interim ones. The body comes out of what is returned with it.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where it is no head; [`Cause::Closed`] where it ends early; what the network did.
    pub(super) async fn answer(mut self: Box<Self>, home: Home) -> Result<(Parts, Incoming), Cause> {
        loop {
            if let Some(head) = self.head()? {
                match head.parts.status {
                    // Nobody asked for another protocol.
                    StatusCode::SWITCHING_PROTOCOLS => return Err(Cause::Malformed),
                    status if status.is_informational() => continue,
                    _ => {}
                }
                let incoming = Incoming { one: Some(self), home, framing: head.framing, kept: head.kept };
                return Ok((head.parts, incoming));
            }
            self.more().await?;
        }
    }

    /// Takes a head out of what has come, once it is whole.
    fn head(&mut self) -> Result<Option<Head>, Cause> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let Some(length) = complete(head.parse(&self.rest), &self.rest)? else { return Ok(None) };
        let newest = head.version == Some(1);
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Cause::Malformed)?;
        // Field values share the memory that the head came in.
        let base = self.rest.as_ptr() as usize;
        let ranges: Vec<(HeaderName, std::ops::Range<usize>)> = head
            .headers
            .iter()
            .map(|field| {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Cause::Malformed)?;
                let at = if field.value.is_empty() { 0 } else { field.value.as_ptr() as usize - base };
                Ok((name, at..at + field.value.len()))
            })
            .collect::<Result<_, Cause>>()?;
        let bytes = self.rest.split_to(length).freeze();
        let mut fields = HeaderMap::with_capacity(ranges.len());
        for (name, range) in ranges {
            let value = HeaderValue::from_maybe_shared(bytes.slice(range)).map_err(|_| Cause::Malformed)?;
            fields.append(name, value);
        }
        let framing = framing(status, &fields)?;
        let says = |word: &str| has_word(&fields, &CONNECTION, word);
        let kept = if newest { !says("close") } else { says("keep-alive") };
        let (mut parts, ()) = Response::new(()).into_parts();
        (parts.status, parts.headers) = (status, fields);
        Ok(Some(Head { parts, framing, kept }))
    }

    /// Waits for more.
    ///
    /// # Errors
    /// [`Cause::Closed`] at the end; what the network did.
    async fn more(&mut self) -> Result<(), Cause> {
        if self.read().await? == 0 { Err(Cause::Closed) } else { Ok(()) }
    }

    /// Waits for more; how many bytes came, 0 at the end.
    async fn read(&mut self) -> Result<usize, Cause> {
        let Self { stream, buffers, rest } = self;
        poll_fn(|context| {
            let mut buffer = buffers.0.read.borrow_mut();
            let mut into = ReadBuf::new(&mut buffer);
            Poll::Ready(match std::task::ready!(Pin::new(&mut *stream).poll_read(context, &mut into)) {
                Ok(()) => {
                    rest.extend_from_slice(into.filled());
                    Ok(into.filled().len())
                }
                Err(error) => Err(io_cause(&error)),
            })
        })
        .await
    }
}

struct Head {
    parts: Parts,
    framing: Framing,
    /// Whether the server lets the connection be used again.
    kept: bool,
}

/// What was parsed, with `None` for what is not whole yet.
fn complete<T>(parsed: httparse::Result<T>, of: &[u8]) -> Result<Option<T>, Cause> {
    match parsed {
        Ok(httparse::Status::Complete(value)) => Ok(Some(value)),
        Ok(httparse::Status::Partial) if of.len() < MAX_HEAD => Ok(None),
        _ => Err(Cause::Malformed),
    }
}

fn has_word(fields: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    let lines = fields.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// After so many bytes.
    Length(u64),
    Chunked(Chunk),
    /// With the connection.
    Close,
    /// It has ended.
    Over,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// Before the size of a chunk.
    Size,
    /// So many bytes before its end.
    Data(u64),
    /// At its end, before the line break.
    Break,
    /// After the last chunk.
    Trailers,
}

/// Where the body of an answer to a GET or a POST ends (RFC 9112 section 6.3).
fn framing(status: StatusCode, fields: &HeaderMap) -> Result<Framing, Cause> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Over);
    }
    if let Some(last) = fields.get_all(TRANSFER_ENCODING).iter().next_back() {
        let last = last.to_str().ok().and_then(|line| line.rsplit(',').next());
        let chunked = last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
        return Ok(if chunked { Framing::Chunked(Chunk::Size) } else { Framing::Close });
    }
    let mut length = None;
    for line in fields.get_all(CONTENT_LENGTH) {
        for said in line.to_str().map_err(|_| Cause::Malformed)?.split(',').map(str::trim) {
            let digits = !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit());
            let said: u64 = said.parse().ok().filter(|_| digits).ok_or(Cause::Malformed)?;
            if *length.get_or_insert(said) != said {
                return Err(Cause::Malformed);
            }
        }
    }
    Ok(length.map_or(Framing::Close, Framing::Length))
}

/// The body of an answer. Once it has ended the connection waits for the next exchange; where it is dropped before, that is the end of
/// the connection.
#[derive(Debug)]
pub(super) struct Incoming {
    one: Option<Box<One>>,
    home: Home,
    framing: Framing,
    kept: bool,
}

impl Incoming {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Cause::Closed`] where it ends early; [`Cause::Malformed`] where it breaks its framing; what the network did.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Cause> {
        let Some(one) = &mut self.one else { return Ok(None) };
        loop {
            match self.framing {
                Framing::Over | Framing::Length(0) => {
                    self.end();
                    return Ok(None);
                }
                Framing::Length(left) => {
                    let data = take(one, left).await?;
                    self.framing = Framing::Length(left - data.len() as u64);
                    return Ok(Some(data));
                }
                Framing::Close => {
                    if one.rest.is_empty() && one.read().await? == 0 {
                        self.one = None;
                        return Ok(None);
                    }
                    return Ok(Some(one.rest.split().freeze()));
                }
                Framing::Chunked(Chunk::Data(0)) => self.framing = Framing::Chunked(Chunk::Break),
                Framing::Chunked(Chunk::Data(left)) => {
                    let data = take(one, left).await?;
                    self.framing = Framing::Chunked(Chunk::Data(left - data.len() as u64));
                    return Ok(Some(data));
                }
                Framing::Chunked(chunk) => match next(chunk, &mut one.rest)? {
                    Some(framing) => self.framing = framing,
                    None => one.more().await?,
                },
            }
        }
    }

    /// The connection can be used again, unless more came than was asked for.
    fn end(&mut self) {
        let mut one = self.one.take().filter(|one| self.kept && one.rest.is_empty());
        // What it was read into goes as well.
        one.iter_mut().for_each(|one| one.rest = BytesMut::new());
        self.home.replace(one);
    }
}

/// What has come of the next `left` bytes, once any has.
async fn take(one: &mut One, left: u64) -> Result<Bytes, Cause> {
    if one.rest.is_empty() {
        one.more().await?;
    }
    let length = one.rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    Ok(one.rest.split_to(length).freeze())
}

/// Takes what stands between chunks; `None` while it is not whole.
fn next(chunk: Chunk, rest: &mut BytesMut) -> Result<Option<Framing>, Cause> {
    let (taken, framing) = match chunk {
        Chunk::Size | Chunk::Data(_) => {
            // An error of its own.
            let size = httparse::parse_chunk_size(rest).map_err(|_| Cause::Malformed)?;
            let Some((taken, size)) = complete(Ok(size), rest)? else { return Ok(None) };
            let next = if size == 0 { Chunk::Trailers } else { Chunk::Data(size) };
            (taken, Framing::Chunked(next))
        }
        Chunk::Break => match rest.get(..2) {
            Some(b"\r\n") => (2, Framing::Chunked(Chunk::Size)),
            None if b"\r\n".starts_with(rest) => return Ok(None),
            _ => return Err(Cause::Malformed),
        },
        Chunk::Trailers => {
            let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
            match complete(httparse::parse_headers(rest, &mut fields), rest)? {
                Some((taken, _)) => (taken, Framing::Over),
                None => return Ok(None),
            }
        }
    };
    let _ = rest.split_to(taken);
    Ok(Some(framing))
}

/// Reads an answer and its body from bytes that come in parts of this length: its status, the body, and whether the connection can be used
/// again. For fuzzing and tests.
///
/// # Errors
/// As [`One::answer`] and [`Incoming::data`].
#[cfg(any(test, fuzzing))]
pub(in super::super) fn read_all(bytes: &[u8], part: usize) -> Result<(StatusCode, Vec<u8>, bool), Cause> {
    use futures_util::FutureExt;
    let stream = tests_stream::Parts { bytes: bytes.to_vec(), part: part.max(1), at: 0 };
    let home = Home::default();
    let read = async {
        let one = Box::new(One::new(Box::new(stream), Buffers::default()));
        let (parts, mut incoming) = one.answer(Rc::clone(&home)).await?;
        let mut body = Vec::new();
        while let Some(data) = incoming.data().await? {
            body.extend_from_slice(&data);
        }
        Ok((parts.status, body))
    };
    let (status, body) = read.now_or_never().unwrap_or(Err(Cause::Timeout))?;
    Ok((status, body, home.take().is_some()))
}

#[cfg(any(test, fuzzing))]
mod tests_stream {
    use std::io;

    use super::*;

    /// Gives its bytes in parts, and then ends.
    #[derive(Debug)]
    pub(super) struct Parts {
        pub(super) bytes: Vec<u8>,
        pub(super) part: usize,
        pub(super) at: usize,
    }

    impl AsyncRead for Parts {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let end = self.bytes.len().min(self.at + self.part.min(into.remaining()));
            into.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            Poll::Ready(Ok(()))
        }
    }

    impl tokio::io::AsyncWrite for Parts {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(data.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As RFC 9112 has it, section by section.
    #[test]
    fn where_a_body_ends_follows_from_its_head() {
        let ok = |body: &[u8], kept| Ok((StatusCode::OK, body.to_vec(), kept));
        let whole: [(&str, &[u8], bool); 9] = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc", b"abc", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: x, Close\r\n\r\nabc", b"abc", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", b"", true),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end", false),
            ("HTTP/1.1 200\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nzip", b"zip", false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                b"",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: x, Chunked\r\nContent-Length: 1\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nA: b\r\n\r\n",
                b"abc0123456789",
                true,
            ),
        ];
        for (answer, body, kept) in whole {
            assert_eq!(read_all(answer.as_bytes(), usize::MAX), ok(body, kept), "{answer}");
        }
        let more = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1";
        assert_eq!(read_all(more, usize::MAX), ok(b"abc", false), "more than was asked for");
        for status in [204, 304] {
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 3\r\n\r\n");
            assert_eq!(read_all(answer.as_bytes(), 1).unwrap().1, b"");
        }
    }

    #[test]
    fn what_breaks_the_protocol_or_ends_early_has_its_cause() {
        let cases = [
            ("", Cause::Closed),
            ("HTTP/1.1 200 OK\r\nContent-Len", Cause::Closed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", Cause::Closed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Cause::Closed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", Cause::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", Cause::Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", Cause::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd", Cause::Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", Cause::Malformed),
            ("HTTP/1.1 101 X\r\n\r\n", Cause::Malformed),
            ("HTTP/1.1 99 X\r\n\r\n", Cause::Malformed),
            ("SSH-2.0-x\r\n", Cause::Malformed),
        ];
        for (answer, cause) in cases {
            for part in [1, usize::MAX] {
                assert_eq!(read_all(answer.as_bytes(), part), Err(cause), "{answer}");
            }
        }
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(MAX_HEAD));
        assert_eq!(read_all(endless.as_bytes(), usize::MAX), Err(Cause::Malformed));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(read_all(many.as_bytes(), usize::MAX), Err(Cause::Malformed));
    }

    proptest! {
        /// However a body is framed, and in whatever parts it comes.
        #[test]
        fn bodies_come_whole(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8),
            manner in 0..3,
            part in 1_usize..80,
        ) {
            let body = chunks.concat();
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            match manner {
                0 => answer.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes()),
                1 => answer.extend(b"Transfer-Encoding: chunked\r\n\r\n"),
                _ => answer.extend(b"Connection: close\r\n\r\n"),
            }
            if manner == 1 {
                for chunk in &chunks {
                    answer.extend(format!("{:X}\r\n", chunk.len()).into_bytes());
                    answer.extend(chunk);
                    answer.extend(b"\r\n");
                }
                answer.extend(b"0\r\n\r\n");
            } else {
                answer.extend(&body);
            }
            prop_assert_eq!(read_all(&answer, part), Ok((StatusCode::OK, body, manner != 2)));
        }
    }
}

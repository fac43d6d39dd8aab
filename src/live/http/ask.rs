//! A request before it is known which version of HTTP carries it.

use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Uri};

use crate::journey::Cause;

/// A GET, or a POST where there is something to post, to whoever the connection leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) path: &'a PathAndQuery,
    pub(super) user_agent: &'a str,
    /// What it is to answer with and how that may be compressed, where there is a choice.
    pub(super) accept: Option<&'static str>,
    pub(super) codings: Option<&'static str>,
    /// Further fields.
    pub(super) more: Option<&'a HeaderMap>,
    /// JSON to post.
    pub(super) post: Option<&'a str>,
}

/// # Errors
/// No URI can hold it: a profile's mistake, not the target's.
pub(super) fn path(text: &str) -> Result<PathAndQuery, Cause> {
    PathAndQuery::try_from(text).map_err(|_| Cause::Local)
}

impl<'a> Ask<'a> {
    /// # Errors
    /// The user agent is no field value.
    pub(super) fn new(path: &'a PathAndQuery, user_agent: &'a str) -> Result<Self, Cause> {
        let is_text = user_agent.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        let ask = Self { path, user_agent, accept: None, codings: None, more: None, post: None };
        is_text.then_some(ask).ok_or(Cause::Local)
    }

    pub(super) fn method(&self) -> Method {
        if self.post.is_some() { Method::POST } else { Method::GET }
    }

    pub(super) fn body(&self) -> &'a [u8] {
        self.post.unwrap_or_default().as_bytes()
    }

    /// The fields that every version has, in the order in which they are sent.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let more = self.more.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let text = |name, value: Option<&'a str>| value.map(|value| (name, value.as_bytes()));
        text("user-agent", Some(self.user_agent))
            .into_iter()
            .chain(text("accept-encoding", self.codings))
            .chain(text("accept", self.accept))
            .chain(more)
            .chain(text("content-type", self.post.map(|_| "application/json")))
    }

    /// The request as libraries take it.
    ///
    /// # Errors
    /// A field that is none.
    pub(super) fn request(&self, uri: Uri) -> Result<Request<Bytes>, Cause> {
        let mut request = Request::new(Bytes::copy_from_slice(self.body()));
        *request.method_mut() = self.method();
        *request.uri_mut() = uri;
        for (name, value) in self.fields() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Cause::Local)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| Cause::Local)?;
            request.headers_mut().append(name, value);
        }
        Ok(request)
    }

    /// Adds the request as it goes over the wire in HTTP/1.1 (RFC 9112 section 3).
    pub(super) fn write(&self, host: &HeaderValue, out: &mut Vec<u8>) {
        put(out, [self.method().as_str().as_bytes(), b" ", self.path.as_str().as_bytes(), b" HTTP/1.1\r\n"]);
        for (name, value) in self.fields().chain([("host", host.as_bytes())]) {
            put(out, [name.as_bytes(), b": ", value, b"\r\n"]);
        }
        let body = self.body();
        if !body.is_empty() {
            put(out, [b"content-length: ", body.len().to_string().as_bytes(), b"\r\n"]);
        }
        put(out, [b"\r\n", body]);
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.into_iter().for_each(|part| out.extend_from_slice(part));
}

#[cfg(test)]
mod tests {
    use hyper::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH};

    use super::*;

    const HOST: HeaderValue = HeaderValue::from_static("fleet.test");

    fn written(ask: &Ask<'_>) -> String {
        let mut out = Vec::new();
        ask.write(&HOST, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_are_those_of_the_specification() {
        let path = path("/p/a%20release?x=1#here").unwrap();
        let conditions = HeaderMap::from_iter([
            (IF_NONE_MATCH, HeaderValue::from_static("\"1\"")),
            (IF_MODIFIED_SINCE, HeaderValue::from_static("yesterday")),
        ]);
        let get =
            Ask { codings: Some("gzip"), more: Some(&conditions), ..Ask::new(&path, "test/1").unwrap() };
        let fields = "user-agent: test/1\r\naccept-encoding: gzip\r\nif-none-match: \"1\"\r\nif-modified-since: yesterday\r\n";
        assert_eq!(
            written(&get),
            format!("GET /p/a%20release?x=1 HTTP/1.1\r\n{fields}host: fleet.test\r\n\r\n")
        );
        let post = Ask { post: Some("{}"), accept: Some("text/json"), ..Ask::new(&path, "test/1").unwrap() };
        let fields = "user-agent: test/1\r\naccept: text/json\r\ncontent-type: application/json\r\nhost: fleet.test\r\n";
        let whole = format!("POST /p/a%20release?x=1 HTTP/1.1\r\n{fields}content-length: 2\r\n\r\n{{}}");
        assert_eq!(written(&post), whole);
    }

    #[test]
    fn the_same_goes_to_libraries() {
        let path = path("/rpc").unwrap();
        let post = Ask { post: Some("{}"), codings: Some("gzip"), ..Ask::new(&path, "test/1").unwrap() };
        let request = post.request(Uri::from_static("http://fleet.test/rpc")).unwrap();
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, post.fields().collect::<Vec<_>>());
        assert_eq!((request.method(), &request.body()[..]), (&Method::POST, &b"{}"[..]));
    }

    #[test]
    fn what_would_break_the_protocol_is_not_sent() {
        let good = path("/").unwrap();
        for agent in ["a\r\nx: y", "a\0", "ä"] {
            assert_eq!(Ask::new(&good, agent).err(), Some(Cause::Local), "{agent:?}");
        }
        for text in ["/a b", "/a\r\nb", "/\0"] {
            assert_eq!(path(text).err(), Some(Cause::Local), "{text:?}");
        }
    }
}

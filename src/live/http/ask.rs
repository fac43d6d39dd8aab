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
}

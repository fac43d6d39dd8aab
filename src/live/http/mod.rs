//! HTTP (RFC 9110) as visitors use it: HTTP/1.1 (RFC 9112), HTTP/2 (RFC 9113) and HTTP/3 (RFC 9114), plain or over TLS, on guarded
//! sockets. Redirects are followed where the profile or the guard knows the way, returning visitors ask whether what they have is still
//! good, and what caches and servers tell beside the answer is counted.

mod ask;
mod connection;
mod field;
mod memory;
mod one;
mod pool;
mod range;
#[cfg(test)]
mod tests;
mod tls;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use url::{Host, Position, Url};

use crate::journey::Cause;
use crate::profile::{HttpEndpoint, HttpVersion, Target};

use super::Guard;
use super::meter::Meter;
use super::shaper::Line;
use super::source::Sources;
use ask::Ask;
pub(super) use connection::Stream;
use connection::{Answer, Connection};
use field::CacheAnswer;
use memory::Memory;
use one::Buffers;
#[cfg(any(test, fuzzing))]
pub(super) use one::read_all;
pub(super) use pool::Pool;
pub(super) use range::{Fetcher, Place, Wanted};
use tls::Sessions;

/// Bytes of a body that are still drained.
const MAX_DRAINED: usize = 64 << 20;
/// Redirects that are followed one after the other. Browsers follow 20, and nobody means more than one or two.
const MAX_REDIRECTS: usize = 5;
/// Addresses that a worker's visitors have over HTTP/3: a QUIC endpoint sends from one, and costs a descriptor and buffers of its own.
const QUIC_ADDRESSES: u64 = 16;

/// What stays as it is in a path segment (RFC 3986 unreserved).
pub(super) const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A GET, or a POST where there is something to post.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) path: &'a str,
    pub(super) user_agent: &'a str,
    /// What it is to answer with, where there is a choice.
    pub(super) accept: Option<&'static str>,
    /// JSON to post.
    pub(super) body: Option<&'a str>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Browser {
    /// The newest version of HTTP that it speaks; it speaks all before.
    pub(super) newest: HttpVersion,
    /// Whether it was there before: it resumes TLS sessions, and asks only for what has changed.
    pub(super) returning: bool,
    /// What its source address follows from.
    pub(super) source: u64,
}

/// A visitor's connection, kept from one exchange to the next.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<Box<Connection>>);

/// An HTTP server and what is known of it.
#[derive(Debug)]
pub(super) struct Site {
    endpoint: HttpEndpoint,
    sessions: Option<Sessions>,
    /// Where it begins, by its name and by its address; relative references start from the first.
    roots: [Url; 2],
    /// Its name as a field of HTTP/1.1.
    host: HeaderValue,
    /// Of connections over HTTP/1.1.
    buffers: Buffers,
}

impl Site {
    /// # Errors
    /// Its host or a root certificate cannot be used.
    pub(super) fn new(endpoint: &HttpEndpoint) -> io::Result<Rc<Self>> {
        let sessions = endpoint.tls.as_ref().map(Sessions::new).transpose()?;
        let scheme = if sessions.is_some() { "https" } else { "http" };
        let root = |authority: &str| {
            Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("host `{authority}`: {error}"))
            })
        };
        let roots = [root(&endpoint.host)?, root(&endpoint.address.to_string())?];
        let host = HeaderValue::from_str(&endpoint.host).map_err(io::Error::other)?;
        Ok(Rc::new(Self { endpoint: endpoint.clone(), sessions, roots, host, buffers: Buffers::default() }))
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.endpoint.address
    }

    fn scheme(&self) -> &'static str {
        if self.sessions.is_some() { "https" } else { "http" }
    }

    /// Whether a URL leads to it.
    fn is_at(&self, url: &Url) -> bool {
        self.roots.iter().any(|root| root.origin() == url.origin())
    }
}

/// The HTTP side of all of a worker's visitors.
#[derive(Debug)]
pub(super) struct Agent {
    guard: Arc<Guard>,
    index: Rc<Site>,
    metadata: Rc<Site>,
    gateway: Option<Rc<Site>>,
    web: Vec<(String, Rc<Site>)>,
    sources: Sources,
    /// By local address, once somebody there speaks HTTP/3.
    quic: RefCell<HashMap<IpAddr, quinn::Endpoint>>,
    memory: Memory,
}

/// What one exchange is for.
struct Wish<'a> {
    /// Whether a copy of an earlier visit may be used.
    conditional: bool,
    codings: &'static str,
    limit: usize,
    /// Redirects that are followed.
    redirects: usize,
    /// What the body comes over.
    line: Option<&'a Line>,
}

impl<'a> Wish<'a> {
    /// A body that is kept.
    const fn body(limit: usize, redirects: usize, line: Option<&'a Line>) -> Self {
        Self { conditional: false, codings: "gzip", limit, redirects, line }
    }
}

/// A page is looked at and forgotten, however it is compressed.
const PAGE: Wish<'_> = Wish {
    conditional: true,
    codings: "gzip, br, zstd",
    limit: MAX_DRAINED,
    redirects: MAX_REDIRECTS,
    line: None,
};

impl Agent {
    /// # Errors
    /// A host or a root certificate of the target cannot be used.
    pub(super) fn new(target: &Target, guard: Arc<Guard>, sources: Sources) -> io::Result<Self> {
        let gateway = target.gateway.as_ref().map(|gateway| Site::new(&gateway.server)).transpose()?;
        let web = target.web.iter().map(|web| Ok((web.name.clone(), Site::new(&web.server)?)));
        Ok(Self {
            guard,
            sources,
            index: Site::new(&target.index.server)?,
            metadata: Site::new(&target.metadata)?,
            gateway,
            web: web.collect::<io::Result<_>>()?,
            quic: RefCell::default(),
            memory: Memory::default(),
        })
    }

    /// The server of the pages.
    pub(super) fn index(&self) -> &Rc<Site> {
        &self.index
    }

    /// The server of the `.torrent` files.
    pub(super) fn metadata(&self) -> &Rc<Site> {
        &self.metadata
    }

    /// The gateway, where there is one.
    pub(super) fn gateway(&self) -> Option<&Rc<Site>> {
        self.gateway.as_ref()
    }

    /// The server beside the funnel of this name.
    pub(super) fn web(&self, name: &str) -> Option<&Rc<Site>> {
        self.web.iter().find(|(of, _)| of == name).map(|(_, site)| site)
    }

    /// Every server.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Rc<Site>> {
        [&self.index, &self.metadata]
            .into_iter()
            .chain(&self.gateway)
            .chain(self.web.iter().map(|(_, site)| site))
    }

    /// Loads a page and forgets its body, on the kept connection where it still leads there.
    ///
    /// # Errors
    /// What the network or the server did.
    pub(super) async fn visit(
        &self,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<(), Cause> {
        self.exchange(site, request, browser, &PAGE, kept, meter).await.map(drop)
    }

    /// Fetches a body of at most `limit` bytes, whether compressed or not.
    ///
    /// # Errors
    /// What the network or the server did; [`Cause::Malformed`] where the body is longer.
    pub(super) async fn fetch(
        &self,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        meter: &Meter,
        limit: usize,
    ) -> Result<Vec<u8>, Cause> {
        let wish = Wish::body(limit, MAX_REDIRECTS, None);
        self.body(site, request, browser, &wish, &mut Kept::default(), meter).await
    }

    /// As [`Agent::fetch`], on the kept connection where it still leads there, and no faster than the line.
    ///
    /// # Errors
    /// As [`Agent::fetch`].
    #[expect(clippy::too_many_arguments, reason = "one exchange, as the others have it")]
    pub(super) async fn fetch_over(
        &self,
        line: &Line,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        kept: &mut Kept,
        meter: &Meter,
        limit: usize,
    ) -> Result<Vec<u8>, Cause> {
        let wish = Wish::body(limit, MAX_REDIRECTS, Some(line));
        self.body(site, request, browser, &wish, kept, meter).await
    }

    /// As [`Agent::fetch`], but only from this very server.
    ///
    /// # Errors
    /// As [`Agent::fetch`], and where the server says that it is elsewhere.
    pub(super) async fn fetch_here(
        &self,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        meter: &Meter,
        limit: usize,
    ) -> Result<Vec<u8>, Cause> {
        let wish = Wish::body(limit, 0, None);
        self.body(site, request, browser, &wish, &mut Kept::default(), meter).await
    }

    async fn body(
        &self,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        wish: &Wish<'_>,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<Vec<u8>, Cause> {
        let (fields, body) = self.exchange(site, request, browser, wish, kept, meter).await?;
        field::decoded(body, &fields, wish.limit)
    }

    /// One request and what follows from it, redirect by redirect.
    async fn exchange(
        &self,
        site: &Rc<Site>,
        request: Request<'_>,
        browser: Browser,
        wish: &Wish<'_>,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<(HeaderMap, Vec<u8>), Cause> {
        let mut site = Rc::clone(site);
        let mut path = ask::path(request.path)?;
        let mut post = request.body;
        for _ in 0..=wish.redirects {
            let url = (site.endpoint.address, path.as_str());
            let repeated = wish.conditional && post.is_none();
            let mut conditions = HeaderMap::new();
            let conditional =
                repeated && browser.returning && self.memory.ask_for_changes(url, &mut conditions);
            let ask = Ask {
                accept: request.accept,
                codings: Some(wish.codings),
                more: Some(&conditions),
                post,
                ..Ask::new(&path, request.user_agent)?
            };
            let mut answer = self.send(&site, &ask, browser, kept, meter).await?;
            let mut body = Vec::new();
            let keep = !wish.conditional;
            answer
                .read(meter, wish.line, wish.limit, |data| {
                    if keep {
                        body.extend_from_slice(data)
                    }
                })
                .await?;
            match verdict(&answer, conditional, meter)? {
                Verdict::Done => {
                    if repeated {
                        self.memory.note(url, &answer.head.headers);
                    }
                    return Ok((answer.head.headers, body));
                }
                Verdict::Moved { location, same_method } => {
                    meter.web(|web| web.redirects += 1);
                    let (there, moved) = self.destination(&site, path.as_str(), &location)?;
                    (site, path) = (there, ask::path(&moved)?);
                    post = post.filter(|_| same_method);
                }
            }
        }
        // As a rule a loop.
        Err(Cause::Incorrect)
    }

    /// Sends on the kept connection, else on a new one, which is kept. Where the server closed the old one meanwhile, a request without
    /// a body is sent again, as RFC 9110 (9.2.2) lets clients do.
    async fn send(
        &self,
        site: &Rc<Site>,
        ask: &Ask<'_>,
        browser: Browser,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<Answer, Cause> {
        if let Some(mut connection) = kept.0.take().filter(|kept| kept.is_open_to(site)) {
            match connection.send(ask, meter).await {
                Err(Cause::Closed) if ask.post.is_none() => meter.retransmitted(),
                answer => return self.count(answer?, connection, kept, meter),
            }
        }
        // Rare beside exchanges, and much larger: what a task carries is copied more than once.
        let mut connection = Box::new(Box::pin(self.connect(site, browser, meter)).await?);
        let answer = connection.send(ask, meter).await?;
        self.count(answer, connection, kept, meter)
    }

    fn count(
        &self,
        answer: Answer,
        connection: Box<Connection>,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<Answer, Cause> {
        meter.web(|web| {
            *match connection.version() {
                HttpVersion::One => &mut web.http1,
                HttpVersion::Two => &mut web.http2,
                HttpVersion::Three => &mut web.http3,
            } += 1;
            match field::cache_answer(&answer.head.headers) {
                Some(CacheAnswer::Hit) => web.cache_hits += 1,
                Some(CacheAnswer::Miss) => web.cache_misses += 1,
                None => {}
            }
        });
        kept.0 = Some(connection);
        Ok(answer)
    }

    /// Connects in the newest version that both sides know; where the browser knows none of the site's, in the site's oldest.
    async fn connect(&self, site: &Rc<Site>, browser: Browser, meter: &Meter) -> Result<Connection, Cause> {
        let offered = &site.endpoint.versions;
        let common: Vec<_> = offered.iter().copied().filter(|version| *version <= browser.newest).collect();
        let versions = if common.is_empty() { &offered[..1.min(offered.len())] } else { &common[..] };
        match (versions.last(), &site.sessions) {
            (Some(HttpVersion::Three), Some(sessions)) => {
                let endpoint = self.quic(site.endpoint.address.ip(), browser.source)?;
                Connection::over_quic(&self.guard, &endpoint, site, sessions, browser.returning, meter).await
            }
            _ => {
                let source = self.sources.towards(site.endpoint.address.ip(), browser.source);
                Connection::over_tcp(&self.guard, site, versions, browser.returning, source, meter).await
            }
        }
    }

    /// The endpoint of the visitors with this source.
    fn quic(&self, remote: IpAddr, source: u64) -> Result<quinn::Endpoint, Cause> {
        let local = self.sources.local(remote, source % QUIC_ADDRESSES);
        let mut endpoints = self.quic.borrow_mut();
        if let Some(endpoint) = endpoints.get(&local) {
            return Ok(endpoint.clone());
        }
        let endpoint = self.guard.quic(local).map_err(|_| Cause::Local)?;
        endpoints.insert(local, endpoint.clone());
        Ok(endpoint)
    }

    /// Where a redirect leads: the same site, or as [`Agent::site_at`].
    fn destination(
        &self,
        from: &Rc<Site>,
        path: &str,
        location: &HeaderValue,
    ) -> Result<(Rc<Site>, String), Cause> {
        let base = from.roots[0].join(path).map_err(|_| Cause::Local)?;
        let location = location.to_str().map_err(|_| Cause::Malformed)?;
        let url = base.join(location).map_err(|_| Cause::Malformed)?;
        let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
        if from.is_at(&url) {
            return Ok((Rc::clone(from), path));
        }
        Ok((self.site_at(&url)?, path))
    }

    /// The site that a URL of somebody else's leads to: one of the target, or one at a literal address that the guard allows.
    fn site_at(&self, url: &Url) -> Result<Rc<Site>, Cause> {
        if let Some(site) = self.sites().find(|site| site.is_at(url)) {
            return Ok(Rc::clone(site));
        }
        let address = literal(url).filter(|address| url.scheme() == "http" && self.guard.allows(*address));
        let address = address.ok_or(Cause::Foreign)?;
        let authority = url[Position::BeforeHost..Position::AfterPort].to_owned();
        Site::new(&HttpEndpoint::plain(address, authority)).map_err(|_| Cause::Malformed)
    }
}

/// Fetches a body of at most `limit` bytes over HTTP/1.1, on a connection of its own that `way` describes, and follows nobody elsewhere:
/// as BitTorrent clients ask HTTP trackers.
///
/// # Errors
/// What the network or the server did.
pub(super) async fn fetch_alone(
    guard: &Guard,
    site: &Rc<Site>,
    way: Way,
    asked: Request<'_>,
    meter: &Meter,
    limit: usize,
) -> Result<Vec<u8>, Cause> {
    let mut connection =
        Connection::over_tcp(guard, site, &[HttpVersion::One], way.returning, way.source, meter).await?;
    let path = ask::path(asked.path)?;
    let ask = Ask { post: asked.body, ..Ask::new(&path, asked.user_agent)? };
    let mut answer = connection.send(&ask, meter).await?;
    let mut body = Vec::new();
    answer.read(meter, None, limit, |data| body.extend_from_slice(data)).await?;
    match verdict(&answer, false, meter)? {
        Verdict::Done => Ok(body),
        Verdict::Moved { .. } => Err(Cause::Incorrect),
    }
}

/// How a visitor comes to a tracker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// The local address; `None` is the system's choice.
    pub(super) source: Option<IpAddr>,
    /// Whether it was there before, and resumes its TLS session.
    pub(super) returning: bool,
}

/// Opens a connection on which something else begins as HTTP/1.1 does: a WebSocket.
///
/// # Errors
/// What the network or the handshake did.
pub(super) async fn open(
    guard: &Guard,
    site: &Rc<Site>,
    way: Way,
    meter: &Meter,
) -> Result<Box<dyn Stream>, Cause> {
    let opened = connection::open(guard, site, &[HttpVersion::One], way.returning, way.source, meter);
    opened.await.map(|(stream, _)| stream)
}

/// The address in a URL that names one; names are not resolved.
fn literal(url: &Url) -> Option<SocketAddr> {
    let ip: IpAddr = match url.host()? {
        Host::Ipv4(ip) => ip.into(),
        Host::Ipv6(ip) => ip.into(),
        Host::Domain(_) => return None,
    };
    Some(SocketAddr::new(ip, url.port_or_known_default()?))
}

enum Verdict {
    Done,
    Moved { location: HeaderValue, same_method: bool },
}

/// What an answer means for the visitor.
fn verdict(answer: &Answer, conditional: bool, meter: &Meter) -> Result<Verdict, Cause> {
    let fields = &answer.head.headers;
    match answer.head.status {
        status if status.is_success() => Ok(Verdict::Done),
        StatusCode::NOT_MODIFIED if conditional => {
            meter.web(|web| web.not_modified += 1);
            Ok(Verdict::Done)
        }
        status @ (StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT) => {
            let location = fields.get(LOCATION).cloned().ok_or(Cause::Malformed)?;
            // RFC 9110 (15.4.2 to 15.4.9): of these only the newer two promise not to turn a POST into a GET, and with the older
            // ones every browser does.
            let same_method =
                matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
            Ok(Verdict::Moved { location, same_method })
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            if fields.contains_key(RETRY_AFTER) =>
        {
            let Some(pause) = field::retry_after(fields, SystemTime::now()) else {
                return Err(refusal(answer.head.status));
            };
            meter.asked_to_wait(pause);
            Err(Cause::Throttled)
        }
        status => Err(refusal(status)),
    }
}

fn refusal(status: StatusCode) -> Cause {
    match status.as_u16() {
        400..=499 => Cause::ClientError,
        500..=599 => Cause::ServerError,
        _ => Cause::Incorrect,
    }
}

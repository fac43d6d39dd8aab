//! One connection to an HTTP server: HTTP/1.1, HTTP/2 or HTTP/3, plain or over TLS.

use std::cell::RefCell;
use std::error::Error as _;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::rc::Rc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Buf, Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::CONTENT_LENGTH;
use hyper::http::response::Parts;
use hyper::rt::Executor;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use quinn::ConnectionError;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, HandshakeKind};

use crate::journey::Cause;
use crate::profile::HttpVersion;

use super::super::Guard;
use super::super::guard::cause;
use super::super::meter::Meter;
use super::super::shaper::Line;
use super::Site;
use super::ask::Ask;
use super::one::{self, Home, One};
use super::tls::Sessions;

/// A connection that carries one exchange at a time, as a visitor's turn by turn. Dropping it closes it.
pub(super) struct Connection {
    site: Rc<Site>,
    sender: Sender,
    /// What drives it, where that is not who waits for it.
    driver: Option<AbortHandle>,
}

enum Sender {
    One(Home),
    Two(http2::SendRequest<Full<Bytes>>),
    Three { requests: QuicRequests, connection: quinn::Connection },
}

type QuicRequests = h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>;
type QuicStream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Sender::Three { connection, .. } = &self.sender {
            // H3_NO_ERROR (RFC 9114 section 8.1).
            connection.close(0x100_u32.into(), b"");
        }
        self.driver.iter().for_each(AbortHandle::abort);
    }
}

impl Connection {
    /// Connects over TCP; within a `LocalSet`. Over TLS the server chooses among `protocols` (oldest first); a plain one is spoken to in
    /// the newest of them. `source` is the local address, `None` the system's choice.
    ///
    /// # Errors
    /// [`Cause::Foreign`] where the guard says no; what the network or the handshake did.
    pub(super) async fn over_tcp(
        guard: &Guard,
        site: &Rc<Site>,
        protocols: &[HttpVersion],
        returning: bool,
        source: Option<IpAddr>,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        let (stream, version) = open(guard, site, protocols, returning, source, meter).await?;
        Self::speak(Rc::clone(site), stream, version).await
    }

    async fn speak(site: Rc<Site>, stream: Box<dyn Stream>, version: HttpVersion) -> Result<Self, Cause> {
        if version == HttpVersion::One {
            let one = One::new(stream, site.buffers.clone());
            let sender = Sender::One(Home::new(RefCell::new(Some(Box::new(one)))));
            return Ok(Self { site, sender, driver: None });
        }
        let (sender, connection) =
            http2::handshake(Here, TokioIo::new(stream)).await.map_err(|error| http_cause(&error))?;
        // A connection's own errors come out of the exchange that they break.
        let driver = tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Self { site, sender: Sender::Two(sender), driver: Some(driver.abort_handle()) })
    }

    /// Connects over QUIC; within a `LocalSet`.
    ///
    /// # Errors
    /// As [`Connection::over_tcp`].
    pub(super) async fn over_quic(
        guard: &Guard,
        endpoint: &quinn::Endpoint,
        site: &Rc<Site>,
        sessions: &Sessions,
        returning: bool,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        let address = site.endpoint.address;
        if !guard.allows(address) {
            return Err(Cause::Foreign);
        }
        meter.start();
        let config = sessions.quic(protocol_name(HttpVersion::Three), returning).map_err(|_| Cause::Local)?;
        let name = sessions.server_name.to_str();
        let connecting = endpoint.connect_with(config, address, &name).map_err(|_| Cause::Local)?;
        let connection = connecting.await.map_err(|error| quic_cause(&error))?;
        meter.web(|web| web.quic += 1);
        let (mut driver, requests) = h3::client::new(h3_quinn::Connection::new(connection.clone()))
            .await
            .map_err(|error| h3_connection_cause(&error))?;
        let driver = tokio::task::spawn_local(async move {
            poll_fn(|context| driver.poll_close(context)).await;
        });
        let sender = Sender::Three { requests, connection };
        Ok(Self { site: Rc::clone(site), sender, driver: Some(driver.abort_handle()) })
    }

    /// Whether it leads to this site and another exchange can be tried.
    pub(super) fn is_open_to(&self, site: &Rc<Site>) -> bool {
        Rc::ptr_eq(&self.site, site)
            && match &self.sender {
                Sender::One(home) => home.borrow_mut().as_mut().is_some_and(|one| one.is_silent()),
                Sender::Two(sender) => !sender.is_closed(),
                Sender::Three { connection, .. } => connection.close_reason().is_none(),
            }
    }

    /// What it speaks.
    pub(super) const fn version(&self) -> HttpVersion {
        match self.sender {
            Sender::One(_) => HttpVersion::One,
            Sender::Two(_) => HttpVersion::Two,
            Sender::Three { .. } => HttpVersion::Three,
        }
    }

    /// Sends a request, and waits for the head of the answer.
    ///
    /// # Errors
    /// What the network or the server did.
    pub(super) async fn send(&mut self, ask: &Ask<'_>, meter: &Meter) -> Result<Answer, Cause> {
        match &mut self.sender {
            Sender::One(home) => {
                // Whoever did not wait for the end of the last answer has ended the connection.
                let mut one = home.take().ok_or(Cause::Closed)?;
                meter.start();
                meter.sent(ask.body().len());
                one.send(ask, &self.site.host).await?;
                let (head, incoming) = one.answer(Rc::clone(home)).await?;
                Ok(Answer { head, body: Body::One(incoming) })
            }
            // Several times as large as what HTTP/1.1 needs: whatever a task may do, it is as large as that.
            Sender::Two(sender) => Box::pin(two(sender, &self.site, ask, meter)).await,
            Sender::Three { requests, .. } => Box::pin(three(requests, &self.site, ask, meter)).await,
        }
    }
}

/// The request to a site, in the way of the versions that libraries speak.
fn addressed(ask: &Ask<'_>, site: &Site) -> Result<Request<Bytes>, Cause> {
    // A host that no URI can hold is a profile's mistake, not the target's.
    let host = site.endpoint.host.as_str();
    let uri = Uri::builder().scheme(site.scheme()).authority(host).path_and_query(ask.path.clone()).build();
    ask.request(uri.map_err(|_| Cause::Local)?)
}

async fn two(
    sender: &mut http2::SendRequest<Full<Bytes>>,
    site: &Site,
    ask: &Ask<'_>,
    meter: &Meter,
) -> Result<Answer, Cause> {
    let request = addressed(ask, site)?;
    sender.ready().await.map_err(|error| http_cause(&error))?;
    meter.start();
    meter.sent(ask.body().len());
    answered(sender.send_request(request.map(Full::new)).await)
}

async fn three(
    requests: &mut QuicRequests,
    site: &Site,
    ask: &Ask<'_>,
    meter: &Meter,
) -> Result<Answer, Cause> {
    let request = addressed(ask, site)?;
    meter.start();
    meter.sent(ask.body().len());
    exchanged(requests, request).await.map_err(|error| h3_cause(&error))
}

async fn exchanged(
    requests: &mut QuicRequests,
    request: Request<Bytes>,
) -> Result<Answer, h3::error::StreamError> {
    let (mut head, body) = request.into_parts();
    if !body.is_empty() {
        head.headers.insert(CONTENT_LENGTH, body.len().into());
    }
    let mut stream = requests.send_request(Request::from_parts(head, ())).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await?;
    let (head, ()) = stream.recv_response().await?.into_parts();
    Ok(Answer { head, body: Body::Quic(Box::new(stream)) })
}

fn answered(answer: hyper::Result<hyper::Response<Incoming>>) -> Result<Answer, Cause> {
    let (head, body) = answer.map_err(|error| http_cause(&error))?.into_parts();
    Ok(Answer { head, body: Body::Two(body) })
}

/// A TCP connection, plain or inside TLS.
pub(in super::super) trait Stream: AsyncRead + AsyncWrite + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Unpin + fmt::Debug> Stream for T {}

/// Connects over TCP, and over TLS where the site has it. Parameters, errors and the version are those of [`Connection::over_tcp`].
pub(super) async fn open(
    guard: &Guard,
    site: &Site,
    protocols: &[HttpVersion],
    returning: bool,
    source: Option<IpAddr>,
    meter: &Meter,
) -> Result<(Box<dyn Stream>, HttpVersion), Cause> {
    meter.start();
    let stream = guard.connect(site.endpoint.address, source).await?;
    let Some(sessions) = &site.sessions else {
        let newest = protocols.last().copied().unwrap_or(HttpVersion::One);
        return Ok((Box::new(stream), newest));
    };
    let offer: Vec<&[u8]> = protocols.iter().rev().map(|version| protocol_name(*version)).collect();
    let connector = TlsConnector::from(sessions.tcp(&offer, returning));
    let stream =
        connector.connect(sessions.server_name.clone(), stream).await.map_err(|error| io_cause(&error))?;
    let (_, session) = stream.get_ref();
    meter.web(|web| {
        web.handshakes += 1;
        web.resumed += u64::from(session.handshake_kind() == Some(HandshakeKind::Resumed));
    });
    let two = session.alpn_protocol() == Some(protocol_name(HttpVersion::Two));
    Ok((Box::new(stream), if two { HttpVersion::Two } else { HttpVersion::One }))
}

/// Names of the protocols in ALPN.
const fn protocol_name(version: HttpVersion) -> &'static [u8] {
    match version {
        HttpVersion::One => b"http/1.1",
        HttpVersion::Two => b"h2",
        HttpVersion::Three => b"h3",
    }
}

/// An answer whose body is still on its way.
pub(super) struct Answer {
    pub(super) head: Parts,
    body: Body,
}

/// Empty DATA frames in a row that end no body. h3 0.0.8 tells them as the end of the stream (quic-go sends them), and after the real end
/// goes on telling it.
const EMPTY_FRAMES: usize = 16;

enum Body {
    One(one::Incoming),
    Two(Incoming),
    Quic(Box<QuicStream>),
}

impl Answer {
    /// Takes the whole body in, no faster than the line, so that the connection can be used again.
    ///
    /// # Errors
    /// [`Cause::Malformed`] where it is longer than `limit` bytes; what the network or the server did.
    pub(super) async fn read(
        &mut self,
        meter: &Meter,
        line: Option<&Line>,
        limit: usize,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Cause> {
        let mut total = 0;
        while let Some(data) = self.body.data().await? {
            total += data.len();
            meter.received(data.len());
            if total > limit {
                return Err(Cause::Malformed);
            }
            each(&data);
            if let Some(line) = line {
                line.carry(data.len()).await;
            }
        }
        // Those of the other versions see to that themselves.
        let told = self.head.headers.get(CONTENT_LENGTH).and_then(|told| told.to_str().ok()?.parse().ok());
        let whole =
            self.head.status == StatusCode::NOT_MODIFIED || told.is_none_or(|told: usize| told == total);
        if whole { Ok(()) } else { Err(Cause::Malformed) }
    }
}

impl Answer {
    /// The next bytes of the body; `None` at its end.
    ///
    /// # Errors
    /// What the network or the server did.
    pub(super) async fn data(&mut self) -> Result<Option<Bytes>, Cause> {
        self.body.data().await
    }
}

impl Body {
    /// The next bytes; `None` at the end.
    async fn data(&mut self) -> Result<Option<Bytes>, Cause> {
        match self {
            Self::One(body) => body.data().await,
            Self::Two(body) => loop {
                let Some(frame) = body.frame().await else { return Ok(None) };
                // Trailers are no bytes of the body.
                if let Ok(data) = frame.map_err(|error| http_cause(&error))?.into_data() {
                    return Ok(Some(data));
                }
            },
            Self::Quic(stream) => {
                for _ in 0..EMPTY_FRAMES {
                    if let Some(mut data) = stream.recv_data().await.map_err(|error| h3_cause(&error))? {
                        return Ok(Some(data.copy_to_bytes(data.remaining())));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Runs what hyper starts on this very thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

fn http_cause(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Cause::Malformed;
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Cause::Closed;
    }
    let source = error.source();
    if let Some(error) = source.and_then(|source| source.downcast_ref::<io::Error>()) {
        return io_cause(error);
    }
    match source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        Some(error) => error.get_io().map_or_else(
            // The server reset the stream or went away; all else is what it sent wrong.
            || if error.is_remote() { Cause::Closed } else { Cause::Malformed },
            io_cause,
        ),
        None => Cause::Malformed,
    }
}

/// As [`cause`], with what TLS has to say inside.
pub(super) fn io_cause(error: &io::Error) -> Cause {
    match error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(error) => tls_cause(error),
        None => cause(error),
    }
}

/// A certificate that is wrong is well-formed and wrong; an alert is the server's no.
fn tls_cause(error: &rustls::Error) -> Cause {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => Cause::Incorrect,
        rustls::Error::AlertReceived(_) => Cause::Rejected,
        _ => Cause::Malformed,
    }
}

/// QUIC's codes for TLS alerts (RFC 9001 section 4.8).
const ALERTS: RangeInclusive<u64> = 0x100..=0x1ff;

/// Whether a QUIC code is for an alert about a certificate (RFC 8446 section 6.2: 42 to 48, and 51 where a signature is wrong).
fn is_about_certificate(code: u64) -> bool {
    matches!(code.checked_sub(*ALERTS.start()), Some(42..=48 | 51))
}

fn quic_cause(error: &ConnectionError) -> Cause {
    match error {
        ConnectionError::TimedOut => Cause::Timeout,
        ConnectionError::TransportError(error) if is_about_certificate(error.code.into()) => Cause::Incorrect,
        ConnectionError::TransportError(_) => Cause::Malformed,
        ConnectionError::ConnectionClosed(close) if ALERTS.contains(&u64::from(close.error_code)) => {
            Cause::Rejected
        }
        ConnectionError::ConnectionClosed(_)
        | ConnectionError::ApplicationClosed(_)
        | ConnectionError::Reset => Cause::Closed,
        ConnectionError::VersionMismatch => Cause::Rejected,
        ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => Cause::Local,
    }
}

fn h3_connection_cause(error: &h3::error::ConnectionError) -> Cause {
    use h3::error::ConnectionError as E;
    use h3::quic::ConnectionErrorIncoming;
    match error {
        E::Timeout { .. } => Cause::Timeout,
        E::Remote { 0: ConnectionErrorIncoming::Timeout, .. } => Cause::Timeout,
        E::Remote { .. } => Cause::Closed,
        // This side ended the connection over what it was sent.
        _ => Cause::Malformed,
    }
}

fn h3_cause(error: &h3::error::StreamError) -> Cause {
    use h3::error::StreamError as E;
    match error {
        E::RemoteTerminate { .. } | E::RemoteClosing { .. } => Cause::Closed,
        E::ConnectionError { 0: error, .. } => h3_connection_cause(error),
        _ => Cause::Malformed,
    }
}

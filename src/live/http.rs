//! HTTP/1.1 (RFC 9112): one request after the other on a guarded connection.

use std::error::Error as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::task::AbortHandle;

use crate::journey::Cause;

use super::Guard;
use super::guard::cause;
use super::meter::Meter;

/// Bytes of a body that are still drained.
const MAX_DRAINED: usize = 64 << 20;

/// One GET, or a POST where there is something to post.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask<'a> {
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) user_agent: &'a str,
    /// JSON to post.
    pub(super) body: Option<&'a str>,
}

/// A connection that can carry one exchange at a time. Dropping it closes it.
#[derive(Debug)]
pub(super) struct HttpConnection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl HttpConnection {
    /// Connects; within a `LocalSet`.
    pub(super) async fn open(guard: &Guard, address: SocketAddr, meter: &Meter) -> Result<Self, Cause> {
        Self::open_from(guard, address, None, meter).await
    }

    /// Connects from this local address, or from the system's choice.
    pub(super) async fn open_from(
        guard: &Guard,
        address: SocketAddr,
        source: Option<IpAddr>,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        meter.start();
        let stream = guard.connect_from(address, source).await?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| http_cause(&error))?;
        let driver = tokio::task::spawn_local(async move {
            // Its errors come out of the exchange that they break.
            let _ = connection.await;
        });
        Ok(Self { sender, driver: driver.abort_handle() })
    }

    /// Whether another exchange can be tried.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Fetches a page and forgets its body.
    pub(super) async fn drain(&mut self, ask: Ask<'_>, meter: &Meter) -> Result<(), Cause> {
        let response = self.send(ask, meter).await?;
        let status = response.status();
        read(response, meter, MAX_DRAINED, |_| ()).await?;
        check(status)
    }

    /// Fetches a body of at most `limit` bytes.
    pub(super) async fn fetch(
        &mut self,
        ask: Ask<'_>,
        meter: &Meter,
        limit: usize,
    ) -> Result<Vec<u8>, Cause> {
        let response = self.send(ask, meter).await?;
        let status = response.status();
        let mut body = Vec::new();
        read(response, meter, limit, |data| body.extend_from_slice(data)).await?;
        check(status).map(|()| body)
    }

    async fn send(&mut self, ask: Ask<'_>, meter: &Meter) -> Result<Response<Incoming>, Cause> {
        let request = match ask.body {
            None => Request::get(ask.path),
            Some(_) => Request::post(ask.path).header(CONTENT_TYPE, "application/json"),
        };
        let body = ask.body.unwrap_or_default().to_owned();
        meter.sent(body.len());
        let request = request
            .header(HOST, ask.host)
            .header(USER_AGENT, ask.user_agent)
            .body(Full::from(body))
            // A path that no URI can hold is a profile's mistake, not the target's.
            .map_err(|_| Cause::Local)?;
        self.sender.ready().await.map_err(|error| http_cause(&error))?;
        meter.start();
        self.sender.send_request(request).await.map_err(|error| http_cause(&error))
    }
}

/// Takes the whole body in, so that the connection can be used again.
async fn read(
    response: Response<Incoming>,
    meter: &Meter,
    limit: usize,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Cause> {
    let mut body = response.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| http_cause(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        total += data.len();
        meter.received(data.len());
        if total > limit {
            return Err(Cause::Malformed);
        }
        each(data);
    }
    Ok(())
}

/// Redirects are not followed: a load that a redirect could aim elsewhere would not be the planned one.
fn check(status: StatusCode) -> Result<(), Cause> {
    match status.as_u16() {
        200..=299 => Ok(()),
        400..=499 => Err(Cause::ClientError),
        500..=599 => Err(Cause::ServerError),
        _ => Err(Cause::Incorrect),
    }
}

fn http_cause(error: &hyper::Error) -> Cause {
    if error.is_parse() {
        return Cause::Malformed;
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Cause::Closed;
    }
    match error.source().and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) => cause(error),
        None => Cause::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Clock;
    use super::super::fixture::target;
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const GET: Ask<'_> = Ask { host: "h", path: "/p?q=1", user_agent: "agent/1", body: None };

    /// Answers every request on one connection with these bytes in turn, then closes it; returns what it was asked.
    async fn exchange<T>(
        answers: &'static [&'static str],
        client: impl AsyncFnOnce(&Guard, SocketAddr, &Meter) -> T,
    ) -> (T, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let server = tokio::task::spawn_local(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = String::new();
                for answer in answers {
                    let mut buffer = [0; 2048];
                    let read = stream.read(&mut buffer).await.unwrap();
                    asked.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                asked
            });
            let guard = Guard::new(&target(address)).unwrap();
            let result = client(&guard, address, &Meter::new(Clock::start())).await;
            (result, server.await.unwrap())
        });
        tokio::time::timeout(std::time::Duration::from_secs(10), run).await.unwrap()
    }

    async fn one(answers: &'static [&'static str]) -> Result<(), Cause> {
        let get = async |guard: &Guard, address, meter: &Meter| {
            HttpConnection::open(guard, address, meter).await?.drain(GET, meter).await
        };
        exchange(answers, get).await.0
    }

    #[tokio::test]
    async fn a_connection_is_kept_and_bodies_are_counted() {
        let two = &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ];
        let (bytes, asked) = exchange(two, async |guard, address, meter| {
            let mut connection = HttpConnection::open(guard, address, meter).await.unwrap();
            connection.drain(GET, meter).await.unwrap();
            assert!(connection.is_open());
            assert_eq!(connection.fetch(GET, meter, 10).await.unwrap(), b"abc");
            meter.outcome(None).bytes_in
        })
        .await;
        assert_eq!(bytes, 8);
        assert_eq!(asked.matches("GET /p?q=1 HTTP/1.1\r\n").count(), 2);
        assert!(asked.contains("host: h\r\n") && asked.contains("user-agent: agent/1\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn failures_have_their_cause() {
        const EMPTY: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(one(&[EMPTY]).await, Err(Cause::ClientError));
        assert_eq!(one(&["HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno"]).await, Err(Cause::ServerError));
        const MOVED: &str = "HTTP/1.1 302 X\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(one(&[MOVED]).await, Err(Cause::Incorrect));
        assert_eq!(one(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]).await, Err(Cause::Closed));
        assert_eq!(one(&[""]).await, Err(Cause::Closed));
        assert_eq!(one(&["SMTP ready\r\n\r\n"]).await, Err(Cause::Malformed));
    }

    #[tokio::test]
    async fn what_is_posted_is_json_and_counted() {
        let answer = &["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"];
        let call = Ask { path: "/rpc", body: Some(r#"{"id":1}"#), ..GET };
        let (bytes, asked) = exchange(answer, async |guard, address, meter| {
            HttpConnection::open(guard, address, meter).await.unwrap().drain(call, meter).await.unwrap();
            meter.outcome(None).bytes_out
        })
        .await;
        assert_eq!(bytes, 8);
        assert!(
            asked.starts_with("POST /rpc HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"id\":1}"),
            "{asked}"
        );
        assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
        assert!(asked.contains("content-length: 8\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_body_beyond_its_limit_is_malformed() {
        let answer = &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"];
        let fetch = async |guard: &Guard, address, meter: &Meter| {
            HttpConnection::open(guard, address, meter).await?.fetch(GET, meter, 4).await
        };
        assert_eq!(exchange(answer, fetch).await.0, Err(Cause::Malformed));
    }
}

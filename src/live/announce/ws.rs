//! A visitor's WebSocket to a tracker. Its presence in the swarm lasts as long as the connection.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use futures_util::{SinkExt, StreamExt};
use tokio_websockets::upgrade::Error as UpgradeError;
use tokio_websockets::{ClientBuilder, Error, Limits, Message, WebSocketStream};

use crate::journey::Cause;
use crate::profile::Tracker;

use super::super::guard::{Guard, cause};
use super::super::http::{self, Site, Stream, Way};
use super::super::meter::Meter;
use super::super::tracker::Refused;
use super::super::tracker::ws::MAX_MESSAGE;

/// A connection on which one question at a time is asked.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) tracker: SocketAddr,
    stream: WebSocketStream<Box<dyn Stream>>,
}

impl Socket {
    /// Connects to the tracker at this site.
    ///
    /// # Errors
    /// Whatever the tracker or the network did.
    pub(super) async fn open(
        guard: &Guard,
        site: &Rc<Site>,
        tracker: &Tracker,
        way: Way,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        let connection = http::open(guard, site, way, meter).await?;
        // With or without TLS: it says where the connection leads, which is open already.
        let url = format!("ws://{}{}", tracker.host, tracker.path);
        // A host or path that no URI can hold is a profile's mistake, not the target's.
        let builder = ClientBuilder::new().uri(&url).map_err(|_| Cause::Local)?;
        let limits = Limits::default().max_payload_len(Some(MAX_MESSAGE));
        let (stream, _) = builder.limits(limits).connect_on(connection).await.map_err(ws_cause)?;
        Ok(Self { tracker: tracker.address, stream })
    }

    /// Sends a message and returns what `read` makes of the first that it takes for the answer.
    ///
    /// # Errors
    /// Whatever the tracker or the network did, and what `read` says.
    pub(super) async fn ask<T>(
        &mut self,
        message: String,
        meter: &Meter,
        read: impl Fn(&[u8]) -> Result<Option<T>, Refused>,
    ) -> Result<T, Refused> {
        meter.sent(message.len());
        self.stream.send(Message::text(message)).await.map_err(ws_cause)?;
        while let Some(message) = self.stream.next().await {
            let message = message.map_err(ws_cause)?;
            meter.received(message.as_payload().len());
            if (message.is_text() || message.is_binary())
                && let Some(answer) = read(message.as_payload())?
            {
                return Ok(answer);
            }
        }
        Err(Cause::Closed.into())
    }
}

fn ws_cause(error: Error) -> Cause {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Cause::Closed,
        Error::Io(error) => cause(&error),
        Error::AlreadyClosed => Cause::Closed,
        Error::Upgrade(UpgradeError::DidNotSwitchProtocols(400..=499)) => Cause::ClientError,
        Error::Upgrade(UpgradeError::DidNotSwitchProtocols(500..=599)) => Cause::ServerError,
        _ => Cause::Malformed,
    }
}

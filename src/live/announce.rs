//! Announces: connection ids, retransmission and patience (BEP 15).

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::journey::{Cause, Peer};
use crate::unit::Tick;

use super::meter::Meter;
use super::tracker::{self, Announce};
use super::udp::{Inbox, Pool, Port, Ticket};
use super::{Clock, Guard};

/// How long a connection id is used (BEP 15: one minute; the tracker accepts it for two).
const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Wait before the first retransmission; doubled with each (BEP 15).
pub(super) const RETRANSMIT: Duration = Duration::from_secs(15);
/// Retransmissions before an announce is given up (BEP 15); patience ends nearly all of them earlier.
const MAX_RETRANSMITS: u32 = 8;

/// A worker's way to one tracker. Visitors share its sockets, and each connects for itself: a tracker sees as many connects as real
/// clients send.
#[derive(Debug)]
pub(super) struct Announcer {
    clock: Clock,
    tracker: SocketAddr,
    pool: Pool,
    retransmit: Duration,
}

/// A connection id that a visitor was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionId {
    id: u64,
    since: Tick,
}

impl Announcer {
    /// Opens the sockets; within a `LocalSet`. `retransmit` is the wait before the first retransmission.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        tracker: SocketAddr,
        worker: u32,
        retransmit: Duration,
    ) -> io::Result<Self> {
        let pool = Pool::open(guard, clock, tracker, worker, tracker::transaction)?;
        Ok(Self { clock, tracker, pool, retransmit })
    }

    /// Announces for a visitor with this source, and returns the peers as the tracker named them. Where its own `connection` id is too
    /// old or missing, it connects first: that exchange is a part of the announce's service time.
    ///
    /// # Errors
    /// Whatever the tracker or the network did; [`Cause::Timeout`] after the last retransmission.
    pub(super) async fn announce(
        &self,
        source: u64,
        announce: &Announce,
        connection: &Cell<Option<ConnectionId>>,
        meter: &Meter,
    ) -> Result<Vec<Peer>, Cause> {
        let port = self.pool.port(source).ok_or(Cause::Local)?;
        let inbox = Inbox::default();
        let ticket = port.ticket(self.tracker, &inbox)?;
        for n in 0..=MAX_RETRANSMITS {
            if n > 0 {
                meter.retransmitted();
            }
            let patience = self.retransmit * 2_u32.pow(n);
            let Some(id) = self.connect(port, connection, patience, meter).await? else { continue };
            let request = tracker::announce_request(id, ticket.transaction, announce);
            if let Some(answer) = ask(&ticket, &inbox, &request, patience, meter).await? {
                return tracker::peers(&answer, self.tracker.is_ipv6());
            }
        }
        Err(Cause::Timeout)
    }

    /// A connection id young enough to be used, asking for one if need be; `None` where no answer came in time.
    async fn connect(
        &self,
        port: &Rc<Port>,
        connection: &Cell<Option<ConnectionId>>,
        patience: Duration,
        meter: &Meter,
    ) -> Result<Option<u64>, Cause> {
        if let Some(ConnectionId { id, since }) = connection.get()
            && self.clock.now().since(since) < CONNECTION_LIFE
        {
            return Ok(Some(id));
        }
        // A ticket of its own: a late answer to an earlier connect must not be taken for one to the announce.
        let inbox = Inbox::default();
        let ticket = port.ticket(self.tracker, &inbox)?;
        let request = tracker::connect_request(ticket.transaction);
        let Some(answer) = ask(&ticket, &inbox, &request, patience, meter).await? else { return Ok(None) };
        let id = tracker::connection_id(&answer)?;
        connection.set(Some(ConnectionId { id, since: self.clock.now() }));
        Ok(Some(id))
    }
}

async fn ask(
    ticket: &Ticket,
    inbox: &Inbox,
    request: &[u8],
    patience: Duration,
    meter: &Meter,
) -> Result<Option<Vec<u8>>, Cause> {
    meter.start();
    ticket.send(request).await?;
    meter.sent(request.len());
    let Ok(answer) = tokio::time::timeout(patience, inbox.pop()).await else { return Ok(None) };
    meter.received(answer.data.len());
    Ok(Some(answer.data))
}

#[cfg(test)]
mod tests;

//! Requests to a UDP tracker: connection ids and retransmission (BEP 15).

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::journey::Cause;
use crate::unit::Tick;

use super::super::meter::Meter;
use super::super::patience::Patience;
use super::super::source::Sources;
use super::super::tracker::udp::{Datagram, connect_request, connection_id, transaction};
use super::super::udp::{Inbox, Pool, Port, Ticket};
use super::super::{Clock, Guard};

/// How long a connection id is used (BEP 15: one minute; the tracker accepts it for two).
pub(super) const CONNECTION_LIFE: Duration = Duration::from_secs(60);
/// Retransmissions before an announce is given up (BEP 15); patience ends nearly all of them earlier.
const MAX_RETRANSMITS: u32 = 8;

/// A worker's way to one UDP tracker. Visitors share its socket, and each connects for itself: a tracker sees as many connects as real
/// clients send.
#[derive(Debug)]
pub(super) struct UdpTracker {
    pub(super) clock: Clock,
    address: SocketAddr,
    pool: Pool,
    patience: Patience,
    retransmit: Duration,
}

/// A connection id that a visitor was given, and by which tracker.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionId {
    pub(super) id: u64,
    pub(super) since: Tick,
    pub(super) by: SocketAddr,
}

impl UdpTracker {
    /// Opens the socket; within a `LocalSet`. `retransmit` is the wait before the first retransmission.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        address: SocketAddr,
        sources: &Sources,
        (patience, retransmit): (&Patience, Duration),
    ) -> io::Result<Self> {
        let pool = Pool::open(guard, clock, address, sources, transaction)?;
        Ok(Self { clock, address, pool, patience: patience.clone(), retransmit })
    }

    /// Counts the datagrams that nobody waited for, since this was last asked, with the operation of this meter.
    pub(super) fn count_strays(&self, meter: &Meter) {
        self.pool.count_strays(meter);
    }

    /// Sends what `request` makes of a connection id and a transaction id, and returns the answer. Where the visitor's own `connection` id
    /// is too old or missing, it connects first: that exchange is a part of the service time.
    ///
    /// # Errors
    /// Whatever the tracker or the network did; [`Cause::Timeout`] after the last retransmission.
    pub(super) async fn ask(
        &self,
        source: u64,
        connection: &Cell<Option<ConnectionId>>,
        meter: &Meter,
        request: impl Fn(u64, u32) -> Datagram,
    ) -> Result<Vec<u8>, Cause> {
        let port = self.pool.port(source);
        let inbox = Inbox::default();
        let ticket = port.ticket(self.address, &inbox)?;
        for n in 0..=MAX_RETRANSMITS {
            if n > 0 {
                meter.retransmitted();
            }
            let patience = self.retransmit * 2_u32.pow(n);
            let Some(id) = self.connect(&port, &inbox, connection, patience, meter).await? else { continue };
            let request = request(id, ticket.transaction);
            if let Some((answer, _)) = self.exchange(&ticket, &inbox, &request, patience, meter).await? {
                return Ok(answer);
            }
        }
        Err(Cause::Timeout)
    }

    /// A connection id young enough to be used, asking for one if need be; `None` where no answer came in time.
    async fn connect(
        &self,
        port: &Port,
        inbox: &Inbox,
        connection: &Cell<Option<ConnectionId>>,
        patience: Duration,
        meter: &Meter,
    ) -> Result<Option<u64>, Cause> {
        if let Some(ConnectionId { id, since, by }) = connection.get()
            && by == self.address
            && self.clock.now().since(since) < CONNECTION_LIFE
        {
            return Ok(Some(id));
        }
        // A ticket of its own: a late answer to an earlier connect must not be taken for one to the announce.
        let ticket = port.ticket(self.address, inbox)?;
        let request = connect_request(ticket.transaction);
        let Some((answer, since)) = self.exchange(&ticket, inbox, &request, patience, meter).await? else {
            return Ok(None);
        };
        let id = connection_id(&answer)?;
        connection.set(Some(ConnectionId { id, since, by: self.address }));
        Ok(Some(id))
    }

    /// Sends a request and waits for its answer: the datagram and when it came; `None` where none came in time.
    async fn exchange(
        &self,
        ticket: &Ticket,
        inbox: &Inbox,
        request: &[u8],
        patience: Duration,
        meter: &Meter,
    ) -> Result<Option<(Vec<u8>, Tick)>, Cause> {
        meter.start();
        ticket.send(request)?;
        meter.sent(request.len());
        let answered = async {
            loop {
                let answer = inbox.pop().await;
                // Others are of a ticket that is over.
                if answer.transaction == ticket.transaction {
                    return answer;
                }
            }
        };
        let Some(answer) = self.patience.bound(patience, answered).await else { return Ok(None) };
        let data = answer.data?;
        meter.received(data.len());
        Ok(Some((data, answer.at)))
    }
}

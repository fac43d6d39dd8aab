//! Requests and answers over one UDP socket: an answer finds its request by transaction id, and by both addresses. What is sent in one
//! turn of the worker leaves at its end, in batches.

pub(super) mod outbox;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::journey::{Cause, Oddity};
use crate::unit::Tick;

use super::guard::{ManyDatagrams, Received};
use super::meter::Meter;
use super::queue::Queue;
use super::source::Sources;
use super::{Clock, Guard};

use outbox::Outbox;

/// Requests that may be under way on one socket.
const MAX_PENDING: usize = 1 << 20;
/// Requests that are over and still known, on one socket: whose answer came late, or twice.
const REMEMBERED: usize = 1 << 15;

/// What makes transaction ids of serial numbers. An odd factor: each id comes once in 2^32, and neighbours in time are not neighbours in
/// value.
const SPREAD: u32 = 0x9E37_79B1;
/// Its inverse modulo 2^32.
const GATHER: u32 = 0x0E8B_2F51;
const _: () = assert!(SPREAD.wrapping_mul(GATHER) == 1);

fn serial_of(transaction: u32) -> u32 {
    transaction.wrapping_mul(GATHER)
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The request that it belongs to.
    pub(super) transaction: u32,
    /// When it was taken from the socket.
    pub(super) at: Tick,
    /// The datagram; or why the request could not be sent.
    pub(super) data: Result<Vec<u8>, Cause>,
}

/// Where the answers to someone's requests arrive.
pub(super) type Inbox = Rc<Queue<Answer>>;

/// Finds the transaction id in a datagram; `None` where it cannot be an answer.
pub(super) type Identify = fn(&[u8]) -> Option<u32>;

/// What becomes of a datagram that may be a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// It is none.
    NoQuery,
    /// Nobody answers it.
    Silence,
    /// This goes back.
    Answer(Vec<u8>),
}

/// Answers the queries that come to a worker's sockets.
pub(super) trait Serve: fmt::Debug {
    /// What to do about a datagram that came to this local address.
    fn serve(&self, datagram: &[u8], from: SocketAddr, local: IpAddr) -> Served;
}

/// A worker's socket towards one server, or the nodes of one address family. Every visitor sends from its own address. Dropping it ends
/// its tasks.
#[derive(Debug)]
pub(super) struct Pool {
    line: Rc<Line>,
    sources: Sources,
    towards: IpAddr,
    tasks: [AbortHandle; 2],
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Pool {
    /// Opens a socket that can reach `towards` and reads it; within a `LocalSet`.
    ///
    /// # Errors
    /// The system's, where it gives no socket.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        towards: SocketAddr,
        sources: &Sources,
        identify: Identify,
    ) -> io::Result<Self> {
        let any = sources.local(towards.ip(), 0);
        let line = Rc::new(Line {
            any: any.is_unspecified().then_some(any),
            socket: guard.bind_any(towards.ip())?,
            pending: RefCell::default(),
            over: RefCell::default(),
            strays: RefCell::default(),
            in_vain: Cell::default(),
            outbox: RefCell::default(),
            waiting: Notify::new(),
            server: OnceCell::new(),
            serial: Cell::new(sources.worker.wrapping_mul(0x9E37_79B9)),
        });
        let reader = tokio::task::spawn_local(Rc::clone(&line).read(clock, identify));
        let writer = tokio::task::spawn_local(Rc::clone(&line).write(clock));
        let tasks = [reader.abort_handle(), writer.abort_handle()];
        Ok(Self { line, sources: sources.clone(), towards: towards.ip(), tasks })
    }

    /// The port number of its socket.
    pub(super) fn number(&self) -> u16 {
        self.line.socket.number()
    }

    /// From now on queries that come to the socket are answered by `server`, from the address that was asked; to be called once.
    pub(super) fn serve(&self, server: Rc<dyn Serve>) {
        let _ = self.line.server.set(server);
    }

    /// Counts the datagrams that nobody waited for, since this was last asked, with the operation of this meter. The bytes of answers that
    /// were too late were carried all the same.
    pub(super) fn count_strays(&self, meter: &Meter) {
        self.line.strays.take().into_iter().for_each(|(oddity, times)| meter.odd(oddity, times));
        meter.received(self.line.in_vain.take());
    }

    /// The way out of the visitors with this source.
    pub(super) fn port(&self, source: u64) -> Port {
        Port { line: Rc::clone(&self.line), local: self.sources.local(self.towards, source) }
    }
}

/// The socket, from one local address.
#[derive(Clone, Debug)]
pub(super) struct Port {
    line: Rc<Line>,
    /// The address; unspecified where the system chooses one for each datagram.
    pub(super) local: IpAddr,
}

/// A socket and the requests that wait for answers on it.
#[derive(Debug)]
struct Line {
    /// The unspecified address, where the system chooses those that it sends from: they are not told apart.
    any: Option<IpAddr>,
    socket: ManyDatagrams,
    // Ids are this program's own: nobody can choose them so that they collide.
    pending: RefCell<FxHashMap<u32, (Request, Inbox)>>,
    over: RefCell<Over>,
    /// Datagrams that nobody waited for, by what they were.
    strays: RefCell<Vec<(Oddity, u32)>>,
    /// Bytes of answers that came too late, or twice.
    in_vain: Cell<usize>,
    outbox: RefCell<Outbox>,
    /// Tells the writer that there is something.
    waiting: Notify,
    /// Who answers queries, where anybody does.
    server: OnceCell<Rc<dyn Serve>>,
    serial: Cell<u32>,
}

/// A request.
#[derive(Debug)]
struct Request {
    peer: SocketAddr,
    /// Where it was sent from.
    local: IpAddr,
    /// Datagrams sent that have no answer.
    open: u32,
}

impl Request {
    /// Whether a datagram between these two addresses can be its answer.
    fn is_between(&self, from: SocketAddr, local: IpAddr) -> bool {
        (self.peer, self.local) == (from, local)
    }
}

/// Requests that are over, each at the place of its serial number, until another comes there: a ring, since every request comes here.
#[derive(Debug, Default)]
struct Over(Vec<Option<(u32, Request)>>);

impl Over {
    fn remember(&mut self, transaction: u32, request: Request) {
        if self.0.is_empty() {
            self.0.resize_with(REMEMBERED, || None);
        }
        if let Some(place) = self.0.get_mut(Self::place(transaction)) {
            *place = Some((transaction, request));
        }
    }

    fn place(transaction: u32) -> usize {
        serial_of(transaction) as usize % REMEMBERED
    }

    /// What an answer is that belongs to no request under way.
    fn oddity(&mut self, transaction: u32, from: SocketAddr, local: IpAddr) -> Oddity {
        let place = self.0.get_mut(Self::place(transaction)).and_then(Option::as_mut);
        match place.filter(|(id, request)| *id == transaction && request.is_between(from, local)) {
            Some((_, request)) if request.open == 0 => Oddity::Duplicate,
            Some((_, request)) => {
                request.open -= 1;
                Oddity::Late
            }
            None => Oddity::Unasked,
        }
    }
}

impl Line {
    /// Counts a datagram of so many bytes that nobody waited for.
    fn stray(&self, oddity: Oddity, bytes: usize) {
        if matches!(oddity, Oddity::Late | Oddity::Duplicate) {
            self.in_vain.update(|sum| sum + bytes);
        }
        let mut strays = self.strays.borrow_mut();
        match strays.iter_mut().find(|(other, _)| *other == oddity) {
            Some((_, times)) => *times += 1,
            None => strays.push((oddity, 1)),
        }
    }

    async fn read(self: Rc<Self>, clock: Clock, identify: Identify) {
        // One reading of the clock for all that is taken from the socket at one go.
        let at = Cell::new(None);
        let take = |Received { data, from, local }: Received<'_>| {
            // Linux always says where a datagram came to.
            if let Some(local) = self.any.or(local) {
                let at = at.get().unwrap_or_else(|| clock.now());
                self.deliver(data, from, local, at, identify);
            }
        };
        while self.socket.receive(|| at.set(Some(clock.now())), take).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }

    /// Sends what the tasks that ran before have put into the outbox.
    async fn write(self: Rc<Self>, clock: Clock) {
        loop {
            self.waiting.notified().await;
            loop {
                let Some(batch) = self.outbox.borrow_mut().take() else { break };
                if let Err((sent, cause)) = self.socket.send(&batch).await {
                    self.fail(batch.transactions.get(sent..).unwrap_or_default(), cause, clock.now());
                }
                self.outbox.borrow_mut().sent(batch);
            }
        }
    }

    /// Tells those whose requests could not be sent.
    fn fail(&self, transactions: &[Option<u32>], cause: Cause, at: Tick) {
        let mut pending = self.pending.borrow_mut();
        for &transaction in transactions.iter().flatten() {
            if let Some((request, inbox)) = pending.get_mut(&transaction) {
                request.open = request.open.saturating_sub(1);
                inbox.push(Answer { transaction, at, data: Err(cause) });
            }
        }
    }

    /// Has a datagram sent with the others of this turn.
    fn post(
        &self,
        datagram: &[u8],
        from: IpAddr,
        to: SocketAddr,
        transaction: Option<u32>,
    ) -> Result<(), Cause> {
        if !self.socket.allows(to) {
            return Err(Cause::Foreign);
        }
        // The unspecified address stands for the system's choice.
        let from = (!from.is_unspecified()).then_some(from);
        self.outbox.borrow_mut().put(datagram, from, to, transaction);
        self.waiting.notify_one();
        Ok(())
    }

    fn deliver(&self, data: &[u8], from: SocketAddr, local: IpAddr, at: Tick, identify: Identify) {
        match self.server.get().map_or(Served::NoQuery, |server| server.serve(data, from, local)) {
            Served::Answer(answer) => {
                // Who may not be contacted is not answered.
                let _ = self.post(&answer, local, from, None);
                return;
            }
            Served::Silence => return,
            Served::NoQuery => {}
        }
        let Some(transaction) = identify(data) else {
            return self.stray(Oddity::Broken, data.len());
        };
        match self.pending.borrow_mut().get_mut(&transaction) {
            Some((request, inbox)) if request.is_between(from, local) && request.open > 0 => {
                request.open -= 1;
                inbox.push(Answer { transaction, at, data: Ok(data.to_vec()) });
            }
            Some((request, _)) if request.is_between(from, local) => {
                self.stray(Oddity::Duplicate, data.len());
            }
            Some((request, _)) if request.local == local => self.stray(Oddity::OtherSource, data.len()),
            // Nobody at that address asked.
            Some(_) => self.stray(Oddity::Unasked, data.len()),
            None => self.stray(self.over.borrow_mut().oddity(transaction, from, local), data.len()),
        }
    }
}

impl Port {
    /// Announces a request to `peer`, whose answers shall go to `inbox` for as long as the ticket lives.
    ///
    /// # Errors
    /// [`Cause::Local`] where too many are under way.
    pub(super) fn ticket(&self, peer: SocketAddr, inbox: &Inbox) -> Result<Ticket, Cause> {
        let mut pending = self.line.pending.borrow_mut();
        if pending.len() >= MAX_PENDING {
            return Err(Cause::Local);
        }
        let transaction = loop {
            let serial = self.line.serial.replace(self.line.serial.get().wrapping_add(1));
            let id = serial.wrapping_mul(SPREAD);
            if !pending.contains_key(&id) {
                break id;
            }
        };
        pending.insert(transaction, (Request { peer, local: self.local, open: 0 }, Rc::clone(inbox)));
        drop(pending);
        Ok(Ticket { transaction, peer, port: self.clone() })
    }
}

/// A request that waits for its answer. Dropping it makes later answers unknown.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The id that the request must carry.
    pub(super) transaction: u32,
    /// Whom it asks.
    pub(super) peer: SocketAddr,
    port: Port,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let line = &self.port.line;
        if let Some((request, _)) = line.pending.borrow_mut().remove(&self.transaction) {
            line.over.borrow_mut().remember(self.transaction, request);
        }
    }
}

impl Ticket {
    /// Has a request sent that carries the ticket's id; where the system refuses to, that is its answer.
    ///
    /// # Errors
    /// [`Cause::Foreign`] where the address is not allowed.
    pub(super) fn send(&self, datagram: &[u8]) -> Result<(), Cause> {
        let line = &self.port.line;
        line.post(datagram, self.port.local, self.peer, Some(self.transaction))?;
        if let Some((request, _)) = line.pending.borrow_mut().get_mut(&self.transaction) {
            request.open += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::target;
    use super::*;
    use std::time::Duration;
    use tokio::net::UdpSocket;

    fn first_four(data: &[u8]) -> Option<u32> {
        data.first_chunk().copied().map(u32::from_be_bytes)
    }

    fn sources() -> Sources {
        Sources::new(&[], (3, 4)).unwrap()
    }

    #[tokio::test]
    async fn answers_find_their_request_by_id_and_source() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, &sources(), first_four).unwrap();
            let port = pool.port(7);
            let inbox = Inbox::default();
            let ticket = port.ticket(address, &inbox).unwrap();
            ticket.send(&ticket.transaction.to_be_bytes()).unwrap();
            let mut buffer = [0; 16];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            assert_eq!(first_four(&buffer[..length]), Some(ticket.transaction));
            stranger.send_to(&buffer[..length], from).await.unwrap();
            server.send_to(b"x", from).await.unwrap();
            server.send_to(&(!ticket.transaction).to_be_bytes(), from).await.unwrap();
            buffer[4] = 99;
            server.send_to(&buffer[..5], from).await.unwrap();
            let answer = inbox.pop().await;
            assert_eq!((answer.transaction, answer.data.unwrap()[4]), (ticket.transaction, 99));
            assert_eq!(
                pool.line.strays.take(),
                [(Oddity::OtherSource, 1), (Oddity::Broken, 1), (Oddity::Unasked, 1)]
            );
            drop(ticket);
            assert!(port.line.pending.borrow().is_empty());
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }

    #[tokio::test]
    async fn each_visitor_asks_and_is_answered_at_its_own_address() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, &sources(), first_four).unwrap();
            let (inbox, mut buffer) = (Inbox::default(), [0; 16]);
            let mut asked = Vec::new();
            for visitor in 0..100 {
                let ticket = pool.port(visitor).ticket(address, &inbox).unwrap();
                ticket.send(&ticket.transaction.to_be_bytes()).unwrap();
                let (_, from) = server.recv_from(&mut buffer).await.unwrap();
                assert_eq!(from.ip(), sources().local(address.ip(), visitor));
                asked.push((ticket, from));
            }
            // The first answer goes to the second visitor.
            server.send_to(&asked[0].0.transaction.to_be_bytes(), asked[1].1).await.unwrap();
            for (ticket, from) in &asked {
                server.send_to(&ticket.transaction.to_be_bytes(), from).await.unwrap();
            }
            for (ticket, _) in &asked {
                assert_eq!(inbox.pop().await.transaction, ticket.transaction);
            }
            assert_eq!(pool.line.strays.take(), [(Oddity::Unasked, 1)]);
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }

    #[tokio::test]
    async fn answers_to_what_is_over_are_late_or_duplicates() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let tasks = tokio::task::LocalSet::new();
        let run = tasks.run_until(async {
            let pool = Pool::open(&guard, Clock::start(), address, &sources(), first_four).unwrap();
            let port = pool.port(7);
            let (inbox, mut buffer) = (Inbox::default(), [0; 16]);
            let given_up = port.ticket(address, &inbox).unwrap();
            let late = given_up.transaction.to_be_bytes();
            given_up.send(&late).unwrap();
            let (_, from) = server.recv_from(&mut buffer).await.unwrap();
            drop(given_up);
            let ticket = port.ticket(address, &inbox).unwrap();
            let id = ticket.transaction.to_be_bytes();
            // Sent twice: two answers are no more than it asked for.
            ticket.send(&id).unwrap();
            ticket.send(&id).unwrap();
            for answer in [late, late, id, id, id] {
                server.send_to(&answer, from).await.unwrap();
            }
            while port.line.strays.borrow().len() < 2 || port.line.strays.borrow()[1].1 < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(pool.line.strays.take(), [(Oddity::Late, 1), (Oddity::Duplicate, 2)]);
            assert_eq!(pool.line.in_vain.get(), 3 * late.len(), "carried for nobody");
            assert!(inbox.try_pop().is_some() && inbox.try_pop().is_some() && inbox.try_pop().is_none());
        });
        tokio::time::timeout(Duration::from_secs(10), run).await.unwrap();
    }
}

//! Relaying connections.
//!
//! An operation is a burst of bytes from the client that follows bytes of the server, or the beginning: for HTTP/1.1 without pipelining,
//! exactly a request. Its first bytes wait for its turn, and all behind them.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::BREATH;
use super::limits::{Delay, Limits};
use super::pump::Pump;
use super::relay::{Fate, Relay};
use super::sockets::{connect, reset, with_scratch};

/// What is read at a time where bandwidth is shared: connections take turns of so many bytes.
const TURN: usize = 16 << 10;
/// What is read at a time elsewhere.
const CHUNK: usize = 256 << 10;
/// Waits for its turn.
type Turn = oneshot::Sender<()>;

/// A relay of connections.
pub(super) struct TcpRelay {
    relay: Rc<Relay>,
    entrances: Rc<Pump<Turn>>,
    operations: Rc<Pump<Turn>>,
    bytes: Rc<Pump<Turn>>,
}

/// A connection that is there, as far as it is counted.
struct Open<'a>(&'a Relay);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.count(|counters| counters.open -= 1);
    }
}

impl TcpRelay {
    /// Starts to relay. Only inside a `LocalSet`.
    pub(super) fn start(relay: Rc<Relay>, listener: TcpListener, seed: u64) {
        // Who no longer waits for its turn has had it all the same.
        let go = |turn: Turn| {
            let _ = turn.send(());
        };
        let limits = relay.limits().clone();
        let this = Rc::new(Self {
            relay: Rc::clone(&relay),
            entrances: Pump::start(limits.entrances(), Delay::default(), seed, go),
            operations: Pump::start(limits.operations(), limits.delay(), seed.wrapping_add(2), go),
            bytes: Pump::start(Self::bandwidth(&limits), Delay::default(), seed, go),
        });
        let changed = Rc::clone(&this);
        relay.on_change(move |limits| changed.change(limits));
        tokio::task::spawn_local(this.accept(listener));
    }

    fn change(&self, limits: &Limits) {
        self.entrances.change(limits.entrances(), Delay::default());
        self.operations.change(limits.operations(), limits.delay());
        self.bytes.change(Self::bandwidth(limits), Delay::default());
    }

    /// Of each connection one chunk waits at most: no need for another bound.
    fn bandwidth(limits: &Limits) -> super::gate::Pace {
        limits.bytes(usize::MAX)
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((client, address)) => self.enter(client, address),
                // A connection that was gone before it was taken, or no descriptor left.
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    /// Takes a connection, or resets it where there are too many.
    fn enter(self: &Rc<Self>, client: TcpStream, address: SocketAddr) {
        let most = self.relay.limits().connections.map_or(u64::MAX, |most| most as u64);
        let has_room = {
            let mut counters = self.relay.counters.borrow_mut();
            counters.connections += 1;
            let has_room = counters.open < most;
            counters.open += u64::from(has_room);
            counters.connections_turned_away += u64::from(!has_room);
            has_room
        };
        if !has_room {
            return reset(&client);
        }
        let this = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let _open = Open(&this.relay);
            this.serve(&client, address).await;
        });
    }

    async fn serve(&self, client: &TcpStream, address: SocketAddr) {
        let limited = self.relay.limits().connections_per_second.is_some();
        if limited && turn(&self.entrances, 1.0).await.is_err() {
            self.relay.count(|counters| counters.connections_turned_away += 1);
            return reset(client);
        }
        if self.relay.limits().is_black_hole() {
            // Until the client hangs up.
            let _ = self.swallow(client).await;
            return;
        }
        let relayed = async {
            let upstream = self.relay.upstream.get().ok_or(io::ErrorKind::NotConnected)?;
            client.set_nodelay(true)?;
            connect(upstream, address.ip()).await
        };
        let Ok(server) = relayed.await else {
            self.relay.count(|counters| counters.failed += 1);
            return reset(client);
        };
        let answered = Cell::new(true);
        let both = async {
            tokio::try_join!(
                self.requests(client, &server, &answered),
                self.answers(client, &server, &answered)
            )
        };
        if both.await.is_err() {
            // Whatever ended one side ends the other in the same way.
            reset(client);
            reset(&server);
        }
    }

    /// From the client to the server.
    async fn requests(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        answered: &Cell<bool>,
    ) -> io::Result<()> {
        loop {
            let Some(bytes) = read(client, CHUNK).await? else { return end(server) };
            if answered.replace(false) {
                self.operation(client).await?;
            }
            self.relay.count(|counters| counters.bytes_in += bytes.len() as u64);
            write(server, &bytes).await?;
        }
    }

    /// Returns when an operation may go on.
    async fn operation(&self, client: &TcpStream) -> io::Result<()> {
        match self.relay.fate() {
            Fate::Lost => return Err(io::ErrorKind::ConnectionReset.into()),
            Fate::Swallowed => return self.swallow(client).await,
            Fate::On => {}
        }
        let passed = turn(&self.operations, 1.0).await;
        let longest = self.operations.longest() as u64;
        self.relay.count(|counters| {
            counters.passed += u64::from(passed.is_ok());
            counters.turned_away += u64::from(passed.is_err());
            counters.longest_queue = longest;
        });
        passed.map_err(|TooMany| io::ErrorKind::ConnectionReset.into())
    }

    /// Takes in what the client says until it hangs up, which ends the connection.
    async fn swallow(&self, client: &TcpStream) -> io::Result<()> {
        while read(client, CHUNK).await?.is_some() {}
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Passes on a chunk of what is there when its turn comes; how much that was, `None` at the end.
    async fn take_turn(&self, server: &TcpStream, client: &TcpStream) -> io::Result<Option<usize>> {
        let Some(bytes) = read(server, TURN).await? else { return Ok(None) };
        // Never too many: see `bandwidth`.
        let _ = turn(&self.bytes, bytes.len() as f64).await;
        write(client, &bytes).await?;
        Ok(Some(bytes.len()))
    }

    /// From the server to the client.
    async fn answers(&self, client: &TcpStream, server: &TcpStream, answered: &Cell<bool>) -> io::Result<()> {
        loop {
            let limited = self.relay.limits().bandwidth.is_some();
            let length =
                if limited { self.take_turn(server, client).await? } else { pass(server, client).await? };
            let Some(length) = length else { return end(client) };
            answered.set(true);
            self.relay.count(|counters| counters.bytes_out += length as u64);
        }
    }
}

/// Passes on what is there; how much that was, `None` at the end.
async fn pass(from: &TcpStream, to: &TcpStream) -> io::Result<Option<usize>> {
    loop {
        from.readable().await?;
        let passed = with_scratch(CHUNK, |scratch| {
            let length = from.try_read(scratch)?;
            let written = match to.try_write(&scratch[..length]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                written => written?,
            };
            Ok::<_, io::Error>((length, scratch[written..length].to_vec()))
        });
        match passed {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
            Ok((0, _)) => return Ok(None),
            Ok((length, rest)) => {
                write(to, &rest).await?;
                return Ok(Some(length));
            }
        }
    }
}

/// Too many wait already.
struct TooMany;

/// Waits for a turn.
async fn turn(pump: &Pump<Turn>, cost: f64) -> Result<(), TooMany> {
    let (turn, comes) = oneshot::channel();
    pump.take(cost, turn).map_err(|_| TooMany)?;
    // The pump lives as long as its relay, so that every turn comes.
    comes.await.map_err(|_| TooMany)
}

/// Reads at most `most` bytes; `None` at the end.
async fn read(stream: &TcpStream, most: usize) -> io::Result<Option<Vec<u8>>> {
    loop {
        stream.readable().await?;
        let read = with_scratch(most, |scratch| {
            let length = stream.try_read(scratch)?;
            Ok::<_, io::Error>((length > 0).then(|| scratch[..length].to_vec()))
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Passes on that nothing more comes.
fn end(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)
}

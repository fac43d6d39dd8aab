//! Names of the target, as a visitor's stub resolves them (resolv.conf(5), RFC 1035, RFC 7766).
//!
//! hickory-proto is the codec. Its resolver opens sockets of its own, which the guard does not see, and pools and caches what here belongs
//! to single visitors: so the stub is written out. It asks for both families at a time, each question on one new socket, as glibc does.

mod message;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::journey::{Cause, Oddity};

use super::guard::{Datagrams, cause};
use super::meter::Meter;
use super::source::Sources;
use super::{Clock, Guard};

use message::{Answer, Question};

/// How a stub waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct StubTimes {
    /// For one resolver at a time.
    pub(super) timeout: Duration,
    /// Rounds through all resolvers.
    pub(super) attempts: u32,
}

impl StubTimes {
    /// Those of resolv.conf(5).
    pub(super) const USUAL: Self = Self { timeout: Duration::from_secs(5), attempts: 2 };
}

/// Longest datagram that is taken in whole.
const MAX_DATAGRAM: usize = 4 << 10;

/// A worker's way to the resolvers.
#[derive(Debug)]
pub(super) struct Stub {
    guard: Arc<Guard>,
    clock: Clock,
    resolvers: Vec<SocketAddr>,
    sources: Sources,
    times: StubTimes,
}

/// What is to be found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Seed of the visitor.
    pub(super) seed: u64,
    /// What the visitor's source address follows from.
    pub(super) source: u64,
    pub(super) name: &'a str,
    /// Where the target's profile says that the name leads.
    pub(super) address: SocketAddr,
}

/// The addresses of one family, as far as they are known.
#[derive(Debug)]
struct Asked {
    question: Question,
    datagram: Vec<u8>,
    found: Option<Found>,
}

#[derive(Clone, Debug)]
struct Found {
    list: Vec<IpAddr>,
    ttl: Duration,
}

impl Stub {
    pub(super) fn new(
        guard: Arc<Guard>,
        clock: Clock,
        resolvers: Vec<SocketAddr>,
        sources: Sources,
        times: StubTimes,
    ) -> Self {
        Self { guard, clock, resolvers, sources, times }
    }

    /// Resolves a name; how long the answer may be kept.
    ///
    /// # Errors
    /// [`Cause::Foreign`] where an address lies outside the allowed networks, [`Cause::Incorrect`] where the name does not exist or does
    /// not lead where the profile says; else what the last resolver or the network did. No address is contacted but the profile's own.
    pub(super) async fn resolve(&self, wanted: Wanted<'_>, meter: &Meter) -> Result<Duration, Cause> {
        let mut random = SplitMix64::seed_from_u64(wanted.seed ^ self.clock.now().0);
        let mut last = Cause::Local;
        for round in 0..self.times.attempts {
            for (n, &resolver) in self.resolvers.iter().enumerate() {
                if round > 0 || n > 0 {
                    meter.retransmitted();
                }
                match self.ask(resolver, wanted, &mut random, meter).await {
                    Ok([four, six]) => return self.judge(wanted.address, &four, &six, meter),
                    // Another resolver may know, or be there (glibc's res_send).
                    Err(cause @ (Cause::Timeout | Cause::ServerError | Cause::Rejected)) => last = cause,
                    Err(cause) => return Err(cause),
                }
            }
        }
        Err(last)
    }

    /// Whether the addresses are right; how long they may be kept. In the family of the profile's address no other is right; in the
    /// other family any is that may be contacted, since the profile says nothing of it.
    fn judge(
        &self,
        expected: SocketAddr,
        four: &Found,
        six: &Found,
        meter: &Meter,
    ) -> Result<Duration, Cause> {
        let outside = |ip: &&IpAddr| !self.guard.allows(SocketAddr::new(**ip, expected.port()));
        let foreign = four.list.iter().chain(&six.list).filter(outside).count();
        if foreign > 0 {
            meter.foreign(u32::try_from(foreign).unwrap_or(u32::MAX));
            return Err(Cause::Foreign);
        }
        let own = if expected.is_ipv4() { four } else { six };
        let right = !own.list.is_empty() && own.list.iter().all(|ip| *ip == expected.ip());
        if right { Ok(own.ttl) } else { Err(Cause::Incorrect) }
    }

    /// Asks one resolver for both families.
    async fn ask(
        &self,
        resolver: SocketAddr,
        wanted: Wanted<'_>,
        random: &mut SplitMix64,
        meter: &Meter,
    ) -> Result<[Found; 2], Cause> {
        let mut ask = |ipv6| {
            let question = Question::new(random.random(), wanted.name, ipv6)?;
            let datagram = question.encode()?;
            Some(Asked { question, datagram, found: None })
        };
        // A name that is none is the profile's fault.
        let (Some(four), Some(six)) = (ask(false), ask(true)) else { return Err(Cause::Local) };
        let mut asked = [four, six];
        let local = self.sources.local(resolver.ip(), wanted.source);
        let socket = self.guard.bind(local).map_err(|error| cause(&error))?;
        meter.start();
        for one in &asked {
            socket.send(&one.datagram, resolver).await?;
            meter.sent(one.datagram.len());
        }
        let work = async {
            while asked.iter().any(|one| one.found.is_none()) {
                self.take(&socket, resolver, wanted.source, &mut asked, meter).await?;
            }
            Ok(())
        };
        tokio::time::timeout(self.times.timeout, work).await.unwrap_or(Err(Cause::Timeout))?;
        match asked.map(|one| one.found) {
            [Some(four), Some(six)] => Ok([four, six]),
            _ => Err(Cause::Timeout),
        }
    }

    /// Takes one datagram in.
    async fn take(
        &self,
        socket: &Datagrams,
        resolver: SocketAddr,
        source: u64,
        asked: &mut [Asked; 2],
        meter: &Meter,
    ) -> Result<(), Cause> {
        let mut buffer = [0; MAX_DATAGRAM];
        socket.readable().await.map_err(|error| cause(&error))?;
        let (length, from) = match socket.try_receive(&mut buffer) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(cause(&error)),
        };
        meter.received(length);
        if from != resolver {
            meter.odd(Oddity::OtherSource, 1);
            return Ok(());
        }
        let datagram = buffer.get(..length).unwrap_or_default();
        for one in asked {
            let mut answer = one.question.read(datagram);
            if answer == Answer::Unasked {
                continue;
            }
            if one.found.is_some() {
                meter.odd(Oddity::Duplicate, 1);
                return Ok(());
            }
            if answer == Answer::Truncated {
                answer = self.ask_over_tcp(resolver, source, one, meter).await?;
            }
            return match answer {
                Answer::Addresses { list, ttl } => {
                    one.found = Some(Found { list, ttl });
                    Ok(())
                }
                Answer::Failed(cause) => Err(cause),
                // Over TCP nothing is cut off, and nobody else speaks.
                Answer::Truncated | Answer::Unasked => Err(Cause::Malformed),
            };
        }
        meter.odd(Oddity::Unasked, 1);
        Ok(())
    }

    /// The same question over TCP: each message behind its length in two bytes (RFC 1035, 4.2.2).
    async fn ask_over_tcp(
        &self,
        resolver: SocketAddr,
        source: u64,
        one: &Asked,
        meter: &Meter,
    ) -> Result<Answer, Cause> {
        let source = self.sources.towards(resolver.ip(), source);
        let mut stream = self.guard.connect(resolver, source).await?;
        let length = u16::try_from(one.datagram.len()).map_err(|_| Cause::Local)?;
        let request = [&length.to_be_bytes()[..], &one.datagram].concat();
        stream.write_all(&request).await.map_err(|error| cause(&error))?;
        meter.sent(request.len());
        let length = stream.read_u16().await.map_err(|error| cause(&error))?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await.map_err(|error| cause(&error))?;
        meter.received(2 + answer.len());
        Ok(one.question.read(&answer))
    }
}

/// Reads any bytes as the answer to a question with their id: for [`super::fuzz`].
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(data: &[u8]) {
    let id = data.first_chunk().copied().map_or(0, u16::from_be_bytes);
    let _ = Question::new(id, "index.fleet.test", false).map(|question| question.read(data));
}

#[cfg(test)]
mod tests;

//! Queries under way.

use std::net::SocketAddr;
use std::time::Duration;

use crate::journey::{Cause, Kind, Part};
use crate::profile::DhtHabits;
use crate::unit::Tick;

use super::super::Clock;
use super::super::krpc;
use super::super::meter::Meter;
use super::super::udp::{self, Inbox, Ticket};

/// How long a query is waited for.
#[derive(Clone, Copy, Debug)]
struct QueryTimes {
    /// Then others are asked in its stead.
    short: Duration,
    /// Then it has failed.
    long: Duration,
}

/// A query under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    started: Tick,
    slow: bool,
}

/// The queries of one operation that are under way. Those that patience cuts off are recorded as timed out.
pub(super) struct Flights<'a> {
    clock: Clock,
    times: QueryTimes,
    meter: &'a Meter,
    list: Vec<Flight>,
}

pub(super) enum Landing {
    /// An answer, and when it came.
    Answer(Flight, Tick, Vec<u8>),
    Slow(SocketAddr),
    Lost(SocketAddr, Cause),
}

impl Drop for Flights<'_> {
    fn drop(&mut self) {
        let now = self.clock.now();
        for flight in &self.list {
            self.record(flight, now, Err(Cause::Timeout));
        }
    }
}

impl<'a> Flights<'a> {
    pub(super) fn new(clock: Clock, habits: &DhtHabits, meter: &'a Meter) -> Self {
        let times =
            QueryTimes { short: habits.short_timeout, long: habits.timeout.max(habits.short_timeout) };
        Self { clock, times, meter, list: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn launch(&mut self, ticket: Ticket, datagram: &[u8]) -> Result<(), Cause> {
        self.meter.start();
        let started = self.clock.now();
        ticket.send(datagram)?;
        self.meter.sent(datagram.len());
        self.list.push(Flight { ticket, started, slow: false });
        Ok(())
    }

    /// The next thing that happens to a query; there must be one under way.
    pub(super) async fn landing(&mut self, inbox: &Inbox) -> Landing {
        loop {
            let next = self.list.iter().map(|flight| self.deadline(flight)).min().unwrap_or(Tick::MAX);
            let wait = next.since(self.clock.now());
            match tokio::time::timeout(wait, inbox.pop()).await {
                Ok(udp::Answer { transaction, at, data }) => {
                    let Some(found) = self.list.iter().position(|it| it.ticket.transaction == transaction)
                    else {
                        continue;
                    };
                    let flight = self.list.swap_remove(found);
                    match data {
                        Ok(data) => {
                            self.meter.received(data.len());
                            return Landing::Answer(flight, at, data);
                        }
                        Err(cause) => {
                            self.record(&flight, at, Err(cause));
                            return Landing::Lost(flight.ticket.peer, cause);
                        }
                    }
                }
                Err(_) => {
                    if let Some(landing) = self.overdue() {
                        return landing;
                    }
                }
            }
        }
    }

    fn deadline(&self, flight: &Flight) -> Tick {
        flight.started + if flight.slow { self.times.long } else { self.times.short }
    }

    fn overdue(&mut self) -> Option<Landing> {
        let now = self.clock.now();
        let at = self.list.iter().position(|flight| self.deadline(flight) <= now)?;
        let flight = self.list.get_mut(at)?;
        if !flight.slow {
            flight.slow = true;
            return Some(Landing::Slow(flight.ticket.peer));
        }
        let flight = self.list.swap_remove(at);
        self.record(&flight, now, Err(Cause::Timeout));
        Some(Landing::Lost(flight.ticket.peer, Cause::Timeout))
    }

    pub(super) fn record(&self, flight: &Flight, at: Tick, result: Result<(), Cause>) {
        let took = at.since(flight.started);
        self.meter.part(Part { kind: Kind::Query, started: flight.started, took, result });
    }

    /// What they were for is over: slow queries have failed, the others do not matter any more.
    pub(super) fn give_up_slow(&mut self) {
        let now = self.clock.now();
        for flight in std::mem::take(&mut self.list) {
            if flight.slow {
                self.record(&flight, now, Err(Cause::Timeout));
            }
        }
    }

    /// Waits for plain answers, for none longer than the short time-out: no client waits for stragglers here. Ok if one was good, else
    /// what the last that failed did.
    pub(super) async fn acknowledged(
        &mut self,
        inbox: &Inbox,
        mut heard: impl FnMut(SocketAddr, &krpc::Answer),
    ) -> Result<(), Cause> {
        let mut result = Err(Cause::NoPeers);
        while !self.is_empty() {
            let one = match self.landing(inbox).await {
                Landing::Answer(flight, at, datagram) => {
                    let answer = krpc::read(&datagram);
                    if let Ok(answer) = &answer {
                        heard(flight.ticket.peer, answer);
                    }
                    let taken = answer.map(|_| ()).map_err(krpc::Fault::cause);
                    self.record(&flight, at, taken);
                    taken
                }
                Landing::Lost(_, cause) if cause != Cause::Timeout => Err(cause),
                Landing::Slow(from) | Landing::Lost(from, _) => {
                    let now = self.clock.now();
                    let late: Vec<_> = self.list.extract_if(.., |it| it.ticket.peer == from).collect();
                    late.iter().for_each(|flight| self.record(flight, now, Err(Cause::Timeout)));
                    Err(Cause::Timeout)
                }
            };
            result = if result.is_ok() { result } else { one };
        }
        result
    }
}

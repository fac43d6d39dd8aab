//! One worker.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::journey::{Action, Journey, Kind, Outcome, Peer, Reply, Rules, Visitor, Web, intended};
use crate::plan::Arrival;
use crate::unit::Tick;

use super::agenda::Agenda;
use super::{Event, JourneyId, Observation, OpId, Settled, Shed, Stop, StopLevel, World};

/// What a worker may do at most.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// When the plan is over. Steps of journeys that are then under way go on until the end of the drain.
    pub length: Duration,
    /// How long after the plan, or after a stop signal, operations under way may still finish.
    pub drain: Duration,
    /// Operations under way at a time; one more is shed.
    pub in_flight: usize,
    /// Of these, operations that may hold a descriptor ([`World::holds_descriptor`]); one more is shed.
    pub descriptors: usize,
    /// An arrival or operation that is released later than this after it was due is shed instead.
    pub late: Duration,
    /// Operations released per second of the run; further ones are shed. The ceiling of an authorisation, as this worker's part of it:
    /// shed here, an operation is in the ledger; the guard behind it has the last word over all workers.
    pub ceiling: Option<f64>,
}

impl Limits {
    /// Limits that only the plan's length bounds.
    #[must_use]
    pub const fn new(length: Duration) -> Self {
        Self {
            length,
            drain: Duration::from_secs(10),
            in_flight: 16_384,
            descriptors: 16_384,
            late: Duration::from_secs(1),
            ceiling: None,
        }
    }
}

/// Arrivals released in one turn, and outcomes taken in one turn, before the other side has its turn: neither a burst of arrivals nor a
/// flood of answers may starve the other.
const TURN: usize = 256;
/// How long outcomes are taken in one turn: a journey whose every step ends at once (pieces that are there already) would go through
/// all of them before the next arrival is released. The model world's clock stands still meanwhile.
const SLICE: Duration = Duration::from_millis(1);

/// Drives a shard of a plan through a world until all its journeys have ended, the drain is over, or the stop signal says so; tells
/// `observe` everything. Every event of [`Event`]'s ledger balances when this returns.
pub async fn drive<W: World>(
    arrivals: impl Iterator<Item = Arrival>,
    world: &mut W,
    rules: &Rules,
    limits: &Limits,
    stop: &Stop,
    observe: &mut impl FnMut(Event),
) {
    let mut worker = Worker {
        world,
        rules,
        limits,
        observe,
        journeys: FxHashMap::default(),
        under_way: FxHashMap::default(),
        descriptors: 0,
        agenda: Agenda::new(),
        known: FxHashMap::default(),
        next_id: 0,
        actions: Vec::new(),
        acting: Vec::new(),
        budget: Budget { ceiling: limits.ceiling, second: 0, spent: 0.0 },
        draining: false,
    };
    worker.run(arrivals.peekable(), stop).await;
}

struct Worker<'a, W: World, O: FnMut(Event)> {
    world: &'a mut W,
    rules: &'a Rules,
    limits: &'a Limits,
    observe: &'a mut O,
    // Ids are this program's own: nobody can choose them so that they collide.
    journeys: FxHashMap<JourneyId, Journey>,
    under_way: FxHashMap<OpId, Ticket>,
    /// How many of them may hold a descriptor.
    descriptors: usize,
    /// When to advance which journey.
    agenda: Agenda<JourneyId>,
    /// The latest peers of each content: see [`Journey::new`].
    known: FxHashMap<u16, Vec<Peer>>,
    next_id: u64,
    /// What the journey that was last advanced wants.
    actions: Vec<Action>,
    /// What is being done of that.
    acting: Vec<Action>,
    budget: Budget,
    draining: bool,
}

/// A released operation.
struct Ticket {
    kind: Kind,
    due: Tick,
    released: Tick,
    attempt: u32,
    holds_descriptor: bool,
    visitor: Visitor,
}

/// Operations that may still be released in this second.
struct Budget {
    ceiling: Option<f64>,
    second: u64,
    spent: f64,
}

impl Budget {
    fn spend(&mut self, now: Tick) -> bool {
        let Some(ceiling) = self.ceiling else { return true };
        if self.second != now.second() {
            // A part of an operation that the last second had left is not lost: a ceiling of 0.5/s lets one through every two seconds.
            let unused = (ceiling - self.spent).clamp(0.0, 1.0 - f64::EPSILON);
            (self.second, self.spent) = (now.second(), -unused);
        }
        if self.spent + 1.0 > ceiling {
            return false;
        }
        self.spent += 1.0;
        true
    }
}

impl<W: World, O: FnMut(Event)> Worker<'_, W, O> {
    async fn run(&mut self, mut arrivals: std::iter::Peekable<impl Iterator<Item = Arrival>>, stop: &Stop) {
        let mut end = Tick::ZERO + self.limits.length + self.limits.drain;
        let mut clock = None;
        loop {
            let now = self.world.now();
            if clock != Some(now.second()) {
                clock = Some(now.second());
                // What was counted lies in the second that is over.
                self.tell_swarm(Tick(now.0 - now.0 % 1_000_000_000) - Duration::from_nanos(1));
                (self.observe)(Event::Clock(now));
            }
            match stop.level() {
                StopLevel::Run => {}
                StopLevel::Drain if self.draining => {}
                StopLevel::Drain => {
                    self.draining = true;
                    end = end.min(now + self.limits.drain);
                }
                StopLevel::Now => {
                    self.draining = true;
                    end = now;
                }
            }
            let next = if self.draining { None } else { self.release_due(&mut arrivals, now) };
            self.wake(now);
            let idle = if self.draining { self.under_way.is_empty() } else { self.journeys.is_empty() };
            if now >= end || (idle && next.is_none()) {
                break;
            }
            let second = Tick((now.second() + 1) * 1_000_000_000);
            let wake = self.agenda.first().map(|(at, _)| at).filter(|_| !self.draining);
            let until =
                [next, wake, Some(second), Some(end)].into_iter().flatten().min().unwrap_or(second).max(now);
            self.take_outcomes(until).await;
        }
        self.cut();
    }

    fn tell_swarm(&mut self, until: Tick) {
        for (group, swarm) in self.world.swarm() {
            (self.observe)(Event::Swarm(until, group, Box::new(swarm)));
        }
    }

    /// Releases what is due; when the next arrival is.
    fn release_due(
        &mut self,
        arrivals: &mut std::iter::Peekable<impl Iterator<Item = Arrival>>,
        now: Tick,
    ) -> Option<Tick> {
        for _ in 0..TURN {
            match arrivals.next_if(|arrival| arrival.due() <= now) {
                Some(arrival) => self.release(&arrival, now),
                None => break,
            }
        }
        arrivals.peek().map(Arrival::due)
    }

    fn release(&mut self, arrival: &Arrival, now: Tick) {
        let due = arrival.due();
        (self.observe)(Event::JourneyDue(due));
        if now.since(due) > self.limits.late {
            (self.observe)(Event::JourneyShed(due));
            // With the visitor goes all that it intended.
            for (kind, operations) in intended(arrival, self.rules.assets) {
                for _ in 0..operations {
                    (self.observe)(Event::Planned(kind, due, 0));
                    (self.observe)(Event::Shed(kind, due, Shed::Late));
                }
            }
            return;
        }
        (self.observe)(Event::JourneyReleased(due));
        let id = JourneyId(self.next_id);
        self.next_id += 1;
        let known = self.known.get(&arrival.content).map_or(&[][..], Vec::as_slice);
        let mut journey = Journey::new(arrival, self.rules, known);
        journey.advance(now, self.rules, &mut self.actions);
        self.journeys.insert(id, journey);
        self.act(id, now);
    }

    /// Advances the journeys whose time has come.
    fn wake(&mut self, now: Tick) {
        while !self.draining
            && let Some(id) = self.agenda.take_due(now)
        {
            if let Some(journey) = self.journeys.get_mut(&id) {
                journey.advance(now, self.rules, &mut self.actions);
                self.act(id, now);
            }
        }
    }

    /// Waits for an outcome until then, and takes those that are there already with it.
    async fn take_outcomes(&mut self, until: Tick) {
        let mut until = until;
        let mut end = None;
        for _ in 0..TURN {
            let Some((id, outcome)) = self.world.wait(until).await else { break };
            // Read once for each outcome; the first of them begins the slice.
            let now = self.world.now();
            self.settle(id, &outcome, now);
            until = now;
            if now >= *end.get_or_insert(now + SLICE) {
                break;
            }
        }
    }

    fn settle(&mut self, id: OpId, outcome: &Outcome, now: Tick) {
        let Some(ticket) = self.under_way.remove(&id) else { return };
        self.descriptors -= usize::from(ticket.holds_descriptor);
        let settled = match &outcome.result {
            Ok(_) => Settled::Ok,
            Err(cause) => Settled::Failed(*cause),
        };
        (self.observe)(Event::Settled(ticket.observe(settled, Some(outcome))));
        for part in &outcome.parts {
            (self.observe)(Event::Part(ticket.observe_part(part)));
        }
        // Only who transfers in isolation asks for them.
        if self.rules.isolated
            && let Ok(Reply::Peers(peers)) = &outcome.result
            && !peers.is_empty()
        {
            self.known.insert(ticket.visitor.content, peers.clone());
        }
        if let Some(journey) = self.journeys.get_mut(&id.journey) {
            journey.resume(id.stage, outcome, now, self.rules, &mut self.actions);
            self.act(id.journey, now);
        }
    }

    /// Does what a journey wants. Shedding makes it want something else, so this goes on until it wants nothing.
    fn act(&mut self, id: JourneyId, now: Tick) {
        while !self.actions.is_empty() {
            std::mem::swap(&mut self.actions, &mut self.acting);
            let mut acting = std::mem::take(&mut self.acting);
            for action in acting.drain(..) {
                self.take(action, id, now);
            }
            self.acting = acting;
        }
    }

    fn take(&mut self, action: Action, id: JourneyId, now: Tick) {
        match action {
            Action::Do { .. } if self.draining => {}
            Action::Do { stage, operation, due, attempt } => {
                let kind = operation.kind();
                (self.observe)(Event::Planned(kind, due, attempt));
                let holds_descriptor = self.world.holds_descriptor(&operation);
                match (self.why_not(due, now, holds_descriptor), self.journeys.get_mut(&id)) {
                    (Some(why), journey) => {
                        (self.observe)(Event::Shed(kind, due, why));
                        if let Some(journey) = journey {
                            journey.shed(stage, now, self.rules, &mut self.actions);
                        }
                    }
                    (None, Some(journey)) => {
                        (self.observe)(Event::Released(kind, due, now));
                        let visitor = *journey.visitor();
                        let op = OpId { journey: id, stage };
                        let ticket = Ticket { kind, due, released: now, attempt, holds_descriptor, visitor };
                        self.under_way.insert(op, ticket);
                        self.descriptors += usize::from(holds_descriptor);
                        self.world.perform(op, &visitor, operation);
                    }
                    // A journey acts only while it is there.
                    (None, None) => {}
                }
            }
            Action::Note(download) => {
                if let Some(journey) = self.journeys.get(&id) {
                    (self.observe)(Event::Download(journey.visitor().group(), download));
                }
            }
            Action::Wake(at) => self.agenda.push(at, id),
            Action::End(result) => {
                self.journeys.remove(&id);
                self.world.release(id);
                let settled = result.map_or_else(Settled::Failed, |()| Settled::Ok);
                (self.observe)(Event::JourneyEnded(now, settled));
            }
        }
    }

    /// Why an operation that is due may not be started now, if it may not.
    fn why_not(&mut self, due: Tick, now: Tick, holds_descriptor: bool) -> Option<Shed> {
        let no_descriptor = holds_descriptor && self.descriptors >= self.limits.descriptors;
        if no_descriptor || self.under_way.len() >= self.limits.in_flight {
            return Some(Shed::Full);
        }
        if now.since(due) > self.limits.late {
            return Some(Shed::Late);
        }
        (!self.budget.spend(now)).then_some(Shed::Ceiling)
    }

    /// Ends the run: whatever is still under way is cut.
    fn cut(&mut self) {
        let now = self.world.now();
        let mut open: Vec<(OpId, Ticket)> = self.under_way.drain().collect();
        open.sort_by_key(|(id, _)| *id);
        for (_, mut ticket) in open {
            ticket.released = ticket.released.min(now);
            let mut observation = ticket.observe(Settled::Cut, None);
            observation.ended = now;
            (self.observe)(Event::Settled(observation));
        }
        let mut journeys: Vec<(JourneyId, Journey)> = self.journeys.drain().collect();
        journeys.sort_by_key(|(id, _)| *id);
        // Before the visitors are released: what the end of the run cuts has not ended.
        self.tell_swarm(now);
        for (id, journey) in journeys {
            if let Some(download) = journey.cut(now) {
                (self.observe)(Event::Download(journey.visitor().group(), download));
            }
            self.world.release(id);
            (self.observe)(Event::JourneyEnded(now, Settled::Cut));
        }
        (self.observe)(Event::Clock(now));
    }
}

impl Ticket {
    fn observe(&self, settled: Settled, outcome: Option<&Outcome>) -> Observation {
        Observation {
            kind: self.kind,
            due: self.due,
            released: self.released,
            started: outcome.map_or(self.released, |outcome| outcome.started),
            ended: outcome.map_or(self.released, |outcome| outcome.ended),
            settled,
            bytes_in: outcome.map_or(0, |outcome| outcome.bytes_in),
            bytes_out: outcome.map_or(0, |outcome| outcome.bytes_out),
            foreign: outcome.map_or(0, |outcome| outcome.foreign),
            retransmits: outcome.map_or(0, |outcome| outcome.retransmits),
            web: outcome.map_or_else(Web::default, |outcome| outcome.web),
            oddities: outcome.map_or_else(Vec::new, |outcome| outcome.oddities.clone()),
            attempt: self.attempt,
            region: self.visitor.region,
            client: self.visitor.client,
            access: self.visitor.access,
            content: self.visitor.content,
        }
    }

    fn observe_part(&self, part: &crate::journey::Part) -> Observation {
        Observation {
            kind: part.kind,
            due: part.started,
            released: part.started,
            started: part.started,
            ended: part.started + part.took,
            ..self.observe(part.result.map_or_else(Settled::Failed, |()| Settled::Ok), None)
        }
    }
}

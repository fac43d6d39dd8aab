//! The way of one visitor: which step may begin when, what is tried again, when it is over.

use crate::plan::{AnnounceEvent, Arrival, Cohort, Origin, Stage, What};
use crate::unit::Tick;

use super::intent::fetched;
use super::stage::{Ending, Facts, Machine, Rules, Step};
use super::stages::AnyMachine;
use super::{Cause, Download, Fate, Milestone, Operation, Outcome, Peer, Reply, Service, Visitor};

/// What a journey wants from its worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Perform this operation; its outcome goes to [`Journey::resume`] under the same stage.
    Do {
        /// The stage that asks. It has one operation under way at a time.
        stage: Stage,
        /// The operation.
        operation: Operation,
        /// When it was intended; never later than now.
        due: Tick,
        /// Which try it is, 0 the first.
        attempt: u32,
    },
    /// Call [`Journey::advance`] at this moment.
    Wake(Tick),
    /// Nothing to do: a milestone of its download to be noted.
    Note(Download),
    /// The journey is over; with the cause of the first step that gave up.
    End(Result<(), Cause>),
}

/// One planned step and what became of it.
#[derive(Clone, Debug)]
struct Leg {
    what: What,
    planned: Tick,
    state: LegState,
}

#[derive(Clone, Debug)]
enum LegState {
    /// Not begun; when the worker was asked to wake the journey for it, if it was.
    Planned { wake: Option<Tick> },
    /// Begun.
    Underway(Underway),
    /// Over since then.
    Ended(Ending, Tick),
    /// Never begun, because what it depends on did not succeed.
    Dropped,
}

#[derive(Clone, Debug)]
struct Underway {
    machine: AnyMachine,
    /// When it was intended to begin.
    due: Tick,
    /// The operation that is under way or will be tried again.
    operation: Operation,
    attempt: u32,
    /// What waits for a name to be resolved, and which try of it that is.
    held: Option<(Operation, u32)>,
    /// Which try the operation after this one is: not the first where this one only prepares another try of it.
    after: u32,
    /// When it will be tried again; `None` while it is under way.
    retry_at: Option<Tick>,
}

/// Whether a leg may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// From this moment on.
    Open(Tick),
    /// That is not known yet.
    Shut,
    /// It will not.
    Never,
}

impl Gate {
    /// Not before `at` either.
    fn after(self, at: Tick) -> Self {
        match self {
            Self::Open(from) => Self::Open(from.max(at)),
            Self::Shut | Self::Never => self,
        }
    }
}

/// A visitor under way.
#[derive(Clone, Debug)]
pub struct Journey {
    visitor: Visitor,
    origin: Origin,
    legs: Box<[Leg]>,
    facts: Facts,
    failure: Option<Cause>,
    over: bool,
}

impl Journey {
    /// The journey of an arrival. `known` are peers of its content that the worker has heard of: an isolated transfer, and one that is
    /// abuse, has nobody else to ask for them.
    #[must_use]
    pub fn new(arrival: &Arrival, rules: &Rules, known: &[Peer]) -> Self {
        let visitor = Visitor {
            seed: arrival.seed,
            source: arrival.source(),
            client: arrival.client,
            access: arrival.access,
            region: arrival.region,
            content: arrival.content,
            class: rules.classes.get(usize::from(arrival.content)).copied().unwrap_or(0),
            returning: arrival.cohort == Cohort::Returning,
            cached: arrival.cached,
            reachable: arrival.reachable,
            transfers: arrival.steps.iter().any(|step| matches!(step.what, What::Transfer { .. })),
        };
        let size = rules.sizes.get(usize::from(arrival.content)).copied().unwrap_or(0);
        let mut facts = Facts { size, ..Facts::default() };
        // Abuse of peers goes straight to them.
        if rules.isolated || matches!(arrival.origin, Origin::Abuse(_)) {
            facts.peers = if known.is_empty() { rules.seeds.clone() } else { known.to_vec() };
        }
        let leg = |step: &crate::plan::PlannedStep| Leg {
            what: step.what,
            planned: step.at,
            state: LegState::Planned { wake: None },
        };
        let legs = arrival.steps.iter().map(leg).collect();
        Self { visitor, origin: arrival.origin, legs, facts, failure: None, over: false }
    }

    /// Who is under way.
    #[must_use]
    pub const fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Begins whatever may begin by `now`, asks to be woken for the rest.
    pub fn advance(&mut self, now: Tick, rules: &Rules, actions: &mut Vec<Action>) {
        for i in 0..self.legs.len() {
            self.retry(i, now, rules, actions);
        }
        // The end of one leg can open or drop another, earlier or later in the list: as often as something changes.
        while (0..self.legs.len()).any(|i| self.try_begin(i, now, rules, actions)) {}
        let over = |leg: &Leg| matches!(leg.state, LegState::Ended(..) | LegState::Dropped);
        if !self.over && self.legs.iter().all(over) {
            self.over = true;
            actions.push(Action::End(self.failure.map_or(Ok(()), Err)));
        }
    }

    /// Takes the outcome of the operation of `stage`.
    pub fn resume(
        &mut self,
        stage: Stage,
        outcome: &Outcome,
        now: Tick,
        rules: &Rules,
        actions: &mut Vec<Action>,
    ) {
        let Some(i) = self.underway(stage) else { return };
        let LegState::Underway(leg) = &mut self.legs[i].state else { return };
        match &outcome.result {
            // What asked for the name only goes on below.
            Ok(Reply::Resolved { ttl }) if leg.held.is_some() => {
                let Some((operation, attempt)) = leg.held.take() else { return };
                if let Some(service) = operation.service() {
                    // The operation that asked needs it once at least, however short its life.
                    self.facts.resolved[service as usize] = Some(outcome.ended + *ttl);
                }
                leg.attempt = attempt;
                self.put(i, operation, outcome.ended, actions);
            }
            Ok(reply) => {
                self.facts.learn(reply);
                let had = self.facts.have;
                let step = leg.machine.resume(outcome, &mut self.facts);
                if had == 0 && self.facts.have > 0 {
                    let first = Download { due: leg.due, at: outcome.ended, reached: Milestone::FirstPiece };
                    actions.push(Action::Note(first));
                }
                self.take(i, step, outcome.ended, rules, actions);
            }
            Err(cause) if leg.attempt < rules.retries && may_pass(*cause) => {
                let pause = outcome.ended + rules.retry_after * 2u32.saturating_pow(leg.attempt);
                // Users do as they are told, abuse does not.
                let told = outcome.not_before.filter(|_| !matches!(self.origin, Origin::Abuse(_)));
                let at = told.map_or(pause, |told| told.max(pause));
                let again = leg.machine.instead(&leg.operation, &self.facts);
                leg.attempt += 1;
                leg.after = if again.kind() == leg.operation.kind() { leg.after } else { leg.attempt };
                leg.operation = again;
                leg.retry_at = Some(at);
                actions.push(Action::Wake(at));
            }
            Err(cause) => self.end(i, Ending::Failed(*cause), outcome.ended, actions),
        }
        self.advance(now, rules, actions);
    }

    /// The operation of `stage` could not be started. The step gives up at once: the generator is at its limit, and another try would
    /// only add to it.
    pub fn shed(&mut self, stage: Stage, now: Tick, rules: &Rules, actions: &mut Vec<Action>) {
        if let Some(i) = self.underway(stage) {
            self.end(i, Ending::Failed(Cause::Local), now, actions);
            self.advance(now, rules, actions);
        }
    }

    /// The end of the run: the last milestone of a download that is under way.
    #[must_use]
    pub fn cut(&self, now: Tick) -> Option<Download> {
        self.legs.iter().find_map(|leg| match &leg.state {
            LegState::Underway(underway) if is_download(leg.what) => {
                Some(Download { due: underway.due, at: now, reached: Milestone::Ended(Fate::Cut) })
            }
            _ => None,
        })
    }

    /// The leg of `stage` that has begun and is not over; there is at most one.
    fn underway(&self, stage: Stage) -> Option<usize> {
        self.legs
            .iter()
            .position(|leg| leg.what.stage() == stage && matches!(leg.state, LegState::Underway(_)))
    }

    fn retry(&mut self, i: usize, now: Tick, rules: &Rules, actions: &mut Vec<Action>) {
        if let LegState::Underway(leg) = &mut self.legs[i].state
            && let Some(due) = leg.retry_at.take_if(|at| *at <= now)
        {
            let mut operation = leg.operation.clone();
            operation.ask_newcomers_first(&self.facts.peers);
            self.ask(i, operation, due, rules, actions);
        }
    }

    /// Asks for an operation of leg `i`, or first for the name that it needs.
    fn ask(&mut self, i: usize, operation: Operation, due: Tick, rules: &Rules, actions: &mut Vec<Action>) {
        let LegState::Underway(leg) = &mut self.legs[i].state else { return };
        let known = |service: Service| {
            self.facts.resolved[service as usize].is_some_and(|until| due < until)
                || !rules.names.resolves(service, self.visitor.seed)
        };
        match operation.service().filter(|service| !known(*service)) {
            Some(service) => {
                leg.held = Some((operation, std::mem::take(&mut leg.attempt)));
                self.put(i, Operation::Resolve(service), due, actions);
            }
            None => self.put(i, operation, due, actions),
        }
    }

    fn put(&mut self, i: usize, operation: Operation, due: Tick, actions: &mut Vec<Action>) {
        let stage = self.legs[i].what.stage();
        if let LegState::Underway(leg) = &mut self.legs[i].state {
            leg.operation = operation.clone();
            actions.push(Action::Do { stage, operation, due, attempt: leg.attempt });
        }
    }

    /// Begins or drops leg `i` if it can be; whether it did.
    fn try_begin(&mut self, i: usize, now: Tick, rules: &Rules, actions: &mut Vec<Action>) -> bool {
        let LegState::Planned { wake } = self.legs[i].state else { return false };
        let stage = self.legs[i].what.stage();
        match self.gate(i, rules).after(self.free_since(stage)) {
            Gate::Never => {
                self.legs[i].state = LegState::Dropped;
                true
            }
            Gate::Open(at) if at > now => {
                if wake != Some(at) {
                    self.legs[i].state = LegState::Planned { wake: Some(at) };
                    actions.push(Action::Wake(at));
                }
                false
            }
            // The stage's last step is still under way; its end comes back here.
            Gate::Open(_) if self.underway(stage).is_some() => false,
            Gate::Open(at) => {
                if is_download(self.legs[i].what) {
                    actions.push(Action::Note(Download { due: at, at, reached: Milestone::Begun }));
                }
                let mut machine = AnyMachine::new(
                    self.legs[i].what,
                    self.origin,
                    fetched(self.visitor.cached, rules.assets),
                );
                match machine.begin(at, &mut self.facts) {
                    Step::Do(operation, due) => {
                        self.legs[i].state = LegState::Underway(Underway {
                            machine,
                            due: at,
                            operation: operation.clone(),
                            attempt: 0,
                            held: None,
                            after: 0,
                            retry_at: None,
                        });
                        self.ask(i, operation, due, rules, actions);
                    }
                    Step::End(ending) => self.end(i, ending, at, actions),
                }
                true
            }
            Gate::Shut => false,
        }
    }

    /// When the last step of `stage` ended that a step after it has to wait for: a visitor asks for one thing of a stage at a time.
    fn free_since(&self, stage: Stage) -> Tick {
        let ended = |leg: &Leg| match leg.state {
            LegState::Ended(_, at) if leg.what.stage() == stage => Some(at),
            _ => None,
        };
        self.legs.iter().filter_map(ended).max().unwrap_or(Tick::ZERO)
    }

    /// When leg `i` may begin: as planned, or when what it depends on has ended, whichever is later.
    fn gate(&self, i: usize, rules: &Rules) -> Gate {
        let planned = self.legs[i].planned;
        if rules.isolated {
            return Gate::Open(planned);
        }
        match self.legs[i].what {
            What::Visit | What::Resolve | What::Crawl | What::Announce(AnnounceEvent::Interval) => {
                Gate::Open(planned)
            }
            What::Torrent | What::Magnet | What::Root => self.after(planned, |what| what == What::Visit),
            What::Announce(AnnounceEvent::Started) | What::Lookup => {
                self.after(planned, |what| matches!(what, What::Torrent | What::Magnet))
            }
            What::Transfer { .. } => self.transfer_gate(planned),
            What::Read { .. } => self.after(planned, |what| what == What::Root),
            What::Announce(AnnounceEvent::Completed) => {
                self.after(planned, |what| matches!(what, What::Transfer { .. }))
            }
            What::Announce(AnnounceEvent::Stopped) => self.stop_gate(planned),
        }
    }

    /// Open once the leg that `on` picks has ended well; a visitor who came before the window has that behind it.
    fn after(&self, planned: Tick, on: impl Fn(What) -> bool) -> Gate {
        match self.legs.iter().find(|leg| on(leg.what)).map(|leg| &leg.state) {
            None => Gate::Open(planned),
            Some(LegState::Ended(Ending::Done, at)) => Gate::Open(planned.max(*at)),
            Some(LegState::Planned { .. } | LegState::Underway(_)) => Gate::Shut,
            Some(LegState::Ended(..) | LegState::Dropped) => Gate::Never,
        }
    }

    /// A transfer begins with the first answer, of the tracker or the DHT, that named peers; with web seeds also once both have failed.
    fn transfer_gate(&self, planned: Tick) -> Gate {
        let mut answered: Option<Tick> = None;
        let mut waiting = false;
        let mut asked = false;
        let mut failed = Tick::ZERO;
        for leg in &self.legs {
            if matches!(leg.what, What::Announce(AnnounceEvent::Started) | What::Lookup) {
                asked = true;
                if leg.what == What::Lookup
                    && let Some(at) = self.facts.searched
                {
                    // Its peers are there, whatever becomes of its `announce_peer`.
                    answered = Some(answered.map_or(at, |other| other.min(at)));
                    continue;
                }
                match leg.state {
                    LegState::Ended(Ending::Done, at) => {
                        answered = Some(answered.map_or(at, |other| other.min(at)))
                    }
                    LegState::Planned { .. } | LegState::Underway(_) => waiting = true,
                    LegState::Ended(_, at) => failed = failed.max(at),
                    LegState::Dropped => {}
                }
            }
        }
        match answered {
            Some(at) if !self.facts.peers.is_empty() || !waiting => Gate::Open(planned.max(at)),
            None if !asked => Gate::Open(planned),
            _ if waiting => Gate::Shut,
            _ if self.facts.web_seeds => Gate::Open(planned.max(failed)),
            _ => Gate::Never,
        }
    }

    /// A peer that has joined leaves: as long after the end of its transfer as was planned.
    fn stop_gate(&self, planned: Tick) -> Gate {
        let joined = self.after(planned, |what| what == What::Announce(AnnounceEvent::Started));
        let Gate::Open(from) = joined else { return joined };
        match self.legs.iter().find(|leg| matches!(leg.what, What::Transfer { .. })) {
            Some(Leg { state: LegState::Ended(_, at), planned: transfer, .. }) => {
                Gate::Open(from.max(*at + planned.since(*transfer)))
            }
            Some(Leg { state: LegState::Dropped, .. }) | None => Gate::Open(from),
            Some(_) => Gate::Shut,
        }
    }

    /// Does what a machine asked for.
    fn take(&mut self, i: usize, step: Step, at: Tick, rules: &Rules, actions: &mut Vec<Action>) {
        match step {
            Step::Do(operation, due) => {
                let LegState::Underway(leg) = &mut self.legs[i].state else { return };
                leg.attempt = std::mem::take(&mut leg.after);
                self.ask(i, operation, due, rules, actions);
            }
            Step::End(ending) => self.end(i, ending, at, actions),
        }
    }

    fn end(&mut self, i: usize, ending: Ending, at: Tick, actions: &mut Vec<Action>) {
        if let Ending::Failed(cause) = ending {
            self.failure.get_or_insert(cause);
        }
        if is_download(self.legs[i].what) {
            // One that ends as it begins has ended in no time.
            let due = if let LegState::Underway(leg) = &self.legs[i].state { leg.due } else { at };
            let reached = Milestone::Ended(match ending {
                Ending::Done => Fate::Complete,
                Ending::Aborted => Fate::Enough,
                Ending::Failed(_) => Fate::GaveUp,
            });
            actions.push(Action::Note(Download { due, at, reached }));
        }
        self.legs[i].state = LegState::Ended(ending, at);
    }
}

/// Whether a leg fetches the content itself.
fn is_download(what: What) -> bool {
    what.stage() == Stage::Pieces
}

/// Whether another try can help: not where the answer will be the same, nor where the fault is the generator's own.
const fn may_pass(cause: Cause) -> bool {
    match cause {
        Cause::Timeout
        | Cause::Refused
        | Cause::Closed
        | Cause::ServerError
        | Cause::Throttled
        | Cause::Malformed
        | Cause::Incorrect
        | Cause::NoPeers
        | Cause::Visitors
        | Cause::Overloaded => true,
        Cause::ClientError | Cause::Rejected | Cause::Foreign | Cause::Local => false,
    }
}

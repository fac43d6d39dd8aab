use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::journey::{Cause, Kind, Milestone, Names, Operation, Outcome, Peer, Reply, Rules, Visitor, Web};
use crate::model::complete;
use crate::plan::{Arrival, Cohort, Origin, PlannedStep, What};
use crate::unit::Tick;

/// A world in which every operation takes the same time and ends as `answer` says; the clock jumps.
struct Scripted<F> {
    now: Tick,
    takes: Duration,
    answer: F,
    queue: BTreeMap<(Tick, u64), (OpId, Outcome)>,
    entries: u64,
    released: Vec<JourneyId>,
    /// Every call of `wait` takes this long on top: a worker that is late.
    overhead: Duration,
    /// Whether its operations hold descriptors.
    connects: bool,
}

impl<F: FnMut(&Operation) -> Result<Reply, Cause>> Scripted<F> {
    fn new(takes: Duration, answer: F) -> Self {
        Self {
            now: Tick::ZERO,
            takes,
            answer,
            queue: BTreeMap::new(),
            entries: 0,
            released: Vec::new(),
            overhead: Duration::ZERO,
            connects: true,
        }
    }
}

impl<F: FnMut(&Operation) -> Result<Reply, Cause>> World for Scripted<F> {
    fn now(&self) -> Tick {
        self.now
    }

    fn holds_descriptor(&self, _: &Operation) -> bool {
        self.connects
    }

    fn perform(&mut self, id: OpId, _: &Visitor, operation: Operation) {
        let ended = self.now + self.takes;
        let result = (self.answer)(&operation);
        let outcome = Outcome {
            started: self.now,
            ended,
            result,
            bytes_in: 10,
            bytes_out: 1,
            foreign: 0,
            retransmits: 0,
            web: Web::default(),
            not_before: None,
            oddities: Vec::new(),
            parts: Vec::new(),
        };
        self.entries += 1;
        self.queue.insert((ended, self.entries), (id, outcome));
    }

    fn release(&mut self, journey: JourneyId) {
        self.released.push(journey);
    }

    async fn wait(&mut self, until: Tick) -> Option<(OpId, Outcome)> {
        self.now = self.now + self.overhead;
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= until);
        if let Some(entry) = first {
            let ((at, _), found) = entry.remove_entry();
            self.now = self.now.max(at);
            return Some(found);
        }
        self.now = self.now.max(until);
        None
    }
}

fn visits(count: u64, every: Duration) -> Vec<Arrival> {
    let visit = |index| Arrival {
        index,
        origin: Origin::Visit,
        cohort: Cohort::OldCluster,
        cached: false,
        reachable: true,
        region: 0,
        client: 0,
        access: 0,
        content: 0,
        seed: index,
        steps: smallvec![PlannedStep { at: Tick::ZERO + every * index as u32, what: What::Visit }],
    };
    (0..count).map(visit).collect()
}

fn rules() -> Rules {
    Rules {
        isolated: false,
        assets: 1,
        retries: 1,
        retry_after: Duration::from_millis(50),
        sizes: vec![1],
        classes: vec![0],
        seeds: vec![],
        names: Names::default(),
    }
}

/// The ledger of one kind, or of the journeys.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Ledger {
    planned: u64,
    released: u64,
    shed: u64,
    ok: u64,
    failed: u64,
    cut: u64,
}

impl Ledger {
    fn settle(&mut self, settled: Settled) {
        match settled {
            Settled::Ok => self.ok += 1,
            Settled::Failed(_) => self.failed += 1,
            Settled::Cut => self.cut += 1,
        }
    }

    fn assert_balanced(&self) {
        assert_eq!(self.planned, self.released + self.shed, "{self:?}");
        assert_eq!(self.released, self.ok + self.failed + self.cut, "{self:?}");
    }
}

#[derive(Default)]
struct Books {
    kinds: BTreeMap<Kind, Ledger>,
    journeys: Ledger,
    /// Downloads that were begun, and that ended.
    downloads: (u64, u64),
    releases: Vec<(Tick, Tick)>,
    last_clock: Tick,
}

impl Books {
    fn note(&mut self, event: Event) {
        match event {
            Event::Clock(tick) => {
                assert!(tick >= self.last_clock);
                self.last_clock = tick;
            }
            Event::JourneyDue(_) => self.journeys.planned += 1,
            Event::JourneyReleased(_) => self.journeys.released += 1,
            Event::JourneyShed(_) => self.journeys.shed += 1,
            Event::JourneyEnded(_, settled) => self.journeys.settle(settled),
            Event::Planned(kind, ..) => self.kinds.entry(kind).or_default().planned += 1,
            Event::Released(kind, due, at) => {
                self.kinds.entry(kind).or_default().released += 1;
                self.releases.push((due, at));
            }
            Event::Shed(kind, ..) => self.kinds.entry(kind).or_default().shed += 1,
            Event::Settled(seen) => {
                assert!(seen.due <= seen.released && seen.started <= seen.ended, "{seen:?}");
                self.kinds.entry(seen.kind).or_default().settle(seen.settled);
            }
            Event::Download(_, seen) => {
                assert!(seen.due <= seen.at, "{seen:?}");
                self.downloads.0 += u64::from(seen.reached == Milestone::Begun);
                self.downloads.1 += u64::from(matches!(seen.reached, Milestone::Ended(_)));
            }
            Event::Part(_) | Event::Swarm(..) => {}
        }
    }

    fn assert_balanced(&self) {
        self.journeys.assert_balanced();
        self.kinds.values().for_each(Ledger::assert_balanced);
        assert_eq!(self.downloads.0, self.downloads.1, "what is begun ends");
    }
}

fn run<W: World>(arrivals: Vec<Arrival>, world: &mut W, limits: &Limits, stop: &Stop) -> Books {
    run_by(&rules(), arrivals, world, limits, stop)
}

fn run_by<W: World>(
    rules: &Rules,
    arrivals: Vec<Arrival>,
    world: &mut W,
    limits: &Limits,
    stop: &Stop,
) -> Books {
    let mut books = Books::default();
    complete(drive(arrivals.into_iter(), world, rules, limits, stop, &mut |event| books.note(event)));
    books.assert_balanced();
    books
}

#[test]
fn arrivals_keep_their_moments_whatever_the_target_does() {
    let arrivals = visits(100, Duration::from_millis(10));
    let limits = Limits::new(Duration::from_secs(1));
    for takes in [Duration::from_millis(1), Duration::from_secs(5)] {
        let mut world = Scripted::new(takes, |_| Ok(Reply::Done));
        let books = run(arrivals.clone(), &mut world, &limits, &Stop::default());
        let pages: Vec<_> = books.releases.iter().filter(|(due, _)| due.0 % 10_000_000 == 0).collect();
        assert_eq!(books.kinds[&Kind::Page].planned, 100);
        assert!(pages.iter().all(|(due, released)| due == released));
        assert_eq!(world.released.len(), 100, "every journey is released in the world");
    }
}

#[test]
fn a_journey_whose_steps_end_at_once_does_not_hold_up_the_arrivals() {
    let mut world = Scripted::new(Duration::ZERO, |_| Ok(Reply::Done));
    world.overhead = Duration::from_micros(50);
    let rules = Rules { assets: 200, ..rules() };
    let limits = Limits::new(Duration::from_secs(1));
    // The first visit alone takes 10 ms.
    let books = run_by(&rules, visits(2, Duration::from_millis(3)), &mut world, &limits, &Stop::default());
    let second = Tick::from_millis(3);
    let released: Vec<_> = books.releases.iter().filter(|(due, _)| *due == second).collect();
    assert!(!released.is_empty());
    assert!(released.iter().all(|(_, at)| at.since(second) <= Duration::from_micros(1_100)), "{released:?}");
}

#[test]
fn the_drain_cuts_what_is_too_slow() {
    let mut world = Scripted::new(Duration::from_secs(60), |_| Ok(Reply::Done));
    let limits = Limits { drain: Duration::from_secs(2), ..Limits::new(Duration::from_secs(1)) };
    let books = run(visits(10, Duration::from_millis(100)), &mut world, &limits, &Stop::default());
    assert_eq!(books.kinds[&Kind::Page].cut, 10);
    assert_eq!(books.journeys.cut, 10);
    assert_eq!(world.now, Tick::from_millis(3000));
}

#[test]
fn more_than_fits_is_shed_and_counted() {
    let mut world = Scripted::new(Duration::from_secs(60), |_| Ok(Reply::Done));
    let limits = Limits { in_flight: 3, ..Limits::new(Duration::from_secs(1)) };
    let books = run(visits(10, Duration::from_millis(100)), &mut world, &limits, &Stop::default());
    let pages = &books.kinds[&Kind::Page];
    assert_eq!((pages.planned, pages.released, pages.shed), (10, 3, 7));
}

#[test]
fn who_holds_no_descriptor_is_bound_by_memory_alone() {
    let limits = Limits { in_flight: 5, descriptors: 2, ..Limits::new(Duration::from_secs(1)) };
    for (connects, fit) in [(true, 2), (false, 5)] {
        let mut world = Scripted::new(Duration::from_secs(60), |_| Ok(Reply::Done));
        world.connects = connects;
        let books = run(visits(10, Duration::from_millis(100)), &mut world, &limits, &Stop::default());
        assert_eq!(books.kinds[&Kind::Page].released, fit);
    }
}

#[test]
fn what_has_ended_holds_no_descriptor() {
    let mut world = Scripted::new(Duration::from_millis(1), |_| Ok(Reply::Done));
    let limits = Limits { descriptors: 1, ..Limits::new(Duration::from_secs(1)) };
    let books = run(visits(10, Duration::from_millis(100)), &mut world, &limits, &Stop::default());
    assert_eq!(books.kinds[&Kind::Page].released, 10);
}

#[test]
fn a_late_worker_sheds_instead_of_sending_late() {
    let mut world = Scripted::new(Duration::from_millis(1), |_| Ok(Reply::Done));
    world.overhead = Duration::from_millis(400);
    let limits = Limits { late: Duration::from_millis(300), ..Limits::new(Duration::from_secs(1)) };
    let books = run(visits(100, Duration::from_millis(10)), &mut world, &limits, &Stop::default());
    let pages = &books.kinds[&Kind::Page];
    assert!(pages.shed > 20 && pages.released > 20, "{pages:?}");
    assert_eq!(books.journeys.shed, pages.shed);
    assert!(books.kinds[&Kind::Asset].shed >= pages.shed, "with a page go its assets");
    assert!(books.releases.iter().all(|(due, at)| at.since(*due) <= limits.late));
}

#[test]
fn the_ceiling_is_never_exceeded() {
    let mut world = Scripted::new(Duration::from_millis(1), |_| Ok(Reply::Done));
    let limits = Limits { ceiling: Some(20.0), ..Limits::new(Duration::from_secs(3)) };
    let books = run(visits(300, Duration::from_millis(10)), &mut world, &limits, &Stop::default());
    let mut seconds: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, at) in &books.releases {
        *seconds.entry(at.second()).or_default() += 1;
    }
    assert_eq!(seconds.values().copied().collect::<Vec<_>>(), [20, 20, 20]);
}

#[test]
fn a_drain_signal_starts_nothing_new_and_lets_the_rest_finish() {
    let stop = Stop::default();
    let asked = RefCell::new(0);
    let mut world = Scripted::new(Duration::from_millis(25), |_: &Operation| {
        *asked.borrow_mut() += 1;
        if *asked.borrow() == 10 {
            stop.raise(StopLevel::Drain);
        }
        Ok(Reply::Done)
    });
    let books =
        run(visits(100, Duration::from_millis(10)), &mut world, &Limits::new(Duration::from_secs(1)), &stop);
    let pages = &books.kinds[&Kind::Page];
    assert!(pages.released < 12 && pages.cut == 0 && pages.ok == pages.released, "{pages:?}");
    assert!(books.journeys.cut > 0, "journeys with assets still to fetch are cut");
}

#[test]
fn stop_now_cuts_what_is_under_way() {
    let stop = Stop::default();
    let mut asked = 0;
    let mut world = Scripted::new(Duration::from_secs(1), |_: &Operation| {
        asked += 1;
        if asked == 5 {
            stop.raise(StopLevel::Now);
            stop.raise(StopLevel::Drain);
        }
        Ok(Reply::Done)
    });
    let limits = Limits::new(Duration::from_secs(1));
    let books = run(visits(100, Duration::from_millis(10)), &mut world, &limits, &stop);
    assert_eq!(stop.level(), StopLevel::Now, "the signal never falls");
    assert_eq!(books.kinds[&Kind::Page].cut, 5);
    assert!(world.now < Tick::from_millis(60));
}

proptest! {
    #[test]
    fn the_ledger_balances_whatever_happens(
        takes in 0u64..3000,
        overhead in 0u64..40,
        in_flight in 1usize..50,
        drain in 0u64..3000,
        answers in proptest::collection::vec(0usize..20, 1..50),
        stop_after in 0usize..400,
        hard: bool,
    ) {
        let stop = Stop::default();
        let mut turn = 0;
        let mut world = Scripted::new(Duration::from_millis(takes), |operation: &Operation| {
            turn += 1;
            if turn == stop_after {
                stop.raise(if hard { StopLevel::Now } else { StopLevel::Drain });
            }
            let reply = match operation {
                Operation::Handshake { .. } => Reply::Handshake { pieces: 3, size: 3 },
                _ => Reply::Done,
            };
            Cause::ALL.get(answers[turn % answers.len()]).map_or(Ok(reply), |cause| Err(*cause))
        });
        world.overhead = Duration::from_millis(overhead);
        let limits = Limits {
            in_flight,
            drain: Duration::from_millis(drain),
            late: Duration::from_millis(200),
            ..Limits::new(Duration::from_secs(1))
        };
        let mut arrivals = visits(100, Duration::from_millis(10));
        for arrival in &mut arrivals {
            arrival.steps.push(PlannedStep { at: arrival.due(), what: What::Transfer { until: 1.0 } });
        }
        let seeds = vec![Peer::from(([127, 0, 0, 1], 1))];
        let rules = Rules { isolated: true, seeds, ..rules() };
        run_by(&rules, arrivals, &mut world, &limits, &stop);
    }
}

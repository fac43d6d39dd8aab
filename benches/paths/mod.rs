//! The five hot paths of a worker. Each does a given number of operations, the same ones every time: `hot.rs` times them, and
//! `instructions` counts their instructions.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use squall::drive::{Event, JourneyId, Limits, Observation, OpId, Settled, Stop, World, drive};
use squall::journey::{Kind, Names, Operation, Outcome, Reply, Rules, Visitor, Web};
use squall::live::bench;
use squall::model::complete;
use squall::plan::{Arrival, Plan};
use squall::record;
use squall::scenario::{VariantName, sample};
use squall::unit::Tick;

/// A path: given a number of operations it does them.
pub(crate) type Path = Box<dyn FnMut(u64)>;

/// A path that is ready.
type Prepare = fn() -> Path;

/// Every path: its name, what one operation is, how many are enough to count, and how it is prepared.
pub(crate) const PATHS: [(&str, &str, u64, Prepare); 5] = [
    ("sampling", "an arrival is drawn", 20_000, sampling),
    ("scheduling", "a visitor comes, asks for a page and its asset, and goes", 10_000, scheduling),
    ("encoding", "an announce and a DHT query become datagrams", 20_000, encoding),
    ("recording", "a settled operation is counted", 50_000, recording),
    ("hashing", "a piece of 256 KiB is checked", 10, hashing),
];

/// The sample's day with an audience large enough for ten million arrivals.
fn plan() -> Plan {
    let mut scenario = sample::sample();
    scenario.cut.scale = 4000.0;
    Plan::new(Arc::new(scenario), VariantName::Baseline, 1)
}

fn sampling() -> Path {
    let plan = plan();
    let mut arrivals = plan.arrivals();
    Box::new(move |operations| {
        for _ in 0..operations {
            match arrivals.next() {
                Some(arrival) => drop(black_box(arrival)),
                None => arrivals = plan.arrivals(),
            }
        }
    })
}

/// A world in which everything ends at once.
#[derive(Default)]
struct Null {
    now: Tick,
    ended: VecDeque<OpId>,
}

impl World for Null {
    fn now(&self) -> Tick {
        self.now
    }

    fn perform(&mut self, id: OpId, _: &Visitor, _: Operation) {
        self.ended.push_back(id);
    }

    fn release(&mut self, _: JourneyId) {}

    async fn wait(&mut self, until: Tick) -> Option<(OpId, Outcome)> {
        let Some(id) = self.ended.pop_front() else {
            self.now = self.now.max(until);
            return None;
        };
        let outcome = Outcome {
            started: self.now,
            ended: self.now,
            result: Ok(Reply::Done),
            bytes_in: 1400,
            bytes_out: 120,
            foreign: 0,
            retransmits: 0,
            web: Web::default(),
            not_before: None,
            oddities: Vec::new(),
            parts: Vec::new(),
        };
        Some((id, outcome))
    }
}

/// Visits, 100,000 a second: a page and one asset each.
fn scheduling() -> Path {
    const EVERY: Duration = Duration::from_micros(10);
    let rules = Rules {
        isolated: false,
        assets: 1,
        retries: 1,
        retry_after: Duration::from_millis(50),
        sizes: vec![1],
        classes: vec![0],
        seeds: Vec::new(),
        names: Names::default(),
    };
    let first = plan().arrivals().find_map(|arrival| {
        let steps = arrival.steps.iter().take(1).copied().collect();
        let is_visit = intends(&arrival, Kind::Asset);
        is_visit.then_some(Arrival { steps, content: 0, ..arrival })
    });
    Box::new(move |operations| {
        let visits = (0..operations).filter_map(|number| {
            let mut visit = first.clone()?;
            visit.steps.iter_mut().for_each(|step| step.at = Tick::ZERO + EVERY * number as u32);
            Some(visit)
        });
        let limits = Limits::new(EVERY * operations as u32);
        let mut seen = 0_u64;
        let mut count = |event: Event| seen += u64::from(matches!(black_box(event), Event::JourneyEnded(..)));
        complete(drive(visits, &mut Null::default(), &rules, &limits, &Stop::default(), &mut count));
        assert_eq!(seen, operations, "every visitor goes as it came");
    })
}

/// Whether the arrival begins with an operation of this kind.
fn intends(arrival: &Arrival, kind: Kind) -> bool {
    squall::journey::intended(arrival, 1).any(|(intended, _)| intended == kind)
}

fn encoding() -> Path {
    let mut number = 0_u32;
    Box::new(move |operations| {
        for _ in 0..operations {
            number = number.wrapping_add(1);
            drop(black_box(bench::encode(black_box(number))));
        }
    })
}

/// 100,000 operations a second, latencies between 1 and 17 ms.
fn recording() -> Path {
    // Without an inbox finished seconds are dropped, so that the memory stays as flat as with a recorder that keeps up.
    let mut workers = record::channel(1).0;
    let mut number = 0_u64;
    Box::new(move |operations| {
        let Some(worker) = workers.first_mut() else { return };
        for _ in 0..operations {
            number += 1;
            let due = Tick(number * 10_000);
            let started = due + Duration::from_micros(number % 97);
            let seen = Observation {
                kind: Kind::ALL[(number % 5) as usize],
                due,
                released: due,
                started,
                ended: started + Duration::from_micros(1000 + number.wrapping_mul(2_654_435_761) % 16_000),
                settled: Settled::Ok,
                bytes_in: 1400,
                bytes_out: 120,
                foreign: 0,
                retransmits: 0,
                web: Web::default(),
                oddities: Vec::new(),
                attempt: 0,
                region: (number % 4) as u8,
                client: (number % 4) as u8,
                access: (number % 5) as u8,
                content: (number % 300) as u16,
            };
            worker.observe(black_box(Event::Settled(seen)));
        }
    })
}

fn hashing() -> Path {
    let piece = bench::Fetched::new(256 << 10);
    Box::new(move |operations| {
        for _ in 0..operations {
            assert!(black_box(&piece).holds(), "the piece is what it was made");
        }
    })
}

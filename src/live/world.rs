//! The live world of one worker.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::task::AbortHandle;

use crate::drive::{JourneyId, OpId, World};
use crate::journey::{Cause, Group, Operation, Outcome, Swarm, Visitor};
use crate::profile::Target;
use crate::scenario::Scenario;
use crate::unit::Tick;

use super::clock::Alarm;
use super::meter::Meter;
use super::patience::Patience;
use super::perform::{Connections, Shared};
use super::queue::Queue;
use super::{Clock, Guard};

/// What a worker's world is made from.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// The fleet under load.
    pub target: Arc<Target>,
    /// Who loads it.
    pub scenario: Arc<Scenario>,
    /// What may be contacted.
    pub guard: Arc<Guard>,
    /// The run clock.
    pub clock: Clock,
    /// Number of the worker: keeps the transaction ids and source addresses of workers apart.
    pub worker: u32,
    /// Workers of the run.
    pub workers: u32,
}

/// The shortest sleep of a worker.
const PACE: Duration = Duration::from_micros(50);

/// The live world of one worker: real sockets, the real clock.
///
/// Each operation is a task on the worker's own thread; outcomes come through a queue of that thread. Dropping the world ends all of
/// them. Patience (`funnel.patience`) bounds every operation.
#[derive(Debug)]
pub struct LiveWorld {
    shared: Rc<Shared>,
    alarm: Alarm,
    patience: Patience,
    /// Keeps it.
    keeper: AbortHandle,
    outcomes: Rc<Queue<(OpId, Outcome)>>,
    journeys: FxHashMap<JourneyId, Journey>,
}

/// What a journey holds in the world until it is released.
#[derive(Debug, Default)]
struct Journey {
    connections: Rc<Connections>,
    tasks: SmallVec<[(OpId, AbortHandle); 2]>,
}

impl Drop for LiveWorld {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

impl LiveWorld {
    /// Opens the worker's sockets. Runs where tokio spawns local tasks (a `LocalRuntime`, or a `LocalSet`), with I/O and time enabled.
    ///
    /// # Errors
    /// The system's, where it gives no socket or timer.
    pub fn new(config: LiveConfig) -> io::Result<Self> {
        let clock = config.clock;
        let patience = Patience::new(clock);
        let shared = Rc::new(Shared::open(config, &patience)?);
        let keeper = tokio::task::spawn_local(patience.clone().keep()).abort_handle();
        let (outcomes, journeys) = (Rc::default(), FxHashMap::default());
        Ok(Self { shared, alarm: clock.alarm()?, patience, keeper, outcomes, journeys })
    }

    /// The next outcome of a journey that is not released.
    fn settle(&mut self) -> Option<(OpId, Outcome)> {
        while let Some(settled) = self.outcomes.try_pop() {
            if let Some(settled) = self.keep(settled) {
                return Some(settled);
            }
        }
        None
    }

    fn keep(&mut self, (id, outcome): (OpId, Outcome)) -> Option<(OpId, Outcome)> {
        let journey = self.journeys.get_mut(&id.journey)?;
        journey.tasks.retain(|(of, _)| *of != id);
        Some((id, outcome))
    }
}

impl World for LiveWorld {
    fn now(&self) -> Tick {
        self.shared.clock.now()
    }

    fn holds_descriptor(&self, operation: &Operation) -> bool {
        self.shared.holds_descriptor(operation)
    }

    /// Starts a task that performs the operation for as long as the visitor has patience.
    fn perform(&mut self, id: OpId, visitor: &Visitor, operation: Operation) {
        let journey = self.journeys.entry(id.journey).or_default();
        let shared = Rc::clone(&self.shared);
        let connections = Rc::clone(&journey.connections);
        let outcomes = Rc::clone(&self.outcomes);
        let patience = self.patience.clone();
        let visitor = *visitor;
        let task = tokio::task::spawn_local(async move {
            let meter = Meter::new(shared.clock);
            let most = operation.patience(&shared.scenario.funnel);
            let result = if shared.admits() {
                patience.bound(most, shared.perform(&visitor, operation, &connections, &meter)).await
            } else {
                Some(Err(Cause::Local))
            };
            outcomes.push((id, meter.outcome(result)));
        });
        journey.tasks.push((id, task.abort_handle()));
    }

    fn release(&mut self, journey: JourneyId) {
        self.journeys.remove(&journey);
    }

    fn swarm(&mut self) -> Vec<(Option<Group>, Swarm)> {
        self.shared.swarm()
    }

    /// Sleeps at least [`PACE`]: what becomes due meanwhile is late by no more than that, and shares one waking with the others.
    /// Outcomes first, so that they are taken even where the worker is late; a worker that is late gives its sockets a turn in between.
    async fn wait(&mut self, until: Tick) -> Option<(OpId, Outcome)> {
        loop {
            if let Some(settled) = self.settle() {
                return Some(settled);
            }
            let now = self.now();
            if now >= until {
                tokio::task::yield_now().await;
                return self.settle();
            }
            let until = until.max(now + PACE);
            let outcomes = Rc::clone(&self.outcomes);
            tokio::select! {
                biased;
                settled = outcomes.pop() => {
                    if let Some(settled) = self.keep(settled) {
                        return Some(settled);
                    }
                }
                () = self.alarm.until(until) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::super::fixture::target;
    use super::*;
    use crate::journey::Operation;
    use crate::plan::AnnounceEvent;
    use crate::scenario::sample;

    /// Bytes of what an operation of each kind of which there are many holds while it is under way.
    const MOST: usize = 1_536;

    #[tokio::test]
    async fn the_futures_of_which_there_are_many_are_small() {
        let address = ([127, 0, 0, 1], 9).into();
        let config = LiveConfig {
            target: Arc::new(target(address)),
            scenario: Arc::new(sample::sample()),
            guard: Arc::new(Guard::new(&target(address)).unwrap()),
            clock: Clock::start(),
            worker: 0,
            workers: 1,
        };
        let visitor = Visitor { reachable: false, ..Visitor::sample() };
        LocalSet::new()
            .run_until(async {
                let world = LiveWorld::new(config).unwrap();
                let (connections, meter) = (Connections::default(), Meter::new(world.shared.clock));
                let announce = Operation::Announce {
                    event: AnnounceEvent::Started,
                    left: 1,
                    downloaded: 0,
                    numwant: None,
                };
                for operation in [Operation::Page, announce] {
                    let what = format!("{operation:?}");
                    let size = size_of_val(&*world.shared.perform(&visitor, operation, &connections, &meter));
                    assert!(size <= MOST, "{what}: {size} bytes");
                }
            })
            .await;
    }
}

//! A gate on the clock: what passes is handed on when its moment comes, later by the delay on the way.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::gate::{Gate, Held, Pace};
use super::limits::Delay;

/// See the module's page. One task drives it, with one timer.
pub(super) struct Pump<T> {
    start: Instant,
    state: RefCell<State<T>>,
    /// What the task sleeps until.
    armed: Cell<Duration>,
    sooner: Notify,
    deliver: Box<dyn Fn(T)>,
}

struct State<T> {
    gate: Gate<T>,
    delay: Delay,
    delayed: BinaryHeap<Reverse<Held<T>>>,
    passed: u64,
    rng: fastrand::Rng,
}

impl<T: 'static> Pump<T> {
    /// A pump that hands on what passes to `deliver`. Only inside a `LocalSet`.
    pub(super) fn start(pace: Pace, delay: Delay, seed: u64, deliver: impl Fn(T) + 'static) -> Rc<Self> {
        let rng = fastrand::Rng::with_seed(seed);
        let gate = Gate::new(pace, seed.wrapping_add(1));
        let pump = Rc::new(Self {
            start: Instant::now(),
            state: RefCell::new(State { gate, delay, delayed: BinaryHeap::new(), passed: 0, rng }),
            armed: Cell::new(Duration::MAX),
            sooner: Notify::new(),
            deliver: Box::new(deliver),
        });
        tokio::task::spawn_local(Rc::clone(&pump).drive());
        pump
    }

    /// Takes an item that costs so many units.
    ///
    /// # Errors
    /// The item, where too many wait.
    pub(super) fn take(&self, cost: f64, item: T) -> Result<(), T> {
        let now = self.start.elapsed();
        let mut passed = Vec::new();
        let taken = self.state.borrow_mut().gate.arrive(now, cost, item, &mut passed);
        self.hand_on(now, passed);
        taken
    }

    /// Another pace and delay from now on.
    pub(super) fn change(&self, pace: Pace, delay: Delay) {
        let now = self.start.elapsed();
        let mut passed = Vec::new();
        let mut state = self.state.borrow_mut();
        state.gate.advance(now, &mut passed);
        state.gate.change(now, pace);
        state.gate.advance(now, &mut passed);
        drop(state);
        // What passes now is still as late as it would have been.
        self.hand_on(now, passed);
        self.state.borrow_mut().delay = delay;
    }

    /// Items that waited at once, at most.
    pub(super) fn longest(&self) -> usize {
        self.state.borrow().gate.longest()
    }

    async fn drive(self: Rc<Self>) {
        loop {
            let next = self.state.borrow().next();
            self.armed.set(next.unwrap_or(Duration::MAX));
            match next {
                None => self.sooner.notified().await,
                Some(next) => tokio::select! {
                    () = tokio::time::sleep_until(self.start + next) => {}
                    () = self.sooner.notified() => {}
                },
            }
            let now = self.start.elapsed();
            let mut passed = Vec::new();
            self.state.borrow_mut().gate.advance(now, &mut passed);
            self.hand_on(now, passed);
        }
    }

    /// Delivers what is due. The state is not borrowed meanwhile: who is delivered to may take the next item.
    fn hand_on(&self, now: Duration, passed: Vec<T>) {
        let mut due = Vec::new();
        let mut state = self.state.borrow_mut();
        state.delay_all(now, passed, &mut due);
        let next = state.next();
        drop(state);
        if next.is_some_and(|next| next < self.armed.get()) {
            self.sooner.notify_one();
        }
        due.into_iter().for_each(|item| (self.deliver)(item));
    }
}

impl<T> State<T> {
    fn next(&self) -> Option<Duration> {
        let delayed = self.delayed.peek().map(|Reverse(held)| held.until);
        self.gate.next().into_iter().chain(delayed).min()
    }

    /// Sends `passed` on their way and adds what has arrived to `due`.
    fn delay_all(&mut self, now: Duration, passed: Vec<T>, due: &mut Vec<T>) {
        let Delay { latency, jitter } = self.delay;
        if latency.is_zero() && jitter.is_zero() && self.delayed.is_empty() {
            due.extend(passed);
            return;
        }
        for item in passed {
            let spread = jitter.mul_f64(2.0 * self.rng.f64());
            let until = now + (latency + spread).saturating_sub(jitter);
            self.passed += 1;
            self.delayed.push(Reverse(Held { until, order: self.passed, item }));
        }
        while self.delayed.peek().is_some_and(|Reverse(held)| held.until <= now) {
            let Some(Reverse(held)) = self.delayed.pop() else { return };
            due.push(held.item);
        }
    }
}

//! The patience of a worker's visitors. Operations end within milliseconds and are given up after many seconds: a timer for each costs more
//! than to look through all that are under way now and then.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::unit::Tick;

use super::Clock;

/// How often they are looked through: every ten milliseconds, and where thousands are under way, less often.
const LOOK: Duration = Duration::from_millis(10);
const LOOK_EACH: Duration = Duration::from_micros(1);

/// Who waits, and until when. Another handle to the same with each clone.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    clock: Clock,
    waits: Rc<RefCell<Slab<Wait>>>,
}

#[derive(Debug)]
struct Wait {
    until: Tick,
    over: bool,
    waker: Option<Waker>,
}

impl Patience {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, waits: Rc::default() }
    }

    /// Looks for those whose patience is over, for ever.
    pub(super) async fn keep(self) {
        loop {
            let waits = u32::try_from(self.waits.borrow().len()).unwrap_or(u32::MAX);
            tokio::time::sleep(LOOK.max(LOOK_EACH * waits)).await;
            let now = self.clock.now();
            for (_, wait) in self.waits.borrow_mut().iter_mut() {
                if wait.until <= now && !wait.over {
                    wait.over = true;
                    wait.waker.take().into_iter().for_each(Waker::wake);
                }
            }
        }
    }

    /// What comes of the work, `None` where that takes longer than `most`, to which [`LOOK`] may be added.
    pub(super) async fn bound<T>(&self, most: Duration, work: impl Future<Output = T>) -> Option<T> {
        let wait = Wait { until: self.clock.now() + most, over: false, waker: None };
        let place = Place { waits: &self.waits, key: self.waits.borrow_mut().insert(wait) };
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            place.look(context.waker())
        })
        .await
    }
}

/// Somebody's place among those who wait, for as long as it lives.
struct Place<'a> {
    waits: &'a RefCell<Slab<Wait>>,
    key: usize,
}

impl Place<'_> {
    fn look<T>(&self, waker: &Waker) -> Poll<Option<T>> {
        match self.waits.borrow_mut().get_mut(self.key) {
            Some(wait) if !wait.over => {
                if !wait.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    wait.waker = Some(waker.clone());
                }
                Poll::Pending
            }
            _ => Poll::Ready(None),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waits.borrow_mut().try_remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_all_else_ends_by_itself() {
        let patience = Patience::new(Clock::start());
        let run = async {
            let never = patience.bound(Duration::from_millis(1), std::future::pending::<()>());
            let soon = patience.bound(Duration::from_secs(60), tokio::time::sleep(Duration::from_millis(5)));
            let now = patience.bound(Duration::ZERO, std::future::ready(7));
            assert_eq!(tokio::join!(never, soon, now), (None, Some(()), Some(7)));
        };
        tokio::select! {
            () = run => {}
            () = patience.clone().keep() => {}
        }
        assert!(patience.waits.borrow().is_empty());
    }
}

//! Connections that the requests of one kind of traffic keep and share, as API clients, wallets and gateways do towards their servers.

use std::cell::RefCell;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::Kept;

/// A worker's part of the kept connections. Each carries one exchange at a time; they are opened as they are needed, and who finds all of
/// them under way waits, first come first served.
#[derive(Debug)]
pub(in super::super) struct Pool {
    turns: Semaphore,
    /// Those that are open and have nothing to do, the one that was used last on top.
    idle: RefCell<Vec<Kept>>,
}

/// The use of one connection, which goes back when this is dropped. There may be none in it yet.
#[derive(Debug)]
pub(in super::super) struct Turn<'a> {
    idle: &'a RefCell<Vec<Kept>>,
    pub(in super::super) kept: Kept,
    // Given back after the connection was.
    _permit: Option<SemaphorePermit<'a>>,
}

impl Pool {
    /// The part of worker number `worker` of so many in `connections` of a run.
    pub(in super::super) fn new(connections: u32, (worker, workers): (u32, u32)) -> Self {
        Self { turns: Semaphore::new(part(connections, worker, workers) as usize), idle: RefCell::default() }
    }

    /// Waits for a connection.
    pub(in super::super) async fn turn(&self) -> Turn<'_> {
        // Fails only where it was closed, and nobody closes it.
        let permit = self.turns.acquire().await.ok();
        let kept = self.idle.borrow_mut().pop().unwrap_or_default();
        Turn { idle: &self.idle, kept, _permit: permit }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        if kept.0.is_some() {
            self.idle.borrow_mut().push(kept);
        }
    }
}

/// What a worker has of the connections of a run: an even part, and at least one.
fn part(connections: u32, worker: u32, workers: u32) -> u32 {
    let workers = workers.max(1);
    (connections / workers + u32::from(worker < connections % workers)).max(1)
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn who_finds_none_waits_for_the_turn_before_it() {
        let pool = Pool::new(2, (0, 1));
        let mut first: Vec<_> = (0..2).filter_map(|_| pool.turn().now_or_never()).collect();
        assert_eq!(first.len(), 2);
        let (mut third, mut fourth) = (Box::pin(pool.turn()), Box::pin(pool.turn()));
        assert!((&mut third).now_or_never().is_none() && (&mut fourth).now_or_never().is_none());
        first.pop();
        assert!((&mut fourth).now_or_never().is_none(), "the third was there before");
        // Who gives up waiting makes room for the next.
        drop(third);
        assert!(fourth.now_or_never().is_some());
    }

    #[test]
    fn all_have_their_turn_in_the_end() {
        let pool = Pool::new(3, (0, 1));
        let turns: FuturesOrdered<_> = (0..100).map(|_| pool.turn().map(drop)).collect();
        assert_eq!(turns.count().now_or_never(), Some(100));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(connections in 1_u32..100_000, workers in 1_u32..64) {
            let parts: Vec<u32> = (0..workers).map(|worker| part(connections, worker, workers)).collect();
            prop_assert_eq!(parts.iter().sum::<u32>(), connections.max(workers));
            prop_assert!(parts.iter().max().zip(parts.iter().min()).is_some_and(|(most, least)| most - least <= 1));
        }
    }
}

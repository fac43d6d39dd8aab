//! A token bucket that keeps a visitor to its access line.

use std::cell::RefCell;
use std::time::Duration;

use crate::unit::Tick;

use super::Clock;
use super::wire::BLOCK;

/// What a line takes at once: 20 ms of its rate (the depth of a common home router's queue), at least a few requests.
const BURST: f64 = 0.02;
const LEAST_BURST: f64 = 4.0 * BLOCK as f64;

/// Lets bytes through at a rate. Asking is free; only taking moves it.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: f64,
    burst: f64,
    level: f64,
    at: Tick,
}

impl Bucket {
    /// A full bucket of `rate` bytes per second.
    pub(super) fn new(rate: f64, now: Tick) -> Self {
        let burst = (rate * BURST).max(LEAST_BURST);
        Self { rate: rate.max(1.0), burst, level: burst, at: now }
    }

    /// Takes `bytes` where they may go now, else says how long they must wait. More than a whole burst waits for a full bucket.
    pub(super) fn take(&mut self, now: Tick, bytes: u32) -> Result<(), Duration> {
        self.ready(now, bytes)?;
        self.level -= f64::from(bytes);
        Ok(())
    }

    /// Takes back `bytes` that were taken and never came.
    pub(super) fn give_back(&mut self, now: Tick, bytes: u64) {
        if bytes > 0 {
            let _ = self.ready(now, 0);
            self.level = (self.level + bytes as f64).min(self.burst);
        }
    }

    /// Whether `bytes` may go now, else how long they must wait.
    pub(super) fn ready(&mut self, now: Tick, bytes: u32) -> Result<(), Duration> {
        self.level = (self.level + self.rate * now.since(self.at).as_secs_f64()).min(self.burst);
        self.at = self.at.max(now);
        let missing = f64::from(bytes).min(self.burst) - self.level;
        if missing > 0.0 {
            // Rounded up by a nanosecond, so that waiting as told is enough.
            return Err(Duration::from_secs_f64(missing / self.rate) + Duration::from_nanos(1));
        }
        Ok(())
    }
}

/// A visitor's line, over which bodies of HTTP come to it. Who reads as slowly as it carries makes the server send as slowly: what the
/// sockets hold meanwhile is all that comes earlier.
#[derive(Debug)]
pub(super) struct Line {
    bucket: RefCell<Bucket>,
    clock: Clock,
}

impl Line {
    /// A line of `rate` bytes per second.
    pub(super) fn new(rate: f64, clock: Clock) -> Self {
        Self { bucket: RefCell::new(Bucket::new(rate, clock.now())), clock }
    }

    /// Waits until the line has carried so many bytes.
    pub(super) async fn carry(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        loop {
            let carried = self.bucket.borrow_mut().take(self.clock.now(), bytes);
            let Err(wait) = carried else { return };
            tokio::time::sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rate_is_kept_over_time() {
        let mut now = Tick::ZERO;
        let mut bucket = Bucket::new(1e6, now);
        let mut bytes = 0_u64;
        while now < Tick::from_millis(10_000) {
            match bucket.take(now, 16_384) {
                Ok(()) => bytes += 16_384,
                Err(wait) => now = now + wait,
            }
        }
        let expected = 1e7 + LEAST_BURST;
        assert!((bytes as f64 - expected).abs() <= 16_384.0, "{bytes}");
    }

    #[test]
    fn what_never_came_can_be_taken_again() {
        let now = Tick::ZERO;
        let mut bucket = Bucket::new(1e6, now);
        while bucket.take(now, BLOCK).is_ok() {}
        bucket.give_back(now, u64::from(BLOCK));
        assert!(bucket.take(now, BLOCK).is_ok() && bucket.take(now, BLOCK).is_err());
        // A line does not save up what nobody needed.
        bucket.give_back(now, 100 * LEAST_BURST as u64);
        let taken = std::iter::from_fn(|| bucket.take(now, BLOCK).ok()).count();
        assert_eq!(taken, (LEAST_BURST / f64::from(BLOCK)) as usize);
    }

    proptest! {
        #[test]
        fn never_faster_and_never_stuck(rate in 1e3..1e9_f64, sizes in prop::collection::vec(1_u32..200_000, 1..60)) {
            let mut now = Tick::ZERO;
            let mut bucket = Bucket::new(rate, now);
            let mut bytes = 0.0;
            for size in sizes {
                while let Err(wait) = bucket.take(now, size) {
                    prop_assert!(wait > Duration::ZERO);
                    now = now + wait;
                }
                bytes += f64::from(size);
                let line = bucket.burst + rate * now.as_secs_f64();
                prop_assert!(bytes <= line + f64::from(size) + 1.0);
            }
        }
    }
}

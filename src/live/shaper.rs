//! A token bucket that keeps a visitor to its access line.

use std::time::Duration;

use crate::unit::Tick;

use super::wire::BLOCK;

/// Requests that are kept under way at least, and at most.
const PIPELINE: (u32, u32) = (4, 64);

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

    /// Requests for 16 KiB to keep under way: what the line delivers in a second, from 4 to 64 (1 MiB). Real clients size their queue
    /// alike (libtorrent's `request_queue_time` is three seconds of the peer's rate, and at most 500 requests); one second of the line
    /// outlasts any round trip, and more would only wait in the peer.
    pub(super) fn pipeline(&self) -> u32 {
        let (least, most) = PIPELINE;
        ((self.rate / f64::from(BLOCK)).ceil() as u32).clamp(least, most)
    }

    /// Takes `bytes` where they may go now, else says how long they must wait. More than a whole burst waits for a full bucket.
    pub(super) fn take(&mut self, now: Tick, bytes: u32) -> Result<(), Duration> {
        self.level = (self.level + self.rate * now.since(self.at).as_secs_f64()).min(self.burst);
        self.at = self.at.max(now);
        let missing = f64::from(bytes).min(self.burst) - self.level;
        if missing > 0.0 {
            // Rounded up by a nanosecond, so that waiting as told is enough.
            return Err(Duration::from_secs_f64(missing / self.rate) + Duration::from_nanos(1));
        }
        self.level -= f64::from(bytes);
        Ok(())
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
    fn the_pipeline_holds_a_second_of_the_line() {
        let pipeline = |rate| Bucket::new(rate, Tick::ZERO).pipeline();
        assert_eq!([1.0, 65_537.0, 500_000.0, 1e6, 1e9].map(pipeline), [4, 5, 31, 62, 64]);
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

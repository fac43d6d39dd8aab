//! The run clock of the live world.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::unit::Tick;

/// The clock of one run: the machine's monotonic clock, counted from the moment the run began. Every worker holds a copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock that reads [`Tick::ZERO`] now.
    #[must_use]
    pub fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// A clock that reads [`Tick::ZERO`] after `delay`, and zero until then: workers get the time to set themselves up.
    #[must_use]
    pub fn start_in(delay: Duration) -> Self {
        Self { epoch: Instant::now() + delay }
    }

    /// A clock that began in the past, for tests of what grows old.
    #[cfg(test)]
    pub(super) fn started_ago(age: Duration) -> Self {
        Self { epoch: Instant::now() - age }
    }

    /// The present moment.
    #[must_use]
    pub fn now(self) -> Tick {
        Tick(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long it is until `tick`, also while the clock still stands at zero.
    pub(super) fn until(self, tick: Tick) -> Duration {
        let moment = self.epoch.checked_add(Duration::from_nanos(tick.0));
        moment.map_or(Duration::MAX, |moment| moment.saturating_duration_since(Instant::now()))
    }

    /// A precise alarm on this clock; needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// The system has no timer descriptor left.
    #[expect(unsafe_code, reason = "tokio's only way to wait for a descriptor of another kind")]
    pub fn alarm(self) -> io::Result<Alarm> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        // SAFETY: an `OwnedFd` is one open descriptor for as long as it lives, and the `AsyncFd` owns it from here on.
        let timer = unsafe { AsyncFd::register(fd)? };
        Ok(Alarm { clock: self, timer, armed: None })
    }
}

/// Sleeps until a tick with the kernel's precision (tens of microseconds). Tokio's own timers count whole milliseconds, which
/// would be the largest part of the send lag.
#[derive(Debug)]
pub struct Alarm {
    clock: Clock,
    timer: AsyncFd<OwnedFd>,
    /// When it rings next, if it does.
    armed: Option<Tick>,
}

/// The longest span that is armed at once: keeps every value far from the kernel's limits.
const LONGEST: Duration = Duration::from_secs(3600);

impl Alarm {
    /// Returns once the clock has reached `tick`. May be dropped at any moment and asked again.
    pub async fn until(&mut self, tick: Tick) {
        loop {
            let left = self.clock.until(tick);
            if left.is_zero() {
                return;
            }
            // One that rings before is set anew then: less often than it would be set for every moment that is asked for in between.
            let armed = self.armed.is_some_and(|armed| armed <= tick) || self.arm(left, tick).is_ok();
            if !armed || self.rung().await.is_err() {
                // Cannot happen with a valid descriptor; the coarse timer still keeps the promise.
                tokio::time::sleep(left.min(LONGEST)).await;
            }
        }
    }

    fn arm(&mut self, left: Duration, tick: Tick) -> io::Result<()> {
        let span = left.min(LONGEST);
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: span.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: span.subsec_nanos().into(),
        };
        let setting = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::empty(), &setting)?;
        // Never later than it rings.
        self.armed = Some(tick.min(self.clock.now() + span));
        Ok(())
    }

    /// Nobody reads how often it rang: to be set anew clears that, and costs a system call less.
    async fn rung(&mut self) -> io::Result<()> {
        self.timer.readable().await?.clear_ready();
        self.armed = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_never_rings_early_and_can_be_moved_forward() {
        let clock = Clock::start();
        let mut alarm = clock.alarm().unwrap();
        let far = clock.now() + Duration::from_secs(3600);
        assert!(tokio::time::timeout(Duration::from_millis(2), alarm.until(far)).await.is_err());
        for step in 1..=20 {
            let due = clock.now() + Duration::from_micros(50 * step);
            alarm.until(due).await;
            assert!(clock.now() >= due);
        }
        alarm.until(Tick::ZERO).await;
    }

    #[tokio::test]
    async fn a_clock_that_starts_later_stands_at_zero_and_its_alarms_count_from_there() {
        let clock = Clock::start_in(Duration::from_millis(20));
        assert_eq!(clock.now(), Tick::ZERO);
        let began = Instant::now();
        clock.alarm().unwrap().until(Tick::from_millis(1)).await;
        assert!(began.elapsed() >= Duration::from_millis(20));
        assert!(clock.now() >= Tick::from_millis(1));
    }
}

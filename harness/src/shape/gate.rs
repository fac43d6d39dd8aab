//! A gate: what passes it, and when. Pure; every moment is a [`Duration`] since any beginning.
//!
//! An item first waits, first come first served, in a queue of bounded length. It begins as soon as the gate is open *and* a server is
//! free; the gate is then closed for cost/rate, and the server held for its time of service, after which the item passes. Where no service is
//! stated, an item passes as it begins, so that a gate that nobody waits at delays nothing.
//!
//! Moments are worked out, not observed: whoever calls late is given what has passed meanwhile, and the next item begins when it would have
//! begun. So a clock that ticks in milliseconds paces thousands of operations a second to their exact rate.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// How fast items pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    /// Units of cost per second; any number of them where `None`.
    pub(super) rate: Option<f64>,
    pub(super) service: Option<Service>,
    /// Items that wait at most.
    pub(super) waiting: usize,
    /// So much earlier than its moment an item may pass: what a clock that ticks more coarsely than the gate opens would cost those who come
    /// one at a time, each after the answer to the one before. The rate stays what it is.
    pub(super) early: Duration,
}

/// Servers, of which an item holds one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Service {
    /// How long, on average.
    pub(super) mean: Duration,
    /// Exponentially distributed, not always the same.
    pub(super) exponential: bool,
    /// Number of servers, at least 1.
    pub(super) parallelism: usize,
}

/// The gate.
#[derive(Debug)]
pub(super) struct Gate<T> {
    pace: Pace,
    waiting: VecDeque<Waiting<T>>,
    serving: BinaryHeap<Reverse<Held<T>>>,
    /// When the gate is open again.
    opens: Duration,
    /// When a server became free last, or the pace changed.
    freed: Duration,
    begun: u64,
    longest: usize,
    rng: fastrand::Rng,
}

#[derive(Debug)]
struct Waiting<T> {
    arrived: Duration,
    cost: f64,
    item: T,
}

/// An item that is held until a moment; those of one moment keep their order.
#[derive(Debug)]
pub(super) struct Held<T> {
    pub(super) until: Duration,
    pub(super) order: u64,
    pub(super) item: T,
}

impl<T> Gate<T> {
    pub(super) fn new(pace: Pace, seed: u64) -> Self {
        Self {
            pace,
            waiting: VecDeque::new(),
            serving: BinaryHeap::new(),
            opens: Duration::ZERO,
            freed: Duration::ZERO,
            begun: 0,
            longest: 0,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// An item arrives. What has passed until `now`, perhaps the item itself, is added to `passed`.
    ///
    /// # Errors
    /// The item, where it would have to wait and too many do already.
    pub(super) fn arrive(&mut self, now: Duration, cost: f64, item: T, passed: &mut Vec<T>) -> Result<(), T> {
        self.advance(now, passed);
        let at_once =
            self.waiting.is_empty() && self.opens <= now + self.pace.early && self.has_free_server();
        if at_once {
            self.begin(now, cost, item, passed);
        } else if self.waiting.len() < self.pace.waiting {
            self.waiting.push_back(Waiting { arrived: now, cost, item });
            self.longest = self.longest.max(self.waiting.len());
        } else {
            return Err(item);
        }
        Ok(())
    }

    /// Adds what has passed until `now`, in order.
    pub(super) fn advance(&mut self, now: Duration, passed: &mut Vec<T>) {
        loop {
            let (begins, ends) = (self.begins(), self.ends());
            match (begins, ends) {
                (begins, Some(end)) if end <= now && begins.is_none_or(|begin| end <= begin) => {
                    let Some(Reverse(held)) = self.serving.pop() else { return };
                    self.freed = end;
                    passed.push(held.item);
                }
                (Some(begin), _) if begin <= now => {
                    let Some(Waiting { cost, item, .. }) = self.waiting.pop_front() else { return };
                    self.begin(begin, cost, item, passed);
                }
                _ => return,
            }
        }
    }

    /// When something passes or begins next, if nothing else arrives.
    pub(super) fn next(&self) -> Option<Duration> {
        self.begins().into_iter().chain(self.ends()).min()
    }

    /// From `now` on, items pass at another pace. What the gate is still closed for takes as long as it does at the new rate; whoever is
    /// being served is served to the end. Call [`advance`](Self::advance) first. Nobody who waits is turned away.
    pub(super) fn change(&mut self, now: Duration, pace: Pace) {
        let left = self.opens.saturating_sub(now).as_secs_f64() * self.pace.rate.unwrap_or(0.0);
        self.opens = now + pace.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(left / rate));
        self.freed = now;
        self.pace = pace;
    }

    /// Items that waited at once, at most.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    fn has_free_server(&self) -> bool {
        self.pace.service.is_none_or(|service| self.serving.len() < service.parallelism)
    }

    /// When the first that waits begins, if nobody has to be done before.
    fn begins(&self) -> Option<Duration> {
        let first = self.waiting.front().filter(|_| self.has_free_server())?;
        Some(first.arrived.max(self.opens.saturating_sub(self.pace.early)).max(self.freed))
    }

    /// When the first that is served passes.
    fn ends(&self) -> Option<Duration> {
        self.serving.peek().map(|Reverse(held)| held.until)
    }

    fn begin(&mut self, at: Duration, cost: f64, item: T, passed: &mut Vec<T>) {
        self.begun += 1;
        if let Some(rate) = self.pace.rate {
            self.opens = self.opens.max(at) + Duration::from_secs_f64(cost / rate);
        }
        match self.pace.service {
            None => passed.push(item),
            Some(service) => {
                let until = at + service.draw(&mut self.rng);
                self.serving.push(Reverse(Held { until, order: self.begun, item }));
            }
        }
    }
}

impl Service {
    fn draw(&self, rng: &mut fastrand::Rng) -> Duration {
        // 1 - u is never 0.
        let times = if self.exponential { -(1.0 - rng.f64()).ln() } else { 1.0 };
        self.mean.mul_f64(times)
    }
}

impl<T> Held<T> {
    fn key(&self) -> (Duration, u64) {
        (self.until, self.order)
    }
}

impl<T> PartialEq for Held<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Held<T> {}

impl<T> PartialOrd for Held<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Held<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn rate(rate: f64, waiting: usize) -> Pace {
        Pace { rate: Some(rate), waiting, ..Pace::default() }
    }

    fn servers(parallelism: usize, mean: Duration, exponential: bool, waiting: usize) -> Pace {
        Pace { service: Some(Service { mean, exponential, parallelism }), waiting, ..Pace::default() }
    }

    /// What has passed by `now`.
    fn passed<T>(gate: &mut Gate<T>, now: Duration) -> Vec<T> {
        let mut passed = Vec::new();
        gate.advance(now, &mut passed);
        passed
    }

    #[test]
    fn an_open_gate_delays_nothing_and_a_rate_is_kept_however_seldom_one_looks() {
        let mut gate = Gate::new(rate(1000.0, 10_000), 1);
        let mut out = Vec::new();
        for n in 0..5000 {
            gate.arrive(Duration::ZERO, 1.0, n, &mut out).unwrap();
        }
        assert_eq!(out, [0], "the first passes at once");
        // Looked at every 7 ms and once after a second: by t, 1000 t and the first have passed.
        for look in (7..=140).step_by(7).chain([1140]) {
            out.extend(passed(&mut gate, look * MS));
            assert_eq!(out.len(), look as usize + 1, "after {look} ms");
        }
        assert!(out.is_sorted());
    }

    #[test]
    fn who_finds_the_queue_full_is_turned_away() {
        let mut gate = Gate::new(rate(10.0, 2), 1);
        let mut out = Vec::new();
        let came: Vec<_> = (0..5).map(|n| gate.arrive(Duration::ZERO, 1.0, n, &mut out)).collect();
        assert_eq!(came, [Ok(()), Ok(()), Ok(()), Err(3), Err(4)]);
        assert_eq!(gate.longest(), 2);
        // One has passed after 100 ms, so that one more may wait.
        assert_eq!(gate.arrive(100 * MS, 1.0, 5, &mut out), Ok(()));
        assert_eq!(out, [0, 1]);
        assert_eq!(gate.next(), Some(200 * MS));
    }

    #[test]
    fn what_costs_more_closes_the_gate_for_longer() {
        let mut gate = Gate::new(rate(1000.0, 9), 1);
        let mut out = Vec::new();
        for cost in [500.0, 250.0, 1000.0] {
            gate.arrive(Duration::ZERO, cost, cost, &mut out).unwrap();
        }
        assert!(passed(&mut gate, 499 * MS).is_empty());
        assert_eq!(passed(&mut gate, 500 * MS), [250.0]);
        assert_eq!(passed(&mut gate, 750 * MS), [1000.0]);
    }

    #[test]
    fn who_comes_one_at_a_time_and_is_let_through_by_a_coarse_clock_gets_the_rate_all_the_same() {
        let pace = Pace { early: 2 * MS, ..rate(10_000.0, 9) };
        let mut gate = Gate::new(pace, 1);
        let (mut out, mut now) = (Vec::new(), Duration::ZERO);
        for n in 0..10_000 {
            gate.arrive(now, 1.0, n, &mut out).unwrap();
            while out.len() <= n {
                // The next tick.
                now = MS * (now.as_millis() as u32 + 1);
                gate.advance(now, &mut out);
            }
        }
        assert!((998..=1001).contains(&now.as_millis()), "{now:?}");
    }

    #[test]
    fn servers_hold_what_they_serve() {
        let mut gate = Gate::new(servers(2, 100 * MS, false, 9), 1);
        let mut out = Vec::new();
        for n in 0..5 {
            gate.arrive(n * MS, 1.0, n, &mut out).unwrap();
        }
        assert!(out.is_empty());
        assert_eq!(passed(&mut gate, 100 * MS), [0]);
        assert_eq!(passed(&mut gate, 101 * MS), [1]);
        assert_eq!(passed(&mut gate, 299 * MS), [2, 3]);
        assert_eq!(passed(&mut gate, 300 * MS), [4]);
        assert_eq!(gate.next(), None);
    }

    #[test]
    fn another_pace_holds_from_then_on() {
        let mut gate = Gate::new(rate(10.0, 99), 1);
        let mut out = Vec::new();
        for n in 0..9 {
            gate.arrive(Duration::ZERO, 1.0, n, &mut out).unwrap();
        }
        out.extend(passed(&mut gate, 150 * MS));
        assert_eq!(out, [0, 1]);
        // Half of what the gate is closed for is left: 5 ms at 100/s.
        gate.change(150 * MS, rate(100.0, 99));
        assert!(passed(&mut gate, 154 * MS).is_empty());
        assert_eq!(passed(&mut gate, 165 * MS), [2, 3]);
        // Without a limit all others pass at once.
        gate.change(166 * MS, Pace { waiting: 99, ..Pace::default() });
        assert_eq!(passed(&mut gate, 166 * MS), [4, 5, 6, 7, 8]);
    }

    /// Lindley's recursion, the oracle of every queue of one server: w' = max(0, w + service - gap).
    #[test]
    fn waiting_follows_lindley() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut gate = Gate::new(rate(100.0, usize::MAX), 1);
        let (mut now, mut wait, mut due) = (Duration::ZERO, Duration::ZERO, Vec::new());
        let mut out = Vec::new();
        for n in 0..2000_usize {
            gate.arrive(now, 1.0, n, &mut out).unwrap();
            due.push(now + wait);
            let gap = Duration::from_micros(rng.u64(0..22_000));
            wait = (wait + 10 * MS).saturating_sub(gap);
            now += gap;
            // Nobody passes before its moment.
            assert!(out.iter().all(|&n| due[n] <= now));
        }
        for look in 0..3000 {
            let at = look * 10 * MS;
            if at >= now {
                out.extend(passed(&mut gate, at));
                let expected = due.iter().filter(|due| **due <= at).count();
                assert_eq!(out.len(), expected, "at {at:?}");
            }
        }
        assert!(out.is_sorted() && out.len() == 2000);
    }

    /// M/M/c: the mean wait over the service time by Erlang C, for 8 servers at a load of 0.8 (shared oracle: 0.286).
    #[test]
    fn exponential_service_waits_as_erlang_says() {
        let mut rng = fastrand::Rng::with_seed(9);
        let mut gate = Gate::new(servers(8, 80 * MS, true, usize::MAX), 5);
        let (mut now, mut area, mut came) = (0.0, 0.0, 0);
        let mut out = Vec::new();
        // The time that is spent waiting is the area under the number of those that wait.
        for n in 0..400_000 {
            let gap = -(1.0 - rng.f64()).ln() / 80.0;
            let end = now + gap;
            while let Some(next) = gate.next().map(|next| next.as_secs_f64()).filter(|next| *next <= end) {
                area += gate.waiting.len() as f64 * (next - now).max(0.0);
                now = next.max(now);
                out.clear();
                gate.advance(Duration::from_secs_f64(next) + Duration::from_nanos(1), &mut out);
            }
            area += gate.waiting.len() as f64 * (end - now);
            now = end;
            gate.arrive(Duration::from_secs_f64(now), 1.0, n, &mut out).unwrap();
            came += 1;
        }
        let wait = area / f64::from(came) / 0.08;
        assert!((wait - 0.286).abs() < 0.03, "{wait}");
    }
}

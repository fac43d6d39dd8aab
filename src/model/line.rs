//! A line that several answers share evenly: M/G/1-PS (Kleinrock, 1967).
//!
//! In the clock of one answer's share, `V`, which advances by bandwidth / n while n answers are on their way, an answer of x bytes that
//! begins at V ends at V + x. So the next to end is the least of a heap, whatever comes meanwhile.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::unit::Tick;

/// The line.
#[derive(Debug)]
pub(super) struct Line {
    /// Bytes per second.
    bandwidth: f64,
    /// Bytes that an answer would have got that was on its way ever since there were any.
    share: f64,
    /// When that was true.
    at: Tick,
    under_way: BinaryHeap<Answer>,
    /// Those of `under_way` that are still wanted, and where each ends.
    wanted: HashMap<u64, f64>,
    /// Which of the ends that were foretold still holds: each change of the load foretells anew.
    version: u64,
}

/// An answer on its way, the earliest to end first.
#[derive(Debug, PartialEq)]
struct Answer {
    ends: f64,
    job: u64,
}

impl Eq for Answer {}

impl Ord for Answer {
    fn cmp(&self, other: &Self) -> Ordering {
        other.ends.total_cmp(&self.ends).then(other.job.cmp(&self.job))
    }
}

impl PartialOrd for Answer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// When the next answer will have gone out, if none is added until then: to be handed back by then.
pub(super) type Next = Option<(Tick, u64)>;

impl Line {
    pub(super) fn new(bandwidth: f64) -> Self {
        Self {
            bandwidth,
            share: 0.0,
            at: Tick::ZERO,
            under_way: BinaryHeap::new(),
            wanted: HashMap::new(),
            version: 0,
        }
    }

    /// An answer of some bytes begins.
    pub(super) fn begin(&mut self, job: u64, bytes: u64, now: Tick) -> Next {
        self.advance(now);
        if self.wanted.is_empty() {
            // Sums stay small, and so exact.
            self.share = 0.0;
            self.under_way.clear();
        }
        let ends = self.share + bytes as f64;
        self.under_way.push(Answer { ends, job });
        self.wanted.insert(job, ends);
        self.next()
    }

    /// The line has another bandwidth from now on.
    pub(super) fn change(&mut self, bandwidth: f64, now: Tick) -> Next {
        self.advance(now);
        self.bandwidth = bandwidth;
        self.next()
    }

    /// Nobody waits for an answer any more: its connection is closed. How many of its bytes are still to come, where it is on its way,
    /// and the next to end.
    pub(super) fn give_up(&mut self, job: u64, now: Tick) -> Option<(u64, Next)> {
        self.advance(now);
        let ends = self.wanted.remove(&job)?;
        Some(((ends - self.share).max(0.0) as u64, self.next()))
    }

    /// The answer that was foretold as `version`, if it has indeed gone out now, and the next one.
    pub(super) fn ended(&mut self, version: u64, now: Tick) -> Option<(u64, Next)> {
        if version != self.version {
            return None;
        }
        self.advance(now);
        let Answer { ends, job } = self.under_way.pop()?;
        self.wanted.remove(&job);
        // Ticks are coarser than the share.
        self.share = self.share.max(ends);
        Some((job, self.next()))
    }

    fn advance(&mut self, now: Tick) {
        let answers = self.wanted.len();
        if answers > 0 {
            self.share += now.since(self.at).as_secs_f64() * self.bandwidth / answers as f64;
        }
        self.at = now;
    }

    fn next(&mut self) -> Next {
        self.version += 1;
        while self.under_way.peek().is_some_and(|first| !self.wanted.contains_key(&first.job)) {
            self.under_way.pop();
        }
        let first = self.under_way.peek()?;
        let left = (first.ends - self.share).max(0.0) * self.wanted.len() as f64;
        // A line may be so narrow that no run sees the end.
        let lasts = Duration::try_from_secs_f64(left / self.bandwidth).unwrap_or(Duration::MAX);
        Some((self.at + lasts, self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drives answers of (moment in seconds, bytes) over a line: when each was out, by job.
    fn drive(bandwidth: f64, answers: &[(f64, u64)]) -> Vec<f64> {
        let mut line = Line::new(bandwidth);
        let mut out = vec![0.0; answers.len()];
        let (mut next, mut to_come) = (None, answers.iter().enumerate().peekable());
        loop {
            let arrival = to_come.peek().map(|(_, (at, _))| Tick::from_secs_f64(*at));
            match (arrival, next) {
                (Some(at), foretold) if foretold.is_none_or(|(end, _)| at <= end) => {
                    let (job, (_, bytes)) = to_come.next().unwrap();
                    next = line.begin(job as u64, *bytes, at);
                }
                (_, Some((end, version))) => {
                    let (job, after) = line.ended(version, end).unwrap();
                    out[job as usize] = end.as_secs_f64();
                    next = after;
                }
                _ => return out,
            }
        }
    }

    #[test]
    fn answers_share_the_line_evenly() {
        // 100 bytes/s: the first is alone for 1 s, then both get 50 bytes/s; the second, being shorter, is out first.
        let out = drive(100.0, &[(0.0, 200), (1.0, 50)]);
        assert!((out[1] - 2.0).abs() < 1e-6 && (out[0] - 2.5).abs() < 1e-6, "{out:?}");
    }

    #[test]
    fn who_gives_up_leaves_the_line_to_the_others() {
        let mut line = Line::new(100.0);
        line.begin(1, 200, Tick::ZERO);
        line.begin(2, 300, Tick::ZERO);
        // After 2 s each has had 100 bytes; the rest of the second takes it 2 s alone.
        let (left, next) = line.give_up(1, Tick::from_secs_f64(2.0)).unwrap();
        let (end, version) = next.unwrap();
        assert_eq!((left, end), (100, Tick::from_secs_f64(4.0)));
        assert_eq!(line.give_up(1, Tick::from_secs_f64(3.0)), None);
        assert_eq!(line.ended(version, end), Some((2, None)));
    }

    #[test]
    fn what_is_on_its_way_goes_on_at_another_bandwidth() {
        let mut line = Line::new(100.0);
        line.begin(1, 300, Tick::ZERO);
        // A second at 100 bytes/s, and the other 200 bytes at 50.
        let (end, _) = line.change(50.0, Tick::from_secs_f64(1.0)).unwrap();
        assert_eq!(end, Tick::from_secs_f64(5.0));
        let (never, _) = line.change(1e-300, Tick::from_secs_f64(2.0)).unwrap();
        assert_eq!(never, Tick::MAX);
        let (end, version) = line.change(150.0, Tick::from_secs_f64(3.0)).unwrap();
        assert_eq!((end, line.ended(version, end)), (Tick::from_secs_f64(4.0), Some((1, None))));
    }

    /// E[T | x] = x / (B (1 - rho)), whatever the distribution of sizes: `domain.md` section 3.
    #[test]
    fn time_is_proportional_to_size() {
        use rand::{RngExt, SeedableRng};
        use rand_distr::{Distribution, Exp1};
        let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(3);
        let (bandwidth, rate) = (1e6, 70.0);
        let mut clock = 0.0;
        let answers: Vec<(f64, u64)> = (0..200_000)
            .map(|_| {
                let gap: f64 = Exp1.sample(&mut rng);
                clock += gap / rate;
                // Half of them nine times as long as the others: 10,000 bytes on average, rho 0.7.
                (clock, if rng.random_bool(0.5) { 2_000 } else { 18_000 })
            })
            .collect();
        let out = drive(bandwidth, &answers);
        for bytes in [2_000, 18_000] {
            let times = out
                .iter()
                .zip(&answers)
                .filter(|(_, (_, size))| *size == bytes)
                .map(|(end, (at, _))| end - at);
            let (count, sum) = times.fold((0.0, 0.0), |(count, sum), time| (count + 1.0, sum + time));
            let expected = bytes as f64 / (bandwidth * 0.3);
            assert!(
                (sum / count / expected - 1.0).abs() < 0.03,
                "{bytes}: {} s, not {expected}",
                sum / count
            );
        }
    }
}

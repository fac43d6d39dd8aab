//! The modelled population of one region, and what it announces.

use crate::scenario::{Funnel, Scenario};

use super::{Delay, Series};

/// Rounds of re-announcing that are followed one by one; older peers are taken as evenly mixed.
const ROUNDS: u32 = 16;
/// Grid cells of its rates.
const CELLS: usize = 2048;
/// Moments over which jitter spreads a round, evenly spaced up to 2.8 standard deviations: close enough to smear a flash.
const NODES: i32 = 7;

/// The modelled peers of a region: client starts that are still in their session, and their announces to the tracker.
///
/// A peer announces again one interval after it started, then one interval later, as long as it stays. Nothing mixes these moments but
/// the jitter: a flash that joins at T comes back at T + interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Swarm {
    /// Peers in swarms. On a normal day at scenario start.
    pub population: Series,
    /// Re-announces per second of those who started one by one.
    steady: Series,
    /// Re-announces of those who restarted together.
    rounds: Vec<Pulse>,
    /// Announces of a restart.
    restarts: Vec<Pulse>,
    /// Announces of seeds that leave.
    leaves: Vec<Pulse>,
}

/// Events that are spread evenly over a time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pulse {
    from: f64,
    width: f64,
    count: f64,
}

impl Pulse {
    fn until(&self, t: f64) -> f64 {
        self.count * ((t - self.from) / self.width).clamp(0.0, 1.0)
    }
}

fn between(pulses: &[Pulse], from: f64, until: f64) -> f64 {
    pulses.iter().map(|pulse| pulse.until(until) - pulse.until(from)).sum()
}

/// A moment after which only a part of those who were there before goes on as before.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: f64,
    kept: f64,
}

/// The part of those who were there at `from` that goes on as before until `until`.
fn kept(cuts: &[Cut], from: f64, until: f64) -> f64 {
    cuts.iter().filter(|cut| from < cut.at && cut.at <= until).map(|cut| cut.kept).product()
}

/// The peers of one region and how long they stay.
struct Peers<'a> {
    starts: &'a Series,
    stay: &'a Delay,
}

impl Peers<'_> {
    /// Those at `t` who started before `t` − `age` and were spared by all cuts.
    fn there(&self, t: f64, age: f64, cuts: &[Cut]) -> f64 {
        let strata = self.stay.strata().iter().filter(|stratum| stratum.mean > age);
        strata.map(|stratum| stratum.weight * self.spared(t, t - stratum.mean, t - age, cuts)).sum()
    }

    /// Those who started within `from..until` and were spared by all cuts until `t`.
    fn spared(&self, t: f64, from: f64, until: f64, cuts: &[Cut]) -> f64 {
        let (mut low, mut sum) = (from, 0.0);
        for cut in cuts.iter().filter(|cut| from < cut.at && cut.at < until) {
            sum += kept(cuts, low, t) * (self.starts.integral(cut.at) - self.starts.integral(low));
            low = cut.at;
        }
        sum + kept(cuts, low, t) * (self.starts.integral(until) - self.starts.integral(low))
    }

    /// Re-announces per second at `t`.
    fn reannounces(&self, t: f64, rounds: &[Round], cuts: &[Cut]) -> f64 {
        let started = |moment: f64| self.starts.at(moment) * kept(cuts, moment, t);
        let again = |round: &Round| -> f64 {
            let mixed = round.nodes.iter().map(|(delay, weight)| weight * started(t - delay));
            round.survival * mixed.sum::<f64>()
        };
        rounds.iter().map(again).sum()
    }

    /// The first rounds of re-announcing.
    fn rounds(&self, interval: f64, jitter: f64) -> Vec<Round> {
        let round = |number: u32| {
            let age = f64::from(number) * interval;
            // Every interval is uniform within ± jitter, so their sum has a deviation of jitter · √(number / 3).
            let deviation = spread(interval, jitter, number);
            let node = |z: f64| (age + z * deviation, libm::exp(-z * z / 2.0));
            let mut nodes: Vec<(f64, f64)> = match deviation {
                0.0 => vec![(age, 1.0)],
                _ => (-NODES..=NODES).map(|i| node(0.4 * f64::from(i))).collect(),
            };
            let all: f64 = nodes.iter().map(|(_, weight)| weight).sum();
            nodes.iter_mut().for_each(|(_, weight)| *weight /= all);
            Round { survival: self.survival(age), nodes }
        };
        (1..=ROUNDS).map(round).collect()
    }

    fn survival(&self, age: f64) -> f64 {
        self.stay.beyond(age).map(|(weight, _)| weight).sum()
    }
}

/// Standard deviation of the time that so many announce intervals take, seconds.
fn spread(interval: f64, jitter: f64, rounds: u32) -> f64 {
    interval * jitter * libm::sqrt(f64::from(rounds) / 3.0)
}

/// One round of re-announcing.
struct Round {
    /// Share of the peers that are still there.
    survival: f64,
    /// Delays since the start, seconds, and their weights.
    nodes: Vec<(f64, f64)>,
}

impl Swarm {
    /// The swarm that client starts make; `seeds` is the part of the peers that are seeds at a moment.
    #[must_use]
    pub fn new(scenario: &Scenario, starts: &Series, stay: &Delay, seeds: impl Fn(f64) -> f64) -> Self {
        let length = scenario.duration.as_secs_f64();
        let Funnel { announce_interval, announce_jitter: jitter, .. } = scenario.funnel;
        let interval = announce_interval.as_secs_f64();
        let peers = Peers { starts, stay };
        let mut losses: Vec<Cut> = scenario
            .exoduses
            .iter()
            .map(|exodus| (exodus.at.as_secs_f64(), exodus.share))
            .map(|(at, share)| Cut { at, kept: 1.0 - share * seeds(at) })
            .collect();
        losses.sort_by(|a, b| a.at.total_cmp(&b.at));
        let restarted = scenario.restarts.iter();
        let mut cuts: Vec<Cut> = restarted
            .map(|restart| Cut { at: restart.at.as_secs_f64(), kept: 1.0 - restart.share })
            .chain(losses.iter().copied())
            .collect();
        cuts.sort_by(|a, b| a.at.total_cmp(&b.at));

        let normal = starts.normal().occupancy(stay);
        let rounds = peers.rounds(interval, jitter);
        let population = Series::tabulate(normal, length, CELLS, |t| peers.there(t, 0.0, &losses));
        let steady = Series::tabulate(normal.scaled(1.0 / interval), length, CELLS, |t| {
            let older = peers.there(t, (f64::from(ROUNDS) + 0.5) * interval, &cuts);
            peers.reannounces(t, &rounds, &cuts) + older / interval
        });
        let mut swarm =
            Self { population, steady, rounds: Vec::new(), restarts: Vec::new(), leaves: Vec::new() };
        for exodus in &scenario.exoduses {
            let at = exodus.at.as_secs_f64();
            let count = exodus.share * seeds(at) * peers.there(at.next_down(), 0.0, &losses);
            swarm.leaves.push(Pulse { from: at, width: exodus.over.as_secs_f64(), count });
        }
        for restart in &scenario.restarts {
            let (at, over) = (restart.at.as_secs_f64(), restart.over.as_secs_f64());
            let before = at.next_down();
            let count = restart.share * peers.there(before, 0.0, &losses);
            swarm.restarts.push(Pulse { from: at, width: over, count });
            for round in 1_u32.. {
                let age = f64::from(round) * interval;
                if at + age >= length {
                    break;
                }
                let stayed: f64 = restart.share
                    * stay
                        .strata()
                        .iter()
                        .filter(|stratum| stratum.mean > age)
                        .map(|stratum| {
                            stratum.weight * peers.spared(before, at + age - stratum.mean, before, &losses)
                        })
                        .sum::<f64>();
                let deviation = spread(interval, jitter, round);
                let width = libm::sqrt(over * over + 12.0 * deviation * deviation);
                let from = at + age + (over - width) / 2.0;
                swarm.rounds.push(Pulse { from, width, count: stayed * kept(&cuts, at, at + age) });
            }
        }
        swarm
    }

    /// Re-announces within `from..until` of scenario time.
    #[must_use]
    pub fn reannounces(&self, from: f64, until: f64) -> f64 {
        self.steady.integral(until) - self.steady.integral(from) + between(&self.rounds, from, until)
    }

    /// Announces of peers that restart within `from..until`.
    #[must_use]
    pub fn restarts(&self, from: f64, until: f64) -> f64 {
        between(&self.restarts, from, until)
    }

    /// Announces of seeds that leave within `from..until`.
    #[must_use]
    pub fn leaves(&self, from: f64, until: f64) -> f64 {
        between(&self.leaves, from, until)
    }
}

#[cfg(test)]
mod tests;

//! The fluid model of a swarm (Qiu & Srikant, SIGCOMM 2004).

use crate::scenario::Scenario;

use super::{Series, Sinusoid};

/// Rates of the fluid model, per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fluid {
    /// Downloads that are given up (θ).
    pub abort: f64,
    /// Copies that a peer can download (c).
    pub down: f64,
    /// Copies that a peer can upload (μ).
    pub up: f64,
    /// Part of its upload that a downloading peer can use (η), 0..=1.
    pub effectiveness: f64,
    /// Seeds that leave (γ).
    pub leave: f64,
}

/// Peers of the fluid model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Peers {
    /// Those who still download (x).
    pub leechers: f64,
    /// Those who have everything (y).
    pub seeds: f64,
}

impl Fluid {
    /// The rates that a scenario's content, lines and patience come to; without the fleet's own seedboxes.
    #[must_use]
    pub fn new(scenario: &Scenario, seeding: f64) -> Self {
        let content = &scenario.content;
        let (sum, all) = content
            .sizes()
            .zip(content.weights())
            .fold((0.0, 0.0), |(sum, all), (size, weight)| (sum + weight * size as f64, all + weight));
        let size = sum / all;
        let lines = &scenario.access.members;
        let every: f64 = lines.iter().map(|(_, share)| share).sum();
        let (down, up) = lines.iter().fold((0.0, 0.0), |(down, up), (line, share)| {
            (down + share / every * line.down, up + share / every * line.up)
        });
        let (down, gives_up) = (down / size, scenario.funnel.abort_share);
        // Given up at this rate while downloading at full speed, this share is given up in the end.
        let abort = down * gives_up / (1.0 - gives_up).max(1e-6);
        Self { abort, down, up: up / size, effectiveness: 1.0, leave: 1.0 / seeding }
    }

    /// The peers that a steady rate of arrivals comes to, and the mean time of a download in seconds.
    #[must_use]
    pub fn steady(&self, arrivals: f64) -> (Peers, f64) {
        let spared =
            if self.leave > self.up { (1.0 / self.up - 1.0 / self.leave) / self.effectiveness } else { 0.0 };
        let beta = 1.0 / (1.0 / self.down).max(spared);
        let leechers = arrivals / (beta + self.abort);
        (Peers { leechers, seeds: beta * leechers / self.leave }, 1.0 / (self.abort + beta))
    }

    /// The peers `span` seconds later, with a steady rate of arrivals.
    ///
    /// Backward Euler: each regime is linear, so a step is exact algebra, and stays stable where a download takes less than a step.
    #[must_use]
    pub fn step(&self, peers: Peers, arrivals: f64, span: f64) -> Peers {
        // Where uploads multiply faster than seeds leave, a step must not cover more than a part of that growth.
        let growth = (self.up - self.leave).max(0.0) * span;
        let parts = (4.0 * growth).ceil().clamp(1.0, 64.0);
        (0..parts as u32).fold(peers, |peers, _| self.small_step(peers, arrivals, span / parts))
    }

    fn small_step(&self, peers: Peers, arrivals: f64, span: f64) -> Peers {
        let Peers { leechers: x, seeds: y } = peers;
        let fresh = x + span * arrivals;
        let leechers = fresh / (1.0 + span * (self.abort + self.down));
        let seeds = (y + span * self.down * leechers) / (1.0 + span * self.leave);
        let upload = self.up * (self.effectiveness * leechers + seeds);
        let growth = 1.0 + span * (self.leave - self.up);
        if self.down * leechers <= upload || growth <= 0.0 {
            return Peers { leechers, seeds };
        }
        // Limited by uploads: (1 + h(θ + μη)) x + hμ y = x₀ + hλ; −hμη x + (1 + h(γ − μ)) y = y₀.
        let own = span * self.up * self.effectiveness;
        let diagonal = 1.0 + span * self.abort + own;
        let determinant = diagonal * growth + own * span * self.up;
        Peers {
            leechers: ((fresh * growth - span * self.up * y) / determinant).max(0.0),
            seeds: ((diagonal * y + own * fresh) / determinant).max(0.0),
        }
    }

    /// Leechers and seeds over a scenario: in balance at its start, then following the arrivals; at each of `losses` (moment, share)
    /// that share of the seeds goes.
    #[must_use]
    pub fn follow(
        &self,
        arrivals: impl Fn(f64) -> f64,
        losses: &[(f64, f64)],
        length: f64,
        cells: usize,
    ) -> [Series; 2] {
        let step = length / cells as f64;
        let mut peers = self.steady(arrivals(0.0)).0;
        let mut path = vec![peers];
        for cell in 0..cells {
            let (from, until) = (cell as f64 * step, (cell + 1) as f64 * step);
            for (_, share) in losses.iter().filter(|(at, _)| (from..until).contains(at)) {
                peers.seeds *= 1.0 - share;
            }
            peers = self.step(peers, arrivals(until), step);
            path.push(peers);
        }
        let series = |part: fn(&Peers) -> f64| {
            let normal = Sinusoid::default();
            Series::tabulate(normal, length, cells, |t| {
                path.get((t / step).round() as usize).map_or(0.0, part)
            })
        };
        [series(|peers| peers.leechers), series(|peers| peers.seeds)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fluid([abort, down, up, effectiveness, leave]: [f64; 5]) -> Fluid {
        Fluid { abort, down, up, effectiveness, leave }
    }

    /// (θ, c, μ, η, γ) with λ = 0.04 → x̄, ȳ, T.
    const ORACLES: [([f64; 5], [f64; 3]); 3] = [
        ([0.001, 0.002, 0.00125, 1.0, 0.001], [13.33, 26.67, 333.3]),
        ([0.001, 0.002, 0.00125, 1.0, 0.005], [15.00, 5.00, 375.0]),
        ([0.001, 0.02, 0.00125, 1.0, 0.01], [16.47, 2.35, 411.8]),
    ];

    #[test]
    fn the_balance_is_the_published_one() {
        for (rates, [leechers, seeds, time]) in ORACLES {
            let (peers, mean) = fluid(rates).steady(0.04);
            for (found, published) in [(peers.leechers, leechers), (peers.seeds, seeds), (mean, time)] {
                assert!((found / published - 1.0).abs() < 2e-3, "{rates:?}: {found}, published {published}");
            }
        }
    }

    #[test]
    fn an_empty_swarm_fills_up_to_its_balance_at_any_step() {
        for (rates, [leechers, seeds, _]) in ORACLES {
            for step in [1.0, 60.0, 3600.0] {
                let steps = (200_000.0 / step) as u32;
                let peers =
                    (0..steps).fold(Peers::default(), |peers, _| fluid(rates).step(peers, 0.04, step));
                assert!((peers.leechers / leechers - 1.0).abs() < 0.01, "{rates:?}, {step} s: {peers:?}");
                assert!((peers.seeds / seeds - 1.0).abs() < 0.01, "{rates:?}, {step} s: {peers:?}");
            }
        }
    }

    #[test]
    fn without_seeds_a_swarm_recovers_from_what_its_leechers_upload() {
        let fluid = fluid(ORACLES[1].0);
        let [leechers, seeds] = fluid.follow(|_| 0.04, &[(1000.0, 0.9)], 20_000.0, 2000);
        assert!((seeds.at(990.0) - 5.0).abs() < 0.01 && seeds.at(1012.0) < 1.0);
        assert!(leechers.at(1500.0) > 15.3, "downloads take longer: {}", leechers.at(1500.0));
        assert!((seeds.at(19_000.0) - 5.0).abs() < 0.05);
    }
}

//! Who the visitors of a plan are.

use serde::Serialize;

use super::Plan;

/// Shares of the visitors, 0..=1 each, as the scenario has them: what is drawn comes close to them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crowd {
    /// They were there before.
    pub returning: f64,
    /// They come from an address cluster that was seen before, those who return among them.
    pub old_clusters: f64,
    /// Their browser still has the page's assets.
    pub cached: f64,
    /// Peers can connect to them; the others are behind a NAT and can only connect to peers.
    pub reachable: f64,
}

impl Plan {
    /// Who the visitors are.
    #[must_use]
    pub fn crowd(&self) -> Crowd {
        let scenario = self.scenario();
        let lines = &scenario.access.members;
        let all: f64 = lines.iter().map(|(_, share)| share).sum();
        let unreachable: f64 = lines.iter().map(|(line, share)| line.unreachable * share).sum();
        let returning = scenario.audience.returning;
        Crowd {
            returning,
            old_clusters: scenario.audience.old_clusters,
            cached: returning * scenario.funnel.cached,
            reachable: 1.0 - unreachable / all,
        }
    }
}

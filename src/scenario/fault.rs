//! What goes wrong with the target on the scenario's clock, in drills and tests.

use std::time::Duration;

use crate::profile::Layer;
use crate::unit::Tick;

use super::Cut;

/// A layer that is limited, or worse, for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Name in charts and reports.
    pub name: String,
    /// The layer.
    pub layer: Layer,
    /// Scenario time of its beginning.
    pub at: Duration,
    /// How long it holds, in scenario time.
    pub lasts: Duration,
    /// What holds meanwhile.
    pub limits: FaultLimits,
}

/// What holds while a fault does; what is `None` stays as it is. Times are in run time, as everything inside an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FaultLimits {
    /// Operations per second that are served.
    pub rate: Option<f64>,
    /// How long a server works on an operation.
    pub service: Option<Duration>,
    /// Operations that are served at a time, at least 1.
    pub parallelism: Option<u32>,
    /// Bytes per second towards visitors.
    pub bandwidth: Option<f64>,
    /// Connections at a time; one more is refused.
    pub connections: Option<u32>,
    /// New connections per second.
    pub connections_per_second: Option<f64>,
    /// How much later an operation reaches the layer.
    pub latency: Option<Duration>,
    /// By how much that varies, either way.
    pub jitter: Option<Duration>,
    /// Share of the operations that are lost, 0..=1.
    pub loss: Option<f64>,
    /// Whether nothing is answered at all.
    pub black_hole: bool,
}

impl Fault {
    /// When it holds on the run clock; `None` where it does not within the cut. It may hold longer than the plan is.
    #[must_use]
    pub fn on_run(&self, cut: &Cut) -> Option<(Tick, Duration)> {
        let from = self.at.max(cut.from);
        let left = (self.at + self.lasts).checked_sub(from).filter(|left| !left.is_zero())?;
        let begins = cut.tick_of(from).filter(|_| from < cut.until)?;
        Some((begins, left.div_f64(cut.speed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_keep_to_the_cut() {
        let hours = |hours: u64| Duration::from_secs(3600 * hours);
        let cut = Cut { speed: 3600.0, scale: 1.0, from: hours(10), until: hours(20) };
        let on_run = |at, lasts| {
            let limits = FaultLimits { black_hole: true, ..FaultLimits::default() };
            let fault = Fault { name: String::new(), layer: Layer::Tracker, at, lasts, limits };
            fault.on_run(&cut).map(|(at, lasts)| (at.as_secs_f64(), lasts.as_secs_f64()))
        };
        assert_eq!(on_run(hours(12), hours(3)), Some((2.0, 3.0)));
        assert_eq!(on_run(hours(8), hours(3)), Some((0.0, 1.0)), "it holds already");
        assert_eq!(on_run(hours(8), hours(2)), None, "it is over");
        assert_eq!(on_run(hours(19), hours(3)), Some((9.0, 3.0)));
        assert_eq!(on_run(hours(20), hours(3)), None);
    }
}

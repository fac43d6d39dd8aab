//! The scenario's faults as the model's queues have them.
//!
//! A rate is one server that takes 1/rate on average; service, parallelism and bandwidth are the layer's own; latency and jitter lengthen
//! the way of the answer; what is lost, or goes into a black hole, is never answered. The model has no connections, so that limits on
//! those change nothing in it.

use std::time::Duration;

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::profile::Layer;
use crate::scenario::{FaultLimits, Scenario};
use crate::unit::Tick;

use super::Capacity;

/// Operations that wait at a layer that is limited by a fault alone.
const WAITING: u32 = 1024;

/// Seconds that a server works on an operation at most: rates are as small as one likes, and times have an end.
const LONGEST: f64 = 1e9;

/// The faults of a run.
#[derive(Debug)]
pub(super) struct Faults(Vec<Fault>);

#[derive(Debug)]
struct Fault {
    layer: Layer,
    from: Tick,
    until: Tick,
    limits: FaultLimits,
}

impl Faults {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let fault = |fault: &crate::scenario::Fault| {
            let (from, lasts) = fault.on_run(&scenario.cut)?;
            Some(Fault { layer: fault.layer, from, until: from + lasts, limits: fault.limits })
        };
        Self(scenario.faults.iter().filter_map(fault).collect())
    }

    /// When queues have other capacities than before, and which.
    pub(super) fn changes(&self) -> impl Iterator<Item = (Tick, Layer)> {
        self.0.iter().flat_map(|fault| [(fault.from, fault.layer), (fault.until, fault.layer)])
    }

    /// What a layer has a capacity for at a moment, which is `stated` otherwise.
    pub(super) fn capacity(&self, layer: Layer, now: Tick, stated: Capacity) -> Capacity {
        self.holding(layer, now).fold(stated, limited)
    }

    /// Whether a layer's answers ever share a line.
    pub(super) fn narrow(&self, layer: Layer) -> bool {
        self.0.iter().any(|fault| fault.layer == layer && fault.limits.bandwidth.is_some())
    }

    /// Whether an operation is never answered.
    pub(super) fn loses(&self, layer: Layer, now: Tick, rng: &mut Xoshiro256PlusPlus) -> bool {
        let lost = |limits: &FaultLimits| {
            limits.black_hole || limits.loss.is_some_and(|loss| rng.random_bool(loss.clamp(0.0, 1.0)))
        };
        self.holding(layer, now).any(lost)
    }

    /// How much later an operation is answered.
    pub(super) fn latency(&self, layer: Layer, now: Tick, rng: &mut Xoshiro256PlusPlus) -> Duration {
        let late = |limits: &FaultLimits| {
            let (latency, jitter) = (limits.latency.unwrap_or_default(), limits.jitter.unwrap_or_default());
            if jitter.is_zero() {
                return latency;
            }
            (latency + jitter.mul_f64(rng.random_range(0.0..2.0))).saturating_sub(jitter)
        };
        self.holding(layer, now).map(late).sum()
    }

    fn holding(&self, layer: Layer, now: Tick) -> impl Iterator<Item = &FaultLimits> {
        let holds = move |fault: &&Fault| fault.layer == layer && (fault.from..fault.until).contains(&now);
        self.0.iter().filter(holds).map(|fault| &fault.limits)
    }
}

fn limited(capacity: Capacity, limits: &FaultLimits) -> Capacity {
    let mut limited = Capacity {
        servers: limits.parallelism.unwrap_or(capacity.servers),
        service: limits.service.unwrap_or(capacity.service),
        bandwidth: limits.bandwidth.into_iter().chain(capacity.bandwidth).reduce(f64::min),
        ..capacity
    };
    let is_less = |rate: &f64| limited.service.as_secs_f64() * rate < f64::from(limited.servers);
    if let Some(rate) = limits.rate.filter(is_less) {
        limited.servers = 1;
        limited.service = Duration::from_secs_f64((1.0 / rate).min(LONGEST));
    }
    if capacity.servers == u32::MAX && limited.servers != u32::MAX {
        limited.waiting = limited.waiting.max(WAITING);
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_changes_what_it_says_while_it_holds() {
        let stated = Capacity {
            servers: 4,
            service: Duration::from_millis(2),
            waiting: 100,
            bandwidth: None,
            loss: 0.0,
        };
        let seconds = |seconds: u64| Tick::from_millis(1000 * seconds);
        let with = |limits: FaultLimits| {
            let (from, until) = (seconds(10), seconds(20));
            Faults(vec![Fault { layer: Layer::Tracker, from, until, limits }])
        };
        let none = FaultLimits::default();
        let rate = with(FaultLimits { rate: Some(50.0), ..none });
        let at = |second| rate.capacity(Layer::Tracker, seconds(second), stated);
        assert_eq!((at(9), at(20)), (stated, stated));
        assert_eq!(at(10), Capacity { servers: 1, service: Duration::from_millis(20), ..stated });
        assert_eq!(rate.capacity(Layer::Index, seconds(15), stated), stated);
        assert_eq!(
            rate.changes().collect::<Vec<_>>(),
            [(seconds(10), Layer::Tracker), (seconds(20), Layer::Tracker)]
        );
        // More than it serves anyway limits nothing: 2000/s.
        for above in [5000.0, 1e300] {
            let above = with(FaultLimits { rate: Some(above), ..none });
            assert_eq!(above.capacity(Layer::Tracker, seconds(15), stated), stated);
        }
        let hardly = with(FaultLimits { rate: Some(1e-300), ..none });
        assert_eq!(
            hardly.capacity(Layer::Tracker, seconds(15), stated).service,
            Duration::from_secs(1_000_000_000)
        );
        let narrow = with(FaultLimits { bandwidth: Some(1e6), ..none });
        let bandwidth = |stated| narrow.capacity(Layer::Tracker, seconds(15), stated).bandwidth;
        assert_eq!(bandwidth(stated), Some(1e6));
        assert_eq!(bandwidth(Capacity { bandwidth: Some(1e5), ..stated }), Some(1e5), "less is stated");
        assert!(
            narrow.narrow(Layer::Tracker) && !narrow.narrow(Layer::Index) && !rate.narrow(Layer::Tracker)
        );
        let slow =
            with(FaultLimits { service: Some(Duration::from_millis(9)), parallelism: Some(2), ..none });
        let expected = Capacity { servers: 2, service: Duration::from_millis(9), ..stated };
        assert_eq!(slow.capacity(Layer::Tracker, seconds(15), stated), expected);

        let mut rng = rand::SeedableRng::seed_from_u64(1);
        let late = with(FaultLimits {
            latency: Some(Duration::from_millis(100)),
            jitter: Some(Duration::from_millis(30)),
            loss: Some(0.3),
            ..none
        });
        let mut lost = 0;
        for _ in 0..1000 {
            let latency = late.latency(Layer::Tracker, seconds(15), &mut rng).as_millis();
            assert!((70..=130).contains(&latency), "{latency}");
            lost += u32::from(late.loses(Layer::Tracker, seconds(15), &mut rng));
        }
        assert!((240..360).contains(&lost), "{lost}");
        let hole = with(FaultLimits { black_hole: true, ..none });
        assert!(hole.loses(Layer::Tracker, seconds(15), &mut rng));
        assert!(!hole.loses(Layer::Tracker, seconds(25), &mut rng));
    }
}

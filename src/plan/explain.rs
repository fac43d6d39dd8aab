//! Why the load moves: a trigger, a lag and a downstream metric.

use serde::Serialize;

use crate::demand::{Demand, Shape, shocks};
use crate::scenario::Scenario;

use super::{Plan, Stage};

/// A move below this factor (up or down) is not worth an explanation.
const NOTICEABLE: f64 = 1.1;

/// Why the load moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// Name of the signal that does most of it.
    pub trigger: String,
    /// When it shows, scenario seconds.
    pub at_seconds: f64,
    /// What the front of the funnel sees.
    pub front: Effect,
    /// What the swarm behind it sees.
    pub downstream: Effect,
}

/// The furthest that a stage departs from a normal day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// The stage.
    pub stage: Stage,
    /// Expected rate as a multiple of that of a day without signals, at the same hour.
    pub factor: f64,
    /// Seconds of scenario time from the trigger to it.
    pub lag_seconds: f64,
}

impl Plan {
    /// Why the load moves within the window; `None` where no signal moves it noticeably.
    #[must_use]
    pub fn explain(&self) -> Option<Explanation> {
        let calm = Scenario { signals: Vec::new(), ..self.scenario().as_ref().clone() };
        let calm = Demand::new(&calm, self.variant());
        let own = Demand::new(self.scenario(), self.variant());
        let furthest = |stage: Stage| {
            let factors = self.moments().map(|t| (self.rate(&own, stage, t) / self.rate(&calm, stage, t), t));
            factors.max_by(|a, b| departure(a.0).total_cmp(&departure(b.0)))
        };
        let (front, front_at) = furthest(Stage::Index)?;
        let (behind, behind_at) = furthest(Stage::Announce)?;
        if departure(front) < libm::log(NOTICEABLE) {
            return None;
        }
        let (trigger, at_seconds) = self.trigger(front_at)?;
        let effect = |stage, factor, at: f64| Effect { stage, factor, lag_seconds: at - at_seconds };
        Some(Explanation {
            trigger,
            at_seconds,
            front: effect(Stage::Index, front, front_at),
            downstream: effect(Stage::Announce, behind, behind_at),
        })
    }

    /// The signal that is felt most at a moment, and when its shock began.
    fn trigger(&self, t: f64) -> Option<(String, f64)> {
        let scenario = self.scenario();
        let attention = &scenario.attention;
        let multiple = scenario.variants.get(self.variant()).attention;
        let shape = Shape::new(attention);
        let felt = scenario.signals.iter().flat_map(|signal| {
            shocks(signal, attention, multiple)
                .into_iter()
                .map(|shock| (shock.force() * shape.at(&shock, t), signal.name.clone(), shock.at))
        });
        felt.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name, at)| (name, at))
    }
}

/// How far a factor is from 1, the same for twice and for half; nothing where there is nothing to compare.
fn departure(factor: f64) -> f64 {
    if factor.is_nan() { 0.0 } else { libm::log(factor).abs() }
}

//! Why the load moves: a trigger, a lag and a downstream metric.

use serde::Serialize;

use crate::demand::{Demand, Shape, shocks};
use crate::scenario::{Scenario, Signal};

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
    /// What the swarm behind it sees; without one, the transfers.
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
    /// Why the load moves within the window; `None` where no signal moves it noticeably. The trigger is the signal that is felt most when
    /// visits are furthest from a normal day; what is told of it is what it does alone, so that no later signal is taken for its effect.
    #[must_use]
    pub fn explain(&self) -> Option<Explanation> {
        let under = |signals: Vec<Signal>| {
            Demand::new(&Scenario { signals, ..self.scenario().as_ref().clone() }, self.variant())
        };
        let calm = under(Vec::new());
        let all = Demand::new(self.scenario(), self.variant());
        let (front, front_at) = self.furthest(&all, &calm, Stage::Index, f64::NEG_INFINITY)?;
        if departure(front) < libm::log(NOTICEABLE) {
            return None;
        }
        let trigger = self.trigger(&self.scenario().signals, front_at)?.0.clone();
        let own = under(vec![trigger.clone()]);
        let (front, front_at) = self.furthest(&own, &calm, Stage::Index, f64::NEG_INFINITY)?;
        let (trigger, at_seconds) = self.trigger(std::slice::from_ref(&trigger), front_at)?;
        let joins = self.demand().swarm_share > 0.0;
        let downstream = if joins { Stage::Announce } else { Stage::Pieces };
        let (behind, behind_at) = self.furthest(&own, &calm, downstream, at_seconds)?;
        let effect = |stage, factor, at: f64| Effect { stage, factor, lag_seconds: at - at_seconds };
        Some(Explanation {
            trigger: trigger.name.clone(),
            at_seconds,
            front: effect(Stage::Index, front, front_at),
            downstream: effect(downstream, behind, behind_at),
        })
    }

    /// How far a stage departs from a calm demand at most from a moment on, as a factor, and when.
    fn furthest(&self, demand: &Demand, calm: &Demand, stage: Stage, from: f64) -> Option<(f64, f64)> {
        let factor = |t: f64| (self.rate(demand, stage, t) / self.rate(calm, stage, t), t);
        let factors = self.moments().filter(|t| *t >= from).map(factor);
        factors.max_by(|a, b| departure(a.0).total_cmp(&departure(b.0)))
    }

    /// The signal that is felt most at a moment, and when its shock began.
    fn trigger<'s>(&self, signals: &'s [Signal], t: f64) -> Option<(&'s Signal, f64)> {
        let attention = &self.scenario().attention;
        let multiple = self.scenario().variants.get(self.variant()).attention;
        let shape = Shape::new(attention);
        let felt = signals.iter().flat_map(|signal| {
            let shocks = shocks(signal, attention, multiple).into_iter();
            shocks.map(move |shock| (shock.force() * shape.at(&shock, t), signal, shock.at))
        });
        felt.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, signal, at)| (signal, at))
    }
}

/// How far a factor is from 1, the same for twice and for half; nothing where there is nothing to compare.
fn departure(factor: f64) -> f64 {
    if factor.is_nan() { 0.0 } else { libm::log(factor).abs() }
}

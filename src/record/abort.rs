//! Conditions that end a run early ([`AbortOn`]), watched second by second as they are closed.
//!
//! What k6 calls `abortOnFail` with `delayAbortEval`. Here it stands in the profile of the target, beside the SLO that it is weighed
//! against: whoever runs a fleet says when a rehearsal has to let go of it, whatever the scenario. It is watched where the seconds of all
//! workers are added up, so that the same recording always ends in the same second.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::profile::{AbortOn, Envelope, Layer};

use super::latency::{Distribution, histogram};
use super::row::{Counts, Row};

/// Why a run was ended before its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aborted {
    /// The first second that was no part of the decision.
    pub at_seconds: u64,
    /// The layer that was too bad.
    pub layer: Layer,
    /// The seconds over which it was.
    pub over_seconds: u64,
    /// What it did, and what it would have had to.
    pub condition: AbortCondition,
}

/// What a layer did that ends a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum AbortCondition {
    /// Too many operations failed, not counting the generator's own failures, or did not come back.
    Errors {
        /// Their share.
        observed: f64,
        /// What ends the run.
        limit: f64,
    },
    /// Too many operations took too long.
    Latency {
        /// The quantile of the SLO, of those that ended.
        observed_seconds: f64,
        /// What ends the run.
        limit_seconds: f64,
    },
}

/// Watches the closed seconds of a run.
#[derive(Debug, Default)]
pub(crate) struct AbortWatch {
    /// Seconds of the plan: what only drains needs no ending.
    seconds: u64,
    layers: Vec<LayerWatch>,
}

#[derive(Debug)]
struct LayerWatch {
    layer: Layer,
    on: AbortOn,
    quantile: f64,
    /// Seconds after which an operation that is still under way is late.
    grace: usize,
    /// The latest seconds, as many as are looked at.
    seconds: VecDeque<Second>,
    /// Operations that are under way.
    open: u64,
    /// Operations that became due in the latest `grace` seconds.
    young: VecDeque<u64>,
}

#[derive(Debug)]
struct Second {
    ok: u64,
    /// Not counting the generator's own.
    failed: u64,
    /// Latencies from due. Sparse: there may be an hour of seconds.
    due: Distribution,
}

impl AbortWatch {
    /// Watches the layers whose promise says what ends a run, for as long as the plan is.
    pub(crate) fn new(envelope: &Envelope, length: Duration) -> Self {
        let watched = envelope.layers.iter().filter_map(|(layer, promise)| {
            let on = promise.abort_on.clone()?;
            let grace = on.limit.unwrap_or(promise.slo.limit).as_secs_f64().ceil() as usize;
            let (seconds, young) = (VecDeque::new(), VecDeque::new());
            let quantile = promise.slo.quantile;
            Some(LayerWatch { layer: *layer, on, quantile, grace, seconds, open: 0, young })
        });
        Self { seconds: length.as_secs(), layers: watched.collect() }
    }

    /// Looks at the second that has just been closed; whether the run has to end.
    pub(crate) fn see(&mut self, row: &Row) -> Option<Aborted> {
        // Every layer sees every second, also behind the first that ends the run.
        let found: Vec<Aborted> = self.layers.iter_mut().filter_map(|layer| layer.see(row)).collect();
        found.into_iter().next().filter(|aborted| aborted.at_seconds < self.seconds)
    }
}

impl LayerWatch {
    fn see(&mut self, row: &Row) -> Option<Aborted> {
        let (mut counts, mut due) = (Counts::default(), Distribution::default());
        for (_, row) in row.kinds.iter().filter(|(kind, _)| kind.is_operation_of(self.layer)) {
            counts += &row.counts;
            due.merge(&row.latencies.due);
        }
        self.open = (self.open + counts.planned).saturating_sub(counts.shed + counts.settled());
        self.young.push_back(counts.planned);
        if self.young.len() > self.grace {
            self.young.pop_front();
        }
        let failed = counts.failed.by_target();
        self.seconds.push_back(Second { ok: counts.ok, failed, due });
        let over = self.on.over.as_secs();
        if (self.seconds.len() as u64) < over {
            return None;
        }
        let condition = self.condition();
        self.seconds.pop_front();
        condition.map(|condition| Aborted {
            at_seconds: row.second + 1,
            layer: self.layer,
            over_seconds: over,
            condition,
        })
    }

    /// What is too bad about the seconds that are looked at.
    fn condition(&self) -> Option<AbortCondition> {
        let overdue = self.open.saturating_sub(self.young.iter().sum());
        let bad = self.seconds.iter().map(|second| second.failed).sum::<u64>() + overdue;
        let known = self.seconds.iter().map(|second| second.ok).sum::<u64>() + bad;
        if let Some(limit) = self.on.errors.filter(|limit| is_more(bad, known, *limit)) {
            return Some(AbortCondition::Errors { observed: bad as f64 / known as f64, limit });
        }
        let limit = self.on.limit?;
        let mut due = histogram();
        self.seconds.iter().for_each(|second| second.due.add_to(&mut due));
        let within = due.count_between(0, u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
        let late = due.len() - within + overdue;
        is_more(late, due.len() + overdue, 1.0 - self.quantile).then(|| AbortCondition::Latency {
            // What has not come back is at least as late as the limit.
            observed_seconds: (due.value_at_quantile(self.quantile) as f64 / 1e6).max(limit.as_secs_f64()),
            limit_seconds: limit.as_secs_f64(),
        })
    }
}

/// Whether more than a share of all are bad; never by a single one, nor of fewer than a share of which is one.
fn is_more(bad: u64, all: u64, share: f64) -> bool {
    let allowed = share * all as f64 + 1e-9;
    allowed >= 1.0 && bad as f64 > allowed || share <= 0.0 && bad > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Settled;
    use crate::journey::{Cause, Kind};
    use crate::profile::{LayerEnvelope, Slo};
    use crate::record::KindRow;

    fn watch(errors: Option<f64>, limit: Option<u64>) -> AbortWatch {
        let over = Duration::from_secs(3);
        let promise = LayerEnvelope {
            recovery: None,
            base: 10.0,
            burst: 10.0,
            burst_for: Duration::from_secs(10),
            reserve: 10.0,
            slo: Slo { quantile: 0.99, limit: Duration::from_millis(250), errors: 0.01 },
            headroom: 0.2,
            abort_on: Some(AbortOn { errors, limit: limit.map(Duration::from_secs), over }),
        };
        AbortWatch::new(&Envelope { layers: [(Layer::Tracker, promise)].into() }, Duration::from_secs(60))
    }

    /// A second of announces: so many end well and so many fail after a latency, of those that become due; the rest stays under way.
    fn second(second: u64, planned: u64, ok: u64, failed: u64, millis: u64) -> Row {
        let mut row = KindRow::default();
        let mut due = histogram();
        due.saturating_record_n(millis * 1000, ok + failed);
        row.counts.planned = planned;
        (0..ok).for_each(|_| row.counts.settle(Settled::Ok));
        (0..failed).for_each(|_| row.counts.settle(Settled::Failed(Cause::Timeout)));
        row.latencies.due = Distribution::of(&due);
        Row { second, kinds: [(Kind::Announce, row)].into(), ..Row::default() }
    }

    fn first(mut watch: AbortWatch, rows: impl IntoIterator<Item = Row>) -> Option<Aborted> {
        rows.into_iter().find_map(|row| watch.see(&row))
    }

    #[test]
    fn a_run_ends_once_enough_failed_for_long_enough() {
        let rows = |failed: [u64; 6]| {
            (0..)
                .zip(failed)
                .map(|(at, failed)| second(at, 100, 100 - failed, failed, 10))
                .collect::<Vec<_>>()
        };
        let found = first(watch(Some(0.2), None), rows([0, 0, 20, 30, 40, 100]));
        let condition = AbortCondition::Errors { observed: 0.3, limit: 0.2 };
        assert_eq!(found, Some(Aborted { at_seconds: 5, layer: Layer::Tracker, over_seconds: 3, condition }));
        assert_eq!(first(watch(Some(0.2), None), rows([60, 0, 0, 0, 60, 0])), None, "20 % are not more");
        assert_eq!(
            first(watch(Some(0.2), None), rows([100, 100, 0, 0, 0, 0])).map(|found| found.at_seconds),
            Some(3),
            "never before it was looked at for as long as it takes"
        );
        assert_eq!(first(watch(None, Some(5)), rows([100; 6])), None, "nobody asked about errors");
    }

    #[test]
    fn a_run_ends_once_it_is_too_slow_for_long_enough() {
        let rows = |millis: u64| (0..6).map(move |at| second(at, 100, 100, 0, millis));
        let found = first(watch(None, Some(5)), rows(6000)).unwrap();
        let AbortCondition::Latency { observed_seconds, limit_seconds } = found.condition else { panic!() };
        assert!((observed_seconds - 6.0).abs() < 0.01 && limit_seconds == 5.0, "{observed_seconds}");
        assert_eq!(first(watch(None, Some(5)), rows(4900)), None);
    }

    #[test]
    fn what_never_comes_back_counts_once_it_is_late() {
        // A black hole: late after 1 s, so of the 300 of the first three seconds 200 are.
        let found = first(watch(Some(0.2), None), (0..6).map(|at| second(at, 100, 0, 0, 0))).unwrap();
        assert_eq!(found.at_seconds, 3);
        assert_eq!(found.condition, AbortCondition::Errors { observed: 1.0, limit: 0.2 });
        // Few are under way, and none of them for long.
        let busy =
            std::iter::once(second(0, 150, 100, 0, 10)).chain((1..6).map(|at| second(at, 100, 100, 0, 10)));
        assert_eq!(first(watch(Some(0.2), Some(5)), busy), None);
    }

    #[test]
    fn a_few_operations_decide_nothing() {
        let rows = |planned: u64| (0..6).map(move |at| second(at, planned, 0, planned, 10));
        assert_eq!(first(watch(Some(0.2), None), rows(1)), None, "three of three, and a fifth of it is none");
        assert!(first(watch(Some(0.2), None), rows(2)).is_some());
    }
}

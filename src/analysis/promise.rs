//! A layer against its promise.
//!
//! **Demand** is judged in windows of 5 s: the tier of a window is the smallest of base, burst and reserve that covers its offered rate. A
//! burst that lasts longer than the profile allows counts as reserve from then on. Demand above the reserve is beyond the promise.
//! Only first tries are demand: a target that fails, and is asked again, has not been promised less. Demand that failures upstream kept
//! away was never put to the layer: it is starved, which is no pass.
//!
//! **The SLO** is judged in the same windows. A share can only be judged of enough operations (100 for a p99), so consecutive windows
//! are pooled, in order of time, until they hold enough for both the quantile and the share of errors; what is left over at the end joins
//! the last pool. Pooling never looks at results, so it favours nobody. In a whole recording with too few operations one that is out of
//! place decides nothing, two fail; without them the layer is untested, which is no pass.
//!
//! Goodput is compared with those operations whose time is up. At the end of a window some are rightly still under way, and more so
//! where the rate rises: an operation under way counts as bad once it is older than the latency limit. Seconds are whole, so it has
//! until the next full one.
//!
//! **Tiers and recovery.** Each tier is judged by its own windows together, and the time is taken that the layer needs to keep its SLO for
//! good once demand beyond its reserve is over.
//!
//! What the generator could not send, or failed at by itself, is nobody's error but its own: [`super::validity`] judges it.

use std::collections::BTreeMap;

use crate::journey::Kind;
use crate::profile::{Layer, LayerEnvelope};
use crate::record::{Counts, Recording, Row, histogram};

use super::flow::{ARRIVED_AT_LEAST, WINDOW, arrived_share, counts, latency_from_due};
use super::stats::{allowance, longer_than, quantile_seconds, share, smallest_sample};
use super::summary::{Breach, Finding, Judgement, Recovery, Tier, TierJudgement};

/// Some consecutive windows, pooled.
struct Pool {
    at: u64,
    windows: usize,
    counts: Counts,
    /// Highest goodput of one of them, operations per second.
    goodput: f64,
    /// Operations that are still under way and late when the pool ends.
    overdue: u64,
    due: hdrhistogram::Histogram<u64>,
}

impl Pool {
    /// Nothing yet, from this second on.
    fn empty(at: u64) -> Self {
        Self { at, windows: 0, counts: Counts::default(), goodput: 0.0, overdue: 0, due: histogram() }
    }

    fn join(&mut self, later: &Self) {
        self.windows += later.windows;
        self.counts += &later.counts;
        self.goodput = self.goodput.max(later.goodput);
        self.overdue = later.overdue;
        // All histograms have the same shape: adding cannot fail.
        _ = self.due.add(&later.due);
    }

    /// Operations of which it is known whether they were good in time.
    fn known(&self) -> u64 {
        self.counts.ok + self.bad()
    }

    /// Operations that the target failed.
    fn bad(&self) -> u64 {
        self.counts.failed.by_target() + self.overdue
    }

    fn breach(&self, promise: &LayerEnvelope) -> Option<Breach> {
        let slo = &promise.slo;
        let bad = self.bad();
        if bad > allowance(slo.errors, self.known()) {
            return Some(Breach::Errors { observed: share(bad, self.known()), allowed: slo.errors });
        }
        let late = longer_than(&self.due, slo.limit);
        (late > allowance(1.0 - slo.quantile, self.due.len())).then(|| Breach::Latency {
            observed_seconds: quantile_seconds(&self.due, slo.quantile).unwrap_or(0.0),
            limit_seconds: slo.limit.as_secs_f64(),
        })
    }
}

/// A layer against its promise.
pub(super) struct Judged {
    pub(super) judgement: Judgement,
    /// The rates that it was asked, in order of time.
    pub(super) tested: Vec<Tested>,
}

/// A rate that a layer was asked for a while, retries included, and whether it kept its SLO then.
pub(super) struct Tested {
    pub(super) offered_per_second: f64,
    pub(super) kept: bool,
}

/// Judges a layer of a recording.
pub(super) fn judged(recording: &Recording, layer: Layer, promise: &LayerEnvelope) -> Judged {
    let mut judged = judge(&recording.rows, layer, promise);
    let finding = &mut judged.judgement.finding;
    if matches!(finding, Finding::Pass | Finding::Untested { .. })
        && let Some(starved) = starved(recording, layer)
    {
        *finding = starved;
    }
    judged
}

/// Judges what a layer was asked.
fn judge(rows: &[Row], layer: Layer, promise: &LayerEnvelope) -> Judged {
    let of = |kind: Kind| kind.is_operation_of(layer);
    let rates: Vec<f64> = rows
        .chunks_exact(WINDOW)
        .map(|window| counts(window, of).first_tries() as f64 / WINDOW as f64)
        .collect();
    let tiers = tiers(&rates, promise);
    let required = rates.iter().copied().fold(0.0, f64::max);
    let headroom = 1.0 - required / promise.reserve;

    let needed = needed(promise);
    let windows = windows(rows, of, promise);
    let by_tier = by_tier(&windows, &tiers, needed, promise);
    let pools = pools(windows, needed);
    let met = pools.iter().filter(|pool| pool.breach(promise).is_none());
    let goodput = met.map(|pool| pool.goodput);
    let slowest = pools.iter().filter_map(|pool| quantile_seconds(&pool.due, promise.slo.quantile));
    let judgement = Judgement {
        finding: finding(&pools, &tiers, needed, promise),
        tier: tiers.iter().copied().flatten().max(),
        required_per_second: required,
        sustained_per_second: goodput.reduce(f64::max).filter(|rate| *rate > 0.0),
        worst_quantile_seconds: slowest.reduce(f64::max),
        headroom,
        headroom_short: headroom < promise.headroom,
        tiers: by_tier,
        recovery: recovery(&pools, &tiers, promise),
    };
    let tested = |pool: &Pool| Tested {
        offered_per_second: pool.counts.planned as f64 / (pool.windows * WINDOW) as f64,
        kept: pool.breach(promise).is_none(),
    };
    Judged { judgement, tested: pools.iter().map(tested).collect() }
}

/// How the windows of each tier did, pooled whenever they were.
fn by_tier(
    windows: &[Pool],
    tiers: &[Option<Tier>],
    needed: u64,
    promise: &LayerEnvelope,
) -> Vec<TierJudgement> {
    let mut pools: BTreeMap<Tier, Pool> = BTreeMap::new();
    for window in windows {
        let Some(tier) = tiers.get(window.at as usize / WINDOW).copied().flatten() else { continue };
        let pool = pools.entry(tier).or_insert_with(|| Pool::empty(window.at));
        // What is overdue at its end belongs to this window alone.
        let overdue = pool.overdue + window.overdue;
        pool.join(window);
        pool.overdue = overdue;
    }
    let judge = |(tier, pool): (Tier, Pool)| TierJudgement {
        tier,
        seconds: pool.windows * WINDOW,
        operations: pool.known(),
        kept: (pool.known() >= needed).then(|| pool.breach(promise).is_none()),
        quantile_seconds: quantile_seconds(&pool.due, promise.slo.quantile),
    };
    pools.into_iter().map(judge).collect()
}

/// How the layer came back from the last demand beyond its reserve, by whole pools. Where nothing was asked of it any more, as after
/// the end of the plan, nobody can tell.
fn recovery(pools: &[Pool], tiers: &[Option<Tier>], promise: &LayerEnvelope) -> Option<Recovery> {
    let over = tiers.iter().rposition(|tier| *tier == Some(Tier::Beyond))? + 1;
    if tiers[over..].iter().all(Option::is_none) {
        return None;
    }
    let over = (over * WINDOW) as u64;
    let after: Vec<&Pool> = pools.iter().filter(|pool| pool.at >= over).collect();
    let last_broken = after.iter().rposition(|pool| pool.breach(promise).is_some());
    let first_kept = after.get(last_broken.map_or(0, |last| last + 1));
    let after_seconds = first_kept.map(|pool| (pool.at - over) as f64);
    let allowed_seconds = promise.recovery.map(|allowed| allowed.as_secs_f64());
    let kept = allowed_seconds.is_none_or(|allowed| after_seconds.is_some_and(|after| after <= allowed));
    Some(Recovery { after_seconds, allowed_seconds, kept })
}

/// Operations that it takes to judge a layer.
fn needed(promise: &LayerEnvelope) -> u64 {
    smallest_sample(1.0 - promise.slo.quantile).max(smallest_sample(promise.slo.errors))
}

/// Whether too little of what was planned for a layer came to be asked of it. Only a plan that came to its end can tell.
fn starved(recording: &Recording, layer: Layer) -> Option<Finding> {
    let whole = recording.finished && recording.stopped_at_seconds.is_none();
    let arrived = arrived_share(recording, layer).filter(|share| whole && *share < ARRIVED_AT_LEAST);
    arrived.map(|arrived_share| Finding::Starved { arrived_share })
}

fn finding(pools: &[Pool], tiers: &[Option<Tier>], needed: u64, promise: &LayerEnvelope) -> Finding {
    let beyond =
        tiers.iter().position(|tier| *tier == Some(Tier::Beyond)).map(|window| (window * WINDOW) as u64);
    let broken = pools.iter().find_map(|pool| Some((pool.at, pool.breach(promise)?)));
    let operations = pools.iter().map(Pool::known).sum();
    match (broken, beyond) {
        // What breaks only once the demand is beyond the promise breaks no promise.
        (Some((at_seconds, breach)), beyond) if beyond.is_none_or(|beyond| at_seconds < beyond) => {
            Finding::Fail { at_seconds, breach }
        }
        (_, Some(at_seconds)) => Finding::Exceeded { at_seconds },
        _ if operations < needed => Finding::Untested { operations, needed },
        _ => Finding::Pass,
    }
}

/// The tier of every window; `None` where nothing was asked.
fn tiers(rates: &[f64], promise: &LayerEnvelope) -> Vec<Option<Tier>> {
    let mut above_base = 0;
    let tier = |&rate: &f64| {
        above_base = if rate > promise.base { above_base + WINDOW } else { 0 };
        let too_long = above_base as f64 > promise.burst_for.as_secs_f64();
        (rate > 0.0).then(|| self::tier(rate, promise, !too_long))
    };
    rates.iter().map(tier).collect()
}

/// The tier of a rate in operations per second, while a burst may last or no more.
pub(super) fn tier(rate: f64, promise: &LayerEnvelope, may_burst: bool) -> Tier {
    match rate {
        _ if rate <= promise.base => Tier::Base,
        _ if rate <= promise.burst && may_burst => Tier::Burst,
        _ if rate <= promise.reserve => Tier::Reserve,
        _ => Tier::Beyond,
    }
}

/// The windows in which something was known, each a pool of its own.
fn windows(rows: &[Row], of: impl Fn(Kind) -> bool + Copy, promise: &LayerEnvelope) -> Vec<Pool> {
    let grace = promise.slo.limit.as_secs_f64().ceil() as usize;
    let mut open = 0;
    let mut windows = Vec::new();
    for (number, window) in rows.chunks_exact(WINDOW).enumerate() {
        let end = (number + 1) * WINDOW;
        let counts = counts(window, of);
        open += counts.planned;
        open -= counts.shed + counts.settled();
        let in_time = self::counts(&rows[end.saturating_sub(grace)..end], of).planned;
        let due = latency_from_due(window, of);
        let at = (number * WINDOW) as u64;
        let goodput = counts.ok as f64 / WINDOW as f64;
        windows.push(Pool { at, windows: 1, counts, goodput, overdue: open.saturating_sub(in_time), due });
    }
    windows.retain(|window| window.known() > 0);
    windows
}

/// Joins windows until each pool knows enough.
fn pools(windows: Vec<Pool>, needed: u64) -> Vec<Pool> {
    let mut pools: Vec<Pool> = Vec::new();
    for window in windows {
        match pools.last_mut() {
            Some(last) if last.known() < needed => last.join(&window),
            _ => pools.push(window),
        }
    }
    if pools.len() > 1
        && pools.last().is_some_and(|last| last.known() < needed)
        && let (Some(rest), Some(last)) = (pools.pop(), pools.last_mut())
    {
        last.join(&rest);
    }
    pools
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::profile::Slo;

    fn promise() -> LayerEnvelope {
        LayerEnvelope {
            recovery: None,
            base: 10.0,
            burst: 20.0,
            burst_for: Duration::from_secs(10),
            reserve: 40.0,
            slo: Slo { quantile: 0.99, limit: Duration::from_millis(250), errors: 0.01 },
            headroom: 0.2,
            abort_on: None,
        }
    }

    #[test]
    fn a_burst_that_lasts_too_long_counts_as_reserve() {
        use Tier::{Base, Beyond, Burst, Reserve};
        let rates = [0.0, 5.0, 15.0, 15.0, 15.0, 5.0, 15.0, 30.0, 41.0];
        let expected = [
            None,
            Some(Base),
            Some(Burst),
            Some(Burst),
            Some(Reserve),
            Some(Base),
            Some(Burst),
            Some(Reserve),
            Some(Beyond),
        ];
        assert_eq!(tiers(&rates, &promise()), expected);
    }

    #[test]
    fn tiers_are_judged_apart_and_recovery_is_timed() {
        let window = |at: u64, ok: u64, late: u64| {
            let mut due = histogram();
            due.saturating_record_n(1_000, ok);
            due.saturating_record_n(900_000, late);
            let counts = Counts { ok: ok + late, ..Counts::default() };
            Pool { at, windows: 1, counts, goodput: 1.0, overdue: 0, due }
        };
        let tiers = [Tier::Base, Tier::Beyond, Tier::Base, Tier::Base, Tier::Base].map(Some);
        // Slow beyond the promise, and for one window after it.
        let seen = || {
            vec![
                window(0, 200, 0),
                window(5, 100, 100),
                window(10, 150, 50),
                window(15, 200, 0),
                window(20, 200, 0),
            ]
        };
        let judged = by_tier(&seen(), &tiers, 100, &promise());
        let told: Vec<_> = judged.iter().map(|it| (it.tier, it.seconds, it.operations, it.kept)).collect();
        assert_eq!(told, [(Tier::Base, 20, 800, Some(false)), (Tier::Beyond, 5, 200, Some(false))]);
        assert_eq!(by_tier(&seen(), &tiers, 300, &promise())[1].kept, None, "too few to judge");

        let recovered = |allowed: Option<u64>| {
            let promise = LayerEnvelope { recovery: allowed.map(Duration::from_secs), ..promise() };
            recovery(&seen(), &tiers, &promise).unwrap()
        };
        assert_eq!(recovered(None), Recovery { after_seconds: Some(5.0), allowed_seconds: None, kept: true });
        assert!(recovered(Some(5)).kept && !recovered(Some(4)).kept);
        assert_eq!(recovery(&seen(), &tiers[..2], &promise()), None, "it was not over by the end");
        let drained = [Some(Tier::Base), Some(Tier::Beyond), None, None, None];
        assert_eq!(recovery(&seen(), &drained, &promise()), None, "nothing was asked after it");
        let never = &seen()[..3];
        assert_eq!(recovery(never, &tiers, &promise()).unwrap().after_seconds, None);
    }

    #[test]
    fn windows_are_pooled_until_they_know_enough() {
        let window = |at: u64, ok: u64| {
            let mut due = histogram();
            due.saturating_record_n(1000, ok);
            let counts = Counts { ok, ..Counts::default() };
            Pool { at, windows: 1, counts, goodput: ok as f64, overdue: 0, due }
        };
        let pools =
            pools([60, 60, 200, 30, 30].iter().zip(0..).map(|(&ok, at)| window(at, ok)).collect(), 100);
        let seen: Vec<_> =
            pools.iter().map(|pool| (pool.at, pool.windows, pool.known(), pool.goodput)).collect();
        assert_eq!(seen, [(0, 2, 120, 60.0), (2, 3, 260, 200.0)]);
    }
}

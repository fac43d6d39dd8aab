//! When a layer fell behind, what it carried then, and when it caught up.
//!
//! **Falling behind.** Each second has a shortfall: what the target failed, and by how much what is under way grew beyond what it
//! ought to be at that rate. A cumulative sum (Page, Biometrika 1954) of the shortfalls, less the 1 % that goodput may be below the
//! offer, raises an alarm when it is above what chance explains: arrivals and departures that are Poisson let a backlog wander by
//! √(2n) over n of them, and more than four times that is no chance. The layer fell behind in the second after the sum had last been
//! zero. A straight line through the backlog fails at exactly the capacity, where it grows like √t; this does not ask for a line.
//!
//! **What it carried.** A layer that is behind does what it can: its capacity is its goodput while it was. Not all of that where a part
//! is clearly more: work that nobody waits for any more crowds out the rest later, and goodput falls. The best of many stretches is best
//! by luck, too: it is looked for in every other second, and measured in those between.

use std::ops::Range;

use crate::analysis::flow::WINDOW;

use super::series::Second;

/// Goodput below this share of the offer is a shortfall.
pub(super) const GOOD_AT_LEAST: f64 = 0.99;
/// Standard deviations that chance is given.
const SIGMAS: f64 = 4.0;
/// Standard deviations by which a longer stretch may be below a shorter one. More would count a slow decline in, less would have
/// more shorter ones, of which less is known: of 1, 1.5 and 2 this came nearest to the truth on 144 random cases.
const LESS: f64 = 1.5;
/// Operations that decide nothing.
pub(super) const FEW: f64 = 10.0;
/// Seconds without shortfall after which a layer has caught up.
const CALM: usize = 3;

/// A time in which a layer was behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Episode {
    /// Second in which it fell behind.
    pub(super) from: usize,
    /// Second after the last in which it was; the end of the series where it never caught up.
    pub(super) until: usize,
    /// Whether it caught up.
    pub(super) recovered: bool,
}

/// What a layer does when it is not behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calm {
    /// Mean seconds from due to the end.
    pub(super) time: f64,
    /// Share that fails whatever the load.
    pub(super) failing: f64,
}

/// What a layer does when it is not behind; `None` where nothing ended.
pub(super) fn calm(seconds: &[Second]) -> Option<Calm> {
    let mut asked: Vec<&Second> = seconds.iter().filter(|second| second.ended() > 0.0).collect();
    asked.sort_by(|one, other| one.offered.total_cmp(&other.offered));
    let (low, high) = asked.split_at(asked.len().div_ceil(3));
    let thirds = [low, &high[high.len() / 2..]];
    let [low_rate, high_rate] = thirds.map(|third| Second::mean(third.iter().copied()).offered);
    let [low, high] = thirds.map(|third| Second::sum(third.iter().copied()));
    let [below, above] = [low, high].map(|third| third.bad / third.ended().max(1.0));
    // A limit lets a larger share fail the more is asked; what fails at every rate alike has another reason. At one rate nobody can tell.
    let is_everywhere = low.ended() >= 100.0
        && are_too_many(low.bad, low.ended())
        && above < 1.5 * below
        && high_rate > 1.3 * low_rate;
    if is_everywhere {
        // What times out belongs to what things take.
        return Some(Calm { time: low.time / low.ended(), failing: below });
    }
    Some(Calm { time: quickest(seconds)?, failing: 0.0 })
}

/// Mean time of three seconds on end in which things were quickest, and a fifth more, since they hold few: a layer that is behind from
/// the beginning has no other. Not of the first seconds, in which only what is quick has ended; nor of those in which most failed,
/// unless most always did.
fn quickest(seconds: &[Second]) -> Option<f64> {
    const ENDED: f64 = 6.0;
    let three: Vec<(usize, Second)> =
        seconds.windows(seconds.len().clamp(1, 3)).map(Second::sum).enumerate().collect();
    let enough = three.iter().map(|(_, three)| three.ended()).fold(0.0, f64::max).clamp(1.0, 50.0);
    let told = |bad_at_most: f64| -> Vec<(usize, f64)> {
        let tells = |three: &Second| three.ended() >= enough && three.bad <= bad_at_most * three.ended();
        let telling = three.iter().filter(|(_, three)| tells(three));
        telling.map(|(at, three)| (*at, three.time / three.ended())).collect()
    };
    let told = Some(told(0.5)).filter(|told| !told.is_empty()).unwrap_or_else(|| told(1.0));
    let late = told.iter().filter(|(at, time)| *at as f64 >= ENDED * time);
    let least = late.map(|(_, time)| *time).reduce(f64::min);
    least.or_else(|| told.iter().map(|(_, time)| *time).reduce(f64::min)).map(|time| 1.2 * time)
}

/// Whether more of so many were bad than a layer may that does well, by more than chance.
pub(super) fn are_too_many(bad: f64, all: f64) -> bool {
    let expected = (1.0 - GOOD_AT_LEAST) * all;
    bad > FEW + expected + SIGMAS * expected.sqrt()
}

/// What ought to be under way at the end of each second: at the highest of the rates of as many seconds as things may take, since what
/// came in a busier time is still there.
fn natural(seconds: &[Second], calm: Calm) -> Vec<f64> {
    let back = ((3.0 * calm.time).ceil() as usize).max(1);
    let rate = |end: usize| {
        let recent = &seconds[(end + 1).saturating_sub(back)..=end];
        Second::mean(recent).offered.max(seconds[end].offered)
    };
    (0..seconds.len()).map(|end| rate(end) * calm.time).collect()
}

/// The times in which a layer was behind.
pub(super) fn episodes(seconds: &[Second], calm: Calm) -> Vec<Episode> {
    let natural = natural(seconds, calm);
    let excess = |at: usize| (seconds[at].under_way - natural[at]).max(0.0);
    let mut found = Vec::new();
    let (mut sum, mut since, mut count) = (0.0, 0, 0.0);
    let mut at = 0;
    while at < seconds.len() {
        let second = &seconds[at];
        let before = if at == 0 { 0.0 } else { excess(at - 1) };
        let failed = (second.bad - calm.failing * second.ended()).max(0.0);
        sum += failed + excess(at) - before - (1.0 - GOOD_AT_LEAST) * second.offered;
        count += second.offered;
        if sum <= 0.0 {
            (sum, since, count) = (0.0, at + 1, 0.0);
        } else if sum > FEW + SIGMAS * (2.0 * count).sqrt() {
            let end = (at + 1..seconds.len()).find(|&end| is_calm(seconds, &natural, calm, end));
            found.push(Episode {
                from: since,
                until: end.unwrap_or(seconds.len()),
                recovered: end.is_some(),
            });
            at = end.map_or(seconds.len(), |end| end + CALM - 1);
            (sum, since, count) = (0.0, at + 1, 0.0);
        }
        at += 1;
    }
    found
}

/// Whether from this second on some go by in which nothing is amiss.
fn is_calm(seconds: &[Second], natural: &[f64], calm: Calm, from: usize) -> bool {
    let until = from + CALM;
    until <= seconds.len()
        && (from..until).all(|at| {
            let second = &seconds[at];
            let failing = (1.0 - GOOD_AT_LEAST + calm.failing) * second.ended();
            let under_way = FEW + 2.0 * natural[at] + SIGMAS * natural[at].sqrt();
            second.bad <= 2.0 + failing + SIGMAS * failing.sqrt() && second.under_way <= under_way
        })
}

/// What a layer did over some seconds, each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Carried {
    /// Operations that ended well.
    pub(super) good: f64,
    /// Payload bytes.
    pub(super) bytes: f64,
    /// Operations that it rests on.
    pub(super) count: f64,
}

/// What was carried in an episode, in operations and in bytes: bytes that came for nobody in the end were carried too. `None` where
/// nothing was.
pub(super) fn carried(seconds: &[Second], episode: Episode) -> Option<Carried> {
    let seconds = &seconds[episode.from..episode.until];
    let good = steady(seconds, |second| second.good)?;
    let bytes = steady(seconds, |second| second.bytes).map_or(0.0, |stretch| stretch.mean);
    Some(Carried { good: good.mean, bytes, count: good.count })
}

/// What was measured over a stretch.
#[derive(Clone, Copy)]
struct Stretch {
    /// What there was each second.
    mean: f64,
    /// Operations that ended well.
    count: f64,
}

impl Stretch {
    fn over(seconds: &[&Second], of: impl Fn(&Second) -> f64) -> Self {
        let held: f64 = seconds.iter().map(|second| of(second)).sum();
        let count = seconds.iter().map(|second| second.good).sum();
        Self { mean: held / seconds.len() as f64, count }
    }
}

/// The longest of the best stretches that is no worse, but for chance, than the best that holds a quarter of all.
fn steady(seconds: &[Second], of: impl Fn(&Second) -> f64) -> Option<Stretch> {
    let quarter = unbiased(seconds, &of, 0.25)?;
    let longer = [0.75, 0.5].into_iter().filter_map(|part| unbiased(seconds, &of, part));
    let chance = |longer: &Stretch| LESS * (1.0 / quarter.count - 1.0 / longer.count).max(0.0).sqrt();
    let mut longer = longer.filter(|longer| longer.mean >= quarter.mean * (1.0 - chance(longer)));
    longer.next().or(Some(quarter))
}

/// What there was in the best stretch that holds this part of all. Of the best of many the luck is a part: so it is looked for in every
/// other second, and measured in those between; and the other way round.
fn unbiased(seconds: &[Second], of: impl Fn(&Second) -> f64, part: f64) -> Option<Stretch> {
    let halves = [0, 1].map(|odd| {
        let chosen = |at: usize| at % 2 == odd;
        let stretch = best(seconds, |at| if chosen(at) { of(&seconds[at]) } else { 0.0 }, part)?;
        let between: Vec<_> = stretch.filter(|at| !chosen(*at)).map(|at| &seconds[at]).collect();
        Some(Stretch::over(&between, &of)).filter(|it| between.len() >= 2 && it.count > 0.0)
    });
    match halves {
        [Some(one), Some(other)] => {
            Some(Stretch { mean: one.mean.midpoint(other.mean), count: one.count + other.count })
        }
        // Too short for that.
        _ => {
            let whole: Vec<_> = seconds[best(seconds, |at| of(&seconds[at]), part)?].iter().collect();
            Some(Stretch::over(&whole, &of))
        }
    }
}

/// The stretch with the most a second of those that hold this part of all that there was: from one second until before another.
fn best(seconds: &[Second], of: impl Fn(usize) -> f64, part: f64) -> Option<Range<usize>> {
    let wanted = part * (0..seconds.len()).map(&of).sum::<f64>();
    let (mut from, mut held) = (0, 0.0);
    let mut best: Option<(f64, Range<usize>)> = None;
    for until in 1..=seconds.len() {
        held += of(until - 1);
        // Sums of parts differ in their last digits.
        while from + 1 < until && held - of(from) >= wanted * (1.0 - 1e-9) {
            held -= of(from);
            from += 1;
        }
        let mean = held / (until - from) as f64;
        if held > 0.0 && held >= wanted * (1.0 - 1e-9) && best.as_ref().is_none_or(|(most, _)| mean > *most) {
            best = Some((mean, from..until));
        }
    }
    best.map(|(_, stretch)| stretch)
}

/// The most that was carried over five seconds on end, or over all where there are fewer; `None` where nothing was.
pub(super) fn most(seconds: &[Second]) -> Option<Carried> {
    let length = WINDOW.min(seconds.len()).max(1);
    let most = seconds.windows(length).map(Second::mean).max_by(|one, other| one.good.total_cmp(&other.good));
    let most = most.filter(|most| most.good > 0.0)?;
    Some(Carried { good: most.good, bytes: most.bytes, count: most.good * length as f64 })
}

/// Whether all that a layer does in an episode is to take longer: nothing fails, never more waits than at its end, and what waits then is what
/// things take that end. What is asked more than it carries lets ever more wait, or fails.
pub(super) fn only_takes_longer(seconds: &[Second], episode: Episode) -> bool {
    let stretch = &seconds[episode.from..episode.until];
    let (earlier, later) = stretch[stretch.len() / 2..].split_at(stretch.len().div_ceil(2) / 2);
    let [(before, _), (after, ended)] = [earlier, later].map(|part| {
        let length = part.len().max(1) as f64;
        let sum = Second::sum(part);
        (part.iter().map(|second| second.under_way).sum::<f64>() / length, (sum.time / length, sum.good))
    });
    let most = stretch.iter().map(|second| second.under_way).fold(0.0, f64::max);
    let whole = Second::sum(stretch);
    // Little's law: what is under way is what ends in a second, times what it took.
    let (explained, good) = ended;
    !episode.recovered
        && earlier.len() >= WINDOW
        && good > 0.0
        && !are_too_many(whole.bad, whole.ended())
        && (after - before).abs() <= 2.0 * before.sqrt()
        && most <= after + SIGMAS * after.sqrt()
        && after <= 1.2 * explained + FEW
}

/// The share of what was offered in an episode that did not end well, where that is the same whatever the rate: no matter of load. 0 where
/// all of it takes long and none is lost; `None` where the share grows with the rate, or all rates were too alike to tell.
pub(super) fn steady_loss(seconds: &[Second], episode: Episode) -> Option<f64> {
    let mut seconds: Vec<&Second> = seconds[episode.from..episode.until].iter().collect();
    let (all, last) = (Second::sum(seconds.iter().copied()), *seconds.last()?);
    seconds.sort_by(|one, other| one.offered.total_cmp(&other.offered));
    let (low, high) = seconds.split_at(seconds.len() / 2);
    let [low_rate, high_rate] = [low, high].map(|half| Second::mean(half.iter().copied()).offered);
    let good = |half: &[&Second]| {
        let sum = Second::sum(half.iter().copied());
        sum.good / sum.offered.max(1.0)
    };
    let alike = good(high) >= 0.95 * good(low) && high_rate > 1.3 * low_rate && low.len() >= 5;
    // Where next to nothing fails, what is not older than things take there is not lost.
    let next_to_nothing = all.bad <= (1.0 - GOOD_AT_LEAST) * all.ended();
    let on_its_way = last.under_way.min(2.0 * last.offered * all.time / all.ended().max(1.0));
    let lost = 1.0 - (all.good + if next_to_nothing { on_its_way } else { 0.0 }) / all.offered.max(1.0);
    let lost = Some(lost).filter(|lost| *lost > 1.0 - GOOD_AT_LEAST).unwrap_or(0.0);
    alike.then_some(lost)
}

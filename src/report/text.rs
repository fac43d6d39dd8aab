//! The report on a terminal: the verdict first, then what it rests on. At most 100 columns.

use std::collections::BTreeMap;

use crate::analysis::{
    Breach, Fault, Finding, Flow, Judgement, LayerSummary, Recovery, Summary, TierJudgement, Verdict,
};
use crate::journey::{Cause, Kind, Oddity, Web};
use crate::plan::Stage;
use crate::profile::LayerEnvelope;
use crate::record::{AbortCondition, Aborted};
use crate::scenario::VariantName;

use super::doctor;
use super::quantity::{percent, rate, seconds, three_digits};
use super::resources;
use super::saturation;
use super::scorecard;
use super::swarm;
use super::table::{Align, grouped, table};

const GREEN: &str = "\u{1b}[32m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

/// The whole report; with ANSI colours where `color`.
#[must_use]
pub fn text(summary: &Summary, color: bool) -> String {
    let sections = [
        verdict(summary),
        layers(summary),
        saturation::text(summary),
        scorecard::text(&summary.scorecards),
        stages(summary),
        latencies(summary),
        swarm::text(summary),
        generator(summary),
        resources::text(summary),
        rest(summary),
    ];
    let text = sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n");
    if color { colored(&text) } else { text }
}

/// Colours the mark at the beginning of a line.
pub(super) fn colored(text: &str) -> String {
    let line = |line: &str| {
        let tint = match line.chars().next() {
            Some('✓') => GREEN,
            Some('✗') => RED,
            Some('?' | '!') => YELLOW,
            _ => return format!("{line}\n"),
        };
        let end = line.find(' ').unwrap_or(line.len());
        format!("{tint}{}{PLAIN}{}\n", &line[..end], &line[end..])
    };
    text.lines().map(line).collect()
}

/// The verdict, and what led to it.
pub(super) fn verdict(summary: &Summary) -> String {
    let mark = match summary.verdict {
        Verdict::Pass => '✓',
        Verdict::Inconclusive => '?',
        _ => '✗',
    };
    let run = &summary.manifest;
    let mode = if run.isolated { ", isolated" } else { "" };
    let warnings: Vec<String> = summary.layers.iter().filter_map(|layer| warning(summary, layer)).collect();
    let warned = summary.verdict == Verdict::Pass && !warnings.is_empty();
    let mut text = format!(
        "{mark} {}{}: {}\n  {} ({}{mode}) on {}, {} world, seed {}, {} worker(s), {} s recorded\n",
        summary.verdict.name().to_uppercase(),
        if warned { " with warnings" } else { "" },
        summary.verdict.meaning(),
        run.scenario,
        variant(run.variant),
        run.target,
        run.world.name(),
        run.seed,
        run.workers,
        summary.recorded_seconds,
    );
    if let Some(aborted) = &summary.aborted {
        text += &format!("✗ {}\n", stopped(aborted, summary));
    } else if let Some(at) = summary.stopped_at_seconds {
        let length = run.length.as_secs_f64();
        text += &match at as f64 {
            at if at < length => {
                format!("? interrupted at {at} of {length:.0} s: the rest was never asked\n")
            }
            at => format!("? interrupted at {at} s, while draining\n"),
        };
    }
    for fault in &summary.generator.faults {
        text += &format!("✗ generator: {}\n", fault_text(fault));
    }
    for shortage in &summary.generator.shortages {
        let when = if shortage.certain { "" } else { "foreseen: " };
        text += &format!("  {when}{}\n", doctor::shortage(shortage));
    }
    if !summary.generator.faults.is_empty() {
        text += &at_least(summary);
    }
    for layer in &summary.layers {
        let finding = layer.judgement.as_ref().map(|judgement| &judgement.finding);
        let promise = summary.manifest.envelope.layers.get(&layer.layer);
        if let (Some(finding), Some(promise)) = (finding, promise)
            && let Some(why) = broken(finding, promise)
        {
            text += &format!("{} {}: {why}\n", mark_of(finding), layer.layer.name());
        }
    }
    text.extend(warnings);
    if !summary.order.is_empty() {
        text += &saturation::lines(summary);
    }
    if summary.unsettled > 0 {
        text += &format!("? {} journeys and operations have no known end\n", summary.unsettled);
    }
    for note in &summary.notes {
        text += &format!("? {note}\n");
    }
    if summary.verdict == Verdict::Inconclusive {
        text += &hints(summary);
    }
    text
}

/// What a run that its generator limited still says of each layer.
fn at_least(summary: &Summary) -> String {
    let kept = |layer: &LayerSummary| {
        let sustained = layer.judgement.as_ref().and_then(|judgement| judgement.sustained_per_second);
        let good = rate(sustained.unwrap_or(layer.flow.goodput_per_second));
        format!("  {}: at least {good}\n", layer.layer.name())
    };
    summary.layers.iter().map(kept).collect()
}

/// What ended the run early, and what would have had to.
fn stopped(aborted: &Aborted, summary: &Summary) -> String {
    let Aborted { at_seconds, layer, over_seconds, condition } = aborted;
    let did = match condition {
        AbortCondition::Errors { observed, limit } => {
            format!("failed {} over {over_seconds} s (abort_on {})", percent(*observed), percent(*limit))
        }
        AbortCondition::Latency { observed_seconds, limit_seconds } => {
            let promise = summary.manifest.envelope.layers.get(layer);
            let quantile = promise.map_or_else(|| "latency".to_owned(), |it| quantile_name(it.slo.quantile));
            let [observed, limit] = [*observed_seconds, *limit_seconds].map(|s| seconds(Some(s)));
            format!("{quantile} {observed} over {over_seconds} s (abort_on {limit})")
        }
    };
    format!("stopped at {at_seconds} s: {} {did}", layer.name())
}

/// Less headroom than the target's profile demands.
fn warning(summary: &Summary, layer: &LayerSummary) -> Option<String> {
    let judgement = layer.judgement.as_ref().filter(|judgement| judgement.headroom_short)?;
    let demanded = summary.manifest.envelope.layers.get(&layer.layer)?.headroom;
    let (name, headroom) = (layer.layer.name(), percent(judgement.headroom));
    let kept = matches!(judgement.finding, Finding::Pass);
    kept.then(|| format!("! {name}: headroom {headroom}, the profile demands {}\n", percent(demanded)))
}

/// What would make an inconclusive run conclusive.
fn hints(summary: &Summary) -> String {
    let findings = || summary.layers.iter().filter_map(|layer| Some(&layer.judgement.as_ref()?.finding));
    let hints = [
        (findings().next().is_none(), "give the target's profile an [envelope] to be judged by"),
        (
            !summary.finished || summary.stopped_at_seconds.is_some(),
            "only a run that comes to its end can pass",
        ),
        (
            findings().any(|finding| matches!(finding, Finding::Starved { .. })),
            "mend what failed upstream, or drive every stage at its planned rate with --isolated",
        ),
        (
            findings().any(|finding| matches!(finding, Finding::Untested { .. })),
            "ask for more operations: a longer --window, a lower --speed or a higher --scale",
        ),
    ];
    let told = hints.into_iter().filter(|(applies, _)| *applies);
    told.map(|(_, hint)| format!("  hint: {hint}\n")).collect()
}

fn fault_text(fault: &Fault) -> String {
    match fault {
        Fault::Shed { sent_share } => format!("only {} of the plan was sent", percent(*sent_share)),
        Fault::Lag { p99_seconds } => format!("p99 of the send lag is {}", seconds(Some(*p99_seconds))),
        Fault::Ceiling { operations } => {
            format!("the ceiling of the authorisation was reached: {operations} operations were not sent")
        }
        Fault::LocalErrors { share } => format!(
            "descriptors or ports ran out for {} of operations: raise `ulimit -n`, lower --scale",
            percent(*share)
        ),
        Fault::Cpu { cores_per_worker } => {
            format!("a worker took {} of a core at the peak", percent(*cores_per_worker))
        }
    }
}

fn layers(summary: &Summary) -> String {
    let head = ["", "layer", "tier", "required", "sustained", "worst / SLO", "headroom", "note"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let at_least = if summary.generator.faults.is_empty() { "" } else { "≥ " };
    for layer in &summary.layers {
        let promise = summary.manifest.envelope.layers.get(&layer.layer);
        rows.push(match (&layer.judgement, promise) {
            (Some(judgement), Some(promise)) => layer_row(layer, judgement, promise, at_least),
            _ => without_promise(layer),
        });
    }
    use Align::{Left, Right};
    let mut text = table(&[Left, Left, Left, Right, Right, Right, Right, Left], &rows);
    if let Some(nearest) = summary.nearest {
        text += &format!("  nearest to its limit: {}\n", nearest.name());
    }
    for layer in &summary.layers {
        text.extend(layer.judgement.iter().filter_map(|judgement| by_tier(layer, judgement)));
        text.extend(layer.judgement.iter().filter_map(|judgement| recovery(layer, judgement)));
    }
    text
}

/// How a layer did tier by tier, where it was in several and did not keep all.
fn by_tier(layer: &LayerSummary, judgement: &Judgement) -> Option<String> {
    let told = |tier: &TierJudgement| {
        let (mark, quantile) =
            (tier.kept.map_or('?', |kept| if kept { '✓' } else { '✗' }), tier.quantile_seconds);
        format!("{} {mark} {} ({} s)", tier.tier.name(), seconds(quantile), tier.seconds)
    };
    let all_kept = judgement.tiers.iter().all(|tier| tier.kept == Some(true));
    let tiers: Vec<String> = judgement.tiers.iter().map(told).collect();
    (!all_kept && tiers.len() > 1).then(|| format!("  {}: {}\n", layer.layer.name(), tiers.join(", ")))
}

/// How it came back from demand beyond its reserve.
fn recovery(layer: &LayerSummary, judgement: &Judgement) -> Option<String> {
    let Recovery { after_seconds, allowed_seconds, kept } = judgement.recovery.as_ref()?;
    let mark = if *kept { ' ' } else { '✗' };
    let after =
        after_seconds.map_or("did not recover".to_owned(), |after| format!("recovered after {after:.0} s"));
    let allowed = allowed_seconds.map_or(String::new(), |allowed| format!(", promised {allowed:.0} s"));
    Some(format!("{mark} {}: {after} from demand beyond its reserve{allowed}\n", layer.layer.name()))
}

fn layer_row(
    layer: &LayerSummary,
    judgement: &Judgement,
    promise: &LayerEnvelope,
    at_least: &str,
) -> Vec<String> {
    let slo = &promise.slo;
    let short = judgement.headroom_short && judgement.finding == Finding::Pass;
    let note = match &judgement.finding {
        Finding::Pass if short => format!("headroom below {}", percent(promise.headroom)),
        Finding::Pass => String::new(),
        Finding::Fail { breach: Breach::Latency { .. }, .. } => "too slow".to_owned(),
        Finding::Fail { breach: Breach::Errors { .. }, .. } => "too many errors".to_owned(),
        Finding::Exceeded { .. } => "beyond reserve".to_owned(),
        Finding::Starved { arrived_share } => format!("{} arrived", percent(*arrived_share)),
        Finding::Untested { operations, needed } => format!("{operations} of {needed} needed"),
    };
    vec![
        if short { '!' } else { mark_of(&judgement.finding) }.to_string(),
        layer.layer.name().to_owned(),
        judgement.tier.map_or("-", |tier| tier.name()).to_owned(),
        rate(judgement.required_per_second),
        judgement.sustained_per_second.map_or("-".to_owned(), |good| format!("{at_least}{}", rate(good))),
        format!(
            "{} {} / {}",
            quantile_name(slo.quantile),
            seconds(judgement.worst_quantile_seconds),
            seconds(Some(slo.limit.as_secs_f64()))
        ),
        percent(judgement.headroom),
        note,
    ]
}

const fn mark_of(finding: &Finding) -> char {
    match finding {
        Finding::Pass => '✓',
        Finding::Fail { .. } | Finding::Exceeded { .. } => '✗',
        Finding::Starved { .. } | Finding::Untested { .. } => '?',
    }
}

fn without_promise(layer: &LayerSummary) -> Vec<String> {
    let required = rate(layer.flow.peak_offered_per_second);
    let cells = ["", layer.layer.name(), "-", &required, "-", "-", "-", "no envelope"];
    cells.map(str::to_owned).to_vec()
}

/// How a promise was broken, with what was seen and what was promised, or why it could not be put to the test.
fn broken(finding: &Finding, promise: &LayerEnvelope) -> Option<String> {
    Some(match finding {
        Finding::Pass | Finding::Untested { .. } => return None,
        Finding::Starved { arrived_share } => format!(
            "only {} of what was planned arrived: failures upstream; never tested as planned",
            percent(*arrived_share)
        ),
        Finding::Exceeded { at_seconds } => {
            format!("at {at_seconds} s the demand was beyond the reserve of {}", rate(promise.reserve))
        }
        Finding::Fail { at_seconds, breach: Breach::Latency { observed_seconds, limit_seconds } } => format!(
            "at {at_seconds} s {} {} > {}",
            quantile_name(promise.slo.quantile),
            seconds(Some(*observed_seconds)),
            seconds(Some(*limit_seconds))
        ),
        Finding::Fail { at_seconds, breach: Breach::Errors { observed, allowed } } => {
            format!("at {at_seconds} s errors {} > {}", percent(*observed), percent(*allowed))
        }
    })
}

/// `p99`, `p99.9`.
pub(super) fn quantile_name(quantile: f64) -> String {
    format!("p{}", (quantile * 1e5).round() / 1e3)
}

fn stages(summary: &Summary) -> String {
    let head = [
        "", "stage", "planned", "retries", "offered", "peak", "achieved", "good", "shed", "failed", "cut",
        "causes",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for stage in &summary.stages {
        let Flow { counts, offered_per_second, peak_offered_per_second, .. } = &stage.flow;
        rows.push(vec![
            String::new(),
            stage.stage.name().to_owned(),
            counts.planned.to_string(),
            counts.retries.to_string(),
            rate(*offered_per_second),
            rate(*peak_offered_per_second),
            rate(stage.flow.achieved_per_second),
            rate(stage.flow.goodput_per_second),
            counts.shed.to_string(),
            counts.failed.total().to_string(),
            counts.cut.to_string(),
            causes(counts.failed.iter()),
        ]);
    }
    use Align::{Left, Right};
    let columns = [&[Left; 2][..], &[Right; 9], &[Left]].concat();
    table(&columns, &rows) + &loads(summary)
}

/// Which stage loads which layer, where the name does not say it.
fn loads(summary: &Summary) -> String {
    let of = |stage: Stage| {
        let kinds = summary.kinds.iter().map(|seen| seen.kind).filter(|kind| kind.stage() == stage);
        let mut layers: Vec<_> = kinds.map(|kind| kind.layer().name()).collect();
        layers.dedup();
        (!layers.is_empty() && layers != [stage.name()])
            .then(|| format!("{} → {}", stage.name(), layers.join(" + ")))
    };
    let others: Vec<_> = Stage::ALL.into_iter().filter_map(of).collect();
    format!("  layers: {}, others as named\n", others.join(", "))
}

/// The two most frequent causes, as many as fit.
fn causes(failures: impl Iterator<Item = (Cause, u64)>) -> String {
    let mut failures: Vec<_> = failures.collect();
    failures.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let named: Vec<_> = failures.iter().take(2).map(|(cause, _)| cause.name()).collect();
    let more = if failures.len() > 2 { " ..." } else { "" };
    named.join(" ") + more
}

fn latencies(summary: &Summary) -> String {
    let head = ["", "latency", "p50", "p90", "p99", "p99.9", "p50", "p99", "p99.9", "p99"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for stage in &summary.stages {
        let Flow { due, service, lag, .. } = &stage.flow;
        let figures = [
            due.p50_seconds,
            due.p90_seconds,
            due.p99_seconds,
            due.p999_seconds,
            service.p50_seconds,
            service.p99_seconds,
            service.p999_seconds,
            lag.p99_seconds,
        ];
        let name = [String::new(), stage.stage.name().to_owned()];
        rows.push(name.into_iter().chain(figures.map(seconds)).collect());
    }
    let columns = [&[Align::Left; 2][..], &[Align::Right; 8]].concat();
    let groups = [(2, ""), (4, "from due"), (3, "service alone"), (1, "lag")];
    grouped(&groups, &columns, &rows)
}

fn generator(summary: &Summary) -> String {
    let seen = &summary.generator;
    let cpu = seen.cpu_cores_per_worker.map_or("-".to_owned(), percent);
    format!(
        "  generator: sent {}, lag p99 {} (mean gap {}), own errors {}, CPU per worker {cpu}\n",
        percent(seen.sent_share),
        seconds(seen.lag_p99_seconds),
        seconds(seen.mean_gap_seconds),
        percent(seen.local_error_share),
    )
}

fn rest(summary: &Summary) -> String {
    let journeys = &summary.journeys;
    let mut text = format!(
        "  journeys: {} due, {} shed, {} done, {} gave up, {} cut\n",
        journeys.planned,
        journeys.shed,
        journeys.ok,
        journeys.failed.total(),
        journeys.cut
    );
    if let Some(check) = &summary.self_check {
        let off: Vec<_> = check.off.iter().map(|kind| kind.name()).collect();
        let result = if off.is_empty() { "ok".to_owned() } else { format!("off for {}", off.join(", ")) };
        let worst = format!("{} of {}", three_digits(check.ratio), check.worst.name());
        text += &format!("  self-check (Little's law): {result}; worst ratio {worst}, 1 is sound\n");
    }
    if let Some(queries) = queries_per_lookup(summary) {
        text += &format!("  DHT: {} queries a lookup, those of announces included\n", three_digits(queries));
    }
    if summary.foreign_peers > 0 {
        text += &format!("  foreign peers: {}, none contacted\n", summary.foreign_peers);
    }
    text += &web(&summary.web);
    if !summary.oddities.is_empty() {
        text += &format!("  odd answers: {}\n", oddities(&summary.oddities));
    }
    if let Some(directory) = &summary.directory {
        text += &format!("  files: {}\n", directory.display());
    }
    text
}

/// Where there was more than plain HTTP/1.1 without caches.
fn web(web: &Web) -> String {
    let mut text = String::new();
    if web.handshakes + web.http2 + web.http3 > 0 {
        let resumed = web.resumed as f64 / web.handshakes.max(1) as f64;
        text += &format!(
            "  web: HTTP/1.1 {}, HTTP/2 {}, HTTP/3 {} exchanges; {} TLS handshakes, {} resumed; {} QUIC handshakes\n",
            web.http1,
            web.http2,
            web.http3,
            web.handshakes,
            percent(resumed),
            web.quic
        );
    }
    if let Some(rate) = web.cache_hit_rate() {
        text += &format!("  caches: {} of {} answers\n", percent(rate), web.cache_hits + web.cache_misses);
    }
    text
}

/// KRPC queries that ended, by lookups and crawls that did.
fn queries_per_lookup(summary: &Summary) -> Option<f64> {
    let ended = |kind: Kind| {
        let counts = &summary.kinds.iter().find(|summary| summary.kind == kind)?.flow.counts;
        Some(counts.ok + counts.failed.total())
    };
    let lookups = ended(Kind::Lookup).unwrap_or(0) + ended(Kind::Crawl).unwrap_or(0);
    if lookups == 0 {
        return None;
    }
    Some(ended(Kind::Query)? as f64 / lookups as f64)
}

/// The wrong ones first.
fn oddities(counts: &BTreeMap<Oddity, u64>) -> String {
    let named = |(oddity, times): (&Oddity, &u64)| {
        let wrong = if oddity.fails() { " (wrong)" } else { "" };
        format!("{} {times}{wrong}", oddity.name())
    };
    counts.iter().map(named).collect::<Vec<_>>().join(", ")
}

const fn variant(name: VariantName) -> &'static str {
    match name {
        VariantName::Conservative => "conservative",
        VariantName::Baseline => "baseline",
        VariantName::Breakout => "breakout",
    }
}

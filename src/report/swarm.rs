//! Downloads and swarms: what the report on a terminal and the page tell of them.

use crate::analysis::{DownloadSummary, Quantiles, Summary, SwarmShares};
use crate::journey::Swarm;

use super::quantity::{bytes, percent, rate, seconds, three_digits};
use super::table::{Align, grouped};

/// All downloads, or those of one group.
pub(super) struct Line<'a> {
    pub(super) name: String,
    pub(super) downloads: &'a DownloadSummary,
    swarm: &'a Swarm,
    shares: &'a SwarmShares,
}

/// All downloads, then by class of the content, then by access line; a division into one group is none.
pub(super) fn lines(summary: &Summary) -> Vec<Line<'_>> {
    let Summary { downloads, swarm, swarm_shares: shares, breakdown, .. } = summary;
    let all = Line { name: "all".to_owned(), downloads, swarm, shares };
    let groups = [(&breakdown.downloads_by_class, ""), (&breakdown.downloads_by_access, "on ")];
    let groups = groups.into_iter().filter(|(groups, _)| groups.len() > 1);
    let groups = groups.flat_map(|(groups, before)| {
        groups.iter().map(move |(name, group)| Line {
            name: format!("{before}{name}"),
            downloads: &group.downloads,
            swarm: &group.swarm,
            shares: &group.swarm_shares,
        })
    });
    std::iter::once(all).chain(groups).collect()
}

/// Whether visitors downloaded anything, or met a peer.
pub(super) fn is_there(summary: &Summary) -> bool {
    !summary.downloads.counts.is_empty() || !summary.swarm.is_empty()
}

/// Groups of columns: how many, and what they have in common.
pub(super) type Heads = (&'static [(usize, &'static str)], &'static [&'static str]);
/// The heads of [`Line::times`].
pub(super) const TIMES: Heads = (
    &[(1, ""), (4, "to the first piece"), (4, "to the last piece")],
    &["begun", "p50", "p90", "p99", "max", "p50", "p90", "p99", "max"],
);
/// The heads of [`Line::exchange`].
pub(super) const EXCHANGE: Heads = (
    &[(4, "ended"), (1, ""), (2, "bytes from"), (3, "")],
    &["whole", "part", "gave up", "cut", "in progress", "peers", "visitors", "offload", "ratio", "copies"],
);

/// The heads of [`Line::connections`].
pub(super) const CONNECTIONS: Heads = (
    &[(2, "dialled"), (6, "failed because"), (4, "connections")],
    &[
        "tries",
        "failed",
        "unanswered",
        "refused",
        "closed",
        "silent",
        "broken",
        "wrong hash",
        "met",
        "came in",
        "surplus",
        "ended",
    ],
);

impl Line<'_> {
    /// How many, and their times to the first piece, then to the last.
    pub(super) fn times(&self) -> Vec<String> {
        let of = |times: &Quantiles| {
            [times.p50_seconds, times.p90_seconds, times.p99_seconds, times.max_seconds].map(seconds)
        };
        let Self { downloads, .. } = self;
        let begun = downloads.counts.begun.to_string();
        [&[begun][..], &of(&downloads.first_piece), &of(&downloads.completion)].concat()
    }

    /// What became of them, how many were in progress at a time, and where their bytes came from.
    pub(super) fn exchange(&self) -> Vec<String> {
        let Self { downloads, swarm, shares, .. } = self;
        let counts = &downloads.counts;
        let fates =
            [counts.complete, counts.enough, counts.gave_up, counts.cut].map(|count| count.to_string());
        // Who reads through a gateway is in no swarm.
        let moved = |count| if swarm.is_empty() { "-".to_owned() } else { bytes(count) };
        let number = |number: Option<f64>| number.map_or("-".to_owned(), three_digits);
        let rest = [
            three_digits(downloads.mean_in_progress),
            moved(swarm.from_others),
            moved(swarm.from_visitors),
            shares.offload.map_or("-".to_owned(), percent),
            number(shares.ratio),
            number(shares.copies_per_piece),
        ];
        [&fates[..], &rest].concat()
    }

    /// What became of the connections that they tried, and how connections came and went.
    pub(super) fn connections(&self) -> Vec<String> {
        let Self { swarm, shares, .. } = self;
        let reasons = [
            swarm.unanswered,
            swarm.refused,
            swarm.closed_handshakes,
            swarm.silent_handshakes,
            swarm.broken_handshakes,
            swarm.wrong_handshakes,
        ];
        let moved = [swarm.met, swarm.accepted, swarm.surplus, swarm.ended];
        let failed = shares.failed_dials.map_or("-".to_owned(), percent);
        let counts = [reasons.as_slice(), &moved].concat();
        let counts = counts.iter().map(u64::to_string);
        [swarm.dials.to_string(), failed].into_iter().chain(counts).collect()
    }
}

/// The section of the report on a terminal.
pub(super) fn text(summary: &Summary) -> String {
    if !is_there(summary) {
        return String::new();
    }
    let lines = lines(summary);
    let tables = [
        figures("downloads", TIMES, &lines, Line::times),
        figures("swarm", EXCHANGE, &lines, Line::exchange),
    ];
    let facts = facts(summary).into_iter().map(|(name, what)| format!("  {name}: {what}\n"));
    tables.join("\n") + &facts.collect::<String>()
}

/// A table with a row for each line.
fn figures<'a>(
    name: &str,
    (groups, heads): Heads,
    lines: &[Line<'a>],
    of: fn(&Line<'a>) -> Vec<String>,
) -> String {
    let head = ["", name].iter().chain(heads).map(|&head| head.to_owned()).collect();
    let row = |line: &Line<'a>| [vec![String::new(), line.name.clone()], of(line)].concat();
    let rows: Vec<_> = std::iter::once(head).chain(lines.iter().map(row)).collect();
    let columns = [&[Align::Left; 2][..], &vec![Align::Right; heads.len()]].concat();
    grouped(&[&[(2, "")], groups].concat(), &columns, &rows)
}

/// What is not told by groups: a name, and a sentence each.
pub(super) fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let swarm = &summary.swarm;
    let check = summary.in_progress.littles_ratio;
    let check =
        check.map_or(String::new(), |ratio| format!("; Little's law {}, 1 is sound", three_digits(ratio)));
    let mut facts = vec![(
        "in progress",
        format!(
            "{} downloads on average, {} at the peak{check}",
            three_digits(summary.downloads.mean_in_progress),
            summary.in_progress.peak
        ),
    )];
    if swarm.is_empty() {
        return facts;
    }
    let given = format!("{} to others, {} to visitors", bytes(swarm.to_others), bytes(swarm.to_visitors));
    let web = match swarm.from_web {
        0 => String::new(),
        web => format!("{} from web seeds, ", bytes(web)),
    };
    let taken = format!(
        "{web}{} in vain, {} wrong pieces, {} silent peers",
        bytes(swarm.wasted),
        swarm.wrong_pieces,
        swarm.snubs
    );
    let churn = format!(
        "{} opened, {} ended; {} broke the protocol",
        rate(summary.churn.opened_per_second),
        rate(summary.churn.ended_per_second),
        swarm.ended_malformed
    );
    let connections = format!(
        "{} met, {} came in, {} surplus, {} found nobody; {} over uTP, {} encrypted",
        swarm.met, swarm.accepted, swarm.surplus, swarm.turned_away, swarm.utp, swarm.encrypted
    );
    facts.extend([
        ("given", given),
        ("taken", taken),
        ("dialled", dialled(swarm, summary.swarm_shares.failed_dials)),
        ("connections", connections),
        ("churn", churn),
    ]);
    facts
}

/// Why connections did not come about: the three most frequent reasons.
fn dialled(swarm: &Swarm, failed: Option<f64>) -> String {
    let mut reasons = [
        (swarm.unanswered, "unanswered"),
        (swarm.refused, "refused"),
        (swarm.closed_handshakes, "closed before the handshake"),
        (swarm.silent_handshakes, "silent"),
        (swarm.broken_handshakes, "no handshake"),
        (swarm.wrong_handshakes, "of another torrent"),
    ];
    reasons.sort_by_key(|&(count, _)| std::cmp::Reverse(count));
    let told = reasons.iter().filter(|(count, _)| *count > 0).take(3);
    let told: Vec<_> = told.map(|(count, reason)| format!("{count} {reason}")).collect();
    let why = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    format!("{}, {} failed{why}", swarm.dials, failed.map_or("none".to_owned(), percent))
}

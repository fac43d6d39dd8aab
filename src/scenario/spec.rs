//! What a scenario file says, key by key, and what that means.

use std::time::Duration;

use toml::Spanned;

mod event;
mod fault;
mod side;
mod signal;

use crate::problem::{Moment, Name, Names, OneOf, PositiveDuration, PositiveRate, Reported, Table, Text};
use crate::profile::{normalised, parse_access, parse_clients};
use crate::unit::{Factor, Quantity, Share, UtcOffset};

use super::Cut;
use super::cut::Window;
use super::load::Profiles;
use super::types::{
    Abuse, AbuseKind, Attention, Audience, Catalogue, ContentClass, Funnel, Kernel, Lag, Region, Scenario,
    Transition, Variant, Variants, Via,
};
use super::values::{Beta, Branching, Exponent, Few, Hour, Items, RegionName, Size, Strength};

/// The keys of a scenario.
pub(super) fn scenario(table: &mut Table<'_>, profiles: &mut Profiles<'_>) -> Result<Scenario, Reported> {
    let name = table.required::<Name>("name", "Short name, for files and reports.");
    let title = table.required::<Text>("title", "One line for people.");
    let start =
        table.required::<Moment>("start", "The wall clock at scenario time 0: places days and nights.");
    let duration =
        table.required::<PositiveDuration>("duration", "How long the scenario lasts.").map(|it| it.0);
    let clients = profiles.mix(table, "clients", "The client mix, a file of `profiles/`.", parse_clients);
    let access =
        profiles.mix(table, "access", "The mix of access lines, a file of `profiles/`.", parse_access);
    let cut = table.table_of_defaults(
        "cut",
        "The part that a run drives; flags of the same names change it.",
        |table| cut(table, duration),
    );
    let mut regions = Vec::new();
    let audience = table.table("audience", "Who may come.", |table| audience(table, &mut regions));
    // Signals can be checked against the regions as soon as all of these have names, whatever else is wrong with them.
    let regions = match regions.is_empty() {
        true => audience.as_ref().map(|_| Vec::new()).map_err(|reported| *reported),
        false => regions.into_iter().collect(),
    };
    let signals = signal::signals(table, duration, &regions);
    let feed_faults = signal::feed_faults(table, duration);
    let confounders = event::confounders(table, duration, &regions);
    let abuse = event::abuse(table, duration, &regions);
    let restarts = event::incidents(
        table,
        "restart",
        "Peers that start anew, all together: they announce then.",
        duration,
    );
    let exoduses = event::incidents(table, "exodus", "Seeds that leave, all together.", duration);
    let faults = fault::faults(table, duration);
    let attention = table.table_of_defaults("attention", "How signals move attention.", attention);
    let funnel = table.table_of_defaults("funnel", "How visitors go from stage to stage.", funnel);
    let content = catalogue(table);
    let side = side::side(table);
    let variants = table.table_of_defaults("variants", "The three forecasts.", variants);
    let (start, duration) = (start?.0, duration?);
    if start.checked_add(duration).is_err() {
        return Err(table.wrong("start", "the scenario would end after the year 9999".to_owned(), None));
    }
    let (signals, attention) = (signals?, attention?);
    if attention.theta >= 0.5 && signals.iter().any(|signal| !signal.ramp.is_zero()) {
        let hint = "a signal has a `ramp`, which grows and relaxes with 1-2*theta".to_owned();
        return Err(table.wrong("attention", "`theta` must be below 0.5 here".to_owned(), Some(hint)));
    }
    let (content, abuse) = (content?, abuse?);
    let needs_swarm = |abuse: &Abuse| {
        use AbuseKind::{Announce, Dht, DhtCrawl, Pieces};
        matches!(abuse.what, Announce | Dht | DhtCrawl | Pieces)
    };
    if content.vias().all(|via| via == Via::Gateway) && abuse.iter().any(needs_swarm) {
        let message = "abuse of trackers, of the DHT or of peers, and no content of a swarm".to_owned();
        let hint = "leave `via` out of one class of the content".to_owned();
        return Err(table.wrong("abuse", message, Some(hint)));
    }
    Ok(Scenario {
        name: name?.0.0,
        title: title?.0,
        start,
        duration,
        signals,
        feed_faults: feed_faults?,
        confounders: confounders?,
        abuse,
        restarts: restarts?,
        exoduses: exoduses?,
        faults: faults?,
        audience: audience?,
        attention,
        funnel: funnel?,
        content,
        side: side?,
        clients: clients?,
        access: access?,
        variants: variants?,
        cut: cut?,
    })
}

fn cut(table: &mut Table<'_>, duration: Result<Duration, Reported>) -> Result<Cut, Reported> {
    let speed = table.or("speed", "Scenario seconds per run second, 0.1 to 1000000.", 1.0);
    let scale = table.or("scale", "Part of the audience that is driven, above 0 and at most 1000000.", 1.0);
    let window = table
        .optional::<Window>("window", "Slice of scenario time that is driven; all of it where left out.");
    Cut::new(speed?, scale?, window?, duration?)
        .map_err(|(key, why)| table.wrong(key, format!("`{key}` {why}"), None))
}

fn audience(table: &mut Table<'_>, names: &mut Vec<Result<String, Reported>>) -> Result<Audience, Reported> {
    let base = table
        .required::<PositiveRate>("base", "Visits on a normal day, over all regions, averaged over 24 h.");
    let returning = table.or("returning", "Visitors who were there before (assumed).", Share(0.3));
    let old_clusters = table.or(
        "old_clusters",
        "Visitors from address clusters that were seen before, those who return among them (Jung et al. 2002: many in a flash \
         crowd, few in abuse; assumed).",
        Share(0.6),
    );
    let mut unique = Names::default();
    let regions = table.filled_tables("region", "A part of the audience that shares a clock.", |table| {
        let name = table.required::<Name>("name", "Name in files and reports.").map(|name| name.0.0);
        names.push(name.clone());
        let share = table.required::<Share>("share", "Share of the audience; shares add up to 100%.");
        let utc_offset = table.required::<UtcOffset>("utc_offset", "Its time zone.");
        let peak_hour = table.or("peak_hour", "Local hour of most visits.", Hour(20.0));
        let night =
            table.or("night", "Visits at the quietest hour against those at the busiest.", Share(0.3));
        let weekend = table.or(
            "weekend",
            "Visits on Saturday and Sunday, local time, as a multiple of those on a weekday.",
            Factor(1.0),
        );
        let (name, share) = (name?, share?.0);
        unique.claim(table, "name", &name)?;
        let region = Region {
            name,
            share,
            utc_offset: utc_offset?.0,
            peak_hour: peak_hour?.0,
            night: night?.0,
            weekend: weekend?.0,
        };
        Ok((region, share))
    });
    let regions = normalised(table, "region", regions?)?;
    let regions = regions.into_iter().map(|(region, share)| Region { share, ..region }).collect();
    let (returning, old_clusters) = (returning?.0, old_clusters?.0);
    if returning > old_clusters {
        let hint = format!("`old_clusters` is {}", Share(old_clusters).write());
        return Err(table.wrong(
            "returning",
            "who returns comes from a cluster seen before".to_owned(),
            Some(hint),
        ));
    }
    Ok(Audience { base: base?.0.0, returning, old_clusters, regions })
}

fn within(
    table: &Table<'_>,
    key: &str,
    moment: Duration,
    duration: Result<Duration, Reported>,
) -> Result<(), Reported> {
    let duration = duration?;
    if moment < duration {
        return Ok(());
    }
    let hint = format!("the scenario lasts {}", duration.write());
    Err(table.wrong(key, format!("`{key}` lies after the end of the scenario"), Some(hint)))
}

/// The regions that something reaches, as indices into the audience.
fn reach(
    table: &mut Table<'_>,
    doc: &'static str,
    regions: &Result<Vec<String>, Reported>,
) -> Result<Vec<usize>, Reported> {
    let names: Vec<Spanned<RegionName>> = table.list("regions", doc)?;
    let regions = regions.as_ref().map_err(|reported| *reported)?;
    let indices: Vec<Result<usize, Reported>> = names
        .iter()
        .map(|name| {
            let written = &name.get_ref().0.0;
            let there = regions.iter().map(String::as_str);
            regions
                .iter()
                .position(|region| region == written)
                .ok_or_else(|| table.dangling(name.span(), written, "region", there))
        })
        .collect();
    indices.into_iter().collect()
}

// The defaults below that domain.md does not give are marked "assumed" in scenarios/README.md.
fn attention(table: &mut Table<'_>) -> Result<Attention, Reported> {
    let price =
        table.or("price", "Strength of a +100% price move that nothing confirms (assumed).", Strength(0.2));
    let volume = table.or(
        "volume",
        "Strength per tenfold volume, times (1 + price move / 10%) (assumed).",
        Strength(1.0),
    );
    let mentions = table.or("mentions", "Strength per tenfold mentions (assumed).", Strength(2.0));
    let announce =
        table.or("listing_announce", "Strength of a listing's announcement (assumed).", Strength(2.0));
    let go_live =
        table.or("listing_go_live", "Strength of a listing's start of trading (assumed).", Strength(6.0));
    let fear =
        table.or("fear", "Part of the base demand that a -100% price move takes away (assumed).", Share(0.5));
    let concern = table.or("concern", "Strength of concern per -100% price move (assumed).", Strength(10.0));
    let rise = table.or("rise", "Time from a signal to the peak of its effect (assumed).", span(30 * MINUTE));
    let relax = table.or(
        "relax",
        "Time constant c of the relaxation (1 + t/c)^-(1+theta) (assumed).",
        span(2 * HOUR),
    );
    let theta = table.or(
        "theta",
        "Exponent theta of the relaxation and of a power-law kernel (Crane & Sornette 2008).",
        Exponent(0.4),
    );
    let beta = table.or(
        "beta",
        "All interest moves by this multiple of a move of the whole market (assumed).",
        Beta(2.0),
    );
    let kernel = table.or(
        "kernel",
        "Waiting times of the visits that visits set off: \"power-law\" is (1 + t/delay)^-(1+theta).",
        OneOf(Kernel::Exponential),
    );
    let branching =
        table.or("branching", "Visits that each visit sets off in turn (assumed).", Branching(0.2));
    let delay = table.or(
        "delay",
        "Mean waiting time of an exponential kernel, time constant of a power-law one (assumed).",
        span(30 * MINUTE),
    );
    let (kernel, theta) = (kernel?.0, theta?.0);
    if kernel == Kernel::PowerLaw && theta == 0.0 {
        let hint = "for example 0.4".to_owned();
        return Err(table.wrong("theta", "a power-law kernel needs a theta above 0".to_owned(), Some(hint)));
    }
    Ok(Attention {
        price: price?.0,
        volume: volume?.0,
        mentions: mentions?.0,
        listing_announce: announce?.0,
        listing_go_live: go_live?.0,
        fear: fear?.0,
        concern: concern?.0,
        rise: rise?.0,
        relax: relax?.0,
        theta,
        beta: beta?.0,
        kernel,
        branching: branching?.0,
        delay: delay?.0,
    })
}

fn funnel(table: &mut Table<'_>) -> Result<Funnel, Reported> {
    let assets = table.or("assets", "Assets fetched with a page (assumed).", Few(6));
    let cached = table.or(
        "cached",
        "Returning visitors whose browser still has the assets: they fetch the page alone (assumed).",
        Share(0.6),
    );
    // 40% of 50%: 10,000 visits give 2,000 client starts.
    let metadata = table.table_of_defaults("metadata", "Visits that ask for metadata (assumed).", |table| {
        transition(table, Share(0.4), (30 * SECOND, 5 * MINUTE))
    });
    let magnet_share =
        table.or("magnet_share", "Metadata requests that are magnet links (assumed).", Share(0.3));
    let start = table.table_of_defaults(
        "start",
        "Metadata requests that end in a client start: announce, lookup, transfer. By default 20% of visits.",
        |table| transition(table, Share(0.5), (2 * MINUTE, 20 * MINUTE)),
    );
    let abort_share = table.or("abort_share", "Transfers given up before the end (assumed).", Share(0.4));
    // Log-normal through 17 % > 1 h and 3.1 % > 10 h. Its tail is thin: 0.27 % > 100 h, where 0.34 % were seen.
    let seeding =
        table.table_of_defaults("seeding", "How long a finished visitor seeds (Pouwelse 2005).", |table| {
            lag(table, (5 * MINUTE + 24 * SECOND, 137 * MINUTE))
        });
    // LogNormal(4.91, 1.47) minutes.
    let session = table.table_of_defaults(
        "session",
        "How long a modelled peer stays in its swarm (P2P Trace Archive).",
        |table| lag(table, (136 * MINUTE, 892 * MINUTE)),
    );
    let announce_interval =
        table.or("announce_interval", "Time between two announces of a modelled peer.", span(30 * MINUTE));
    let announce_jitter = table.or(
        "announce_jitter",
        "Spread of that time, from peer to peer and from announce to announce; 0% is lockstep, as in Transmission.",
        Share(0.0),
    );
    let retries = table.or("retries", "Further tries after a failed operation (assumed).", Few(2));
    let retry_after = table.or(
        "retry_after",
        "Pause before a retry, in run time; doubled each time (assumed).",
        span(SECOND),
    );
    let patience = table.or(
        "patience",
        "How long a visitor waits for one operation, in run time (assumed).",
        span(15 * SECOND),
    );
    Ok(Funnel {
        assets: assets?.0,
        cached: cached?.0,
        metadata: metadata?,
        magnet_share: magnet_share?.0,
        start: start?,
        abort_share: abort_share?.0,
        seeding: seeding?,
        session: session?,
        announce_interval: announce_interval?.0,
        announce_jitter: announce_jitter?.0,
        retries: retries?.0,
        retry_after: retry_after?.0,
        patience: patience?.0,
    })
}

fn transition(table: &mut Table<'_>, conversion: Share, times: (u64, u64)) -> Result<Transition, Reported> {
    let conversion = table.or("conversion", "Share that goes on.", conversion);
    let lag = table.table_of_defaults("lag", "Time until it does.", |table| lag(table, times));
    Ok(Transition { conversion: conversion?.0, lag: lag? })
}

fn lag(table: &mut Table<'_>, (median, p90): (u64, u64)) -> Result<Lag, Reported> {
    let median = table.or("median", "Half of all delays are shorter.", span(median));
    let p90 = table.or("p90", "Nine of ten delays are shorter.", span(p90));
    let (median, p90) = (median?.0, p90?.0);
    if p90 < median {
        let hint = format!("the median is {}", median.write());
        return Err(table.wrong("p90", "`p90` must be at least the median".to_owned(), Some(hint)));
    }
    Ok(Lag { median, p90 })
}

fn catalogue(table: &mut Table<'_>) -> Result<Catalogue, Reported> {
    let mut unique = Names::default();
    let classes =
        table.filled_tables("content", "Items of one kind; the most popular class first.", |table| {
            let class = table.required::<Name>("class", "Name in files and reports.");
            let items = table.required::<Items>("items", "How many.");
            let size = table.required::<Size>("size", "Size of each.");
            let via = table.or(
                "via",
                "How visitors get them: as peers of a \"swarm\", or over HTTP through a \"gateway\" of IPFS or BTFS.",
                OneOf(Via::Swarm),
            );
            let web_seed = table.or(
                "web_seed",
                "Whether the testbed's torrents of them name a web seed (BEP 19), which gives pieces over HTTP beside the peers.",
                false,
            );
            let name = class?.0.0;
            unique.claim(table, "class", &name)?;
            let (via, web_seed) = (via?.0, web_seed?);
            if web_seed && via == Via::Gateway {
                let hint = Some("leave one of the two out".to_owned());
                return Err(table.wrong("web_seed", "a web seed, and no torrent to name it".to_owned(), hint));
            }
            Ok(ContentClass { name, items: items?.0, size: size?.0.0, via, web_seed })
        });
    let zipf = table.table_of_defaults("popularity", "Which items are wanted.", |table| {
        table.or("zipf", "Exponent of the popularity over ranks; 0 is uniform (assumed).", Exponent(0.8))
    });
    let classes = classes?;
    let items: u64 = classes.iter().map(|class| u64::from(class.items)).sum();
    if items > 65_536 {
        let hint = "at most 65536 are told apart".to_owned();
        return Err(table.wrong("content", format!("{items} items are too many"), Some(hint)));
    }
    Ok(Catalogue { classes, zipf: zipf?.0 })
}

fn variants(table: &mut Table<'_>) -> Result<Variants, Reported> {
    let mut forecast = |name, doc, attention, conversion| {
        table.table_of_defaults(name, doc, |table: &mut Table<'_>| {
            let attention =
                table.or("attention", "Multiple of every signal's strength (assumed).", Factor(attention));
            let conversion = table.or(
                "conversion",
                "Multiple of every conversion, which stays within 100% (assumed).",
                Factor(conversion),
            );
            Ok(Variant { attention: attention?.0, conversion: conversion?.0 })
        })
    };
    let conservative = forecast("conservative", "The least that is expected.", 0.5, 0.8);
    let baseline = forecast("baseline", "The forecast.", 1.0, 1.0);
    let breakout = forecast("breakout", "The most that must be survived.", 2.0, 1.2);
    Ok(Variants { conservative: conservative?, baseline: baseline?, breakout: breakout? })
}

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

const fn span(seconds: u64) -> PositiveDuration {
    PositiveDuration(Duration::from_secs(seconds))
}

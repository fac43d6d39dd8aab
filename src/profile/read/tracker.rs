//! Reading what profiles say of trackers.

use std::path::Path;

use toml::de::DeValue;

use crate::problem::{Choice, Form, OneOf, Reported, Shown, Table, Text, UrlPath, Value, bounded, shown};
use crate::unit::Share;

use super::super::values::{Address, Header};
use super::super::{Tracker, TrackerHabits, TrackerKind};
use super::web;

impl Choice for TrackerKind {
    const NAMES: &'static [(&'static str, Self)] =
        &[(Self::Udp.name(), Self::Udp), (Self::Http.name(), Self::Http), (Self::Ws.name(), Self::Ws)];
}

bounded! {
    /// A weight among others.
    pub(super) Weight(f64): "a number above 0", "3", |it| *it > 0.0;
    /// A place in the list of lists of trackers.
    pub(super) Tier(u16): "a tier from 1 to 100", "2", |it| (1..=100).contains(it);
    /// Torrents of one scrape; a UDP packet holds about 74 (BEP 15).
    pub(super) ScrapeTorrents(u16): "a number of torrents from 1 to 74", "7", |it| (1..=74).contains(it);
}

shown!(Weight => |it| it.0, Tier => |it| it.0, ScrapeTorrents => |it| it.0);

/// The query of an HTTP announce.
struct AnnounceQuery(String);

impl Value for AnnounceQuery {
    fn noun() -> String {
        format!("an announce query with {}", TrackerHabits::NEEDED.join(", "))
    }

    fn forms() -> String {
        format!(
            "\"info_hash={{info_hash}}&peer_id={{peer_id}}&port={{port}}&left={{left}}&compact=1\"; it may name {}",
            TrackerHabits::PLACEHOLDERS.join(", ")
        )
    }

    fn form() -> Form {
        Form::TEXT
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let text = value.as_str()?;
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#' && byte != b'?');
        let needed = TrackerHabits::NEEDED.iter().all(|needed| text.contains(needed));
        let mut rest = text.to_owned();
        TrackerHabits::PLACEHOLDERS.iter().for_each(|known| rest = rest.replace(known, ""));
        (visible && needed && !rest.contains(['{', '}'])).then(|| Self(text.to_owned()))
    }
}

impl Shown for AnnounceQuery {
    fn shown(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

/// Reads one of `[[tracker]]`.
pub(super) fn tracker(table: &mut Table<'_>, beside: &Path) -> Result<Tracker, Reported> {
    let kind = table.or("kind", "The protocol that it speaks.", OneOf(TrackerKind::Udp));
    let address = table.required::<Address>("address", "Where it listens.");
    let host = table.optional::<Header>("host", "`Host` header; the address where it is left out.");
    let path = table.optional::<UrlPath>(
        "path",
        "Path of announces: `/announce` for HTTP, `/` for WebSocket and none for UDP (BEP 41) where it is left out.",
    );
    let weight = table.or(
        "weight",
        "How often visitors choose it, relative to the others of its tier that their client speaks.",
        Weight(1.0),
    );
    let tier = table.or(
        "tier",
        "Tiers are asked in their order, each once the one before has failed (BEP 12).",
        Tier(1),
    );
    let tls = web::proof(table, beside, "How it proves who it is (HTTPS, WSS); left out, it is plain.");
    let (kind, address) = (kind?.0, address?.0);
    let host = host?.map_or_else(|| address.to_string(), |host| host.0.0);
    let tls = web::proven(table, tls?, &host)?;
    if kind == TrackerKind::Udp && tls.is_some() {
        let hint = Some("leave `tls` out, or set `kind` to \"http\" or \"ws\"".to_owned());
        return Err(table.wrong("tls", "there is no TLS with UDP trackers".to_owned(), hint));
    }
    let usual = match kind {
        TrackerKind::Udp => "",
        TrackerKind::Http => "/announce",
        TrackerKind::Ws => "/",
    };
    Ok(Tracker {
        kind,
        address,
        host,
        path: path?.map_or_else(|| usual.to_owned(), |UrlPath(Text(path))| path),
        tls,
        tier: tier?.0,
        weight: weight?.0,
    })
}

/// Reads what `[[client]]` says of trackers.
pub(super) fn habits(table: &mut Table<'_>) -> Result<TrackerHabits, Reported> {
    let usual = TrackerHabits::default();
    let kinds = table.list::<OneOf<TrackerKind>>(
        "trackers",
        "Kinds of trackers that it speaks; `udp` and `http` where left out.",
    );
    let query = table.or(
        "announce",
        "Query of its HTTP announces, in its order; a parameter without a value is left out.",
        AnnounceQuery(usual.query),
    );
    let scrape = table.or("scrape", "Share that scrapes before it starts.", Share(usual.scrape));
    let torrents = table.or(
        "scrape_torrents",
        "Torrents that a scrape asks about.",
        ScrapeTorrents(usual.scrape_torrents),
    );
    let kinds: Vec<_> = kinds?.into_iter().map(|kind| kind.into_inner().0).collect();
    Ok(TrackerHabits {
        kinds: if kinds.is_empty() { usual.kinds } else { kinds },
        query: query?.0,
        scrape: scrape?.0,
        scrape_torrents: torrents?.0,
    })
}

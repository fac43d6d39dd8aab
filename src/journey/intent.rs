//! What a visitor would ask for if nothing failed.

use crate::plan::{Arrival, Origin, What};
use crate::unit::Tick;

use super::Kind;

/// Assets that a visitor fetches with a page that has this many.
pub(super) const fn fetched(cached: bool, assets: u32) -> u32 {
    if cached { 0 } else { assets }
}

/// The operations that an arrival asks for if all of them succeed, first tries alone: kinds with their number, in order of its steps. A
/// page has this many `assets`. Pieces are left out, and names to resolve: how many there are, and how long a name is kept, only the target
/// knows.
pub fn intended(arrival: &Arrival, assets: u32) -> impl Iterator<Item = (Kind, u64)> + '_ {
    intended_at(arrival, assets).map(|(_, kind, operations)| (kind, operations))
}

/// As [`intended`], with the moment at which each is planned.
pub fn intended_at(arrival: &Arrival, assets: u32) -> impl Iterator<Item = (Tick, Kind, u64)> + '_ {
    let assets = fetched(arrival.cached, assets);
    let of_step = move |what| match (what, arrival.origin) {
        (What::Visit, Origin::Side(_)) => [Some((Kind::Side, 1)), None],
        (What::Visit, _) => [Some((Kind::Page, 1)), Some((Kind::Asset, u64::from(assets)))],
        (What::Resolve, _) => [Some((Kind::Resolve, 1)), None],
        (What::Torrent | What::Root, _) => [Some((Kind::Torrent, 1)), None],
        (What::Magnet, _) => [Some((Kind::Lookup, 1)), Some((Kind::PeerMetadata, 1))],
        (What::Announce(_), _) => [Some((Kind::Announce, 1)), None],
        (What::Lookup, _) => [Some((Kind::Lookup, 1)), Some((Kind::AnnouncePeer, 1))],
        (What::Crawl, _) => [Some((Kind::Crawl, 1)), None],
        (What::Transfer { .. } | What::Read { .. }, _) => [Some((Kind::Handshake, 1)), None],
    };
    arrival
        .steps
        .iter()
        .flat_map(move |step| of_step(step.what).into_iter().flatten().map(|(kind, n)| (step.at, kind, n)))
        .filter(|(_, _, operations)| *operations > 0)
}

//! Which web seeds a visitor may use (BEP 19).

use std::rc::Rc;

use rand::seq::SliceRandom;
use url::Url;

use crate::journey::{Reply, Visitor};
use crate::profile::{Client, ContentItem};

use super::super::client::WebSeed;
use super::super::http::Place;
use super::super::metainfo::Layout;
use super::super::meter::Meter;
use super::{Connections, Shared, browser};

impl Shared {
    /// What a journey needs to know of a torrent.
    pub(super) fn metadata(&self, item: &ContentItem, connections: &Connections, layout: &Layout) -> Reply {
        let (pieces, size) = (layout.pieces(), layout.size());
        let urls = known(item, connections, Some(layout));
        Reply::Metadata { pieces, size, web_seeds: urls.iter().any(|url| self.place(url).is_some()) }
    }

    /// The web seeds that a visitor may use, in an order of its own; those that lead elsewhere are counted and dropped, as foreign peers
    /// are.
    pub(super) fn web_seeds(
        &self,
        visitor: &Visitor,
        item: &ContentItem,
        client: &Client,
        connections: &Connections,
        meter: &Meter,
    ) -> Vec<WebSeed> {
        let layout = item.info_hash().and_then(|hash| self.layouts.borrow().get(hash).cloned());
        let urls = known(item, connections, layout.as_deref());
        let browser = browser(visitor, client);
        let seed = |url: &Url| {
            let place = self.place(url)?;
            Some(WebSeed { url: url.clone(), agent: Rc::clone(&self.agent), browser, place })
        };
        let mut seeds: Vec<_> = urls.iter().filter_map(seed).collect();
        meter.foreign(u32::try_from(urls.len() - seeds.len()).unwrap_or(u32::MAX));
        seeds.shuffle(&mut self.identity(visitor, client).random);
        seeds
    }

    fn place(&self, url: &Url) -> Option<Place> {
        Place::find(&self.agent, url)
    }
}

/// The profile's, and for who has seen it those of the `.torrent`; each once.
fn known(item: &ContentItem, connections: &Connections, layout: Option<&Layout>) -> Vec<Url> {
    let named = item.torrent.iter().flat_map(|torrent| &torrent.web_seeds);
    let listed = layout.filter(|_| !connections.by_magnet.get()).map_or(&[][..], Layout::web_seeds);
    let mut urls: Vec<Url> = Vec::new();
    for url in named.chain(listed) {
        if !urls.contains(url) {
            urls.push(url.clone());
        }
    }
    urls
}

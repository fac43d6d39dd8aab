//! Announces and scrapes: which tracker a visitor asks, what it keeps between two announces, and what the answers are worth.

mod contact;
mod udp;
mod ws;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::SplitMix64;
use smallvec::SmallVec;

use crate::journey::{Cause, Kind, Part, Peer};
use crate::plan::AnnounceEvent;
use crate::profile::{Client, HttpEndpoint, Target, Tracker, TrackerKind};

use super::http::{Request, Site, Way, fetch_alone};
use super::meter::Meter;
use super::patience::Patience;
use super::source::{Owner, Sources};
use super::swarm::{Company, Key, SwarmId, Swarms};
use super::tracker::{Announce, Answer, Counts, Refused, http, udp as datagram, ws as message};
use super::{Clock, Guard};

use contact::Attempt;
pub(super) use contact::Contact;
use udp::UdpTracker;
use ws::Socket;

/// Wait before the first retransmission of a UDP request; doubled with each (BEP 15).
pub(super) const RETRANSMIT: Duration = Duration::from_secs(15);
/// How long a client waits for a scrape before it announces all the same [assumed].
const SCRAPE_PATIENCE: Duration = Duration::from_secs(15);
/// Keeps a visitor's draws about trackers apart from its other draws.
const STREAM: u64 = 0x7472_6163_6b65_7273;

/// A worker's way to the trackers.
#[derive(Debug)]
pub(super) struct Announcer {
    guard: Arc<Guard>,
    clock: Clock,
    sources: Sources,
    trackers: Vec<Tracker>,
    /// The sockets of those that speak UDP.
    udp: Vec<Option<UdpTracker>>,
    /// The others, in the same places.
    sites: Vec<Option<Rc<Site>>>,
    /// Of the target's content.
    hashes: Vec<[u8; 20]>,
    swarms: Rc<RefCell<Swarms>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) seed: u64,
    /// Where it asks from: see [`Visitor::source`](crate::journey::Visitor::source).
    pub(super) source: u64,
    /// A port that nobody listens on.
    pub(super) own_port: u16,
    /// Whether it announces a port that others of its worker announce too.
    pub(super) shared: bool,
    pub(super) client: &'a Client,
}

impl Asker<'_> {
    fn random(&self) -> SplitMix64 {
        SplitMix64::seed_from_u64(self.seed ^ STREAM)
    }

    fn scrapes(&self) -> bool {
        self.random().random::<f64>() < self.client.tracker.scrape
    }
}

impl Announcer {
    /// Opens the sockets; within a `LocalSet`. `retransmit` is the wait before the first retransmission.
    pub(super) fn open(
        guard: &Arc<Guard>,
        clock: Clock,
        target: &Target,
        sources: &Sources,
        workers: u32,
        (patience, retransmit): (&Patience, Duration),
    ) -> io::Result<Self> {
        let open = |tracker: &Tracker| match tracker.kind {
            TrackerKind::Udp => {
                UdpTracker::open(guard, clock, tracker.address, sources, (patience, retransmit)).map(Some)
            }
            TrackerKind::Http | TrackerKind::Ws => Ok(None),
        };
        let site = |tracker: &Tracker| match tracker.kind {
            TrackerKind::Udp => Ok(None),
            TrackerKind::Http | TrackerKind::Ws => Site::new(&endpoint(tracker)).map(Some),
        };
        let company = Company {
            own_peers: target.own_peers.clone(),
            stand_in_port: target.stand_in_port,
            sources: sources.clone(),
            workers,
        };
        Ok(Self {
            guard: Arc::clone(guard),
            clock,
            sources: sources.clone(),
            trackers: target.trackers.clone(),
            udp: target.trackers.iter().map(open).collect::<io::Result<_>>()?,
            sites: target.trackers.iter().map(site).collect::<io::Result<_>>()?,
            hashes: target.content.iter().filter_map(|item| Some(item.info_hash()?.on_the_wire())).collect(),
            swarms: Rc::new(RefCell::new(Swarms::new(company))),
        })
    }

    /// Announces, and returns the peers as the tracker named them. Some clients scrape before they start: a part of the operation, whose
    /// failure keeps nobody from announcing.
    ///
    /// # Errors
    /// Whatever the tracker or the network did; [`Cause::Incorrect`] for an answer that cannot be right; [`Cause::Rejected`] without a
    /// request where every tracker asked to be left alone; [`Cause::Local`] where the client speaks to none of them.
    pub(super) async fn announce(
        &self,
        asker: Asker<'_>,
        announce: &Announce,
        contact: &Contact,
        meter: &Meter,
    ) -> Result<Vec<Peer>, Cause> {
        let n = self.choose(asker, contact)?;
        let tracker = self.trackers.get(n).ok_or(Cause::Local)?;
        if announce.event == AnnounceEvent::Started && asker.scrapes() {
            Box::pin(self.scrape(n, tracker, asker, &announce.info_hash, contact, meter)).await;
        }
        // At one address and port, visitors would be one peer: where they have no addresses of their own, nobody can tell which of them a
        // connection is for.
        let alone =
            self.sources.towards(tracker.address.ip(), asker.source).map(|own| self.sources.owner(own));
        let port = if asker.shared && alone != Some(Owner::Own) { asker.own_port } else { announce.port };
        let announce = &Announce { port, ..*announce };
        let own = self.own_address(tracker, asker, announce.port);
        let key = match tracker.kind {
            TrackerKind::Ws => Key::Id(announce.peer_id),
            TrackerKind::Udp | TrackerKind::Http => Key::At(own),
        };
        let id: SwarmId = (tracker.address, announce.info_hash);
        let attempt = Attempt::begin(&self.swarms, self.clock, contact, id, key, announce);
        let answer = self.ask(n, tracker, asker, announce, contact, meter).await;
        if let Some(udp) = self.udp.get(n).and_then(Option::as_ref) {
            udp.count_strays(meter);
        }
        match answer {
            Ok(answer) => {
                contact.note(n, tracker.address, &answer);
                attempt.answered(own, answer, meter)
            }
            Err(refused) => Err(attempt.refused(refused)),
        }
    }

    /// Most trackers are UDP: the futures of the other kinds, which are much larger, are allocated where they are needed.
    async fn ask(
        &self,
        n: usize,
        tracker: &Tracker,
        asker: Asker<'_>,
        announce: &Announce,
        contact: &Contact,
        meter: &Meter,
    ) -> Result<Answer, Refused> {
        match tracker.kind {
            TrackerKind::Udp => {
                let udp = self.udp.get(n).and_then(Option::as_ref).ok_or(Cause::Local)?;
                let request =
                    |id, transaction| datagram::announce_request(id, transaction, announce, &tracker.path);
                let answer = udp.ask(asker.source, &contact.connection, meter, request).await?;
                Ok(datagram::answer(&answer, tracker.address.is_ipv6())?)
            }
            TrackerKind::Http => {
                let (query, id) = (&asker.client.tracker.query, contact.tracker_id(tracker.address));
                let path = http::announce_path(&tracker.path, query, announce, id.as_deref());
                http::answer(&Box::pin(self.get(n, asker, &path, contact, meter)).await?)
            }
            TrackerKind::Ws => {
                let text = message::announce_message(announce);
                let read = |text: &[u8]| message::answer(text, &announce.info_hash);
                Box::pin(self.converse(n, asker, text, contact, meter, read)).await
            }
        }
    }

    /// Scrapes as a part of the operation under way.
    async fn scrape(
        &self,
        n: usize,
        tracker: &Tracker,
        asker: Asker<'_>,
        first: &[u8; 20],
        contact: &Contact,
        meter: &Meter,
    ) {
        let started = self.clock.now();
        let hashes = self.scraped_hashes(asker, first);
        let before: Vec<_> = {
            let mut swarms = self.swarms.borrow_mut();
            hashes.iter().map(|hash| swarms.ask((tracker.address, *hash), started)).collect()
        };
        let counts = self.counts(n, tracker, asker, &hashes, contact, meter);
        let result = match tokio::time::timeout(SCRAPE_PATIENCE, counts).await {
            Ok(result) => result.map_err(|refused| refused.cause),
            Err(_) => Err(Cause::Timeout),
        };
        let result = result.and_then(|counts| {
            let mut swarms = self.swarms.borrow_mut();
            let swarm = |hash: &[u8; 20]| (tracker.address, *hash);
            let odd = hashes.iter().zip(counts).zip(&before);
            let odd: Vec<_> = odd
                .flat_map(|((hash, counts), before)| swarms.judge_counts(swarm(hash), counts, before))
                .collect();
            odd.iter().for_each(|&oddity| meter.odd(oddity, 1));
            if odd.is_empty() { Ok(()) } else { Err(Cause::Incorrect) }
        });
        let took = self.clock.now().since(started);
        meter.part(Part { kind: Kind::Scrape, started, took, result });
    }

    async fn counts(
        &self,
        n: usize,
        tracker: &Tracker,
        asker: Asker<'_>,
        hashes: &[[u8; 20]],
        contact: &Contact,
        meter: &Meter,
    ) -> Result<Vec<Counts>, Refused> {
        match tracker.kind {
            TrackerKind::Udp => {
                let udp = self.udp.get(n).and_then(Option::as_ref).ok_or(Cause::Local)?;
                let request = |id, transaction| datagram::scrape_request(id, transaction, hashes);
                let answer = udp.ask(asker.source, &contact.connection, meter, request).await?;
                Ok(datagram::scraped(&answer, hashes.len())?)
            }
            TrackerKind::Http => {
                let path = http::scrape_path(&tracker.path, hashes).ok_or(Cause::Local)?;
                http::scraped(&self.get(n, asker, &path, contact, meter).await?, hashes)
            }
            TrackerKind::Ws => {
                let text = message::scrape_message(hashes);
                let read = |text: &[u8]| message::scraped(text, hashes);
                self.converse(n, asker, text, contact, meter, read).await
            }
        }
    }

    /// The visitor's own torrent, and those after it in the target's list, each once.
    fn scraped_hashes(&self, asker: Asker<'_>, first: &[u8; 20]) -> Vec<[u8; 20]> {
        let most = usize::from(asker.client.tracker.scrape_torrents).clamp(1, datagram::MAX_SCRAPED);
        let at = self.hashes.iter().position(|hash| hash == first).unwrap_or(0);
        self.hashes.iter().cycle().skip(at).take(most.min(self.hashes.len())).copied().collect()
    }

    /// One HTTP exchange, on a connection of its own: clients ask half an hour apart, and close.
    async fn get(
        &self,
        n: usize,
        asker: Asker<'_>,
        path: &str,
        contact: &Contact,
        meter: &Meter,
    ) -> Result<Vec<u8>, Cause> {
        let request = Request { path, user_agent: &asker.client.user_agent, accept: None, body: None };
        let (_, site, way) = self.way(n, asker, contact)?;
        fetch_alone(&self.guard, site, way, request, meter, http::MAX_ANSWER).await
    }

    /// How a visitor comes to the n-th tracker, which speaks HTTP or WebSocket.
    fn way(
        &self,
        n: usize,
        asker: Asker<'_>,
        contact: &Contact,
    ) -> Result<(&Tracker, &Rc<Site>, Way), Cause> {
        let tracker = self.trackers.get(n).ok_or(Cause::Local)?;
        let site = self.sites.get(n).and_then(Option::as_ref).ok_or(Cause::Local)?;
        let source = self.sources.towards(tracker.address.ip(), asker.source);
        Ok((tracker, site, Way { source, returning: contact.knows(tracker.address) }))
    }

    /// One question on the visitor's WebSocket, which is kept.
    async fn converse<T>(
        &self,
        n: usize,
        asker: Asker<'_>,
        text: String,
        contact: &Contact,
        meter: &Meter,
        read: impl Fn(&[u8]) -> Result<Option<T>, Refused>,
    ) -> Result<T, Refused> {
        let (tracker, site, way) = self.way(n, asker, contact)?;
        let kept = contact.socket.take().filter(|socket| socket.tracker == tracker.address);
        let mut socket = match kept {
            Some(socket) => socket,
            None => Socket::open(&self.guard, site, tracker, way, meter).await?,
        };
        meter.start();
        let answer = socket.ask(text, meter, read).await?;
        contact.socket.replace(Some(socket));
        Ok(answer)
    }

    /// The visitor's tracker: the first of its own order, or the next where that failed it (BEP 12: clients shuffle the trackers of a
    /// tier, try them in turn and stay with one that answers).
    fn choose(&self, asker: Asker<'_>, contact: &Contact) -> Result<usize, Cause> {
        let order = self.order(asker, contact);
        let now = self.clock.now();
        let (before, after) =
            order.split_at(contact.failed.get().checked_rem(order.len()).ok_or(Cause::Local)?);
        let mut turn = after.iter().chain(before).copied();
        turn.find(|&n| !contact.is_barred(self.trackers[n].address, now)).ok_or(Cause::Rejected)
    }

    /// The trackers that the client speaks to, in the visitor's own order: tier by tier, first those that answered it before, then each
    /// draw by weight among those that are left.
    fn order(&self, asker: Asker<'_>, contact: &Contact) -> SmallVec<[usize; 4]> {
        let mut random = asker.random();
        random.random::<f64>();
        let speaks = |tracker: &Tracker| asker.client.tracker.kinds.contains(&tracker.kind);
        // Of exponential draws with these rates, the least is each one's with a probability in proportion to its rate.
        let draws =
            self.trackers.iter().map(|tracker| -libm::log(1.0 - random.random::<f64>()) / tracker.weight);
        let spoken = draws.zip(&self.trackers).zip(0..).filter(|((_, tracker), _)| speaks(tracker));
        let mut order: SmallVec<[_; 4]> =
            spoken.map(|((draw, tracker), n)| ((tracker.tier, contact.turn(n)), draw, n)).collect();
        order.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        order.into_iter().map(|(_, _, n)| n).collect()
    }

    /// Where the tracker sees the visitor; with an unspecified address where only the system knows.
    fn own_address(&self, tracker: &Tracker, asker: Asker<'_>, port: u16) -> Peer {
        SocketAddr::new(self.sources.local(tracker.address.ip(), asker.source), port)
    }
}

/// Where a tracker that speaks HTTP or WebSocket is; clients speak HTTP/1.1 to it.
fn endpoint(tracker: &Tracker) -> HttpEndpoint {
    HttpEndpoint { tls: tracker.tls.clone(), ..HttpEndpoint::plain(tracker.address, tracker.host.clone()) }
}

#[cfg(test)]
mod tests;

//! A visitor's connections to web seeds (BEP 19): a few at a time, each with one request under way.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use url::Url;

use crate::journey::{Cause, Web};
use crate::unit::Tick;

use super::super::http::{Agent, Browser, Fetcher, Kept, Place, Wanted};
use super::super::meter::Meter;
use super::super::torrent::{PeerKey, Run, Standing};
use super::super::web_seed::{Files, Part};
use super::{Client, Clients};

/// Web seeds that are used at a time (libtorrent's `max_web_seed_connections`).
const MAX_AT_A_TIME: usize = 3;
/// How long one is left alone that failed and had given nothing since the last time (libtorrent's `urlseed_wait_retry`).
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How long one is left alone at least that asks for it.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// The web seeds that a client knows of.
#[derive(Debug, Default)]
pub(super) struct WebSeeds {
    known: RefCell<HashSet<Url>>,
    waiting: RefCell<VecDeque<WebSeed>>,
    /// What their exchanges were like that no operation has counted yet.
    web: Cell<Web>,
}

impl WebSeeds {
    /// What exchanges were like since this was last asked.
    pub(super) fn tally(&self) -> Web {
        self.web.take()
    }

    fn count(&self, exchanges: &Web) {
        let mut web = self.web.get();
        web += exchanges;
        self.web.set(web);
    }
}

/// A web seed, and as whom it is visited.
#[derive(Clone, Debug)]
pub(in super::super) struct WebSeed {
    pub(in super::super) url: Url,
    pub(in super::super) agent: Rc<Agent>,
    pub(in super::super) browser: Browser,
    /// Where its URL leads to.
    pub(in super::super) place: Place,
}

/// A web seed at work.
#[derive(Debug)]
struct Harvest {
    key: PeerKey,
    /// What wakes it.
    bell: Rc<Notify>,
    seed: WebSeed,
    kept: Kept,
    /// The torrent's files, once known.
    files: Option<Files>,
    /// Where a redirect has led to, by file.
    moved: HashMap<usize, Place>,
    reach: Reach,
    /// Whether whole blocks have come since the last failure.
    gave: Cell<bool>,
}

/// How many bytes are asked for at once. Each request costs a round trip during which nothing comes: requests grow for as long as they
/// are answered within a second, as [`super::super::torrent`] keeps a second of a peer's rate under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reach(u64);

impl Reach {
    const FIRST: Self = Self(1 << 20);
    const LEAST: u64 = 128 << 10;
    /// libtorrent's `urlseed_max_request_bytes`.
    const MOST: u64 = 16 << 20;

    fn after(self, took: Duration) -> Self {
        let Self(bytes) = self;
        let next = match took.as_secs_f64() {
            seconds if seconds < 1.0 => bytes * 2,
            seconds if seconds > 4.0 => bytes / 2,
            _ => bytes,
        };
        Self(next.clamp(Self::LEAST, Self::MOST))
    }
}

/// Why a request did not succeed, and how long the server wants to be left alone.
type Failure = (Cause, Option<Duration>);

impl Client {
    /// Tells the client of web seeds; it uses a few of them at a time, in this order.
    pub(in super::super) fn use_web_seeds(self: &Rc<Self>, seeds: Vec<WebSeed>) {
        for seed in seeds {
            if self.web_seeds.known.borrow_mut().insert(seed.url.clone()) {
                self.web_seeds.waiting.borrow_mut().push_back(seed);
            }
        }
        self.go_on_with_web_seeds();
    }

    fn go_on_with_web_seeds(self: &Rc<Self>) {
        while self.torrent.borrow().web_seeds() < MAX_AT_A_TIME {
            let Some(seed) = self.web_seeds.waiting.borrow_mut().pop_front() else { return };
            let key = self.torrent.borrow_mut().join_web();
            let client = Rc::clone(self);
            self.spawn(async move { client.harvest(key, seed).await });
        }
    }

    /// Fetches from a web seed until it is of no use any more.
    async fn harvest(self: &Rc<Self>, key: PeerKey, seed: WebSeed) {
        let bell = Rc::new(Notify::new());
        self.bells.borrow_mut().insert(key, Rc::clone(&bell));
        let mut harvest = Harvest {
            key,
            bell,
            seed,
            kept: Kept::default(),
            files: None,
            moved: HashMap::new(),
            reach: Reach::FIRST,
            gave: Cell::new(false),
        };
        let Err(cause) = self.draw_from(&mut harvest).await;
        self.bells.borrow_mut().remove(&key);
        self.torrent.borrow_mut().leave_web(key);
        self.last.set(Some(cause));
        self.go_on_with_web_seeds();
        self.ring();
        self.changed.notify_waiters();
    }

    /// Asks a web seed for run after run; why that ends.
    async fn draw_from(self: &Rc<Self>, harvest: &mut Harvest) -> Result<Infallible, Cause> {
        loop {
            let Reach(most) = harvest.reach;
            let run = self.torrent.borrow_mut().ask_web(harvest.key, most)?;
            let Some(run) = run else {
                if self.torrent.borrow().is_complete() {
                    return Err(Cause::Closed);
                }
                harvest.bell.notified().await;
                continue;
            };
            if let Err(failure) = self.fetch_run(harvest, run).await {
                self.torrent.borrow_mut().take_back_web(harvest.key);
                self.ring();
                self.rest(harvest, failure).await?;
            }
        }
    }

    /// Leaves a web seed alone for as long as it takes.
    ///
    /// # Errors
    /// The cause of a failure after which nothing else is to be expected.
    async fn rest(self: &Rc<Self>, harvest: &Harvest, (cause, pause): Failure) -> Result<(), Cause> {
        let gave = harvest.gave.take();
        let (standing, mut pause) = match (cause, pause) {
            // Nobody means to be asked again at once, and a date may be over already.
            (Cause::Throttled, Some(pause)) => (Standing::Waits, pause.max(LEAST_PAUSE)),
            // A connection may break at any time; what was given is not asked for again, so that this comes to an end.
            (Cause::Closed | Cause::Timeout, _) if gave => return Ok(()),
            (Cause::Closed | Cause::Timeout | Cause::Refused | Cause::ServerError, _) => {
                (Standing::Fails, RETRY_AFTER)
            }
            (cause, _) => return Err(cause),
        };
        self.torrent.borrow_mut().stands(harvest.key, standing);
        self.last.set(Some(cause));
        self.go_on_with_web_seeds();
        self.changed.notify_waiters();
        loop {
            tokio::time::sleep(pause).await;
            let mut torrent = self.torrent.borrow_mut();
            if torrent.web_seeds() < MAX_AT_A_TIME {
                torrent.stands(harvest.key, Standing::Tried);
                return Ok(());
            }
            // Others took its place meanwhile.
            pause = RETRY_AFTER;
        }
    }

    /// Fetches bytes that lie side by side, from one file or several.
    async fn fetch_run(&self, harvest: &mut Harvest, run: Run) -> Result<(), Failure> {
        let begun = self.clients.clock.now();
        let meter = Meter::new(self.clients.clock);
        let fetched = self.fetch_parts(harvest, run, &meter).await;
        let outcome = meter.outcome(None);
        self.web_seeds.count(&outcome.web);
        if fetched.is_ok() {
            harvest.reach = harvest.reach.after(outcome.ended.since(begun));
        }
        fetched.map_err(|cause| (cause, outcome.not_before.map(|until| until.since(outcome.ended))))
    }

    async fn fetch_parts(&self, harvest: &mut Harvest, run: Run, meter: &Meter) -> Result<(), Cause> {
        for part in self.files(harvest)?.parts(run.begin, run.end) {
            match part {
                Part::Zeros(zeros) => {
                    self.take_web(harvest, &vec![0; usize::try_from(zeros).unwrap_or(0)])?;
                }
                Part::Bytes { file, begin, end, of } => {
                    let wanted = Wanted { bytes: begin..end, of };
                    let mut kept = std::mem::take(&mut harvest.kept);
                    let mut fetched = self.fetch_part(harvest, file, &wanted, &mut kept, meter).await;
                    // Where it had moved to it is no more; it may be where it was.
                    let had_moved = fetched.is_err() && harvest.moved.remove(&file).is_some();
                    if had_moved && matches!(fetched, Err(Cause::ClientError)) {
                        fetched = self.fetch_part(harvest, file, &wanted, &mut kept, meter).await;
                    }
                    let moved = fetched?;
                    harvest.kept = kept;
                    if let Some(moved) = moved {
                        harvest.moved.insert(file, moved);
                    }
                }
            }
        }
        Ok(())
    }

    /// Fetches a part of one file; where the file is, if it has moved.
    async fn fetch_part(
        &self,
        harvest: &Harvest,
        file: usize,
        wanted: &Wanted,
        kept: &mut Kept,
        meter: &Meter,
    ) -> Result<Option<Place>, Cause> {
        let WebSeed { agent, browser, .. } = &harvest.seed;
        let fetcher = Fetcher { user_agent: &self.persona.client, browser: *browser, meter };
        let take = async |data: &[u8]| {
            // Whoever waits for these bytes is told with them how they came.
            self.web_seeds.count(&meter.take_web());
            self.moved(data.len(), 0);
            self.count(|swarm| swarm.from_web += data.len() as u64);
            self.take_web(harvest, data)?;
            self.carry(harvest, data.len()).await;
            Ok(())
        };
        self.admitted().await;
        agent.fetch_part(&harvest.place(file)?, wanted, fetcher, kept, take).await
    }

    /// Waits until one more request is within the ceiling of an authorization: a range is an operation to the server that gives it.
    async fn admitted(&self) {
        let Clients { guard, clock, .. } = &*self.clients;
        while !guard.admits(|| clock.now()) {
            let now = clock.now();
            let next = Tick((now.second() + 1) * 1_000_000_000);
            tokio::time::sleep(next.since(now)).await;
        }
    }

    /// Waits until the visitor's line has carried so many bytes.
    async fn carry(&self, harvest: &Harvest, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let now = self.clients.clock.now();
            let wait = {
                let (mut torrent, mut line) = (self.torrent.borrow_mut(), self.down.borrow_mut());
                torrent.carry_web(harvest.key, &mut left, &mut line, now)
            };
            self.ring();
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None if left > 0 => harvest.bell.notified().await,
                None => {}
            }
        }
    }

    /// Hands bytes to the torrent.
    fn take_web(&self, harvest: &Harvest, data: &[u8]) -> Result<(), Cause> {
        let taken = self.torrent.borrow_mut().take_web(harvest.key, data);
        self.ring();
        self.changed.notify_waiters();
        let blocks = taken?;
        harvest.gave.set(harvest.gave.get() || blocks > 0);
        Ok(())
    }

    /// The files of the torrent, which is known once there is something to ask for.
    fn files<'a>(&self, harvest: &'a mut Harvest) -> Result<&'a Files, Cause> {
        if harvest.files.is_none() {
            let torrent = self.torrent.borrow();
            harvest.files = torrent.layout().and_then(|layout| Files::of(layout));
        }
        harvest.files.as_ref().ok_or(Cause::Malformed)
    }
}

impl Harvest {
    /// Where a file is.
    fn place(&self, file: usize) -> Result<Place, Cause> {
        if let Some(moved) = self.moved.get(&file) {
            return Ok(moved.clone());
        }
        let path = self.files.as_ref().and_then(|files| files.path(&self.seed.url, file));
        Ok(self.seed.place.beside(path.ok_or(Cause::Malformed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_grow_while_they_are_answered_at_once() {
        let grown = |seconds: &[f64]| {
            seconds.iter().fold(Reach::FIRST, |reach, took| reach.after(Duration::from_secs_f64(*took)))
        };
        assert_eq!(grown(&[0.1, 0.9]), Reach(4 << 20));
        assert_eq!(grown(&[0.1; 9]), Reach(Reach::MOST));
        assert_eq!(grown(&[2.0; 9]), Reach::FIRST);
        assert_eq!(grown(&[5.0; 9]), Reach(Reach::LEAST));
    }
}

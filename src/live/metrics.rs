//! Metrics of the target, read once a second over guarded sockets: pages for Prometheus, or a Prometheus server's own answers. They are no
//! load and no operations; one that fails or is slow is told of and harms nothing.

mod exposition;
mod page;
mod query;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use percent_encoding::utf8_percent_encode;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::profile::{HttpEndpoint, HttpVersion, Layer, MetricsEndpoint, Readings, Series, Target};

use super::http::{Agent, Browser, Request, SEGMENT, Site};
use super::meter::Meter;
use super::source::Sources;
use super::{Clock, Guard};
use page::Reader;

/// How often an endpoint is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long an endpoint may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a page.
const MAX_PAGE: usize = 8 << 20;
/// The older format is the simpler one, and every exporter has it.
const ACCEPT: &str = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";

/// What an endpoint said.
#[derive(Clone, Debug, PartialEq)]
pub struct Scraped {
    /// Where it was read.
    pub source: String,
    /// The layer that it tells of.
    pub layer: Layer,
    /// When it came, in seconds of the run.
    pub at_seconds: f64,
    /// What was read.
    pub readings: Readings,
    /// What is missing or late, and why.
    pub trouble: Option<String>,
}

/// Reads the metrics of the target once a second, until it is dropped. Runs inside a tokio `LocalSet`.
///
/// # Errors
/// The target cannot be used for requests at all.
pub async fn scrape(
    target: &Target,
    guard: &Arc<Guard>,
    clock: Clock,
    sink: impl Fn(Scraped),
) -> io::Result<()> {
    let sources = Sources::new(&target.visitor_networks, (0, 1)).map_err(io::Error::other)?;
    let agent = Agent::new(target, Arc::clone(guard), sources)?;
    let scrapers = target.metrics.iter().map(|endpoint| Scraper::new(endpoint, &agent, clock));
    let scrapers: Vec<Scraper<'_>> = scrapers.collect::<io::Result<_>>()?;
    join_all(scrapers.into_iter().map(|scraper| scraper.run(&sink))).await;
    Ok(())
}

struct Scraper<'a> {
    endpoint: &'a MetricsEndpoint,
    agent: &'a Agent,
    site: Rc<Site>,
    clock: Clock,
    reader: Reader,
}

impl<'a> Scraper<'a> {
    fn new(endpoint: &'a MetricsEndpoint, agent: &'a Agent, clock: Clock) -> io::Result<Self> {
        let site = Site::new(&HttpEndpoint::plain(endpoint.address, endpoint.address.to_string()))?;
        Ok(Self { endpoint, agent, site, clock, reader: Reader::default() })
    }

    async fn run(mut self, sink: &impl Fn(Scraped)) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            let began = Instant::now();
            let (readings, trouble) = match timeout(PATIENCE, self.ask()).await {
                Ok((readings, trouble)) => (readings, trouble),
                Err(_) => (Readings::new(), Some(format!("no answer within {} s", PATIENCE.as_secs()))),
            };
            let took = began.elapsed();
            let late = (took > EVERY).then(|| format!("it came after {:.1} s", took.as_secs_f64()));
            sink(Scraped {
                source: self.endpoint.name(),
                layer: self.endpoint.layer,
                at_seconds: self.clock.now().as_secs_f64(),
                readings,
                trouble: trouble.or(late),
            });
        }
    }

    async fn ask(&mut self) -> (Readings, Option<String>) {
        if self.endpoint.prometheus {
            return self.ask_server().await;
        }
        match self.fetch(&self.endpoint.path).await {
            Ok(page) => {
                let page = String::from_utf8_lossy(&page);
                self.reader.read(&page, self.clock.now().as_secs_f64(), &self.endpoint.series)
            }
            Err(trouble) => (Readings::new(), Some(trouble)),
        }
    }

    /// Asks a Prometheus server one query after the other.
    async fn ask_server(&self) -> (Readings, Option<String>) {
        let (mut readings, mut trouble) = (Readings::new(), None);
        let root = self.endpoint.path.trim_end_matches('/');
        for (reading, series) in &self.endpoint.series {
            let value = match series {
                Series::Constant(value) => Ok(*value),
                Series::Query(text) | Series::Named { name: text, .. } => {
                    let path = format!("{root}/api/v1/query?query={}", utf8_percent_encode(text, SEGMENT));
                    self.fetch(&path).await.and_then(|body| query::value(&body))
                }
            };
            match value {
                Ok(value) => drop(readings.insert(*reading, value)),
                Err(error) => trouble = Some(format!("{}: {error}", reading.name())),
            }
        }
        (readings, trouble)
    }

    async fn fetch(&self, path: &str) -> Result<Vec<u8>, String> {
        let meter = Meter::new(self.clock);
        let user_agent = concat!("squall/", env!("CARGO_PKG_VERSION"));
        let get = Request { path, user_agent, accept: Some(ACCEPT), body: None };
        let browser = Browser { newest: HttpVersion::One, returning: false, source: 0 };
        let fetched = self.agent.fetch_here(&self.site, get, browser, &meter, MAX_PAGE).await;
        fetched.map_err(|cause| format!("the request failed ({})", cause.name()))
    }
}

/// Reads bytes as what an endpoint could answer, whatever it is. For fuzzing.
#[cfg(any(test, fuzzing))]
pub(super) fn read_any(bytes: &[u8]) {
    let _ = query::value(bytes);
    let page = String::from_utf8_lossy(bytes);
    let mut reader = Reader::default();
    for at_seconds in [1.0, 2.0] {
        let (readings, _) = reader.read(&page, at_seconds, &Default::default());
        assert!(readings.values().all(|value| value.is_finite()), "{readings:?}");
    }
}

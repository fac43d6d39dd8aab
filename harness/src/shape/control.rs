//! The control socket: one JSON object a line, and one as the answer.
//!
//! A schedule lives as long as the connection that handed it over. Whoever drives a rehearsal keeps the connection until its end, and is the
//! rehearsal killed, its faults end with it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::BREATH;
use super::limits::Limits;
use super::relay::{Counters, Fault, Relay};

/// Bytes of the longest request.
const LONGEST: u64 = 1 << 20;
/// A year: no schedule is longer.
const FAR: f64 = 366.0 * 86_400.0;

/// What is asked for: any of it together, granted as a whole or up to the first that cannot be.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    /// Phases in the place of those of an earlier schedule of this connection; `[]` takes them back. Where several hold at once, the later
    /// in the list stands over the earlier, and those that were handed over later over those of other connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Vec<Phase>>,
    /// When the schedule's clock reads zero, in seconds from now; may lie in the past.
    pub starts_in_seconds: f64,
    /// Other servers for these relays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<BTreeMap<String, SocketAddr>>,
    /// The counters of every relay.
    pub counters: bool,
}

/// Limits that hold for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Beginning, in seconds on the schedule's clock.
    pub at_seconds: f64,
    /// How long it holds, in seconds.
    pub for_seconds: f64,
    /// The relay, by its name.
    pub relay: String,
    /// What holds over the relay's own limits.
    pub set: Limits,
}

/// What is answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Whether the request was granted.
    pub ok: bool,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The counters of every relay, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<BTreeMap<String, Counters>>,
}

type Relays = Rc<[Rc<Relay>]>;

/// Serves requests for ever.
pub(super) async fn serve(listener: TcpListener, relays: Relays) -> std::convert::Infallible {
    let mut owner = 0;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // A connection that was gone before it was taken, or no descriptor left: relays go on, and so does this once there is one.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        owner += 1;
        let relays = Rc::clone(&relays);
        tokio::task::spawn_local(async move {
            let mut held = Schedule { owner, relays, runs: None };
            // Who does not read the answer has its schedule withdrawn like who hangs up.
            let _ = talk(stream, &mut held).await;
        });
    }
}

async fn talk(mut stream: TcpStream, held: &mut Schedule) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        if (&mut reader).take(LONGEST).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let request = serde_json::from_slice(&line).map_err(|error| error.to_string());
        let answer = request.and_then(|request| held.answer(request));
        let answer = answer.unwrap_or_else(|error| Answer { error: Some(error), ..Answer::default() });
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
    }
}

/// The schedule of one connection.
struct Schedule {
    /// Number of the connection.
    owner: u64,
    relays: Relays,
    /// Changes the limits as their moments come.
    runs: Option<JoinHandle<()>>,
}

impl Schedule {
    fn answer(&mut self, request: Request) -> Result<Answer, String> {
        if let Some(phases) = request.schedule {
            self.hand_over(phases, request.starts_in_seconds)?;
        }
        let upstreams = request.upstream.unwrap_or_default();
        for (name, upstream) in upstreams {
            self.relay(&name)?.upstream.set(Some(upstream));
        }
        let counters = |relay: &Rc<Relay>| (relay.name.clone(), *relay.counters.borrow());
        let counters = request.counters.then(|| self.relays.iter().map(counters).collect());
        Ok(Answer { ok: true, error: None, counters })
    }

    fn relay(&self, name: &str) -> Result<&Relay, String> {
        let relay = self.relays.iter().find(|relay| relay.name == name);
        relay.map(Rc::as_ref).ok_or_else(|| format!("there is no relay `{name}`"))
    }

    fn hand_over(&mut self, phases: Vec<Phase>, starts_in: f64) -> Result<(), String> {
        let now = Instant::now();
        let mut faults: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
        let mut moments = Vec::new();
        for Phase { at_seconds, for_seconds, relay, set } in phases {
            self.relay(&relay)?.check(&set).map_err(|why| format!("the relay `{relay}`: {why}"))?;
            let (begins, ends) = (starts_in + at_seconds, starts_in + at_seconds + for_seconds);
            if !(-FAR..FAR).contains(&begins) || !(begins..FAR).contains(&ends) {
                return Err(format!("the relay `{relay}`: a phase must begin and end within a year"));
            }
            let moment = |seconds: f64| now + Duration::from_secs_f64(seconds.max(0.0));
            let (from, until) = (moment(begins), moment(ends));
            moments.extend([from, until]);
            faults.entry(relay).or_default().push(Fault { owner: self.owner, from, until, set });
        }
        moments.sort();
        moments.dedup();
        self.withdraw();
        for relay in self.relays.iter() {
            relay.schedule(self.owner, faults.remove(&relay.name).unwrap_or_default());
        }
        let relays = Rc::clone(&self.relays);
        self.runs = Some(tokio::task::spawn_local(async move {
            for moment in moments {
                tokio::time::sleep_until(moment).await;
                relays.iter().for_each(|relay| relay.refresh());
            }
        }));
        Ok(())
    }

    fn withdraw(&mut self) {
        let Some(runs) = self.runs.take() else { return };
        runs.abort();
        self.relays.iter().for_each(|relay| relay.schedule(self.owner, Vec::new()));
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        self.withdraw();
    }
}

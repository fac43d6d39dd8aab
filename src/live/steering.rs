//! Steering the relays before a target: a scenario's faults are handed over on the run clock, and hold as long as the connection does.
//!
//! The other side is `squall-shape` (harness/README.md): one JSON object a line, and one as the answer.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::journey::Cause;
use crate::profile::{Layer, Shaper};
use crate::scenario::FaultLimits;
use crate::unit::Tick;

use super::guard::Connection;
use super::{Clock, Guard};

/// How long a relay may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the longest answer.
const LONGEST: u64 = 64 << 10;

/// A fault on the run clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunFault {
    /// The layer that it concerns.
    pub layer: Layer,
    /// When it begins.
    pub at: Tick,
    /// How long it holds.
    pub lasts: Duration,
    /// What holds meanwhile.
    pub limits: FaultLimits,
}

/// Why relays could not be steered.
#[derive(Debug, thiserror::Error)]
pub enum SteeringError {
    /// Nobody answers there.
    #[error("the relays at {control} cannot be steered: {}", cause.name())]
    Unreachable {
        /// Where they are steered.
        control: SocketAddr,
        /// What the network did.
        cause: Cause,
    },
    /// What was answered is no answer, or comes too late.
    #[error("the relays at {control} cannot be steered: {error}")]
    Broken {
        /// Where they are steered.
        control: SocketAddr,
        /// What went wrong.
        error: io::Error,
    },
    /// They say no.
    #[error("the relays at {control} refuse the scenario's faults: {reason}")]
    Refused {
        /// Where they are steered.
        control: SocketAddr,
        /// Why.
        reason: String,
    },
}

/// Faults that are handed over. They are withdrawn when this is dropped, and when the program ends in any way.
#[derive(Debug)]
pub struct Steering {
    _connections: Vec<Connection>,
}

#[derive(Serialize)]
struct Request<'a> {
    schedule: Vec<Phase<'a>>,
    starts_in_seconds: f64,
}

#[derive(Serialize)]
struct Phase<'a> {
    at_seconds: f64,
    for_seconds: f64,
    relay: &'a str,
    set: Limits,
}

/// What holds during a fault, in the words of a relay.
#[derive(Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallelism: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections_per_second: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    black_hole: Option<bool>,
}

#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
}

impl Steering {
    /// Hands `faults` over to the relays before their layers; `clock` may still stand at zero. Each relay of a layer gets the whole fault.
    ///
    /// # Errors
    /// The first relay that does not answer, or refuses.
    pub async fn start(
        shapers: &[Shaper],
        faults: &[RunFault],
        guard: &Guard,
        clock: Clock,
    ) -> Result<Self, SteeringError> {
        let mut phases: BTreeMap<SocketAddr, Vec<Phase<'_>>> = BTreeMap::new();
        for fault in faults {
            for shaper in shapers.iter().filter(|shaper| shaper.layer == fault.layer) {
                phases.entry(shaper.control).or_default().push(fault.of(&shaper.relay));
            }
        }
        let mut connections = Vec::new();
        for (control, schedule) in phases {
            let connection = tokio::time::timeout(PATIENCE, guard.connect(control, None)).await;
            let connection = connection.unwrap_or(Err(Cause::Timeout));
            let connection = connection.map_err(|cause| SteeringError::Unreachable { control, cause })?;
            let starts_in = clock.until(Tick::ZERO).as_secs_f64() - clock.now().as_secs_f64();
            let request = Request { schedule, starts_in_seconds: starts_in };
            let asked = tokio::time::timeout(PATIENCE, ask(connection, &request)).await;
            let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let (connection, answer) = asked.map_err(|error| SteeringError::Broken { control, error })?;
            if !answer.ok {
                let reason = answer.error.unwrap_or_default();
                return Err(SteeringError::Refused { control, reason });
            }
            connections.push(connection);
        }
        Ok(Self { _connections: connections })
    }
}

impl RunFault {
    fn of<'a>(&self, relay: &'a str) -> Phase<'a> {
        let FaultLimits { service, latency, jitter, .. } = self.limits;
        let [service_seconds, latency_seconds, jitter_seconds] =
            [service, latency, jitter].map(|time| time.map(|time| time.as_secs_f64()));
        let set = Limits {
            rate: self.limits.rate,
            service_seconds,
            parallelism: self.limits.parallelism,
            bandwidth: self.limits.bandwidth,
            connections: self.limits.connections,
            connections_per_second: self.limits.connections_per_second,
            latency_seconds,
            jitter_seconds,
            loss: self.limits.loss,
            black_hole: self.limits.black_hole.then_some(true),
        };
        Phase { at_seconds: self.at.as_secs_f64(), for_seconds: self.lasts.as_secs_f64(), relay, set }
    }
}

async fn ask(connection: Connection, request: &Request<'_>) -> io::Result<(Connection, Answer)> {
    let mut connection = BufReader::new(connection);
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    connection.write_all(&line).await?;
    line.clear();
    (&mut connection).take(LONGEST).read_until(b'\n', &mut line).await?;
    Ok((connection.into_inner(), serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Relays that give this answer; what they were asked.
    async fn steer(answer: &'static str) -> (Result<Steering, SteeringError>, serde_json::Value) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = listener.local_addr().unwrap();
        let relays = tokio::spawn(async move {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            serde_json::from_str(&line).unwrap()
        });
        let shaper = |layer, relay: &str| Shaper { layer, control, relay: relay.to_owned() };
        let shapers =
            [shaper(Layer::Tracker, "one"), shaper(Layer::Tracker, "two"), shaper(Layer::Index, "pages")];
        let limits = FaultLimits {
            rate: Some(20.0),
            latency: Some(Duration::from_millis(250)),
            ..FaultLimits::default()
        };
        let (at, lasts) = (Tick::from_millis(1500), Duration::from_secs(2));
        let faults = [RunFault { layer: Layer::Tracker, at, lasts, limits }];
        let clock = Clock::start_in(Duration::from_secs(100));
        let steering = Steering::start(&shapers, &faults, &Guard::loopback(), clock).await;
        (steering, relays.await.unwrap())
    }

    #[tokio::test]
    async fn every_relay_of_the_layer_gets_the_fault_on_the_run_clock() {
        let (steering, asked) = steer("{\"ok\":true}\n").await;
        steering.unwrap();
        let starts_in = asked["starts_in_seconds"].as_f64().unwrap();
        assert!((90.0..=100.0).contains(&starts_in), "{starts_in}");
        let phase = |relay: &str| {
            let set = serde_json::json!({ "rate": 20.0, "latency_seconds": 0.25 });
            serde_json::json!({ "at_seconds": 1.5, "for_seconds": 2.0, "relay": relay, "set": set })
        };
        assert_eq!(asked["schedule"], serde_json::json!([phase("one"), phase("two")]));
    }

    #[tokio::test]
    async fn relays_that_say_no_are_quoted() {
        let (steering, _) = steer("{\"ok\":false,\"error\":\"there is no relay `two`\"}\n").await;
        let message = steering.unwrap_err().to_string();
        assert!(message.ends_with("refuse the scenario's faults: there is no relay `two`"), "{message}");
        assert!(matches!(steer("what?\n").await.0, Err(SteeringError::Broken { .. })));
    }

    #[tokio::test]
    async fn strangers_are_not_steered() {
        let control = "192.0.2.1:4000".parse().unwrap();
        let shapers = [Shaper { layer: Layer::Dht, control, relay: "dht".to_owned() }];
        let limits = FaultLimits { black_hole: true, ..FaultLimits::default() };
        let fault = RunFault { layer: Layer::Dht, at: Tick::ZERO, lasts: Duration::from_secs(1), limits };
        let steering = Steering::start(&shapers, &[fault], &Guard::loopback(), Clock::start()).await;
        assert!(matches!(steering, Err(SteeringError::Unreachable { cause: Cause::Foreign, .. })));
    }
}

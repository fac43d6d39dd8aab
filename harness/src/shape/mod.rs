//! `squall-shape`: relays that stand before any server, over TCP or UDP, and limit it to a known capacity.
//!
//! A verdict on where a fleet breaks can be checked only against a fleet whose breaking point is known. A relay states it: operations or
//! connections per second, time of service and parallelism, bandwidth, and what networks do to all of that. (Toxiproxy's idea, with
//! datagrams and with queues; Toxiproxy itself speaks TCP alone and has no queue.) Limits can change on a schedule, for drills.
//!
//! * Servers look at the address of who asks, trackers above all: on loopback the server sees each client's own address (with another port).
//! * It is one thread, so that it takes little of the machine that it shares with server and generator: no work per byte but the system's,
//!   one timer a relay and limit, an idle connection is a task without a buffer.
//! * What it limits it limits exactly (see [`gate`]): the clock's milliseconds round moments, not rates.
//!
//! The assignment is one line of JSON:
//!
//! ```json
//! {"relays": [{"name": "tracker", "protocol": "udp", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:6969", "smallest": 98,
//!              "limits": {"rate": 1800, "waiting": 900}}]}
//! ```
//!
//! The answer, one line too, are the addresses: first the control socket's, then those of the relays in order. See [`Request`] for what can be
//! asked at the control socket.

mod control;
mod flows;
mod gate;
mod limits;
mod pump;
mod relay;
mod sockets;
mod tcp;
mod udp;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

pub use control::{Answer, Phase, Request};
pub use limits::Limits;
pub use relay::Counters;

use relay::Relay;
use sockets::Datagrams;
use tcp::TcpRelay;
use udp::UdpRelay;

/// How long nobody is taken in after the machine had no descriptor left.
const BREATH: Duration = Duration::from_millis(10);

/// What the relays of one process are to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Where relays are steered and asked for their counters: a loopback address; a free port of 127.0.0.1 where left out.
    #[serde(default = "any_port")]
    pub control: SocketAddr,
    /// Decides what is drawn: times of service, jitter, losses.
    #[serde(default)]
    pub seed: u64,
    /// The relays.
    pub relays: Vec<RelayAssignment>,
}

/// One relay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayAssignment {
    /// What it is steered by.
    pub name: String,
    /// What it relays.
    pub protocol: Protocol,
    /// Where clients connect; port 0 for a free one.
    #[serde(default = "any_port")]
    pub listen: SocketAddr,
    /// Binds what listens to the loopback device, so that it may listen on all addresses of 127.0.0.0/8 and on no other.
    #[serde(default)]
    pub loopback: bool,
    /// The server. May be left out and said later, at the control socket: until then nobody is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<SocketAddr>,
    /// UDP: bytes of the smallest datagram that is an operation; smaller ones pass unlimited.
    #[serde(default)]
    pub smallest: usize,
    /// What it limits while no fault holds.
    #[serde(default)]
    pub limits: Limits,
}

/// What is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Relays until the process ends; `ready` gets the addresses, the control socket's first, when all of them answer.
///
/// # Errors
/// The assignment means nothing, or an address cannot be had.
#[tokio::main(flavor = "current_thread")]
pub async fn run(
    assignment: Assignment,
    ready: impl FnOnce(&[SocketAddr]) -> anyhow::Result<()>,
) -> anyhow::Result<std::convert::Infallible> {
    let tasks = tokio::task::LocalSet::new();
    tasks.run_until(serve(assignment, ready)).await
}

async fn serve(
    assignment: Assignment,
    ready: impl FnOnce(&[SocketAddr]) -> anyhow::Result<()>,
) -> anyhow::Result<std::convert::Infallible> {
    check(&assignment)?;
    let control = sockets::listen(assignment.control, true).context("listening for control")?;
    let mut addresses = vec![control.local_addr()?];
    let mut relays = Vec::new();
    for (relay, n) in assignment.relays.into_iter().zip(1..) {
        let name = relay.name.clone();
        let relay = start(relay, assignment.seed.wrapping_add(n << 32));
        let relay = relay.with_context(|| format!("starting the relay `{name}`"))?;
        addresses.push(relay.address);
        relays.push(relay);
    }
    ready(&addresses)?;
    Ok(control::serve(control, relays.into()).await)
}

/// Starts a relay: its sockets and its tasks.
fn start(assignment: RelayAssignment, seed: u64) -> anyhow::Result<Rc<Relay>> {
    let (listen, loopback) = (assignment.listen, assignment.loopback);
    Ok(match assignment.protocol {
        Protocol::Tcp => {
            let listener = sockets::listen(listen, loopback)?;
            let relay = Relay::new(assignment, listener.local_addr()?, seed);
            TcpRelay::start(Rc::clone(&relay), listener, seed);
            relay
        }
        Protocol::Udp => {
            let listener = Datagrams::bind(listen, loopback)?;
            let relay = Relay::new(assignment, listener.local_addr()?, seed);
            UdpRelay::start(Rc::clone(&relay), listener, seed);
            relay
        }
    })
}

fn check(assignment: &Assignment) -> anyhow::Result<()> {
    // Whoever reaches it can stop a fleet.
    anyhow::ensure!(assignment.control.ip().is_loopback(), "the control address must be one of loopback");
    let mut names = BTreeSet::new();
    for relay in &assignment.relays {
        anyhow::ensure!(names.insert(&relay.name), "there are two relays `{}`", relay.name);
        let checked = relay.limits.check(relay.protocol == Protocol::Tcp);
        checked.map_err(|why| anyhow::anyhow!("the limits of the relay `{}`: {why}", relay.name))?;
    }
    Ok(())
}

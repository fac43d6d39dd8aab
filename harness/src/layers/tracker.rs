//! The tracker layer: aquatic_udp.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::Context;
use aquatic_udp::config::{CleaningConfig, Config, NetworkConfig, ProtocolConfig};

use super::announcer::Announcer;
use super::{Never, ready};

/// Peers in one answer at most: what libtorrent asks for.
const RESPONSE_PEERS: usize = 200;
/// Seconds between two announces of a peer, as large public trackers ask.
const ANNOUNCE_INTERVAL: i32 = 1800;
/// A peer that has missed one announce is still returned, one that has missed two is not.
const PEER_AGE: u32 = 2 * ANNOUNCE_INTERVAL.unsigned_abs() + 300;
/// How long the socket may take to be there.
const START: Duration = Duration::from_secs(5);

pub(super) fn run() -> anyhow::Result<Never> {
    // aquatic does not tell which port it got, so a free one is looked up first. Not with SO_REUSEPORT, which aquatic sets: two
    // trackers could then be given the same port.
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|socket| socket.local_addr())
        .context("finding a free port")?;
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, free.port());
    let tracker = std::thread::Builder::new().name("tracker".to_owned()).spawn(move || serve(address))?;
    Announcer::new(address, Ipv4Addr::LOCALHOST)?
        .connect(START)
        .context("asking the tracker for a connection id")?;
    ready(&[address])?;
    match tracker.join() {
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => anyhow::bail!("the tracker ended"),
        Err(_) => anyhow::bail!("the tracker panicked"),
    }
}

/// Runs the tracker, again where a stop interrupted it. `epoll_wait` gives `EINTR` after SIGSTOP and SIGCONT (signal(7)), and aquatic 0.9
/// ends on that: a layer that is stopped for a drill would be dead afterwards. It comes back empty, as after a restart in real life; peers
/// announce themselves again.
fn serve(address: SocketAddrV4) -> anyhow::Result<()> {
    loop {
        match aquatic_udp::run(config(address)) {
            Err(error) if is_interrupt(&error) => {
                tracing::warn!("the tracker was stopped and goes on: {error:#}")
            }
            ended => return ended,
        }
    }
}

fn is_interrupt(error: &anyhow::Error) -> bool {
    let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(interrupted)
}

/// No access list, no statistics, no dropping of privileges: those are the defaults.
fn config(address: SocketAddrV4) -> Config {
    Config {
        socket_workers: 1,
        network: NetworkConfig { address: address.into(), ..NetworkConfig::default() },
        protocol: ProtocolConfig {
            max_response_peers: RESPONSE_PEERS,
            peer_announce_interval: ANNOUNCE_INTERVAL,
            ..ProtocolConfig::default()
        },
        cleaning: CleaningConfig { max_peer_age: PEER_AGE, ..CleaningConfig::default() },
        ..Config::default()
    }
}

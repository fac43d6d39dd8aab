//! The tracker layer: aquatic_udp.

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
    let tracker = std::thread::Builder::new()
        .name("tracker".to_owned())
        .spawn(move || aquatic_udp::run(config(address)))?;
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

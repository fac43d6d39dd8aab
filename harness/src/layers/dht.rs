//! The DHT layer: nodes of mainline that know only each other.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use mainline::Dht;
use mainline::async_dht::AsyncDht;
use serde::{Deserialize, Serialize};

use super::{Never, ready};

/// What the DHT layer is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    /// Nodes, at least 2. Each is one thread.
    pub(crate) nodes: usize,
}

/// How long a node waits for another's answer. On loopback that is ample, and the first queries go to nodes that are not there yet.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);
/// Searches that fill the tables: the first may still meet nodes that have just begun, and on a busy machine some answers are late.
const SEARCHES: usize = 20;

/// Addresses are those of all nodes.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(assignment: &Assignment) -> anyhow::Result<Never> {
    let nodes = start(assignment.nodes)?;
    for _ in 0..SEARCHES {
        join_all(nodes.iter().map(AsyncDht::bootstrapped)).await;
        let tables = join_all(nodes.iter().map(AsyncDht::to_bootstrap)).await;
        if tables.iter().all(|table| table.len() + 1 >= nodes.len()) {
            let infos = join_all(nodes.iter().map(AsyncDht::info)).await;
            ready(&infos.iter().map(|info| info.local_addr()).collect::<Vec<_>>())?;
            pending::<()>().await;
        }
    }
    anyhow::bail!("the nodes did not all find each other")
}

/// Starts nodes of which every one is told of all others.
///
/// To grow the network from one node would be shorter, and so would be mainline's own `Testnet`. But a mainline node without bootstrap
/// nodes takes everybody who sends it `find_node` for a node, and then sends visitors to each other. (`Testnet` also takes port 6881.)
fn start(count: usize) -> anyhow::Result<Vec<AsyncDht>> {
    let free = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let sockets = (0..count).map(|_| free()).collect::<Result<Vec<_>, _>>().context("finding free ports")?;
    let ports =
        sockets.iter().map(|socket| Ok(socket.local_addr()?.port())).collect::<anyhow::Result<Vec<_>>>()?;
    // Every port is held until the moment that its node takes it.
    sockets
        .into_iter()
        .zip(&ports)
        .map(|(socket, own)| {
            drop(socket);
            let others = ports.iter().filter(|port| *port != own);
            let others: Vec<_> = others.map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, *port)).collect();
            let mut node = Dht::builder();
            node.server_mode()
                .bootstrap(&others)
                .bind_address(Ipv4Addr::LOCALHOST)
                .port(*own)
                .request_timeout(REQUEST_TIMEOUT);
            Ok(node.build().context("starting a node")?.as_async())
        })
        .collect()
}

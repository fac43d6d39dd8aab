//! The DHT layer: nodes of mainline that know only each other.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Context;
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

/// Addresses are those of all nodes.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(assignment: &Assignment) -> anyhow::Result<Never> {
    // mainline's own `Testnet` would take port 6881 when that is free.
    let first = node(&[])?;
    let entry = first.info().await.local_addr();
    let mut nodes = vec![first];
    for _ in 1..assignment.nodes {
        nodes.push(node(&[entry])?);
    }
    // The first node learns the others from their first query, so these meet only nodes that started earlier. A second search,
    // when all are there, fills every table.
    for _ in 0..2 {
        for node in nodes.iter().skip(1) {
            anyhow::ensure!(node.bootstrapped().await, "a node found no other");
        }
    }
    let mut addresses = Vec::with_capacity(nodes.len());
    for node in &nodes {
        addresses.push(node.info().await.local_addr());
    }
    ready(&addresses)?;
    pending().await
}

fn node(bootstrap: &[SocketAddrV4]) -> anyhow::Result<AsyncDht> {
    let node =
        Dht::builder().server_mode().bootstrap(bootstrap).bind_address(Ipv4Addr::LOCALHOST).port(0).build();
    Ok(node.context("starting a node")?.as_async())
}

//! What visitors ask the DHT.

use crate::journey::{Cause, Operation, Reply, Visitor};
use crate::profile::{Client, ContentItem};

use super::super::dht::Search;
use super::super::meter::Meter;
use super::{Connections, Shared, torrent};

impl Shared {
    /// What is asked of the DHT.
    pub(super) async fn query(
        &self,
        visitor: &Visitor,
        operation: Operation,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (client, item) = self.who(visitor)?;
        let search = search(visitor, client, item, connections)?;
        match operation {
            Operation::Lookup { announce } => {
                let peers = self.dht.search(search, announce, meter).await?;
                // A lookup that finds no peer has failed, unless it was made to announce: the first peer of a swarm finds nobody.
                if peers.is_empty() && !announce {
                    return Err(Cause::NoPeers);
                }
                self.admit(peers, connections, meter)
            }
            Operation::AnnouncePeer => {
                let own_port = self.identity(visitor, client).own_port;
                // Who listens leaves; a port of the target's answers for those who only announce.
                let port = self.ports(visitor, own_port);
                self.dht.announce(search, port, meter).await?;
                Ok(Reply::Done)
            }
            _ => {
                self.dht.crawl(search, meter).await?;
                Ok(Reply::Done)
            }
        }
    }
}

fn search<'a>(
    visitor: &Visitor,
    client: &'a Client,
    item: &ContentItem,
    connections: &'a Connections,
) -> Result<Search<'a>, Cause> {
    let info_hash = torrent(item)?.info_hash.on_the_wire();
    Ok(Search {
        seed: visitor.seed,
        source: visitor.source,
        reachable: visitor.reachable,
        habits: &client.lookup,
        node: connections.node(),
        info_hash,
    })
}

//! What visitors get from peers.

use crate::journey::{Cause, Peer, Reply, Visitor};

use super::super::meter::Meter;
use super::{Connections, Shared};

impl Shared {
    /// The info dictionary, from one of these peers.
    pub(super) async fn peer_metadata(
        &self,
        visitor: &Visitor,
        peers: Vec<Peer>,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (client, item) = self.who(visitor)?;
        connections.by_magnet.set(true);
        let player = self.player(visitor, item, client, connections)?;
        self.introduce(visitor, client, &player, &peers, meter)?;
        let layout = player.metadata(meter).await?;
        self.remember(item, &layout);
        Ok(self.metadata(item, connections, &layout))
    }

    /// Connections to some of these peers, and the web seeds.
    pub(super) async fn handshake(
        &self,
        visitor: &Visitor,
        peers: Vec<Peer>,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (client, item) = self.who(visitor)?;
        let player = self.player(visitor, item, client, connections)?;
        let seeds = self.web_seeds(visitor, item, client, connections, meter);
        let introduced = self.introduce(visitor, client, &player, &peers, meter);
        if seeds.is_empty() {
            introduced?;
        }
        player.use_web_seeds(seeds);
        let layout = player.ready(meter).await?;
        self.remember(item, &layout);
        Ok(Reply::Handshake { pieces: layout.pieces(), size: layout.size() })
    }

    /// A piece.
    pub(super) async fn piece(
        &self,
        visitor: &Visitor,
        until: u32,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (client, item) = self.who(visitor)?;
        self.player(visitor, item, client, connections)?.piece(until, meter).await?;
        Ok(Reply::Done)
    }
}

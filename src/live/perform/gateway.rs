//! What visitors read through a gateway.

use cid::Cid;

use crate::journey::{Cause, Reply, Visitor};

use super::super::gateway::{Asking, Reader};
use super::super::meter::Meter;
use super::super::shaper::Line;
use super::{Connections, Shared, browser};

impl Shared {
    /// The root block alone.
    pub(super) async fn root(&self, visitor: &Visitor, meter: &Meter) -> Result<Reply, Cause> {
        let (asking, cid, line) = self.gateway(visitor)?;
        let reader = Reader::open(asking, cid, line, meter).await?;
        let (pieces, size) = (reader.root().pieces(), reader.root().size());
        Ok(Reply::Metadata { pieces, size, web_seeds: false })
    }

    /// The root block, on a connection that is kept.
    pub(super) async fn open_gateway(
        &self,
        visitor: &Visitor,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (asking, cid, line) = self.gateway(visitor)?;
        let reader = Reader::open(asking, cid, line, meter).await?;
        let (pieces, size) = (reader.root().pieces(), reader.root().size());
        connections.reader.replace(Some(Box::new(reader)));
        Ok(Reply::Handshake { pieces, size })
    }

    /// What a link of the root leads to.
    pub(super) async fn block(
        &self,
        visitor: &Visitor,
        index: u32,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let (asking, ..) = self.gateway(visitor)?;
        // Where this is given up half-way its connection goes with it.
        let mut reader = connections.reader.take().ok_or(Cause::Closed)?;
        reader.piece(asking, index, meter).await?;
        connections.reader.replace(Some(reader));
        Ok(Reply::Done)
    }

    /// How a visitor reads its content through the gateway, what that is, and its line.
    fn gateway(&self, visitor: &Visitor) -> Result<(Asking<'_>, &Cid, Line), Cause> {
        let (client, item) = self.who(visitor)?;
        let (gateway, site) = self.target.gateway.as_ref().zip(self.agent.gateway()).ok_or(Cause::Local)?;
        let cid = item.cid.as_ref().ok_or(Cause::Local)?;
        let access = &self.scenario.access.members.get(usize::from(visitor.access)).ok_or(Cause::Local)?.0;
        let (agent, user_agent, browser) =
            (&self.agent, client.user_agent.as_str(), browser(visitor, client));
        let asking = Asking { agent, site, gateway, user_agent, browser };
        Ok((asking, cid, Line::new(access.down, self.clock)))
    }
}

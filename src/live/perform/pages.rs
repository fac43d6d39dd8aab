//! Pages and what is loaded with them, and calls beside the funnel.

use percent_encoding::utf8_percent_encode;

use crate::journey::{Cause, Operation, Reply, Visitor};

use super::super::http::{Kept, Request, SEGMENT};
use super::super::meter::Meter;
use super::{Connections, Shared, browser, get};

impl Shared {
    /// Pages, assets and calls.
    pub(super) async fn browse(
        &self,
        visitor: &Visitor,
        operation: Operation,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let client = self.client(visitor).ok_or(Cause::Local)?;
        let page;
        let (mut own, mut turn) = (Kept::default(), None);
        let (site, request) = match operation {
            Operation::Asset(n) => {
                let assets = &self.target.index.assets;
                let nth = (n as usize).checked_rem(assets.len()).and_then(|n| assets.get(n));
                own = connections.page.take();
                (self.agent.index(), get(nth.ok_or(Cause::Local)?, client))
            }
            Operation::Side(n) => {
                let side = self.scenario.side.get(usize::from(n)).ok_or(Cause::Local)?;
                let site = match &side.server {
                    Some(name) => self.agent.web(name).ok_or(Cause::Local)?,
                    None => self.agent.index(),
                };
                if let Some(pool) = self.pool(n) {
                    // To wait for a connection is to try to get one, as connecting is: what the server holds is its doing.
                    meter.start();
                    turn = Some(pool.turn().await);
                }
                (site, Request { body: side.body.as_deref(), ..get(&side.path, client) })
            }
            _ => {
                page = self.page(visitor)?;
                connections.page.take();
                (self.agent.index(), get(&page, client))
            }
        };
        let kept = turn.as_mut().map_or(&mut own, |turn| &mut turn.kept);
        self.agent.visit(site, request, browser(visitor, client), kept, meter).await?;
        match operation {
            Operation::Asset(n) => self.keep_page(own, n + 1, connections),
            Operation::Page if !visitor.cached => self.keep_page(own, 0, connections),
            _ => {}
        }
        Ok(Reply::Done)
    }

    /// The path of the visitor's page.
    fn page(&self, visitor: &Visitor) -> Result<String, Cause> {
        let item = self.item(visitor).ok_or(Cause::Local)?;
        let name = utf8_percent_encode(&item.name, SEGMENT).to_string();
        Ok(self.target.index.page.replace("{name}", &name))
    }

    /// Keeps the connection of a visit that goes on to asset `n`. It is kept until then and not beyond: a visitor who reads holds no
    /// descriptor.
    fn keep_page(&self, kept: Kept, n: u32, connections: &Connections) {
        if n < self.scenario.funnel.assets && !self.target.index.assets.is_empty() {
            connections.page.replace(kept);
        }
    }
}

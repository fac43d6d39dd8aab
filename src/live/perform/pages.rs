//! Pages and what is loaded with them, and calls beside the funnel.

use percent_encoding::utf8_percent_encode;

use crate::journey::{Cause, Operation, Reply, Visitor};

use super::super::http::{Kept, Request, SEGMENT};
use super::super::meter::Meter;
use super::{Connections, Shared, browser, get};

impl Shared {
    /// As [`Shared::perform`], for pages, assets and calls alone: see [`Shared::announce`].
    pub(in super::super) async fn browse(
        &self,
        visitor: &Visitor,
        operation: Operation,
        connections: &Connections,
        meter: &Meter,
    ) -> Result<Reply, Cause> {
        let client = self.client(visitor).ok_or(Cause::Local)?;
        let browser = browser(visitor, client);
        match operation {
            Operation::Asset(n) => {
                let assets = &self.target.index.assets;
                let nth = (n as usize).checked_rem(assets.len()).and_then(|n| assets.get(n));
                let get = get(nth.ok_or(Cause::Local)?, client);
                let mut kept = connections.page.take();
                self.agent.visit(self.agent.index(), get, browser, &mut kept, meter).await?;
                self.keep_page(kept, n + 1, connections);
            }
            Operation::Side(n) => {
                let side = self.scenario.side.get(usize::from(n)).ok_or(Cause::Local)?;
                let site = match &side.server {
                    Some(name) => self.agent.web(name).ok_or(Cause::Local)?,
                    None => self.agent.index(),
                };
                let request = Request { body: side.body.as_deref(), ..get(&side.path, client) };
                self.agent.visit(site, request, browser, &mut Kept::default(), meter).await?;
            }
            _ => {
                let path = self.page(visitor)?;
                connections.page.take();
                let mut kept = Kept::default();
                self.agent.visit(self.agent.index(), get(&path, client), browser, &mut kept, meter).await?;
                if !visitor.cached {
                    self.keep_page(kept, 0, connections);
                }
            }
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

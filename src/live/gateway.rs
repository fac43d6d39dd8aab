//! Content read through a trustless gateway of IPFS or BTFS (<https://specs.ipfs.tech/http-gateways/trustless-gateway/>): blocks and CARs
//! over HTTP, each checked by its CID.

use std::rc::Rc;

use cid::Cid;

use crate::journey::Cause;
use crate::profile::Gateway;

use super::dag::{MAX_BLOCK, Node};
use super::http::{Agent, Browser, Kept, Request, Site};
use super::meter::Meter;
use super::shaper::Line;

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car; version=1; order=dfs; dups=y";

/// Where and as whom a visitor reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) agent: &'a Agent,
    pub(super) site: &'a Rc<Site>,
    pub(super) gateway: &'a Gateway,
    pub(super) user_agent: &'a str,
    pub(super) browser: Browser,
}

/// A file that is being read, on one connection.
#[derive(Debug)]
pub(super) struct Reader {
    kept: Kept,
    line: Line,
    root: Node,
}

impl Reader {
    /// Connects and reads the root block.
    ///
    /// # Errors
    /// What the network or the gateway did; as [`Node::read`].
    pub(super) async fn open(
        asking: Asking<'_>,
        cid: &Cid,
        line: Line,
        meter: &Meter,
    ) -> Result<Self, Cause> {
        let mut kept = Kept::default();
        let block = asking.get((cid, "raw", RAW), (&line, &mut kept), meter, MAX_BLOCK).await?;
        Ok(Self { root: Node::read(cid, &block)?, line, kept })
    }

    /// The root of the file.
    pub(super) const fn root(&self) -> &Node {
        &self.root
    }

    /// Reads what a link of the root leads to: a block where that is all, else a CAR of everything below. A root without links was the
    /// whole file.
    ///
    /// # Errors
    /// As [`Reader::open`]; [`Cause::Local`] where there is more below the link than is read.
    pub(super) async fn piece(&mut self, asking: Asking<'_>, index: u32, meter: &Meter) -> Result<(), Cause> {
        let Some(link) = self.root.link(index) else { return Ok(()) };
        let limit = link.limit().ok_or(Cause::Local)?;
        let way = (&self.line, &mut self.kept);
        if link.is_leaf() {
            let block = asking.get((link.cid(), "raw", RAW), way, meter, limit).await?;
            link.check_block(&block)
        } else {
            let car = asking.get((link.cid(), "car&dag-scope=all", CAR), way, meter, limit).await?;
            link.check_car(&car)
        }
    }
}

impl Asking<'_> {
    async fn get(
        &self,
        (cid, format, accept): (&Cid, &str, &'static str),
        (line, kept): (&Line, &mut Kept),
        meter: &Meter,
        limit: usize,
    ) -> Result<Vec<u8>, Cause> {
        let path = format!("{}?format={format}", self.gateway.path.replace("{cid}", &cid.to_string()));
        let request = Request { path: &path, user_agent: self.user_agent, accept: Some(accept), body: None };
        self.agent.fetch_over(line, self.site, request, self.browser, kept, meter, limit).await
    }
}

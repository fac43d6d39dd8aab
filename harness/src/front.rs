//! What stands before the layers: relays that give each a stated capacity, so that a rehearsal on any machine has a known answer.
//!
//! The DHT has none. Its nodes know each other by address, and tell visitors of each other and of visitors: a relay would have to be each of
//! them to all others (full-cone NAT), and visitors, whose nodes answer too, would meet each other under addresses of the relay, which
//! they could not hold against what they know. Web seeds and the gateway have none either, as what is asked there counts as
//! pieces: visitors reach the metadata layer's process itself.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use serde::Serialize;

use crate::error::TestbedError;
use crate::layer::Layer;
use crate::shape::{Answer, Assignment, Limits, Protocol, RelayAssignment, Request};

/// How long the relays may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an announce (BEP 15): connects, of 16, pass unlimited.
const ANNOUNCE: usize = 98;

/// The layers with a relay, in the order of their relays.
pub(crate) const SHAPED: [Layer; 4] = [Layer::Index, Layer::Metadata, Layer::Tracker, Layer::Seedbox];

/// A stated capacity.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capacity {
    /// Operations per second.
    pub(crate) rate: Option<u32>,
    /// Connections at a time.
    pub(crate) connections: Option<u32>,
    /// MiB per second towards visitors.
    pub(crate) mebibytes: Option<u32>,
}

/// A capacity in the words of a target profile.
#[derive(Serialize)]
pub(crate) struct Stated {
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<String>,
}

/// The capacity of a layer: above the reserve that it promises (see [`crate::envelope`]), and below what it was measured to do on two cores
/// with the generator beside it (see harness/README.md).
pub(crate) fn capacity(layer: Layer) -> Capacity {
    let rate = |rate| Capacity { rate: Some(rate), ..Capacity::default() };
    match layer {
        Layer::Index => rate(1800),
        Layer::Metadata => rate(600),
        Layer::Tracker => rate(2000),
        Layer::Seedbox => Capacity { rate: None, connections: Some(4000), mebibytes: Some(200) },
        Layer::Dht | Layer::Shape => Capacity::default(),
    }
}

impl Capacity {
    fn limits(self) -> Limits {
        Limits {
            rate: self.rate.map(f64::from),
            // Half a second of work: beyond every latency that is promised, and short of what visitors wait for.
            waiting: self.rate.map(|rate| rate as usize / 2),
            connections: self.connections.map(|connections| connections as usize),
            bandwidth: self.mebibytes.map(|mebibytes| f64::from(mebibytes) * f64::from(1 << 20)),
            ..Limits::default()
        }
    }

    /// The capacity in a profile's words.
    pub(crate) fn stated(self) -> Stated {
        Stated {
            rate: self.rate.map(|rate| format!("{rate}/s")),
            connections: self.connections,
            bandwidth: self.mebibytes.map(|mebibytes| format!("{mebibytes} MiB/s")),
        }
    }
}

/// What the process of relays is to do, as long as there is nobody behind them.
pub(crate) fn assignment(seed: u64) -> Assignment {
    let any = |ip: Ipv4Addr| SocketAddr::from((ip, 0));
    let relays = SHAPED.map(|layer| {
        let (protocol, listen, smallest) = match layer {
            Layer::Tracker => (Protocol::Udp, Ipv4Addr::LOCALHOST, ANNOUNCE),
            // The seedbox answers on every address of loopback.
            Layer::Seedbox => (Protocol::Tcp, Ipv4Addr::UNSPECIFIED, 0),
            _ => (Protocol::Tcp, Ipv4Addr::LOCALHOST, 0),
        };
        RelayAssignment {
            name: layer.name().to_owned(),
            protocol,
            listen: any(listen),
            loopback: true,
            upstream: None,
            smallest,
            limits: capacity(layer).limits(),
        }
    });
    Assignment { control: any(Ipv4Addr::LOCALHOST), seed, relays: relays.into() }
}

/// Where the relays answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    /// Where they are steered.
    pub(crate) control: SocketAddrV4,
    relays: [SocketAddrV4; SHAPED.len()],
}

impl Front {
    /// What the process of relays said when it was ready.
    ///
    /// # Errors
    /// It said something else.
    pub(crate) fn new(addresses: &[SocketAddrV4]) -> Result<Self, TestbedError> {
        let wrong = || TestbedError::Answer { layer: Layer::Shape.name(), answer: format!("{addresses:?}") };
        let (control, relays) = addresses.split_first().ok_or_else(wrong)?;
        Ok(Self { control: *control, relays: relays.try_into().map_err(|_| wrong())? })
    }

    /// Where visitors find a layer that answers at `bare` itself.
    pub(crate) fn address(&self, layer: Layer, bare: SocketAddrV4) -> SocketAddrV4 {
        let Some(relay) = self.relay(layer) else { return bare };
        // Of one that listens on every address, the layer's own is meant.
        if relay.ip().is_unspecified() { SocketAddrV4::new(*bare.ip(), relay.port()) } else { relay }
    }

    /// The port at which the seedbox is to be found, before it is there.
    pub(crate) fn seedbox_port(&self) -> u16 {
        self.relay(Layer::Seedbox).map_or(0, |relay| relay.port())
    }

    fn relay(&self, layer: Layer) -> Option<SocketAddrV4> {
        SHAPED.into_iter().zip(self.relays).find(|(shaped, _)| *shaped == layer).map(|(_, relay)| relay)
    }

    /// Tells the relays where the layers are.
    ///
    /// # Errors
    /// They do not answer, or say no.
    pub(crate) fn lead_to(
        &self,
        layers: impl IntoIterator<Item = (Layer, SocketAddrV4)>,
    ) -> Result<(), TestbedError> {
        let upstream: BTreeMap<_, _> =
            layers.into_iter().map(|(layer, address)| (layer.name().to_owned(), address.into())).collect();
        let failed = |reason: String| TestbedError::Control { reason };
        let request = Request { upstream: Some(upstream), ..Request::default() };
        let answer = self.ask(&request).map_err(|error| failed(error.to_string()))?;
        match answer.error {
            None => Ok(()),
            Some(reason) => Err(failed(reason)),
        }
    }

    fn ask(&self, request: &Request) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.control)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all((serde_json::to_string(request)? + "\n").as_bytes())?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

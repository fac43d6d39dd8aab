//! Announces to a UDP tracker (BEP 15) as the seedbox does it.
//!
//! librqbit announces from whatever address the system picks, and the seedbox needs one of its own (see [`super::seedbox`]); the
//! packets are aquatic's.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use anyhow::Context;
use aquatic_udp_protocol::{
    AnnounceEvent, AnnounceRequest, ConnectRequest, ConnectionId, InfoHash, Ipv4AddrBytes, NumberOfBytes,
    NumberOfPeers, PeerId, PeerKey, Port, Request, Response, TransactionId,
};

/// How long one packet is waited for before it is sent again; on loopback an answer takes microseconds.
const RETRY: Duration = Duration::from_millis(100);

pub(super) struct Announcer {
    socket: UdpSocket,
    transaction: i32,
}

impl Announcer {
    /// An announcer whose packets come from `source`.
    pub(super) fn new(tracker: SocketAddrV4, source: Ipv4Addr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((source, 0)).context("opening a socket")?;
        socket.connect(tracker).context("connecting to the tracker")?;
        socket.set_read_timeout(Some(RETRY))?;
        Ok(Self { socket, transaction: 0 })
    }

    /// Asks for a connection id, for `patience` at most.
    pub(super) fn connect(&mut self, patience: Duration) -> anyhow::Result<ConnectionId> {
        self.transaction += 1;
        let transaction_id = TransactionId::new(self.transaction);
        match self.ask(&Request::Connect(ConnectRequest { transaction_id }), patience)? {
            Response::Connect(answer) => Ok(answer.connection_id),
            other => anyhow::bail!("unexpected answer {other:?}"),
        }
    }

    /// Announces that everything of `info_hash` is to be had at `port` of the announcer's address.
    pub(super) fn announce(
        &mut self,
        connection_id: ConnectionId,
        info_hash: [u8; 20],
        port: NonZeroU16,
        patience: Duration,
    ) -> anyhow::Result<()> {
        self.transaction += 1;
        let request = AnnounceRequest {
            connection_id,
            action_placeholder: Default::default(),
            transaction_id: TransactionId::new(self.transaction),
            info_hash: InfoHash(info_hash),
            peer_id: PeerId(*b"-rQ9100-squalltestbd"),
            bytes_downloaded: NumberOfBytes::new(0),
            bytes_left: NumberOfBytes::new(0),
            bytes_uploaded: NumberOfBytes::new(0),
            event: AnnounceEvent::Started.into(),
            ip_address: Ipv4AddrBytes([0; 4]),
            key: PeerKey::new(0),
            peers_wanted: NumberOfPeers::new(1),
            port: Port::new(port),
        };
        match self.ask(&Request::Announce(request), patience)? {
            Response::AnnounceIpv4(_) => Ok(()),
            other => anyhow::bail!("unexpected answer {other:?}"),
        }
    }

    /// Sends until the answer to this very transaction comes.
    fn ask(&self, request: &Request, patience: Duration) -> anyhow::Result<Response> {
        let deadline = Instant::now() + patience;
        let mut packet = Vec::new();
        request.write_bytes(&mut packet)?;
        let mut buffer = [0; 2048];
        while Instant::now() < deadline {
            // A refused datagram comes back as an error of a later call; until the deadline it only means "not yet".
            let received = self.socket.send(&packet).and_then(|_| self.socket.recv(&mut buffer));
            match received {
                Ok(length) => {
                    let answer = Response::parse_bytes(&buffer[..length], true)?;
                    if transaction(&answer) == Some(self.transaction) {
                        return Ok(answer);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::thread::sleep(RETRY / 10)
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("no answer within {patience:?}")
    }
}

fn transaction(answer: &Response) -> Option<i32> {
    match answer {
        Response::Connect(answer) => Some(answer.transaction_id.0.get()),
        Response::AnnounceIpv4(answer) => Some(answer.fixed.transaction_id.0.get()),
        Response::Error(answer) => Some(answer.transaction_id.0.get()),
        Response::AnnounceIpv6(_) | Response::Scrape(_) => None,
    }
}

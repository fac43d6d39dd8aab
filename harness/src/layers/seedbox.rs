//! The seedbox layer: librqbit, over content that is computed as it is read.
//!
//! A tracker knows a peer by address and port and never returns a peer to itself. Visitors announce the seedbox's port as their own,
//! so the seedbox announces itself from an address of its own: otherwise every visitor would be that peer, and get an empty list.
//! For the same reason it answers on *every* loopback address (a socket that is bound to the loopback device): whatever loopback
//! address a visitor announces from, behind it stands the seedbox.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::stream::{self, TryStreamExt};
use librqbit::storage::{BoxStorageFactory, StorageFactory, StorageFactoryExt, TorrentStorage};
use librqbit::{
    AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, ManagedTorrentShared, Session,
    SessionOptions, TorrentMetadata,
};
use mainline::async_dht::AsyncDht;
use mainline::{Dht, Id};
use serde::{Deserialize, Serialize};

use super::announcer::Announcer;
use super::{Never, ready};
use crate::content::Source;
use crate::torrent::Torrent;

/// What the seedbox is to offer, and where it is to say so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Assignment {
    pub(crate) seed: u64,
    pub(crate) torrents: Vec<Torrent>,
    pub(crate) tracker: SocketAddrV4,
    pub(crate) dht: Vec<SocketAddrV4>,
    /// The port that it announces, behind which it is to be found at every loopback address.
    pub(crate) port: u16,
}

/// The seedbox's own address, at the far end of 127.0.0.0/8, away from those that visitors use.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);
/// Peers per torrent: beyond what the descriptors allow, so that they are the limit.
const PEER_LIMIT: usize = 16_384;
/// Handshakes that may be under way at once.
const PENDING_HANDSHAKES: usize = 4096;
/// The announce interval of libtorrent's DHT, and half of the tracker's.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(15 * 60);
/// How long one announce may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lookups that are under way at once when the seedbox announces itself to the DHT. Each asks every node at once, and the answers to
/// more than a few would overflow a socket's default receive buffer.
const LOOKUPS: usize = 2;
/// Threads for peers; checking pieces uses as many.
const WORKERS: usize = 2;

/// The address is that of the session itself: what is announced is another port.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub(super) async fn run(assignment: Assignment) -> anyhow::Result<Never> {
    let session = session().await?;
    let port = session.listen_addr().context("the session does not listen")?.port();
    let torrents = stream::iter(assignment.torrents.iter().map(Ok));
    torrents.try_for_each_concurrent(WORKERS, |torrent| seed(&session, assignment.seed, torrent)).await?;
    let presence = Presence::new(assignment)?;
    anyhow::ensure!(presence.node.bootstrapped().await, "no node of the DHT answers");
    presence.announce().await?;
    ready(&[SocketAddrV4::new(OWN_ADDRESS, port)])?;
    presence.keep().await
}

async fn session() -> anyhow::Result<Arc<Session>> {
    let options = SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        persistence: None,
        ipv4_only: true,
        bind_device_name: Some("lo".to_owned()),
        listen: Some(ListenerOptions {
            // Squall's visitors speak uTP by the same library, and a codec that is wrong on both sides would pass: proof is libtorrent.
            mode: ListenerMode::TcpOnly,
            listen_addr: (Ipv4Addr::UNSPECIFIED, 0).into(),
            ipv4_only: true,
            max_pending_incoming_handshake_checks: PENDING_HANDSHAKES,
            ..ListenerOptions::default()
        }),
        peer_limit: Some(PEER_LIMIT),
        runtime_worker_threads: Some(WORKERS),
        ..SessionOptions::default()
    };
    // The folder is never touched: no torrent is kept in files.
    Session::new_with_opts("/nonexistent".into(), options).await.context("starting the session")
}

/// Returns when every piece has been checked and the item is on offer.
async fn seed(session: &Arc<Session>, seed: u64, torrent: &Torrent) -> anyhow::Result<()> {
    let file = torrent.file(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), None)?;
    let options = AddTorrentOptions {
        overwrite: true,
        storage_factory: Some(Computed(Source::new(seed, &torrent.name)).boxed()),
        ..AddTorrentOptions::default()
    };
    let added = session.add_torrent(AddTorrent::from_bytes(file), Some(options)).await?;
    let handle = added.into_handle().context("the session did not take the torrent")?;
    handle.wait_until_initialized().await?;
    anyhow::ensure!(handle.stats().finished, "the content of {} does not match its hashes", torrent.name);
    Ok(())
}

/// Storage that computes what is read from it.
#[derive(Clone, Copy)]
struct Computed(Source);

impl StorageFactory for Computed {
    type Storage = Self;

    fn create(&self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<Self> {
        Ok(*self)
    }

    fn clone_box(&self) -> BoxStorageFactory {
        self.boxed()
    }
}

impl TorrentStorage for Computed {
    fn init(&mut self, _: &ManagedTorrentShared, _: &TorrentMetadata) -> anyhow::Result<()> {
        Ok(())
    }

    fn pread_exact(&self, _: usize, offset: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        self.0.fill(offset, buffer);
        Ok(())
    }

    fn pwrite_all(&self, _: usize, _: u64, _: &[u8]) -> anyhow::Result<()> {
        anyhow::bail!("computed content cannot be written")
    }

    fn remove_file(&self, _: usize, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn remove_directory_if_empty(&self, _: &Path) -> anyhow::Result<()> {
        Ok(())
    }

    fn ensure_file_length(&self, _: usize, _: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn take(&self) -> anyhow::Result<Box<dyn TorrentStorage>> {
        Ok(Box::new(*self))
    }
}

/// How the seedbox makes itself known to tracker and DHT.
struct Presence {
    hashes: Arc<[[u8; 20]]>,
    port: NonZeroU16,
    tracker: SocketAddrV4,
    node: AsyncDht,
}

impl Presence {
    fn new(assignment: Assignment) -> anyhow::Result<Self> {
        let node = Dht::builder()
            .bootstrap(&assignment.dht)
            .bind_address(OWN_ADDRESS)
            .port(0)
            .build()
            .context("starting a DHT node")?;
        Ok(Self {
            hashes: assignment.torrents.iter().map(|torrent| torrent.info_hash).collect(),
            port: NonZeroU16::new(assignment.port).context("nobody can connect to port 0")?,
            tracker: assignment.tracker,
            node: node.as_async(),
        })
    }

    /// Announces again and again, like any peer that stays. A failure is not the end: a layer may be stopped to see what happens.
    async fn keep(&self) -> anyhow::Result<Never> {
        loop {
            tokio::time::sleep(ANNOUNCE_EVERY).await;
            if let Err(error) = self.announce().await {
                tracing::warn!("announcing: {error:#}");
            }
        }
    }

    async fn announce(&self) -> anyhow::Result<()> {
        let (hashes, tracker, port) = (self.hashes.clone(), self.tracker, self.port);
        let announced = tokio::task::spawn_blocking(move || -> anyhow::Result<()> {
            let mut announcer = Announcer::new(tracker, OWN_ADDRESS)?;
            let connection = announcer.connect(PATIENCE)?;
            hashes.iter().try_for_each(|hash| announcer.announce(connection, *hash, port, PATIENCE))
        });
        announced.await?.context("announcing to the tracker")?;
        let hashes = stream::iter(self.hashes.iter().map(|hash| Ok(Id::from(*hash))));
        let announced = hashes.try_for_each_concurrent(LOOKUPS, async |hash| {
            self.node.announce_peer(hash, Some(port.get())).await.map(drop)
        });
        announced.await.context("announcing to the DHT")
    }
}

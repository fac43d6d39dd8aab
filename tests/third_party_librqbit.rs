//! Piece transfer with librqbit, as the one that has and as the one that wants. Not over uTP: Squall's is librqbit's own.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use librqbit::{AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, Session, SessionOptions};
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, python};
use support::local;
use support::swarm::{Manner, SINGLE, announce, learn, shake_hands, take_all, visitors};
use tokio::runtime::{Builder, Runtime};

/// A client on threads of its own, on loopback, without DHT, trackers and local discovery.
struct Client {
    /// `None` once it has ended.
    runtime: Option<Runtime>,
    session: Arc<Session>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // It waits for nobody.
        self.runtime.take().unwrap().shutdown_background();
    }
}

impl Client {
    fn start(folder: &Path) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = SessionOptions {
            dht: None,
            disable_trackers: true,
            disable_local_service_discovery: true,
            persistence: None,
            listen: Some(ListenerOptions {
                mode: ListenerMode::TcpOnly,
                listen_addr: (Ipv4Addr::LOCALHOST, 0).into(),
                ..ListenerOptions::default()
            }),
            ..SessionOptions::default()
        };
        let session = runtime.block_on(Session::new_with_opts(folder.to_owned(), options)).unwrap();
        Self { runtime: Some(runtime), session }
    }

    /// Has all of a torrent, or fetches it from these peers, and waits for that.
    fn complete(&self, torrent: AddTorrent<'_>, peers: &[SocketAddr]) {
        let initial_peers = (!peers.is_empty()).then(|| peers.to_vec());
        let options = AddTorrentOptions { overwrite: true, initial_peers, ..AddTorrentOptions::default() };
        self.runtime.as_ref().unwrap().block_on(async {
            let all = async {
                let added = self.session.add_torrent(torrent, Some(options)).await.unwrap();
                added.into_handle().unwrap().wait_until_completed().await.unwrap();
            };
            tokio::time::timeout(support::PATIENCE, all).await.unwrap();
        });
    }
}

#[test]
fn a_torrent_goes_from_librqbit_to_librqbit() {
    if !libtorrent_installed() {
        return;
    }
    let [had, has] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let hex = Daemon::start(python("release.py").arg(had.path()).arg("v1")).line();
    let seeder = Client::start(had.path());
    let torrent = std::fs::read(had.path().join("release.torrent")).unwrap();
    seeder.complete(AddTorrent::from_bytes(torrent), &[]);
    let peer = seeder.session.listen_addr().unwrap();

    local(async {
        let (mut world, tracker) = visitors(hash(&hex), Manner::TCP, 1e9).await;
        learn(&mut world, peer).await;
        shake_hands(&mut world, &[peer], Manner::TCP).await;
        take_all(&mut world).await;
        drop(seeder);
        let visitor = announce(&mut world, tracker).await;
        let folder = has.path().to_owned();
        let leeched = tokio::task::spawn_blocking(move || {
            let magnet = format!("magnet:?xt=urn:btih:{hex}");
            Client::start(&folder).complete(AddTorrent::from_url(magnet), &[visitor]);
        });
        leeched.await.unwrap();
        let swarm = support::swarm(&mut world);
        assert_eq!((swarm.from_others, swarm.to_others), (SINGLE.1, SINGLE.1));
    });
    let [had, has] = [had, has].map(|folder| std::fs::read(folder.path().join("content")).unwrap());
    assert!(had == has);
    for feature in ["`ut_metadata` (BEP 9, 10)", "Peer wire over TCP (BEP 3)", "Visitors as the only source"]
    {
        shown(feature, "librqbit");
    }
}

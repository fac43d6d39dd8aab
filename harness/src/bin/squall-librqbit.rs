//! librqbit as a seeder of the fleet (`harness/fleet`): it has everything of DIR/site/torrents in DIR/files.
//!
//!     squall-librqbit DIR PORT      writes DIR/librqbit.json: where it listens once it is ready, and what it counted

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use librqbit::{
    AddTorrent, AddTorrentOptions, ListenerMode, ListenerOptions, ManagedTorrent, Session, SessionOptions,
};
use serde_json::json;

/// Peers of a torrent, and handshakes under way: more than any rehearsal opens.
const MANY: usize = 10_000;
/// Between one report and the next.
const INTERVAL: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let Err(error) = serve().await;
    let _ = writeln!(std::io::stderr(), "{error:#}");
    ExitCode::FAILURE
}

async fn serve() -> anyhow::Result<std::convert::Infallible> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, port] = arguments.as_slice() else { anyhow::bail!("usage: squall-librqbit DIR PORT") };
    let (directory, port) = (PathBuf::from(directory), port.parse().context("PORT")?);
    let session = session(&directory.join("files"), port).await?;
    let mut torrents = Vec::new();
    for entry in fs::read_dir(directory.join("site/torrents"))? {
        torrents.push(seed(&session, &entry?.path()).await?);
    }
    loop {
        let uploaded: u64 = torrents.iter().map(|torrent| torrent.stats().uploaded_bytes).sum();
        let told = json!({ "ready": [port], "counters": { "uploaded": uploaded } });
        // At once, so that nobody reads half of it.
        let (file, new) = (directory.join("librqbit.json"), directory.join("librqbit.new"));
        fs::write(&new, told.to_string())?;
        fs::rename(new, file)?;
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A session that nobody outside hears of.
async fn session(files: &Path, port: u16) -> anyhow::Result<Arc<Session>> {
    let options = SessionOptions {
        dht: None,
        disable_trackers: true,
        disable_local_service_discovery: true,
        persistence: None,
        ipv4_only: true,
        listen: Some(ListenerOptions {
            mode: ListenerMode::TcpOnly,
            listen_addr: (Ipv4Addr::LOCALHOST, port).into(),
            ipv4_only: true,
            max_pending_incoming_handshake_checks: MANY,
            ..ListenerOptions::default()
        }),
        peer_limit: Some(MANY),
        ..SessionOptions::default()
    };
    Session::new_with_opts(files.to_owned(), options).await.context("starting the session")
}

/// Returns when every piece has been checked.
async fn seed(session: &Arc<Session>, file: &Path) -> anyhow::Result<Arc<ManagedTorrent>> {
    let options = AddTorrentOptions { overwrite: true, ..AddTorrentOptions::default() };
    let torrent = AddTorrent::from_bytes(fs::read(file)?);
    let added = session.add_torrent(torrent, Some(options)).await?;
    let torrent = added.into_handle().context("the session did not take the torrent")?;
    torrent.wait_until_initialized().await?;
    anyhow::ensure!(torrent.stats().finished, "{} is not whole", file.display());
    Ok(torrent)
}

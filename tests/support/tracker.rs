//! Trackers by other authors, and what their tests ask them.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use squall::journey::{Kind, Oddity, Operation, Outcome};
use squall::plan::AnnounceEvent;

use super::daemon::{Daemon, free_port, installed, program_installed};

/// The folder under which `harness/fleet install` puts npm's tracker; `None` where it has not.
fn package() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("npm");
    let there = folder.join("node_modules/bittorrent-tracker/server.js").exists();
    installed("npm's bittorrent-tracker in target/npm", there).then_some(folder)
}

/// npm's tracker at a free port of this address; `None` where it is not installed.
pub(crate) fn bittorrent_tracker(address: &str) -> Option<(Daemon, SocketAddr)> {
    let (folder, port) = (package()?, free_port());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/third_party/tracker.mjs");
    let mut daemon =
        Daemon::start(Command::new("node").arg(script).arg(folder).arg(address).arg(port.to_string()));
    assert_eq!(daemon.line(), "ready");
    Some((daemon, SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)))
}

/// The one torrent of [`opentracker`].
pub(crate) const KNOWN: [u8; 20] = [0x5a; 20];

/// opentracker and the folder that it reads.
pub(crate) struct Opentracker {
    pub(crate) daemon: Daemon,
    _folder: tempfile::TempDir,
}

/// Debian's opentracker, which serves only the hashes of a whitelist; `None` where it is not installed.
pub(crate) fn opentracker() -> Option<(Opentracker, SocketAddr)> {
    if !program_installed("opentracker") {
        return None;
    }
    // It gives up root for an unprivileged user, who must be able to read its directory.
    let folder = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap();
    let directory = folder.path();
    let hex: String = KNOWN.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(directory.join("whitelist.txt"), format!("{hex}\n")).unwrap();
    let port = free_port();
    let daemon = Daemon::start(
        Command::new("opentracker")
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-P",
                &port.to_string(),
                "-w",
                "whitelist.txt",
            ])
            .arg("-d")
            .arg(directory)
            .current_dir(directory),
    );
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    await_tracker(address);
    Some((Opentracker { daemon, _folder: folder }, address))
}

/// Asks for a connection id until the tracker answers.
fn await_tracker(address: SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
    let ready = (0..200).any(|_| {
        socket.send_to(&connect, address).unwrap();
        socket.recv(&mut [0; 32]).is_ok_and(|length| length == 16)
    });
    assert!(ready, "opentracker does not answer");
}

pub(crate) fn announce(event: AnnounceEvent, left: u64) -> Operation {
    Operation::Announce { event, left, downloaded: 0, numwant: None }
}

/// Nothing about the answer was wrong, though trackers name the asker as well, and the scrape that came before was answered, where there was one.
pub(crate) fn sound(outcome: &Outcome) {
    assert!(outcome.oddities.iter().all(|(oddity, _)| *oddity == Oddity::Oneself), "{outcome:?}");
    assert!(outcome.parts.iter().all(|part| part.kind == Kind::Scrape && part.result.is_ok()), "{outcome:?}");
}

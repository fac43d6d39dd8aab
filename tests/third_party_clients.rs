//! Piece transfer with real clients, each as the one that has and as the one that wants: by TCP and uTP, encrypted and not, over IPv4 and IPv6,
//! with the Fast extension, `ut_metadata` and peer exchange.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use squall::journey::{Operation, Visitor};
use support::conformity::shown;
use support::daemon::{Daemon, hash, libtorrent_installed, program_installed, python};
use support::swarm::{Manner, SINGLE, announce, learn, shake_hands, take_all, tracker_of, visitors};
use support::{local, perform_as, visitor};

/// A line upwards that is no hindrance.
const WIDE: f64 = 1e9;

/// A client by other authors.
#[derive(Clone, Copy, Debug)]
struct Client {
    /// As the conformity matrix knows it, by its Debian package.
    name: &'static str,
    program: &'static str,
    /// Whether it connects to peers on loopback.
    dials: bool,
}

const TRANSMISSION: Client =
    Client { name: "transmission-daemon", program: "transmission-daemon", dials: false };
const QBITTORRENT: Client = Client { name: "qbittorrent-nox", program: "qbittorrent-nox", dials: true };
const ARIA2: Client = Client { name: "aria2", program: "aria2c", dials: true };

impl Client {
    /// Whether it can be tested here.
    fn installed(self) -> bool {
        program_installed(self.program) && libtorrent_installed()
    }

    /// Starts it, in this directory.
    fn start(self, directory: &tempfile::TempDir, role: &[&str], manner: Manner) -> Daemon {
        let mut command = python("client.py");
        Daemon::start(command.arg(self.program).arg(directory.path()).args(role).args(manner.options))
    }

    /// A client that has everything.
    fn seeder(self, manner: Manner) -> Seeder {
        let directory = tempfile::tempdir().unwrap();
        let mut daemon = self.start(&directory, &["seed"], manner);
        let line = daemon.line();
        let (info_hash, port) = line.split_once(' ').unwrap();
        let ip = if manner.v6() { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let peer = SocketAddr::new(ip, port.parse().unwrap());
        Seeder { daemon: Some(daemon), directory, info_hash: hash(info_hash), peer }
    }

    /// A client that wants everything. It knows the hash and a tracker, or a `.torrent` and nobody.
    async fn leecher(self, knows: Vec<String>, manner: Manner) -> Leecher {
        let started = tokio::task::spawn_blocking(move || {
            let directory = tempfile::tempdir().unwrap();
            let role: Vec<&str> = ["leech"].into_iter().chain(knows.iter().map(String::as_str)).collect();
            let mut daemon = self.start(&directory, &role, manner);
            let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.line().parse().unwrap()));
            Leecher { daemon, directory, peer }
        });
        started.await.unwrap()
    }
}

struct Seeder {
    daemon: Option<Daemon>,
    directory: tempfile::TempDir,
    info_hash: [u8; 20],
    peer: SocketAddr,
}

struct Leecher {
    daemon: Daemon,
    directory: tempfile::TempDir,
    peer: SocketAddr,
}

impl Seeder {
    /// What one must know who joins by a magnet link that names a tracker.
    async fn magnet(&self, peers: &[SocketAddr]) -> Vec<String> {
        let info_hash = self.info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
        vec![info_hash, tracker_of(peers).await]
    }
}

impl Leecher {
    /// Waits until it has everything; whether that is what `seed` has.
    async fn has_all_of(mut self, seed: &tempfile::TempDir) {
        let done = tokio::task::spawn_blocking(move || (self.daemon.line(), self));
        let (line, leecher) = done.await.unwrap();
        assert_eq!(line, "done");
        let [had, has] =
            [seed, &leecher.directory].map(|folder| std::fs::read(folder.path().join("content")).unwrap());
        assert!(had == has);
    }
}

/// A visitor fetches everything.
fn fetched_from(client: Client, manner: Manner) {
    let seeder = client.seeder(manner);
    local(async {
        let (mut world, _) = visitors(seeder.info_hash, manner, WIDE).await;
        shake_hands(&mut world, &[seeder.peer], manner).await;
        take_all(&mut world).await;
        let swarm = support::swarm(&mut world);
        assert_eq!((swarm.met, swarm.wrong_pieces), (1, 0));
        // Over IPv6 loopback all have one address, so that anybody there may be a visitor.
        let from = if manner.v6() { swarm.from_visitors } else { swarm.from_others };
        assert_eq!(from, SINGLE.1);
        assert_eq!((swarm.utp, swarm.encrypted), manner.kinds());
    });
}

/// A visitor learns from a client alone what a magnet link leaves open.
fn magnet_from(client: Client) {
    let seeder = client.seeder(Manner::TCP);
    local(async {
        let (mut world, _) = visitors(seeder.info_hash, Manner::TCP, WIDE).await;
        learn(&mut world, seeder.peer).await;
    });
    assert!(speaks_fast(seeder.peer, seeder.info_hash));
}

/// Whether a client that has everything answers a handshake of the Fast extension in kind, and begins with Have All (BEP 6). Squall's own
/// handshake says the same, and has no other way then to learn what the client has.
fn speaks_fast(peer: SocketAddr, info_hash: [u8; 20]) -> bool {
    let fast = [0, 0, 0, 0, 0, 0, 0, 4];
    let mut stream = TcpStream::connect(peer).unwrap();
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    stream
        .write_all(&[b"\x13BitTorrent protocol", &fast[..], &info_hash, b"-XX0001-fastfastfast"].concat())
        .unwrap();
    let (mut theirs, mut first) = ([0; 68], [0; 5]);
    stream.read_exact(&mut theirs).unwrap();
    stream.read_exact(&mut first).unwrap();
    theirs[27] & fast[7] != 0 && first == [0, 0, 0, 1, 14]
}

/// A visitor fetches a torrent from a client, which ends then, and gives it to another one, who knows nobody else.
fn relayed(client: Client, manner: Manner) {
    let mut seeder = client.seeder(manner);
    let peer = seeder.peer;
    local(async {
        let (mut world, tracker) = visitors(seeder.info_hash, manner, WIDE).await;
        let leecher = if client.dials {
            shake_hands(&mut world, &[peer], manner).await;
            take_all(&mut world).await;
            drop(seeder.daemon.take());
            let visitor = announce(&mut world, tracker).await;
            client.leecher(seeder.magnet(&[visitor]).await, manner).await
        } else {
            let torrent = seeder.directory.path().join("release.torrent");
            let leecher = client.leecher(vec![torrent.display().to_string()], manner).await;
            // Both at once: who has everything dials nobody any more.
            shake_hands(&mut world, &[peer, leecher.peer], manner).await;
            take_all(&mut world).await;
            drop(seeder.daemon.take());
            leecher
        };
        leecher.has_all_of(&seeder.directory).await;
        let swarm = support::swarm(&mut world);
        assert_eq!((swarm.from_others, swarm.to_others), (SINGLE.1, SINGLE.1));
        // Some come for the metadata, and again for the pieces.
        let connections = swarm.met + swarm.accepted;
        let (utp, encrypted) = manner.kinds();
        assert_eq!((swarm.utp, swarm.encrypted), (connections * utp, connections * encrypted));
    });
}

/// A client that knows a visitor alone hears from it of somebody who has everything, and fetches that there: the visitor's line has no room.
fn told_of_others(client: Client, other: Client) {
    let seeder = other.seeder(Manner::TCP);
    local(async {
        let (mut world, tracker) = visitors(seeder.info_hash, Manner::TCP, 1.0).await;
        shake_hands(&mut world, &[seeder.peer], Manner::TCP).await;
        let visitor = announce(&mut world, tracker).await;
        let leecher = client.leecher(seeder.magnet(&[visitor]).await, Manner::TCP).await;
        leecher.has_all_of(&seeder.directory).await;
        let swarm = support::swarm(&mut world);
        assert!(swarm.to_others < SINGLE.1 / 2, "{swarm:?}");
    });
}

/// Two visitors whose lines have no room connect to a client that has everything: it tells one of the other.
fn tells_of_others(client: Client) {
    let seeder = client.seeder(Manner::TCP);
    local(async {
        let (mut world, _) = visitors(seeder.info_hash, Manner::TCP, 1.0).await;
        shake_hands(&mut world, &[seeder.peer], Manner::TCP).await;
        let other = Visitor { transfers: true, ..visitor(8) };
        let hands = Operation::Handshake { peers: vec![seeder.peer] };
        assert!(perform_as(&mut world, other, hands).await.result.is_ok());
        assert!(support::swarm(&mut world).exchanged > 0);
    });
}

/// Does all of it at once: real clients look around once in seconds, and wait for most of the time.
fn at_once(tests: &[&(dyn Fn() + Sync)]) {
    std::thread::scope(|scope| {
        for test in tests {
            scope.spawn(test);
        }
    });
}

/// Everything that holds for each of these clients.
fn understand_each_other(client: Client, utp: bool) {
    if !client.installed() {
        return;
    }
    let over_utp = |manner| {
        if utp {
            relayed(client, manner);
        }
    };
    at_once(&[
        &|| magnet_from(client),
        &|| fetched_from(client, Manner::TCP),
        &|| fetched_from(client, Manner::V6),
        &|| relayed(client, Manner::TCP),
        &|| relayed(client, Manner::ENCRYPTED_TCP),
        &|| over_utp(Manner::UTP),
        &|| over_utp(Manner::ENCRYPTED_UTP),
    ]);
    let features = [
        "`ut_metadata` (BEP 9, 10)",
        "Fast extension (BEP 6)",
        "Peer wire over TCP (BEP 3)",
        "Peer wire over IPv6",
        "Visitors as the only source",
        "Message stream encryption (MSE)",
    ];
    for feature in features.into_iter().chain(utp.then_some("Peer wire over uTP (BEP 29)")) {
        shown(feature, client.name);
    }
}

#[test]
fn transmission() {
    understand_each_other(TRANSMISSION, true);
}

#[test]
fn aria2() {
    understand_each_other(ARIA2, false);
}

#[test]
fn qbittorrent() {
    understand_each_other(QBITTORRENT, true);
}

#[test]
fn peers_are_told_of_others() {
    if ARIA2.installed() && QBITTORRENT.installed() {
        at_once(&[&|| told_of_others(ARIA2, QBITTORRENT), &|| told_of_others(QBITTORRENT, ARIA2)]);
        for client in [ARIA2, QBITTORRENT] {
            shown("Peer exchange: peers are told of others (BEP 11)", client.name);
        }
    }
}

#[test]
fn peers_tell_of_others() {
    if TRANSMISSION.installed() {
        tells_of_others(TRANSMISSION);
        shown("Peer exchange: peers tell of others (BEP 11)", TRANSMISSION.name);
    }
}

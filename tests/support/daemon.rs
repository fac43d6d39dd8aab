//! Daemons by other authors: found, started, waited for, ended.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A child process that ends with the test: it is ended by its own id, and the scripts also end when their standard input does, which
/// happens however the test ends.
pub(crate) struct Daemon {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Daemon {
    /// Starts a daemon.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the daemon ended");
        line.trim_end().to_owned()
    }
}

/// Whether a test that needs `what` can run. Says so where not, and fails where it must.
pub(crate) fn installed(what: &str, there: bool) -> bool {
    if !there {
        assert!(std::env::var_os("SQUALL_REQUIRE_DAEMONS").is_none(), "{what} is not installed");
        println!("skipped: {what} is not installed");
    }
    there
}

/// Returns once something takes connections there.
pub(crate) fn await_listener(address: SocketAddr) {
    let begin = std::time::Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "nobody listens at {address}");
        std::thread::yield_now();
    }
}

/// Whether a program of this name is there to be started. As [`installed`].
pub(crate) fn program_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Daemons stand where only root's path leads.
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    installed(name, folders.any(|folder| folder.join(name).exists()))
}

/// Debian's own Python with libtorrent.
pub(crate) fn libtorrent_installed() -> bool {
    let import =
        Command::new("/usr/bin/python3").args(["-c", "import libtorrent"]).stderr(Stdio::null()).status();
    installed("python3-libtorrent", import.is_ok_and(|status| status.success()))
}

/// A script of `tests/third_party` in Debian's own Python.
pub(crate) fn python(script: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/third_party").join(script);
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-u", "-B"]).arg(path);
    command
}

/// A port of loopback that is free for TCP and UDP at this moment.
pub(crate) fn free_port() -> u16 {
    loop {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if std::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
            return port;
        }
    }
}

/// An info-hash in hexadecimal.
pub(crate) fn hash<const N: usize>(hex: &str) -> [u8; N] {
    assert_eq!(hex.len(), 2 * N, "{hex}");
    std::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
}

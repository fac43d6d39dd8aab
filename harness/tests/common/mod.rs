//! What the tests of the testbed share.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use squall_harness::{Content, Options, Testbed};

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
const PROGRAM: &str = env!("CARGO_BIN_EXE_squall-testbed");

pub(crate) fn options(content: &[(&str, u64)]) -> Options {
    let content = content
        .iter()
        .map(|(name, size)| Content { name: (*name).to_owned(), size: *size, gateway: true, web_seed: true })
        .collect();
    Options { program: PROGRAM.into(), content, seed: 1 }
}

pub(crate) fn start(content: &[(&str, u64)]) -> (Testbed, Profile) {
    let testbed = Testbed::start(&options(content)).unwrap();
    let profile = Profile::parse(&testbed.profile());
    (testbed, profile)
}

/// A target profile as its reader sees it.
pub(crate) struct Profile(toml::Value);

impl Profile {
    pub(crate) fn parse(text: &str) -> Self {
        Self(toml::from_str(text).unwrap())
    }

    pub(crate) fn value(&self) -> &toml::Value {
        &self.0
    }

    pub(crate) fn text(&self, table: &str, key: &str) -> String {
        // Trackers are a list, of which a testbed has one.
        let table = &self.0[table];
        table.get(0).unwrap_or(table)[key].as_str().unwrap().to_owned()
    }

    pub(crate) fn content(&self, name: &str, key: &str) -> String {
        let items = self.0["content"].as_array().unwrap();
        let item = items.iter().find(|item| item["name"].as_str() == Some(name)).unwrap();
        item[key].as_str().unwrap().to_owned()
    }

    pub(crate) fn info_hash(&self, name: &str) -> [u8; 20] {
        let digits = self.content(name, "info_hash");
        std::array::from_fn(|index| u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).unwrap())
    }

    pub(crate) fn stand_in_port(&self) -> u16 {
        self.0["swarm"]["stand_in_port"].as_integer().unwrap().try_into().unwrap()
    }

    pub(crate) fn bootstrap(&self) -> Vec<String> {
        let nodes = self.0["dht"]["bootstrap"].as_array().unwrap();
        nodes.iter().map(|node| node.as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Fetches the first block of a piece (BEP 3) from the peer at `target`, which must have everything.
pub(crate) fn block_of_piece(target: SocketAddr, info_hash: &[u8; 20], piece: u32, length: u32) -> Vec<u8> {
    let mut stream = TcpStream::connect(target).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
        .write_all(
            &[b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", &info_hash[..], b"-SQ0000-visitor-0001"].concat(),
        )
        .unwrap();
    let mut handshake = [0; 68];
    stream.read_exact(&mut handshake).unwrap();
    assert_eq!(handshake[28..48], *info_hash);
    assert_eq!(handshake[25] & 0x10, 0x10, "the extension protocol (BEP 10) is missing");
    stream.write_all(&[0, 0, 0, 1, 2]).unwrap(); // interested
    loop {
        match message(&mut stream).split_first() {
            Some((5, bitfield)) => assert!(bitfield[0] & 0x80 != 0, "piece 0 is missing"),
            Some((1, [])) => {
                let request = [&[0, 0, 0, 13, 6][..], &piece.to_be_bytes(), &[0; 4], &length.to_be_bytes()];
                stream.write_all(&request.concat()).unwrap();
            }
            Some((7, block)) => return block[8..].to_vec(),
            _ => {}
        }
    }
}

fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut message).unwrap();
    message
}

/// A testbed that another process holds.
pub(crate) struct Standalone {
    child: Child,
    /// The layers' process ids.
    pub(crate) pids: Vec<u32>,
}

impl Standalone {
    pub(crate) fn start(content: &str) -> Self {
        let mut child =
            Command::new(PROGRAM).arg(content).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let profile = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let pids = profile.filter_map(|line| line.strip_prefix("pid = ").map(|pid| pid.parse().unwrap()));
        let pids = pids.take(5).collect();
        Self { child, pids }
    }

    /// Ends the holder with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Standalone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Watches processes end, also those that are not children of the test.
pub(crate) struct Exits(Vec<(u32, OwnedFd)>);

impl Exits {
    pub(crate) fn of(pids: &[u32]) -> Self {
        Self(pids.iter().map(|pid| (*pid, pidfd(*pid))).collect())
    }

    /// Fails unless all of them end within `patience`.
    pub(crate) fn wait(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for (pid, pidfd) in &self.0 {
            assert!(
                ended(pidfd, deadline.saturating_duration_since(Instant::now())),
                "process {pid} is still there"
            );
        }
    }
}

fn pidfd(pid: u32) -> OwnedFd {
    pidfd_open(Pid::from_raw(pid.try_into().unwrap()).unwrap(), PidfdFlags::empty()).unwrap()
}

pub(crate) fn ended(pidfd: &OwnedFd, patience: Duration) -> bool {
    let timeout =
        Timespec { tv_sec: patience.as_secs().try_into().unwrap(), tv_nsec: patience.subsec_nanos().into() };
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Runs the program to its end and returns exit code and standard error.
pub(crate) fn run(args: &[&str], input: &str) -> (i32, String) {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held open to the end, since a layer whose standard input ends does so too.
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it reads.
    let _ = stdin.write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

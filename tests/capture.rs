//! What visitors send to the real fleet, as a dissector by other authors reads it: `tshark` decodes every protocol without a malformed
//! packet. The UDP tracker protocol, which it does not know, is read by a decoder written from BEP 15 alone.
//!
//! The test runs itself once more in a network namespace of its own: nobody else's packets are in the capture, and there it may capture.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
mod real_fleet;
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use program::{stderr, stdout, unshared, wait_for};
use real_fleet::Fleet;
use rustix::process::{Pid, Signal, kill_process};
use support::conformity::shown;
use support::daemon::{installed, program_installed};

const INSIDE: &str = "SQUALL_TEST_INSIDE_NAMESPACE";
/// What no protocol sends: the end of a capture.
const MARK: &[u8] = b"this is the end of what is captured";

/// The protocols that visitors speak, by the display filter of tshark that keeps their packets.
const PROTOCOLS: [(&str, &str); 10] = [
    ("dns", "DNS"),
    ("http", "HTTP/1.1"),
    ("tls", "TLS"),
    ("http2", "HTTP/2"),
    ("quic", "QUIC"),
    ("http3", "HTTP/3"),
    ("http.request.uri contains \"info_hash\"", "HTTP tracker"),
    ("websocket", "WebSocket tracker"),
    ("bt-dht", "DHT"),
    ("bittorrent", "peer wire"),
];

#[test]
fn every_packet_is_well_formed() {
    if !program_installed("tshark") || !program_installed("dumpcap") {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let command = unshared(&this.display().to_string());
    if !installed("a network namespace (unshare, iproute2)", command.is_some()) {
        return;
    }
    let output = command
        .unwrap()
        .args(["--exact", "inside", "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    print!("{}", stdout(&output));
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed"), "{}", stdout(&output));
}

#[test]
#[ignore = "runs inside the namespace that `every_packet_is_well_formed` makes"]
fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "started by `every_packet_is_well_formed` only");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let Some(fleet) = Fleet::up("fleet-capture") else { return };
    let (packets, keys) = (fleet.directory.join("capture.pcapng"), fleet.directory.join("keys"));
    let capture = Capture::start(&packets);
    let day = PathBuf::from("scenarios/listing-day.toml");
    for (scenario, window) in [(day, "36h..38h"), (fleet.day_of_browsers(), "36h..37h")] {
        fleet.rehearse(&scenario, window, &[("SSLKEYLOGFILE", &keys)]);
    }
    capture.stop();

    let ports = Ports::of(&fleet);
    let decoder = Decoder { packets, keys, ports: &ports };
    let bad = decoder.fields(
        "_ws.malformed || _ws.expert.severity == error",
        &[
            "frame.number",
            "frame.protocols",
            "udp.srcport",
            "udp.dstport",
            "tcp.srcport",
            "tcp.dstport",
            "_ws.expert.message",
        ],
    );
    assert!(bad.is_empty(), "{} packets, {:#?}", bad.len(), &bad[..bad.len().min(20)]);
    for (filter, name) in PROTOCOLS {
        let found = decoder.fields(filter, &["frame.number"]).len();
        assert!(found > 0, "no packet of {name}");
        println!("{name}: {found} packets");
    }
    let read = bep15(&decoder.udp_tracker());
    println!("UDP tracker: {read:?}");
    // Who scrapes is one in forty: there need not be one.
    for spoken in
        [("connect", "request"), ("connect", "response"), ("announce", "request"), ("announce", "response")]
    {
        assert!(read.contains_key(&spoken), "no {spoken:?}: {read:?}");
    }
    let names: Vec<&str> = PROTOCOLS.iter().map(|(_, name)| *name).collect();
    shown(&format!("No malformed packet: {}", names.join(", ")), "tshark");
}

/// `dumpcap` on `lo`.
struct Capture {
    child: Child,
    said: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Capture {
    /// Returns once packets are captured.
    fn start(file: &Path) -> Self {
        let mut child = Command::new("dumpcap")
            .args(["-i", "lo", "-B", "128", "-w"])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut capture =
            Self { said: BufReader::new(child.stderr.take().unwrap()), child, file: file.to_owned() };
        let mut line = String::new();
        // It names the file when the socket is open and the header written.
        while !line.starts_with("File: ") {
            line.clear();
            assert_ne!(capture.said.read_line(&mut line).unwrap(), 0, "dumpcap ended");
        }
        capture
    }

    /// Ends it once everything that was sent before is in the file; nothing may have been lost.
    fn stop(mut self) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(MARK, socket.local_addr().unwrap()).unwrap();
        wait_for("end of the capture", Duration::from_secs(30), || {
            let bytes = std::fs::read(&self.file).unwrap();
            let tail = &bytes[bytes.len().saturating_sub(1 << 20)..];
            tail.windows(MARK.len()).any(|window| window == MARK).then_some(())
        });
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        let dropped = rest.lines().find(|line| line.contains("received/dropped")).unwrap();
        assert!(dropped.contains("/0 ("), "{dropped}");
    }
}

/// Ports of the fleet by what is spoken there, as `tshark -d` names it; and those of UDP trackers.
struct Ports {
    decode_as: Vec<String>,
    udp_trackers: Vec<u16>,
}

impl Ports {
    fn of(fleet: &Fleet) -> Self {
        let profile = std::fs::read_to_string(fleet.directory.join("target.toml")).unwrap();
        let profile: toml::Table = profile.parse().unwrap();
        let port = |value: &toml::Value| value.as_str().unwrap().parse::<SocketAddr>().unwrap().port();
        let mut decode_as = Vec::new();
        let mut speaks = |transport: &str, port: u16, protocol: &str| {
            decode_as.push(format!("{transport}.port=={port},{protocol}"));
        };
        speaks("tcp", port(&profile["index"]["address"]), "tls");
        let metadata = port(&profile["metadata"]["address"]);
        speaks("tcp", metadata, "tls");
        speaks("udp", metadata, "quic");
        for node in profile["dht"]["bootstrap"].as_array().unwrap() {
            speaks("udp", port(node), "bt-dht");
        }
        for resolver in profile["dns"]["resolvers"].as_array().unwrap() {
            speaks("udp", port(resolver), "dns");
        }
        let seeder = profile["swarm"]["stand_in_port"].as_integer().unwrap();
        speaks("tcp", u16::try_from(seeder).unwrap(), "bittorrent");
        let mut udp_trackers = Vec::new();
        for tracker in profile["tracker"].as_array().unwrap() {
            let at = port(&tracker["address"]);
            match tracker["kind"].as_str().unwrap() {
                "udp" => udp_trackers.push(at),
                _ => speaks("tcp", at, "http"),
            }
        }
        Self { decode_as, udp_trackers }
    }
}

/// tshark on one capture.
struct Decoder<'p> {
    packets: PathBuf,
    keys: PathBuf,
    ports: &'p Ports,
}

impl Decoder<'_> {
    /// The fields of every packet that a display filter keeps. UDP trackers' are left out: heuristics take them for something else.
    fn fields(&self, filter: &str, fields: &[&str]) -> Vec<String> {
        let ports: Vec<String> = self.ports.udp_trackers.iter().map(u16::to_string).collect();
        self.tshark(&format!("({filter}) && !(udp.port in {{{}}})", ports.join(", ")), fields)
    }

    fn tshark(&self, filter: &str, fields: &[&str]) -> Vec<String> {
        let mut command = Command::new("tshark");
        command.args(["-n", "-T", "fields", "-o"]);
        command.arg(format!("tls.keylog_file:{}", self.keys.display()));
        command.arg("-r").arg(&self.packets);
        // DHT nodes are everywhere.
        command.args(["--enable-heuristic", "bittorrent_dht_udp"]);
        for decode_as in &self.ports.decode_as {
            command.args(["-d", decode_as]);
        }
        for field in fields {
            command.args(["-e", field]);
        }
        let output = command.args(["-Y", filter]).output().unwrap();
        assert!(output.status.success(), "{filter}: {}", stderr(&output));
        stdout(&output).lines().map(str::to_owned).collect()
    }

    /// Source, destination and payload of what went to and from UDP trackers, in order.
    fn udp_tracker(&self) -> Vec<Datagram> {
        let ports: Vec<String> = self.ports.udp_trackers.iter().map(u16::to_string).collect();
        let fields = ["ip.src", "udp.srcport", "ip.dst", "udp.dstport", "udp.payload"];
        let read = |line: String| {
            let part: Vec<&str> = line.split('\t').collect();
            let address = |ip: &str, port: &str| format!("{ip}:{port}").parse::<SocketAddr>().unwrap();
            let (from, to) = (address(part[0], part[1]), address(part[2], part[3]));
            let payload = (0..part[4].len() / 2)
                .map(|n| u8::from_str_radix(&part[4][2 * n..2 * n + 2], 16).unwrap())
                .collect();
            Datagram { from, to, request: self.ports.udp_trackers.contains(&to.port()), payload }
        };
        let filter = format!("udp.port in {{{}}}", ports.join(", "));
        self.tshark(&filter, &fields).into_iter().map(read).collect()
    }
}

struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    request: bool,
    payload: Vec<u8>,
}

/// Reads both sides of every conversation with a UDP tracker as BEP 15 (and 41 for what may follow an announce) has them. tshark 4.0 has
/// no dissector for it, and no crate that reads both requests and answers is not also in use on one of the two sides. Counts by action
/// and direction; anything that BEP 15 does not allow fails the test.
fn bep15(datagrams: &[Datagram]) -> BTreeMap<(&'static str, &'static str), u64> {
    let number = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    // What each address asked and has been given, by (visitor, tracker).
    let mut asked: BTreeMap<(SocketAddr, SocketAddr, u32), u32> = BTreeMap::new();
    let mut given: BTreeMap<(SocketAddr, SocketAddr), Vec<[u8; 8]>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for Datagram { from, to, request, payload } in datagrams {
        assert!(payload.len() >= 8, "{payload:02x?}");
        let (name, direction) = if *request {
            assert!(payload.len() >= 16, "{payload:02x?}");
            let (action, transaction) = (number(payload, 8), number(payload, 12));
            let connection: [u8; 8] = payload[..8].try_into().unwrap();
            let name = match action {
                0 => {
                    assert_eq!((connection, payload.len()), (0x0417_2710_1980u64.to_be_bytes(), 16));
                    "connect"
                }
                1 => {
                    announce(payload);
                    "announce"
                }
                2 => {
                    assert!(payload.len() > 16 && (payload.len() - 16) % 20 == 0, "{} bytes", payload.len());
                    "scrape"
                }
                other => panic!("action {other}"),
            };
            let own = given.get(&(*from, *to)).is_some_and(|ids| ids.contains(&connection));
            assert!(own || action == 0, "a connection id that the tracker did not give to {from}");
            asked.insert((*from, *to, transaction), action);
            (name, "request")
        } else {
            let (action, transaction) = (number(payload, 0), number(payload, 4));
            assert_eq!(asked.get(&(*to, *from, transaction)), Some(&action), "an answer nobody asked for");
            let name = match action {
                0 => {
                    assert_eq!(payload.len(), 16);
                    given.entry((*to, *from)).or_default().push(payload[8..].try_into().unwrap());
                    "connect"
                }
                1 => {
                    assert!(payload.len() >= 20 && (payload.len() - 20) % 6 == 0, "{} bytes", payload.len());
                    "announce"
                }
                2 => {
                    assert!((payload.len() - 8) % 12 == 0, "{} bytes", payload.len());
                    "scrape"
                }
                other => panic!("action {other}"),
            };
            (name, "response")
        };
        *counts.entry((name, direction)).or_default() += 1;
    }
    counts
}

/// The fields of an announce that are not free: 98 bytes, then options (BEP 41).
fn announce(payload: &[u8]) {
    assert!(payload.len() >= 98, "{} bytes", payload.len());
    let peer_id = &payload[36..56];
    assert!(peer_id[0] == b'-' && peer_id[7] == b'-', "peer id {peer_id:02x?}");
    let event = u32::from_be_bytes(payload[80..84].try_into().unwrap());
    assert!(event <= 3, "event {event}");
    let left = u64::from_be_bytes(payload[64..72].try_into().unwrap());
    assert!(event != 1 || left == 0, "completed with {left} bytes left");
    let numwant = i32::from_be_bytes(payload[92..96].try_into().unwrap());
    assert!(numwant >= -1, "num_want {numwant}");
    assert_ne!(&payload[96..98], [0, 0], "port");
    let mut options = &payload[98..];
    while let Some((&kind, rest)) = options.split_first() {
        options = match kind {
            // End of options, and nothing.
            0 => break,
            1 => rest,
            // A part of the path.
            2 => &rest[1 + usize::from(rest[0])..],
            other => panic!("option {other}"),
        };
    }
}

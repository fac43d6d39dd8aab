//! Relays from outside: real sockets on both sides, counts instead of timing where that is possible.

// Clippy knows test functions, but not that everything here serves them.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);

/// A process of relays, in front of one server.
struct Shape {
    child: Child,
    control: SocketAddr,
    relays: Vec<SocketAddr>,
}

impl Shape {
    fn start(relays: &Value) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_squall-shape"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "{}", json!({ "relays": relays })).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let mut addresses: Vec<SocketAddr> = serde_json::from_str(&line).unwrap();
        let control = addresses.remove(0);
        Self { child, control, relays: addresses }
    }

    /// One relay with these limits before a server.
    fn one(protocol: &str, upstream: SocketAddr, limits: &Value) -> Self {
        Self::start(
            &json!([{ "name": "it", "protocol": protocol, "upstream": upstream, "smallest": 50, "limits": limits }]),
        )
    }

    fn address(&self) -> SocketAddr {
        self.relays[0]
    }

    fn counters(&self) -> Value {
        Control::connect(self).ask(&json!({ "counters": true }))["counters"]["it"].clone()
    }
}

impl Drop for Shape {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the control socket.
struct Control(BufReader<TcpStream>);

impl Control {
    fn connect(shape: &Shape) -> Self {
        Self(BufReader::new(connect(shape.control)))
    }

    fn ask(&mut self, request: &Value) -> Value {
        writeln!(self.0.get_mut(), "{request}").unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn schedule(&mut self, phases: &Value) -> Value {
        self.ask(&json!({ "schedule": phases, "starts_in_seconds": 0.0 }))
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A server that answers every byte with `answer` bytes; and how many it was asked.
fn tcp_server(answer: usize) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, count) = (stream.unwrap(), Arc::clone(&count));
            thread::spawn(move || {
                stream.set_nodelay(true).unwrap();
                let answer = vec![b'x'; answer];
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    count.fetch_add(1, Ordering::Relaxed);
                    if stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

/// A server that answers every datagram with the address that it came from.
fn udp_server() -> (SocketAddr, Arc<AtomicU64>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // On a busy machine it may not get to read for a while.
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            let (_, from) = socket.recv_from(&mut buffer).unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            socket.send_to(from.ip().to_string().as_bytes(), from).unwrap();
        }
    });
    (address, asked)
}

fn udp_client(source: Ipv4Addr, to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket
}

/// What a socket gets as an answer to an operation.
fn ask(socket: &UdpSocket) -> String {
    socket.send(&[0; 98]).unwrap();
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Asks one byte for the whole answer, again and again from so many connections until the end; operations that were answered.
fn closed_loop(address: SocketAddr, connections: usize, answer: usize, end: Instant) -> u64 {
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = connect(address);
                let mut buffer = vec![0; answer];
                let mut answered = 0;
                while Instant::now() < end {
                    stream.write_all(b"?").unwrap();
                    stream.read_exact(&mut buffer).unwrap();
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    clients.into_iter().map(|client| client.join().unwrap()).sum()
}

/// What counters say of two moments some time apart, per second of that time.
fn per_second(shape: &Shape, key: &str, time: Duration) -> f64 {
    let mut control = Control::connect(shape);
    let mut read = || {
        let asked = Instant::now();
        let answer = control.ask(&json!({ "counters": true }));
        // In the middle between question and answer.
        (asked + asked.elapsed() / 2, answer["counters"]["it"][key].as_u64().unwrap())
    };
    let (begun, before) = read();
    thread::sleep(time);
    let (ended, after) = read();
    (after - before) as f64 / (ended - begun).as_secs_f64()
}

fn assert_near(measured: f64, stated: f64) {
    assert!((measured / stated - 1.0).abs() < 0.02, "measured {measured}, stated {stated}");
}

#[test]
fn requests_pass_at_the_stated_rate() {
    let (server, _) = tcp_server(10);
    let shape = Shape::one("tcp", server, &json!({ "rate": 400.0, "waiting": 100 }));
    let (address, end) = (shape.address(), Instant::now() + Duration::from_millis(2500));
    let load = thread::spawn(move || closed_loop(address, 40, 10, end));
    thread::sleep(Duration::from_millis(300));
    assert_near(per_second(&shape, "passed", Duration::from_secs(2)), 400.0);
    let answered = load.join().unwrap();
    let counters = shape.counters();
    assert_eq!(counters["passed"], answered, "{counters}");
    assert_eq!((&counters["operations"], &counters["turned_away"]), (&json!(answered), &json!(0)));
    assert_eq!(counters["bytes_out"], 10 * answered);
    assert!(counters["longest_queue"].as_u64().unwrap() >= 38, "{counters}");
}

#[test]
fn datagrams_pass_at_the_stated_rate_and_what_finds_the_queue_full_is_gone() {
    let (server, asked) = udp_server();
    let shape = Shape::one("udp", server, &json!({ "rate": 1000.0, "waiting": 50 }));
    let sender = udp_client(Ipv4Addr::LOCALHOST, shape.address());
    let begun = Instant::now();
    // Twice what passes.
    let load = thread::spawn(move || {
        let mut sent = 0_u64;
        while begun.elapsed() < Duration::from_millis(2500) {
            let due = begun.elapsed().as_secs_f64() * 2000.0;
            while (sent as f64) < due {
                sender.send(&[0; 98]).unwrap();
                // Connects of BEP 15 are no operations.
                sender.send(&[0; 16]).unwrap();
                sent += 1;
            }
            thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    thread::sleep(Duration::from_millis(300));
    assert_near(per_second(&shape, "passed", Duration::from_secs(2)), 1000.0);
    let sent = load.join().unwrap();
    wait_for(|| {
        let counters = shape.counters();
        let of = |key: &str| counters[key].as_u64().unwrap();
        of("operations") == sent
            && of("passed") + of("turned_away") == sent
            && asked.load(Ordering::Relaxed) == of("passed") + sent
    });
    assert_eq!(shape.counters()["longest_queue"], 50);
}

#[test]
fn servers_are_held_for_their_time_of_service() {
    let (server, _) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({ "service_seconds": 0.02, "parallelism": 3 }));
    let (address, end) = (shape.address(), Instant::now() + Duration::from_millis(2500));
    let load = thread::spawn(move || closed_loop(address, 12, 1, end));
    thread::sleep(Duration::from_millis(300));
    assert_near(per_second(&shape, "passed", Duration::from_secs(2)), 150.0);
    load.join().unwrap();
}

#[test]
fn bandwidth_is_kept_and_shared_fairly() {
    const ANSWER: usize = 400_000;
    let (server, _) = tcp_server(ANSWER);
    let shape = Shape::one("tcp", server, &json!({ "bandwidth": 8e6 }));
    let (address, end) = (shape.address(), Instant::now() + Duration::from_millis(2200));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut stream = connect(address);
                let mut buffer = vec![0; 64 << 10];
                let mut bytes = 0_u64;
                // All answers are asked for at once: whoever is given more takes more.
                stream.write_all(&[b'?'; 60]).unwrap();
                while Instant::now() < end {
                    bytes += stream.read(&mut buffer).unwrap() as u64;
                }
                bytes
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    assert_near(per_second(&shape, "bytes_out", Duration::from_millis(1800)), 8e6);
    let shares: Vec<u64> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let mean = shares.iter().sum::<u64>() as f64 / 4.0;
    assert!(shares.iter().all(|share| (*share as f64 / mean - 1.0).abs() < 0.1), "{shares:?}");
}

/// Waits until something holds.
fn wait_for(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "it never came to that");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a connection was reset, and not just closed.
fn is_reset(mut stream: &TcpStream) -> bool {
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn more_connections_than_there_may_be_are_reset() {
    let (server, _) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({ "connections": 3 }));
    let open: Vec<_> = (0..5).map(|_| connect(shape.address())).collect();
    wait_for(|| shape.counters()["connections"] == 5);
    assert!(open[3..].iter().all(is_reset));
    let mut first = &open[0];
    first.write_all(b"?").unwrap();
    first.read_exact(&mut [0]).unwrap();
    drop(open);
    wait_for(|| shape.counters()["open"] == 0);
    assert_eq!(shape.counters()["connections_turned_away"], 2);
    let mut again = connect(shape.address());
    again.write_all(b"?").unwrap();
    again.read_exact(&mut [0]).unwrap();
}

#[test]
fn new_connections_pass_at_the_stated_rate_and_too_many_are_reset() {
    let (server, asked) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({ "connections_per_second": 50.0, "waiting": 20 }));
    let begun = Instant::now();
    let open: Vec<_> = (0..40).map(|_| connect(shape.address())).collect();
    let results: Vec<_> = open
        .iter()
        .map(|mut stream| {
            let asked = stream.write_all(b"?").and_then(|()| stream.read_exact(&mut [0]));
            asked.is_ok()
        })
        .collect();
    let took = begun.elapsed().as_secs_f64();
    let passed = results.iter().filter(|passed| **passed).count();
    // The first at once, twenty wait, and some more for the time that it took to connect.
    assert!((21..=25).contains(&passed), "{passed}");
    assert!(took > 0.39, "20 connections at 50/s: {took} s");
    assert_eq!(asked.load(Ordering::Relaxed), passed as u64);
    assert_eq!(shape.counters()["connections_turned_away"], 40 - passed);
}

#[test]
fn servers_see_the_address_of_each_client() {
    let (server, _) = udp_server();
    let shape = Shape::one("udp", server, &json!({}));
    let clients: Vec<_> = (1..=60)
        .map(|n| {
            // Several at one address, and an address each.
            let address = Ipv4Addr::new(127, 16, 0, if n > 30 { 1 } else { n });
            (address, udp_client(address, shape.address()))
        })
        .collect();
    for _ in 0..2 {
        for (address, client) in &clients {
            assert_eq!(ask(client), address.to_string());
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let shape = Shape::one("tcp", listener.local_addr().unwrap(), &json!({}));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 20, 1, 1), 0)).into()).unwrap();
    socket.connect(&shape.address().into()).unwrap();
    let (_, seen) = listener.accept().unwrap();
    assert_eq!(seen.ip(), Ipv4Addr::new(127, 20, 1, 1));
}

#[test]
fn ends_and_resets_are_passed_on_to_the_other_side() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let shape = Shape::one("tcp", listener.local_addr().unwrap(), &json!({}));
    let mut client = connect(shape.address());
    client.write_all(b"all").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut read = String::new();
    server.read_to_string(&mut read).unwrap();
    assert_eq!(read, "all", "half of the connection is still open");
    server.write_all(b"of it").unwrap();
    drop(server);
    client.read_to_string(&mut read).unwrap();
    assert_eq!(read, "allof it");

    let client = connect(shape.address());
    let (server, _) = listener.accept().unwrap();
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    assert!(is_reset(&client));
}

#[test]
fn losses_are_as_many_as_stated_and_counted() {
    let (server, asked) = udp_server();
    let shape = Shape::one("udp", server, &json!({ "loss": 0.25 }));
    let client = udp_client(Ipv4Addr::LOCALHOST, shape.address());
    for sent in 1..=4000 {
        client.send(&[0; 98]).unwrap();
        if sent % 100 == 0 {
            wait_for(|| {
                let counters = shape.counters();
                counters["operations"] == sent && counters["passed"] == asked.load(Ordering::Relaxed)
            });
        }
    }
    let lost = shape.counters()["dropped"].as_u64().unwrap();
    // Four standard deviations.
    assert!(lost.abs_diff(1000) < 110, "{lost}");
    wait_for(|| asked.load(Ordering::Relaxed) == 4000 - lost);

    let (server, asked) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({ "loss": 1.0 }));
    let mut client = connect(shape.address());
    client.write_all(b"?").unwrap();
    assert!(is_reset(&client));
    assert_eq!((asked.load(Ordering::Relaxed), &shape.counters()["dropped"]), (0, &json!(1)));
}

#[test]
fn faults_hold_on_their_clock_and_end_with_the_connection() {
    let (server, _) = udp_server();
    let shape = Shape::one("udp", server, &json!({}));
    let mut control = Control::connect(&shape);
    let phase = |at: f64, lasts: f64, set: Value| json!({ "at_seconds": at, "for_seconds": lasts, "relay": "it", "set": set });
    let client = udp_client(Ipv4Addr::LOCALHOST, shape.address());
    let slow = phase(0.4, 60.0, json!({ "latency_seconds": 0.2, "jitter_seconds": 0.05 }));
    let dead = phase(0.0, 0.4, json!({ "black_hole": true }));
    let begun = Instant::now();
    assert_eq!(control.schedule(&json!([slow, dead])), json!({ "ok": true }));
    // What is asked now is never answered; what is asked after it, late.
    client.send(&[0; 98]).unwrap();
    wait_for(|| shape.counters()["dropped"] == 1);
    client.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    wait_for(|| {
        client.send(&[0; 98]).unwrap();
        client.recv(&mut [0; 64]).is_ok()
    });
    assert!(begun.elapsed() > Duration::from_millis(550), "{:?}", begun.elapsed());
    // Another schedule takes its place.
    assert_eq!(control.schedule(&json!([phase(0.0, 60.0, json!({ "loss": 1.0 }))])), json!({ "ok": true }));
    let before = shape.counters()["dropped"].as_u64().unwrap();
    client.send(&[0; 98]).unwrap();
    wait_for(|| shape.counters()["dropped"] == before + 1);
    drop(control);
    wait_for(|| {
        client.send(&[0; 98]).unwrap();
        client.recv(&mut [0; 64]).is_ok()
    });
}

#[test]
fn who_steers_takes_nothing_back_that_others_have_handed_over() {
    let (server, _) = udp_server();
    let shape = Shape::one("udp", server, &json!({}));
    let client = udp_client(Ipv4Addr::LOCALHOST, shape.address());
    let (mut one, mut other) = (Control::connect(&shape), Control::connect(&shape));
    let lost = json!({ "at_seconds": 0.0, "for_seconds": 60.0, "relay": "it", "set": { "loss": 1.0 } });
    assert_eq!(one.schedule(&json!([lost])), json!({ "ok": true }));
    assert_eq!(other.schedule(&json!([])), json!({ "ok": true }));
    drop(other);
    // It is gone once the relay has closed its side too; the counters are asked for on connections of their own.
    for sent in 1..=10 {
        client.send(&[0; 98]).unwrap();
        wait_for(|| shape.counters()["operations"] == sent);
    }
    assert_eq!(shape.counters()["dropped"], 10);
    assert_eq!(one.schedule(&json!([])), json!({ "ok": true }));
    assert_eq!(ask(&client), "127.0.0.1");
}

#[test]
fn relays_outlast_a_want_of_descriptors() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    let (server, _) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({}));
    let may_open = |descriptors| {
        let limit = Rlimit { current: Some(descriptors), maximum: getrlimit(Resource::Nofile).maximum };
        prlimit(Some(Pid::from_child(&shape.child)), Resource::Nofile, limit).unwrap();
    };
    // The limit is one of numbers: none is free below the first that is not taken.
    let is_taken =
        |number| std::fs::symlink_metadata(format!("/proc/{}/fd/{number}", shape.child.id())).is_ok();
    let free = (0..).find(|number| !is_taken(*number)).unwrap();
    may_open(free);
    let (mut control, mut client) = (Control::connect(&shape), connect(shape.address()));
    thread::sleep(Duration::from_millis(50));
    may_open(free + 20);
    client.write_all(b"?").unwrap();
    client.read_exact(&mut [0]).unwrap();
    assert_eq!(control.ask(&json!({ "counters": true }))["ok"], true);
}

#[test]
fn a_black_hole_takes_connections_and_answers_nothing() {
    let (server, asked) = tcp_server(1);
    let shape = Shape::one("tcp", server, &json!({ "black_hole": true }));
    let mut client = connect(shape.address());
    client.write_all(b"?").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let nothing = client.read(&mut [0]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    assert_eq!((asked.load(Ordering::Relaxed), &shape.counters()["open"]), (0, &json!(1)));
}

#[test]
fn a_server_can_be_named_later() {
    let (server, _) = tcp_server(1);
    let shape = Shape::start(&json!([{ "name": "it", "protocol": "tcp" }]));
    assert!(is_reset(&connect(shape.address())));
    assert_eq!(shape.counters()["failed"], 1);
    let answer = Control::connect(&shape).ask(&json!({ "upstream": { "it": server } }));
    assert_eq!(answer, json!({ "ok": true }));
    let mut client = connect(shape.address());
    client.write_all(b"?").unwrap();
    client.read_exact(&mut [0]).unwrap();
}

#[test]
fn what_cannot_be_granted_is_named() {
    let shape = Shape::one("udp", udp_server().0, &json!({}));
    let mut control = Control::connect(&shape);
    let mut error = |request: Value| {
        let answer = control.ask(&request);
        assert_eq!(answer["ok"], false);
        answer["error"].as_str().unwrap().to_owned()
    };
    let phase = |relay: &str, set: Value| json!({ "schedule": [{ "at_seconds": 0, "for_seconds": 1, "relay": relay, "set": set }], "starts_in_seconds": 0 });
    assert_eq!(error(phase("that", json!({}))), "there is no relay `that`");
    assert!(error(phase("it", json!({ "rate": 0 }))).starts_with("the relay `it`: `rate` must be"));
    assert!(error(phase("it", json!({ "connections": 1 }))).contains("datagrams have no connections"));
    assert!(error(phase("it", json!({ "speed": 1 }))).contains("unknown field `speed`"));
    assert!(error(json!({ "upstream": { "that": "127.0.0.1:1" } })).contains("no relay `that`"));
    assert!(error(json!("?")).contains("invalid type"));

    let refused = |assignment: Value| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_squall-shape")).arg(assignment.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let relay = json!({ "name": "a", "protocol": "tcp" });
    assert_eq!(refused(json!({ "relays": [relay, relay] })), "there are two relays `a`\n");
    assert_eq!(
        refused(json!({ "relays": [], "control": "0.0.0.0:0" })),
        "the control address must be one of loopback\n"
    );
}

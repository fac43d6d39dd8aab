//! The testbed from outside: every layer spoken to in bytes written by hand, and every way in which it has to end.

// Clippy knows test functions, but not that everything here serves them.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use common::{LIMIT, Profile, block_of_piece, hex, options, start};
use librqbit_sha1_wrapper::{ISha1, Sha1};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use squall_harness::{Testbed, TestbedError};

/// The address that the seedbox announces as its own.
const SEEDBOX: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 254);

fn http_get(address: &str, path: &str) -> (u16, Vec<u8>) {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: testbed\r\nConnection: close\r\n\r\n"))
}

fn http_post(address: &str, path: &str, json: &str) -> (u16, Vec<u8>) {
    let length = json.len();
    let header = format!("Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close");
    exchange(address, &format!("POST {path} HTTP/1.1\r\nHost: testbed\r\n{header}\r\n\r\n{json}"))
}

/// Sends an HTTP request on a connection of its own: status and body of the answer.
fn exchange(address: &str, request: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    (status, answer.split_off(body))
}

/// Sends one datagram and returns the first answer to it.
fn ask(socket: &UdpSocket, packet: &[u8]) -> Vec<u8> {
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.send(packet).unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    buffer[..length].to_vec()
}

fn udp(source: Ipv4Addr, target: &str) -> UdpSocket {
    let socket = UdpSocket::bind((source, 0)).unwrap();
    socket.connect(target).unwrap();
    socket
}

/// Announces (BEP 15) `port` from `source` and returns seeders and peers.
fn announce(tracker: &str, source: Ipv4Addr, info_hash: &[u8; 20], port: u16) -> (u32, Vec<SocketAddrV4>) {
    let socket = udp(source, tracker);
    let connected =
        ask(&socket, &[&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0][..], b"tid1"].concat());
    assert_eq!(connected[..8], *b"\0\0\0\0tid1");
    let fields = [
        &connected[8..16],
        b"\0\0\0\x01tid2",
        info_hash,
        b"-SQ0000-visitor-0001",
        &[0; 8],              // downloaded
        &1_u64.to_be_bytes(), // left
        &[0; 8],              // uploaded
        &2_u32.to_be_bytes(), // event: started
        &[0; 8],              // address and key
        &(-1_i32).to_be_bytes(),
        &port.to_be_bytes(),
    ];
    let answer = ask(&socket, &fields.concat());
    assert_eq!(answer[..8], *b"\0\0\0\x01tid2");
    let seeders = u32::from_be_bytes(answer[16..20].try_into().unwrap());
    (seeders, answer[20..].chunks(6).map(compact).collect())
}

fn compact(bytes: &[u8]) -> SocketAddrV4 {
    let [a, b, c, d, high, low] = bytes.try_into().unwrap();
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))
}

#[test]
fn web_layers_serve_pages_assets_and_torrents() {
    let (_testbed, profile) = start(&[("one", 16 << 10), ("two", 100_001)]);
    let index = profile.text("index", "address");
    let (status, page) = http_get(&index, "/content/two");
    let page = String::from_utf8(page).unwrap();
    assert_eq!(status, 200);
    assert!(page.contains(&format!("magnet:?xt=urn:btih:{}", profile.content("two", "info_hash"))), "{page}");
    assert!(page.contains("/torrents/two.torrent"), "{page}");
    for asset in profile.value()["index"]["assets"].as_array().unwrap() {
        let (status, body) = http_get(&index, asset.as_str().unwrap());
        assert_eq!(status, 200, "{asset}");
        assert!(body.len() > 2048, "{asset}");
    }
    assert_eq!(http_get(&index, "/support").0, 200);
    let (status, answer) = http_post(&index, "/rpc", r#"{"jsonrpc":"2.0","method":"getBalance","id":7}"#);
    assert_eq!((status, &answer[..]), (200, &br#"{"id":7,"jsonrpc":"2.0","result":{"ok":true}}"#[..]));
    assert_eq!(
        http_post(&index, "/login", r#"{"user":"a"}"#),
        (200, br#"{"ok":true,"sent":{"user":"a"}}"#.to_vec())
    );
    assert_eq!(http_post(&index, "/login", "{").0, 400);
    assert_eq!(http_get(&index, "/help/magnet-links").0, 200);
    assert_eq!(http_get(&index, "/content/three").0, 404);

    let metadata = profile.text("metadata", "address");
    for name in ["one", "two"] {
        let (status, file) = http_get(&metadata, &profile.content(name, "torrent"));
        let torrent = librqbit::torrent_from_bytes(&file).unwrap();
        assert_eq!(status, 200);
        assert_eq!(hex(&torrent.info_hash.0), profile.content(name, "info_hash"));
    }
    assert_eq!(http_get(&metadata, "/torrents/three.torrent").0, 404);
}

#[test]
fn the_gateway_serves_blocks_and_cars_by_their_cid() {
    let (_testbed, profile) = start(&[("small", 100_001), ("large", (256 << 10) + 1)]);
    let gateway = profile.text("gateway", "address");
    let get = |name: &str, format: &str| {
        http_get(&gateway, &format!("/ipfs/{}{format}", profile.content(name, "cid")))
    };
    let (status, block) = get("small", "?format=raw");
    assert_eq!((status, block.len()), (200, 100_001), "one leaf");
    // A header of 59 bytes, the length and the name of the one block.
    let (status, car) = get("small", "?format=car&dag-scope=all");
    assert_eq!((status, car.len()), (200, 59 + 3 + 36 + 100_001));
    assert!(
        car.starts_with(b"\x3a\xa2\x65roots\x81\xd8\x2a\x58\x25\x00\x01\x55\x12\x20")
            && car.ends_with(&block)
    );
    let (status, root) = get("large", "?format=raw");
    assert!(status == 200 && root.len() < 200, "links to two leaves");
    let (status, car) = get("large", "?format=car&dag-scope=all");
    assert!(status == 200 && car.len() > (256 << 10) + root.len());
    assert_eq!(get("large", "").0, 406);
    assert_eq!(http_get(&gateway, "/ipfs/bafkqaaa?format=raw").0, 404);
}

#[test]
fn a_web_seed_serves_files_whole_and_in_parts() {
    let (_testbed, profile) = start(&[("item-01", 100_000)]);
    let (_, torrent) = http_get(&profile.text("metadata", "address"), "/torrents/item-01.torrent");
    // Web seeds have no relay before them, as the gateway has none.
    let metadata = profile.text("gateway", "address");
    let url = format!("http://{metadata}/files/");
    assert!(torrent.ends_with(format!("8:url-list{}:{url}e", url.len()).as_bytes()));
    let (status, whole) = http_get(&metadata, "/files/item-01");
    assert_eq!((status, whole.len()), (200, 100_000));
    let part = |range: &str| {
        let request =
            format!("GET /files/item-01 HTTP/1.1\r\nHost: x\r\nRange: {range}\r\nConnection: close\r\n\r\n");
        exchange(&metadata, &request)
    };
    assert_eq!(part("bytes=0-0"), (206, whole[..1].to_vec()));
    assert_eq!(part("bytes=65530-70000"), (206, whole[65_530..=70_000].to_vec()));
    assert_eq!(part("bytes=-7"), (206, whole[99_993..].to_vec()));
    assert_eq!(part("bytes=99990-200000"), (206, whole[99_990..].to_vec()));
    assert_eq!(part("bytes=100000-").0, 416);
    assert_eq!(part("bytes=0-9,20-29"), (200, whole.clone()), "more than one part");
    assert_eq!(part("lines=1-2"), (200, whole));
    assert_eq!(http_get(&metadata, "/files/item-02").0, 404);
}

#[test]
fn the_tracker_returns_the_seedbox_to_visitors_that_announce_its_port() {
    let (_testbed, profile) = start(&[("one", 16 << 10)]);
    let (tracker, hash, port) =
        (profile.text("tracker", "address"), profile.info_hash("one"), profile.stand_in_port());
    let seedbox = SocketAddrV4::new(SEEDBOX, port);
    // Two visitors at the same address and port are one peer to the tracker, and both get the seedbox.
    for _ in 0..2 {
        assert_eq!(announce(&tracker, Ipv4Addr::LOCALHOST, &hash, port), (1, vec![seedbox]));
    }
    let other = Ipv4Addr::new(127, 0, 0, 2);
    let (seeders, mut peers) = announce(&tracker, other, &hash, port);
    peers.sort();
    assert_eq!((seeders, peers), (1, vec![SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), seedbox]));
}

#[test]
fn the_dht_answers_pings_and_knows_the_seedbox() {
    let (_testbed, profile) = start(&[("one", 16 << 10)]);
    let nodes = profile.bootstrap();
    assert!(nodes.len() >= 3);
    for node in &nodes {
        let pong = ask(
            &udp(Ipv4Addr::LOCALHOST, node),
            b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t4:tid11:y1:qe",
        );
        assert!(pong.windows(8).any(|window| window == b"1:t4:tid"), "{}", String::from_utf8_lossy(&pong));
    }
    // 24 nodes, of which every one knows most others: one step finds those that hold the item.
    let lookup = [
        &b"d1:ad2:id20:abcdefghij01234567899:info_hash20:"[..],
        &profile.info_hash("one"),
        b"e1:q9:get_peers1:t4:tid21:y1:qe",
    ];
    let lookup = lookup.concat();
    let mut found = Vec::new();
    let mut waiting: Vec<String> = nodes;
    let mut asked = Vec::new();
    while let Some(node) = waiting.pop() {
        let answer = ask(&udp(Ipv4Addr::LOCALHOST, &node), &lookup);
        asked.push(node);
        found.extend(after(&answer, b"6:valuesl6:").map(|bytes| compact(&bytes[..6])));
        let closer = after(&answer, b"5:nodes").into_iter().flat_map(|bytes| {
            let start = bytes.iter().position(|byte| *byte == b':').unwrap() + 1;
            let length: usize = std::str::from_utf8(&bytes[..start - 1]).unwrap().parse().unwrap();
            bytes[start..start + length]
                .chunks(26)
                .map(|node| compact(&node[20..]).to_string())
                .collect::<Vec<_>>()
        });
        waiting.extend(closer.filter(|node| !asked.contains(node)).collect::<Vec<_>>());
        waiting.sort();
        waiting.dedup();
    }
    assert!(asked.len() >= 20, "only {} nodes were heard of", asked.len());
    assert!(found.len() >= 8, "{found:?}");
    assert!(
        found.iter().all(|peer| *peer == SocketAddrV4::new(SEEDBOX, profile.stand_in_port())),
        "{found:?}"
    );
}

/// What follows `key` in `bytes`.
fn after<'a>(bytes: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    bytes.windows(key.len()).position(|window| window == key).map(|start| &bytes[start + key.len()..])
}

#[test]
fn the_seedbox_serves_true_pieces_on_every_loopback_address() {
    // The size is a multiple of the piece length.
    let (_testbed, profile) = start(&[("one", 16 << 10)]);
    let (_, file) = http_get(&profile.text("metadata", "address"), &profile.content("one", "torrent"));
    let pieces = after(&file, b"6:pieces20:").unwrap()[..20].to_vec();
    for address in [Ipv4Addr::LOCALHOST, SEEDBOX, Ipv4Addr::new(127, 3, 4, 5)] {
        let target = SocketAddr::from((address, profile.stand_in_port()));
        let block = block_of_piece(target, &profile.info_hash("one"), 0, 16 << 10);
        let mut hash = Sha1::new();
        hash.update(&block);
        assert_eq!(hash.finish()[..], pieces, "{address}");
    }
}

#[test]
fn relays_with_stated_capacities_stand_before_the_layers() {
    let (_testbed, profile) = start(&[("one", 16 << 10)]);
    let (hash, port) = (profile.info_hash("one"), profile.stand_in_port());
    assert_eq!(http_get(&profile.text("index", "address"), "/").0, 200);
    assert_eq!(http_get(&profile.text("metadata", "address"), &profile.content("one", "torrent")).0, 200);
    announce(&profile.text("tracker", "address"), Ipv4Addr::new(127, 0, 0, 9), &hash, port);
    block_of_piece(SocketAddr::from((SEEDBOX, port)), &hash, 0, 16 << 10);

    let shaper = profile.value()["shaper"].as_array().unwrap();
    let mut control = TcpStream::connect(shaper[0]["control"].as_str().unwrap()).unwrap();
    control.write_all(b"{\"counters\":true}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(control).read_line(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    // What the seedbox and the tests of the layers said to each other did not come by here, and connects of BEP 15 are no operations.
    for relay in shaper {
        let counters = &answer["counters"][relay["relay"].as_str().unwrap()];
        let connections = u64::from(relay["layer"].as_str() != Some("tracker"));
        assert_eq!(counters["connections"], connections, "{relay}: {counters}");
        assert_eq!(counters["turned_away"], 0, "{relay}: {counters}");
        if relay["layer"].as_str() != Some("seedbox") {
            assert_eq!(counters["passed"], 1, "{relay}: {counters}");
        }
    }
    let capacity = &profile.value()["capacity"];
    let stated = |layer: &str, key: &str| capacity[layer][key].as_str().map(str::to_owned);
    assert_eq!(stated("tracker", "rate").as_deref(), Some("2000/s"));
    assert_eq!(stated("seedbox", "bandwidth").as_deref(), Some("200 MiB/s"));
    assert!(capacity.get("dht").is_none());
}

#[test]
fn the_same_seed_gives_the_same_content() {
    let hashes = |seed| {
        let testbed =
            Testbed::start(&squall_harness::Options { seed, ..options(&[("one", 50_000)]) }).unwrap();
        Profile::parse(&testbed.profile()).content("one", "info_hash")
    };
    let first = hashes(1);
    assert_eq!(first, hashes(1));
    assert_ne!(first, hashes(2));
}

#[test]
fn a_tracker_that_was_stopped_goes_on() {
    let (testbed, profile) = start(&[("one", 16 << 10)]);
    let (tracker, hash, port) =
        (profile.text("tracker", "address"), profile.info_hash("one"), profile.stand_in_port());
    let pid = testbed.processes().into_iter().find(|(layer, _)| layer == "tracker").unwrap().1;
    for _ in 0..3 {
        common::signal(pid, Signal::STOP);
        common::signal(pid, Signal::CONT);
        // Until it listens again, a datagram is refused.
        let begun = Instant::now();
        let connect = [&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0][..], b"tid0"].concat();
        let socket = udp(Ipv4Addr::LOCALHOST, &tracker);
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while socket.send(&connect).and_then(|_| socket.recv(&mut [0; 64])).is_err() {
            assert!(begun.elapsed() < LIMIT, "the tracker does not answer any more");
        }
        announce(&tracker, Ipv4Addr::LOCALHOST, &hash, port);
    }
}

#[test]
fn stop_ends_every_layer_even_one_that_is_stopped() {
    let (testbed, _) = start(&[("one", 16 << 10)]);
    let processes = testbed.processes();
    let names: Vec<&str> = processes.iter().map(|(layer, _)| layer.as_str()).collect();
    assert_eq!(names, ["index", "metadata", "tracker", "dht", "seedbox", "shape"]);
    let pids: Vec<u32> = processes.iter().map(|(_, pid)| *pid).collect();
    let exits = common::Exits::of(&pids);
    common::signal(pids[3], Signal::STOP);
    let begun = Instant::now();
    testbed.stop();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    exits.wait(Duration::ZERO);
}

#[test]
fn every_layer_ends_when_the_parent_is_killed() {
    let mut parent = common::Standalone::start("one=16384");
    let exits = common::Exits::of(&parent.pids);
    // One that cannot read the end of its standard input.
    common::signal(parent.pids[2], Signal::STOP);
    parent.kill();
    exits.wait(Duration::from_secs(5));
}

#[test]
fn ctrl_c_is_left_to_the_parent() {
    let (testbed, _) = start(&[("one", 16 << 10)]);
    let own = rustix::process::getpgrp();
    for (layer, pid) in testbed.processes() {
        let group = rustix::process::getpgid(Pid::from_raw(pid as i32)).unwrap();
        assert_ne!(group, own, "{layer} would get the signal too");
    }
}

#[test]
fn a_program_that_is_no_layer_is_named_with_its_last_words() {
    let error = |program: &str| {
        let options = squall_harness::Options { program: program.into(), ..options(&[("one", 1)]) };
        Testbed::start(&options).unwrap_err()
    };
    assert_eq!(
        error("/nonexistent/squall").to_string(),
        "the testbed's tracker layer: cannot start /nonexistent/squall: No such file or directory (os error 2)"
    );
    let ended = error("cat");
    assert!(matches!(ended, TestbedError::Ended { layer: "tracker", .. }), "{ended:?}");
    let message = ended.to_string();
    assert!(
        message.starts_with("the testbed's tracker layer ended before it was ready (exit status: 1)\n  "),
        "{message}"
    );
    assert!(message.contains("testbed-layer"), "{message}");
    assert_eq!(
        error("echo").to_string(),
        "the testbed's tracker layer answered `testbed-layer tracker` instead of its addresses"
    );
}

#[test]
fn a_layer_says_why_it_cannot_be_one() {
    let said = |args: &[&str], input: &str| common::run(args, input);
    assert_eq!(said(&["testbed-layer", "cdn"], ""), (1, "there is no layer `cdn`\n".to_owned()));
    let (code, message) = said(&["testbed-layer", "dht"], "nonsense\n");
    assert_eq!(code, 1);
    assert!(message.starts_with("reading the assignment: expected"), "{message}");
}

#[test]
fn pidfd_sees_an_end() {
    // The instrument of the tests above: it must not call a living process ended.
    let parent = common::Standalone::start("one=16384");
    let pidfd = pidfd_open(Pid::from_raw(parent.pids[0] as i32).unwrap(), PidfdFlags::empty()).unwrap();
    assert!(!common::ended(&pidfd, Duration::ZERO));
    kill_process(Pid::from_raw(parent.pids[0] as i32).unwrap(), Signal::KILL).unwrap();
    assert!(common::ended(&pidfd, LIMIT));
}

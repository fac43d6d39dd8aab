use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::fixture::{authorization, target};
use super::super::udp::outbox::Outbox;
use super::*;
use crate::profile::{Layer, MetricsEndpoint};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

fn guard() -> Guard {
    Guard::new(&target(LOOPBACK)).unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn loopback_is_free_and_everything_else_is_not() {
    let guard = guard();
    for free in ["127.0.0.1:1", "127.255.255.254:9", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
        assert_eq!(guard.check(at(free)), Ok(()), "{free}");
    }
    for outside in
        ["126.255.255.255:1", "128.0.0.0:1", "0.0.0.0:80", "[::]:80", "[::2]:80", "[::ffff:8.8.8.8]:53"]
    {
        let refusal = guard.check(at(outside)).unwrap_err();
        assert!(matches!(refusal, Refusal::Outside { .. }), "{outside}");
        assert!(refusal.to_string().contains("`fixture`"), "{refusal}");
    }
}

#[test]
fn every_address_of_a_target_counts() {
    let outside = at("192.0.2.1:80");
    let change: [fn(&mut Target, SocketAddr); 5] = [
        |target, address| target.index.server.address = address,
        |target, address| target.metadata.address = address,
        |target, address| target.trackers[0].address = address,
        |target, address| target.dht.push(address),
        |target, address| {
            let (layer, path, series) = (Layer::Index, "/metrics".to_owned(), Default::default());
            target.metrics.push(MetricsEndpoint { layer, address, path, prometheus: false, series });
        },
    ];
    for change in change {
        let mut target = target(LOOPBACK);
        change(&mut target, outside);
        assert!(matches!(Guard::new(&target), Err(Refusal::Outside { address, .. }) if address == outside));
        target.authorization = Some(authorization("192.0.2.0/24"));
        assert!(Guard::new(&target).is_ok());
        assert!(Guard::new(&target).unwrap().check(at("192.0.3.1:80")).is_err());
    }
}

#[test]
fn an_authorization_needs_contact_token_ceiling_bounds_and_its_window() {
    let change: [fn(&mut Authorization); 7] = [
        |it| it.contact = " ".to_owned(),
        |it| it.token = String::new(),
        |it| it.ceiling = 0.0,
        |it| it.ceiling = f64::NAN,
        |it| it.networks.push("0.0.0.0/0".parse().unwrap()),
        |it| it.until = jiff::Timestamp::UNIX_EPOCH,
        |it| it.from = jiff::Timestamp::MAX,
    ];
    for change in change {
        let mut target = target(at("192.0.2.1:80"));
        let mut leave = authorization("192.0.2.0/24");
        change(&mut leave);
        target.authorization = Some(leave);
        assert!(matches!(Guard::new(&target), Err(Refusal::Incomplete { .. } | Refusal::Window { .. })));
    }
}

#[test]
fn a_withdrawn_authorization_leaves_loopback_only() {
    let mut target = target(at("192.0.2.1:80"));
    target.authorization = Some(authorization("192.0.2.0/24"));
    let guard = Guard::new(&target).unwrap();
    guard.withdraw();
    assert!(guard.check(at("192.0.2.1:80")).is_err());
    assert!(guard.check(LOOPBACK).is_ok());
}

#[test]
fn the_ceiling_holds_in_every_second_and_loopback_has_none() {
    let mut target = target(at("192.0.2.1:80"));
    target.authorization = Some(Authorization { ceiling: 2.9, ..authorization("192.0.2.0/24") });
    let guard = Guard::new(&target).unwrap();
    let admitted = |millis: u64| guard.admits(|| Tick::from_millis(millis));
    let seen: Vec<bool> = [0, 1, 999, 1000, 1500, 1600, 5000].into_iter().map(admitted).collect();
    assert_eq!(seen, [true, true, false, true, true, false, true]);
    // A search drives one run after the other, each from second 0 on.
    guard.restart();
    assert_eq!([0, 1, 2, 1000, 1001].map(admitted), [true, true, false, true, true]);
    assert!((0..100).all(|_| self::guard().admits(|| Tick::ZERO)));
}

#[tokio::test]
async fn sockets_refuse_what_the_guard_refuses() {
    let guard = Arc::new(guard());
    assert_eq!(guard.connect(at("192.0.2.1:80"), None).await.unwrap_err(), Cause::Foreign);
    let socket = guard.bind(LOOPBACK.ip()).unwrap();
    assert_eq!(socket.send(b"x", at("192.0.2.1:80")).await, Err(Cause::Foreign));
    let socket = guard.bind_any(LOOPBACK.ip()).unwrap();
    let mut outbox = Outbox::default();
    outbox.put(b"x", None, at("192.0.2.1:80"), None);
    assert_eq!(socket.send(&outbox.take().unwrap()).await, Err((0, Cause::Foreign)));
    let socket = guard.utp(SocketAddr::new(LOOPBACK.ip(), 0)).unwrap();
    assert_eq!(socket.connect(at("192.0.2.1:80")).await.err(), Some(Cause::Foreign));
}

#[tokio::test]
async fn over_utp_a_stranger_hears_nothing() {
    let only = vec![network(LOOPBACK.ip(), 32)];
    let guard = Arc::new(Guard::with_free(&target(LOOPBACK), only, jiff::Timestamp::now()).unwrap());
    let local = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let socket = guard.utp(local).unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // ST_SYN of version 1 (BEP 29), with connection id 7 and sequence number 1.
    let syn = [0x41, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    stranger.send_to(&syn, local).await.unwrap();
    peer.send_to(&syn, local).await.unwrap();
    let _stream = socket.accept().await.unwrap();
    let mut answer = [0; 64];
    let (length, from) = peer.recv_from(&mut answer).await.unwrap();
    // ST_STATE: what it acknowledges is the sequence number.
    assert_eq!((length, from, &answer[..4], &answer[18..20]), (20, local, &[0x21, 0, 0, 7][..], &[0, 1][..]));
    assert!(stranger.try_recv(&mut answer).is_err());
}

#[tokio::test]
async fn a_closed_connection_ends_cleanly_and_leaves_no_port_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let guard = guard();
    let mut ours = guard.connect(listener.local_addr().unwrap(), None).await.unwrap();
    let port = ours.0.local_addr().unwrap().port();
    let (mut theirs, _) = listener.accept().await.unwrap();
    ours.write_all(b"hello").await.unwrap();
    drop(ours);
    let mut read = Vec::new();
    assert_eq!(theirs.read_to_end(&mut read).await.unwrap(), 5, "a clean end, not a reset");
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(" 0100007F:{port:04X} ");
    assert!(!sockets.lines().any(|line| line.contains(&local) && line.contains(" 06 ")), "TIME_WAIT");
}

#[tokio::test]
async fn nothing_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(guard().connect(port, None).await.unwrap_err(), Cause::Refused);
}

proptest! {
    #[test]
    fn no_address_outside_loopback_passes(bits in any::<u32>(), port in any::<u16>()) {
        let address = SocketAddr::from((Ipv4Addr::from_bits(bits), port));
        prop_assert_eq!(guard().allows(address), address.ip().is_loopback());
    }
}

//! Visitors have the addresses that their target's profile names, over TCP and UDP, IPv4 and IPv6.
//!
//! The networks have to be routed to the machine, so the test runs itself once more in a network namespace of its own (`unshare`).

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod program;
mod support;

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::rc::Rc;

use ipnet::IpNet;
use program::{stderr, stdout, unshared};
use squall::journey::{Operation, Reply};
use squall::plan::AnnounceEvent;
use support::{PATIENCE, authorization, local, peers, perform, target, world};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const INSIDE: &str = "SQUALL_TEST_INSIDE_NAMESPACE";
const VISITORS: u64 = 50;
const ANNOUNCE: Operation =
    Operation::Announce { event: AnnounceEvent::Started, left: 1, downloaded: 0, numwant: None };

#[test]
fn visitors_have_the_addresses_of_the_profile() {
    let this = std::env::current_exe().unwrap();
    let Some(mut command) = unshared(&this.display().to_string()) else {
        assert!(
            std::env::var_os("SQUALL_REQUIRE_DAEMONS").is_none(),
            "no network namespace to be had: unshare and ip (iproute2) are needed"
        );
        println!("skipped: no network namespace to be had (unshare, iproute2)");
        return;
    };
    let output =
        command.args(["--exact", "inside", "--ignored", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("1 passed"), "{}", stdout(&output));
}

#[test]
#[ignore = "runs inside the namespace that `visitors_have_the_addresses_of_the_profile` makes"]
fn inside() {
    assert!(std::env::var_os(INSIDE).is_some(), "started by the other test only");
    for arguments in [
        "link set lo up",
        "address add 10.77.0.1/32 dev lo",
        "route add local 10.77.128.0/17 dev lo",
        "-6 route add local fd00:5::/64 dev lo",
    ] {
        assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "{arguments}");
    }
    for (server, pool) in
        [("127.0.0.1", "127.16.0.0/12"), ("10.77.0.1", "10.77.128.0/17"), ("::1", "fd00:5::/64")]
    {
        local(come_from_pool(server.parse().unwrap(), pool.parse().unwrap()));
    }
}

/// Addresses that a server was contacted from.
type Seen = Rc<RefCell<HashSet<IpAddr>>>;

/// Visitors load a page from this server and announce to it.
async fn come_from_pool(server: IpAddr, pool: IpNet) {
    let (web, loaded) = web(server).await;
    let (tracker, announced) = tracker(server).await;
    let mut mine = target(web, [0; 20]);
    mine.trackers[0].address = tracker;
    mine.dht.clear();
    mine.visitor_networks = vec![pool];
    let server_alone = IpNet::new(server, if server.is_ipv4() { 32 } else { 128 }).unwrap();
    mine.authorization = Some(authorization(server_alone, 1e6));
    let mut world = world(mine, PATIENCE);
    for n in 0..VISITORS {
        assert_eq!(perform(&mut world, n, Operation::Page).await.result, Ok(Reply::Done), "{server}");
        assert_eq!(peers(perform(&mut world, n, ANNOUNCE).await), [], "{server}");
    }
    for seen in [loaded, announced] {
        let seen = seen.borrow();
        assert_eq!(seen.len() as u64, VISITORS, "{server}: {seen:?}");
        assert!(seen.iter().all(|address| pool.contains(address)), "{server}: {seen:?}");
    }
}

async fn web(at: IpAddr) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind((at, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            log.borrow_mut().insert(from.ip());
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 2048];
                while let Ok(1..) = stream.read(&mut buffer).await {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
                }
            });
        }
    });
    (address, seen)
}

/// A tracker (BEP 15) that counts its visitors and names nobody.
async fn tracker(at: IpAddr) -> (SocketAddr, Seen) {
    let socket = UdpSocket::bind((at, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    let seen = Seen::default();
    let log = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 200];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            log.borrow_mut().insert(from.ip());
            let leeches = u32::try_from(log.borrow().len()).unwrap().to_be_bytes();
            let id = &buffer[12..16];
            let answer = match length {
                16 => [&[0; 4], id, &[1; 8]].concat(),
                _ => [&[0, 0, 0, 1], id, &[0, 0, 7, 8], &leeches, &[0; 4]].concat(),
            };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    (address, seen)
}

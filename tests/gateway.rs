//! Trustless gateways as visitors meet them: honest, and lying in every way that a CID can tell.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy sees the helpers of an integration test as ordinary code"
)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use cid::Cid;
use cid::multihash::Multihash;
use ipld_dagpb::{PbLink, PbNode};
use iroh_car::{CarHeader, CarWriter};
use sha2::{Digest, Sha256};
use squall::journey::{Cause, Operation, Outcome, Reply};
use squall::profile::{Gateway, HttpEndpoint};
use support::{PATIENCE, local, perform, scenario, target, visitor, world, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn name(codec: u64, block: &[u8]) -> Cid {
    Cid::new_v1(codec, Multihash::wrap(0x12, &Sha256::digest(block)).unwrap())
}

/// A file over parts of less than 128 bytes, or of a multiple of 128 below 16 KiB.
fn node(parts: &[(Cid, usize)]) -> Vec<u8> {
    let varint = |size: usize| if size < 128 { vec![size as u8] } else { vec![0x80, (size / 128) as u8] };
    let sizes = parts.iter().flat_map(|(_, size)| [vec![0x20], varint(*size)].concat());
    let data = [0x08, 0x02].into_iter().chain(sizes).collect::<Vec<u8>>().into();
    let links = parts.iter().map(|(cid, _)| PbLink { cid: *cid, name: Some(String::new()), size: None });
    PbNode { links: links.collect(), data: Some(data) }.into_bytes()
}

/// A leaf, and a node with two leaves, under a root: 4 KiB and 2 × 4 KiB.
struct Dag {
    root: (Cid, Vec<u8>),
    leaf: (Cid, Vec<u8>),
    below: (Cid, Vec<u8>),
    car: Vec<u8>,
}

const LEAF: usize = 4 << 10;

async fn dag() -> Dag {
    let [leaf, left, right] = [1, 2, 3].map(|byte| (name(0x55, &[byte; LEAF]), vec![byte; LEAF]));
    let below = node(&[(left.0, LEAF), (right.0, LEAF)]);
    let below = (name(0x70, &below), below);
    let root = node(&[(leaf.0, LEAF), (below.0, 2 * LEAF)]);
    let root = (name(0x70, &root), root);
    let mut car = Vec::new();
    let mut writer = CarWriter::new(CarHeader::new_v1(vec![below.0]), &mut car);
    for (cid, block) in [&below, &left, &right] {
        writer.write(*cid, block).await.unwrap();
    }
    Dag { root, leaf, below, car }
}

/// A gateway that answers by path with a status and a body; the log holds the requests of each connection.
async fn serve(
    answer: impl Fn(&str) -> (u16, Vec<u8>) + 'static,
) -> (SocketAddr, Rc<RefCell<Vec<Vec<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let (seen, answer) = (Rc::clone(&log), Rc::new(answer));
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let connection = seen.borrow().len();
            seen.borrow_mut().push(Vec::new());
            let (seen, answer) = (Rc::clone(&seen), Rc::clone(&answer));
            tokio::task::spawn_local(async move {
                let mut buffer = [0; 2048];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let request = String::from_utf8(buffer[..read].to_vec()).unwrap();
                    let (status, body) = answer(request.split(' ').nth(1).unwrap());
                    seen.borrow_mut()[connection].push(request);
                    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n", body.len());
                    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
                }
            });
        }
    });
    (address, log)
}

/// A target whose content is this DAG.
fn gateway(address: SocketAddr, root: Cid) -> squall::profile::Target {
    let mut target = target(address, [0; 20]);
    let server = HttpEndpoint::plain(address, "gateway.test".to_owned());
    target.gateway = Some(Gateway { server, path: "/ipfs/{cid}".to_owned() });
    target.content[0].torrent = None;
    target.content[0].cid = Some(root);
    target
}

/// What an honest gateway answers, unless `lie` says otherwise.
fn honest(dag: &Dag) -> impl Fn(&str) -> (u16, Vec<u8>) + use<> {
    let pages = [
        (format!("/ipfs/{}?format=raw", dag.root.0), dag.root.1.clone()),
        (format!("/ipfs/{}?format=raw", dag.leaf.0), dag.leaf.1.clone()),
        (format!("/ipfs/{}?format=car&dag-scope=all", dag.below.0), dag.car.clone()),
    ];
    move |path| {
        let page = pages.iter().find(|(at, _)| at == path);
        page.map_or((404, b"no such block".to_vec()), |(_, body)| (200, body.clone()))
    }
}

async fn read(address: SocketAddr, root: Cid) -> [Outcome; 3] {
    let mut world = world(gateway(address, root), PATIENCE);
    let mut step = async |operation| perform(&mut world, 1, operation).await;
    [
        step(Operation::Open).await,
        step(Operation::Block { index: 0 }).await,
        step(Operation::Block { index: 1 }).await,
    ]
}

#[test]
fn blocks_and_cars_are_read_on_one_connection() {
    local(async {
        let dag = dag().await;
        let (address, log) = serve(honest(&dag)).await;
        let mut world = world(gateway(address, dag.root.0), PATIENCE);
        let root = perform(&mut world, 1, Operation::Root).await;
        assert_eq!(root.result, Ok(Reply::Metadata { pieces: 2, size: 3 * LEAF as u64, web_seeds: false }));
        assert_eq!(root.bytes_in, dag.root.1.len() as u64);
        let [open, leaf, below] = read(address, dag.root.0).await;
        assert_eq!(open.result, Ok(Reply::Handshake { pieces: 2, size: 3 * LEAF as u64 }));
        assert_eq!((leaf.result, leaf.bytes_in), (Ok(Reply::Done), LEAF as u64));
        assert_eq!((below.result, below.bytes_in), (Ok(Reply::Done), dag.car.len() as u64));
        assert_eq!((open.web.http1, leaf.web.http1, below.web.http1), (1, 1, 1));
        let log = log.borrow();
        assert_eq!(log.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3]);
        assert!(log[1][1].to_lowercase().contains("accept: application/vnd.ipld.raw\r\n"), "{}", log[1][1]);
        assert!(log[1][2].to_lowercase().contains("accept: application/vnd.ipld.car;"), "{}", log[1][2]);
        assert!(log[1][2].to_lowercase().contains("host: gateway.test\r\n"), "{}", log[1][2]);
    });
}

#[test]
fn lies_are_caught_with_their_cause() {
    type Case = (&'static str, fn(&str, u16, Vec<u8>) -> (u16, Vec<u8>), [Result<(), Cause>; 3]);
    let cases: [Case; 7] = [
        (
            "another root",
            |path, status, _| {
                if path.contains("raw") { (status, b"another".to_vec()) } else { (status, vec![]) }
            },
            [Err(Cause::Incorrect), Err(Cause::Closed), Err(Cause::Closed)],
        ),
        (
            "a wrong byte in a block",
            |_, status, mut body| {
                if body.len() == LEAF {
                    body[9] ^= 1
                }
                (status, body)
            },
            [Ok(()), Err(Cause::Incorrect), Err(Cause::Closed)],
        ),
        (
            "a wrong byte in a CAR",
            |_, status, mut body| {
                if body.len() > LEAF {
                    body[LEAF] ^= 1
                }
                (status, body)
            },
            [Ok(()), Ok(()), Err(Cause::Incorrect)],
        ),
        (
            "a CAR that ends early",
            |_, status, mut body| {
                if body.len() > LEAF {
                    body.truncate(body.len() - LEAF - 40)
                }
                (status, body)
            },
            [Ok(()), Ok(()), Err(Cause::Malformed)],
        ),
        (
            "a page instead of a CAR",
            |_, status, body| {
                if body.len() > LEAF { (status, b"<html>sorry</html>".to_vec()) } else { (status, body) }
            },
            [Ok(()), Ok(()), Err(Cause::Malformed)],
        ),
        (
            "more than there can be",
            |_, status, mut body| {
                if body.len() > LEAF {
                    body.resize(1 << 20, 0)
                }
                (status, body)
            },
            [Ok(()), Ok(()), Err(Cause::Malformed)],
        ),
        (
            "nothing there",
            |_, _, _| (404, Vec::new()),
            [Err(Cause::ClientError), Err(Cause::Closed), Err(Cause::Closed)],
        ),
    ];
    local(async {
        let dag = dag().await;
        for (what, lie, expected) in cases {
            let honest = honest(&dag);
            let (address, _) = serve(move |path| {
                let (status, body) = honest(path);
                lie(path, status, body)
            })
            .await;
            let found = read(address, dag.root.0).await.map(|outcome| outcome.result.map(drop));
            assert_eq!(found, expected, "{what}");
        }
    });
}

#[test]
fn a_root_without_links_is_the_whole_file_and_the_line_carries_it_no_faster_than_it_can() {
    local(async {
        let body = vec![7; 400_000];
        let root = name(0x55, &body);
        let (address, log) = serve(move |_| (200, body.clone())).await;
        let mut slow = scenario(PATIENCE);
        slow.access.members[0].0.down = 400_000.0;
        let mut world = world_of(gateway(address, root), slow);
        let open = perform(&mut world, 1, Operation::Open).await;
        assert_eq!(open.result, Ok(Reply::Handshake { pieces: 1, size: 400_000 }));
        let took = open.ended.since(open.started);
        // All but what the line takes at once.
        assert!(took >= Duration::from_millis(830), "{took:?}");
        let block = perform(&mut world, 1, Operation::Block { index: 0 }).await;
        assert_eq!((block.result, block.bytes_in), (Ok(Reply::Done), 0), "it is there already");
        assert_eq!(log.borrow().len(), 1);
    });
}

#[test]
fn content_without_a_torrent_is_never_looked_for_in_a_swarm() {
    local(async {
        let dag = dag().await;
        let (address, log) = serve(honest(&dag)).await;
        let mut world = world(gateway(address, dag.root.0), PATIENCE);
        for operation in [Operation::Torrent, Operation::Lookup { announce: false }, Operation::Crawl] {
            assert_eq!(perform(&mut world, visitor(1).seed, operation).await.result, Err(Cause::Local));
        }
        assert!(log.borrow().is_empty());
    });
}

//! Against nodes that are written out by hand.

use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::*;
use crate::journey::Outcome;

const TIMES: QueryTimes = QueryTimes { short: Duration::from_millis(40), long: Duration::from_millis(120) };
const SEARCH: Search = Search { source: 1, own: [9; 20], info_hash: [7; 20], announce: None };

/// What a node answers to any query; the transaction id is put in.
#[derive(Clone)]
enum Say {
    /// The inside of the dictionary `r`, after the id.
    Answer(String),
    Error,
    Garbage,
    Nothing,
}

fn id_of(n: u8) -> Id {
    [b'a' + n; 20]
}

/// Starts a node that says this; returns its address and the queries that it saw.
async fn node(socket: UdpSocket, n: u8, say: Say) -> std::rc::Rc<RefCell<Vec<Vec<u8>>>> {
    let seen = std::rc::Rc::new(RefCell::new(Vec::new()));
    let log = std::rc::Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let query = buffer[..length].to_vec();
            let id = krpc::transaction(&query).unwrap().to_be_bytes();
            log.borrow_mut().push(query);
            let body = match &say {
                Say::Answer(rest) => {
                    let own = String::from_utf8(id_of(n).to_vec()).unwrap();
                    let rest: Vec<u8> = rest.chars().map(|it| it as u8).collect();
                    [format!("d1:rd2:id20:{own}").as_bytes(), &rest, b"e1:t4:", &id, b"1:y1:re"].concat()
                }
                Say::Error => [b"d1:eli202e3:sade1:t4:", &id[..], b"1:y1:ee"].concat(),
                Say::Garbage => [b"d1:t4:", &id[..], b"1:y1:re"].concat(),
                Say::Nothing => continue,
            };
            socket.send_to(&body, from).await.unwrap();
        }
    });
    seen
}

/// Bytes as the characters of the same number, so that answers can be put together as text.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

fn compact(n: u8, address: SocketAddr) -> String {
    let SocketAddr::V4(v4) = address else { panic!("IPv4 only") };
    text(&[&id_of(n)[..], &v4.ip().octets(), &v4.port().to_be_bytes()].concat())
}

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn open(bootstrap: SocketAddr) -> Dht {
    let guard = Arc::new(Guard::new(&target(bootstrap)).unwrap());
    Dht::open(&guard, Clock::start(), vec![bootstrap], 1, TIMES).unwrap()
}

async fn search(dht: &Dht, search: Search) -> (Result<Vec<Peer>, Cause>, Outcome) {
    let meter = Meter::new(dht.clock);
    let result = dht.search(search, &meter).await;
    (result, meter.outcome(None))
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), LocalSet::new().run_until(test)).await.unwrap()
}

/// Bootstrap node 0 knows node 1, a silent node and a foreign one; node 1 has two peers.
#[tokio::test]
async fn a_lookup_walks_to_the_peers_announces_and_remembers() {
    local(async {
        let ((first, at_first), (second, at_second), (silent, at_silent)) =
            (socket().await, socket().await, socket().await);
        let foreign = "192.0.2.1:6881".parse().unwrap();
        let nodes = [compact(1, at_second), compact(2, at_silent), compact(3, foreign)].concat();
        let seen = node(first, 0, Say::Answer(format!("5:nodes78:{nodes}5:token1:x"))).await;
        let values = text(b"6:\x7f\0\0\x01\x1a\xe1") + &text(b"6:\xc0\0\x02\x01\x1a\xe1");
        let holder = node(second, 1, Say::Answer(format!("5:token2:yz6:valuesl{values}e"))).await;
        node(silent, 2, Say::Nothing).await;
        let dht = open(at_first);
        let (peers, outcome) = search(&dht, Search { announce: Some(6881), ..SEARCH }).await;
        let expected: Vec<Peer> = vec!["127.0.0.1:6881".parse().unwrap(), "192.0.2.1:6881".parse().unwrap()];
        assert_eq!(peers, Ok(expected), "peers are judged by the caller");
        assert_eq!(outcome.foreign, 1, "the foreign node was counted and not asked");
        let ok = outcome.parts.iter().filter(|part| part.result.is_ok()).count();
        let late = outcome.parts.iter().filter(|part| part.result == Err(Cause::Timeout)).count();
        assert_eq!((ok, late), (4, 1), "two get_peers, two announce_peer, one silence: {:?}", outcome.parts);
        assert!(holder.borrow()[1].windows(10).any(|it| it == b"5:token2:y"), "the node's own token");
        assert_eq!(seen.borrow().len(), 2);
        let (_, outcome) = search(&dht, SEARCH).await;
        assert_eq!(outcome.parts.iter().filter(|part| part.result.is_ok()).count(), 2);
        assert_eq!(dht.good.borrow().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn nodes_that_do_not_help_have_their_cause() {
    for (say, cause) in
        [(Say::Error, Cause::Rejected), (Say::Garbage, Cause::Malformed), (Say::Nothing, Cause::Timeout)]
    {
        local(async {
            let (only, address) = socket().await;
            node(only, 0, say).await;
            let (result, outcome) = search(&open(address), SEARCH).await;
            assert_eq!(result, Err(cause));
            assert_eq!(outcome.parts.iter().map(|part| part.result).collect::<Vec<_>>(), [Err(cause)]);
        })
        .await;
    }
}

#[tokio::test]
async fn patience_that_ends_a_lookup_records_its_queries() {
    local(async {
        let (_silent, address) = socket().await;
        let dht = open(address);
        let meter = Meter::new(dht.clock);
        let cut = tokio::time::timeout(Duration::from_millis(10), dht.search(SEARCH, &meter)).await;
        assert!(cut.is_err());
        assert_eq!(meter.outcome(None).parts[0].result, Err(Cause::Timeout));
        assert!(dht.pool.port(1).is_some());
    })
    .await;
}

#[tokio::test]
async fn without_tokens_nobody_takes_an_announce() {
    local(async {
        let (only, address) = socket().await;
        node(only, 0, Say::Answer("5:nodes0:".to_owned())).await;
        assert_eq!(search(&open(address), SEARCH).await.0, Ok(vec![]));
        let announce = Search { announce: Some(1), ..SEARCH };
        assert_eq!(search(&open(address), announce).await.0, Err(Cause::Rejected));
    })
    .await;
}

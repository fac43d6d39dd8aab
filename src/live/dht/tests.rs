//! Against nodes that are written out by hand.

use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::table::Acquaintances;
use super::*;
use crate::journey::Outcome;

const INFO_HASH: Id = [7; 20];

fn habits() -> DhtHabits {
    let times = (Duration::from_millis(40), Duration::from_millis(120));
    DhtHabits { short_timeout: times.0, timeout: times.1, fresh: 0.0, ..DhtHabits::default() }
}

/// What a node answers to any query; the transaction id is put in.
#[derive(Clone)]
enum Say {
    /// The inside of the dictionary `r`, after the id.
    Answer(String),
    Error,
    Garbage,
    /// The same answer two times.
    Twice,
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
                Say::Twice => {
                    let own = id_of(n);
                    let once = [b"d1:rd2:id20:", &own[..], b"5:token1:xe1:t4:", &id, b"1:y1:re"].concat();
                    socket.send_to(&once, from).await.unwrap();
                    once
                }
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
    open_at(&target(bootstrap))
}

fn open_at(target: &Target) -> Dht {
    let guard = Arc::new(Guard::new(target).unwrap());
    Dht::open(&guard, Clock::start(), target, &Sources::new(&[], (1, 2)).unwrap(), 1.0).unwrap()
}

/// A lookup of visitor 1, whose node keeps what it learns in `node`.
async fn search(dht: &Dht, node: &OwnNode, tokens: bool) -> (Result<Vec<Peer>, Cause>, Outcome) {
    let meter = Meter::new(dht.clock);
    let habits = habits();
    let search = Search { seed: 1, source: 1, reachable: true, habits: &habits, node, info_hash: INFO_HASH };
    let result = dht.search(search, tokens, &meter).await;
    (result, meter.outcome(None))
}

async fn announce(dht: &Dht, node: &OwnNode) -> (Result<(), Cause>, Outcome) {
    let meter = Meter::new(dht.clock);
    let habits = habits();
    let search = Search { seed: 1, source: 1, reachable: true, habits: &habits, node, info_hash: INFO_HASH };
    let result = dht.announce(search, (6881, true), &meter).await;
    (result, meter.outcome(None))
}

/// How many queries ended so.
fn ended(outcome: &Outcome, result: Result<(), Cause>) -> usize {
    outcome.parts.iter().filter(|part| part.result == result).count()
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
        let (dht, node) = (open(at_first), OwnNode::default());
        let (peers, outcome) = search(&dht, &node, true).await;
        let expected: Vec<Peer> = vec!["127.0.0.1:6881".parse().unwrap(), "192.0.2.1:6881".parse().unwrap()];
        assert_eq!(peers, Ok(expected), "peers are judged by the caller");
        assert_eq!(outcome.foreign, 2, "the foreign node was counted, each time, and not asked");
        // The worker knows nobody yet, so that the visitor begins with a lookup of its own id.
        assert_eq!(
            (ended(&outcome, Ok(())), ended(&outcome, Err(Cause::Timeout))),
            (4, 2),
            "{:?}",
            outcome.parts
        );
        let names = |at: usize| seen.borrow()[at].windows(9).any(|it| it == b"find_node");
        assert!(names(0) && !names(1), "find_node, then get_peers");
        let (taken, outcome) = announce(&dht, &node).await;
        assert_eq!((taken, ended(&outcome, Ok(())), outcome.parts.len()), (Ok(()), 2, 2));
        assert!(holder.borrow()[2].windows(10).any(|it| it == b"5:token2:y"), "the node's own token");
        assert_eq!(seen.borrow().len(), 3);
        // The same visitor again, and another one who has long been there: neither begins anew.
        for node in [node, OwnNode::default()] {
            let (_, outcome) = search(&dht, &node, false).await;
            assert_eq!(ended(&outcome, Ok(())), 2);
        }
        assert_eq!(seen.borrow().len(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_fresh_node_pings_and_looks_itself_up_where_its_client_does() {
    local(async {
        let (only, address) = socket().await;
        let seen = node(only, 0, Say::Answer("5:nodes0:".to_owned())).await;
        let dht = open(address);
        search(&dht, &OwnNode::default(), false).await.0.unwrap();
        seen.borrow_mut().clear();
        let habits = DhtHabits { fresh: 1.0, pings: true, ..habits() };
        let search = Search {
            seed: 3,
            source: 3,
            reachable: true,
            habits: &habits,
            node: &OwnNode::default(),
            info_hash: INFO_HASH,
        };
        dht.search(search, false, &Meter::new(dht.clock)).await.unwrap();
        let names: Vec<_> = seen.borrow().iter().map(|query| krpc_name(query)).collect();
        assert_eq!(names, ["ping", "find_node", "get_peers"]);
    })
    .await;
}

fn krpc_name(query: &[u8]) -> &'static str {
    let names = ["ping", "find_node", "get_peers", "announce_peer"];
    names.into_iter().find(|name| query.windows(name.len()).any(|it| it == name.as_bytes())).unwrap()
}

#[tokio::test]
async fn nodes_that_do_not_help_have_their_cause() {
    for (say, cause) in
        [(Say::Error, Cause::Rejected), (Say::Garbage, Cause::Malformed), (Say::Nothing, Cause::Timeout)]
    {
        local(async {
            let (only, address) = socket().await;
            node(only, 0, say).await;
            let (result, outcome) = search(&open(address), &OwnNode::default(), false).await;
            assert_eq!(result, Err(cause));
            assert_eq!(outcome.parts.iter().map(|part| part.result).collect::<Vec<_>>(), [Err(cause)]);
        })
        .await;
    }
}

/// Bootstrap node 0 is honest and names node 1, which is not: what that is called, and what its queries end with.
#[tokio::test]
async fn lies_are_told_apart() {
    let nodes = |n: u8| {
        text(&(0..n).flat_map(|n| [&[n; 20][..], &[127, 0, 0, 9, 1, n]].concat()).collect::<Vec<_>>())
    };
    let lies = [
        (Say::Answer(format!("5:nodes{}:{}5:token1:x", 9 * 26, nodes(9))), Oddity::TooMany, Cause::Incorrect),
        (Say::Answer("5:nodes0:".to_owned()), Oddity::NoToken, Cause::Incorrect),
        (Say::Answer("5:nodes1:x5:token1:x".to_owned()), Oddity::Length, Cause::Malformed),
        (Say::Answer("5:token1:x6:valuesl5:abcdee".to_owned()), Oddity::Length, Cause::Malformed),
    ];
    for (lie, oddity, cause) in lies {
        local(async {
            let ((first, at_first), (second, at_second)) = (socket().await, socket().await);
            node(first, 0, Say::Answer(format!("5:nodes26:{}5:token1:x", compact(1, at_second)))).await;
            node(second, 1, lie).await;
            let (result, outcome) = search(&open(at_first), &OwnNode::default(), true).await;
            assert_eq!(result, Ok(vec![]), "one of two is honest");
            assert!(outcome.oddities.contains(&(oddity, 1)), "{oddity:?}: {:?}", outcome.oddities);
            assert!(ended(&outcome, Err(cause)) >= 1, "{oddity:?}: {:?}", outcome.parts);
        })
        .await;
    }
}

#[tokio::test]
async fn a_node_that_calls_itself_otherwise_fails_the_query() {
    local(async {
        let ((first, at_first), (second, at_second)) = (socket().await, socket().await);
        node(first, 0, Say::Answer(format!("5:nodes26:{}", compact(1, at_second)))).await;
        node(second, 2, Say::Answer("5:nodes0:".to_owned())).await;
        let (_, outcome) = search(&open(at_first), &OwnNode::default(), false).await;
        assert_eq!(outcome.oddities, [(Oddity::OtherId, 1), (Oddity::OtherId, 1)], "each time");
        assert_eq!(ended(&outcome, Err(Cause::Incorrect)), 2);
    })
    .await;
}

#[tokio::test]
async fn a_lookup_all_of_whose_answers_are_wrong_has_failed() {
    local(async {
        let (only, address) = socket().await;
        node(only, 0, Say::Answer("5:nodes0:".to_owned())).await;
        let dht = open(address);
        assert_eq!(search(&dht, &OwnNode::default(), true).await.0, Err(Cause::Incorrect), "no token");
        assert_eq!(search(&dht, &OwnNode::default(), false).await.0, Ok(vec![]), "none is needed");
        assert_eq!(announce(&dht, &OwnNode::default()).await.0, Err(Cause::NoPeers), "nobody to announce to");
    })
    .await;
}

#[tokio::test]
async fn duplicates_and_answers_of_others_are_counted_and_not_taken() {
    local(async {
        let ((first, at_first), (other, _)) = (socket().await, socket().await);
        let seen = std::rc::Rc::new(RefCell::new(0));
        let count = std::rc::Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 500];
            while let Ok((length, from)) = first.recv_from(&mut buffer).await {
                *count.borrow_mut() += 1;
                let id = krpc::transaction(&buffer[..length]).unwrap().to_be_bytes();
                let answer = [b"d1:rd2:id20:", &id_of(0)[..], b"5:token1:xe1:t4:", &id, b"1:y1:re"].concat();
                other.send_to(&answer, from).await.unwrap();
                other.send_to(b"d1:t4:zzzz1:y1:re", from).await.unwrap();
                first.send_to(&answer, from).await.unwrap();
                first.send_to(&answer, from).await.unwrap();
            }
        });
        let dht = open(at_first);
        let node = OwnNode::default();
        search(&dht, &node, false).await.0.unwrap();
        let (_, outcome) = search(&dht, &node, false).await;
        let times = |oddity| outcome.oddities.iter().filter(|it| it.0 == oddity).map(|it| it.1).sum::<u32>();
        assert!(times(Oddity::OtherSource) >= 1 && times(Oddity::Unasked) >= 1, "{:?}", outcome.oddities);
        assert!(times(Oddity::Duplicate) >= 1, "{:?}", outcome.oddities);
        assert_eq!(*seen.borrow(), 3);
    })
    .await;
}

#[tokio::test]
async fn ids_are_held_against_their_address_where_the_profile_says_so() {
    local(async {
        let (only, address) = socket().await;
        node(only, 0, Say::Twice).await;
        let mut target = target(address);
        for expected in [0, 2] {
            let (_, outcome) = search(&open_at(&target), &OwnNode::default(), false).await;
            let insecure = outcome.oddities.iter().filter(|it| it.0 == Oddity::InsecureId).count();
            assert_eq!(insecure, expected, "{:?}", outcome.oddities);
            target.dht_nodes.check_local_ids = true;
        }
    })
    .await;
}

/// The first visitor at an address cannot be reached, the second can; they ask as one node, and as that it answers.
#[tokio::test]
async fn visitors_that_can_be_reached_answer_and_the_others_say_that_they_do_not() {
    local(async {
        let (only, address) = socket().await;
        let dht = open(address);
        let habits = habits();
        let mut buffer = [0; 500];
        let mut ids = Vec::new();
        for reachable in [false, true] {
            let search = Search {
                seed: 1 + u64::from(reachable),
                source: 1,
                reachable,
                habits: &habits,
                node: &OwnNode::default(),
                info_hash: INFO_HASH,
            };
            dht.search(search, false, &Meter::new(dht.clock)).await.unwrap_err();
            let (length, visitor) = only.recv_from(&mut buffer).await.unwrap();
            let query = &buffer[..length];
            assert_eq!(query.windows(6).any(|it| it == b"2:roi1"), !reachable);
            ids.push(query[12..32].to_vec());
            if !reachable {
                continue;
            }
            only.send_to(&Query::Ping.encode(7, &id_of(0), false), visitor).await.unwrap();
            let (length, from) = only.recv_from(&mut buffer).await.unwrap();
            assert_eq!((from, krpc::transaction(&buffer[..length])), (visitor, Some(7)));
            let pong = krpc::read(&buffer[..length]).unwrap();
            ids.push(pong.id.to_vec());
            let after = Meter::new(Clock::start());
            dht.networks[0].pool.count_strays(&after);
            assert_eq!(after.outcome(None).oddities, [], "a query is nothing odd");
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "one node: {ids:?}");
    })
    .await;
}

#[tokio::test]
async fn a_visitors_own_id_is_bound_to_its_address() {
    local(async {
        let (only, address) = socket().await;
        let seen = node(only, 0, Say::Answer("5:nodes0:".to_owned())).await;
        search(&open(address), &OwnNode::default(), false).await.0.unwrap();
        let query = seen.borrow()[0].clone();
        let own: Id = query[12..32].try_into().unwrap();
        assert!(id::allows("127.80.0.2".parse().unwrap(), &own), "{own:?}");
    })
    .await;
}

/// A network of 1,000 nodes that each know what BEP 5 lets them know, without a socket. Queries of a warm visitor's lookup, on average.
fn mean_queries(known: usize) -> f64 {
    let mut random = SplitMix64::seed_from_u64(5);
    let mut draw = || {
        let mut id: Id = [0; 20];
        random.fill_bytes(&mut id);
        id
    };
    let nodes: Vec<Node> =
        (1..=1_000).map(|n| Node { id: draw(), address: ([127, 0, 0, 1], n).into() }).collect();
    let now = Tick(1);
    let mut tables = std::collections::HashMap::new();
    let mut acquaintances = Acquaintances::default();
    nodes[..known].iter().for_each(|node| acquaintances.add(*node, now));
    let mut queries = 0;
    for seed in 0..40 {
        let (own, key) = (draw(), draw());
        let nearest = acquaintances.table(own, seed, now).closest(&key, 8, now);
        let mut lookup = Lookup::new(key, Breadth { alpha: 5, width: 8 }, nearest, []);
        while !lookup.is_over() {
            let asked: Vec<SocketAddr> = std::iter::from_fn(|| lookup.next_query()).collect();
            for address in asked {
                queries += 1;
                let node = nodes[usize::from(address.port()) - 1];
                let table = tables.entry(address).or_insert_with(|| {
                    let mut table = Table::fresh(node.id);
                    nodes.iter().filter(|it| it.id != node.id).for_each(|it| table.add(*it, now));
                    table
                });
                lookup.answered(address, node.id, Some(Vec::new()));
                lookup.offer(table.closest(&key, 8, now));
            }
        }
    }
    f64::from(queries) / 40.0
}

/// 15 to 60 queries are what a lone client sends; eight would be those of one who knows everybody.
#[test]
fn queries_follow_from_a_visitors_own_table_and_not_from_what_its_worker_knows() {
    let [few, all] = [60, 1_000].map(mean_queries);
    println!("{few} queries a lookup where the worker knows 60 of 1,000 nodes, {all} where it knows all");
    assert!((12.0..40.0).contains(&few) && (12.0..40.0).contains(&all), "{few} and {all}");
}

#[tokio::test]
async fn a_crawl_samples_and_an_interval_beyond_the_standard_is_wrong() {
    for (interval, result) in [(60, Ok(())), (21_601, Err(Cause::Incorrect)), (-1, Err(Cause::Incorrect))] {
        local(async {
            let (only, address) = socket().await;
            let answer = format!("8:intervali{interval}e3:numi1e7:samples20:aaaaaaaaaaaaaaaaaaaa");
            let seen = node(only, 0, Say::Answer(answer)).await;
            let dht = open(address);
            let (meter, habits) = (Meter::new(dht.clock), habits());
            let search = Search {
                seed: 1,
                source: 1,
                reachable: true,
                habits: &habits,
                node: &OwnNode::default(),
                info_hash: INFO_HASH,
            };
            assert_eq!(dht.crawl(search, &meter).await, result);
            let samples = |query: &Vec<u8>| query.windows(17).any(|it| it == b"sample_infohashes");
            assert!(result.is_err() || samples(seen.borrow().last().unwrap()));
        })
        .await;
    }
}

#[tokio::test]
async fn both_families_are_searched_at_the_same_time() {
    local(async {
        let six = UdpSocket::bind("[::1]:0").await.unwrap();
        let at_six = six.local_addr().unwrap();
        let (first, at_first) = socket().await;
        let hidden = UdpSocket::bind("[::1]:0").await.unwrap();
        let at_hidden = hidden.local_addr().unwrap();
        let SocketAddr::V6(v6) = at_hidden else { panic!("IPv6") };
        let named = text(&[&id_of(2)[..], &v6.ip().octets(), &v6.port().to_be_bytes()].concat());
        // The IPv4 node alone knows the second IPv6 node, and that one alone has a peer.
        let four = node(first, 0, Say::Answer(format!("6:nodes638:{named}5:token1:x"))).await;
        node(six, 1, Say::Answer("6:nodes60:5:token1:x".to_owned())).await;
        let peer = text(b"18:\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1a\xe1");
        node(hidden, 2, Say::Answer(format!("5:token1:x6:valuesl{peer}e"))).await;
        let mut target = target(at_first);
        target.dht.push(at_six);
        let (dht, own) = (open_at(&target), OwnNode::default());
        let (peers, outcome) = search(&dht, &own, true).await;
        assert_eq!(peers, Ok(vec!["[::1]:6881".parse().unwrap()]), "{:?}", outcome.parts);
        assert!(four.borrow()[0].windows(16).any(|it| it == b"4:wantl2:n42:n6e"));
        let (taken, outcome) = announce(&dht, &own).await;
        assert_eq!((taken, outcome.parts.len()), (Ok(()), 3));
    })
    .await;
}

#[tokio::test]
async fn patience_that_ends_a_lookup_records_its_queries() {
    local(async {
        let (_silent, address) = socket().await;
        let dht = open(address);
        let meter = Meter::new(dht.clock);
        let habits = habits();
        let search = Search {
            seed: 1,
            source: 1,
            reachable: true,
            habits: &habits,
            node: &OwnNode::default(),
            info_hash: INFO_HASH,
        };
        let cut = tokio::time::timeout(Duration::from_millis(10), dht.search(search, false, &meter)).await;
        assert!(cut.is_err());
        assert_eq!(meter.outcome(None).parts[0].result, Err(Cause::Timeout));
    })
    .await;
}

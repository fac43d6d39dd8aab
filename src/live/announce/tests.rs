//! Against a tracker that plays a script: what it answers to the n-th datagram.

use tokio::net::UdpSocket;
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::udp::{CONNECTION_LIFE, ConnectionId};
use super::*;
use crate::journey::Outcome;
use crate::profile::{DhtHabits, Encryption, TrackerHabits};
use crate::unit::Tick;

fn sources() -> Sources {
    Sources::new(&[], (0, 1)).unwrap()
}

/// An announcer of one worker whose visitors' patience is kept; within a `LocalSet`.
fn announcer(guard: &Arc<Guard>, clock: Clock, target: &Target, retransmit: Duration) -> Announcer {
    let patience = Patience::new(clock);
    tokio::task::spawn_local(patience.clone().keep());
    Announcer::open(guard, clock, target, &sources(), 1, (&patience, retransmit)).unwrap()
}

fn client() -> Client {
    Client {
        name: "test".to_owned(),
        peer_id_prefix: *b"-SQ0001-",
        user_agent: "test/1".to_owned(),
        http2: 0.0,
        http3: 0.0,
        numwant: -1,
        utp: 0.0,
        encryption: Encryption::Disabled,
        tracker: TrackerHabits::default(),
        dht: true,
        lookup: DhtHabits::default(),
    }
}

const ANNOUNCE: Announce = Announce {
    info_hash: [7; 20],
    peer_id: [1; 20],
    downloaded: 0,
    left: 9,
    uploaded: 0,
    event: AnnounceEvent::Started,
    key: 2,
    numwant: -1,
    port: 6881,
};

/// One answer: its action, whether the transaction id is right, and the rest.
type Answer = (u32, bool, &'static [u8]);

const ID: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 42];
const ONE_PEER: &[u8] = &[0, 0, 7, 8, 0, 0, 0, 9, 0, 0, 0, 1, 127, 0, 0, 1, 0x1a, 0xe1];

/// Announces once against the script; returns the peers, the meter's outcome and the datagrams that the tracker saw.
async fn play(script: &'static [&'static [Answer]]) -> (Result<Vec<Peer>, Cause>, Outcome, Vec<Vec<u8>>) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let guard = Arc::new(Guard::new(&target(address)).unwrap());
    let run = async {
        let tracker = tokio::task::spawn_local(async move {
            let mut seen = Vec::new();
            for answers in script {
                let mut buffer = [0; 200];
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                seen.push(buffer[..length].to_vec());
                for (action, right, rest) in *answers {
                    let mut id = buffer[12..16].to_vec();
                    id[0] ^= u8::from(!right);
                    server.send_to(&[&action.to_be_bytes(), &id[..], rest].concat(), from).await.unwrap();
                }
            }
            seen
        });
        let clock = Clock::start();
        let patience = Duration::from_millis(20);
        let announcer = announcer(&guard, clock, &target(address), patience);
        let (meter, client) = (Meter::new(clock), client());
        let asker = Asker { seed: 1, source: 1, own_port: 1, shared: false, client: &client };
        let peers = announcer.announce(asker, &ANNOUNCE, &Contact::default(), &meter).await;
        (peers, meter.outcome(None), tracker.await.unwrap())
    };
    tokio::time::timeout(Duration::from_secs(10), LocalSet::new().run_until(run)).await.unwrap()
}

#[tokio::test]
async fn connect_then_announce() {
    let (peers, outcome, seen) = play(&[&[(0, true, ID)], &[(1, true, ONE_PEER)]]).await;
    assert_eq!(peers, Ok(vec!["127.0.0.1:6881".parse().unwrap()]));
    assert_eq!((outcome.bytes_out, outcome.bytes_in, outcome.retransmits), (16 + 98, 16 + 26, 0));
    assert_eq!(seen[1][..8], *ID);
}

#[tokio::test]
async fn silence_brings_retransmissions_with_the_same_connection_id() {
    let (peers, outcome, seen) = play(&[&[], &[], &[(0, true, ID)], &[], &[(1, true, ONE_PEER)]]).await;
    assert_eq!(peers.unwrap().len(), 1);
    assert_eq!(outcome.retransmits, 3);
    assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 16, 98, 98]);
    assert_eq!(seen[3], seen[4], "the same announce again");
    assert_ne!(seen[1][12..], seen[2][12..], "each connect is a transaction of its own");
}

#[tokio::test]
async fn wrong_transactions_and_late_duplicates_are_ignored() {
    let (peers, outcome, _) = play(&[
        &[(0, false, ID), (0, true, ID), (0, true, ID), (0, true, ID)],
        &[(1, false, ONE_PEER), (0, false, ID), (1, true, ONE_PEER), (1, true, ONE_PEER)],
    ])
    .await;
    assert_eq!((peers.unwrap().len(), outcome.retransmits), (1, 0));
}

#[tokio::test]
async fn errors_and_broken_answers_have_their_cause() {
    assert_eq!(play(&[&[(3, true, b"go away")]]).await.0, Err(Cause::Rejected));
    assert_eq!(play(&[&[(0, true, ID)], &[(3, true, b"unregistered")]]).await.0, Err(Cause::Rejected));
    assert_eq!(play(&[&[(0, true, ID)], &[(0, true, ID)]]).await.0, Err(Cause::Malformed), "wrong action");
    assert_eq!(play(&[&[(0, true, ID)], &[(1, true, b"")]]).await.0, Err(Cause::Malformed), "too short");
    assert_eq!(play(&[&[(0, true, b"1234")]]).await.0, Err(Cause::Malformed), "too short");
}

#[tokio::test]
async fn a_visitor_connects_for_itself_and_again_after_a_minute() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let guard = Arc::new(Guard::new(&target(address)).unwrap());
    let run = async {
        let tracker = tokio::task::spawn_local(async move {
            let mut lengths = Vec::new();
            while lengths.len() < 7 {
                let mut buffer = [0; 200];
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                lengths.push(length);
                let (action, rest) = if length == 16 { (0_u32, ID) } else { (1, ONE_PEER) };
                let answer = [&action.to_be_bytes(), &buffer[12..16], rest].concat();
                server.send_to(&answer, from).await.unwrap();
            }
            lengths
        });
        let mut announcer = announcer(&guard, Clock::start(), &target(address), RETRANSMIT);
        let client = client();
        let asker = Asker { seed: 1, source: 1, own_port: 1, shared: false, client: &client };
        let (first, second) = (Contact::default(), Contact::default());
        for visitor in [&first, &first, &second] {
            announcer.announce(asker, &ANNOUNCE, visitor, &Meter::new(announcer.clock)).await.unwrap();
        }
        // The clock of a minute later.
        let later = Clock::started_ago(CONNECTION_LIFE);
        announcer.udp[0].as_mut().unwrap().clock = later;
        first.connection.set(first.connection.get().map(|id| ConnectionId { since: Tick::ZERO, ..id }));
        announcer.announce(asker, &ANNOUNCE, &first, &Meter::new(later)).await.unwrap();
        tracker.await.unwrap()
    };
    let lengths =
        tokio::time::timeout(Duration::from_secs(10), LocalSet::new().run_until(run)).await.unwrap();
    assert_eq!(lengths, [16, 98, 98, 16, 98, 16, 98]);
}

#[tokio::test]
async fn trackers_are_chosen_by_weight_among_those_that_a_client_speaks() {
    let address = "127.0.0.1:9".parse().unwrap();
    let guard = Arc::new(Guard::new(&target(address)).unwrap());
    let mut target = target(address);
    let tracker = |kind, weight| Tracker { kind, weight, ..Tracker::udp(address) };
    target.trackers =
        vec![tracker(TrackerKind::Http, 1.0), tracker(TrackerKind::Ws, 50.0), tracker(TrackerKind::Udp, 3.0)];
    let run = async {
        let announcer = announcer(&guard, Clock::start(), &target, RETRANSMIT);
        let client = client();
        let new = Contact::default();
        let orders = (0..10_000).map(|seed| {
            announcer
                .order(Asker { seed, source: seed, own_port: 1, shared: false, client: &client }, &new)
                .to_vec()
        });
        let udp_first = orders
            .inspect(|order| assert!(order == &[0, 2] || order == &[2, 0]))
            .filter(|order| order[0] == 2);
        let share = udp_first.count() as f64 / 10_000.0;
        // Three standard errors of a share of 75 %.
        assert!((share - 0.75).abs() < 0.013, "{share}");
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn tiers_have_their_order_and_who_answered_comes_first_in_its_own() {
    let address = "127.0.0.1:9".parse().unwrap();
    let guard = Arc::new(Guard::new(&target(address)).unwrap());
    let mut target = target(address);
    let tiers = [2, 1, 2, 1, 3];
    target.trackers = tiers.map(|tier| Tracker { tier, ..Tracker::udp(address) }).into();
    let run = async {
        let announcer = announcer(&guard, Clock::start(), &target, RETRANSMIT);
        let (client, contact) = (client(), Contact::default());
        let order = |seed| {
            announcer
                .order(Asker { seed, source: seed, own_port: 1, shared: false, client: &client }, &contact)
                .to_vec()
        };
        for seed in 0..100 {
            assert!(order(seed).iter().map(|&n| tiers[n]).is_sorted());
        }
        assert!((0..100).any(|seed| order(seed)[0] == 1) && (0..100).any(|seed| order(seed)[0] == 3));
        for n in [0, 2] {
            contact.note(n, address, &Default::default());
        }
        assert!((0..100).all(|seed| order(seed)[2..] == [2, 0, 4]), "the last one that answered first");
    };
    LocalSet::new().run_until(run).await;
}

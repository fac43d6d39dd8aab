//! A flash crowd on real sockets: five hundred visitors and one seed.

use rand::RngExt;
use rand::seq::{IteratorRandom, SliceRandom};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::super::super::wire::BLOCK;
use super::*;
use crate::unit::Tick;

const VISITORS: u64 = 500;
const SIZE: usize = 512 << 10;
const PIECE: usize = 2 * BLOCK as usize;
/// Lines, in bytes per second: the seed's, and what visitors take and give.
const SEED: f64 = 250_000.0;
const DOWN: f64 = 200_000.0;
const UP: f64 = 25_000.0;
/// All come within this time.
const ARRIVALS: Duration = Duration::from_secs(10);
/// Peers that a tracker names.
const NAMED: usize = 50;

/// What was fetched.
#[derive(Clone, Debug)]
struct Seen {
    /// In all until then, about once a second.
    bytes: Vec<(Tick, u64)>,
    /// What the seed gave.
    seed: u64,
    swarm: Swarm,
    done: usize,
}

impl Seen {
    /// The most bytes fetched within so many ticks, per second.
    fn rate(&self, ticks: usize) -> f64 {
        let within = self.bytes.windows(ticks + 1).map(|of| {
            let ((begin, before), (end, after)) = (of[0], of[ticks]);
            (after - before) as f64 / end.since(begin).as_secs_f64()
        });
        within.fold(0.0, f64::max)
    }
}

/// Fetches everything from these peers; whether there is nothing left to fetch.
async fn finish(client: &Rc<Client>, peers: &[SocketAddr], meter: &Meter) -> bool {
    client.meet(peers, true);
    if client.ready(meter).await.is_err() {
        return false;
    }
    while !client.torrent.borrow().is_done() {
        if client.piece(u32::MAX, meter).await.is_err() {
            return false;
        }
    }
    true
}

/// Lets all of them come, for so many seconds or until everybody is done.
async fn crowd(reachable: bool, seconds: usize) -> Seen {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let content: Vec<u8> = (0..SIZE).map(|n| (n * 7 / 3) as u8).collect();
    let (info, info_hash) = info_of(&content, PIECE);
    let layout = Rc::new(Layout::from_info(&info, &info_hash.into()).unwrap());
    let somewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let guard = Arc::new(Guard::new(&target(somewhere)).unwrap());
    let clock = Clock::start();
    let clients = Clients::open(&guard, clock, &target(somewhere), sources()).unwrap();
    let start = {
        let (clients, layout) = (Rc::clone(&clients), Rc::clone(&layout));
        move |n: u64, reachable: bool, line: (f64, f64)| {
            let mut peer_id = [0; 20];
            peer_id[..8].copy_from_slice(&n.to_be_bytes());
            let random = SplitMix64::seed_from_u64(n);
            let who = persona(info_hash, 1, 1e9);
            let who =
                Persona { peer_id, reachable, source: n, addresses: vec![address(n)], line, random, ..who };
            clients.start(who, Some(Rc::clone(&layout)))
        }
    };
    let seed = start(0, true, (1e9, SEED));
    seed.client().torrent.borrow_mut().complete(&content);
    let done = Rc::new(Cell::new(0));
    let mut random = SplitMix64::seed_from_u64(1);
    let seats = Rc::new(RefCell::new(Vec::new()));
    let mut arrivals: Vec<_> = (0..VISITORS).map(|_| random.random_range(Duration::ZERO..ARRIVALS)).collect();
    arrivals.sort_unstable();
    for (n, comes) in (1..).zip(arrivals) {
        // A tracker knows those who came before.
        let mut peers = (1..n).sample(&mut random, NAMED);
        peers.push(0);
        peers.shuffle(&mut random);
        let peers: Vec<_> = peers.into_iter().map(|n| SocketAddr::new(address(n), clients.port())).collect();
        let (start, done, seats) = (start.clone(), Rc::clone(&done), Rc::clone(&seats));
        tokio::task::spawn_local(async move {
            tokio::time::sleep(comes).await;
            let seat = start(n, reachable, (DOWN, UP));
            let client = Rc::clone(seat.client());
            seats.borrow_mut().push(seat);
            while !finish(&client, &peers, &Meter::new(clock)).await {
                // Everybody was full: as after an announce, it asks them again.
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            done.set(done.get() + 1);
        });
    }
    let mut seen = Seen { bytes: vec![(clock.now(), 0)], seed: 0, swarm: Swarm::default(), done: 0 };
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    while seen.bytes.len() <= seconds && done.get() < VISITORS as usize {
        ticks.tick().await;
        let before = seen.bytes.last().map_or(0, |(_, bytes)| *bytes);
        let tally = tallied(&clients);
        seen.bytes.push((clock.now(), before + tally.from_visitors));
        seen.swarm += &tally;
    }
    Seen { seed: seed.client().uploaded(), done: done.get(), ..seen }
}

/// Where visitors cannot reach each other the seed's line is all there is. Where they can, the rate grows as they have more to give.
#[tokio::test]
async fn five_hundred_visitors_carry_each_other() {
    let alone = LocalSet::new().run_until(crowd(false, 12)).await;
    let rate = alone.rate(10);
    assert!((0.8 * SEED..1.05 * SEED).contains(&rate), "{rate} {alone:?}");
    let together = LocalSet::new().run_until(crowd(true, 180)).await;
    assert_eq!(together.done as u64, VISITORS, "{together:?}");
    let factor = together.rate(10) / rate;
    let given = together.seed as f64 / (VISITORS as f64 * SIZE as f64);
    println!(
        "{} s for {VISITORS} visitors, at best {factor:.0} times the seed alone, which gave {:.1} % of it",
        together.bytes.len() - 1,
        100.0 * given
    );
    assert!(factor > 10.0 && given < 0.1, "{factor} {given} {together:?}");
    let beginning = Seen { bytes: together.bytes[..6].to_vec(), ..together.clone() }.rate(5);
    assert!(together.rate(10) > 5.0 * beginning, "{beginning} {together:?}");
}

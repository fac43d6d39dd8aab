use super::*;

const HASH: [u8; 20] = [7; 20];

fn tracker() -> SwarmId {
    ("127.0.0.1:6969".parse().unwrap(), HASH)
}

fn company(own_peers: &[&str], workers: u32) -> Company {
    Company {
        own_peers: own_peers.iter().map(|peer| peer.parse().unwrap()).collect(),
        stand_in_port: Some(6881),
        sources: Sources::new(&[], (0, workers)).unwrap(),
        workers,
    }
}

fn visitor(n: u8) -> Peer {
    SocketAddr::from(([127, 16, 0, n], 6881))
}

const SEEDBOX: &str = "127.255.255.254:6881";

fn announce(event: AnnounceEvent, left: u64) -> Announce {
    Announce {
        info_hash: HASH,
        peer_id: [1; 20],
        downloaded: 0,
        left,
        uploaded: 0,
        event,
        key: 0,
        numwant: 50,
        port: 6881,
    }
}

fn answer(seeds: u64, leeches: u64, peers: &[Peer]) -> Answer {
    Answer {
        peers: peers.to_vec(),
        interval: Some(1_800),
        counts: Counts { seeds: Some(seeds), leeches: Some(leeches) },
        ..Answer::default()
    }
}

/// Second `n` of the run.
fn at(n: u64) -> Tick {
    Tick(n * 1_000_000_000)
}

/// Visitor `n` announces as a leech in second `now`, and is answered.
fn whole(
    swarms: &mut Swarms,
    n: u8,
    event: AnnounceEvent,
    new: bool,
    answer: &Answer,
    now: u64,
) -> Vec<Oddity> {
    let (id, key, announce) = (tracker(), Key::At(visitor(n)), announce(event, 9));
    let before = swarms.begin(id, key, new, at(now));
    let odd = swarms.judge(id, Some(visitor(n)), &announce, answer, &before);
    swarms.answered(id, key, &announce, new, answer, at(now));
    odd
}

fn start(swarms: &mut Swarms, n: u8, answer: &Answer, now: u64) -> Vec<Oddity> {
    whole(swarms, n, AnnounceEvent::Started, true, answer, now)
}

#[test]
fn a_right_answer_is_not_odd() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    let seedbox = SEEDBOX.parse().unwrap();
    assert_eq!(start(&mut swarms, 1, &answer(1, 1, &[seedbox]), 0), []);
    assert_eq!(start(&mut swarms, 2, &answer(1, 2, &[seedbox, visitor(1)]), 1), []);
    assert_eq!(
        start(&mut swarms, 3, &answer(1, 3, &[seedbox, visitor(3), visitor(2)]), 2),
        [Oddity::Oneself]
    );
}

#[test]
fn numbers_have_bounds_on_both_sides() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    start(&mut swarms, 1, &answer(1, 1, &[]), 0);
    start(&mut swarms, 2, &answer(1, 2, &[]), 0);
    let odd = start(&mut swarms, 3, &answer(1, 1, &[]), 0);
    assert_eq!(odd, [Oddity::Leeches], "two others are there");
    assert_eq!(start(&mut swarms, 4, &answer(0, 0, &[]), 0), [Oddity::Leeches], "the third is there still");
    assert_eq!(
        start(&mut swarms, 5, &answer(7, 7, &[]), 0),
        [Oddity::Seeds, Oddity::Leeches],
        "five and a seedbox"
    );
    assert_eq!(start(&mut swarms, 6, &answer(0, 7, &[]), 0), [], "a seedbox may be gone");
    let mut open = Swarms::new(company(&[], 1));
    assert_eq!(start(&mut open, 1, &answer(900, 900, &[]), 0), [], "others may be there");
    let mut many = Swarms::new(company(&[SEEDBOX], 3));
    assert_eq!(start(&mut many, 1, &answer(0, 130, &[]), 0), [], "other workers have visitors");
    assert_eq!(start(&mut many, 2, &answer(0, 900, &[]), 0), [Oddity::Leeches]);
}

#[test]
fn a_tracker_that_was_restarted_is_told_so_once() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    (1..20).for_each(|n| assert_eq!(start(&mut swarms, n, &answer(0, u64::from(n), &[]), 0), []));
    assert_eq!(start(&mut swarms, 20, &answer(0, 1, &[]), 1), [Oddity::Leeches]);
    assert_eq!(start(&mut swarms, 21, &answer(0, 2, &[]), 1), []);
}

#[test]
fn what_happens_meanwhile_counts_for_the_tracker() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    start(&mut swarms, 1, &answer(1, 1, &[]), 0);
    let (id, key) = (tracker(), Key::At(visitor(2)));
    let before = swarms.begin(id, key, true, at(1));
    // One leaves and another comes before the answer: for a moment nobody was there.
    whole(&mut swarms, 1, AnnounceEvent::Stopped, true, &answer(1, 0, &[]), 1);
    start(&mut swarms, 3, &answer(1, 2, &[]), 1);
    let started = announce(AnnounceEvent::Started, 9);
    assert_eq!(swarms.judge(id, Some(visitor(2)), &started, &answer(1, 0, &[]), &before), []);
}

#[test]
fn who_was_not_answered_or_is_overdue_need_not_be_there() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    swarms.begin(tracker(), Key::At(visitor(1)), true, at(0));
    swarms.given_up(tracker(), Key::At(visitor(1)));
    assert_eq!(start(&mut swarms, 2, &answer(0, 1, &[]), 1), []);
    assert_eq!(start(&mut swarms, 3, &answer(0, 2, &[visitor(1)]), 2), [], "it may be there");
    // Half an hour later, but for one who announced again.
    whole(&mut swarms, 3, AnnounceEvent::Interval, false, &answer(0, 2, &[]), 1_000);
    assert_eq!(start(&mut swarms, 4, &answer(0, 2, &[]), 1_900), []);
    assert_eq!(start(&mut swarms, 5, &answer(0, 0, &[]), 2_700), [Oddity::Leeches], "two announced since");
    let swarm = &swarms.swarms[&tracker()];
    assert_eq!(swarm.expiring.len(), swarm.members.values().filter(|member| member.queued).count());
}

#[test]
fn strangers_and_those_who_left_are_seen() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 2));
    start(&mut swarms, 1, &answer(1, 1, &[]), 0);
    let mut told = |peer: &str, now| start(&mut swarms, 9, &answer(1, 9, &[peer.parse().unwrap()]), now);
    assert_eq!(told("127.0.0.9:6881", 1), [Oddity::Stranger]);
    assert_eq!(told("127.16.0.1:6882", 1), [Oddity::Stranger], "another port");
    assert_eq!(told("127.16.0.7:6881", 1), [Oddity::Stranger], "a visitor who never came");
    assert_eq!(told("127.100.1.7:6881", 1), [], "another worker's");
    assert_eq!(told("192.0.2.1:6881", 1), [], "the guard's affair");
    assert_eq!(told("127.16.0.1:6881", 1), []);
    whole(&mut swarms, 1, AnnounceEvent::Stopped, true, &answer(1, 1, &[]), 2);
    let stale = answer(1, 2, &[visitor(1)]);
    assert_eq!(start(&mut swarms, 9, &stale, 3), [Oddity::Stale]);
    assert_eq!(start(&mut swarms, 1, &answer(1, 2, &[]), 4), []);
    assert_eq!(start(&mut swarms, 9, &stale, 5), [], "it came back");
    let mut open = Swarms::new(company(&[], 1));
    assert_eq!(start(&mut open, 1, &answer(1, 1, &["127.0.0.9:1".parse().unwrap()]), 0), []);
}

#[test]
fn two_visitors_at_one_address_are_there_until_both_left() {
    let mut swarms = Swarms::new(company(&[SEEDBOX], 1));
    start(&mut swarms, 1, &answer(1, 1, &[]), 0);
    start(&mut swarms, 1, &answer(1, 1, &[]), 0);
    whole(&mut swarms, 1, AnnounceEvent::Stopped, true, &answer(1, 0, &[]), 1);
    assert_eq!(start(&mut swarms, 2, &answer(1, 1, &[visitor(1)]), 2), [], "a tracker may go by peer id");
    whole(&mut swarms, 1, AnnounceEvent::Stopped, true, &answer(1, 1, &[]), 3);
    assert_eq!(start(&mut swarms, 3, &answer(1, 2, &[visitor(1)]), 4), [Oddity::Stale]);
}

#[test]
fn oneself_alone_is_wrong_where_others_are() {
    let mut swarms = Swarms::new(company(&[], 1));
    assert_eq!(
        start(&mut swarms, 1, &answer(0, 1, &[visitor(1)]), 0),
        [Oddity::Oneself],
        "nobody else is known"
    );
    assert_eq!(start(&mut swarms, 2, &answer(0, 2, &[visitor(2)]), 0), [Oddity::OnlyOneself]);
}

#[test]
fn the_form_of_an_answer_is_judged() {
    let mut swarms = Swarms::new(company(&[], 1));
    for (interval, odd) in [(0, true), (-1, true), (59, true), (60, false), (86_400, false), (86_401, true)] {
        let answer = Answer { interval: Some(interval), ..answer(9, 9, &[]) };
        assert_eq!(start(&mut swarms, 1, &answer, 0) == [Oddity::Interval], odd, "{interval}");
    }
    assert_eq!(start(&mut swarms, 1, &Answer { interval: None, ..answer(9, 9, &[]) }, 0), []);
    let peers: Vec<Peer> = (0..51).map(|n| SocketAddr::from(([127, 0, 0, n], 1))).collect();
    assert_eq!(start(&mut swarms, 1, &answer(9, 9, &peers), 0), [Oddity::TooMany]);
    assert_eq!(start(&mut swarms, 1, &answer(9, 9, &peers[1..]), 0), []);
    let warned = Answer { warning: true, ..answer(9, 9, &[]) };
    assert_eq!(start(&mut swarms, 1, &warned, 0), [Oddity::Warning]);
}

#[test]
fn memory_is_bounded_and_what_outgrows_it_is_not_judged_by_its_members() {
    let mut swarms = Swarms::new(Company { stand_in_port: None, ..company(&[SEEDBOX], 1) });
    for n in 0..=MAX_MEMBERS as u32 {
        let key = Key::At(SocketAddr::from(([127, 16, 0, (n >> 16) as u8], n as u16)));
        let started = announce(AnnounceEvent::Started, 9);
        swarms.begin(tracker(), key, true, at(0));
        swarms.answered(tracker(), key, &started, true, &answer(0, 0, &[]), at(0));
    }
    assert_eq!(swarms.swarms[&tracker()].members.len(), MAX_MEMBERS);
    let unknown = answer(0, MAX_MEMBERS as u64 + 1, &["127.16.0.9:77".parse().unwrap()]);
    assert_eq!(start(&mut swarms, 2, &unknown, 0), []);
}

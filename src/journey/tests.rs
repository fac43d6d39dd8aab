use std::time::Duration;

use proptest::prelude::*;
use smallvec::smallvec;

use super::*;
use crate::plan::{AnnounceEvent, Arrival, Cohort, Origin, PlannedStep, Stage, What};
use crate::unit::Tick;

const MS: fn(u64) -> Tick = Tick::from_millis;

fn rules() -> Rules {
    Rules {
        isolated: false,
        assets: 2,
        retries: 1,
        retry_after: Duration::from_millis(100),
        sizes: vec![4000],
        classes: vec![2],
        seeds: vec![peer(7)],
        names: Names::default(),
    }
}

fn peer(port: u16) -> Peer {
    Peer::from(([127, 0, 0, 1], port))
}

fn arrival(steps: &[(u64, What)]) -> Arrival {
    Arrival {
        index: 0,
        origin: Origin::Visit,
        cohort: Cohort::OldCluster,
        cached: false,
        reachable: true,
        region: 0,
        client: 0,
        access: 0,
        content: 0,
        seed: 1,
        steps: steps.iter().map(|&(at, what)| PlannedStep { at: MS(at), what }).collect(),
    }
}

fn whole_funnel() -> Arrival {
    arrival(&[
        (0, What::Visit),
        (100, What::Torrent),
        (200, What::Announce(AnnounceEvent::Started)),
        (200, What::Lookup),
        (200, What::Transfer { until: 1.0 }),
        (200, What::Announce(AnnounceEvent::Completed)),
        (500, What::Announce(AnnounceEvent::Stopped)),
    ])
}

fn outcome(ended: Tick, result: Result<Reply, Cause>) -> Outcome {
    Outcome {
        started: ended,
        ended,
        result,
        bytes_in: 0,
        bytes_out: 0,
        foreign: 0,
        retransmits: 0,
        web: Web::default(),
        not_before: None,
        oddities: Vec::new(),
        parts: Vec::new(),
    }
}

fn answer(operation: &Operation) -> Result<Reply, Cause> {
    Ok(match operation {
        Operation::Resolve(_) => Reply::Resolved { ttl: Duration::from_secs(1) },
        Operation::Torrent | Operation::Root | Operation::PeerMetadata { .. } => {
            Reply::Metadata { pieces: 4, size: 4000, web_seeds: false }
        }
        Operation::Handshake { .. } | Operation::Open => Reply::Handshake { pieces: 4, size: 4000 },
        Operation::Announce { .. } | Operation::Lookup { .. } => Reply::Peers(vec![peer(1)]),
        _ => Reply::Done,
    })
}

/// What happens when: a wake-up, or the outcome of an operation and which try it was.
type Agenda = Vec<(Tick, Option<(Stage, Operation, u32)>)>;

/// Steps a journey through virtual time, every operation taking `takes`; what it did, as (due in ms, operation), and how it ended.
fn play(
    arrival: &Arrival,
    rules: &Rules,
    takes: Duration,
    answer: impl FnMut(&Operation, u32) -> Result<Reply, Cause>,
) -> (Vec<(u64, Operation)>, Result<(), Cause>) {
    let (done, ended, _) = watch(arrival, rules, takes, answer);
    (done, ended)
}

/// What a journey did, how it ended, the milestones of its download.
type Played = (Vec<(u64, Operation)>, Result<(), Cause>, Vec<Download>);

/// The same, with the milestones of its download.
fn watch(
    arrival: &Arrival,
    rules: &Rules,
    takes: Duration,
    mut answer: impl FnMut(&Operation, u32) -> Result<Reply, Cause>,
) -> Played {
    let mut journey = Journey::new(arrival, rules, &[]);
    let mut agenda: Agenda = vec![(arrival.due(), None)];
    let (mut done, mut noted) = (Vec::new(), Vec::new());
    let mut ended = None;
    for _ in 0..10_000 {
        agenda.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        let Some((now, what)) = agenda.pop() else { break };
        let mut actions = Vec::new();
        match what {
            None => journey.advance(now, rules, &mut actions),
            Some((stage, operation, attempt)) => {
                journey.resume(stage, &outcome(now, answer(&operation, attempt)), now, rules, &mut actions);
            }
        }
        for action in actions {
            match action {
                Action::Do { stage, operation, due, attempt } => {
                    assert!(due <= now, "{operation:?} due {due} at {now}");
                    done.push((due.0 / 1_000_000, operation.clone()));
                    agenda.push((now + takes, Some((stage, operation, attempt))));
                }
                Action::Note(download) => noted.push(download),
                Action::Wake(at) => agenda.push((at.max(now), None)),
                Action::End(result) => assert_eq!(ended.replace(result), None, "a journey ends once"),
            }
        }
    }
    (done, ended.expect("the journey ends"), noted)
}

fn kinds(done: &[(u64, Operation)]) -> Vec<(u64, Kind)> {
    done.iter().map(|(due, operation)| (*due, operation.kind())).collect()
}

#[test]
fn the_whole_funnel_in_order() {
    let (done, end) = play(&whole_funnel(), &rules(), Duration::from_millis(10), |op, _| answer(op));
    assert_eq!(end, Ok(()));
    assert_eq!(
        kinds(&done),
        [
            (0, Kind::Page),
            (10, Kind::Asset),
            (20, Kind::Asset),
            (100, Kind::Torrent),
            (200, Kind::Announce),
            (200, Kind::Lookup),
            (210, Kind::AnnouncePeer),
            (210, Kind::Handshake),
            (220, Kind::Piece),
            (230, Kind::Piece),
            (240, Kind::Piece),
            (250, Kind::Piece),
            (260, Kind::Announce),
            // Planned 300 ms after the transfer; the transfer ended at 260.
            (560, Kind::Announce),
        ]
    );
    let pieces: Vec<_> = done
        .iter()
        .filter_map(|(_, op)| match op {
            Operation::Piece { index, until } => Some((*index, *until)),
            _ => None,
        })
        .collect();
    assert_eq!(pieces, [(0, 4), (1, 4), (2, 4), (3, 4)]);
    let left: Vec<_> = done
        .iter()
        .filter_map(|(_, op)| match op {
            Operation::Announce { event, left, downloaded, .. } => Some((*event, *left, *downloaded)),
            _ => None,
        })
        .collect();
    assert_eq!(
        left,
        [
            (AnnounceEvent::Started, 4000, 0),
            (AnnounceEvent::Completed, 0, 4000),
            (AnnounceEvent::Stopped, 0, 4000)
        ]
    );
}

#[test]
fn what_is_intended_is_what_is_asked_if_nothing_fails() {
    let magnet = arrival(&[(0, What::Magnet), (10, What::Lookup), (20, What::Transfer { until: 0.5 })]);
    let side = Arrival { origin: Origin::Side(0), ..arrival(&[(0, What::Visit)]) };
    for assets in [0, 2] {
        let rules = Rules { assets, ..rules() };
        for arrival in [&whole_funnel(), &magnet, &side] {
            let (done, _) = play(arrival, &rules, Duration::from_millis(10), |op, _| answer(op));
            let mut asked = std::collections::BTreeMap::new();
            for (_, kind) in kinds(&done).into_iter().filter(|(_, kind)| *kind != Kind::Piece) {
                *asked.entry(kind).or_insert(0) += 1;
            }
            let mut expected = std::collections::BTreeMap::new();
            for (kind, operations) in intended(arrival, assets) {
                *expected.entry(kind).or_insert(0) += operations;
            }
            assert_eq!(asked, expected);
        }
    }
}

#[test]
fn names_are_resolved_before_they_are_used_and_kept_for_their_life() {
    let named = |cached| Rules { names: Names { services: Service::ALL.to_vec(), cached }, ..rules() };
    let arrival = arrival(&[(0, What::Visit), (100, What::Torrent)]);
    let took = Duration::from_millis(10);
    let visit = [Kind::Page, Kind::Asset, Kind::Asset];
    let of = |rules: &Rules, answer: &mut dyn FnMut(&Operation) -> Result<Reply, Cause>| {
        let (done, _) = play(&arrival, rules, took, |op, _| answer(op));
        kinds(&done).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>()
    };
    let each = of(&named(0.0), &mut |op| answer(op));
    assert_eq!(each, [&[Kind::Resolve], &visit[..], &[Kind::Resolve, Kind::Torrent]].concat());
    assert_eq!(of(&named(1.0), &mut |op| answer(op)), [&visit[..], &[Kind::Torrent]].concat(), "cached");

    // A page that failed is tried again with the name that is known, and an answer without life with a new one.
    let mut life = Duration::from_secs(1);
    for expected in [
        [Kind::Resolve, Kind::Page, Kind::Page].as_slice(),
        &[Kind::Resolve, Kind::Page, Kind::Resolve, Kind::Page],
    ] {
        let mut failed = false;
        let seen = of(&named(0.0), &mut |op| match op {
            Operation::Resolve(_) => Ok(Reply::Resolved { ttl: life }),
            Operation::Page if !std::mem::replace(&mut failed, true) => Err(Cause::Timeout),
            op => answer(op),
        });
        assert_eq!(seen[..expected.len()], *expected);
        life = Duration::ZERO;
    }
    // A name that cannot be resolved ends the visit like a page that does not come.
    let fail =
        |op: &Operation| if matches!(op, Operation::Resolve(_)) { Err(Cause::Timeout) } else { answer(op) };
    assert_eq!(of(&named(0.0), &mut |op| fail(op)), [Kind::Resolve, Kind::Resolve], "one retry");
}

#[test]
fn a_slow_announce_to_the_dht_keeps_nobody_from_its_peers() {
    let arrival = arrival(&[(0, What::Lookup), (0, What::Transfer { until: 0.2 })]);
    let (done, result) = play(&arrival, &rules(), Duration::from_millis(50), |op, _| match op {
        Operation::AnnouncePeer => Err(Cause::Rejected),
        op => answer(op),
    });
    assert!(kinds(&done).contains(&(50, Kind::Handshake)), "{done:?}");
    assert_eq!(result, Err(Cause::Rejected));
}

#[test]
fn a_slow_stage_delays_what_follows_from_it_and_nothing_else() {
    let (done, _) = play(&whole_funnel(), &rules(), Duration::from_millis(90), |op, _| answer(op));
    let done = kinds(&done);
    // Page and two assets end at 270: the torrent, planned for 100, is due then.
    assert!(done.contains(&(270, Kind::Torrent)));
    assert!(done.contains(&(360, Kind::Announce)) && done.contains(&(360, Kind::Lookup)));
}

#[test]
fn a_failure_is_retried_with_growing_pauses_and_then_ends_the_journey() {
    let mut rules = rules();
    rules.retries = 2;
    let fail = |op: &Operation, _| if *op == Operation::Torrent { Err(Cause::Timeout) } else { answer(op) };
    let (done, end) = play(&whole_funnel(), &rules, Duration::from_millis(10), fail);
    assert_eq!(end, Err(Cause::Timeout));
    assert_eq!(
        kinds(&done)[3..],
        [(100, Kind::Torrent), (210, Kind::Torrent), (420, Kind::Torrent)],
        "and nothing after it"
    );
}

#[test]
fn a_retry_that_succeeds_is_no_failure() {
    let flaky = |op: &Operation, attempt| if attempt == 0 { Err(Cause::Closed) } else { answer(op) };
    let (done, end) = play(&whole_funnel(), &rules(), Duration::from_millis(1), flaky);
    assert_eq!(end, Ok(()));
    // Everything twice, and a new connection for each of the four pieces.
    assert_eq!(done.len(), 2 * 14 + 4);
}

#[test]
fn a_failed_piece_is_tried_again_over_a_new_connection_and_not_for_ever() {
    let mut rules = rules();
    rules.retries = 2;
    let pieces = |done: &[(u64, Operation)]| {
        let of_transfer = done.iter().filter(|(_, op)| op.kind().stage() == Stage::Pieces);
        of_transfer.map(|(_, op)| op.kind()).collect::<Vec<_>>()
    };
    use Kind::{Handshake, Piece};

    // The second piece fails once.
    let mut failed = false;
    let once = |op: &Operation, _| match op {
        Operation::Piece { index: 1, .. } if !std::mem::replace(&mut failed, true) => Err(Cause::Closed),
        _ => answer(op),
    };
    let (done, end) = play(&whole_funnel(), &rules, Duration::from_millis(1), once);
    assert_eq!(end, Ok(()));
    assert_eq!(pieces(&done), [Handshake, Piece, Piece, Handshake, Piece, Piece, Piece]);

    // It fails every time: two more tries, each over a connection of its own.
    let never = |op: &Operation, _| match op {
        Operation::Piece { index: 1, .. } => Err(Cause::Incorrect),
        _ => answer(op),
    };
    let (done, end) = play(&whole_funnel(), &rules, Duration::from_millis(1), never);
    assert_eq!(end, Err(Cause::Incorrect));
    assert_eq!(pieces(&done), [Handshake, Piece, Piece, Handshake, Piece, Handshake, Piece]);
}

#[test]
fn what_will_not_change_is_not_asked_again() {
    let gone =
        |op: &Operation, _| if *op == Operation::Torrent { Err(Cause::ClientError) } else { answer(op) };
    let (done, end) = play(&whole_funnel(), &rules(), Duration::from_millis(1), gone);
    assert_eq!(end, Err(Cause::ClientError));
    assert_eq!(done.iter().filter(|(_, op)| *op == Operation::Torrent).count(), 1);
}

#[test]
fn the_dht_alone_is_enough_to_begin_a_transfer() {
    let dead_tracker =
        |op: &Operation, _| if op.kind() == Kind::Announce { Err(Cause::Rejected) } else { answer(op) };
    let (done, end) = play(&whole_funnel(), &rules(), Duration::from_millis(10), dead_tracker);
    assert_eq!(end, Err(Cause::Rejected));
    assert!(kinds(&done).contains(&(210, Kind::Handshake)));
    // Never joined, so it never leaves; but it has completed, and says so.
    let announces = done.iter().filter(|(_, op)| op.kind() == Kind::Announce).count();
    assert_eq!(announces, 2);
}

#[test]
fn no_peers_anywhere_fails_without_an_operation() {
    let lonely = |op: &Operation, _| match op.kind() {
        Kind::Announce | Kind::Lookup => Ok(Reply::Peers(Vec::new())),
        _ => answer(op),
    };
    let (done, end) = play(&whole_funnel(), &rules(), Duration::from_millis(10), lonely);
    assert_eq!(end, Err(Cause::NoPeers));
    assert!(!done.iter().any(|(_, op)| op.kind() == Kind::Handshake));
}

#[test]
fn web_seeds_need_neither_peers_nor_those_who_name_them() {
    for named in [Ok(Reply::Peers(Vec::new())), Err(Cause::ClientError)] {
        let sown = |op: &Operation, _| match op.kind() {
            Kind::Announce | Kind::Lookup => named.clone(),
            Kind::Torrent => Ok(Reply::Metadata { pieces: 4, size: 4000, web_seeds: true }),
            _ => answer(op),
        };
        let (done, _) = play(&whole_funnel(), &rules(), Duration::from_millis(10), sown);
        assert_eq!(done.iter().filter(|(_, op)| op.kind() == Kind::Piece).count(), 4, "{named:?}");
        assert!(done.iter().any(|(_, op)| *op == Operation::Handshake { peers: Vec::new() }));
    }
}

#[test]
fn an_aborted_transfer_never_completes_but_leaves() {
    let mut steps = whole_funnel();
    steps.steps[4].what = What::Transfer { until: 0.3 };
    steps.steps.remove(5);
    let (done, end) = play(&steps, &rules(), Duration::from_millis(10), |op, _| answer(op));
    assert_eq!(end, Ok(()));
    assert_eq!(done.iter().filter(|(_, op)| op.kind() == Kind::Piece).count(), 2);
    let last = &done.last().unwrap().1;
    assert_eq!(
        *last,
        Operation::Announce { event: AnnounceEvent::Stopped, left: 2000, downloaded: 2000, numwant: None }
    );
}

#[test]
fn isolated_steps_keep_their_moments_whatever_fails() {
    let mut rules = rules();
    rules.isolated = true;
    rules.retries = 0;
    let dead = |_: &Operation, _| Err(Cause::Timeout);
    let (done, end) = play(&whole_funnel(), &rules, Duration::from_millis(10), dead);
    assert_eq!(end, Err(Cause::Timeout));
    assert_eq!(
        kinds(&done),
        [
            (0, Kind::Page),
            (100, Kind::Torrent),
            (200, Kind::Announce),
            (200, Kind::Lookup),
            (200, Kind::Handshake),
            // A client tells its tracker one thing after the other: this one waits for the first to end.
            (210, Kind::Announce),
            (500, Kind::Announce)
        ]
    );
    assert_eq!(done[4].1, Operation::Handshake { peers: vec![peer(7)] });
}

#[test]
fn a_gateway_is_read_block_by_block_and_nobody_else_is_asked() {
    let takes = Duration::from_millis(10);
    let steps = |until| arrival(&[(0, What::Root), (5, What::Read { until })]);
    let (done, end) = play(&steps(1.0), &rules(), takes, |op, _| answer(op));
    assert_eq!(end, Ok(()));
    let blocks = (0..4).map(|index| (20 + 10 * u64::from(index), Operation::Block { index }));
    let expected: Vec<_> = [(0, Operation::Root), (10, Operation::Open)].into_iter().chain(blocks).collect();
    assert_eq!(done, expected, "the root is waited for");
    // Half of it, and after a block that fails, a new connection.
    let lost = |op: &Operation, attempt| match op {
        Operation::Block { index: 1 } if attempt == 0 => Err(Cause::Incorrect),
        op => answer(op),
    };
    let (done, end) = play(&steps(0.5), &rules(), takes, lost);
    assert_eq!(end, Ok(()));
    use Kind::{Handshake, Piece, Torrent};
    assert_eq!(
        done.iter().map(|(_, op)| op.kind()).collect::<Vec<_>>(),
        [Torrent, Handshake, Piece, Piece, Handshake, Piece]
    );
    let (done, end) =
        play(&steps(1.0), &Rules { retries: 0, ..rules() }, takes, |_, _| Err(Cause::ClientError));
    assert_eq!((done.len(), end), (1, Err(Cause::ClientError)), "without a root nothing is read");
}

/// The milestones of a download, as (due in ms, at in ms, which).
fn milestones(noted: &[Download]) -> Vec<(u64, u64, Milestone)> {
    let ms = |at: Tick| at.0 / 1_000_000;
    noted.iter().map(|seen| (ms(seen.due), ms(seen.at), seen.reached)).collect()
}

#[test]
fn a_download_is_timed_from_when_it_was_due() {
    use Milestone::{Begun, Ended, FirstPiece};
    let takes = Duration::from_millis(10);
    let of = |noted: Vec<Download>| milestones(&noted);
    let (.., noted) = watch(&whole_funnel(), &rules(), takes, |op, _| answer(op));
    let whole = [(210, 210, Begun), (210, 230, FirstPiece), (210, 260, Ended(Fate::Complete))];
    assert_eq!(of(noted), whole, "the announce ended at 210 ms");
    // A handshake and a piece that fail, and the pauses before they are tried again, are not forgiven.
    let refused = |op: &Operation, attempt| match op {
        Operation::Handshake { .. } | Operation::Piece { index: 2, .. } if attempt == 0 => {
            Err(Cause::Refused)
        }
        op => answer(op),
    };
    let (.., noted) = watch(&whole_funnel(), &rules(), takes, refused);
    assert_eq!(of(noted)[1], (210, 340, FirstPiece), "100 ms of pause and a second handshake later");
    let (.., noted) = watch(&whole_funnel(), &Rules { retries: 0, ..rules() }, takes, refused);
    assert_eq!(of(noted), [(210, 210, Begun), (210, 220, Ended(Fate::GaveUp))]);
    // Who wants a part of it; the same through a gateway.
    for (what, first) in [(What::Transfer { until: 0.5 }, 0), (What::Read { until: 0.5 }, 0)] {
        let isolated = Rules { isolated: true, ..rules() };
        let (.., noted) = watch(&arrival(&[(first, what)]), &isolated, takes, |op, _| answer(op));
        assert_eq!(of(noted), [(0, 0, Begun), (0, 20, FirstPiece), (0, 30, Ended(Fate::Enough))]);
    }
    let nobody = Rules { isolated: true, seeds: Vec::new(), ..rules() };
    let (.., noted) =
        watch(&arrival(&[(5, What::Transfer { until: 1.0 })]), &nobody, takes, |op, _| answer(op));
    assert_eq!(of(noted), [(5, 5, Begun), (5, 5, Ended(Fate::GaveUp))], "nobody to ask");
}

#[test]
fn a_download_under_way_is_cut_with_the_run() {
    let isolated = Rules { isolated: true, ..rules() };
    let mut journey =
        Journey::new(&arrival(&[(0, What::Visit), (3, What::Transfer { until: 1.0 })]), &isolated, &[]);
    assert_eq!(journey.visitor().group(), Group { class: 2, access: 0 });
    journey.advance(MS(0), &isolated, &mut Vec::new());
    assert_eq!(journey.cut(MS(1)), None, "it has not begun");
    journey.advance(MS(4), &isolated, &mut Vec::new());
    let cut = Download { due: MS(3), at: MS(9), reached: Milestone::Ended(Fate::Cut) };
    assert_eq!(journey.cut(MS(9)), Some(cut));
}

#[test]
fn a_magnet_looks_up_then_asks_a_peer() {
    let steps = arrival(&[(0, What::Magnet)]);
    let (done, end) = play(&steps, &rules(), Duration::from_millis(10), |op, _| answer(op));
    assert_eq!(end, Ok(()));
    assert_eq!(
        done,
        [(0, Operation::Lookup { announce: false }), (10, Operation::PeerMetadata { peers: vec![peer(1)] })]
    );
}

#[test]
fn whom_no_peer_helps_looks_for_others() {
    let magnet = arrival(&[(0, What::Magnet)]);
    let mut lookups = 0;
    let (done, end) = play(&magnet, &rules(), Duration::from_millis(10), |op, _| match op {
        Operation::Lookup { .. } => {
            lookups += 1;
            Ok(Reply::Peers(vec![peer(lookups)]))
        }
        Operation::PeerMetadata { peers } if peers.len() == 1 => Err(Cause::Closed),
        _ => answer(op),
    });
    let kinds: Vec<Kind> = done.iter().map(|(_, operation)| operation.kind()).collect();
    assert_eq!(end, Ok(()));
    assert_eq!(kinds, [Kind::Lookup, Kind::PeerMetadata, Kind::Lookup, Kind::PeerMetadata]);
    assert_eq!(done[3].1, Operation::PeerMetadata { peers: vec![peer(1), peer(2)] });

    // The lookup is over after 10 ms, and the handshake is tried again after 120.
    let transfer = arrival(&[
        (0, What::Announce(AnnounceEvent::Started)),
        (15, What::Lookup),
        (0, What::Transfer { until: 1.0 }),
    ]);
    let mut tried = Vec::new();
    let (_, end) = play(&transfer, &rules(), Duration::from_millis(10), |op, attempt| match op {
        Operation::Lookup { .. } => Ok(Reply::Peers(vec![peer(2)])),
        Operation::Handshake { peers } => {
            tried.push(peers.clone());
            if attempt == 0 { Err(Cause::Refused) } else { answer(op) }
        }
        _ => answer(op),
    });
    assert_eq!((end, tried), (Ok(()), vec![vec![peer(1)], vec![peer(2), peer(1)]]));
}

#[test]
fn users_wait_as_long_as_a_server_asks_and_abuse_does_not() {
    let next_try = |origin, told| {
        let visit = Arrival { origin, ..arrival(&[(0, What::Visit)]) };
        let (mut journey, mut actions) = (Journey::new(&visit, &rules(), &[]), Vec::new());
        journey.advance(MS(0), &rules(), &mut actions);
        let throttled = Outcome { not_before: told, ..outcome(MS(10), Err(Cause::Throttled)) };
        actions.clear();
        journey.resume(Stage::Index, &throttled, MS(10), &rules(), &mut actions);
        actions
    };
    let wake = |at| vec![Action::Wake(MS(at))];
    assert_eq!(next_try(Origin::Visit, Some(MS(5000))), wake(5000));
    assert_eq!(next_try(Origin::Visit, Some(MS(50))), wake(110), "never sooner than by itself");
    assert_eq!(next_try(Origin::Visit, None), wake(110));
    assert_eq!(next_try(Origin::Abuse(0), Some(MS(5000))), wake(110));
}

#[test]
fn those_who_were_there_before_are_known_as_such() {
    let returning = |cohort| {
        let visit = Arrival { cohort, ..arrival(&[(0, What::Visit)]) };
        Journey::new(&visit, &rules(), &[]).visitor().returning
    };
    let cohorts = [Cohort::Returning, Cohort::OldCluster, Cohort::NewCluster];
    assert_eq!(cohorts.map(returning), [true, false, false]);
}

#[test]
fn side_traffic_is_one_request() {
    let mut steps = arrival(&[(5, What::Visit)]);
    steps.origin = Origin::Side(3);
    let (done, _) = play(&steps, &rules(), Duration::from_millis(10), |op, _| answer(op));
    assert_eq!(done, [(5, Operation::Side(3))]);
}

proptest! {
    /// Whatever the target does, a journey ends, and never has two operations of one stage under way.
    #[test]
    fn every_journey_ends(failures in proptest::collection::vec(0usize..16, 1..200), isolated: bool, takes in 0u64..400) {
        let mut rules = rules();
        rules.isolated = isolated;
        rules.retries = 3;
        let mut turn = 0;
        let steps = Arrival { steps: whole_funnel().steps, ..arrival(&[]) };
        let _ = play(&steps, &rules, Duration::from_millis(takes), |op, _| {
            turn += 1;
            match Cause::ALL.get(failures[turn % failures.len()]) {
                Some(cause) => Err(*cause),
                None => answer(op),
            }
        });
    }

    #[test]
    fn an_empty_arrival_ends_at_once(now in 0u64..1000) {
        let mut actions = Vec::new();
        let empty = Arrival { steps: smallvec![], ..arrival(&[]) };
        Journey::new(&empty, &rules(), &[]).advance(MS(now), &rules(), &mut actions);
        prop_assert_eq!(actions, [Action::End(Ok(()))]);
    }
}

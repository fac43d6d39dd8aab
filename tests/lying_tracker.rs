//! A tracker that lies is caught with the right cause each time, over UDP and HTTP, through the live world as a run uses it.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod liar;
mod support;

use std::net::SocketAddr;
use std::rc::Rc;

use liar::{Liar, Lie};
use squall::drive::{JourneyId, OpId, World};
use squall::journey::{Cause, Oddity, Operation, Outcome, Visitor};
use squall::live::LiveWorld;
use squall::plan::{AnnounceEvent, Stage};
use squall::profile::{ContentItem, TorrentItem, Tracker, TrackerKind};
use squall::unit::Tick;
use support::{PATIENCE, local, peers, scenario, target, visitor, world_of};

const HASH: [u8; 20] = [0xa5; 20];
const OTHER: [u8; 20] = [0x5a; 20];
/// The port of every visitor.
const PORT: u16 = 6_881;
const SEEDBOX: ([u8; 4], u16) = ([127, 255, 255, 254], PORT);
const STARTED: Operation =
    Operation::Announce { event: AnnounceEvent::Started, left: 9, downloaded: 0, numwant: None };
const STOPPED: Operation =
    Operation::Announce { event: AnnounceEvent::Stopped, left: 9, downloaded: 0, numwant: None };

/// A world with two torrents, whose swarms hold a seedbox and the visitors alone.
fn world(kind: TrackerKind, address: SocketAddr) -> LiveWorld {
    let mut mine = target(address, HASH);
    mine.trackers = vec![Tracker { kind, path: "/announce".to_owned(), ..Tracker::udp(address) }];
    let item = mine.content[0].clone();
    let torrent = item.torrent.map(|torrent| TorrentItem { info_hash: OTHER.into(), ..torrent });
    mine.content.push(ContentItem { name: "another".to_owned(), torrent, ..item });
    mine.stand_in_port = Some(PORT);
    mine.own_peers = vec![SEEDBOX.into()];
    world_of(mine, scenario(PATIENCE))
}

async fn ask(world: &mut LiveWorld, who: Visitor, operation: Operation) -> Outcome {
    world.perform(OpId { journey: JourneyId(who.seed), stage: Stage::Announce }, &who, operation);
    world.wait(Tick::MAX).await.unwrap().1
}

/// Visitors 1 and 2 join, 3 joins the other swarm, 4 joins and leaves; all of that is answered truly. Then visitor 5 joins and is lied to.
async fn lied_to(kind: TrackerKind, lie: Lie) -> Outcome {
    let liar = Liar::start(kind).await;
    let mut world = world(kind, liar.address);
    let other = Visitor { content: 1, ..visitor(3) };
    for (who, operation) in [
        (visitor(1), STARTED),
        (visitor(2), STARTED),
        (other, STARTED),
        (visitor(4), STARTED),
        (visitor(4), STOPPED),
    ] {
        let outcome = ask(&mut world, who, operation).await;
        assert_eq!(outcome.oddities, [], "the truth is not odd");
        peers(outcome);
    }
    liar.lie.set(lie);
    ask(&mut world, visitor(5), STARTED).await
}

#[test]
fn what_is_wrong_is_incorrect_and_says_why() {
    local(async {
        for (lie, oddity) in [
            (Lie::NoSeeds, None),
            (Lie::ManySeeds, Some(Oddity::Seeds)),
            (Lie::NoLeeches, Some(Oddity::Leeches)),
            (Lie::ManyLeeches, Some(Oddity::Leeches)),
            (Lie::Stranger, Some(Oddity::Stranger)),
            (Lie::OtherSwarm, Some(Oddity::Stranger)),
            (Lie::OnlyTheAsker, Some(Oddity::OnlyOneself)),
            (Lie::TooMany, Some(Oddity::TooMany)),
            (Lie::WhoLeft, Some(Oddity::Stale)),
            (Lie::IntervalZero, Some(Oddity::Interval)),
            (Lie::IntervalOfYears, Some(Oddity::Interval)),
        ] {
            for kind in [TrackerKind::Udp, TrackerKind::Http] {
                let outcome = lied_to(kind, lie).await;
                match oddity {
                    Some(oddity) => {
                        assert_eq!(outcome.result, Err(Cause::Incorrect), "{lie:?} over {kind:?}");
                        assert_eq!(outcome.oddities, [(oddity, 1)], "{lie:?} over {kind:?}");
                    }
                    // The seedbox is not this run's: it may have gone.
                    None => assert!(outcome.result.is_ok(), "{lie:?} over {kind:?}"),
                }
            }
        }
    });
}

#[test]
fn the_asker_among_others_is_counted_and_let_pass() {
    local(async {
        for kind in [TrackerKind::Udp, TrackerKind::Http] {
            let outcome = lied_to(kind, Lie::TheAskerToo).await;
            assert_eq!(outcome.oddities, [(Oddity::Oneself, 1)], "{kind:?}");
            assert!(outcome.result.is_ok(), "{kind:?}");
        }
    });
}

#[test]
fn what_is_cut_short_is_malformed() {
    local(async {
        for kind in [TrackerKind::Udp, TrackerKind::Http] {
            let outcome = lied_to(kind, Lie::Truncated).await;
            assert_eq!((outcome.result, outcome.oddities), (Err(Cause::Malformed), vec![]), "{kind:?}");
        }
    });
}

#[test]
fn duplicates_and_answers_to_nothing_are_counted_where_nobody_waits() {
    local(async {
        for (lie, oddity) in [
            (Lie::Twice, Oddity::Duplicate),
            (Lie::OtherTransaction, Oddity::Unasked),
            (Lie::Scrap, Oddity::Broken),
        ] {
            let liar = Liar::start(TrackerKind::Udp).await;
            let mut world = world(TrackerKind::Udp, liar.address);
            liar.lie.set(lie);
            let first = ask(&mut world, visitor(1), STARTED).await;
            liar.lie.set(Lie::None);
            let second = ask(&mut world, visitor(2), STARTED).await;
            assert!(first.result.is_ok() && second.result.is_ok(), "{lie:?}");
            let seen = [first.oddities, second.oddities].concat();
            assert!(!seen.is_empty() && seen.iter().all(|(seen, _)| *seen == oddity), "{lie:?}: {seen:?}");
        }
    });
}

#[test]
fn an_answer_after_its_visitor_left_is_late() {
    local(async {
        let liar = Rc::new(Liar::start(TrackerKind::Udp).await);
        let mut world = world(TrackerKind::Udp, liar.address);
        liar.lie.set(Lie::Late);
        let id = OpId { journey: JourneyId(1), stage: Stage::Announce };
        world.perform(id, &visitor(1), STARTED);
        let until = world.now() + PATIENCE;
        tokio::select! {
            _ = world.wait(until) => panic!("nobody answered"),
            () = liar.holds_one() => {}
        }
        world.release(id.journey);
        // Its task ends at the next turn.
        tokio::task::yield_now().await;
        liar.lie.set(Lie::None);
        liar.let_go().await;
        let outcome = ask(&mut world, visitor(2), STARTED).await;
        assert_eq!(outcome.oddities, [(Oddity::Late, 1)]);
        assert!(outcome.result.is_ok());
    });
}

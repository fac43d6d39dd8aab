//! Replaying logs.

use proptest::prelude::*;

use super::*;
use crate::plan::AnnounceEvent;

fn line(second: u32, hash: char, query: &str) -> String {
    let hash: String = std::iter::repeat_n(hash, 20).collect();
    format!(
        r#"203.0.113.7 - - [21/Nov/2026:07:00:{second:02} +0100] "GET /announce?info_hash={hash}&peer_id=-qB4520-abcdefghijkl&port=6881{query} HTTP/1.1" 200 312 "-" "qBittorrent/4.5.2""#
    )
}

#[test]
fn reads_what_an_announce_says() {
    let text = r#"127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /key/announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&left=1024&numwant=-1&event=completed HTTP/1.1" 200 1 "-" "x""#;
    let announce = Announce::read(text).unwrap();
    assert_eq!(announce.second, 971_211_336);
    assert_eq!(announce.info_hash[..4], [0x12, 0x34, 0x56, 0x78]);
    assert_eq!(
        (announce.event, announce.numwant, announce.left),
        (AnnounceEvent::Completed, None, Some(1024))
    );
}

#[test]
fn what_is_no_announce_is_counted_with_its_line_and_reason() {
    let text = [
        line(1, 'a', "&event=started&numwant=50"),
        String::new(),
        "nonsense".to_owned(),
        line(2, 'a', "&event=paused"),
        line(2, 'a', "&left=all"),
        line(2, 'a', "").replace("/announce", "/scrape"),
        line(2, 'a', "").replace("Nov", "Nev"),
        line(2, 'a', "").replace("aaaa", "a"),
    ];
    let log = Log::read(&text.join("\n"));
    assert_eq!((log.announces.len(), log.unread), (1, 6));
    let reasons =
        [Unread::Form, Unread::Event, Unread::Number, Unread::Request, Unread::Moment, Unread::InfoHash];
    assert_eq!(log.first_unread, (3..).zip(reasons).collect::<Vec<_>>());
}

#[test]
fn arrivals_keep_order_rank_and_scaled_moments() {
    let text = [
        line(10, 'b', ""),
        line(10, 'a', "&event=started"),
        line(14, 'a', "&event=stopped"),
        line(12, 'c', ""),
    ];
    let log = Log::read(&text.join("\n"));
    assert_eq!((log.seconds(), log.ranks.len(), log.ranks[0]), (5, 3, [b'a'; 20]));
    let arrivals: Vec<Arrival> = log.arrivals(2.0).collect();
    let due: Vec<f64> = arrivals.iter().map(|arrival| arrival.due().as_secs_f64()).collect();
    assert_eq!(due, [0.0, 0.25, 1.0, 2.0]);
    assert_eq!(arrivals.iter().map(|arrival| arrival.content).collect::<Vec<_>>(), [1, 0, 2, 0]);
    assert_eq!(arrivals[1].steps[0].what, What::Announce(AnnounceEvent::Started));
    assert_eq!(arrivals[0].steps[0].what, What::Announce(AnnounceEvent::Interval));
}

proptest! {
    #[test]
    fn no_line_stops_the_reader(text in "\\PC{0,200}", cut in 0..150usize) {
        let good = line(1, 'a', "&event=started");
        let broken: String = good.chars().take(cut).chain(text.chars()).collect();
        let log = Log::read(&format!("{text}\n{broken}\n{good}"));
        prop_assert!(log.announces.iter().any(|announce| announce.info_hash == [b'a'; 20]));
    }

    #[test]
    fn arrivals_are_in_order_of_due(seconds in proptest::collection::vec(0..60_u32, 1..40), speed in 0.1..1000.0_f64) {
        let text: Vec<String> = seconds.iter().map(|second| line(*second, 'x', "")).collect();
        let due: Vec<Tick> = Log::read(&text.join("\n")).arrivals(speed).map(|arrival| arrival.due()).collect();
        prop_assert!(due.is_sorted() && due.len() == seconds.len());
    }
}

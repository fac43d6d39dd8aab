//! Replaying logs.

use std::io::Write as _;

use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::*;
use crate::plan::AnnounceEvent;
use crate::scenario::sample;

fn line(second: u32, hash: char, query: &str) -> String {
    let hash: String = std::iter::repeat_n(hash, 20).collect();
    let (minute, second) = (second / 60, second % 60);
    format!(
        r#"203.0.113.7 - - [21/Nov/2026:07:{minute:02}:{second:02} +0100] "GET /announce?info_hash={hash}&port=6881{query} HTTP/1.1" 200 312 "-" "Unheard-of/1.0""#
    )
}

fn file(lines: &[String]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    file
}

fn open(file: &NamedTempFile) -> Replay {
    Replay::open(file.path(), &sample::sample(), 7).unwrap()
}

fn arrivals(replay: &Replay) -> Vec<Arrival> {
    let arrivals = replay.shard(0, 1).collect();
    assert!(replay.trouble().is_none());
    arrivals
}

#[test]
fn reads_what_an_announce_says() {
    let text = r#"127.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /key/announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A&peer_id=-qB4520-abcdefghijkl&left=1024&downloaded=77&numwant=-1&event=completed HTTP/1.1" 200 1 "-" "x/2""#;
    let announce = Announce::read(text).unwrap();
    assert_eq!((announce.second, announce.host, announce.agent), (971_211_336, "127.0.0.1", "x/2"));
    assert_eq!(announce.info_hash[..4], [0x12, 0x34, 0x56, 0x78]);
    assert_eq!(announce.peer_id, Some(*b"-qB4520-abcdefghijkl"));
    assert_eq!(
        (announce.event, announce.numwant, announce.left, announce.downloaded),
        (AnnounceEvent::Completed, None, Some(1024), Some(77))
    );
}

#[test]
fn what_is_no_announce_is_counted_with_its_line_and_reason() {
    let file = file(&[
        line(1, 'a', "&event=started&numwant=50"),
        String::new(),
        "nonsense".to_owned(),
        line(2, 'a', "&event=paused"),
        line(2, 'a', "&left=all"),
        line(2, 'a', "").replace("/announce", "/scrape"),
        line(2, 'a', "").replace("Nov", "Nev"),
        line(2, 'a', "").replace("aaaa", "a"),
        line(2, 'a', &"&x=y".repeat(20_000)),
        line(200, 'a', ""),
        line(201, 'a', ""),
        line(1, 'a', ""),
        line(150, 'a', ""),
    ]);
    let replay = open(&file);
    let lines = replay.lines();
    assert_eq!((lines.read, lines.unread), (4, 8));
    let reasons = [
        Unread::Form,
        Unread::Event,
        Unread::Number,
        Unread::Request,
        Unread::Moment,
        Unread::InfoHash,
        Unread::Length,
    ];
    let mut expected: Vec<(u64, Unread)> = (3..).zip(reasons).collect();
    expected.push((12, Unread::Late));
    assert_eq!(lines.first_unread, expected);
    let said = lines.left_out().unwrap();
    assert!(said.starts_with("8 of 12 lines are left out:\n  line 3: not a line"), "{said}");
    // The line that stood a little late is at its moment.
    assert_eq!(arrivals(&replay).iter().map(|a| a.due().second()).collect::<Vec<_>>(), [0, 149, 199, 200]);
}

#[test]
fn arrivals_keep_order_rank_scaled_moments_and_what_the_log_knows() {
    let file = file(&[
        line(10, 'b', "&left=5&downloaded=6&numwant=80"),
        line(10, 'a', "&event=started"),
        line(14, 'a', "&event=stopped"),
        line(12, 'c', ""),
    ]);
    let replay = open(&file).at_speed(2.0);
    assert_eq!((replay.span().as_secs(), replay.torrents(), replay.length().as_millis()), (5, 3, 2500));
    let arrivals = arrivals(&replay);
    let due: Vec<f64> = arrivals.iter().map(|arrival| arrival.due().as_secs_f64()).collect();
    assert_eq!(due, [0.0, 0.25, 1.0, 2.0]);
    assert_eq!(arrivals.iter().map(|arrival| arrival.content).collect::<Vec<_>>(), [1, 0, 2, 0]);
    assert_eq!(arrivals[1].steps[0].what, What::Announce(AnnounceEvent::Started));
    assert_eq!(arrivals[0].steps[0].what, What::Announce(AnnounceEvent::Interval));
    let said = |numwant, left, downloaded| Origin::Logged(Logged { numwant, left, downloaded });
    assert_eq!(arrivals[0].origin, said(80, Some(5), Some(6)));
    assert_eq!(arrivals[1].origin, said(-1, None, None));
}

#[test]
fn a_peer_is_the_same_in_all_its_announces_and_has_the_client_that_it_names() {
    let mut scenario = sample::sample();
    scenario.clients.members[1].0.peer_id_prefix = *b"-TR3000-";
    let members = &scenario.clients.members;
    let prefix = |client: usize| String::from_utf8(members[client].0.peer_id_prefix.to_vec()).unwrap();
    let mut text = vec![
        line(1, 'a', &format!("&event=started&peer_id={}one123456789", prefix(1))),
        line(2, 'a', &format!("&event=stopped&peer_id={}one123456789", prefix(1))),
        line(3, 'a', "").replace("Unheard-of/1.0", &members[0].0.user_agent),
        line(4, 'a', &format!("&peer_id={}9999-another00000", &prefix(1)[..3])),
    ];
    text.extend((0..200).map(|i| line(5, 'a', &format!("&peer_id=-ZZ0000-{i:012}"))));
    let file = file(&text);
    let arrivals = arrivals(&Replay::open(file.path(), &scenario, 7).unwrap());
    assert_eq!(arrivals[0].seed, arrivals[1].seed);
    assert_ne!(arrivals[0].seed, arrivals[2].seed);
    assert_eq!(arrivals[..4].iter().map(|arrival| arrival.client).collect::<Vec<_>>(), [1, 1, 0, 1]);
    // Others are drawn from the mix, 70 to 30.
    let first = arrivals[4..].iter().filter(|arrival| arrival.client == 0).count();
    assert!((110..170).contains(&first), "{first} of 200");
}

#[test]
fn the_digest_names_what_is_replayed_and_nothing_else() {
    let text = [line(1, 'a', "&left=1"), line(2, 'b', "")];
    let plain = open(&file(&text));
    assert_eq!(plain.digest(), open(&file(&text)).digest());
    assert_eq!(plain.digest().len(), 64);
    let others = [
        open(&file(&[line(1, 'a', "&left=2"), line(2, 'b', "")])),
        open(&file(&[line(1, 'a', "&left=1"), line(3, 'b', "")])),
        open(&file(&text)).at_speed(2.0),
        Replay::open(file(&text).path(), &sample::sample(), 8).unwrap(),
    ];
    for (i, other) in others.iter().enumerate() {
        assert_ne!(other.digest(), plain.digest(), "{i}");
    }
}

#[test]
fn a_log_without_announces_and_one_that_is_no_file_are_refused() {
    let scenario = sample::sample();
    let nothing = Replay::open(file(&["GET /".to_owned()]).path(), &scenario, 1).unwrap_err();
    assert!(
        nothing
            .to_string()
            .ends_with("has no announce\n  line 1: not a line of an access log in the combined form")
    );
    let folder = Replay::open(Path::new("/"), &scenario, 1).unwrap_err();
    assert!(matches!(folder, ReplayError::NotAFile { .. }));
}

#[test]
fn a_log_that_changes_under_the_replay_is_noticed_and_one_that_only_grows_is_not_read_further() {
    let mut file = file(&[line(1, 'a', ""), line(2, 'a', ""), String::new()]);
    let replay = open(&file);
    file.write_all(line(3, 'a', "").as_bytes()).unwrap();
    assert_eq!(arrivals(&replay).len(), 2);
    file.as_file().set_len(line(1, 'a', "").len() as u64 + 1).unwrap();
    assert_eq!(replay.shard(0, 1).count(), 1);
    assert!(matches!(replay.trouble(), Some(ReplayError::Changed { planned: 2, read: 1, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_line_stops_the_reader(text in "\\PC{0,200}", cut in 0..150usize) {
        let good = line(1, 'a', "&event=started");
        let broken: String = good.chars().take(cut).chain(text.chars()).collect();
        let file = file(&[text, broken, good]);
        let replay = open(&file);
        prop_assert!(replay.lines().read >= 1);
        prop_assert_eq!(arrivals(&replay).len() as u64, replay.lines().read);
    }

    #[test]
    fn shards_together_are_the_log_in_order_of_due(
        seconds in proptest::collection::vec(0..50_u32, 1..60), speed in 0.1..1000.0_f64, of in 1..5_u32,
    ) {
        let text: Vec<String> = seconds.iter().map(|second| line(*second, 'x', "")).collect();
        let file = file(&text);
        let replay = open(&file).at_speed(speed);
        let whole = arrivals(&replay);
        prop_assert_eq!(whole.len(), seconds.len());
        prop_assert!(whole.is_sorted_by_key(Arrival::due));
        prop_assert!(whole.iter().map(|arrival| arrival.index).eq(0..seconds.len() as u64));
        let mut union: Vec<Arrival> = (0..of).flat_map(|i| replay.shard(i, of)).collect();
        union.sort_by_key(|arrival| arrival.index);
        prop_assert_eq!(union, whole);
        prop_assert_eq!(replay.shard(of, of).count(), 0);
    }
}

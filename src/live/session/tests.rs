use proptest::prelude::*;

use super::super::merkle;
use super::super::metainfo::{info_of, v2_info_of};
use super::super::wire::HashRequest;
use super::*;

const ALL: Message<'_> = Message::Bitfield(&[0xff]);
const PIPELINE: u32 = 32;

/// Three pieces: two of 40,000 bytes (three blocks each) and a short one.
fn content() -> Vec<u8> {
    (0..90_000_u32).map(|n| (n * 7 / 3) as u8).collect()
}

fn known() -> (Session, Vec<u8>) {
    let content = content();
    let (info, hash) = info_of(&content, 40_000);
    let layout = Layout::from_info(&info, &hash.into()).unwrap();
    (Session::new(hash.into(), Some(Rc::new(layout)), true), content)
}

/// A session that may ask for piece 0.
fn fetching() -> (Session, Vec<u8>) {
    let (mut session, content) = known();
    handle(&mut session, Message::Bitfield(&[0xe0])).unwrap();
    handle(&mut session, Message::Unchoke).unwrap();
    session.fetch(0..1, PIPELINE).unwrap();
    (session, content)
}

fn handle(session: &mut Session, message: Message<'_>) -> Result<Vec<u8>, Cause> {
    let mut out = Vec::new();
    session.handle(message, &mut out).map(|()| out)
}

/// Every request that the session makes now: its piece and where its block begins.
fn requests(session: &mut Session) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    while session.wanted().is_some() {
        session.ask(&mut out);
    }
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    out.chunks(17).map(|request| (number(&request[5..9]), number(&request[9..13]))).collect()
}

/// As [`requests`], of piece 0 alone.
fn asked(session: &mut Session) -> Vec<u32> {
    requests(session).into_iter().map(|(piece, begin)| [begin][piece as usize]).collect()
}

/// The answer to a request.
fn answer(content: &[u8], (piece, begin): (u32, u32)) -> Message<'_> {
    let whole = &content[piece as usize * 40_000..];
    let data = &whole[..whole.len().min(40_000)][begin as usize..];
    Message::Block { piece, begin, data: &data[..data.len().min(BLOCK as usize)] }
}

fn block(content: &[u8], begin: u32) -> Message<'_> {
    let end = (begin + BLOCK).min(40_000) as usize;
    Message::Block { piece: 0, begin, data: &content[begin as usize..end] }
}

#[test]
fn ready_means_unchoked_with_something_to_give() {
    let (mut session, _) = known();
    assert!(session.is_held_back());
    assert_eq!(handle(&mut session, Message::Have(1)).unwrap(), [0, 0, 0, 1, 2], "interested");
    assert_eq!(handle(&mut session, Message::Have(2)).unwrap(), [0; 0], "once");
    assert!(!session.is_ready());
    handle(&mut session, Message::Unchoke).unwrap();
    assert!(session.is_ready() && !session.is_held_back());
    handle(&mut session, Message::Choke).unwrap();
    assert!(!session.is_ready());
}

#[test]
fn a_piece_is_fetched_in_any_order_and_checked() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (mut session, content) = fetching();
        assert_eq!(asked(&mut session), [0, BLOCK, 2 * BLOCK]);
        for n in order {
            assert_eq!(session.finished(), Ok(false));
            handle(&mut session, block(&content, n * BLOCK)).unwrap();
        }
        assert_eq!(session.finished(), Ok(true));
        assert!(!session.is_fetching());
    }
}

#[test]
fn a_changed_byte_is_incorrect() {
    let (mut session, mut content) = fetching();
    asked(&mut session);
    content[39_999] ^= 1;
    for n in 0..3 {
        handle(&mut session, block(&content, n * BLOCK)).unwrap();
    }
    assert_eq!(session.finished(), Err(Cause::Incorrect));
}

#[test]
fn blocks_that_were_not_asked_for_are_malformed() {
    let data = &[0; BLOCK as usize][..];
    for (piece, begin, data) in
        [(0, 0, &data[1..]), (0, 1, data), (1, 0, data), (0, 3 * BLOCK, data), (0, u32::MAX, data)]
    {
        let (mut session, _) = fetching();
        asked(&mut session);
        assert_eq!(handle(&mut session, Message::Block { piece, begin, data }), Err(Cause::Malformed));
    }
    let (mut session, content) = fetching();
    assert_eq!(handle(&mut session, block(&content, 0)), Err(Cause::Malformed), "before it was asked for");
    asked(&mut session);
    handle(&mut session, block(&content, 0)).unwrap();
    assert_eq!(handle(&mut session, block(&content, 0)), Err(Cause::Malformed), "twice");
}

#[test]
fn a_choke_discards_requests_and_they_are_made_again() {
    let (mut session, content) = fetching();
    asked(&mut session);
    handle(&mut session, block(&content, 0)).unwrap();
    handle(&mut session, Message::Choke).unwrap();
    assert!(session.is_held_back());
    assert_eq!(asked(&mut session), [0; 0]);
    handle(&mut session, block(&content, BLOCK)).unwrap();
    handle(&mut session, Message::Unchoke).unwrap();
    assert_eq!(asked(&mut session), [BLOCK, 2 * BLOCK], "the stray block did not count");
    handle(&mut session, block(&content, BLOCK)).unwrap();
    handle(&mut session, block(&content, 2 * BLOCK)).unwrap();
    assert_eq!(session.finished(), Ok(true));
}

#[test]
fn a_piece_that_the_peer_lacks_is_waited_for() {
    let (mut session, _) = known();
    handle(&mut session, Message::Bitfield(&[0x40])).unwrap();
    handle(&mut session, Message::Unchoke).unwrap();
    session.fetch(0..1, PIPELINE).unwrap();
    assert!(session.wanted().is_none() && session.is_held_back());
    handle(&mut session, Message::Have(0)).unwrap();
    assert_eq!(asked(&mut session).len(), 3);
    assert_eq!(session.fetch(3..4, PIPELINE), Err(Cause::Local), "no such piece");
}

#[test]
fn requests_go_on_with_the_next_piece() {
    let (mut session, content) = fetching();
    let (first, second) = ([(0, 0), (0, BLOCK), (0, 2 * BLOCK)], [(1, 0), (1, BLOCK), (1, 2 * BLOCK)]);
    session.fetch(0..3, 4).unwrap();
    assert_eq!(requests(&mut session), [&first[..], &second[..1]].concat(), "a pipeline of four");
    handle(&mut session, answer(&content, first[0])).unwrap();
    handle(&mut session, answer(&content, second[0])).unwrap();
    assert_eq!(requests(&mut session), second[1..]);
    for request in &first[1..] {
        assert_eq!(session.finished(), Ok(false));
        handle(&mut session, answer(&content, *request)).unwrap();
    }
    assert_eq!(session.finished(), Ok(true));
    for request in &second[1..] {
        handle(&mut session, answer(&content, *request)).unwrap();
    }
    session.fetch(1..3, 4).unwrap();
    assert_eq!(requests(&mut session), [(2, 0)], "the short one");
    assert_eq!(session.finished(), Ok(true), "all of it was there");
    session.fetch(2..3, 4).unwrap();
    assert_eq!((session.finished(), requests(&mut session)), (Ok(false), vec![]), "it is under way");
}

#[test]
fn a_next_piece_is_checked_in_its_own_turn() {
    let (mut session, mut content) = fetching();
    content[40_000] ^= 1;
    session.fetch(0..2, PIPELINE).unwrap();
    for request in requests(&mut session) {
        handle(&mut session, answer(&content, request)).unwrap();
    }
    assert_eq!(session.finished(), Ok(true));
    session.fetch(1..2, PIPELINE).unwrap();
    assert_eq!(session.finished(), Err(Cause::Incorrect));
}

#[test]
fn a_next_piece_that_is_not_wanted_any_more_may_still_arrive() {
    let (mut session, content) = fetching();
    session.fetch(0..2, 4).unwrap();
    let early = requests(&mut session);
    session.fetch(2..3, 4).unwrap();
    assert_eq!(handle(&mut session, answer(&content, early[3])), Ok(vec![]));
    assert_eq!(requests(&mut session), [(2, 0)]);
}

#[test]
fn what_waits_to_be_hashed_is_bounded() {
    let content = vec![3; 60 * BLOCK as usize];
    let (info, hash) = info_of(&content, 30 * BLOCK as usize);
    let mut session =
        Session::new(hash.into(), Some(Rc::new(Layout::from_info(&info, &hash.into()).unwrap())), true);
    handle(&mut session, ALL).unwrap();
    handle(&mut session, Message::Unchoke).unwrap();
    session.fetch(0..2, 20).unwrap();
    // The peer never sends the first block.
    let mut seen = Vec::new();
    while let Some(begins) = Some(requests(&mut session)).filter(|it| !it.is_empty()) {
        for (piece, begin) in begins {
            if (piece, begin) != (0, 0) {
                let data = &content[..BLOCK as usize];
                handle(&mut session, Message::Block { piece, begin, data }).unwrap();
            }
            seen.push((piece, begin));
        }
    }
    assert_eq!(seen.len(), 40, "two pipelines, ten blocks of them in the next piece");
}

#[test]
fn metadata_is_fetched_checked_and_bounded() {
    let (info, hash) = info_of(&vec![1; 1_700_000], 1_700);
    let fetch = |hash: [u8; 20]| {
        let mut session = Session::new(hash.into(), None, true);
        handle(&mut session, ALL).unwrap();
        let size = Some(info.len() as u64);
        let out = handle(&mut session, Message::Extensions { ut_metadata: 3, metadata_size: size }).unwrap();
        assert_eq!(out.windows(11).filter(|it| it == b"d8:msg_type").count(), 2, "two blocks of 16 KiB");
        session
    };
    let (first, second) = info.split_at(BLOCK as usize);
    let mut session = fetch(hash);
    handle(&mut session, Message::MetadataBlock { block: 1, data: second }).unwrap();
    assert!(session.layout().is_none());
    let cut = Message::MetadataBlock { block: 0, data: &first[1..] };
    assert_eq!(handle(&mut session, cut), Err(Cause::Malformed));
    handle(&mut session, Message::MetadataBlock { block: 0, data: first }).unwrap();
    assert_eq!(session.layout().unwrap().pieces(), 1_000);

    let mut session = fetch([0; 20]);
    handle(&mut session, Message::MetadataBlock { block: 0, data: first }).unwrap();
    let whole = Message::MetadataBlock { block: 1, data: second };
    assert_eq!(handle(&mut session, whole), Err(Cause::Incorrect));

    let offers =
        [(0, Some(9), Cause::Rejected), (3, None, Cause::Rejected), (3, Some(1 << 40), Cause::Malformed)];
    for (ut_metadata, metadata_size, cause) in offers {
        let mut session = Session::new(hash.into(), None, true);
        assert_eq!(handle(&mut session, Message::Extensions { ut_metadata, metadata_size }), Err(cause));
    }
    assert_eq!(handle(&mut fetch(hash), Message::MetadataReject), Err(Cause::Rejected));
    assert_eq!(
        Session::new(hash.into(), None, false).check_metadata(),
        Err(Cause::Rejected),
        "no extensions"
    );
}

#[test]
fn bitfields_and_haves_beyond_the_torrent_are_malformed() {
    let (mut session, _) = known();
    assert_eq!(handle(&mut session, Message::Bitfield(&[0xff, 0])), Err(Cause::Malformed));
    assert_eq!(handle(&mut session, Message::Have(3)), Err(Cause::Malformed));
    let mut unknown = Session::new([0; 20].into(), None, true);
    assert_eq!(handle(&mut unknown, Message::Have(u32::MAX)), Err(Cause::Malformed));
}

/// A torrent of one file whose piece layer takes two requests: its info dictionary, its hash and its layer.
fn v2_torrent() -> (Vec<u8>, InfoHash, Vec<[u8; 32]>) {
    let layer: Vec<[u8; 32]> = (0..600_u32).map(|n| merkle::leaf(&n.to_be_bytes())).collect();
    let root = merkle::root(layer.clone(), 0, 10);
    let (info, hash) = v2_info_of(600 * u64::from(BLOCK), &root);
    (info, hash, layer)
}

fn request_of(index: u32, length: u32) -> HashRequest {
    let (_, _, layer) = v2_torrent();
    HashRequest { root: merkle::root(layer, 0, 10), base: 0, index, length, proof_layers: 0 }
}

/// A session that has the info dictionary of [`v2_torrent`], and what it asked for then.
fn without_layers() -> (Session, Vec<u8>) {
    let (info, hash, _) = v2_torrent();
    let mut session = Session::new(hash, None, true);
    let size = Some(info.len() as u64);
    handle(&mut session, Message::Extensions { ut_metadata: 3, metadata_size: size }).unwrap();
    let out = handle(&mut session, Message::MetadataBlock { block: 0, data: &info }).unwrap();
    (session, out)
}

#[test]
fn layers_of_hashes_are_fetched_and_checked() {
    let (_, _, layer) = v2_torrent();
    let (mut session, out) = without_layers();
    let mut expected = Vec::new();
    wire::hash_request(&mut expected, &request_of(0, 512));
    wire::hash_request(&mut expected, &request_of(512, 512));
    assert_eq!(out, expected);
    let (first, second) = layer.split_at(512);
    let second = [second.as_flattened(), &[0; 32 * 424]].concat();
    assert_eq!(
        handle(&mut session, Message::Hashes { request: request_of(512, 512), hashes: &second }),
        Ok(vec![])
    );
    assert!(session.layout().is_none());
    let whole = Message::Hashes { request: request_of(0, 512), hashes: first.as_flattened() };
    assert_eq!(handle(&mut session, whole), Ok(vec![]));
    assert_eq!(session.layout().unwrap().pieces(), 600);
    assert_eq!(handle(&mut session, whole), Err(Cause::Malformed), "nobody asks any more");

    let (mut session, _) = without_layers();
    handle(&mut session, Message::Hashes { request: request_of(512, 512), hashes: &second }).unwrap();
    let zeros = [0; 32 * 512];
    let wrong = Message::Hashes { request: request_of(0, 512), hashes: &zeros };
    assert_eq!(handle(&mut session, wrong), Err(Cause::Incorrect));
    for (request, hashes) in [(request_of(0, 256), &zeros[..32 * 256]), (request_of(0, 512), &zeros[1..])] {
        let (mut session, _) = without_layers();
        assert_eq!(handle(&mut session, Message::Hashes { request, hashes }), Err(Cause::Malformed));
    }
    let (mut session, _) = without_layers();
    assert_eq!(handle(&mut session, Message::HashReject(request_of(0, 512))), Err(Cause::Rejected));
}

proptest! {
    /// Whatever the depth, the order of answers and the chokes: each piece arrives whole, no more requests are under way than allowed,
    /// and none is made twice but after a choke.
    #[test]
    fn any_order_of_answers_gives_every_piece(
        pipeline in 1_u32..8,
        order in prop::collection::vec(any::<prop::sample::Index>(), 40),
        chokes in prop::collection::vec(prop::bool::weighted(0.1), 40),
    ) {
        let (mut session, content) = fetching();
        let (mut under_way, mut made, mut choked) = (Vec::new(), 0, false);
        let mut turns = order.iter().zip(chokes).cycle();
        for index in 0..3 {
            session.fetch(index..3, pipeline).unwrap();
            while !session.finished().unwrap() {
                let new = requests(&mut session);
                made += new.len();
                under_way.extend(new);
                prop_assert!(!under_way.is_empty() && under_way.len() <= pipeline as usize);
                let (turn, choke) = turns.next().unwrap();
                let request = under_way.swap_remove(turn.index(under_way.len()));
                handle(&mut session, answer(&content, request)).unwrap();
                if choke {
                    choked = true;
                    under_way.clear();
                    handle(&mut session, Message::Choke).unwrap();
                    handle(&mut session, Message::Unchoke).unwrap();
                }
            }
        }
        prop_assert!(under_way.is_empty());
        prop_assert!(made == 7 || choked, "{} requests for 7 blocks", made);
    }

    #[test]
    fn whatever_a_peer_says_never_panics(
        steps in prop::collection::vec((0_u8..10, any::<u32>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        layout in any::<bool>(),
    ) {
        let (mut session, content) = if layout { fetching() } else { (Session::new([0; 20].into(), None, true), content()) };
        for (kind, number, data) in &steps {
            let small = number % 4;
            let message = match kind {
                0 => Message::Choke,
                1 => Message::Unchoke,
                2 => Message::Have(*number),
                3 => Message::Bitfield(data),
                4 => block(&content, small * BLOCK % 40_000),
                5 => Message::Block { piece: small, begin: *number, data },
                6 => Message::Extensions { ut_metadata: small as u8, metadata_size: Some(u64::from(*number) % 50_000) },
                7 => Message::MetadataBlock { block: small, data },
                8 => Message::Hashes { request: request_of(0, small), hashes: data },
                _ => Message::MetadataReject,
            };
            let _ = handle(&mut session, message);
            let _ = asked(&mut session);
            let _ = session.finished();
        }
    }
}

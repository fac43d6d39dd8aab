//! Web seeds (BEP 19) as visitors meet them: honest, and wrong in every way that a client has to live with.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy sees the helpers of an integration test as ordinary code"
)]

mod support;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use squall::drive::World;
use squall::journey::{Cause, Operation, Reply};
use support::seeded::{Fetched, PIECE, Seeded, fetch};
use support::{PATIENCE, local, perform, scenario, with_ceiling, world, world_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    connection: usize,
    path: String,
    range: Option<Range<usize>>,
}

/// What the server sends, and whether it closes the connection after that.
type Sent = (Vec<u8>, bool);
type Log = Rc<RefCell<Vec<Asked>>>;

/// A web server that answers as it is told; the log holds what it was asked.
async fn serve(answer: impl Fn(usize, &Asked) -> Sent + 'static) -> (SocketAddr, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (log, answer) = (Log::default(), Rc::new(answer));
    let seen = Rc::clone(&log);
    tokio::task::spawn_local(async move {
        let mut connection = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(converse(stream, connection, Rc::clone(&seen), Rc::clone(&answer)));
            connection += 1;
        }
    });
    (address, log)
}

async fn converse(
    mut stream: TcpStream,
    connection: usize,
    log: Log,
    answer: Rc<impl Fn(usize, &Asked) -> Sent>,
) {
    let mut buffer = [0; 2048];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let request = String::from_utf8(buffer[..read].to_vec()).unwrap().to_lowercase();
        let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")).map(|range| {
            let (first, last) = range.split_once('-').unwrap();
            first.parse().unwrap()..last.parse::<usize>().unwrap() + 1
        });
        let asked = Asked { connection, path: request.split(' ').nth(1).unwrap().to_owned(), range };
        let before = log.borrow().iter().filter(|other| other.range.is_some()).count();
        log.borrow_mut().push(asked.clone());
        let (bytes, closes) = answer(before, &asked);
        if stream.write_all(&bytes).await.is_err() || closes {
            return;
        }
    }
}

fn http(status: &str, fields: &str, body: &[u8]) -> Sent {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    ([head.as_bytes(), body].concat(), false)
}

/// The part of a file that was asked for.
fn part(file: &[u8], asked: &Asked) -> Sent {
    let range = asked.range.clone().unwrap();
    let fields = format!("Content-Range: bytes {}-{}/{}\r\n", range.start, range.end - 1, file.len());
    http("206 Partial Content", &fields, &file[range])
}

/// Serves the `.torrent`, which names these web seeds (`HERE` is the server itself), and for all else what `answer` makes of the number of
/// the request, what was asked, and the content.
async fn offer(
    seeded: &Rc<Seeded>,
    urls: &[&str],
    answer: impl Fn(usize, &Asked, &[u8]) -> Sent + 'static,
) -> (SocketAddr, Log) {
    let (torrent, content) = (Rc::new(RefCell::new(Vec::new())), Rc::clone(seeded));
    let served = Rc::clone(&torrent);
    let (address, log) = serve(move |n, asked| match asked.path.as_str() {
        "/release.torrent" => http("200 OK", "", &served.borrow()),
        _ => answer(n, asked, &content.content),
    })
    .await;
    let urls: Vec<String> = urls.iter().map(|url| url.replace("HERE", &address.to_string())).collect();
    *torrent.borrow_mut() = seeded.torrent(&urls.iter().map(String::as_str).collect::<Vec<_>>());
    (address, log)
}

/// The web seed that [`offer`]'s server is.
const HERE: &[&str] = &["http://HERE/"];

/// A server that does as it should.
fn honest(_: usize, asked: &Asked, content: &[u8]) -> Sent {
    part(content, asked)
}

/// Offers `/release.bin` and fetches it all.
async fn against(
    size: usize,
    patience: Duration,
    answer: fn(usize, &Asked, &[u8]) -> Sent,
) -> (Fetched, Log) {
    let seeded = Rc::new(Seeded::single(size));
    let (address, log) = offer(&seeded, HERE, answer).await;
    let mut world = world(seeded.target(address), patience);
    let fetched = fetch(&mut world, 1, Vec::new(), &seeded).await;
    log.borrow_mut().retain(|asked| asked.range.is_some());
    (fetched, log)
}

const SIZE: usize = 50 * PIECE - 1_000;

#[test]
fn pieces_come_in_runs_on_one_connection() {
    local(async {
        let (fetched, log) = against(SIZE, PATIENCE, honest).await;
        assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), SIZE as u64));
        assert_eq!((fetched.swarm.pieces, fetched.swarm.wasted, fetched.swarm.offload()), (50, 0, Some(0.0)));
        let log = log.borrow();
        assert!(
            log.iter().all(|asked| asked.path == "/release.bin" && asked.connection == log[0].connection)
        );
        // A MiB is 32 pieces.
        assert!((2..20).contains(&log.len()), "{log:?}");
        let mut ranges: Vec<_> = log.iter().map(|asked| asked.range.clone().unwrap()).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|two| two[0].end == two[1].start), "{ranges:?}");
        assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, SIZE));
        assert_eq!(fetched.web.http1, log.len() as u64);
    });
}

#[test]
fn files_of_a_folder_are_each_asked_for_by_their_path() {
    local(async {
        let files = [("a b", 40_000), ("in/c", 50_000), ("in/empty", 0), ("d", 7)];
        let seeded = Rc::new(Seeded::folder(&files));
        // Without a slash at its end, among others that lead nowhere, and under the name that the profile has for it.
        let urls = ["ftp://fleet.test/", "http://HERE/pub", "http://[broken"];
        let (address, log) = offer(&seeded, &urls, |_, asked, content| {
            let at = |path: &str| match path {
                "/pub/release/a%20b" => Some(0..40_000),
                "/pub/release/in/c" => Some(40_000..90_000),
                "/pub/release/d" => Some(90_000..90_007),
                _ => None,
            };
            match at(&asked.path) {
                Some(range) => part(&content[range], asked),
                None => http("404 Not Found", "", b""),
            }
        })
        .await;
        let mut world = world(seeded.target(address), PATIENCE);
        let fetched = fetch(&mut world, 1, Vec::new(), &seeded).await;
        assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), 90_007));
        assert!(log.borrow().iter().any(|asked| asked.path == "/pub/release/d"));
    });
}

#[test]
fn servers_that_are_of_no_use_are_given_up_with_their_cause() {
    type Case = (&'static str, Cause, fn(usize, &Asked, &[u8]) -> Sent);
    let cases: [Case; 14] = [
        ("not there", Cause::ClientError, |_, _, _| http("404 Not Found", "", b"no such file")),
        ("gone", Cause::ClientError, |_, _, _| http("410 Gone", "", b"")),
        ("forbidden", Cause::ClientError, |_, _, _| http("403 Forbidden", "", b"")),
        ("no such part", Cause::ClientError, |_, _, _| http("416 X", "Content-Range: bytes */7\r\n", b"")),
        ("overloaded", Cause::ServerError, |_, _, _| http("503 X", "", b"")),
        ("ranges are ignored", Cause::Rejected, |_, _, file| http("200 OK", "", file)),
        ("another file", Cause::Incorrect, |_, asked, file| part(&[file, b"more"].concat(), asked)),
        ("another part", Cause::Malformed, |_, asked, file| {
            let range = asked.range.clone().unwrap();
            part(file, &Asked { range: Some(range.start..range.end - 1), ..asked.clone() })
        }),
        ("which part it is, is not said", Cause::Malformed, |_, asked, file| {
            http("206 Partial Content", "", &file[asked.range.clone().unwrap()])
        }),
        ("compressed", Cause::Malformed, |_, asked, file| {
            let range = asked.range.clone().unwrap();
            let content_range = format!("Content-Range: bytes {}-{}/{SIZE}\r\n", range.start, range.end - 1);
            http("206 X", &format!("{content_range}Content-Encoding: gzip\r\n"), &file[range])
        }),
        ("closed at once", Cause::Closed, |_, _, _| (Vec::new(), true)),
        ("another protocol", Cause::Malformed, |_, _, _| (b"SSH-2.0-x\r\n".to_vec(), true)),
        ("leads elsewhere", Cause::Foreign, |_, _, _| http("302 X", "Location: http://192.0.2.1/\r\n", b"")),
        ("leads in circles", Cause::Incorrect, |_, _, _| http("302 X", "Location: /release.bin\r\n", b"")),
    ];
    for (name, cause, answer) in cases {
        local(async {
            let (fetched, log) = against(SIZE, PATIENCE, answer).await;
            assert_eq!(fetched.result, Err(cause), "{name}");
            assert_eq!((fetched.swarm.from_web, fetched.swarm.pieces), (0, 0), "{name}");
            // A redirect is followed five times, and a connection that was closed is opened once more where it was an old one.
            assert!(log.borrow().len() <= 6, "{name}: {:?}", log.borrow());
        });
    }
}

#[test]
fn wrong_bytes_are_caught_and_the_rest_comes_from_others() {
    fn lie(asked: &Asked, file: &[u8]) -> Sent {
        let mut lie = file.to_vec();
        lie[asked.range.clone().unwrap().start] ^= 1;
        part(&lie, asked)
    }
    local(async {
        let (fetched, log) = against(SIZE, PATIENCE, |_, asked, file| lie(asked, file)).await;
        assert_eq!((fetched.result, fetched.swarm.wrong_pieces), (Err(Cause::Incorrect), 1));
        assert_eq!(log.borrow().len(), 1, "it is not asked again");
        // Whatever it gave before.
        let later = |n, asked: &Asked, file: &[u8]| if n == 0 { part(file, asked) } else { lie(asked, file) };
        let (fetched, log) = against(SIZE, PATIENCE, later).await;
        assert_eq!((fetched.result, fetched.swarm.wrong_pieces), (Err(Cause::Incorrect), 1));
        assert_eq!(log.borrow().len(), 2);

        let seeded = Rc::new(Seeded::single(SIZE));
        let urls = ["http://HERE/bad/", "http://HERE/good/"];
        let (address, log) = offer(&seeded, &urls, |_, asked, content| match asked.path.as_str() {
            "/good/release.bin" => part(content, asked),
            _ => part(&[0; SIZE], asked),
        })
        .await;
        let mut world = world(seeded.target(address), PATIENCE);
        let fetched = fetch(&mut world, 1, Vec::new(), &seeded).await;
        assert_eq!(fetched.result, Ok(()));
        assert!(fetched.swarm.wrong_pieces >= 1 && fetched.swarm.from_web > SIZE as u64, "{fetched:?}");
        let asked_of_bad = log.borrow().iter().filter(|asked| asked.path == "/bad/release.bin").count();
        assert!((1..=2).contains(&asked_of_bad), "{:?}", log.borrow());
    });
}

#[test]
fn a_whole_file_is_taken_where_the_whole_is_wanted() {
    local(async {
        let (fetched, log) = against(PIECE, PATIENCE, |_, _, file| http("200 OK", "", file)).await;
        assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), PIECE as u64));
        assert_eq!(log.borrow()[0].range, Some(0..PIECE));
    });
}

#[test]
fn bodies_that_end_early_are_gone_on_with_where_they_ended() {
    fn half(_: usize, asked: &Asked, file: &[u8]) -> Sent {
        let (bytes, _) = part(file, asked);
        let body = asked.range.clone().unwrap().len();
        (bytes[..bytes.len() - body / 2].to_vec(), body > 40_000)
    }
    local(async {
        // What is short enough comes whole after all.
        let answer = |n, asked: &Asked, file: &[u8]| {
            let (bytes, closes) = half(n, asked, file);
            if closes { (bytes, true) } else { part(file, asked) }
        };
        let (fetched, log) = against(SIZE, PATIENCE, answer).await;
        assert_eq!(fetched.result, Ok(()));
        assert_eq!((fetched.swarm.wrong_pieces, fetched.swarm.pieces), (0, 50));
        // Only the blocks that the end cut through came twice.
        let cut = log.borrow().len() as u64 * 16_384;
        assert!((SIZE as u64..SIZE as u64 + cut).contains(&fetched.swarm.from_web), "{fetched:?}");
    });
}

#[test]
fn who_asks_for_a_pause_gets_it() {
    fn busy(n: usize, asked: &Asked, file: &[u8]) -> Sent {
        match n {
            0 => http("503 Busy", "Retry-After: 1\r\n", b"later"),
            1 => http("429 Too Many", "Retry-After: 0\r\n", b""),
            _ => part(file, asked),
        }
    }
    local(async {
        let begin = Instant::now();
        let (fetched, _) = against(SIZE, PATIENCE, busy).await;
        assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), SIZE as u64));
        assert!(begin.elapsed() >= Duration::from_secs(2));

        let patience = Duration::from_secs(2);
        let (fetched, log) =
            against(SIZE, patience, |_, _, _| http("429 X", "Retry-After: 600\r\n", b"")).await;
        assert_eq!((fetched.result, log.borrow().len()), (Err(Cause::Throttled), 1));
    });
}

#[test]
fn redirects_are_followed_once_for_each_file() {
    fn moved(_: usize, asked: &Asked, file: &[u8]) -> Sent {
        match asked.path.as_str() {
            "/new" => part(file, asked),
            _ => http("302 Found", "Location: /new\r\n", b"it is there"),
        }
    }
    local(async {
        let (fetched, log) = against(SIZE, PATIENCE, moved).await;
        assert_eq!((fetched.result, fetched.web.redirects), (Ok(()), 1));
        let log = log.borrow();
        let paths: Vec<&str> = log.iter().map(|asked| asked.path.as_str()).collect();
        assert!(paths.len() > 2 && paths[0] == "/release.bin" && paths[1..].iter().all(|it| *it == "/new"));
        assert!(log.iter().all(|asked| asked.connection == log[0].connection));
    });
}

#[test]
fn servers_of_others_are_counted_and_never_contacted() {
    local(async {
        let seeded = Seeded::single(SIZE);
        let torrent =
            seeded.torrent(&["http://192.0.2.1/x/", "http://mirror.test/x/", "https://127.0.0.1/x"]);
        let (address, log) = serve(move |_, _| http("200 OK", "", &torrent)).await;
        let mut world = world(seeded.target(address), PATIENCE);
        let known = perform(&mut world, 1, Operation::Torrent).await;
        let all = Reply::Metadata { pieces: 50, size: SIZE as u64, web_seeds: false };
        assert_eq!(known.result, Ok(all));
        let fetched = fetch(&mut world, 1, Vec::new(), &seeded).await;
        assert_eq!((fetched.result, fetched.foreign), (Err(Cause::NoPeers), 3));
        assert_eq!(log.borrow().len(), 2, "the `.torrent`, twice");
    });
}

#[test]
fn a_profile_names_web_seeds_too() {
    local(async {
        let seeded = Rc::new(Seeded::single(SIZE));
        let (address, _) = offer(&seeded, &[], honest).await;
        let mut target = seeded.target(address);
        // By the name that the profile has for the server.
        let url = "http://fleet.test/x".parse().unwrap();
        target.content[0].torrent.as_mut().unwrap().web_seeds = vec![url];
        let mut world = world(target, PATIENCE);
        let fetched = fetch(&mut world, 1, Vec::new(), &seeded).await;
        assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), SIZE as u64));
    });
}

/// Each range is an operation to the server, beside those of the visitor: the `.torrent` and the handshake.
#[test]
fn requests_keep_to_the_ceiling_of_an_authorization() {
    local(async {
        let files: Vec<(String, usize)> = (0..9).map(|n| (format!("file {n}"), 5_000)).collect();
        let seeded =
            Rc::new(Seeded::folder(&files.iter().map(|(name, size)| (&name[..], *size)).collect::<Vec<_>>()));
        let (address, log) = offer(&seeded, HERE, |_, asked, content| {
            let at = asked.path.trim_start_matches("/release/file%20").parse::<usize>().unwrap() * 5_000;
            part(&content[at..at + 5_000], asked)
        })
        .await;
        let mut world = world(with_ceiling(seeded.target(address), 3.0), PATIENCE);
        assert!(perform(&mut world, 1, Operation::Torrent).await.result.is_ok());
        assert!(perform(&mut world, 1, Operation::Handshake { peers: Vec::new() }).await.result.is_ok());
        let mut fetched = 0;
        while fetched < seeded.size() {
            let soon = world.now() + Duration::from_millis(20);
            assert_eq!(world.wait(soon).await, None);
            fetched += support::swarm(&mut world).from_web;
            let sent = 1 + log.borrow().len() as u64;
            assert!(sent <= 3 * (world.now().second() + 1), "{sent}");
        }
        assert!(world.now().second() >= 3);
    });
}

#[test]
fn the_line_bounds_the_rate() {
    local(async {
        let size = 10 * PIECE;
        let seeded = Rc::new(Seeded::single(size));
        let (address, _) = offer(&seeded, HERE, honest).await;
        let mut scenario = scenario(PATIENCE);
        scenario.access.members[0].0.down = 400_000.0;
        let mut world = world_of(seeded.target(address), scenario);
        let begin = Instant::now();
        assert_eq!(fetch(&mut world, 1, Vec::new(), &seeded).await.result, Ok(()));
        // All but the 64 KiB that a line takes at once, and the last bytes, which are counted before the line has carried them.
        let least = (size - 3 * (64 << 10)) as f64 / 400_000.0;
        assert!(begin.elapsed().as_secs_f64() >= least, "{:?}", begin.elapsed());
    });
}

/// A peer that has everything and gives one block in 20 ms.
async fn slow_peer(seeded: Rc<Seeded>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 68]).await.unwrap();
        let hello =
            [b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0", &seeded.info_hash[..], b"-XX0000-slow-peer-1-"];
        stream.write_all(&hello.concat()).await.unwrap();
        let pieces = seeded.pieces() as usize;
        let mut bits = vec![0xff; pieces.div_ceil(8)];
        *bits.last_mut().unwrap() = !(0xff_u32 >> ((pieces - 1) % 8 + 1)) as u8;
        let bitfield =
            [&(bits.len() as u32 + 1).to_be_bytes()[..], b"\x05", &bits, b"\0\0\0\x01\x01"].concat();
        stream.write_all(&bitfield).await.unwrap();
        while let Ok(length) = stream.read_u32().await {
            let mut body = vec![0; length as usize];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let [6, numbers @ ..] = &body[..] else { continue };
            let number = |at: usize| u32::from_be_bytes(numbers[at..at + 4].try_into().unwrap()) as usize;
            let begin = number(0) * PIECE + number(4);
            let data = &seeded.content[begin..begin + number(8)];
            tokio::time::sleep(Duration::from_millis(20)).await;
            let head = [&(data.len() as u32 + 9).to_be_bytes()[..], b"\x07", &numbers[..8]].concat();
            if stream.write_all(&[&head, data].concat()).await.is_err() {
                return;
            }
        }
    });
    address
}

#[test]
fn a_slow_peer_and_a_web_seed_give_together() {
    local(async {
        let seeded = Rc::new(Seeded::single(SIZE));
        let peer = slow_peer(Rc::clone(&seeded)).await;
        let (address, log) = offer(&seeded, HERE, honest).await;
        // A line that the web seed alone would take a second for.
        let mut scenario = scenario(PATIENCE);
        scenario.access.members[0].0.down = 1_600_000.0;
        let mut world = world_of(seeded.target(address), scenario);
        let fetched = fetch(&mut world, 1, vec![peer], &seeded).await;
        assert_eq!(fetched.result, Ok(()));
        let swarm = fetched.swarm;
        assert_eq!((swarm.pieces, swarm.wrong_pieces), (50, 0));
        assert!(swarm.from_others >= 5 * 16_384 && swarm.from_web >= SIZE as u64 / 2, "{swarm:?}");
        assert!(swarm.from_others + swarm.from_web - swarm.wasted >= SIZE as u64, "{swarm:?}");
        assert!(swarm.wasted <= 40 * 16_384, "{swarm:?}");
        assert!(log.borrow().len() > 1);
    });
}

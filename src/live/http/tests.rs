//! Against servers on loopback that answer what they are told, byte by byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::super::Clock;
use super::super::fixture::target;
use super::*;
use crate::journey::Web;

const GET: Request<'_> = Request { path: "/p?q=1", user_agent: "agent/1", accept: None, body: None };
const FIRST: Browser = Browser { newest: HttpVersion::Three, returning: false, source: 1 };
const AGAIN: Browser = Browser { newest: HttpVersion::Three, returning: true, source: 1 };
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Answers the requests of one connection with these in turn, then closes it; returns what it was asked.
async fn server(answers: Vec<String>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::task::spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        for answer in answers {
            let mut buffer = [0; 2048];
            let read = stream.read(&mut buffer).await.unwrap();
            asked.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (address, server)
}

fn agent(address: SocketAddr) -> Agent {
    let target = target(address);
    Agent::new(&target, Arc::new(Guard::new(&target).unwrap()), Sources::new(&[], (0, 1)).unwrap()).unwrap()
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    let run = tokio::task::LocalSet::new();
    tokio::time::timeout(Duration::from_secs(10), run.run_until(test)).await.unwrap()
}

/// What one visitor on one connection makes of these answers, one visit for each of `askers`: the results, what was counted, what was
/// asked.
async fn visits(answers: &[&str], askers: &[Browser]) -> (Vec<Result<(), Cause>>, Web, String) {
    let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
    local(async {
        let (address, server) = server(answers).await;
        let (agent, meter, mut kept) = (agent(address), Meter::new(Clock::start()), Kept::default());
        let mut results = Vec::new();
        for browser in askers {
            results.push(agent.visit(agent.index(), GET, *browser, &mut kept, &meter).await);
        }
        (results, meter.outcome(None).web, server.await.unwrap())
    })
    .await
}

async fn one(answers: &[&str]) -> Result<(), Cause> {
    visits(answers, &[FIRST]).await.0[0]
}

#[tokio::test]
async fn a_connection_is_kept_and_bodies_are_counted() {
    local(async {
        let answers = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ];
        let (address, server) = server(answers.map(str::to_owned).to_vec()).await;
        let (agent, meter, mut kept) = (agent(address), Meter::new(Clock::start()), Kept::default());
        for _ in 0..2 {
            agent.visit(agent.index(), GET, FIRST, &mut kept, &meter).await.unwrap();
        }
        let asked = server.await.unwrap();
        let outcome = meter.outcome(None);
        assert_eq!((outcome.bytes_in, outcome.bytes_out, outcome.web.http1), (8, 0, 2));
        assert_eq!(asked.matches("GET /p?q=1 HTTP/1.1\r\n").count(), 2);
        let fields =
            ["host: fleet.test\r\n", "user-agent: agent/1\r\n", "accept-encoding: gzip, br, zstd\r\n"];
        assert!(fields.iter().all(|field| asked.contains(field)), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn what_is_posted_is_json_and_counted() {
    local(async {
        let (address, server) = server(vec![OK.to_owned()]).await;
        let (agent, meter) = (agent(address), Meter::new(Clock::start()));
        let call = Request { path: "/rpc", body: Some(r#"{"id":1}"#), ..GET };
        agent.visit(agent.index(), call, FIRST, &mut Kept::default(), &meter).await.unwrap();
        assert_eq!(meter.outcome(None).bytes_out, 8);
        let asked = server.await.unwrap();
        assert!(
            asked.starts_with("POST /rpc HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"id\":1}"),
            "{asked}"
        );
        let fields = ["content-type: application/json\r\n", "content-length: 8\r\n"];
        assert!(fields.iter().all(|field| asked.contains(field)), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn failures_have_their_cause() {
    let cases = [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Cause::ClientError),
        ("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nno", Cause::ServerError),
        ("HTTP/1.1 503 X\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n", Cause::ServerError),
        ("HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", Cause::ClientError),
        ("HTTP/1.1 429 X\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", Cause::Throttled),
        ("HTTP/1.1 302 X\r\nContent-Length: 0\r\n\r\n", Cause::Malformed),
        ("HTTP/1.1 300 X\r\nContent-Length: 0\r\n\r\n", Cause::Incorrect),
        ("HTTP/1.1 304 X\r\n\r\n", Cause::Incorrect),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Cause::Closed),
        ("", Cause::Closed),
        ("SMTP ready\r\n\r\n", Cause::Malformed),
    ];
    for (answer, cause) in cases {
        assert_eq!(one(&[answer]).await, Err(cause), "{answer}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_names_its_end() {
    local(async {
        let answer = "HTTP/1.1 503 X\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n";
        let (address, _server) = server(vec![answer.to_owned()]).await;
        let clock = Clock::start();
        let (agent, meter) = (agent(address), Meter::new(clock));
        let before = clock.now();
        let visit = agent.visit(agent.index(), GET, FIRST, &mut Kept::default(), &meter).await;
        assert_eq!(visit, Err(Cause::Throttled));
        let (pause, until) = (Duration::from_secs(120), meter.outcome(None).not_before.unwrap());
        assert!(until >= before + pause && until <= clock.now() + pause);
    })
    .await;
}

#[tokio::test]
async fn those_who_come_back_ask_for_changes() {
    let page = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nLast-Modified: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n";
    let same = "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n";
    let (results, web, asked) = visits(&[page, page, same], &[AGAIN, FIRST, AGAIN]).await;
    assert_eq!((results, web.not_modified), (vec![Ok(()); 3], 1));
    let requests: Vec<&str> = asked.split("GET ").skip(1).collect();
    let conditional = |request: &&str| request.contains("if-none-match: \"v1\"\r\n");
    assert_eq!(requests.iter().map(conditional).collect::<Vec<_>>(), [false, false, true], "{asked}");
    assert!(requests[2].contains("if-modified-since: Fri, 31 Dec 1999 23:59:59 GMT\r\n"), "{asked}");
    let secret =
        "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nCache-Control: private, No-Store\r\nContent-Length: 0\r\n\r\n";
    let (_, _, asked) = visits(&[secret, secret], &[FIRST, AGAIN]).await;
    assert!(!asked.contains("if-none-match"), "{asked}");
}

#[tokio::test]
async fn answers_of_caches_are_counted() {
    let hit = "HTTP/1.1 200 OK\r\nCache-Status: edge; hit\r\nContent-Length: 0\r\n\r\n";
    let miss = "HTTP/1.1 200 OK\r\nX-Cache: MISS\r\nContent-Length: 0\r\n\r\n";
    let (_, web, _) = visits(&[hit, miss, hit, OK], &[FIRST; 4]).await;
    assert_eq!((web.cache_hits, web.cache_misses), (2, 1));
    assert_eq!(web.cache_hit_rate(), Some(2.0 / 3.0));
}

fn moved(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn redirects_are_followed_on_the_same_server() {
    let moves = [
        moved(301, "/a/b?c"),
        moved(302, "d"),
        moved(307, "http://FLEET.test/e#part"),
        moved(308, "//fleet.test/f"),
    ];
    let answers: Vec<&str> = moves.iter().map(String::as_str).chain([OK]).collect();
    let (results, web, asked) = visits(&answers, &[FIRST]).await;
    assert_eq!((results, web.redirects, web.http1), (vec![Ok(())], 4, 5));
    let paths: Vec<&str> = asked.split("GET ").skip(1).map(|it| it.split(' ').next().unwrap()).collect();
    assert_eq!(paths, ["/p?q=1", "/a/b?c", "/a/d", "/e", "/f"]);
    let turn = moved(302, "/p?q=1");
    assert_eq!(one(&[&*turn; 6]).await, Err(Cause::Incorrect), "a loop");
}

#[tokio::test]
async fn redirects_lead_nowhere_else_but_where_the_guard_allows() {
    for elsewhere in [
        "http://192.0.2.1/",
        "http://other.test/",
        "https://fleet.test/",
        "https://127.0.0.1/",
        "ftp://127.0.0.1/",
    ] {
        assert_eq!(one(&[&moved(302, elsewhere)]).await, Err(Cause::Foreign), "{elsewhere}");
    }
    assert_eq!(one(&[&moved(302, "http://[")]).await, Err(Cause::Malformed));
    local(async {
        let (second, asked) = server(vec![OK.to_owned()]).await;
        let (first, _) = server(vec![moved(302, &format!("http://{second}/new"))]).await;
        let (agent, meter) = (agent(first), Meter::new(Clock::start()));
        agent.visit(agent.index(), GET, FIRST, &mut Kept::default(), &meter).await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /new ") && asked.contains(&format!("host: {second}\r\n")), "{asked}");
    })
    .await;
}

#[tokio::test]
async fn only_newer_redirects_repeat_a_post() {
    for (status, again) in [(301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        local(async {
            let (address, server) = server(vec![moved(status, "/b"), OK.to_owned()]).await;
            let (agent, meter) = (agent(address), Meter::new(Clock::start()));
            let post = Request { path: "/a", body: Some("{}"), ..GET };
            agent.visit(agent.index(), post, FIRST, &mut Kept::default(), &meter).await.unwrap();
            let asked = server.await.unwrap();
            assert!(
                asked.starts_with("POST /a ") && asked.contains(&format!("{again} /b ")),
                "{status}: {asked}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_malformed_and_a_token_is_not_looked_for_elsewhere() {
    let fetch = async |answer: String, limit, here| {
        local(async {
            let (address, _server) = server(vec![answer, OK.to_owned()]).await;
            let (agent, meter) = (agent(address), Meter::new(Clock::start()));
            let site = agent.metadata();
            if here {
                agent.fetch_here(site, GET, FIRST, &meter, limit).await
            } else {
                agent.fetch(site, GET, FIRST, &meter, limit).await
            }
        })
        .await
    };
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(fetch(hello.to_owned(), 5, false).await, Ok(b"hello".to_vec()));
    assert_eq!(fetch(hello.to_owned(), 4, false).await, Err(Cause::Malformed));
    assert_eq!(fetch(hello.to_owned(), 5, true).await, Ok(b"hello".to_vec()));
    assert_eq!(fetch(moved(302, "/p"), 5, false).await, Ok(Vec::new()));
    assert_eq!(fetch(moved(302, "/p"), 5, true).await, Err(Cause::Incorrect));
}

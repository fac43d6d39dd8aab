//! Against resolvers that are written out by hand, byte by byte.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::LocalSet;

use super::super::fixture::target;
use super::*;
use crate::journey::Outcome;

const TIMES: StubTimes = StubTimes { timeout: Duration::from_millis(80), attempts: 2 };
const A: u8 = 1;
const AAAA: u8 = 28;

/// The answer to a question: its own bytes with other flags, and the records behind them.
fn reply(question: &[u8], flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2..4].copy_from_slice(&flags);
    reply[7] = records.len() as u8;
    records.iter().for_each(|record| reply.extend(*record));
    reply
}

/// A record of the name in the question, kept for 60 s.
fn record(of: u8, data: &[u8]) -> Vec<u8> {
    [&[0xc0, 12, 0, of, 0, 1, 0, 0, 0, 60, 0, data.len() as u8], data].concat()
}

fn kind(question: &[u8]) -> u8 {
    question[question.len() - 3]
}

/// A resolver: what it says to each question; the log holds the types asked for.
async fn resolver(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + 'static) -> (SocketAddr, Rc<RefCell<Vec<u8>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let log = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&log);
    tokio::task::spawn_local(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            seen.borrow_mut().push(kind(&buffer[..length]));
            for reply in answer(&buffer[..length]) {
                socket.send_to(&reply, from).await.unwrap();
            }
        }
    });
    (address, log)
}

/// Says that the name leads to these IPv4 addresses, and to no IPv6 address.
fn leads_to(addresses: &'static [[u8; 4]]) -> impl Fn(&[u8]) -> Vec<Vec<u8>> {
    move |question| {
        let records: Vec<_> = addresses.iter().map(|address| record(A, address)).collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).filter(|_| kind(question) == A).collect();
        vec![reply(question, [0x81, 0x80], &records)]
    }
}

async fn resolve(resolvers: &[SocketAddr]) -> (Result<Duration, Cause>, Outcome) {
    let guard = Arc::new(Guard::new(&target(resolvers[0])).unwrap());
    let clock = Clock::start();
    let stub = Stub::new(guard, clock, resolvers.to_vec(), Sources::new(&[], (0, 1)).unwrap(), TIMES);
    let meter = Meter::new(clock);
    let wanted =
        Wanted { seed: 1, source: 1, name: "index.fleet.test", address: "127.0.0.1:80".parse().unwrap() };
    let result = stub.resolve(wanted, &meter).await;
    (result, meter.outcome(None))
}

async fn local<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), LocalSet::new().run_until(test)).await.unwrap()
}

#[tokio::test]
async fn a_name_is_resolved_in_both_families() {
    local(async {
        let (address, log) = resolver(leads_to(&[[127, 0, 0, 1]])).await;
        let (result, outcome) = resolve(&[address]).await;
        assert_eq!((result, outcome.retransmits), (Ok(Duration::from_secs(60)), 0));
        assert_eq!((outcome.bytes_out, outcome.bytes_in), (2 * 34, 2 * 34 + 16));
        assert_eq!(*log.borrow(), [A, AAAA]);
    })
    .await;
}

#[tokio::test]
async fn wrong_addresses_are_told_apart_from_foreign_ones() {
    for (addresses, cause, foreign) in [
        (&[[127, 0, 0, 2]][..], Cause::Incorrect, 0),
        (&[[127, 0, 0, 1], [127, 0, 0, 2]], Cause::Incorrect, 0),
        (&[[192, 0, 2, 1]], Cause::Foreign, 1),
        (&[[127, 0, 0, 1], [192, 0, 2, 1], [192, 0, 2, 2]], Cause::Foreign, 2),
        (&[], Cause::Incorrect, 0),
    ] {
        local(async {
            let (address, _) = resolver(leads_to(addresses)).await;
            let (result, outcome) = resolve(&[address]).await;
            assert_eq!((result, outcome.foreign), (Err(cause), foreign), "{addresses:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_resolver_that_fails_is_asked_again_after_the_others() {
    for (code, cause, asked) in
        [(2, Cause::ServerError, 2), (5, Cause::Rejected, 2), (3, Cause::Incorrect, 1)]
    {
        local(async {
            let failing = resolver(move |question| vec![reply(question, [0x81, 0x80 | code], &[])]).await;
            let (result, outcome) = resolve(&[failing.0]).await;
            assert_eq!((result, outcome.retransmits), (Err(cause), asked - 1), "rcode {code}");
            assert_eq!(failing.1.borrow().len(), 2 * asked as usize);
            let good = resolver(leads_to(&[[127, 0, 0, 1]])).await;
            let second = resolve(&[failing.0, good.0]).await.0;
            assert_eq!(second.is_ok(), code != 3, "NXDOMAIN is an answer, and believed");
        })
        .await;
    }
}

#[tokio::test]
async fn silence_is_waited_for_twice() {
    local(async {
        let (address, log) = resolver(|_| Vec::new()).await;
        let (result, outcome) = resolve(&[address]).await;
        assert_eq!((result, outcome.retransmits, log.borrow().len()), (Err(Cause::Timeout), 1, 4));
        assert!(outcome.ended.since(outcome.started) >= 2 * TIMES.timeout);
    })
    .await;
}

#[tokio::test]
async fn what_is_cut_off_comes_over_tcp() {
    local(async {
        let (address, _) = resolver(|question| vec![reply(question, [0x83, 0x80], &[])]).await;
        let tcp = TcpListener::bind(address).await.unwrap();
        tokio::task::spawn_local(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let mut question = vec![0; stream.read_u16().await.unwrap().into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = leads_to(&[[127, 0, 0, 1]])(&question).remove(0);
                stream.write_u16(answer.len() as u16).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
        let (result, outcome) = resolve(&[address]).await;
        assert_eq!(result, Ok(Duration::from_secs(60)));
        assert_eq!(outcome.bytes_out, 2 * 34 + 2 * 36);
    })
    .await;
}

#[tokio::test]
async fn answers_to_nothing_and_answers_of_others_are_counted_and_not_taken() {
    local(async {
        let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = &buffer[..length];
                let lie = leads_to(&[[192, 0, 2, 1]])(question).remove(0);
                stranger.send_to(&lie, from).unwrap();
                let mut other = lie.clone();
                other[0] ^= 0xff;
                socket.send_to(&other, from).await.unwrap();
                for _ in 0..2 {
                    let truth = leads_to(&[[127, 0, 0, 1]])(question).remove(0);
                    socket.send_to(&truth, from).await.unwrap();
                }
            }
        });
        let (result, outcome) = resolve(&[address]).await;
        assert_eq!((result, outcome.foreign), (Ok(Duration::from_secs(60)), 0));
        let times = |oddity| outcome.oddities.iter().filter(|it| it.0 == oddity).count();
        assert_eq!((times(Oddity::OtherSource), times(Oddity::Unasked), times(Oddity::Duplicate)), (2, 2, 1));
    })
    .await;
}

#[tokio::test]
async fn a_foreign_resolver_is_not_asked() {
    local(async {
        let (address, _) = resolver(leads_to(&[])).await;
        let (result, outcome) = resolve(&[address, "192.0.2.53:53".parse().unwrap()]).await;
        assert_eq!((result, outcome.bytes_in > 0), (Err(Cause::Incorrect), true));
        let guard = Arc::new(Guard::new(&target(address)).unwrap());
        let foreign = vec!["192.0.2.53:53".parse().unwrap()];
        let stub = Stub::new(guard, Clock::start(), foreign, Sources::new(&[], (0, 1)).unwrap(), TIMES);
        let meter = Meter::new(stub.clock);
        let wanted = Wanted { seed: 1, source: 1, name: "index.fleet.test", address };
        assert_eq!(stub.resolve(wanted, &meter).await, Err(Cause::Foreign));
        assert_eq!(meter.outcome(None).bytes_out, 0);
    })
    .await;
}

//! The token half of the authorization: a fleet outside loopback must itself say that it agrees to be loaded.
//!
//! Every HTTP host of the target serves the profile's token; a host that speaks no HTTP (tracker, DHT node), or tells of metrics alone, must
//! share the address of one that does. (DNS TXT records for UDP-only hosts are not read yet: such a host is refused.)

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::profile::{Authorization, HttpVersion, Target};

use super::guard::check_authorization;
use super::http::{Agent, Browser, Request, Site};
use super::meter::Meter;
use super::source::Sources;
use super::{Clock, Guard, Refusal};

const PATH: &str = "/.well-known/squall-authorization";
/// Bytes of the page that holds the token.
const MAX_PAGE: usize = 64 << 10;
/// How long a host may take to show it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often in a row a host may fail to show it during a run.
const TRIES: u32 = 3;
/// How often a run asks again.
const EVERY: Duration = Duration::from_secs(10);

/// Checks that the target agrees to be loaded, now. Loopback needs no leave. Runs inside a tokio `LocalSet`.
///
/// # Errors
/// The authorization is missing, incomplete or outside its window, or a host does not show the token.
pub async fn authorize(target: &Target, guard: &Arc<Guard>) -> Result<(), Refusal> {
    guard.check_target(target)?;
    let Some(authorization) = &target.authorization else { return Ok(()) };
    check_authorization(&target.name, authorization, jiff::Timestamp::now())?;
    let mut proven = BTreeSet::new();
    let sources = Sources::new(&target.visitor_networks, (0, 1)).map_err(io::Error::other);
    let agent = sources.and_then(|sources| Agent::new(target, Arc::clone(guard), sources));
    let agent = agent.map_err(|error| Refusal::Unproven {
        address: target.index.server.address,
        target: target.name.clone(),
        reason: error.to_string(),
    })?;
    for site in agent.sites() {
        let address = site.address();
        if !guard.is_free(address) && !proven.contains(&address) {
            prove(target, site, authorization, &agent).await?;
            proven.insert(address);
        }
    }
    let hosts: BTreeSet<IpAddr> = proven.iter().map(SocketAddr::ip).collect();
    match target.addresses().find(|address| !guard.is_free(*address) && !hosts.contains(&address.ip())) {
        None => Ok(()),
        Some(address) => Err(Refusal::Unproven {
            address,
            target: target.name.clone(),
            reason:
                "it is not asked for the token itself, and shares its IP address with no host that shows it"
                    .to_owned(),
        }),
    }
}

/// Asks again every 10 s for as long as a run lasts. Returns once the target no longer agrees; nothing outside loopback can be
/// contacted from then on, and the run is to be stopped. Never returns for a target that needs no leave.
pub async fn watch(target: &Target, guard: &Arc<Guard>) -> Refusal {
    watch_every(EVERY, target, guard).await
}

async fn watch_every(every: Duration, target: &Target, guard: &Arc<Guard>) -> Refusal {
    if target.addresses().all(|address| guard.is_free(address)) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(every).await;
        // The page lies on a server that is under load: one answer that is late or lost withdraws nothing. A plain no comes at once
        // each time.
        let mut agreed = authorize(target, guard).await;
        for _ in 1..TRIES {
            if agreed.is_err() {
                agreed = authorize(target, guard).await;
            }
        }
        if let Err(refusal) = agreed {
            guard.withdraw();
            return refusal;
        }
    }
}

async fn prove(
    target: &Target,
    site: &Rc<Site>,
    authorization: &Authorization,
    agent: &Agent,
) -> Result<(), Refusal> {
    let meter = Meter::new(Clock::start());
    let user_agent = concat!("squall/", env!("CARGO_PKG_VERSION"));
    let get = Request { path: PATH, user_agent, accept: None, body: None };
    let browser = Browser { newest: HttpVersion::Two, returning: false, source: 0 };
    let fetch = agent.fetch_here(site, get, browser, &meter, MAX_PAGE);
    let reason = match tokio::time::timeout(PATIENCE, fetch).await {
        Ok(Ok(page)) if shows(&page, &authorization.token) => return Ok(()),
        Ok(Ok(_)) => "the page does not show the token".to_owned(),
        Ok(Err(cause)) => format!("the request failed ({})", cause.name()),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Err(Refusal::Unproven { address: site.address(), target: target.name.clone(), reason })
}

/// The token is a line of its own: a short token must not be found inside some other page.
fn shows(page: &[u8], token: &str) -> bool {
    page.split(|&byte| byte == b'\n').any(|line| line.trim_ascii() == token.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::LocalSet;

    use super::super::fixture::{authorization, target};
    use super::*;

    /// Answers with the token until `turns` requests were served, then with 404.
    async fn host(turns: u32) -> (SocketAddr, Rc<Cell<u32>>) {
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = Rc::new(Cell::new(0));
        let count = Rc::clone(&served);
        tokio::task::spawn_local(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(buffer[..read].starts_with(b"GET /.well-known/squall-authorization HTTP/1.1\r\n"));
                let granted = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n# yes\r\nagreed\r\n".as_slice();
                let gone = b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n";
                let answer = if count.get() < turns { granted } else { gone };
                count.set(count.get() + 1);
                stream.write_all(answer).await.unwrap();
            }
        });
        (address, served)
    }

    /// A target on 127.0.0.2, which this guard takes for a stranger's.
    fn strange(address: SocketAddr) -> (Target, Arc<Guard>) {
        let mut target = target(address);
        target.authorization = Some(authorization("127.0.0.2/32"));
        let free = vec!["127.0.0.1/32".parse().unwrap()];
        let guard = Guard::with_free(&target, free, jiff::Timestamp::now()).unwrap();
        (target, Arc::new(guard))
    }

    async fn local<T>(test: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), LocalSet::new().run_until(test)).await.unwrap()
    }

    #[tokio::test]
    async fn a_host_that_shows_the_token_is_loaded_until_it_does_not() {
        local(async {
            let (address, served) = host(3).await;
            let (target, guard) = strange(address);
            assert_eq!(authorize(&target, &guard).await, Ok(()));
            assert_eq!(served.get(), 1, "one address is asked once");
            let refusal = watch_every(Duration::from_millis(1), &target, &guard).await;
            assert!(refusal.to_string().contains("client-error"), "{refusal}");
            assert_eq!(served.get(), 3 + TRIES);
            assert!(!guard.allows(address), "withdrawn");
        })
        .await;
    }

    #[tokio::test]
    async fn a_tracker_elsewhere_proves_nothing() {
        local(async {
            let (address, _) = host(9).await;
            let (mut target, _) = strange(address);
            target.authorization.as_mut().unwrap().networks.push("127.0.0.3/32".parse().unwrap());
            target.trackers[0].address = "127.0.0.3:9".parse().unwrap();
            let free = vec!["127.0.0.1/32".parse().unwrap()];
            let guard = Arc::new(Guard::with_free(&target, free, jiff::Timestamp::now()).unwrap());
            let refusal = authorize(&target, &guard).await.unwrap_err();
            assert!(
                matches!(refusal, Refusal::Unproven { address, .. } if address == target.trackers[0].address),
                "{refusal}"
            );
        })
        .await;
    }

    #[tokio::test]
    async fn an_absent_host_proves_nothing_and_loopback_needs_no_proof() {
        local(async {
            let closed = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
            let (target, guard) = strange(closed);
            let refusal = authorize(&target, &guard).await.unwrap_err();
            assert!(refusal.to_string().contains("refused"), "{refusal}");
            let (mut own, _) = strange(closed);
            own.authorization = None;
            assert_eq!(authorize(&own, &Arc::new(Guard::new(&own).unwrap())).await, Ok(()));
        })
        .await;
    }

    #[test]
    fn the_token_is_a_whole_line() {
        assert!(shows(b"agreed", "agreed") && shows(b"x\r\n agreed \r\n", "agreed"));
        assert!(!shows(b"disagreed", "agreed") && !shows(b"", "agreed"));
    }
}

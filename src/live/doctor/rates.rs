//! What the machine does: alarms, clock, sockets.

use std::hint::black_box;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_getres};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::journey::Cause;

use super::super::guard::{Connection, ManyDatagrams};
use super::super::udp::outbox::{Batch, Outbox};
use super::super::{Clock, Guard};

/// What the machine does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// How long all of it was measured, in seconds.
    pub seconds: f64,
    /// How late the run's own alarm rings.
    pub timer: TimerLag,
    /// The clock that a run goes by.
    pub clock: ClockSource,
    /// Datagrams of 98 bytes (an announce) that went there and back, each by a call of its own.
    pub udp: Rate,
    /// The same, many to a call; absent where the kernel cannot.
    pub udp_segmented: Option<Segmented>,
    /// Requests of 128 bytes and answers of 2 KiB over one connection that is kept.
    pub tcp_requests: Rate,
    /// Connections that were opened, used for one byte each way, and closed.
    pub tcp_connections: Rate,
}

/// How late an alarm rings that is set to every millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimerLag {
    /// How often it was set.
    pub steps: u64,
    /// Median.
    pub p50_seconds: f64,
    /// 99th percentile.
    pub p99_seconds: f64,
    /// The latest.
    pub max_seconds: f64,
}

/// The clock that a run goes by, the system's monotonic one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockSource {
    /// What the kernel reads, such as `tsc`; absent where it does not say.
    pub source: Option<String>,
    /// The step in which it counts.
    pub resolution_nanoseconds: u64,
    /// What it costs to read it.
    pub read_nanoseconds: f64,
}

/// A rate, measured over ten spans of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the median span.
    pub per_second: f64,
    /// In the slowest.
    pub least_per_second: f64,
}

/// Datagrams that go many to a call (UDP_SEGMENT), and come so (UDP_GRO).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Segmented {
    /// Datagrams a call.
    pub segments: u64,
    /// Datagrams that went there and back.
    pub rate: Rate,
}

/// Spans that a rate is measured over.
const SPANS: u32 = 10;
/// Datagrams under way at a time, a multiple of what one call takes: they fit the smallest receive buffer that systems have by default.
const WINDOW: usize = 64;
/// An announce.
const DATAGRAM: [u8; 98] = [0; 98];
/// What has not come on loopback after this is lost.
const PATIENCE: Duration = Duration::from_millis(200);
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Measures for about this long in all.
///
/// # Errors
/// The system gives no socket or timer, or connections on loopback do not come about.
pub async fn measure(span: Duration) -> io::Result<Rates> {
    let limit = 3 * span + Duration::from_secs(10);
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("not measured within {limit:?}"));
    timeout(limit, all(span)).await.map_err(late)?
}

async fn all(span: Duration) -> io::Result<Rates> {
    let clock = Clock::start();
    let guard = Arc::new(Guard::loopback());
    let timer = timer_lag(clock, span.mul_f64(0.3)).await?;
    Ok(Rates {
        timer,
        clock: clock_source(clock),
        udp: datagrams(&guard, clock, span.mul_f64(0.2), 1).await?,
        udp_segmented: segmented(&guard, clock, span.mul_f64(0.15)).await?,
        tcp_requests: requests(&guard, clock, span.mul_f64(0.2)).await?,
        tcp_connections: connections(&guard, clock, span.mul_f64(0.15)).await?,
        seconds: clock.now().as_secs_f64(),
    })
}

async fn timer_lag(clock: Clock, span: Duration) -> io::Result<TimerLag> {
    const STEP: Duration = Duration::from_millis(1);
    let mut alarm = clock.alarm()?;
    let end = clock.now() + span;
    let mut lags = Vec::new();
    while clock.now() < end {
        let due = clock.now() + STEP;
        alarm.until(due).await;
        lags.push(clock.now().since(due).as_secs_f64());
    }
    lags.sort_by(f64::total_cmp);
    // The nearest rank.
    let at = |quantile: f64| lags.get((quantile * lags.len() as f64) as usize).or(lags.last()).copied();
    Ok(TimerLag {
        steps: lags.len() as u64,
        p50_seconds: at(0.5).unwrap_or_default(),
        p99_seconds: at(0.99).unwrap_or_default(),
        max_seconds: lags.last().copied().unwrap_or_default(),
    })
}

fn clock_source(clock: Clock) -> ClockSource {
    const READS: u32 = 100_000;
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let began = clock.now();
    for _ in 0..READS {
        black_box(clock.now());
    }
    let took = clock.now().since(began);
    let resolution = clock_getres(ClockId::Monotonic);
    ClockSource {
        source: std::fs::read_to_string(SOURCE).ok().map(|name| name.trim().to_owned()),
        resolution_nanoseconds: u64::try_from(resolution.tv_nsec).unwrap_or_default(),
        read_nanoseconds: took.as_secs_f64() * 1e9 / f64::from(READS),
    }
}

/// Does `round` again and again, which says how much it did each time.
async fn rate(
    clock: Clock,
    span: Duration,
    mut round: impl AsyncFnMut() -> io::Result<usize>,
) -> io::Result<Rate> {
    let mut rates = Vec::new();
    for _ in 0..SPANS {
        let began = clock.now();
        let end = began + span / SPANS;
        let mut done = 0;
        while clock.now() < end {
            done += round().await?;
        }
        rates.push(done as f64 / clock.now().since(began).as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    let at = |index: usize| rates.get(index).copied().unwrap_or_default();
    Ok(Rate { per_second: at(rates.len() / 2), least_per_second: at(0) })
}

/// Datagrams between two of the sockets that visitors share, so many to a call.
async fn datagrams(guard: &Arc<Guard>, clock: Clock, span: Duration, segments: usize) -> io::Result<Rate> {
    let ends = [guard.bind_any(LOCALHOST)?, guard.bind_any(LOCALHOST)?];
    let [there, back] = [batch(segments, &ends[1])?, batch(segments, &ends[0])?];
    let calls = WINDOW / segments;
    let there_and_back = async || {
        for (from, batch, to) in [(&ends[0], &there, &ends[1]), (&ends[1], &back, &ends[0])] {
            for _ in 0..calls {
                from.send(batch).await.map_err(|(_, cause)| failed(cause))?;
            }
            let mut came = 0;
            while came < calls * segments {
                to.receive(|| {}, |_| came += 1).await?;
            }
        }
        Ok(calls * segments)
    };
    // A round in which one is lost counts for nothing.
    rate(clock, span, async || timeout(PATIENCE, there_and_back()).await.unwrap_or(Ok(0))).await
}

/// So many datagrams that leave together.
fn batch(datagrams: usize, to: &ManyDatagrams) -> io::Result<Batch> {
    let mut outbox = Outbox::default();
    for _ in 0..datagrams {
        outbox.put(&DATAGRAM, Some(LOCALHOST), SocketAddr::new(LOCALHOST, to.number()), None);
    }
    outbox.take().ok_or_else(|| failed(Cause::Local))
}

async fn segmented(guard: &Arc<Guard>, clock: Clock, span: Duration) -> io::Result<Option<Segmented>> {
    let segments = guard.bind_any(LOCALHOST)?.at_once().min(WINDOW);
    if segments < 2 {
        return Ok(None);
    }
    let rate = datagrams(guard, clock, span, segments).await?;
    Ok(Some(Segmented { segments: segments as u64, rate }))
}

fn failed(cause: Cause) -> io::Error {
    io::Error::other(format!("on loopback: {}", cause.name()))
}

/// A listener on loopback and its address.
fn listener(guard: &Guard) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = guard.listen(SocketAddr::new(LOCALHOST, 0), false)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Both ends of a new connection.
async fn connection(
    guard: &Guard,
    listener: &TcpListener,
    address: SocketAddr,
) -> io::Result<(Connection, Connection)> {
    let (own, accepted) = tokio::join!(guard.connect(address, None), listener.accept());
    let (stream, from) = accepted?;
    let there = guard.accepted(stream, from).ok_or_else(|| failed(Cause::Foreign))?;
    Ok((own.map_err(failed)?, there))
}

async fn requests(guard: &Arc<Guard>, clock: Clock, span: Duration) -> io::Result<Rate> {
    let (listener, address) = listener(guard)?;
    let (mut client, mut server) = connection(guard, &listener, address).await?;
    let (mut request, mut answer) = ([0; 128], [0; 2048]);
    rate(clock, span, async || {
        client.write_all(&request).await?;
        server.read_exact(&mut request).await?;
        server.write_all(&answer).await?;
        client.read_exact(&mut answer).await?;
        Ok(1)
    })
    .await
}

async fn connections(guard: &Arc<Guard>, clock: Clock, span: Duration) -> io::Result<Rate> {
    let (listener, address) = listener(guard)?;
    rate(clock, span, async || {
        let (mut client, mut server) = connection(guard, &listener, address).await?;
        client.write_all(b"?").await?;
        server.read_u8().await?;
        server.write_all(b"!").await?;
        client.read_u8().await?;
        Ok(1)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everything_is_measured_in_about_the_time_given() {
        let rates = measure(Duration::from_millis(500)).await.unwrap();
        assert!(rates.seconds >= 0.4 && rates.seconds < 20.0, "{rates:?}");
        let lag = &rates.timer;
        assert!(lag.steps > 0 && lag.p50_seconds <= lag.p99_seconds && lag.p99_seconds <= lag.max_seconds);
        assert!(rates.clock.read_nanoseconds > 0.0 && rates.clock.resolution_nanoseconds > 0);
        let segmented = rates.udp_segmented.map(|segmented| segmented.rate);
        for rate in [rates.udp, rates.tcp_requests, rates.tcp_connections].into_iter().chain(segmented) {
            assert!(rate.per_second > 100.0 && rate.least_per_second <= rate.per_second, "{rates:?}");
        }
    }
}

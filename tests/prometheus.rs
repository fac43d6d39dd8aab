//! The resource that was limited is the one that is named: from `/proc`, from node_exporter, from a page of process metrics, and from a
//! Prometheus server, each by its own authors.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use squall::analysis::{Pressure, Resource, Samples};
use squall::live::{Clock, Guard, Sampler, Scraped, scrape};
use squall::profile::{Layer, MetricsEndpoint, Process, Reading, Series, Target};
use squall::record::{Metrics, Resources};
use support::daemon::{Daemon, await_listener, free_port, program_installed};
use support::quota::Quota;
use support::{local, target};

/// Seconds with next to no load, and with all of it.
const CALM: u64 = 8;
const LOUD: u64 = 12;
/// CPU that the server may use, in cores.
const QUOTA: f64 = 0.1;

/// What a whole machine counts is one test's at a time.
fn machine_alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// A web server that serves metrics of its own process.
struct Caddy {
    daemon: Daemon,
    web: SocketAddr,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Caddy {
    fn start(descriptors: Option<u32>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (web, admin) = (loopback(free_port()), loopback(free_port()));
        let config = format!(
            r#"{{"admin": {{"listen": "{admin}"}}, "apps": {{"http": {{"servers": {{"web": {{"listen": ["{web}"],
            "automatic_https": {{"disable": true}}, "routes": [{{"handle": [{{"handler": "static_response", "body": "hello"}}]}}]}}}}}}}}}}"#
        );
        fs::write(folder.path().join("caddy.json"), config).unwrap();
        let limit = descriptors.map_or("exec".to_owned(), |most| format!("ulimit -n {most} && exec"));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limit} caddy run --config caddy.json")]);
        command.current_dir(folder.path()).env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
        let daemon = Daemon::start(command.stderr(Stdio::null()));
        await_listener(web);
        await_listener(admin);
        Self { daemon, web, admin, _folder: folder }
    }

    /// Its own page of metrics, with what its operator knows.
    fn metrics(&self, series: &[(Reading, Series)]) -> MetricsEndpoint {
        endpoint(self.admin, "/metrics", false, series)
    }
}

fn endpoint(
    address: SocketAddr,
    path: &str,
    prometheus: bool,
    series: &[(Reading, Series)],
) -> MetricsEndpoint {
    let (path, series) = (path.to_owned(), series.iter().cloned().collect());
    MetricsEndpoint { layer: Layer::Index, address, path, prometheus, series }
}

fn node_exporter() -> (Daemon, SocketAddr) {
    let address = loopback(free_port());
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}")).stderr(Stdio::null());
    let daemon = Daemon::start(&mut command);
    await_listener(address);
    (daemon, address)
}

/// A Prometheus server that reads these pages every second.
fn prometheus(folder: &Path, jobs: &[(&str, SocketAddr)]) -> (Daemon, SocketAddr) {
    let job = |(name, address): &(&str, SocketAddr)| {
        format!("- job_name: {name}\n  static_configs: [{{targets: ['{address}']}}]\n")
    };
    let jobs: String = jobs.iter().map(job).collect();
    let config = format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}");
    fs::write(folder.join("prometheus.yml"), config).unwrap();
    let address = loopback(free_port());
    let mut command = Command::new("prometheus");
    command.arg(format!("--web.listen-address={address}")).args(["--storage.tsdb.path=data"]);
    command.arg("--config.file=prometheus.yml").current_dir(folder).stderr(Stdio::null());
    let daemon = Daemon::start(&mut command);
    await_listener(address);
    (daemon, address)
}

/// One request after the other on a connection that is kept, until told to stop.
fn ask(address: SocketAddr, stop: &AtomicBool) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(asked.is_ok() && stream.read(&mut answer).is_ok_and(|length| length > 0));
    }
}

/// What was read of a target while `load` raised its load after the calm; seconds of the window in which it was loud.
async fn watched(target: Target, load: impl FnOnce(&AtomicBool) + Send + 'static) -> (Samples, Vec<Metrics>) {
    let guard = Arc::new(Guard::new(&target).unwrap());
    let clock = Clock::start();
    let read = RefCell::new(Vec::new());
    let hand_in = |Scraped { source, layer, at_seconds, readings, trouble }: Scraped| {
        read.borrow_mut().push(Metrics { source, at_seconds, layer: Some(layer), readings, trouble });
    };
    let mut sampler = Sampler::new(&target);
    let mut resources = Vec::new();
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let mut load = Some(move || load(&told));
    let mut under_way = None;
    let sampling = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            let now = clock.now();
            resources.extend(sampler.sample().into_iter().map(|sample| Resources {
                second: now.second(),
                layer: sample.layer,
                pid: sample.pid,
                cpu_seconds: sample.cpu_seconds,
                rss_bytes: sample.rss_bytes,
                descriptors: sample.descriptors,
                at_seconds: Some(now.as_secs_f64()),
                worker_cpu_seconds: sample.worker_cpu_seconds,
                readings: sample.readings,
            }));
            if now.second() >= CALM
                && let Some(load) = load.take()
            {
                under_way = Some(std::thread::spawn(load));
            }
            if now.second() > CALM + LOUD {
                break;
            }
        }
    };
    tokio::select! {
        scraped = scrape(&target, &guard, clock, hand_in) => panic!("{scraped:?}"),
        () = sampling => {}
    }
    stop.store(true, Ordering::Relaxed);
    under_way.unwrap().join().unwrap();
    let read = read.into_inner();
    (Samples::new(&resources, &read), read)
}

/// What explains that the index was at its end from two seconds after the calm on.
fn explained(samples: &Samples) -> Option<Pressure> {
    samples.explains(Some(Layer::Index), CALM + 2, CALM + LOUD)
}

#[test]
fn a_cpu_quota_is_named_by_every_source() {
    if !["caddy", "prometheus", "prometheus-node-exporter"].into_iter().all(program_installed) {
        return;
    }
    let _alone = machine_alone();
    local(async move {
        let folder = tempfile::tempdir().unwrap();
        let caddy = Caddy::start(None);
        let Ok(_quota) = Quota::of(caddy.daemon.pid(), (QUOTA * 100.0) as u32) else {
            println!("skipped: no CPU quota can be set here");
            return;
        };
        let (_node, node) = node_exporter();
        let (_server, server) = prometheus(folder.path(), &[("index", caddy.admin), ("node", node)]);
        let quota = (Reading::CpuLimitCores, Series::Constant(QUOTA));
        let query = Series::Query("sum(rate(process_cpu_seconds_total{job=\"index\"}[4s]))".to_owned());
        let endpoints = [
            caddy.metrics(std::slice::from_ref(&quota)),
            endpoint(server, "/", true, &[(Reading::CpuCores, query), quota]),
            endpoint(node, "/metrics", false, &[]),
        ];
        let mut target = target(caddy.web, [7; 20]);
        target.processes = vec![Process { layer: Layer::Index, pid: caddy.daemon.pid() }];
        target.metrics = endpoints.to_vec();
        let web = caddy.web;
        let (samples, read) = watched(target, move |stop| {
            std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| ask(web, stop)))));
        })
        .await;

        let found = explained(&samples).expect("a resource");
        assert_eq!(found.resource, Resource::Cpu, "{found:?}");
        // The server's answers are a few seconds behind.
        let all = samples.pressure(Some(Layer::Index), CALM + 6, CALM + LOUD);
        let sources = [format!("process {}", caddy.daemon.pid()), endpoints[0].name(), endpoints[1].name()];
        for source in &sources {
            let cpu = all.iter().find(|it| it.source == *source && it.resource == Resource::Cpu).unwrap();
            assert!(cpu.utilisation >= 0.9, "{cpu:?}");
            println!("{source}: CPU {:.3} of {:.3} cores", cpu.used, cpu.limit);
        }
        let by_source = |source: &str| read.iter().filter(|it| it.source == source).collect::<Vec<_>>();
        let node = by_source(&endpoints[2].name());
        assert!(node.len() >= 10 && node.iter().all(|it| it.trouble.is_none()), "{node:?}");
        let known =
            [Reading::CpuSeconds, Reading::CpuLimitCores, Reading::MemoryBytes, Reading::DescriptorLimit];
        let last = &node.last().unwrap().readings;
        assert!(known.iter().all(|reading| last[reading] > 0.0), "{last:?}");
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(
            last[&Reading::CpuLimitCores] >= cores as f64 && last.contains_key(&Reading::UdpReceiveDrops)
        );
    });
}

#[test]
fn descriptors_that_run_out_are_named() {
    if !program_installed("caddy") {
        return;
    }
    let _alone = machine_alone();
    local(async {
        let caddy = Caddy::start(Some(64));
        let mut target = target(caddy.web, [7; 20]);
        target.processes = vec![Process { layer: Layer::Index, pid: caddy.daemon.pid() }];
        target.metrics = vec![caddy.metrics(&[])];
        let web = caddy.web;
        let (samples, _) = watched(target, move |stop| {
            let held: Vec<_> = (0..100).filter_map(|_| TcpStream::connect(web).ok()).collect();
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            drop(held);
        })
        .await;
        let found = explained(&samples).expect("a resource");
        assert_eq!((found.resource, found.limit), (Resource::Descriptors, 64.0), "{found:?}");
        let readings: BTreeMap<Resource, f64> = samples
            .pressure(Some(Layer::Index), 1, CALM - 1)
            .into_iter()
            .map(|it| (it.resource, it.utilisation))
            .collect();
        assert!(readings[&Resource::Descriptors] < 0.8, "{readings:?}");
    });
}

/// What explains, where nothing but node_exporter tells of the layer, what `load` did to the machine; and where that was read. `None` also
/// where somebody else had used all of it before.
fn named_by_node_exporter(
    resource: Resource,
    load: impl FnOnce(&AtomicBool) + Send + 'static,
) -> Option<(Pressure, String)> {
    if !program_installed("prometheus-node-exporter") {
        return None;
    }
    let _alone = machine_alone();
    local(async {
        let (_daemon, node) = node_exporter();
        let mut target = target(node, [7; 20]);
        target.metrics = vec![endpoint(node, "/metrics", false, &[])];
        let source = target.metrics[0].name();
        let (samples, _) = watched(target, load).await;
        let calm = samples.pressure(Some(Layer::Index), 0, CALM);
        if let Some(before) = calm.into_iter().find(|it| it.resource == resource && it.is_full()) {
            println!("skipped: {before:?}, without any load");
            return None;
        }
        Some((explained(&samples).unwrap(), source))
    })
}

#[test]
fn a_machine_without_cpu_to_spare_is_named_by_node_exporter() {
    let cores = std::thread::available_parallelism().unwrap().get();
    let machine = fs::read_to_string("/proc/stat").unwrap();
    if machine.lines().filter(|line| line.starts_with("cpu")).count() != 1 + cores {
        println!("skipped: {cores} cores are ours, and node_exporter sees more");
        return;
    }
    let busy = move |stop: &AtomicBool| {
        let spin = || {
            while !stop.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(spin))));
    };
    let Some((found, source)) = named_by_node_exporter(Resource::Cpu, busy) else { return };
    assert_eq!((found.resource, &found.source), (Resource::Cpu, &source), "{found:?}");
    assert!(found.used >= 0.9 * found.limit && found.limit >= cores as f64, "{found:?}");
}

#[test]
fn a_receive_buffer_that_nobody_empties_is_named_by_node_exporter() {
    const A_SECOND: u128 = 2_000;
    const TURN: Duration = Duration::from_millis(10);
    let flood = |stop: &AtomicBool| {
        let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (begin, mut sent) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            while sent < begin.elapsed().as_millis() * A_SECOND / 1_000 {
                sender.send_to(&[0; 98], deaf.local_addr().unwrap()).unwrap();
                sent += 1;
            }
            // An even rate that leaves the CPU to others.
            std::thread::sleep(TURN);
        }
    };
    let Some((found, source)) = named_by_node_exporter(Resource::UdpReceiveBuffer, flood) else { return };
    // The flood takes hardly any of it.
    if found.resource == Resource::Cpu && found.is_full() {
        println!("skipped: somebody else has all of the CPU: {found:?}");
        return;
    }
    assert_eq!((found.resource, &found.source), (Resource::UdpReceiveBuffer, &source), "{found:?}");
    let most = (A_SECOND * u128::from(LOUD)) as f64;
    assert!((0.5 * most..=1.1 * most).contains(&found.drops), "{found:?}");
}

#[test]
fn an_endpoint_that_is_not_there_is_missing_and_one_outside_is_refused() {
    local(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut target = target(closed, [7; 20]);
        target.metrics = vec![endpoint(closed, "/metrics", false, &[])];
        let guard = Arc::new(Guard::new(&target).unwrap());
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let first = tokio::select! {
            scraped = scrape(&target, &guard, Clock::start(), move |it| told.send(it).unwrap()) => panic!("{scraped:?}"),
            first = heard.recv() => first.unwrap(),
        };
        assert_eq!(first.trouble.as_deref(), Some("the request failed (refused)"));
        assert!(first.readings.is_empty());
        target.metrics[0].address = "192.0.2.1:9100".parse().unwrap();
        assert!(Guard::new(&target).unwrap_err().to_string().contains("192.0.2.1:9100"));
    });
}

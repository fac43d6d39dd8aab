//! HTTP/1.1, HTTP/2 and TLS against nginx.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::process::Command;
use std::time::Duration;

use squall::journey::{Cause, Operation, Outcome, Reply, Visitor};
use squall::profile::HttpVersion::{One, Two};
use squall::profile::{HttpEndpoint, Target};
use squall::scenario::Scenario;
use support::conformity::shown;
use support::daemon::{Daemon, await_listener, free_port, program_installed};
use support::seeded::{Seeded, fetch};
use support::web::{PIECES, Site, log_lines, plain};
use support::{PATIENCE, local, perform_as, scenario, target, visitor, world_of};

struct Nginx {
    site: Site,
    plain: u16,
    plain2: u16,
    secure: u16,
    _daemon: Daemon,
}

/// nginx as one process with a configuration of its own; `None` where it is not installed.
fn nginx() -> Option<Nginx> {
    if !program_installed("nginx") {
        return None;
    }
    let site = Site::new();
    let [plain, plain2, secure] = [(); 3].map(|()| free_port());
    let dir = site.directory.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {dir}/{kind};"))
        .join("\n");
    let config = format!(
        r#"daemon off;
        master_process off;
        pid {dir}/pid;
        error_log stderr error;
        events {{ worker_connections 256; }}
        http {{
            {temporary}
            log_format line '$server_protocol $uri $status reused=$ssl_session_reused if="$http_if_none_match" gzip=$gzip_ratio';
            access_log {dir}/access.log line;
            limit_req_zone $server_name zone=limited:1m rate=1r/m;
            server {{
                listen 127.0.0.1:{plain};
                listen 127.0.0.1:{plain2} http2;
                listen 127.0.0.1:{secure} ssl http2;
                server_name fleet.test;
                ssl_certificate {dir}/cert.pem;
                ssl_certificate_key {dir}/key.pem;
                root {dir}/www;
                location /release.torrent {{ gzip on; gzip_types *; }}
                location /status {{
                    limit_req zone=limited;
                    limit_req_status 429;
                    add_header Retry-After 7 always;
                }}
                location /moved {{ return 301 /a.css; }}
                location /away {{ return 302 http://192.0.2.1/; }}
            }}
        }}"#
    );
    std::fs::write(site.path("nginx.conf"), config).unwrap();
    let daemon = Daemon::start(
        Command::new("nginx")
            .env("PATH", "/usr/sbin:/usr/bin")
            .arg("-c")
            .arg(site.path("nginx.conf"))
            .args(["-p", &dir.to_string(), "-e", "stderr"]),
    );
    await_listener(([127, 0, 0, 1], secure).into());
    Some(Nginx { site, plain, plain2, secure, _daemon: daemon })
}

impl Nginx {
    /// A target whose web servers all are this one.
    fn target(&self, server: HttpEndpoint) -> Target {
        let mut target = target(server.address, self.site.info_hash);
        target.index.server = server.clone();
        target.metadata = server;
        target
    }

    fn log(&self, lines: usize) -> Vec<String> {
        log_lines(&self.site.path("access.log"), lines)
    }
}

/// A scenario all of whose visitors speak HTTP/2, or none.
fn speaking(two: bool) -> Scenario {
    let mut scenario = scenario(PATIENCE);
    scenario.clients.members[0].0.http2 = f64::from(u8::from(two));
    // A directory of files takes no POST.
    scenario.side[0].body = None;
    scenario
}

fn returning(seed: u64) -> Visitor {
    Visitor { returning: true, ..visitor(seed) }
}

fn versions(outcome: &Outcome) -> [u64; 3] {
    [outcome.web.http1, outcome.web.http2, outcome.web.http3]
}

#[test]
fn every_version_is_understood() {
    let Some(nginx) = nginx() else { return };
    let cases = [
        (plain(nginx.plain), true, [1, 0, 0]),
        (HttpEndpoint { versions: vec![Two], ..plain(nginx.plain2) }, true, [0, 1, 0]),
        (nginx.site.secure(nginx.secure, &[One, Two]), false, [1, 0, 0]),
        (nginx.site.secure(nginx.secure, &[One, Two]), true, [0, 1, 0]),
        (nginx.site.secure(nginx.secure, &[One]), true, [1, 0, 0]),
    ];
    local(async {
        for (n, (server, two, expected)) in cases.into_iter().enumerate() {
            let secure = u64::from(server.tls.is_some());
            let mut world = world_of(nginx.target(server), speaking(two));
            let page = perform_as(&mut world, visitor(1), Operation::Page).await;
            assert_eq!((page.result.clone(), page.bytes_in), (Ok(Reply::Done), 14_000), "case {n}");
            assert_eq!(
                (versions(&page), page.web.handshakes, page.web.resumed),
                (expected, secure, 0),
                "case {n}"
            );
            // On the connection of the page.
            let asset = perform_as(&mut world, visitor(1), Operation::Asset(0)).await;
            assert_eq!((asset.result.clone(), asset.web.handshakes), (Ok(Reply::Done), 0), "case {n}");
        }
    });
    let lines = nginx.log(10);
    let spoken: Vec<&str> = lines.iter().step_by(2).map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(spoken, ["HTTP/1.1", "HTTP/2.0", "HTTP/1.1", "HTTP/2.0", "HTTP/1.1"], "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains(" 200 ")), "{lines:#?}");
    shown("HTTP/1.1", "nginx-light");
    shown("HTTP/2 over TLS", "nginx-light");
    shown("HTTP/2 without TLS", "nginx-light");
}

#[test]
fn only_those_who_come_back_resume_and_ask_for_changes() {
    let Some(nginx) = nginx() else { return };
    local(async {
        let mut world = world_of(nginx.target(nginx.site.secure(nginx.secure, &[One, Two])), speaking(true));
        let visitors = [visitor(1), visitor(2), returning(3), returning(4)];
        let mut seen = Vec::new();
        for visitor in visitors {
            let outcome = perform_as(&mut world, visitor, Operation::Page).await;
            assert_eq!(outcome.result, Ok(Reply::Done));
            seen.push((outcome.web.handshakes, outcome.web.resumed, outcome.web.not_modified));
        }
        assert_eq!(seen, [(1, 0, 0), (1, 0, 0), (1, 1, 1), (1, 1, 1)]);
    });
    let lines = nginx.log(4);
    let reused: Vec<bool> = lines.iter().map(|line| line.contains(" reused=r ")).collect();
    assert_eq!(reused, [false, false, true, true], "{lines:#?}");
    let unchanged: Vec<bool> = lines.iter().map(|line| line.contains(" 304 ")).collect();
    assert_eq!(unchanged, [false, false, true, true], "{lines:#?}");
    shown("HTTP conditional requests (304)", "nginx-light");
    shown("TLS session resumption", "nginx-light");
}

#[test]
fn a_compressed_torrent_is_unpacked_and_counted_as_it_came() {
    let Some(nginx) = nginx() else { return };
    local(async {
        let mut world = world_of(nginx.target(nginx.site.secure(nginx.secure, &[Two])), speaking(true));
        let outcome = perform_as(&mut world, visitor(1), Operation::Torrent).await;
        let size = u64::from(PIECES) * 16_384;
        assert_eq!(outcome.result, Ok(Reply::Metadata { pieces: PIECES, size, web_seeds: false }));
        assert!(outcome.bytes_in > 0 && outcome.bytes_in < nginx.site.torrent / 10, "{}", outcome.bytes_in);
    });
    let lines = nginx.log(1);
    assert!(!lines[0].ends_with("gzip=-"), "{lines:#?}");
    shown("HTTP compressed `.torrent`", "nginx-light");
}

#[test]
fn a_limit_throttles_and_redirects_lead_home_or_nowhere() {
    let Some(nginx) = nginx() else { return };
    local(async {
        let mut mine = nginx.target(plain(nginx.plain));
        mine.index.assets = vec!["/moved".to_owned(), "/away".to_owned()];
        let mut world = world_of(mine, speaking(false));
        assert_eq!(perform_as(&mut world, visitor(1), Operation::Side(0)).await.result, Ok(Reply::Done));
        let outcome = perform_as(&mut world, visitor(2), Operation::Side(0)).await;
        assert_eq!(outcome.result, Err(Cause::Throttled));
        let until = outcome.not_before.unwrap();
        let pause = Duration::from_secs(7);
        assert!(until >= outcome.started + pause && until <= outcome.ended + pause);
        let moved = perform_as(&mut world, visitor(3), Operation::Asset(0)).await;
        assert_eq!((moved.result, moved.web.redirects, moved.web.http1), (Ok(Reply::Done), 1, 2));
        let away = perform_as(&mut world, visitor(3), Operation::Asset(1)).await;
        assert_eq!(away.result, Err(Cause::Foreign));
    });
    shown("HTTP 429 with `Retry-After`, redirects", "nginx-light");
}

#[test]
fn a_certificate_that_proves_nothing_is_refused() {
    let Some(nginx) = nginx() else { return };
    local(async {
        let distrusted = nginx.site.distrusted(nginx.secure, &[One, Two]);
        let mut misnamed = nginx.site.secure(nginx.secure, &[One, Two]);
        misnamed.tls.as_mut().unwrap().server_name = "other.test".try_into().unwrap();
        for server in [distrusted, misnamed] {
            let mut world = world_of(nginx.target(server), speaking(true));
            let outcome = perform_as(&mut world, visitor(1), Operation::Page).await;
            assert_eq!(outcome.result, Err(Cause::Incorrect));
        }
        // TLS towards a port that speaks none.
        let mut world = world_of(nginx.target(nginx.site.secure(nginx.plain, &[One])), speaking(true));
        let outcome = perform_as(&mut world, visitor(1), Operation::Page).await;
        assert_eq!(outcome.result, Err(Cause::Malformed));
    });
}

#[test]
fn pieces_come_from_a_web_seed() {
    let Some(nginx) = nginx() else { return };
    let seeded = Seeded::single(1_500_000);
    let secure = || nginx.site.secure(nginx.secure, &[One, Two]);
    let cases = [
        (plain(nginx.plain), false),
        (HttpEndpoint { versions: vec![Two], ..plain(nginx.plain2) }, true),
        (secure(), false),
        (secure(), true),
    ];
    local(async {
        for (n, (server, two)) in cases.into_iter().enumerate() {
            nginx.site.seed(&seeded, &server);
            let mut target = nginx.target(server);
            let torrent = target.content[0].torrent.as_mut().unwrap();
            (torrent.info_hash, torrent.path) = (seeded.info_hash.into(), "/seeded.torrent".to_owned());
            let fetched = fetch(&mut world_of(target, speaking(two)), 1, Vec::new(), &seeded).await;
            assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), seeded.size()), "case {n}");
            let web = fetched.web;
            let (used, other) = if two { (web.http2, web.http1) } else { (web.http1, web.http2) };
            assert!(used > 1 && other == 0, "case {n}: {web:?}");
        }
    });
    let lines = nginx.log(12);
    let parts = lines.iter().filter(|line| line.contains("/pub/release.bin"));
    assert!(parts.clone().count() >= 8 && parts.clone().all(|line| line.contains(" 206 ")), "{lines:#?}");
    shown("Web seeds (BEP 19) over HTTP/1.1", "nginx-light");
    shown("Web seeds (BEP 19) over HTTP/2", "nginx-light");
}

//! HTTP/1.1, HTTP/2 and HTTP/3 against caddy.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use squall::journey::{Cause, Operation, Reply, Visitor};
use squall::profile::HttpVersion::{One, Three, Two};
use squall::profile::{HttpEndpoint, Target};
use squall::scenario::Scenario;
use support::conformity::shown;
use support::daemon::{Daemon, await_listener, free_port, program_installed};
use support::seeded::{Seeded, fetch};
use support::web::{PIECES, Site, log_lines, plain};
use support::{PATIENCE, local, perform_as, scenario, target, visitor, world_of};

struct Caddy {
    site: Site,
    plain: u16,
    secure: u16,
    _daemon: Daemon,
}

/// caddy with a configuration of its own, which keeps it to itself; `None` where it is not installed.
fn caddy() -> Option<Caddy> {
    if !program_installed("caddy") {
        return None;
    }
    let site = Site::new();
    let [plain, secure] = [(); 2].map(|()| free_port());
    let dir = site.directory.path().display();
    let config = format!(
        r#"{{
            admin off
            auto_https off
            skip_install_trust
        }}
        (site) {{
            bind 127.0.0.1
            root * {dir}/www
            encode gzip
            header /release.torrent Content-Type text/plain
            file_server
            log {{
                output file {dir}/access.log
                format json
            }}
        }}
        http://fleet.test:{plain} {{
            import site
        }}
        https://fleet.test:{secure} {{
            import site
            tls {dir}/cert.pem {dir}/key.pem
        }}
        "#
    );
    std::fs::write(site.path("Caddyfile"), config).unwrap();
    let daemon = Daemon::start(
        Command::new("caddy")
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(site.path("Caddyfile"))
            .env("HOME", site.directory.path())
            .env("XDG_DATA_HOME", site.directory.path())
            .env("XDG_CONFIG_HOME", site.directory.path())
            .stderr(Stdio::null()),
    );
    for port in [plain, secure] {
        await_listener(([127, 0, 0, 1], port).into());
    }
    Some(Caddy { site, plain, secure, _daemon: daemon })
}

impl Caddy {
    fn target(&self, server: HttpEndpoint) -> Target {
        let mut target = target(server.address, self.site.info_hash);
        target.index.server = server.clone();
        target.metadata = server;
        target
    }

    fn log(&self, lines: usize) -> Vec<Value> {
        let lines = log_lines(&self.site.path("access.log"), lines);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A scenario with these shares of visitors who speak HTTP/2 and HTTP/3.
fn speaking(two: f64, three: f64) -> Scenario {
    let mut scenario = scenario(PATIENCE);
    let client = &mut scenario.clients.members[0].0;
    (client.http2, client.http3) = (two, three);
    scenario
}

#[test]
fn every_version_is_understood() {
    let Some(caddy) = caddy() else { return };
    let all = caddy.site.secure(caddy.secure, &[One, Two, Three]);
    let cases = [
        (plain(caddy.plain), 1.0, 1.0, [1, 0, 0]),
        (all.clone(), 0.0, 0.0, [1, 0, 0]),
        (all.clone(), 1.0, 0.0, [0, 1, 0]),
        (all, 1.0, 1.0, [0, 0, 1]),
        (caddy.site.secure(caddy.secure, &[Three]), 0.0, 0.0, [0, 0, 1]),
    ];
    local(async {
        for (n, (server, two, three, expected)) in cases.into_iter().enumerate() {
            let mut world = world_of(caddy.target(server), speaking(two, three));
            let page = perform_as(&mut world, visitor(1), Operation::Page).await;
            let web = page.web;
            assert_eq!(
                (page.result, [web.http1, web.http2, web.http3]),
                (Ok(Reply::Done), expected),
                "case {n}"
            );
            let asset = perform_as(&mut world, visitor(1), Operation::Asset(0)).await;
            assert_eq!(
                (asset.result, asset.web.handshakes, asset.web.quic),
                (Ok(Reply::Done), 0, 0),
                "case {n}"
            );
        }
    });
    let lines = caddy.log(10);
    let spoken: Vec<&str> =
        lines.iter().step_by(2).map(|line| line["request"]["proto"].as_str().unwrap()).collect();
    assert_eq!(spoken, ["HTTP/1.1", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0", "HTTP/3.0"]);
    assert!(lines.iter().all(|line| line["status"] == 200), "{lines:#?}");
    shown("HTTP/1.1", "caddy");
    shown("HTTP/2 over TLS", "caddy");
    shown("HTTP/3", "caddy");
}

#[test]
fn only_those_who_come_back_ask_for_changes_over_tcp_and_quic() {
    let Some(caddy) = caddy() else { return };
    let mut lines = 0;
    for three in [0.0, 1.0] {
        local(async {
            let server = caddy.site.secure(caddy.secure, &[One, Two, Three]);
            let mut world = world_of(caddy.target(server), speaking(1.0, three));
            let mut seen = Vec::new();
            for (n, returning) in [(1, false), (2, false), (3, true), (4, true)] {
                let visitor = Visitor { returning, ..visitor(n) };
                let outcome = perform_as(&mut world, visitor, Operation::Page).await;
                assert_eq!(outcome.result, Ok(Reply::Done));
                assert_eq!(outcome.web.handshakes + outcome.web.quic, 1, "HTTP/3: {three}");
                seen.push((outcome.web.resumed, outcome.web.not_modified));
            }
            // Which QUIC handshakes are resumptions, nobody tells.
            let again = (u64::from(three == 0.0), 1);
            assert_eq!(seen, [(0, 0), (0, 0), again, again], "HTTP/3: {three}");
        });
        lines += 4;
        let log = caddy.log(lines);
        let told = |of: fn(&Value) -> Value| log[lines - 4..].iter().map(of).collect::<Vec<_>>();
        assert_eq!(told(|line| line["status"].clone()), [200, 200, 304, 304], "HTTP/3: {three}");
        if three == 0.0 {
            let resumed = told(|line| line["request"]["tls"]["resumed"].clone());
            assert_eq!(resumed, [false, false, true, true]);
        }
    }
    shown("HTTP conditional requests (304)", "caddy");
    shown("TLS session resumption", "caddy");
}

#[test]
fn a_compressed_torrent_comes_over_http3() {
    let Some(caddy) = caddy() else { return };
    local(async {
        let server = caddy.site.secure(caddy.secure, &[Three]);
        let mut world = world_of(caddy.target(server), speaking(1.0, 1.0));
        let outcome = perform_as(&mut world, visitor(1), Operation::Torrent).await;
        let size = u64::from(PIECES) * 16_384;
        assert_eq!(outcome.result, Ok(Reply::Metadata { pieces: PIECES, size, web_seeds: false }));
        assert!(outcome.bytes_in > 0 && outcome.bytes_in < caddy.site.torrent / 10, "{}", outcome.bytes_in);
    });
    shown("HTTP compressed `.torrent`", "caddy");
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_over_quic() {
    let Some(caddy) = caddy() else { return };
    local(async {
        let server = caddy.site.distrusted(caddy.secure, &[Three]);
        let mut world = world_of(caddy.target(server), speaking(1.0, 1.0));
        let outcome = perform_as(&mut world, visitor(1), Operation::Page).await;
        assert_eq!(outcome.result, Err(Cause::Incorrect));
    });
}

#[test]
fn pieces_come_from_a_web_seed() {
    let Some(caddy) = caddy() else { return };
    let seeded = Seeded::single(1_500_000);
    let all = || caddy.site.secure(caddy.secure, &[One, Two, Three]);
    let cases = [(plain(caddy.plain), 0.0, 0.0), (all(), 0.0, 0.0), (all(), 1.0, 0.0), (all(), 1.0, 1.0)];
    local(async {
        for (n, (server, two, three)) in cases.into_iter().enumerate() {
            caddy.site.seed(&seeded, &server);
            let mut target = caddy.target(server);
            let torrent = target.content[0].torrent.as_mut().unwrap();
            (torrent.info_hash, torrent.path) = (seeded.info_hash.into(), "/seeded.torrent".to_owned());
            let fetched = fetch(&mut world_of(target, speaking(two, three)), 1, Vec::new(), &seeded).await;
            assert_eq!((fetched.result, fetched.swarm.from_web), (Ok(()), seeded.size()), "case {n}");
            let web = fetched.web;
            let used = [web.http1, web.http2, web.http3];
            let version = usize::from(two > 0.0) + usize::from(three > 0.0);
            assert!(used[version] > 1 && used.iter().sum::<u64>() == used[version], "case {n}: {web:?}");
        }
    });
    let lines = caddy.log(12);
    let parts = lines.iter().filter(|line| line["request"]["uri"] == "/pub/release.bin");
    assert!(parts.clone().count() >= 8 && parts.clone().all(|line| line["status"] == 206), "{lines:#?}");
    shown("Web seeds (BEP 19) over HTTP/1.1", "caddy");
    shown("Web seeds (BEP 19) over HTTP/2", "caddy");
    shown("Web seeds (BEP 19) over HTTP/3", "caddy");
}

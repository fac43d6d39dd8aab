//! HTTPS and WSS trackers: opentracker and npm's `bittorrent-tracker` behind nginx and caddy, which speak TLS for them as in public fleets.

// Clippy knows tests by their attribute, and helpers have none.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use squall::journey::Cause;
use squall::live::LiveWorld;
use squall::plan::AnnounceEvent;
use squall::profile::HttpVersion::One;
use squall::profile::{Tls, Tracker, TrackerKind};
use support::conformity::shown;
use support::daemon::{Daemon, await_listener, free_port, program_installed};
use support::tracker::{KNOWN, announce, bittorrent_tracker, opentracker, sound};
use support::web::{HOST, Site};
use support::{PATIENCE, local, peers, perform, scenario, target, world_of};

/// A proxy that takes TLS at a port of its own.
struct Proxy {
    site: Site,
    port: u16,
    _daemon: Daemon,
}

/// nginx in front of a tracker; `None` where it is not installed.
fn nginx(tracker: SocketAddr) -> Option<Proxy> {
    if !program_installed("nginx") {
        return None;
    }
    let (site, port) = (Site::new(), free_port());
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
            access_log off;
            server {{
                listen 127.0.0.1:{port} ssl http2;
                server_name {HOST};
                ssl_certificate {dir}/cert.pem;
                ssl_certificate_key {dir}/key.pem;
                location / {{
                    proxy_pass http://{tracker};
                    proxy_http_version 1.1;
                    proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $http_connection;
                }}
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
    await_listener(([127, 0, 0, 1], port).into());
    Some(Proxy { site, port, _daemon: daemon })
}

/// caddy in front of a tracker; `None` where it is not installed.
fn caddy(tracker: SocketAddr) -> Option<Proxy> {
    if !program_installed("caddy") {
        return None;
    }
    let (site, port) = (Site::new(), free_port());
    let dir = site.directory.path().display();
    let config = format!(
        r#"{{
            admin off
            auto_https off
            skip_install_trust
        }}
        https://{HOST}:{port} {{
            bind 127.0.0.1
            tls {dir}/cert.pem {dir}/key.pem
            reverse_proxy {tracker}
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
    await_listener(([127, 0, 0, 1], port).into());
    Some(Proxy { site, port, _daemon: daemon })
}

impl Proxy {
    /// A world whose visitors all speak `kind` over TLS, and trust `tls`.
    fn world(&self, kind: TrackerKind, tls: Option<Tls>) -> LiveWorld {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let path = if kind == TrackerKind::Http { "/announce" } else { "/" }.to_owned();
        let host = format!("{HOST}:{}", self.port);
        let mut mine = target(address, KNOWN);
        mine.trackers = vec![Tracker { kind, host, path, tls, ..Tracker::udp(address) }];
        let mut crowd = scenario(PATIENCE);
        let client = &mut crowd.clients.members[0].0;
        client.tracker.kinds = vec![kind];
        client.tracker.scrape = 1.0;
        world_of(mine, crowd)
    }

    /// Visitors come, finish and leave; the tracker's numbers are held against them by the world itself.
    async fn a_life(&self, kind: TrackerKind) {
        let mut world = self.world(kind, self.site.secure(self.port, &[One]).tls);
        let mut step = async |visitor, event, left| {
            let outcome = perform(&mut world, visitor, announce(event, left)).await;
            sound(&outcome);
            let tls = (outcome.web.handshakes, outcome.web.resumed);
            (peers(outcome).len(), tls)
        };
        // The scrape has a connection of its own over HTTP, and none over a WebSocket.
        let (named, first, later) = match kind {
            TrackerKind::Ws => (0, (1, 0), (0, 0)),
            TrackerKind::Http | TrackerKind::Udp => (2, (2, 0), (1, 1)),
        };
        step(1, AnnounceEvent::Started, 0).await;
        assert_eq!(step(2, AnnounceEvent::Started, 9).await, (named, first));
        assert_eq!(step(2, AnnounceEvent::Completed, 0).await.1, later, "who was there resumes");
        step(1, AnnounceEvent::Stopped, 0).await;
        step(2, AnnounceEvent::Stopped, 0).await;
    }

    /// The same against a tracker that the visitors do not trust, and without TLS.
    async fn not_trusted(&self, kind: TrackerKind) {
        let tls = self.site.distrusted(self.port, &[One]).tls;
        let outcome = perform(&mut self.world(kind, tls), 1, announce(AnnounceEvent::Completed, 0)).await;
        assert_eq!(outcome.result, Err(Cause::Incorrect));
        let outcome = perform(&mut self.world(kind, None), 1, announce(AnnounceEvent::Completed, 0)).await;
        assert!(outcome.result.is_err(), "{outcome:?}");
    }
}

#[test]
fn opentracker_behind_nginx_and_caddy() {
    let Some((_daemon, tracker)) = opentracker() else { return };
    let (Some(nginx), Some(caddy)) = (nginx(tracker), caddy(tracker)) else { return };
    local(async {
        nginx.a_life(TrackerKind::Http).await;
        caddy.a_life(TrackerKind::Http).await;
    });
    shown("HTTPS tracker", "opentracker");
}

#[test]
fn bittorrent_tracker_behind_nginx_and_caddy() {
    let Some((_daemon, tracker)) = bittorrent_tracker("127.0.0.1") else { return };
    let (Some(nginx), Some(caddy)) = (nginx(tracker), caddy(tracker)) else { return };
    local(async {
        for proxy in [&nginx, &caddy] {
            for kind in [TrackerKind::Http, TrackerKind::Ws] {
                proxy.a_life(kind).await;
                proxy.not_trusted(kind).await;
            }
        }
    });
    for implementation in ["nginx", "caddy", "npm bittorrent-tracker"] {
        shown("HTTPS tracker", implementation);
        shown("WSS tracker", implementation);
    }
}

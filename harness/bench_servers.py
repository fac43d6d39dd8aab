"""What the generators are aimed at, each to be used in a `with`: it has a `port`, and `counted` once it has ended."""

import contextlib
import hashlib
import socket
import subprocess
import sys
import urllib.request

from bench_measure import Server
from bench_peers import HERE, program
from bench_squall import WORK
from clients import free_port
from processes import answers_udp

UDP_CONNECT = bytes.fromhex("00000417271019800000000001020304")
PAGE = 2048
# What downloads are of, as benches/scenarios/pieces.toml has it.
ITEM = 256 << 20


def own(name, *arguments):
    """One of `bench-peers`."""
    return lambda: Server([program(name), *arguments])


def aquatic_udp():
    port, config = free_port(), WORK / "aquatic_udp.toml"
    config.write_text(f'log_level = "error"\n[network]\naddress = "127.0.0.1:{port}"\n')
    return Server([program("aquatic_udp"), "-c", config], lambda: answers_udp(port, UDP_CONNECT), port)


def site(name):
    """A directory for a web server, with a page of 2 KB; and the same as an asset, for there is no other file."""
    directory = WORK / name
    directory.mkdir(parents=True, exist_ok=True)
    for file in ["page", "asset"]:
        (directory / file).write_text("x" * PAGE)
    return directory


def nginx_h2():
    """HTTP/2 without TLS: what TLS costs is the same library's work on both sides."""
    port, directory = free_port(), site("nginx")
    kept = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    (directory / "nginx.conf").write_text(f"""
daemon off;
worker_processes 1;
master_process off;
pid {directory}/pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    {kept}
    access_log off;
    default_type text/html;
    keepalive_requests 1000000;
    open_file_cache max=16;
    server {{ listen 127.0.0.1:{port} http2 backlog=4096; root {directory}; }}
}}
""")
    command = [program("nginx"), "-p", directory, "-c", directory / "nginx.conf", "-e", "stderr"]
    return Server(command, lambda: listens(port), port)


def caddy_h3():
    port, directory = free_port(), site("caddy")
    certificates(directory)
    (directory / "Caddyfile").write_text(f"""{{
    admin off
    auto_https off
    skip_install_trust
    storage file_system {directory}
    default_bind 127.0.0.1
}}
https://:{port} {{
    tls {directory}/host.pem {directory}/host.key
    root * {directory}
    file_server
}}
""")
    command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", directory / "Caddyfile"]
    return Server(command, lambda: listens(port), port)


def authority():
    """The certificate that caddy's goes back to."""
    return WORK / "caddy" / "ca.pem"


def listens(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def certificates(directory):
    """An authority, and a certificate of a host, for two days."""

    def made(*command):
        subprocess.run([program("openssl"), *command], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made("req", "-x509", *key, "-subj", "/CN=bench", "-keyout", "ca.key", "-out", "ca.pem", "-addext", "basicConstraints=critical,CA:TRUE")
    made("req", "-x509", *key, "-subj", "/CN=localhost", "-keyout", "host.key", "-out", "host.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE")  # fmt: skip


class Swarm(contextlib.ExitStack):
    """A libtorrent seeder, the tracker that names it, and the web server of its torrent."""

    def __init__(self):
        super().__init__()
        self.directory = WORK / "swarm"
        self.counted = {}

    def __enter__(self):
        super().__enter__()
        directory = site("swarm")
        item = directory / "item"
        if not item.exists():
            item.write_bytes(hashlib.shake_128(b"item").digest(ITEM))
        self.port = free_port()
        seeder = [sys.executable, HERE / "bench_swarm.py", "seeder", directory, self.port]
        self.enter_context(Server(seeder))
        self.tracker = self.enter_context(Server([program("tracker"), "0", self.port])).port
        web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory]
        self.web = free_port()
        page = f"http://127.0.0.1:{self.web}/item.torrent"
        self.enter_context(Server([*web, self.web], lambda: urllib.request.urlopen(page, timeout=1).read(), self.web))
        return self

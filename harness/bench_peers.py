"""Whom the bench compares with, and what it is aimed at: installed or built where it is missing."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys

from bench_measure import Unmeasured, note
from installed import HERE, TARGET, libtorrent_is_there

ROOT = HERE.parent
SOURCES = HERE / "bench-peers"
PEERS = TARGET / "bench-peers"
# Program and Debian package.
DEBIAN = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "nginx": "nginx-light",
    "opentracker": "opentracker",
    "caddy": "caddy",
    "gcc": "gcc",
    "openssl": "openssl",
}
# Program, version on crates.io, features, and whether with the versions that it was released with: aquatic's are refused by today's
# compiler, and of what oha needs the newest wants tomorrow's.
CRATES = {
    "aquatic_udp": ("0.9.0", "prometheus", False),
    "aquatic_udp_load_test": ("0.9.0", "", False),
    "oha": ("1.16.0", "rustls,http3", True),
}
OWN = ["tracker", "nodes", "http", "plain"]


def install_all():
    install()
    for crate in CRATES:
        install_crate(crate)


def install():
    """What takes no building, and the small programs; crates are built once a row needs them."""
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [package for program, package in DEBIAN.items() if not shutil.which(program)]
    if not libtorrent_is_there():
        missing.append("python3-libtorrent")
    if missing:
        sudo = [] if os.geteuid() == 0 else ["sudo"]
        apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
        command = [*apt, "install", "--yes", "--quiet", "--no-install-recommends", *missing]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            subprocess.run([*apt, "update", "--quiet"], stdout=sys.stderr)
            subprocess.run(command, stdout=sys.stderr)
    for name in OWN:
        build(name)


@functools.cache
def install_crate(name):
    """Tries it once."""
    if (PEERS / "bin" / name).exists():
        return
    note(f"  building {name}")
    version, features, locked = CRATES[name]
    command = ["cargo", "install", "--quiet", "--root", PEERS, "--version", version, "--no-default-features", "--features", features]
    command += [*(["--locked"] if locked else []), name]
    subprocess.run(command, stdout=sys.stderr, env={**os.environ, "CARGO_TARGET_DIR": str(PEERS / "build")})


def build(name):
    """One of the small C programs."""
    source, program = SOURCES / f"{name}.c", PEERS / "bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in [source, SOURCES / "datagrams.h"])
    if shutil.which("gcc") and not (program.exists() and program.stat().st_mtime > newest):
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source], check=True)


def program(name):
    """Where a program is.

    Raises Unmeasured where it is not there."""
    if name in CRATES:
        install_crate(name)
    own = PEERS / "bin" / name
    if own.exists():
        return own
    found = shutil.which(name)
    if not found:
        raise Unmeasured(f"{name} is neither installed nor could it be")
    return pathlib.Path(found)


def build_squall():
    command = ["cargo", "build", "--quiet", "--release", "--no-default-features", "--bin", "squall"]
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)
    return TARGET / "release" / "squall"


def versions():
    """What was compared, by name."""

    def said(*command):
        try:
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return "-"
        lines = (done.stdout + done.stderr).splitlines()
        return lines[0].strip() if lines else "-"

    def debian(package):
        return said("dpkg-query", "--show", "--showformat=${Version}", package)

    found = {name: version for name, (version, *_) in CRATES.items() if (PEERS / "bin" / name).exists()}
    found |= {package: debian(package) for program, package in DEBIAN.items() if shutil.which(program)}
    if libtorrent_is_there():
        found["python3-libtorrent"] = debian("python3-libtorrent")
    return found

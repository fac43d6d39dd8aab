"""What the fleet is made of: Debian packages, packages of npm, aquatic's trackers from crates.io, and a seeder of librqbit."""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target")).resolve()
PACKAGES = ["opentracker", "nginx-light", "caddy", "dnsmasq-base", "python3-libtorrent", "transmission-daemon", "qbittorrent-nox"]
PACKAGES += ["aria2", "openssl", "npm"]
PROGRAMS = ["opentracker", "nginx", "caddy", "dnsmasq", "transmission-daemon", "qbittorrent-nox", "aria2c", "openssl", "npm"]
NPM_PACKAGES = {"bittorrent-tracker": "11.2.3", "bittorrent-dht": "11.0.12"}
AQUATIC = "0.9.0"
AQUATIC_TRACKERS = ["aquatic_udp", "aquatic_http", "aquatic_ws"]


def install():
    install_debian()
    install_npm()
    install_aquatic()
    build_librqbit()


def npm_package(name):
    return TARGET / "npm" / "node_modules" / name


def install_npm():
    """Packages of npm that are missing, under target/npm."""
    wanted = [f"{name}@{version}" for name, version in NPM_PACKAGES.items() if not npm_package(name).exists()]
    if wanted:
        # Scripts build the WebRTC part, which only clients have use for.
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", TARGET / "npm"]
        subprocess.run([*command, *wanted], stdout=sys.stderr, check=True)


def aquatic(name):
    return TARGET / "aquatic" / "bin" / name


def install_aquatic():
    """aquatic's trackers, built from crates.io under target/aquatic: some 5 minutes of CPU, once."""
    if all(aquatic(name).exists() for name in AQUATIC_TRACKERS):
        return
    root = TARGET / "aquatic"
    # What they counted is served for Prometheus only; mimalloc, the other default, wants a C compiler. Not with the versions that they
    # were released with (`--locked`): today's compiler refuses one of those.
    command = ["cargo", "install", "--quiet", "--root", root, "--version", AQUATIC]
    command += ["--no-default-features", "--features", "prometheus", *AQUATIC_TRACKERS]
    subprocess.run(command, stdout=sys.stderr, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(root / "build")})
    shutil.rmtree(root / "build")


def librqbit():
    return TARGET / "debug" / "squall-librqbit"


def build_librqbit():
    """librqbit as a seeder: a library, so the program around it is here. With the whole workspace, as the tests build it: other features
    of its dependencies would be built anew."""
    command = ["cargo", "build", "--quiet", "--workspace", "--bin", "squall-librqbit"]
    subprocess.run(command, cwd=HERE.parent, stdout=sys.stderr, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})


def install_debian():
    """Debian packages that are missing."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    there = all(shutil.which(program) for program in PROGRAMS) and libtorrent_is_there()
    if there:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    apt = sudo + ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    # Node may come from elsewhere, with an npm of its own.
    packages = [package for package in PACKAGES if package != "npm" or not shutil.which("npm")]
    command = apt + ["install", "--yes", "--quiet", "--no-install-recommends"] + packages
    # The package list may be absent or too old. Services of the packages are not used: the fleet starts its own.
    if subprocess.run(command, stdout=sys.stderr).returncode:
        subprocess.run(apt + ["update", "--quiet"], stdout=sys.stderr, check=True)
        subprocess.run(command, stdout=sys.stderr, check=True)


def libtorrent_is_there():
    try:
        import libtorrent  # noqa: F401
    except ImportError:
        return False
    return True

"""One of the clients of harness/clients.py on loopback, which ends with this script.

usage: client.py PROGRAM DIRECTORY seed [OPTION...]
    seeds a torrent, leaves content and release.torrent in DIRECTORY, and prints "INFO_HASH PORT" once it seeds
       client.py PROGRAM DIRECTORY leech INFO_HASH TRACKER [OPTION...]
       client.py PROGRAM DIRECTORY leech FILE [OPTION...]
    prints "PORT" once it wants a torrent, and "done" once all of it is there and checked; it knows the hash and the URL of a tracker that
    names peers, or a .torrent and nobody, and waits to be found

Then it waits for the end of standard input.
"""
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time

import libtorrent as lt

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "harness"))
from clients import CLIENTS
from release import make

PATIENCE = 60


def end_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def wait(found):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            sys.exit(f"it ended: {log.read_text(errors='replace')}")
        try:
            if found():
                return
        except OSError:
            pass
        time.sleep(0.05)
    sys.exit(f"not in time: {client.torrents()} {log.read_text(errors='replace')}")


program, directory, role, *options = sys.argv[1:]
wanted = options.pop(0) if role == "leech" else None
known = wanted and wanted.endswith(".torrent")
tracker = options.pop(0) if wanted and not known else None
client = CLIENTS[program](directory, options)
log = client.directory / "log"
daemon = subprocess.Popen(
    client.command(),
    cwd=directory,
    stdin=subprocess.DEVNULL,
    stdout=log.open("wb"),
    stderr=subprocess.STDOUT,
    preexec_fn=end_with_parent,
    # Whatever it wants to keep stays here.
    env={**os.environ, **{name: directory for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"]}},
)
wait(client.ready)
if wanted:
    if known:
        client.add(pathlib.Path(wanted).read_bytes(), directory)
    else:
        client.join(wanted, tracker, directory)
    wait(client.listens)
    print(client.port, flush=True)
    wait(client.complete)
    print("done", flush=True)
else:
    torrent = make(directory, "v1")
    client.add(torrent, directory)
    wait(client.complete)
    wait(client.listens)
    print(lt.torrent_info(lt.bdecode(torrent)).info_hash(), client.port, flush=True)
sys.stdin.read()

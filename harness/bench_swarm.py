#!/usr/bin/python3
"""libtorrent as the bench has it: `bench_swarm.py seeder DIR PORT` and `bench_swarm.py leecher DIR PORT SECONDS`.

The seeder has DIR/item, makes DIR/item.torrent, and says `ready PORT`. The leecher fetches the same from the seeder at PORT, into
directories in memory, again and again, and says what that took as JSON.
"""

import json
import pathlib
import shutil
import sys
import tempfile
import time
import warnings

sys.dont_write_bytecode = True
import libtorrent as lt
from own import SESSION

PIECE = 256 << 10
# The seeder answers at as many addresses of loopback, so that a downloader has as many connections.
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
MOST = {
    "enable_dht": False,
    "connections_limit": 10000,
    "unchoke_slots_limit": -1,
    "active_limit": -1,
    "active_seeds": -1,
    "seed_choking_algorithm": 0,
    "enable_outgoing_utp": False,
    "enable_incoming_utp": False,
    "out_enc_policy": 2,
    "in_enc_policy": 2,
}


def torrent(directory):
    storage = lt.file_storage()
    lt.add_files(storage, str(directory / "item"))
    made = lt.create_torrent(storage, PIECE, lt.create_torrent.v1_only)
    lt.set_piece_hashes(made, str(directory))
    encoded = lt.bencode(made.generate())
    (directory / "item.torrent").write_bytes(encoded)
    return lt.torrent_info(lt.bdecode(encoded))


def seed(directory, port):
    where = ",".join(f"{address}:{port}" for address in ADDRESSES)
    session = lt.session({**SESSION, **MOST, "listen_interfaces": where})
    handle = session.add_torrent({"ti": torrent(directory), "save_path": str(directory)})
    while session.listen_port() == 0 or not handle.status().is_seeding:
        time.sleep(0.02)
    print(f"ready {port}", flush=True)
    while True:
        time.sleep(60)


def leech(directory, port, seconds):
    """One download after the other, each into an empty directory by a new session."""
    info = lt.torrent_info(str(directory / "item.torrent"))
    memory = pathlib.Path("/dev/shm")
    fetched, began, cpu = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        target = tempfile.mkdtemp(dir=memory if memory.is_dir() else directory)
        session = lt.session({**SESSION, **MOST, "listen_interfaces": "127.0.0.1:0"})
        handle = session.add_torrent({"ti": info, "save_path": target})
        for address in ADDRESSES:
            handle.connect_peer((address, port))
        while not handle.status().is_seeding:
            time.sleep(0.005)
        fetched += info.total_size()
        session.pause()
        del handle, session
        shutil.rmtree(target)
    print(json.dumps({"seconds": time.monotonic() - began, "bytes": fetched, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    {"seeder": seed, "leecher": leech}[sys.argv[1]](pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:]))

"""Fetches a torrent with libtorrent from one peer, knowing its hash alone. Prints "done" once all of it is there and checked, and ends after 45 s without.

usage: leecher.py DIRECTORY HASH HOST:PORT [OPTION...]   (see session.py)
"""
import sys
import time

import libtorrent as lt

from session import session_of

directory, info_hash, peer = sys.argv[1:4]
host, port = peer.split(":")
session = session_of(sys.argv[4:])
wanted = lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{info_hash}")
wanted.save_path = directory
handle = session.add_torrent(wanted)
handle.connect_peer((host, int(port)))
deadline = time.monotonic() + 45
while not handle.status().is_seeding:
    if time.monotonic() > deadline:
        sys.exit("not all of it came")
    time.sleep(0.02)
print("done", flush=True)
sys.stdin.read()

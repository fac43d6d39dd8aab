"""Fetches a torrent with libtorrent from one peer, knowing its hash alone. Prints "done" once all of it is there and checked.

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
while not handle.status().is_seeding:
    time.sleep(0.02)
print("done", flush=True)
sys.stdin.read()

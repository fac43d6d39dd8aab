"""Seeds one torrent with libtorrent on loopback, or only writes its .torrent. Prints "V1 V2 PORT" once it seeds (0 for a hash that the
torrent does not have), then waits for the end of standard input.

usage: seeder.py DIRECTORY v1|hybrid|v2|many [OPTION...]   (leaves content and release.torrent there; `many`: v2, and more pieces than
one request for hashes covers; options: see session.py)
"""
import sys
import time

import libtorrent as lt

from release import make
from session import session_of

directory, version, *options = sys.argv[1:]
encoded = make(directory, version)
session = session_of(options)
info = lt.torrent_info(lt.bdecode(encoded))
handle = session.add_torrent({"ti": info, "save_path": directory})
while not handle.status().is_seeding or session.listen_port() == 0:
    time.sleep(0.02)
hashes = info.info_hashes()
print(hashes.v1 if hashes.has_v1() else 0, hashes.v2 if hashes.has_v2() else 0, session.listen_port())
sys.stdin.read()

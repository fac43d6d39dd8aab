"""Seeds one torrent with libtorrent on loopback. Prints "HASH PORT" once it seeds, then waits for the end of standard input.

usage: seeder.py DIRECTORY [OPTION...]   (leaves content and release.torrent there; see session.py)
"""
import os
import sys
import time

import libtorrent as lt

from session import session_of

PIECE = 64 * 1024
SIZE = 3 * PIECE + 5000

directory = sys.argv[1]
with open(os.path.join(directory, "content"), "wb") as file:
    file.write(bytes((n * n // 7 + n) % 251 for n in range(SIZE)))

files = lt.file_storage()
lt.add_files(files, os.path.join(directory, "content"))
torrent = lt.create_torrent(files, PIECE, lt.create_torrent.v1_only)
lt.set_piece_hashes(torrent, directory)
encoded = lt.bencode(torrent.generate())
with open(os.path.join(directory, "release.torrent"), "wb") as file:
    file.write(encoded)

session = session_of(sys.argv[2:])
info = lt.torrent_info(lt.bdecode(encoded))
handle = session.add_torrent({"ti": info, "save_path": directory})
while not handle.status().is_seeding or session.listen_port() == 0:
    time.sleep(0.02)
print(info.info_hash(), session.listen_port())
sys.stdin.read()

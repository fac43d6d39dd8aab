"""Seeds one torrent with libtorrent on loopback, or only writes its .torrent. Prints "V1 V2 PORT" once it seeds (0 for a hash that the
torrent does not have), then waits for the end of standard input.

usage: seeder.py DIRECTORY v1|hybrid|v2|many   (leaves content and release.torrent there; `many`: v2, and more pieces than one request
for hashes covers)
"""
import os
import sys
import time

import libtorrent as lt

directory, version = sys.argv[1:]
PIECE = 16 * 1024 if version == "many" else 64 * 1024
SIZE = 3 * PIECE + 5000
FLAGS = {"v1": lt.create_torrent.v1_only, "hybrid": 0, "v2": lt.create_torrent.v2_only, "many": lt.create_torrent.v2_only}


def write(name, size):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(bytes((n * n // 7 + n + len(name)) % 251 for n in range(size)))


if version == "v1":
    write("content", SIZE)
elif version == "many":
    write("content", 700 * PIECE - 100)
else:
    # Files of several pieces, of one, of less and of nothing, two of them the same, in folders.
    for name, size in [("a", SIZE), ("b/c", 20000), ("b/d", PIECE), ("b/e/f", 0), ("g", 5), ("h", 2 * PIECE), ("i", 2 * PIECE)]:
        write(os.path.join("content", name), size)

files = lt.file_storage()
lt.add_files(files, os.path.join(directory, "content"))
torrent = lt.create_torrent(files, PIECE, FLAGS[version])
lt.set_piece_hashes(torrent, directory)
encoded = lt.bencode(torrent.generate())
with open(os.path.join(directory, "release.torrent"), "wb") as file:
    file.write(encoded)

session = lt.session({
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "allow_multiple_connections_per_ip": True,
})
info = lt.torrent_info(lt.bdecode(encoded))
handle = session.add_torrent({"ti": info, "save_path": directory})
while not handle.status().is_seeding or session.listen_port() == 0:
    time.sleep(0.02)
hashes = info.info_hashes()
print(hashes.v1 if hashes.has_v1() else 0, hashes.v2 if hashes.has_v2() else 0, session.listen_port())
sys.stdin.read()

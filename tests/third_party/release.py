"""Torrents for tests to fetch.

usage: release.py DIRECTORY VERSION   (prints the torrent's v1 info-hash)
"""
import os
import sys

import libtorrent as lt

FLAGS = {"v1": lt.create_torrent.v1_only, "hybrid": 0, "v2": lt.create_torrent.v2_only, "many": lt.create_torrent.v2_only}


def make(directory, version):
    """Leaves content and release.torrent in a directory; the latter's bytes."""
    piece = 16 * 1024 if version == "many" else 64 * 1024
    size = 3 * piece + 5000

    def write(name, size):
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(bytes((n * n // 7 + n + len(name)) % 251 for n in range(size)))

    if version == "v1":
        write("content", size)
    elif version == "many":
        write("content", 700 * piece - 100)
    else:
        # Files of several pieces, of one, of less and of nothing, two of them the same, in folders.
        for name, length in [("a", size), ("b/c", 20000), ("b/d", piece), ("b/e/f", 0), ("g", 5), ("h", 2 * piece), ("i", 2 * piece)]:
            write(os.path.join("content", name), length)

    files = lt.file_storage()
    lt.add_files(files, os.path.join(directory, "content"))
    torrent = lt.create_torrent(files, piece, FLAGS[version])
    lt.set_piece_hashes(torrent, directory)
    encoded = lt.bencode(torrent.generate())
    with open(os.path.join(directory, "release.torrent"), "wb") as file:
        file.write(encoded)
    return encoded


if __name__ == "__main__":
    print(lt.torrent_info(lt.bdecode(make(*sys.argv[1:]))).info_hash())

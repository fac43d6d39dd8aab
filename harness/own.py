#!/usr/bin/python3
"""What the fleet runs of its own, each in a process: libtorrent's DHT nodes and seeder, and the relay before the seeders.

    own.py dht|seeder|relay DIR      writes DIR/ROLE.json: where it listens once it is ready, and what it counted
"""

import asyncio
import contextlib
import ipaddress
import itertools
import json
import pathlib
import resource
import socket
import struct
import sys
import time
import warnings

sys.dont_write_bytecode = True
from clients import free_port
from processes import fail

DHT_NODES = 12
# Who has all of the content; each is a peer at an address of its own, from 127.0.0.1 on.
SEEDERS = ["libtorrent", "transmission", "qbittorrent", "librqbit"]


def address_of(seeder):
    return f"127.0.0.{1 + SEEDERS.index(seeder)}"


SESSION = {
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "dht_bootstrap_nodes": "",
    # Loopback addresses are all of one network.
    "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False,
    "dht_ignore_dark_internet": False,
    "dht_enforce_node_id": False,
    "dht_block_ratelimit": 100000,
    "dht_upload_rate_limit": 50_000_000,
    "allow_multiple_connections_per_ip": True,
}


def report(path, value):
    """Writes a file at once, so that nobody reads half of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.rename(path)


def announce_to_nodes(ports, swarm):
    """Stores the seeders on every node (BEP 5): libtorrent announces from each address that it listens on, and one is enough."""
    import libtorrent as lt

    def ask(udp, port, query, arguments):
        # Read-only (BEP 43): who asks here is no node.
        message = {"t": "fl", "y": "q", "q": query, "a": {"id": b"squall-fleet-seeder1", **arguments}, "ro": 1}
        udp.sendto(lt.bencode(message), ("127.0.0.1", port))
        return lt.bdecode(udp.recv(4096))

    for seeder in SEEDERS:
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.settimeout(5)
            udp.bind((address_of(seeder), 0))
            for port, item in itertools.product(ports, swarm["items"]):
                info_hash = bytes.fromhex(item["info_hash"])
                node = ask(udp, port, "get_peers", {"info_hash": info_hash})[b"r"]
                # As the node itself: any other id libtorrent would name to others, and nobody answers them here.
                there = {"id": node[b"id"], "info_hash": info_hash, "port": swarm["port"], "token": node[b"token"], "seed": 1}
                if ask(udp, port, "announce_peer", there)[b"y"] != b"r":
                    fail(f"DHT node {port} does not take the seeder")


def run_dht(directory):
    import libtorrent as lt

    warnings.simplefilter("ignore", DeprecationWarning)
    nodes = [lt.session({**SESSION, "listen_interfaces": "127.0.0.1:0", "enable_dht": True}) for _ in range(DHT_NODES)]
    while any(node.listen_port() == 0 for node in nodes):
        time.sleep(0.02)
    ports = [node.listen_port() for node in nodes]
    known = 0
    while known < DHT_NODES:
        for node in nodes:
            for port in ports:
                if port != node.listen_port():
                    node.add_dht_node(("127.0.0.1", port))
        time.sleep(0.1)
        known = sum(node.status().dht_nodes >= min(DHT_NODES - 1, 4) for node in nodes)
    swarm = json.loads((directory / "swarm.json").read_text())
    names = [metric.name for metric in lt.session_stats_metrics()]
    count = {name: 0 for name in names if name.startswith("dht.dht_") and name.endswith("_in")}
    latest, announced = {}, 0
    while True:
        # Without it the first visitor of a swarm would find nobody. A stored peer lives for some half an hour.
        if time.monotonic() - announced > 600 or not announced:
            first, announced = not announced, time.monotonic()
            try:
                announce_to_nodes(ports, swarm)
            except (OSError, KeyError):
                # A node that was too busy to answer hears of it the next time.
                if first:
                    raise
        for number, node in enumerate(nodes):
            node.post_session_stats()
            for alert in node.pop_alerts():
                if isinstance(alert, lt.session_stats_alert):
                    latest[number] = alert.values
        if len(latest) < DHT_NODES:
            # What was asked above is no visitor's: `up` takes the first report for what was there before.
            time.sleep(0.05)
            continue
        total = {name: sum(values.get(name, 0) for values in latest.values()) for name in count}
        report(directory / "dht.json", {"ready": ports, "counters": total})
        time.sleep(0.5)


# Bytes that the relay lets wait on a connection: what a visitor leaves behind who goes, the seeder has counted.
RELAY_BUFFER = 8 << 10


async def relay(port, seeders, tell):
    """Whoever connects to `port` at an address of loopback gets one of the seeders, always the same there: the seeders listen at single
    addresses only, and have to answer in the stead of all visitors who only announce. They see the address that the connection comes
    from: transmission takes one connection from each. What seeders had sent and counted when a visitor hung up is left over, and counted."""
    counters = {"left_over": 0}

    async def pass_up(reader, ours):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(RELAY_BUFFER):
                ours.write(data)
                await ours.drain()
        # No more than an end: whoever is told so ends what it has begun to send.
        with contextlib.suppress(OSError):
            ours.write_eof()

    async def pass_down(theirs, writer):
        with contextlib.suppress(ConnectionError):
            while data := await theirs.read(RELAY_BUFFER):
                try:
                    writer.write(data)
                    await writer.drain()
                except ConnectionError:
                    counters["left_over"] += len(data)
                    break
            writer.close()
            while data := await theirs.read(RELAY_BUFFER):
                counters["left_over"] += len(data)
        writer.close()

    async def pass_on(reader, writer):
        (came_from, _), (here, _) = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        seeder = seeders[(int(ipaddress.ip_address(here)) - int(ipaddress.ip_address("127.0.0.1"))) % len(seeders)]
        writer.transport.set_write_buffer_limits(high=0)
        ours = socket.socket()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RELAY_BUFFER)
        # No port may stay taken after the end of a connection.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            ours.bind((came_from, 0))
            await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", seeder))
            theirs, ours = await asyncio.open_connection(sock=ours, limit=RELAY_BUFFER)
        except OSError:
            ours.close()
            return writer.close()
        await asyncio.gather(pass_up(reader, ours), pass_down(theirs, writer))
        ours.close()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, RELAY_BUFFER)
    listener.bind(("0.0.0.0", port))
    async with await asyncio.start_server(pass_on, sock=listener, backlog=4096, limit=RELAY_BUFFER):
        while True:
            tell(counters)
            await asyncio.sleep(0.5)


def run_relay(directory):
    # Two for each connection.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    port, seeders = free_port(), json.loads((directory / "seeders.json").read_text())
    asyncio.run(relay(port, seeders, lambda counters: report(directory / "relay.json", {"ready": [port], "counters": counters})))


def run_seeder(directory):
    import libtorrent as lt

    warnings.simplefilter("ignore", DeprecationWarning)
    port = free_port()
    session = lt.session({
        **SESSION,
        "listen_interfaces": f"127.0.0.1:{port}",
        "enable_dht": False,
        "connections_limit": 10000,
        "unchoke_slots_limit": -1,
        "active_seeds": -1,
        "active_limit": -1,
        "seed_choking_algorithm": 0,
    })
    handles = []
    for torrent in sorted((directory / "site" / "torrents").iterdir()):
        info = lt.torrent_info(str(torrent))
        handles.append(session.add_torrent({"ti": info, "save_path": str(directory / "files")}))
    while session.listen_port() == 0 or not all(handle.status().is_seeding for handle in handles):
        time.sleep(0.05)
    while True:
        # Payload, as its documentation says.
        uploaded = sum(handle.status().all_time_upload for handle in handles)
        report(directory / "seeder.json", {"ready": [port], "counters": {"uploaded": uploaded}})
        time.sleep(0.5)


if __name__ == "__main__":
    {"dht": run_dht, "seeder": run_seeder, "relay": run_relay}[sys.argv[1]](pathlib.Path(sys.argv[2]))

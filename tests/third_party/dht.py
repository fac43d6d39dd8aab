"""Starts libtorrent DHT nodes on loopback. Prints their ports on one line once they know each other, then waits for the end of standard input.

usage: dht.py NODES [ADDRESS]
"""
import sys
import time
import warnings

import libtorrent as lt

warnings.simplefilter("ignore", DeprecationWarning)

NODES = int(sys.argv[1])
ADDRESS = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
INTERFACE = f"[{ADDRESS}]:0" if ":" in ADDRESS else f"{ADDRESS}:0"


def node():
    return lt.session({
        "listen_interfaces": INTERFACE,
        "enable_dht": True,
        "dht_bootstrap_nodes": "",
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_ignore_dark_internet": False,
        "dht_enforce_node_id": False,
        "dht_block_ratelimit": 10000,
        "dht_upload_rate_limit": 50_000_000,
    })


nodes = [node() for _ in range(NODES)]
while any(it.listen_port() == 0 for it in nodes):
    time.sleep(0.02)
ports = [it.listen_port() for it in nodes]
known = 0
while known < NODES:
    for it in nodes:
        for port in ports:
            if port != it.listen_port():
                it.add_dht_node((ADDRESS, port))
    time.sleep(0.1)
    known = sum(it.status().dht_nodes >= min(NODES - 1, 4) for it in nodes)
print(*ports)
sys.stdin.read()

"""A libtorrent DHT node that knows one other node. Prints NODES PEER... on one line once it has found a peer, then waits for the end of
standard input. With PORT, which must be free, it has a torrent there and announces it.

usage: dht_join.py ADDRESS:PORT INFO_HASH [PORT]
"""
import sys
import threading
import time
import warnings

import libtorrent as lt

warnings.simplefilter("ignore", DeprecationWarning)

address, port = sys.argv[1].rsplit(":", 1)
info_hash = lt.sha1_hash(bytes.fromhex(sys.argv[2]))
session = lt.session({
    "listen_interfaces": f"127.0.0.1:{sys.argv[3] if len(sys.argv) > 3 else 0}",
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
    "alert_mask": lt.alert.category_t.dht_operation_notification | lt.alert.category_t.dht_notification,
})
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
torrent = None
if len(sys.argv) > 3:
    magnet = lt.parse_magnet_uri(f"magnet:?xt=urn:btih:{sys.argv[2]}")
    magnet.save_path = "/nonexistent"
    magnet.flags &= ~(lt.torrent_flags.paused | lt.torrent_flags.auto_managed)
    torrent = session.add_torrent(magnet)
found = set()
while not found and not ended.is_set():
    session.add_dht_node((address, int(port)))
    if torrent:
        torrent.force_dht_announce()
    session.dht_get_peers(info_hash)
    session.wait_for_alert(200)
    time.sleep(0.1)
    for alert in session.pop_alerts():
        if isinstance(alert, lt.dht_get_peers_reply_alert):
            found.update(f"{ip}:{number}" for ip, number in alert.peers())
print(session.status().dht_nodes, *sorted(found))
ended.wait()

"""A libtorrent session that keeps to loopback."""
import libtorrent as lt


def session_of(transports):
    """A session that speaks these transports, tcp and utp where none is named."""
    transports = transports or ["tcp", "utp"]
    return lt.session({
        "listen_interfaces": "127.0.0.1:0",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "enable_outgoing_tcp": "tcp" in transports,
        "enable_incoming_tcp": "tcp" in transports,
        "enable_outgoing_utp": "utp" in transports,
        "enable_incoming_utp": "utp" in transports,
    })

"""A libtorrent session that keeps to loopback."""
import libtorrent as lt


def session_of(options):
    """A session that speaks the transports among these words, tcp and utp where none is; with "encrypted", it speaks to nobody who is not."""
    transports = {"tcp", "utp"} & set(options) or {"tcp", "utp"}
    encryption = {"in_enc_policy": 0, "out_enc_policy": 0, "allowed_enc_level": 2} if "encrypted" in options else {}
    return lt.session({
        "listen_interfaces": "127.0.0.1:0",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "allow_multiple_connections_per_ip": True,
        "min_reconnect_time": 1,
        "enable_outgoing_tcp": "tcp" in transports,
        "enable_incoming_tcp": "tcp" in transports,
        "enable_outgoing_utp": "utp" in transports,
        "enable_incoming_utp": "utp" in transports,
        **encryption,
    })

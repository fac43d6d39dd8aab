"""BitTorrent clients of other authors, kept to loopback: how each is started and asked. For `harness/fleet` and `tests/third_party/client.py`.

A client takes these words as options: "tcp" or "utp" alone (both where neither is said), "encrypted" (it speaks to nobody who is not),
"v6" (it listens on ::1, not on 127.0.0.1). None has bootstrap nodes, local discovery or port mapping.
"""

import base64
import json
import pathlib
import random
import socket
import urllib.error
import urllib.parse
import urllib.request

# Connections and upload slots: more than any rehearsal opens, so that a client never refuses a peer for their number.
MANY = 10_000


GIVEN = set()


def free_port():
    """A port of loopback that is free for TCP and UDP, and that nobody here has been given yet. Below those from which connections that go
    out take theirs: none of them takes it before the daemon does."""
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            return port


def post(url, body, headers):
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
        return answer.read()


class Client:
    """A client that is controlled from its directory by HTTP on loopback. What is asked before it answers is an OSError."""

    def __init__(self, directory, options=(), ports=None):
        self.directory = pathlib.Path(directory)
        self.options = options
        self.port, self.control = ports or (free_port(), free_port())
        self.address = "::1" if "v6" in options else "127.0.0.1"

    def speaks(self, transport):
        return transport in self.options or not {"tcp", "utp"} & set(self.options)

    def listens(self):
        """Whether it waits for peers. By the kernel's list: who connects and says nothing is in the way of the next one of its address."""
        transport, state = ("tcp", "0A") if self.speaks("tcp") else ("udp", "07")
        lines = [line.split() for table in [transport, f"{transport}6"] for line in open(f"/proc/net/{table}")]
        return any(line[1].endswith(f":{self.port:04X}") and line[3] == state for line in lines)


class Transmission(Client):
    """transmission-daemon. It cannot do without TCP, and dials no peer of 127.0.0.0/8 and ::1: it calls them martians."""

    PROGRAM = "transmission-daemon"

    def command(self):
        settings = {
            "bind-address-ipv4": "127.0.0.1",
            "bind-address-ipv6": "::1",
            "peer-port": self.port,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": self.control,
            "dht-enabled": False,
            "lpd-enabled": False,
            "port-forwarding-enabled": False,
            "utp-enabled": self.speaks("utp"),
            "encryption": 2 if "encrypted" in self.options else 0,
            "download-queue-enabled": False,
            "peer-limit-global": MANY,
            "peer-limit-per-torrent": MANY,
            "upload-slots-per-torrent": MANY,
        }
        config = self.directory / "transmission"
        config.mkdir(parents=True, exist_ok=True)
        (config / "settings.json").write_text(json.dumps(settings))
        return ["transmission-daemon", "--foreground", "--config-dir", str(config)]

    def ask(self, method, **arguments):
        url, body = f"http://127.0.0.1:{self.control}/transmission/rpc", json.dumps({"method": method, "arguments": arguments}).encode()
        try:
            answer = post(url, body, {})
        except urllib.error.HTTPError as error:
            # Who asks shows that it has read an answer before: against requests that a browser is made to send.
            if error.code != 409:
                raise
            answer = post(url, body, {"X-Transmission-Session-Id": error.headers["X-Transmission-Session-Id"]})
        answer = json.loads(answer)
        if answer["result"] != "success":
            raise RuntimeError(f"transmission: {method}: {answer['result']}")
        return answer["arguments"]

    def ready(self):
        return self.ask("session-get")

    def add(self, torrent, folder):
        """Takes a `.torrent` whose content is in `folder`, or is to come there."""
        self.ask("torrent-add", metainfo=base64.b64encode(torrent).decode(), **{"download-dir": str(folder)})

    def join(self, info_hash, tracker, folder):
        """Fetches a torrent of which only its hash is known, from the peers that a tracker names."""
        magnet = f"magnet:?xt=urn:btih:{info_hash}&tr={urllib.parse.quote(tracker, safe='')}"
        self.ask("torrent-add", filename=magnet, **{"download-dir": str(folder)})

    def torrents(self):
        return self.ask("torrent-get", fields=["hashString", "leftUntilDone", "metadataPercentComplete", "status"])["torrents"]

    def listens(self):
        """As others; while it checks what there is of a torrent it turns peers away."""
        downloading, seeding = 4, 6
        return super().listens() and all(it["status"] in (downloading, seeding) for it in self.torrents())

    def complete(self):
        """How many torrents it has whole and checked, and seeds."""
        seeding = 6
        return sum(it["status"] == seeding and it["metadataPercentComplete"] == 1 and it["leftUntilDone"] == 0 for it in self.torrents())

    def counters(self):
        """Payload, with the 13 bytes before each block of 16 KiB: 0.08 %."""
        stats = self.ask("session-stats")["current-stats"]
        return {"uploaded": stats["uploadedBytes"], "downloaded": stats["downloadedBytes"]}


class QBittorrent(Client):
    """qbittorrent-nox: libtorrent's engine with settings, limits and habits of its own."""

    PROGRAM = "qbittorrent-nox"

    def command(self):
        protocol = {(True, True): "Both", (True, False): "TCP", (False, True): "UTP"}[self.speaks("tcp"), self.speaks("utp")]
        settings = {
            "LegalNotice": {"Accepted": True},
            "Network": {"PortForwardingEnabled": False},
            "BitTorrent": {
                "Session\\Interface": "lo",
                "Session\\InterfaceName": "lo",
                "Session\\InterfaceAddress": self.address,
                "Session\\Port": self.port,
                "Session\\DHTEnabled": False,
                "Session\\LSDEnabled": False,
                "Session\\BTProtocol": protocol,
                "Session\\Encryption": 1 if "encrypted" in self.options else 0,
                "Session\\MultiConnectionsPerIp": True,
                "Session\\SSRFMitigation": False,
                "Session\\QueueingSystemEnabled": False,
                "Session\\MaxConnections": -1,
                "Session\\MaxConnectionsPerTorrent": -1,
                "Session\\MaxUploads": -1,
                "Session\\MaxUploadsPerTorrent": -1,
            },
            "Preferences": {
                # It would fetch a list of countries.
                "Connection\\ResolvePeerCountries": False,
                "WebUI\\Address": "127.0.0.1",
                "WebUI\\Port": self.control,
                "WebUI\\LocalHostAuth": False,
            },
        }
        config = self.directory / "qBittorrent" / "config" / "qBittorrent.conf"
        config.parent.mkdir(parents=True, exist_ok=True)
        said = lambda value: str(value).lower() if isinstance(value, bool) else value
        lines = [line for section, of in settings.items() for line in [f"[{section}]", *(f"{key}={said(value)}" for key, value in of.items())]]
        config.write_text("\n".join(lines) + "\n")
        return ["qbittorrent-nox", f"--profile={self.directory}"]

    def ask(self, path, fields=None, file=None):
        url = f"http://127.0.0.1:{self.control}/api/v2/{path}"
        if fields is None and file is None:
            return post(url, None, {})
        boundary = "squall-form"
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode() for name, value in (fields or {}).items()]
        if file is not None:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="torrents"; filename="it.torrent"\r\nContent-Type: application/x-bittorrent\r\n\r\n'
            parts.append(head.encode() + file + b"\r\n")
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return post(url, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})

    def ready(self):
        return self.ask("app/version")

    def add(self, torrent, folder):
        """As Transmission's."""
        self.added(self.ask("torrents/add", {"savepath": folder}, torrent))

    def join(self, info_hash, tracker, folder):
        """As Transmission's."""
        magnet = f"magnet:?xt=urn:btih:{info_hash}&tr={urllib.parse.quote(tracker, safe='')}"
        self.added(self.ask("torrents/add", {"urls": magnet, "savepath": folder}))

    def added(self, answer):
        if answer != b"Ok.":
            raise RuntimeError(f"qBittorrent does not take a torrent: {answer}")

    def torrents(self):
        return json.loads(self.ask("torrents/info"))

    def complete(self):
        """How many torrents it has whole and checked, and seeds. Of a new one it says so for up to a second in which it turns peers away,
        until libtorrent goes through its torrents: so it is told to seed at once."""
        torrents = self.torrents()
        if any(it["state"] in ("uploading", "stalledUP") for it in torrents):
            self.ask("torrents/setForceStart", {"hashes": "all", "value": "true"})
        return sum(it["state"] == "forcedUP" and it["progress"] == 1 for it in torrents)

    def counters(self):
        """Payload (libtorrent's `all_time_upload`)."""
        torrents = self.torrents()
        return {"uploaded": sum(it["uploaded"] for it in torrents), "downloaded": sum(it["downloaded"] for it in torrents)}


class Aria2(Client):
    """aria2c. It speaks no uTP."""

    PROGRAM = "aria2c"

    def command(self, *more):
        encrypted = ["--bt-require-crypto=true", "--bt-min-crypto-level=arc4"] if "encrypted" in self.options else []
        return [
            "aria2c", "--no-conf", "--quiet", f"--interface={self.address}", f"--listen-port={self.port}",
            "--enable-rpc", "--rpc-listen-all=false", f"--rpc-listen-port={self.control}", f"--rpc-secret={self.control}",
            "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false", "--follow-torrent=mem",
            "--check-integrity=true", "--seed-ratio=0", "--bt-max-peers=0", f"--max-concurrent-downloads={MANY}", "--file-allocation=none",
            *encrypted, *more,
        ]  # fmt: skip

    def ask(self, method, *arguments):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"aria2.{method}", "params": [f"token:{self.control}", *arguments]})
        return json.loads(post(f"http://127.0.0.1:{self.control}/jsonrpc", body.encode(), {}))["result"]

    def ready(self):
        return self.ask("getVersion")

    def add(self, torrent, folder, **more):
        """As Transmission's."""
        self.ask("addTorrent", base64.b64encode(torrent).decode(), [], {"dir": str(folder), **more})

    def join(self, info_hash, tracker, folder):
        """As Transmission's."""
        magnet = f"magnet:?xt=urn:btih:{info_hash}&tr={urllib.parse.quote(tracker, safe='')}"
        self.ask("addUri", [magnet], {"dir": str(folder)})

    def torrents(self):
        return [it for it in self.ask("tellActive") if "info" in it.get("bittorrent", {})]

    def complete(self):
        """How many torrents it has whole and checked, and seeds."""
        return sum(it["seeder"] == "true" and it["completedLength"] == it["totalLength"] for it in self.torrents())

    def counters(self):
        """Payload."""
        torrents = self.torrents()
        total = lambda key: sum(int(it[key]) for it in torrents)
        return {"uploaded": total("uploadLength"), "downloaded": total("completedLength")}


CLIENTS = {client.PROGRAM: client for client in [Transmission, QBittorrent, Aria2]}

"""The rows of benches/RESULTS.md: who is compared with whom, on what, and what is owed."""

import dataclasses
from collections.abc import Callable

import bench_page
from bench_figures import FIGURES
from bench_generators import (
    ASSETS,
    CONNECTIONS,
    announces,
    aquatic_load_test,
    downloads,
    leecher,
    lookups,
    oha,
    plain,
    requests,
    visits,
    wrk,
)
from bench_measure import Unmeasured, note
from bench_servers import Swarm, aquatic_udp, authority, caddy_h3, nginx_h2, own

# Length of a run, where nothing else is said.
SECONDS = 8


@dataclasses.dataclass
class Pair:
    """Squall and a peer, one after the other at the same server, in both orders, again and again."""

    name: str
    title: str
    # What is counted, and by what the CPU is divided.
    unit: str
    peer_name: str
    server_name: str
    # In the words of the issue, and as the largest ratio of CPU for one answer, Squall's to the peer's.
    goal: str
    bound: float
    server: Callable
    peer: Callable
    squall: Callable
    # Operations a second that Squall is tried with at first, or that it is driven with.
    first: float
    # What else is owed: answers a second at least, and send lag at most, 99th percentile in seconds.
    least_rate: float = 0.0
    most_lag: float = 0.0
    # What a reader has to know.
    remark: str = ""
    # The rows whose fitting rate it shares, and the part of that rate that it drives.
    like: str = ""
    part: float = 1.0
    # Whether the rate is as stated: too few operations a second to find one that fits.
    fixed: bool = False
    # Whether it is measured only when it is named.
    named_only: bool = False

    def measure(self, squall, pairs, seconds):
        """All pairs, as they are kept under target/bench/results."""
        seconds = seconds or SECONDS

        def ours(rate, seconds):
            with self.server() as server:
                measure = self.squall(squall, self.name, server, rate, seconds)
            measure.more["server"] = server.counted
            return measure

        def theirs():
            with self.server() as server:
                measure = self.peer(server, seconds, rate)
            measure.more["server"] = server.counted
            return measure

        rate = self.first if self.fixed else self.part * squall.fitting_rate(self.like or self.name, ours, self.first)
        done = []
        for number in range(pairs):
            order = "AB" if number % 2 == 0 else "BA"
            both = {}
            for side in order:
                both[side] = theirs() if side == "B" else ours(rate, seconds)
                it = both[side]
                who = self.peer_name if side == "B" else "squall"
                note(f"  {number + 1}/{pairs}: {who} {it.rate:.0f}/s, {it.cost * 1e6:.2f} µs CPU {bench_page.a(self.unit)}")
            done.append({"order": order, "squall": dataclasses.asdict(both["A"]), "peer": dataclasses.asdict(both["B"])})
        if not all(pair["peer"]["good"] and pair["squall"]["good"] for pair in done):
            raise Unmeasured("a run without one good answer")
        return {"pairs": done, "rate": rate, "seconds": seconds}


# ---------------------------------------------------------------------------------------------------------------------------- rows

AQUATIC = "aquatic_udp_load_test"
KEPT = (
    f"Squall: visits of a page and {ASSETS} assets, one after the other on one connection, visits open loop; the peer: {CONNECTIONS} "
    "connections, closed loop."
)
NEW = (
    "A connection for each request. Squall's visitors end theirs by FIN and then RST, and leave the server nothing to wait for; with wrk "
    "and oha the server closes first and keeps a TIME_WAIT."
)

ROWS = [
    Pair(
        name="udp-aquatic",
        title="UDP announces to a real tracker",
        unit="answer",
        peer_name=AQUATIC,
        server_name="aquatic_udp",
        goal="≥ 1.5× answers per CPU-second, < 0.1 % lost",
        bound=1 / 1.5,
        server=aquatic_udp,
        peer=aquatic_load_test,
        squall=announces(),
        first=20_000,
        remark=f"{AQUATIC} asks from 4 sockets at one address, and what it did before it began is not counted; all of Squall's CPU is.",
    ),
    Pair(
        name="udp-reflector",
        title="UDP announces, each visitor at an address of its own",
        unit="answer",
        peer_name=AQUATIC,
        server_name="reflector",
        goal="≥ 1.5× answers per CPU-second, < 0.1 % lost",
        bound=1 / 1.5,
        server=own("tracker"),
        peer=aquatic_load_test,
        squall=announces(),
        first=20_000,
        remark=f"{AQUATIC} asks from 4 sockets at one address, and what it did before it began is not counted; all of Squall's CPU is.",
    ),
    Pair(
        name="udp-reflector-one-address",
        title="UDP announces, all visitors at one address",
        unit="answer",
        peer_name=AQUATIC,
        server_name="reflector",
        goal="≥ 1.5× answers per CPU-second, < 0.1 % lost",
        bound=1 / 1.5,
        server=own("tracker"),
        peer=aquatic_load_test,
        squall=announces("127.16.0.1/32"),
        first=20_000,
        remark="`visitors.addresses` of the profile is one address, so that they share a socket as the peer's do.",
    ),
    Pair(
        name="udp-reflector-plain",
        title="UDP announces against a plain loop",
        unit="answer",
        peer_name="plain C loop",
        server_name="reflector",
        goal="none",
        bound=0,
        server=own("tracker"),
        peer=plain("tracker"),
        squall=announces(),
        first=20_000,
        remark="What two system calls an answer cost by themselves.",
        like="udp-reflector",
    ),
    Pair(
        name="dht-reflector",
        title="DHT queries of lookups to many nodes",
        unit="query",
        peer_name="plain C loop",
        server_name="reflector of 65,536 nodes",
        goal="≥ its rate per CPU-second; ≥ 250k/s recorded",
        bound=1.0,
        server=own("nodes"),
        peer=plain("dht"),
        squall=lookups,
        first=500,
        remark="The loop sends the same query with another hash to random nodes; Squall's visitors look up, and announce to the 8 nearest.",
        least_rate=250_000,
    ),
    Pair(
        name="http1-keepalive-wrk",
        title="HTTP/1.1, connections that are kept",
        unit="request",
        peer_name="wrk",
        server_name="reflector, 2 KB",
        goal="≤ 1.15× CPU a request",
        bound=1.15,
        server=own("http"),
        peer=wrk(),
        squall=visits(kept=True),
        first=20_000,
        remark=KEPT,
        like="http1-keepalive",
    ),
    Pair(
        name="http1-keepalive-oha",
        title="HTTP/1.1, connections that are kept",
        unit="request",
        peer_name="oha",
        server_name="reflector, 2 KB",
        goal="≤ 0.9× CPU a request",
        bound=0.9,
        server=own("http"),
        peer=oha("-c", str(CONNECTIONS)),
        squall=visits(kept=True),
        first=20_000,
        remark=KEPT,
        like="http1-keepalive",
    ),
    Pair(
        name="http1-new-connection-wrk",
        title="HTTP/1.1, a connection for each visitor",
        unit="request",
        peer_name="wrk",
        server_name="reflector, 2 KB",
        goal="≥ wrk",
        bound=1.0,
        server=own("http"),
        peer=wrk("-H", "Connection: close"),
        squall=visits(),
        first=4_000,
        remark=NEW,
        like="http1-new-connection",
    ),
    Pair(
        name="http1-new-connection-oha",
        title="HTTP/1.1, a connection for each visitor",
        unit="request",
        peer_name="oha",
        server_name="reflector, 2 KB",
        goal="≥ oha",
        bound=1.0,
        server=own("http"),
        peer=oha("-c", str(CONNECTIONS), "--disable-keepalive"),
        squall=visits(),
        first=4_000,
        remark=NEW,
        like="http1-new-connection",
    ),
    Pair(
        name="http2-oha",
        title="HTTP/2 without TLS, connections that are kept",
        unit="request",
        peer_name="oha",
        server_name="nginx, 2 KB",
        goal="≤ 0.9× CPU a request",
        bound=0.9,
        server=nginx_h2,
        peer=oha("-c", str(CONNECTIONS), "--http2"),
        squall=visits(http=("2",), kept=True),
        first=5_000,
        remark=KEPT + " One request at a time on a connection, on both sides.",
    ),
    Pair(
        name="http3-oha",
        title="HTTP/3, connections that are kept",
        unit="request",
        peer_name="oha",
        server_name="caddy, 2 KB",
        goal="≤ 0.9× CPU a request",
        bound=0.9,
        server=caddy_h3,
        peer=oha("-c", str(CONNECTIONS), "--http-version", "3", "--insecure", scheme="https"),
        squall=visits(http=("3",), tls=authority, kept=True),
        first=1_000,
        remark=KEPT + " caddy is the limit of both. oha does not check the certificate; Squall does.",
    ),
    Pair(
        name="open-loop-oha",
        title="Open loop at half of Squall's maximum",
        unit="request",
        peer_name="oha -q --latency-correction",
        server_name="reflector, 2 KB",
        goal="all achieved within 0.1 %, send lag p99 < 1 ms, ≤ 0.7× CPU a request",
        bound=0.7,
        server=own("http"),
        peer=oha("-c", str(CONNECTIONS), open_loop=True),
        squall=requests(),
        first=20_000,
        remark=f"Both: requests open loop on {CONNECTIONS} connections. Squall's are each of another visitor.",
        part=0.5,
        most_lag=0.001,
    ),
    Pair(
        name="pieces-libtorrent",
        title="Pieces over TCP, each checked by SHA-1",
        unit="MB",
        peer_name="libtorrent leecher",
        server_name="libtorrent seeder",
        goal="≥ 2× MB per CPU-second",
        bound=0.5,
        server=Swarm,
        peer=leecher,
        squall=downloads,
        first=200,
        fixed=True,
        remark="Items of 256 MiB, from a seeder at eight addresses. libtorrent writes to a directory in memory; Squall keeps what its "
        "visitors may give to others, 256 MiB at most.",
    ),
    *FIGURES,
]

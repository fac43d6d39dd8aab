"""The rows of benches/RESULTS.md: who is compared with whom, on what, and what is owed."""

import dataclasses
import json
import re
import shlex
from collections.abc import Callable

from bench_measure import Measure, Server, Unmeasured, note, run
from bench_peers import program
from bench_squall import STATED, profile

CONNECTIONS = 64
ASSETS = 100


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
    # Operations a second that Squall is tried with at first.
    first: float
    # What a reader has to know.
    remark: str = ""
    # Whether it is measured only when it is named.
    named_only: bool = False

    def measure(self, squall, pairs, seconds):
        """All pairs, as they are kept under target/bench/results."""

        def ours(rate, seconds):
            with self.server() as server:
                measure = self.squall(squall, self.name, server, rate, seconds)
            measure.more["server"] = server.counted
            return measure

        def theirs():
            with self.server() as server:
                measure = self.peer(server, seconds)
            measure.more["server"] = server.counted
            return measure

        rate = squall.fitting_rate(self.name, ours, self.first)
        done = []
        for number in range(pairs):
            order = "AB" if number % 2 == 0 else "BA"
            both = {}
            for side in order:
                both[side] = theirs() if side == "B" else ours(rate, seconds)
                it = both[side]
                who = self.peer_name if side == "B" else "squall"
                note(f"  {self.name} {number + 1}/{pairs}: {who} {it.rate:.0f} {self.unit}s/s, {it.cost * 1e6:.2f} µs each")
            done.append({"order": order, "squall": dataclasses.asdict(both["A"]), "peer": dataclasses.asdict(both["B"])})
        return {"pairs": done, "rate": rate, "seconds": seconds}


def said(ended, pattern, default=None):
    found = re.search(pattern, ended.said)
    if not found and default is None:
        raise Unmeasured(f"the peer ended with {ended.code}: {ended.said.strip()[-300:]}")
    return float(found.group(1)) if found else default


def shown(command):
    """A command as a reader would type it."""
    program_, *rest = map(str, command)
    return shlex.join([program_.rsplit("/", 1)[-1], *rest])


# ------------------------------------------------------------------------------------------------------------------------- servers


def own_server(name, *arguments):
    return lambda: Server([program(name), *arguments])


# --------------------------------------------------------------------------------------------------------------------------- peers


def plain(what):
    def peer(server, seconds):
        command = [program("plain"), what, server.port, seconds]
        ended = run(command, seconds)
        answers, sent = said(ended, r'"answers": (\d+)'), said(ended, r'"sent": (\d+)')
        # What was under way at the end is not lost.
        lost = max(0.0, sent - answers - 256) / sent
        return Measure(ended.cpu, answers, seconds, ended.rss, lost, None, shown(command))

    return peer


def aquatic_load_test(server, seconds):
    """Its own summary comes every 5 seconds, so it runs for a multiple of that."""
    seconds = max(5, -(-seconds // 5) * 5)
    tool = program("aquatic_udp_load_test")
    config = tool.parent / "aquatic_udp_load_test.toml"
    config.write_text(f'server_address = "127.0.0.1:{server.port}"\nduration = {seconds}\nextra_statistics = false\n')
    ended = run([tool, "-c", config], seconds)
    answers = said(ended, r"Average responses per second: ([\d.]+)") * seconds
    asked = sum(float(rate) for rate in re.findall(r"Requests out: ([\d.]+)", ended.said)) * 5
    # Without the two million peers that it makes up before it begins.
    cpu = ended.cpu_of_last(seconds)
    return Measure(cpu, answers, seconds, ended.rss, 1 - answers / asked if asked else None, None, shown([tool, "-c", config.name]))


def wrk(*flags, path="/page"):
    def peer(server, seconds):
        command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *flags, f"http://127.0.0.1:{server.port}{path}"]
        ended = run(command, seconds)
        requests = said(ended, r"(\d+) requests in")
        bad = said(ended, r"Non-2xx or 3xx responses: (\d+)", 0)
        errors = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", ended.said))
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", ended.said).groups()
        p99 = float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]
        return Measure(ended.cpu, requests - bad, seconds, ended.rss, (bad + errors) / max(requests, 1), p99, shown(command))

    return peer


def oha(*flags, path="/page", scheme="http"):
    def peer(server, seconds, *more, **watching):
        url = f"{scheme}://127.0.0.1:{server.port}{path}"
        command = [program("oha"), "--no-tui", "--output-format", "json", "-z", f"{seconds}s", *flags, *more, url]
        ended = run(command, seconds, **watching)
        try:
            found = json.loads(ended.said[ended.said.index("{") :])
        except ValueError:
            raise Unmeasured(f"oha ended with {ended.code}: {ended.said.strip()[-300:]}") from None
        good = found["statusCodeDistribution"].get("200", 0)
        # What is under way when the time is over is no error.
        errors = sum(count for why, count in found["errorDistribution"].items() if "deadline" not in why)
        return Measure(
            ended.cpu, good, seconds, ended.rss, errors / max(good + errors, 1), found["latencyPercentiles"]["p99"], shown(command)
        )

    return peer


# -------------------------------------------------------------------------------------------------------------------------- Squall


def announces(source=None):
    """Each announce is of a visitor who connects first: two answers."""

    def ours(squall, name, server, rate, seconds, **more):
        target = profile(tracker=f"127.0.0.1:{server.port}", source=source)
        return squall.measure(name, "announces", target, rate, seconds, {"announce": 2}, **more)

    return ours


def lookups(squall, name, server, rate, seconds):
    nodes = [f"127.1.{number}.{number}:{server.port}" for number in (1, 90, 200)]
    return squall.measure(name, "lookups", profile(nodes=nodes), rate, seconds, {"query": 1})


def visits(http=("1.1",), tls=None, kept=False):
    """Pages alone, each on a connection of its own; or with a hundred assets on the same."""
    kinds = {"page": 1, "asset": 1} if kept else {"page": 1}

    def ours(squall, name, server, rate, seconds, **more):
        target = profile(index=f"127.0.0.1:{server.port}", http=http, tls=tls and tls())
        each = 1 + ASSETS if kept else 1
        return squall.measure(name, "kept" if kept else "visits", target, rate / each, seconds, kinds, **more)

    return ours


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
        name="udp-reflector",
        title="UDP announces, each visitor at an address of its own",
        unit="answer",
        peer_name=AQUATIC,
        server_name="reflector",
        goal="≥ 1.5× answers per CPU-second, < 0.1 % lost",
        bound=1 / 1.5,
        server=own_server("tracker"),
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
        server=own_server("tracker"),
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
        server=own_server("tracker"),
        peer=plain("tracker"),
        squall=announces(),
        first=20_000,
        remark="What two system calls an answer cost by themselves.",
    ),
    Pair(
        name="dht-reflector",
        title="DHT queries of lookups to many nodes",
        unit="query",
        peer_name="plain C loop",
        server_name="reflector of 65,536 nodes",
        goal="≥ its rate per CPU-second; ≥ 250k/s recorded",
        bound=1.0,
        server=own_server("nodes"),
        peer=plain("dht"),
        squall=lookups,
        first=500,
        remark="The loop sends the same query with another hash to random nodes; Squall's visitors look up, and announce to the 8 nearest.",
    ),
    Pair(
        name="http1-keepalive-wrk",
        title="HTTP/1.1, connections that are kept",
        unit="request",
        peer_name="wrk",
        server_name="reflector, 2 KB",
        goal="≤ 1.15× CPU a request",
        bound=1.15,
        server=own_server("http"),
        peer=wrk(),
        squall=visits(kept=True),
        first=20_000,
        remark=KEPT,
    ),
    Pair(
        name="http1-keepalive-oha",
        title="HTTP/1.1, connections that are kept",
        unit="request",
        peer_name="oha",
        server_name="reflector, 2 KB",
        goal="≤ 0.9× CPU a request",
        bound=0.9,
        server=own_server("http"),
        peer=oha("-c", str(CONNECTIONS)),
        squall=visits(kept=True),
        first=20_000,
        remark=KEPT,
    ),
    Pair(
        name="http1-new-connection-wrk",
        title="HTTP/1.1, a connection for each visitor",
        unit="request",
        peer_name="wrk",
        server_name="reflector, 2 KB",
        goal="≥ wrk",
        bound=1.0,
        server=own_server("http"),
        peer=wrk("-H", "Connection: close"),
        squall=visits(),
        first=4_000,
        remark=NEW,
    ),
    Pair(
        name="http1-new-connection-oha",
        title="HTTP/1.1, a connection for each visitor",
        unit="request",
        peer_name="oha",
        server_name="reflector, 2 KB",
        goal="≥ oha",
        bound=1.0,
        server=own_server("http"),
        peer=oha("-c", str(CONNECTIONS), "--disable-keepalive"),
        squall=visits(),
        first=4_000,
        remark=NEW,
    ),
]

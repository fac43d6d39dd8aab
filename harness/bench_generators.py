"""What loads a server: the peers, and Squall with the scenario of a row. Each gives a Measure."""

import hashlib
import json
import re
import shlex
import sys

from bench_measure import Measure, Unmeasured, run
from bench_peers import HERE, program
from bench_squall import profile

CONNECTIONS = 64
ASSETS = 100
# Of the item that is downloaded, as bench_swarm.py cuts it.
PIECES = 1024


def said(ended, pattern, default=None):
    found = re.search(pattern, ended.said)
    if not found and default is None:
        raise Unmeasured(f"the peer ended with {ended.code}: {ended.said.strip()[-300:]}")
    return float(found.group(1)) if found else default


def shown(command):
    """A command as a reader would type it."""
    program_, *rest = map(str, command)
    return shlex.join([program_.rsplit("/", 1)[-1], *rest])


# --------------------------------------------------------------------------------------------------------------------------- peers


def plain(what):
    def peer(server, seconds, rate):
        command = [program("plain"), what, server.port, seconds]
        ended = run(command, seconds)
        answers, sent = said(ended, r'"answers": (\d+)'), said(ended, r'"sent": (\d+)')
        # What was under way at the end is not lost.
        lost = max(0.0, sent - answers - 256) / sent
        return Measure(ended.cpu, answers, seconds, ended.rss, lost, None, shown(command))

    return peer


def aquatic_load_test(server, seconds, rate):
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
    def peer(server, seconds, rate):
        command = [program("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", *flags, f"http://127.0.0.1:{server.port}{path}"]
        ended = run(command, seconds)
        requests = said(ended, r"(\d+) requests in")
        bad = said(ended, r"Non-2xx or 3xx responses: (\d+)", 0)
        errors = sum(int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", ended.said))
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", ended.said).groups()
        p99 = float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit]
        return Measure(ended.cpu, requests - bad, seconds, ended.rss, (bad + errors) / max(requests, 1), p99, shown(command))

    return peer


def oha(*flags, path="/page", scheme="http", open_loop=False):
    """`open_loop`: at the rate that Squall has, with latencies from when a request was due."""

    def peer(server, seconds, rate):
        url = f"{scheme}://127.0.0.1:{server.port}{path}"
        paced = ["-q", str(round(rate)), "--latency-correction"] if open_loop else []
        command = [program("oha"), "--no-tui", "--output-format", "json", "-z", f"{seconds}s", *flags, *paced, url]
        ended = run(command, seconds)
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


def leecher(server, seconds, rate):
    """libtorrent that fetches the item; what counts is its CPU while it does."""
    command = [sys.executable, HERE / "bench_swarm.py", "leecher", server.directory, server.port, seconds]
    ended = run(command, seconds)
    took, fetched, cpu = (said(ended, rf'"{what}": ([\d.]+)') for what in ["seconds", "bytes", "cpu"])
    return Measure(cpu, fetched / 1e6, took, ended.rss, 0.0, None, shown(command[1:]))


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


def requests():
    """Pages alone, on as many connections as the peers have, open loop."""

    def ours(squall, name, server, rate, seconds, **more):
        target = profile(index=f"127.0.0.1:{server.port}")
        return squall.measure(name, "steady", target, rate, seconds, {"side": 1}, **more)

    return ours


def downloads(squall, name, server, rate, seconds):
    """Visitors who download one item each, all pieces checked; `rate` and what is good are in MB."""
    item = (server.directory / "item").stat().st_size / 1e6
    return squall.measure(name, "pieces", swarm_profile(server), rate / item, seconds, {"piece": item / PIECES})


def swarm_profile(server):
    content = [("item", info_hash(server.directory / "item.torrent"))]
    more = f"[swarm]\nstand_in_port = {server.port}\n"
    return profile(index=f"127.0.0.1:{server.web}", tracker=f"127.0.0.1:{server.tracker}", content=content, more=more)


def info_hash(torrent):
    """SHA-1 of the info dictionary: the value of the last key but what follows it in a torrent of libtorrent's."""
    encoded = torrent.read_bytes()
    begin = encoded.index(b"4:info") + len(b"4:info")
    return hashlib.sha1(encoded[begin:-1]).hexdigest()

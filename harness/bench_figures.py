"""Rows that are no comparison of CPU: memory, growth, and what a stopped server shows."""

import dataclasses
import json
import statistics
import threading
import time
from collections.abc import Callable

import bench_blind
from bench_generators import ASSETS, CONNECTIONS, announces, oha, requests, swarm_profile, visits
from bench_measure import Server, Unmeasured, note, run
from bench_page import digits, duration, mark, memory, share, thousands
from bench_peers import program
from bench_servers import Swarm
from bench_squall import SCENARIOS, lost_of, profile
from installed import TARGET

MIB = 1024


@dataclasses.dataclass
class Figure:
    """Something that is measured by itself."""

    name: str
    title: str
    peer_name: str
    server_name: str
    goal: str
    # Gives `value`, `verdict`, `table` and `commands`, and `peer_value` where there is a peer.
    of: Callable
    remark: str = ""
    named_only: bool = False

    def measure(self, squall, pairs, seconds):
        return self.of(squall, seconds)


# ------------------------------------------------------------------------------------------------------------------ a stopped server

STOPPED_FOR = 1.0
STEADY = 20_000
# With a second of ten, one in ten waits, evenly up to a second: the 99th percentile is 0.9 s.
STOPPED_RUN = 10


def stopped(squall, seconds):
    seconds = seconds or STOPPED_RUN
    true = STOPPED_FOR - 0.01 * seconds
    rows, commands, found, lost = [], [], {}, []

    def stop_halfway(server):
        def meanwhile(_):
            time.sleep(seconds / 2)
            server.stop_for(STOPPED_FOR)

        return meanwhile

    def add(name, measure):
        found[name] = measure.p99
        lost.append(measure.lost)
        rows.append([name, thousands(measure.rate), duration(measure.p99), share(measure.lost)])
        commands.append(measure.command)

    with Server([program("tracker")]) as server:
        # Each has two answers: half as many are as many requests.
        one_address = announces("127.16.0.1/32")
        measure = one_address(squall, "stopped", server, STEADY / 2, seconds, meanwhile=stop_halfway(server))
        add("Squall, UDP announces, a connect before each", measure)
    with Server([program("http")]) as server:
        measure = requests()(squall, "stopped", server, STEADY, seconds, meanwhile=stop_halfway(server))
        add("Squall, requests", measure)
    for how in [["--latency-correction"], []]:
        with Server([program("http")]) as server:
            add(" ".join(["oha -q", *how]), oha_at(server, seconds, how, stop_halfway(server)))
    ours = list(found.values())[:2]
    theirs = found["oha -q --latency-correction"]
    true_to_it = all(p99 is not None and abs(p99 - true) <= 0.05 * true for p99 in ours)
    return {
        "value": f"p99 {duration(ours[1])}; announces {duration(ours[0])}",
        "peer_value": f"p99 {duration(theirs)}",
        "verdict": mark(true_to_it and all(part <= 0.001 for part in lost[:2])),
        "table": [["generator", "good a second", f"p99 (true: {duration(true)})", "lost"], rows],
        "commands": commands,
    }


def oha_at(server, seconds, flags, meanwhile):
    beside = threading.Thread(target=meanwhile, args=[0])
    beside.start()
    measure = oha("-c", str(CONNECTIONS), "-q", str(STEADY), *flags)(server, seconds, STEADY)
    beside.join()
    return measure


# ---------------------------------------------------------------------------------------------------------------------------- memory

CONNECTED, FEW = 10_000, 100
# Seconds over which they come, and seconds that the server keeps them waiting: longer, so that all are there at the end of the first.
COMING, HELD = 10, 14


def connected(squall, seconds):
    """Resident memory with many visitors connected beyond that with few."""
    rows, commands = [], []

    def squall_with(visitors):
        with Server([program("http"), HELD]) as server:
            target = profile(index=f"127.0.0.1:{server.port}", asset="/hold")
            ended, summary, command = squall.summary("connected", "held", target, visitors / COMING, COMING)
        whole = [resident for at, _, resident in ended.glances if at - ended.began <= COMING + 1]
        commands.append(command)
        return max(whole), summary["kinds"][0]["flow"]["counts"]["ok"]

    def wrk_with(visitors):
        with Server([program("http"), HELD]) as server:
            command = [program("wrk"), "-t1", f"-c{visitors}", f"-d{COMING}s", "--timeout", "30s", f"http://127.0.0.1:{server.port}/hold"]
            ended = run(command, COMING)
        commands.append(" ".join(map(str, ["wrk", *command[1:]])))
        if not ended.glances:
            raise Unmeasured("wrk ended at once")
        return max(resident for _, _, resident in ended.glances), visitors

    each = {}
    for name, of in [("Squall", squall_with), ("wrk", wrk_with)]:
        (little, few), (much, many) = of(FEW), of(CONNECTED)
        each[name] = (much - little) / (many - few)
        rows.append([name, thousands(many), memory(little), memory(much), f"{digits(each[name])} KiB"])
        note(f"  {name}: {each[name]:.2f} KiB for each of {many}")
    return {
        "value": f"{digits(each['Squall'])} KiB",
        "peer_value": f"{digits(each['wrk'])} KiB",
        "verdict": mark(each["Squall"] <= 8),
        "table": [["", "connected", f"memory with {FEW}", "memory with all", "each"], rows],
        "commands": commands,
    }


# Visitors a second who begin a download over a slow line, few and many, and for how long.
BEGINNING, FETCHING = (5, 50), 8


def peers_connected(squall, seconds):
    """Resident memory of connections to peers, each with what is asked for and has come on it so far."""
    seen = []
    for rate in BEGINNING:
        with Swarm() as server:
            ended, summary, command = squall.summary("downloading", "downloading", swarm_profile(server), rate, FETCHING)
        whole = max(resident for at, _, resident in ended.glances if at - ended.began <= FETCHING)
        seen.append((summary["resources"][0]["peak_descriptors"], whole, summary["in_progress"]["peak"]))
    (few, little, _), (many, much, _) = seen
    if many <= few:
        raise Unmeasured("no more connections with more visitors")
    each = (much - little) / (many - few)
    rows = [[thousands(at_a_time), thousands(open_), memory(kib)] for open_, kib, at_a_time in seen]
    return {
        "value": f"{digits(each)} KiB",
        "verdict": "",
        "table": [["visitors who download", "descriptors", "memory"], rows],
        "commands": [command],
    }


ALIVE = [10_000, 100_000, 1_000_000]
# Run seconds in which the visitors of benches/scenarios/alive.toml come that are alive at a time, and its length in scenario seconds.
READING, WHOLE = 40, 3 * 3600


def alive(squall, seconds):
    """Journeys alive at a time, in `simulate`: plan, journeys, worker and recorder are those of a run, and nothing else is."""
    rows, least = [], None
    flags = ["--model", SCENARIOS / "endless.model.toml"]
    for visitors in [100, *ALIVE]:
        ended, summary, command = squall.summary("alive", "alive", None, visitors / READING, WHOLE, verb="simulate", flags=flags)
        least = least or ended.rss
        operations = sum(kind["flow"]["counts"]["ok"] for kind in summary["kinds"])
        each = max(0, ended.rss - least) * 1024 / visitors
        figures = [
            memory(ended.rss),
            f"{each:.0f} B",
            f"{ended.cpu:.2f} s",
            thousands(operations),
            f"{digits(1e9 * ended.cpu / operations)} ns",
        ]
        rows.append([thousands(visitors), *figures])
        note(f"  {visitors} alive: {ended.rss / MIB:.1f} MiB, {ended.cpu:.2f} s")
    return {
        "value": memory(ended.rss),
        "verdict": mark(ended.rss <= 1024 * MIB),
        "table": [["alive at a time", "memory at most", "each", "CPU", "operations", "CPU an operation"], rows],
        "commands": [command],
    }


def ten_minutes(squall, seconds):
    """Resident memory over a run at half the rate that fits."""
    seconds = seconds or 600

    def once(rate, length):
        with Server([program("http")]) as server:
            return visits(kept=True)(squall, "ten-minutes", server, rate, length)

    rate = squall.fitting_rate("http1-keepalive", once, 20_000) / 2
    with Server([program("http")]) as server:
        target = profile(index=f"127.0.0.1:{server.port}")
        ended, summary, command = squall.summary("ten-minutes", "kept", target, rate / (1 + ASSETS), seconds, every=1.0)
    # What is flat is so once the first tenth is over, and before it is judged.
    settled = [(at - ended.began, kib) for at, _, kib in ended.glances if 0.1 * seconds < at - ended.began < seconds]
    if not settled:
        raise Unmeasured("too short to look at")
    sizes = [kib for _, kib in settled]
    swing = (max(sizes) - min(sizes)) / 2 / statistics.mean(sizes)
    step = max(1, len(settled) // 10)
    rows = [[f"{at:.0f} s", memory(kib)] for at, kib in settled[::step]]
    lost = lost_of(summary)
    return {
        "value": f"±{100 * swing:.2f} % about {memory(statistics.mean(sizes))}, {share(lost)} lost",
        "verdict": mark(swing <= 0.02 and lost <= 0.001),
        "table": [["after", "memory"], [*rows, ["at most, judging included", memory(ended.rss)]]],
        "commands": [command],
    }


# ---------------------------------------------------------------------------------------------------------------------------- growth


def growth(squall, seconds):
    """What an operation costs as the rate grows, to the one that fits."""
    seconds = seconds or 8
    rows, commands, costs = [], [], {}
    kinds = [("announces", "udp-reflector", "tracker", announces()), ("kept HTTP/1.1", "http1-keepalive", "http", visits(kept=True))]
    with Server([program("tracker")]) as server:
        idle = announces()(squall, "growth", server, 1, seconds)
    rows.append(["nothing to do", "×0", "1", f"{idle.cpu:.2f} s in all", memory(idle.rss), "–", "–", share(idle.lost)])
    for name, like, server_name, generator in kinds:

        def once(rate, length):
            with Server([program(server_name)]) as server:
                return generator(squall, "growth", server, rate, length)

        whole = squall.fitting_rate(like, once, 20_000)
        costs[name] = []
        for times in [1, 2, 4, 8]:
            it = once(whole * times / 8, seconds)
            costs[name].append(it.cost)
            figures = [f"{digits(1e6 * it.cost)} µs", memory(it.rss), duration(it.more["lag_p99"]), duration(it.p99), share(it.lost)]
            rows.append([name, f"×{times}", thousands(it.rate), *figures])
            note(f"  {name} ×{times}: {it.cost * 1e6:.2f} µs, {it.rss / MIB:.1f} MiB")
        commands.append(it.command)
    worst = max(one[-1] / one[0] for one in costs.values())
    return {
        "value": f"{digits(worst)}× the CPU an answer at ×8",
        "verdict": "",
        "table": [["", "rate", "answers/s", "CPU each", "memory", "send lag p99", "p99", "lost"], rows],
        "commands": commands,
    }


# ------------------------------------------------------------------------------------------------------------------------- hot paths

# Each as often as takes some tenths of a second; what three times as many take longer is theirs alone.
REPEATS = 7


def hot_path(path, operations, within, most):
    """A figure of a path of `benches/paths`, in ns for each of the `within` things that one operation of it is."""

    def of(squall, seconds):
        program = TARGET / "instructions" / "squall-instructions"
        if not program.exists():
            raise Unmeasured("`harness/instructions` has not been run here, which builds it")
        took = lambda number: run([program, path, str(number)], 60).cpu
        once = lambda: (took(3 * operations) - took(operations)) / (2 * operations) / within * 1e9
        values = sorted(once() for _ in range(REPEATS))
        value = statistics.median(values)
        return {
            "value": f"{digits(value)} ns",
            "verdict": mark(values[-1] <= most),
            "table": [["median", f"range of {REPEATS}"], [[f"{digits(value)} ns", f"{digits(values[0])} to {digits(values[-1])} ns"]]],
            "commands": [f"{program.name} {path} {operations}", f"{program.name} {path} {3 * operations}"],
        }

    return of


FIGURES = [
    Figure(
        name="blind-virtual",
        title="Which layer is limited, and to what: 60 cases in virtual time",
        peer_name="the truth",
        server_name="`simulate`",
        goal="≥ 95 % named, ≥ 95 % within 5 %, nobody blamed without reason",
        of=bench_blind.virtual,
        remark="Random limits that the analysis is not told: rate, parallelism, connections, bandwidth, loss, none, or the generator's own.",
        named_only=True,
    ),
    Figure(
        name="blind-live",
        title="Which layer is limited, and to what: 12 cases on sockets",
        peer_name="the truth",
        server_name="embedded testbed",
        goal="≥ 11 of 12 named, each within 10 %, nobody blamed without reason",
        of=bench_blind.live,
        remark="Limits by the relays before the testbed's layers, all along, while interest rises evenly to ten times as much. Two shared "
        "cores carry generator, relays and layers.",
        named_only=True,
    ),
    Figure(
        name="stopped-server",
        title=f"A server that is stopped for {STOPPED_FOR:.0f} s",
        peer_name="oha -q --latency-correction",
        server_name="reflectors",
        goal=f"{STEADY:,}/s; p99 is the true one, ± 5 %",
        of=stopped,
        remark=f"SIGSTOP halfway. Requests are on {CONNECTIONS} connections that are kept. No more than 0.1 % may be lost.",
    ),
    Figure(
        name="memory-connected",
        title="Memory of a connected visitor",
        peer_name="wrk",
        server_name="reflector that holds its answer",
        goal="≤ 8 KiB",
        of=connected,
        remark=f"Resident memory with {CONNECTED:,} visitors that wait for an answer beyond that with {FEW}; the kernel's is not in it.",
    ),
    Figure(
        name="memory-peer-connection",
        title="Memory of a connection to a peer",
        peer_name="–",
        server_name="libtorrent seeder",
        goal="stated",
        of=peers_connected,
        remark="Visitors on lines of 2 Mbit/s with eight connections each: resident memory by descriptors, pieces that are on their way "
        "included.",
    ),
    Figure(
        name="journeys-alive",
        title="Journeys alive at a time",
        peer_name="–",
        server_name="`simulate`",
        goal="10^6 in ≤ 1 GiB",
        of=alive,
        remark="Visitors who read for an hour before they go on. `simulate` has the plan, journeys, worker and recorder of a run, and no "
        "sockets, as an idle visitor of a run has none.",
    ),
    Figure(
        name="growth",
        title="How cost grows with the rate",
        peer_name="–",
        server_name="reflectors",
        goal="stated",
        of=growth,
        remark="To the rate that keeps one core busy (×8). How it grows with visitors: `journeys-alive`.",
    ),
    Figure(
        name="recording",
        title="Recording an operation",
        peer_name="–",
        server_name="`benches/paths`",
        goal="≤ 100 ns",
        of=hot_path("recording", 2_000_000, 1, 100),
        remark="A settled operation is counted.",
    ),
    Figure(
        name="scheduling",
        title="Scheduling an event",
        peer_name="–",
        server_name="`benches/paths`",
        goal="≤ 300 ns",
        of=hot_path("scheduling", 300_000, 6, 300),
        remark="A visitor comes, asks for a page and its asset, and goes: six events, in a world that answers at once.",
    ),
    Figure(
        name="ten-minutes",
        title="Memory over ten minutes at half the rate",
        peer_name="–",
        server_name="reflector, 2 KB",
        goal="flat: ± 2 %",
        of=ten_minutes,
        remark="Samples each second, from the first tenth of the run on until it is judged.",
        named_only=True,
    ),
]

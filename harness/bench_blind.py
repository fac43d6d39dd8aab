"""Known truth: targets with a limit that the analysis is not told. Does it name the layer and what that carries?"""

import json
import os
import random
import re
import shutil
import subprocess

from bench_measure import GENERATOR_CORE, SERVER_CORE, Unmeasured, note, pinned
from bench_page import ROOT, mark, share
from installed import TARGET

# Seconds of a live case: interest rises evenly to ten times its normal level.
LENGTH = 50
# Seconds at its end in which it is taken what a layer is asked then: a limit is a part of that.
LAST = 5
# Who is limited, and how; nobody is in the first two, which show what is asked, coupled and isolated.
CASES = [
    (None, None),
    (None, None),
    ("index", "rate"),
    ("index", "parallelism"),
    ("metadata", "rate"),
    ("metadata", "parallelism"),
    ("tracker", "rate"),
    ("tracker", "rate"),
    ("tracker", "parallelism"),
    ("tracker", "loss"),
    ("seedbox", "bandwidth"),
    ("seedbox", "bandwidth"),
]
# Another than 0 draws cases that nobody has seen.
SEED = int(os.environ.get("SQUALL_BLIND_SEED", "0"))
# Of the layer's figure, as the issue has it.
CLOSE, NAMED = 0.10, 11


def both_cores(command, **more):
    """Runs a program that is generator and servers at once, where this one keeps to the servers' core."""
    command = [str(part) for part in command]
    cores = pinned(SERVER_CORE, GENERATOR_CORE)
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=cores, **more)


def must_be_ours(squall):
    """The cases need the testbed or the tests, and are built from what is here: a row must not say that it was another program's."""
    if squall.program != TARGET / "release" / "squall":
        raise Unmeasured("blind cases build what they measure: leave --squall out")


def peaks(out):
    """What the layers are asked at the end of a run without a limit: operations a second, and bytes of the seedbox."""
    rows = [json.loads(line) for line in (out / "timeline.jsonl").read_text().splitlines()]
    last = [row["kinds"] for row in rows if LENGTH - LAST <= row.get("second", -1) < LENGTH]

    def mean(number, *kinds):
        return sum(number(row[kind]) for row in last for kind in kinds if kind in row) / LAST

    def asked(row):
        return row["counts"]["released"]

    return {
        "index": mean(asked, "page", "asset", "side"),
        "metadata": mean(asked, "torrent"),
        "tracker": mean(asked, "announce"),
        "seedbox": mean(lambda row: row["traffic"]["bytes_in"], "piece"),
    }


def limited(layer, how, draw, peaks):
    """The lines of a fault, what it lets through, and how that is written."""
    if layer is None:
        return None, None, "–"
    wanted = peaks[layer] * draw.uniform(0.35, 0.65)
    if how == "rate":
        return f'rate = "{wanted:.1f}/s"', wanted, f"{wanted:.0f}/s"
    if how == "parallelism":
        servers = draw.randint(2, 8)
        service = round(1000 * servers / wanted)
        rate = servers / service * 1000
        return f'parallelism = {servers}\nservice = "{service}ms"', rate, f"{rate:.0f}/s"
    if how == "bandwidth":
        return f'bandwidth = "{wanted / 1e6:.3f} MB/s"', wanted, f"{wanted / 1e6:.2f} MB/s"
    lost = round(draw.uniform(0.06, 0.2), 3)
    return f'loss = "{100 * lost:.1f}%"', lost, share(lost)


def scenario(folder, layer, lines):
    """A scenario with a limit that holds all along, by the relays of the testbed."""
    fault = "" if lines is None else f'[[fault]]\nname = "limit"\nlayer = "{layer}"\nat = "0s"\nfor = "{2 * LENGTH}s"\n{lines}\n'
    # Nobody can be connected to: what visitors get is the seedbox's.
    access = f'squall = 1\nkind = "access"\n\n[[access]]\nname = "fibre"\nshare = "100%"\ndown = "200 Mbit/s"\nup = "50 Mbit/s"\nunreachable = "100%"\n'
    (folder / "access.toml").write_text(access)
    text = f"""squall = 1
kind = "scenario"
name = "blind"
title = "An even rise"
start = 2026-03-02T00:00:00Z
duration = "{LENGTH}s"
clients = "{ROOT}/profiles/clients.toml"
access = "access.toml"

[audience]
base = "10/s"
[[audience.region]]
name = "everywhere"
share = "100%"
utc_offset = "+00:00"
peak_hour = 12
night = "100%"

[[confounder]]
name = "rise"
what = "rally"
at = "0s"
duration = "{10 * LENGTH}s"
factor = "10x"

{fault}
[funnel]
assets = 2
patience = "4s"
magnet_share = "0%"
session = {{ median = "10s", p90 = "20s" }}
seeding = {{ median = "5s", p90 = "10s" }}
metadata = {{ conversion = "80%", lag = {{ median = "1s", p90 = "2s" }} }}
start = {{ conversion = "80%", lag = {{ median = "1s", p90 = "2s" }} }}

[[content]]
class = "client"
items = 10
size = "128 KiB"
"""
    file = folder / "blind.toml"
    file.write_text(text)
    return file


def found(summary, layer, how):
    """The first layer that was named, what it was said to carry, and that as a number in the limit's unit."""
    first = summary["order"][0] if summary["order"] else None
    said = next((it["finding"] for it in summary["saturation"] if it["layer"] == first), None)
    if said is None:
        return None, "–", None
    if said["is"] in ("failing", "lossy"):
        words = "fail" if said["is"] == "failing" else "are lost"
        return first, f"{share(said['share'])} {words}", said["share"] if how == "loss" else None
    if said["is"] != "saturated":
        return first, said["is"], None
    if how == "bandwidth":
        value = said["capacity_bytes_per_second"]
        return first, f"{value / 1e6:.2f} MB/s at {said['at_seconds']} s", value
    return first, f"{said['capacity_per_second']:.0f}/s at {said['at_seconds']} s", said["capacity_per_second"]


def live(squall, seconds):
    """Cases on real sockets: the embedded testbed behind its relays."""
    must_be_ours(squall)
    # The one that other rows measure has no testbed.
    built = both_cores(["cargo", "build", "--quiet"], cwd=ROOT)
    if built.returncode:
        raise Unmeasured(f"squall does not build: {built.stderr.strip()[-300:]}")
    program, folder = TARGET / "debug" / "squall", TARGET / "bench" / "blind"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows, named, close, sized, blamed = [], 0, 0, 0, 0
    asked = {}
    for number, (layer, how) in enumerate(CASES):
        lines, truth, written = limited(layer, how, random.Random(1000 * SEED + number), asked.get(number % 2))
        file, out = scenario(folder, layer, lines), folder / f"case-{number}"
        command = [program, "run", file, "--quiet", "--out", out, "--seed", str(1000 * SEED + number + 1)]
        if number % 2:
            command.append("--isolated")
        try:
            said = both_cores(command, timeout=10 * LENGTH)
        except subprocess.TimeoutExpired:
            raise Unmeasured(f"case {number} does not end") from None
        if not (out / "summary.json").exists():
            raise Unmeasured(f"case {number}: {said.stderr.strip()[-300:]}")
        summary = json.loads((out / "summary.json").read_text())
        if layer is None:
            asked[number % 2] = peaks(out)
        first, words, value = found(summary, layer, how)
        right = first == layer
        named += right
        off = None if value is None or not right else value / truth - 1
        if layer is None:
            blamed += first is not None
        else:
            sized += 1
            close += off is not None and abs(off) <= CLOSE
        mode = "isolated" if number % 2 else "coupled"
        faults = ", ".join(fault["is"] for fault in summary["generator"]["faults"]) or "none"
        distance = "–" if off is None else f"{100 * off:+.1f} %"
        rows.append([str(number), mode, layer or "nobody", how or "–", written, first or "nobody", words, distance, faults])
        note(f"  {' | '.join(rows[-1])}")
    return {
        "value": f"{named} of {len(CASES)} named, {close} of {sized} within {100 * CLOSE:.0f} %",
        "verdict": mark(named >= NAMED and close == sized and not blamed),
        "table": [["case", "mode", "limited", "by", "truth", "named first", "found", "off", "generator's faults"], rows],
        "commands": [f"squall run target/bench/blind/blind.toml --quiet --out target/bench/blind/case-N --seed {1000 * SEED}+N+1"],
    }


def virtual(squall, seconds):
    """Cases in virtual time: the test's own table."""
    must_be_ours(squall)
    command = ["cargo", "test", "--test", "blind", "--", "--nocapture"]
    said = both_cores(command, cwd=ROOT)
    lines = [line.strip("| ").split(" | ") for line in said.stdout.splitlines() if line.startswith("| ")]
    counted = re.search(r"(\d+ of \d+ named), (\d+ of \d+ within 5 %)", said.stdout)
    if not counted or not lines:
        raise Unmeasured(f"the test said nothing: {said.stderr.strip()[-300:]}")
    return {
        "value": ", ".join(counted.groups()),
        "verdict": mark(said.returncode == 0),
        "table": [lines[0], lines[1:]],
        "commands": [" ".join(command)],
    }

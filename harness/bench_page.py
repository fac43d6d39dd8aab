"""benches/RESULTS.md: what the measurements under target/bench/results say."""

import math
import os
import pathlib
import platform
import re
import statistics

from bench_found import FOUND
from bench_peers import ROOT
from bench_squall import LOSS

PAGE = ROOT / "benches" / "RESULTS.md"
HEAD = """# What Squall costs

Written by `harness/bench`; the raw measurements are in `target/bench/results`. A row that is measured anew replaces itself, the others
stay as they were.

Server pinned to one core, generator to another, one generator process. CPU is user and system time of the generator's process by `wait4`,
of Squall the whole of it: reading the plan, recording every operation, judging and writing the report. `squall doctor` has looked at the
machine once before where the row's command names `--doctor`; elsewhere the run looked for half a second itself, which counts (0.36 s of
CPU, of a run of 3 s some tenth). `ratio` is Squall's figure by the peer's, less is better: the median over pairs that ran one after the
other in alternating order (A B, B A, ...), and in brackets the interval of order statistics that holds the true median, from 6 pairs on
with at least 95 % (distribution-free, as in the sign test). ✓: all of the interval is within the goal; ✗: none of it, or something else
that the goal says is not reached; ?: the noise does not let one say.
A rate is loaded only as far as Squall loses less than 0.1 % of what it asks in a trial; where it lost more in the run, the row says so.

"""
TABLE = "| row | against | server | Squall | peer | ratio | goal | |\n|---|---|---|---|---|---|---|---|\n"


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def interval(values):
    """The order statistics between which the median lies with at least 95 %, or the extremes where there are too few for that; and with
    what probability it does."""
    ordered, count = sorted(values), len(values)

    def outside(below):
        return 2 * sum(math.comb(count, k) for k in range(below + 1)) / 2**count

    below = max((k for k in range(count // 2) if outside(k) <= 0.05), default=0)
    return ordered[below], ordered[count - 1 - below], 1 - outside(below)


def cost(side):
    return side["cpu"] / side["good"] if side["good"] else math.inf


def ratios(raw):
    return [cost(pair["squall"]) / cost(pair["peer"]) for pair in raw["pairs"] if pair["peer"]["good"]]


def middle(raw, side, of):
    values = [value for pair in raw["pairs"] if (value := of(pair[side])) is not None]
    return statistics.median(values) if values else None


def verdict(record):
    """Whether the goal is reached. An answer that is lost costs nothing, so that who loses many has not reached it."""
    if not record["bound"]:
        return ""
    lost, rate, lag = (middle(record, "squall", of) for of in [lambda it: it["lost"], rate_of, lambda it: it["more"]["lag_p99"]])
    unmet = [f"{share(lost)} lost"] if (lost or 0) > LOSS else []
    unmet += [f"{thousands(rate)}/s"] if rate < record["least_rate"] else []
    unmet += [f"send lag {duration(lag)}"] if record["most_lag"] and (lag or 0) > record["most_lag"] else []
    low, high, _ = interval(ratios(record))
    mark = "✓" if high <= record["bound"] else "✗" if low > record["bound"] else "?"
    return f"✗: {', '.join(unmet)}" if unmet else mark


def rate_of(side):
    return side["good"] / side["seconds"]


# --------------------------------------------------------------------------------------------------------------------------- words


def digits(value, count=3):
    """So many significant digits, without an exponent."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = max(0, count - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def a(unit):
    return f"an {unit}" if unit[0] in "aeiou" else f"a {unit}"


def duration(seconds):
    if seconds is None:
        return "–"
    for unit, size in [("s", 1), ("ms", 1e-3), ("µs", 1e-6)]:
        if seconds >= size:
            return f"{digits(seconds / size)} {unit}"
    return "0"


def thousands(value):
    return "–" if value is None else f"{value:,.0f}"


def mark(reached):
    return "✓" if reached else "✗"


def share(value):
    return "–" if value is None else f"{100 * value:.3g} %"


def memory(kib):
    return "–" if kib is None else f"{digits(kib / 1024)} MiB"


# ---------------------------------------------------------------------------------------------------------------------------- page


def summary_line(record):
    """The row in the table at the top."""
    start = f"| `{record['name']}` | {record['peer_name']} | {record['server_name']} |"
    if reason := record.get("unmeasured"):
        return f"{start} – | – | – | {record['goal']} | not measured: {reason} |"
    if record["kind"] == "figure":
        return f"{start} {record['value']} | {record.get('peer_value', '–')} | – | {record['goal']} | {record['verdict']} |"
    unit = record["unit"]
    ours, theirs = (digits(1e6 * middle(record, side, cost)) for side in ["squall", "peer"])
    found = ratios(record)
    low, high, _ = interval(found)
    ratio = f"{digits(statistics.median(found))} [{digits(low)}, {digits(high)}]"
    return f"{start} {ours} µs {a(unit)} | {theirs} µs | {ratio} | {record['goal']} | {verdict(record)} |"


def section(record):
    """All that is known about a row."""
    lines = [f"### `{record['name']}`: {record['title']}", ""]
    if record["remark"]:
        lines += [record["remark"], ""]
    if found := FOUND.get(record["name"]):
        lines += [f"Profiled: {found}", ""]
    if reason := record.get("unmeasured"):
        lines += [f"Not measured: {reason}.", ""]
    elif record["kind"] == "figure":
        lines += table(*record["table"]) + [f"    {command}" for command in record["commands"]] + [""]
    else:
        lines += pair_table(record)
    machine_ = record["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(taking_part(record)))
    lines.append(
        f"{record['date']}, {machine_['cpu']}, {machine_['cores']} cores, Linux {machine_['kernel']}, load {machine_['load']:.1f} before; "
        f"squall {record['squall']}{'; ' * bool(versions)}{versions}."
    )
    return "\n".join(lines)


def taking_part(record):
    """The versions of the programs in a row."""
    names = f"{record['peer_name']} {record['server_name']}"
    for name, version in record["versions"].items():
        word = name.removeprefix("python3-").removesuffix("-light")
        if word in re.split(r"[ ,]", names) or (name == "gcc" and ("reflector" in names or "C loop" in names)):
            yield name, version


def table(head, rows):
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(row)} |" for row in rows), ""]


def pair_table(record):
    unit = record["unit"]
    several = {"query": "queries", "MB": "MB"}.get(unit, f"{unit}s")
    head = ["", f"{several}/s", f"µs CPU {a(unit)}", f"{several} a CPU-second", "lost", "p99", "memory"]
    rows = []
    for side, name in [("squall", "Squall"), ("peer", record["peer_name"])]:
        one = middle(record, side, cost)
        rows.append(
            [
                name,
                thousands(middle(record, side, rate_of)),
                digits(1e6 * one),
                thousands(1 / one if one else None),
                share(middle(record, side, lambda it: it["lost"])),
                duration(middle(record, side, lambda it: it["p99"])),
                memory(middle(record, side, lambda it: it["rss"])),
            ]
        )
    last = record["pairs"][-1]
    more = last["squall"]["more"]
    lines = table(head, rows)
    found = ratios(record)
    low, high, sure = interval(found)
    held = f"the median is between {digits(low)} and {digits(high)} with {100 * sure:.1f} %"
    lines.append(f"{len(found)} pairs of {record['seconds']} s, ratios {', '.join(digits(ratio) for ratio in found)}: {held}.")
    lag = duration(middle(record, "squall", lambda it: it["more"]["lag_p99"]))
    odd = ", ".join(f"{name} {times}" for name, times in more["oddities"].items()) or "none"
    lines.append(f"Squall: send lag p99 {lag}; oddities of answers: {odd}; faults of the generator: {', '.join(more['faults']) or 'none'}.")
    if counted := more.get("server"):
        lines.append(
            "The server counted, in the last run of each: Squall "
            + counts(counted)
            + "; "
            + record["peer_name"]
            + " "
            + counts(last["peer"]["more"].get("server", {}))
            + "."
        )
    return [*lines, "", f"    {last['squall']['command']}", f"    {last['peer']['command']}", ""]


def counts(counted):
    return ", ".join(f"{thousands(number)} {what.replace('_', ' ')}" for what, number in counted.items() if number)


def render(records, rows):
    """Writes the page: what `records` have, by name; rows that are not among them stay as the page has them, or are said to be missing."""
    old = PAGE.read_text() if PAGE.exists() else ""
    lines, sections = [], []
    for row in rows:
        name = row.name
        if name in records:
            lines.append(summary_line(records[name]))
            sections.append(f"<!-- {name} -->\n{section(records[name])}\n<!-- end of {name} -->\n")
            continue
        line = re.search(rf"^\| `{re.escape(name)}` \|.*$", old, re.M)
        kept = re.search(rf"<!-- {re.escape(name)} -->\n.*?<!-- end of {re.escape(name)} -->\n", old, re.S)
        lines.append(line.group() if line else summary_line({**vars(row), "unmeasured": f"say `harness/bench {name}`"}))
        sections += [kept.group()] if kept else []
    page = HEAD + TABLE + "\n".join(lines) + "\n\n## Each row\n\n" + "\n".join(sections)
    # Where the project lies on this machine is nobody's business.
    PAGE.write_text(page.replace(f"{ROOT}/", ""))

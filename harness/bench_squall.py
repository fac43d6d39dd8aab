"""Squall's side of a row: `squall run SCENARIO --target PROFILE --workers 1`, recording on, and what its summary says."""

import hashlib
import json
import shlex
import shutil
import subprocess

from bench_measure import Measure, Unmeasured, note, run
from bench_peers import ROOT
from installed import TARGET

WORK = TARGET / "bench"
SCENARIOS = ROOT / "benches" / "scenarios"
# Operations a second that the scenarios state: `--scale` does the rest.
STATED = 1000
# Where nobody listens: layers that a row does not load.
NOBODY = "127.0.0.1:9"
ITEMS = 64
# Of what was planned, what may be lost at a rate that fits, and the send lag that it may have at the 99th percentile.
LOSS, LATE = 0.001, 0.1
# Seconds that a rate is tried for, and that a process may take longer to begin, to end what is under way, and to judge.
TRIED, SPARE = 3, 1.2


def profile(index=NOBODY, http=("1.1",), tls=None, tracker=NOBODY, nodes=(NOBODY,), asset="/asset", source=None, content=None, more=""):
    """A target profile of what a row loads."""
    versions = ", ".join(f'"{version}"' for version in http)
    secure = f'host = "localhost"\ntls = {{ ca = "{tls}" }}\n' if tls else ""
    lines = [
        '# Written by `harness/bench`.\nsquall = 1\nkind = "target"\nname = "bench"\n',
        f'[index]\naddress = "{index}"\n{secure}http = [{versions}]\npage = "/page"\nassets = ["{asset}"]\n',
        f'[metadata]\naddress = "{index}"\n',
        f'[[tracker]]\naddress = "{tracker}"\n',
        "[dht]\nbootstrap = [" + ", ".join(f'"{node}"' for node in nodes) + "]\nk = 8\n",
        f'[visitors]\naddresses = ["{source}"]\n' if source else "",
        more,
    ]
    names = [f"item-{number}" for number in range(ITEMS)]
    for name, info_hash in content or [(name, hashlib.sha1(name.encode()).hexdigest()) for name in names]:
        lines.append(f'[[content]]\nname = "{name}"\ninfo_hash = "{info_hash}"\ntorrent = "/{name}.torrent"\n')
    return "\n".join(lines)


def of_the_plan(summary):
    """The kinds of operations of the plan, not the exchanges inside them."""
    return [kind["flow"] for kind in summary["kinds"] if kind["flow"]["counts"]["planned"]]


def lost_of(summary):
    """Of the operations of the plan, the share that did not end well; None where it has none."""
    asked, ok = (sum(flow["counts"][of] for flow in of_the_plan(summary)) for of in ["planned", "ok"])
    return 1 - ok / asked if asked else None


class Squall:
    """The program that is measured."""

    def __init__(self, program):
        self.program = program.resolve()
        self.rates_file = WORK / "rates.json"
        self.rates = {}
        self.checkup = None

    def doctor(self):
        """What `squall doctor` finds, asked once as users do: a run that knows nothing of the machine looks at it for half a second first,
        which is no part of what its operations cost."""
        if self.checkup is None:
            found = WORK / "doctor.json"
            found.parent.mkdir(parents=True, exist_ok=True)
            asked = subprocess.run([self.program, "doctor", "--save", found], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # 5: a ceiling is low, which the runs will say.
            if asked.returncode not in (0, 5):
                raise Unmeasured(f"squall doctor: {asked.stderr.decode().strip()[-300:]}")
            self.checkup = found
        return self.checkup

    def summary(self, name, scenario, target, rate, seconds, verb="run", flags=(), **watching):
        """Runs a scenario; how the process ended, its summary, and the command."""
        out = WORK / "runs" / name
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        where = []
        if target is not None:
            path = WORK / "targets" / f"{name}.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(target)
            where = ["--target", path, "--doctor", self.doctor(), "--workers", "1"]
        command = [self.program, verb, SCENARIOS / f"{scenario}.toml", *where, "--window", f"0s..{seconds}s"]
        command += ["--scale", f"{rate / STATED:.6g}", *flags, "--quiet", "--out", out]
        ended = run(command, seconds, **watching)
        file = out / "summary.json"
        if not file.exists():
            why = "did not end" if ended.code < 0 else f"ended with {ended.code}: {ended.said.strip()[-300:]}"
            raise Unmeasured(f"squall {why}")
        shown = shlex.join(["squall", *(str(part).replace(f"{ROOT}/", "") for part in command[1:-2])])
        return ended, json.loads(file.read_text()), shown

    def measure(self, name, scenario, target, rate, seconds, kinds, **rest):
        """Runs a scenario at a rate of operations; `kinds` says how many answers one good operation of a kind is."""
        ended, summary, command = self.summary(name, scenario, target, rate, seconds, **rest)
        flows = {kind["kind"]: kind["flow"] for kind in summary["kinds"]}
        good = sum(answers * flows[kind]["counts"]["ok"] for kind, answers in kinds.items() if kind in flows)
        planned = of_the_plan(summary)
        asked, shed = (sum(flow["counts"][of] for flow in planned) for of in ["planned", "shed"])
        failed = sum(sum(flow["counts"]["failed"].values()) for flow in planned)
        due, service = (planned[0][of] if planned else {} for of in ["due", "service"])
        web = summary["web"]
        more = {
            "planned": asked,
            "shed": shed,
            "failed": failed,
            "lag_p99": summary["generator"]["lag_p99_seconds"],
            "service_p99": service.get("p99_seconds"),
            "oddities": summary["oddities"],
            "http": [web["http1"], web["http2"], web["http3"]],
            "wall": ended.ended - ended.began,
            "faults": [fault["is"] for fault in summary["generator"]["faults"]],
        }
        # What was under way at the end of the plan still ends, for a moment where the server keeps up.
        took = summary["recorded_seconds"]
        took = took if took > seconds + 1 else seconds
        return Measure(ended.cpu, good, took, ended.rss, lost_of(summary), due.get("p99_seconds"), command, more)

    def fitting_rate(self, name, once, first):
        """The highest rate of operations at which Squall keeps up and loses nothing, within a sixth; `once(rate, seconds)` measures. Not the
        first at which its core is busy: who has more to do at each waking needs fewer of them, so that the CPU time of an operation falls
        with the rate to the end. Found once in a bench; what the last one found is where it begins."""
        if name in self.rates:
            return self.rates[name]
        known = json.loads(self.rates_file.read_text()) if self.rates_file.exists() else {}
        rate, best, too_much = known.get(name, first), 0.0, float("inf")
        for _ in range(12):
            measure = once(rate, TRIED)
            busy, lag = measure.cpu / TRIED, measure.more["lag_p99"] or 0.0
            note(f"  {name}: {rate:.0f}/s uses {busy:.2f} of a core, {measure.lost or 0:.2%} lost, send lag {lag:.4f} s")
            if measure.more["wall"] < TRIED + SPARE and lag < LATE and (measure.lost or 0) <= LOSS:
                best = max(best, rate)
            else:
                too_much = min(too_much, rate)
            if too_much < 1.2 * best:
                break
            rate = (best + too_much) / 2 if too_much < float("inf") else best * (3 if busy < 0.4 else 1.4)
        self.rates[name] = best or too_much / 2
        self.rates_file.write_text(json.dumps(known | self.rates, indent=1))
        return self.rates[name]

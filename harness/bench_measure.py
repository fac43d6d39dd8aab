"""What a process costs: started on a core of its own, watched while it runs, and counted when it has ended."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading
import time

# The server has the first core, and so have this program and what it starts without saying otherwise; the generator the second.
SERVER_CORE, GENERATOR_CORE = 0, 1
# Seconds between two looks at a process.
GLANCE = 0.02
# As many seconds as a server may take to be ready, and as a generator may take longer than it was told.
PATIENCE = 60
TICK = os.sysconf("SC_CLK_TCK")


class Unmeasured(Exception):
    """A row that cannot be had here; the message says why."""


@dataclasses.dataclass
class Measure:
    """One run of one generator."""

    # User and system seconds of the process and its children.
    cpu: float
    # Answers that were good; whatever the row counts.
    good: float
    # Seconds that it loaded the server.
    seconds: float
    # Most resident memory, KiB.
    rss: int
    # Of what it asked, what had no good answer, 0..1; None where it does not say.
    lost: float | None = None
    # Latency, 99th percentile, seconds.
    p99: float | None = None
    command: str = ""
    more: dict = dataclasses.field(default_factory=dict)

    @property
    def cost(self):
        """CPU seconds of one good answer."""
        return self.cpu / self.good if self.good else float("inf")

    @property
    def rate(self):
        return self.good / self.seconds


@dataclasses.dataclass
class Ended:
    """A process that has ended."""

    said: str
    code: int
    cpu: float
    began: float
    ended: float
    rss: int
    # Looks at it: monotonic time, CPU seconds, resident KiB.
    glances: list

    def cpu_of_last(self, seconds):
        """CPU seconds of its last so many seconds: without what it did to get ready."""
        begin = self.ended - seconds
        before = max((cpu for at, cpu, _ in self.glances if at <= begin), default=0.0)
        return self.cpu - before


def pinned(*cores):
    return lambda: os.sched_setaffinity(0, cores)


def status(pid):
    """Resident KiB now and at most, of a process that runs."""
    values = dict.fromkeys(["VmRSS", "VmHWM"], 0)
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in values:
                values[name] = int(value.split()[0])
    return values["VmRSS"], values["VmHWM"]


def cpu_seconds(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK
    return 0.0


def run(command, seconds, meanwhile=None, every=GLANCE):
    """Runs a generator to its end, on its core. `meanwhile` is called beside it, once, with its process id."""
    command = [str(part) for part in command]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=pinned(GENERATOR_CORE))
    began, glances, over = time.monotonic(), [], threading.Event()
    most = [0]

    def watch():
        end = began + seconds + PATIENCE
        while not over.wait(every):
            resident, peak = status(child.pid)
            # The most of its own memory: the system's figure for the ended process begins with that of the one that started it.
            most[0] = max(most[0], peak)
            glances.append((time.monotonic(), cpu_seconds(child.pid), resident))
            if time.monotonic() > end:
                child.kill()

    beside = [threading.Thread(target=watch)]
    if meanwhile:
        beside.append(threading.Thread(target=meanwhile, args=[child.pid]))
    for thread in beside:
        thread.start()
    try:
        said = child.stdout.read().decode(errors="replace")
        _, code, used = os.wait4(child.pid, 0)
    except BaseException:
        child.kill()
        raise
    finally:
        ended = time.monotonic()
        over.set()
    for thread in beside:
        thread.join()
    child.returncode = os.waitstatus_to_exitcode(code)
    return Ended(said, child.returncode, used.ru_utime + used.ru_stime, began, ended, most[0], glances)


class Server:
    """A server on its core, for as long as a `with` lasts."""

    def __init__(self, command, ready=None, port=None, directory=None):
        self.command = [str(part) for part in command]
        self.ready, self.port, self.directory = ready, port, directory
        self.counted = {}

    def __enter__(self):
        self.child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if self.ready is None else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
            preexec_fn=pinned(SERVER_CORE),
        )
        if self.ready is None:
            # One of `bench-peers`: says where it listens, and what it counted once it is to end.
            said = self.child.stdout.readline().split()
            if said[:1] != [b"ready"]:
                self.__exit__()
                raise Unmeasured(f"{shlex.join(self.command)} does not start")
            self.port = int(said[1])
            return self
        try:
            self.wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.child.poll() is None:
            with contextlib.suppress(OSError):
                if self.ready():
                    return
            time.sleep(0.05)
        raise Unmeasured(f"{self.command[0]} does not get ready")

    def stop_for(self, seconds):
        """Stops it for a while, and lets it go on."""
        self.child.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.child.send_signal(signal.SIGCONT)

    def __exit__(self, *_):
        self.child.terminate()
        try:
            said, _ = self.child.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            said, _ = self.child.communicate()
        with contextlib.suppress(ValueError, IndexError):
            self.counted = json.loads((said or b"").splitlines()[-1])


def note(text):
    print(text, file=sys.stderr, flush=True)

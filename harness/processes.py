"""The processes of a fleet: whether they answer, and what it takes to end them and no others."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

# As many seconds as any daemon may take to be ready.
PATIENCE = 60


def fail(message):
    sys.exit(f"harness/fleet: {message}")


def get(url):
    with urllib.request.urlopen(url, timeout=2) as answer:
        return answer.read()


def answers_udp(port, datagram):
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(0.2)
        udp.sendto(datagram, ("127.0.0.1", port))
        return udp.recv(2048)


def started_at(pid):
    """When a process started, in clock ticks since boot: with its id, a name that is never used again. None where it is gone."""
    try:
        after_name = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] == "Z" else int(after_name[19])


def family(pid):
    """A process and its children: nginx works in those."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


class Fleet:
    """The directory of a fleet and the processes in it."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.file = self.directory / "fleet.json"
        self.state = json.loads(self.file.read_text()) if self.file.exists() else {"processes": []}

    def path(self, *parts):
        return self.directory.joinpath(*parts)

    def save(self):
        self.file.write_text(json.dumps(self.state, indent=2))

    def alive(self):
        return [it for it in self.state["processes"] if started_at(it["pid"]) == it["started"]]

    def start(self, name, layer, command):
        """Starts a daemon in a session of its own; what it says goes to DIR/NAME.log."""
        with open(self.path(f"{name}.log"), "wb") as log:
            child = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Whatever a daemon wants to keep stays here.
                env={**os.environ, "HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory), "XDG_DATA_HOME": str(self.directory)},
            )
        entry = {"name": name, "layer": layer, "pid": child.pid, "started": started_at(child.pid)}
        self.state["processes"].append(entry)
        self.save()
        return child

    def wait(self, name, child, ready):
        """Waits until `ready` gives something true, and returns that."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                found = ready()
            except OSError:
                found = None
            if found:
                return found
            if child.poll() is not None:
                break
            time.sleep(0.05)
        said = self.path(f"{name}.log").read_text(errors="replace")[-2000:]
        self.down()
        fail(f"{name} is not ready:\n{said}")

    def down(self):
        for entry in self.alive():
            # Its own session, so its children too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(entry["pid"], signal.SIGTERM)
        end = time.monotonic() + 5
        while self.alive() and time.monotonic() < end:
            time.sleep(0.05)
        for entry in self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(entry["pid"], signal.SIGKILL)
        self.state["processes"] = []
        self.save()

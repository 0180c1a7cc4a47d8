"""A Ray cluster of one node on the loopback interface, as `ray start --head` makes it."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import descendants, ended

START_S = 120.0
PORTS = ("port", "metrics-export-port", "dashboard-port", "dashboard-agent-listen-port")
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@dataclass(frozen=True)
class Head:
    """Where it is, and what a process needs to join it."""

    address: str
    metrics: str
    dashboard: str
    environment: dict[str, str]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def ray_head(*, dashboard: bool = False) -> Iterator[Head]:
    """Start it with one CPU, wait until its metrics agent answers, and end it afterwards."""
    ports = {name: free_port() for name in PORTS}
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short name: of sockets
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # of submitted commands
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # as on a laptop: loopback alone
        }
        options = [f"--{name}={port}" for name, port in ports.items()]
        options += ["--num-cpus=1", f"--include-dashboard={str(dashboard).lower()}"]
        process = subprocess.Popen(
            [*RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", *options],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        head = Head(
            f"127.0.0.1:{ports['port']}",
            f"http://127.0.0.1:{ports['metrics-export-port']}/metrics",
            f"http://127.0.0.1:{ports['dashboard-port']}",
            environment,
        )
        try:
            _wait_for(head.metrics, process)
            yield head
        finally:
            children = descendants(process.pid)
            process.terminate()
            process.wait()
            assert not ended(children, within_s=60.0)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        assert process.poll() is None, "ray start ended"
        try:
            with urllib.request.urlopen(address):
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise AssertionError(f"{address} does not answer: is batch-ser[cluster] installed?")

"""A Ray cluster of several nodes on this machine, in a process of its own, on the loopback
interface: nodes are added, killed, and the head is restarted.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import descendants

SERVER = """
import json, sys
from ray._private.node import Node
from ray.cluster_utils import Cluster
Node.start_api_server = lambda *_, **__: None  # the dashboard, which asks clouds where it is
cluster, nodes = Cluster(), {}
options = {
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
    "dashboard_agent_listen_port": 0,  # any: the head's own is that of every Ray
}
def add(name, **given):
    nodes[name] = cluster.add_node(**given, **options)
    return nodes[name].all_processes["raylet"][0].process.pid
def kill(name):
    cluster.remove_node(nodes.pop(name), allow_graceful=False)
for line in sys.stdin:
    command, name, given = json.loads(line)
    raylet = {"add": add, "kill": kill}[command](name, **given)
    print(cluster.address, raylet, flush=True)
cluster.shutdown()
"""


class RayCluster:
    """A head without CPUs, and nodes with one each, unless other numbers are given."""

    def __init__(self, process: "subprocess.Popen[str]", environment: dict[str, str]) -> None:
        self._process = process
        self._raylets: dict[str, int] = {}
        self.environment = environment  # with which a driver joins
        self.address = self._add("head", num_cpus=0)

    def add(self, name: str, *, cpus: int = 1, gpus: int = 0, **variables: str) -> None:
        """A node whose processes have further variables in their environment.

        Its GPUs need not exist: Ray counts what is given.
        """
        self._add(name, num_cpus=cpus, num_gpus=gpus, env_vars=variables)

    def kill(self, name: str) -> None:
        """End all processes of a node at once, as a machine that loses its power."""
        workers = self.workers(name)
        self._tell("kill", name)
        for process in workers:  # else they end when they notice
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def start_head(self) -> None:
        """Another head at the address of the first, which knows nothing of what was before."""
        self._add("head", num_cpus=0, gcs_server_port=int(self.address.rpartition(":")[2]))

    def workers(self, name: str, doing: str = "") -> list[int]:
        """The worker processes on a node; `doing`: those that are in a call of this method."""
        found = descendants(self._raylets[name]).items()
        return [each for each, line in found if line.startswith(f"ray::Worker{doing}")]

    def _add(self, name: str, **given: object) -> str:
        address, raylet = self._tell("add", name, **given).split()
        self._raylets[name] = int(raylet)
        return address

    def _tell(self, command: str, name: str, **given: object) -> str:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([command, name, given]) + "\n")
        self._process.stdin.flush()
        found = self._process.stdout.readline().strip()
        assert found, f"the cluster ended at: {command} {name}"
        return found


@contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """A cluster with a head; it asks for a token."""
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder,
        tempfile.TemporaryFile("w+") as messages,
    ):
        environment = os.environ | {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # nodes are at 127.0.0.1
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_health_check_period_ms": "1000",  # a killed node is known to be after 3 s
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            env=environment,
        )
        try:
            yield RayCluster(process, environment)
        except AssertionError:
            messages.seek(0)
            print(messages.read())  # pytest shows it
            raise
        finally:
            assert process.stdin
            assert process.stdout
            process.stdin.close()
            process.wait()
            process.stdout.close()

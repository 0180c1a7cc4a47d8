"""A Ray of a job's own, or a connection to a cluster that runs.

Behaviour of Ray that this module works around: `ray.init` replaces signal handlers, puts the
current folder first on the workers' import path (where a folder named `models` would hide ours),
reports usage, listens on all interfaces, joins any Ray that it finds, keeps a token for access in
the user's home, copies the folder to all nodes under `uv run`, prints what nodes report to standard
output, and tries for minutes to reach a head that is not there.
"""

import contextlib
import logging
import math
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ray
from ray._private import ray_constants, services
from ray._private.node import Node
from ray.exceptions import RayError

from batch_ser.errors import BatchSerError, Incomplete, UsageError
from jobs.ray_ends import last_line
from jobs.ray_nodes import Nodes
from jobs.stop import OrderlyStop, hang_up_blocked
from jobs.watchdog import scratch_folder
from jobs.worker_process import Workers

CONNECT_S = 5.0
LEAVE_S = 5.0  # the head may be gone
OBJECT_STORE_BYTES = 256_000_000  # only rows are transferred


@contextlib.contextmanager
def cluster(workers: Workers, stop: OrderlyStop) -> Iterator[Nodes | None]:
    """A local Ray, or a connection to a running one, with its nodes.

    Inside, signals wait for `stop.check`.

    Raises:
        Incomplete: it does not start, or does not answer.
        UsageError: there is no such cluster, or this machine is not part of it.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with stop.deferred():
        if workers.address is None:
            with _local() as folder, _connected(_local_options(workers, folder), stop):
                yield None
        else:
            _check_reachable(workers.address)
            with _connected({"address": workers.address}, stop), _nodes(workers.address) as nodes:
                yield nodes


@contextlib.contextmanager
def _connected(options: dict[str, Any], stop: OrderlyStop) -> Iterator[None]:
    try:
        _connect(options)
        stop.install()
        yield
    finally:
        _leave(bounded="_temp_dir" not in options)
        stop.install()


@contextlib.contextmanager
def _nodes(address: str) -> Iterator[Nodes]:
    try:
        nodes = Nodes()
    except RayError as error:
        raise Incomplete(f"--address {address}: {_first_line(error)}") from error
    try:
        yield nodes
    finally:
        nodes.close()


def _leave(*, bounded: bool) -> None:
    """Disconnect. A cluster whose head is gone does not answer: results are committed after this,
    and Ray ends the process a minute after it lost the head.
    """
    if not bounded:
        ray.shutdown()
        return
    leaving = threading.Thread(target=ray.shutdown, daemon=True)
    leaving.start()
    leaving.join(LEAVE_S)


def _check_reachable(address: str) -> None:
    """Check that something listens where the head of a cluster should be."""
    try:
        found = services.canonicalize_bootstrap_address(address)
        place = urlsplit(f"//{found or ''}")
        target = place.hostname or "", place.port or 0  # which may be no number
    except Exception as error:
        raise UsageError(f"--address {address}: {error}; expected auto or HOST:PORT") from error
    if found is None:
        raise UsageError(
            f"--address {address}: no Ray runs on this machine; expected a node of a cluster "
            "(ray start --address HOST:PORT), or HOST:PORT of its head"
        )
    try:
        socket.create_connection(target, CONNECT_S).close()
    except OSError as error:
        raise Incomplete(
            f"--address {address}: the cluster's head ({found}) cannot be reached: "
            f"{error.strerror or error}; when it is there the same command goes on"
        ) from error


def _local_options(workers: Workers, folder: str) -> dict[str, Any]:
    return {
        "address": "local",  # whatever else runs on this machine, or is in RAY_ADDRESS
        "_temp_dir": folder,
        "num_cpus": math.ceil((workers.count or 1) * workers.cpus_per_worker),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }


@contextlib.contextmanager
def _local() -> Iterator[str]:
    """Keep a local Ray to this machine and to a folder of its own, which is returned.

    Ray takes 127.0.0.1 as a node's address only where it does not expect clusters, which is a
    constant; with the parameter `_node_ip_address` it would listen on all interfaces. Even without
    a dashboard it starts its process, which asks three clouds' metadata servers where it runs; and
    where its packages are there, a node's agent serves HTTP and takes seconds more to start.
    """
    with (
        _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False),
        _replaced(Node, "start_api_server", lambda *_, **__: None),
        _replaced(ray._private.utils, "get_dashboard_dependency_error", lambda: "not wanted"),
        _token_of_its_own(),
        scratch_folder() as folder,
    ):
        yield folder


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _token_of_its_own() -> Iterator[None]:
    """Keep other users of the machine out of a local Ray by a token that is nowhere on disk.

    Without `RAY_AUTH_MODE` Ray asks for a token; without `RAY_AUTH_TOKEN` it writes one below the
    user's home.
    """
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    raylet: Any = ray._raylet
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ |= before
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _connect(options: dict[str, Any]) -> None:
    """Start or join Ray from our own folder: Ray puts the current one first on the import path."""
    address = options["address"]
    try:
        with (
            contextlib.chdir(Path(__file__).parent.parent),
            _replaced(ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", False),
            _replaced(ray._private.worker, "listen_error_messages", lambda *_, **__: None),
            hang_up_blocked(),  # without its node Ray ends the driver, which would commit nothing
        ):
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except BatchSerError:
        raise
    except Exception as error:  # Ray raises nothing more exact when its node does not start
        if address == "local":
            raise Incomplete(
                f"Ray does not start: {last_line(error)}; give the command again, when the "
                "machine has less to do, or with --engine inline"
            ) from error
        raise UsageError(
            f"--address {address}: {_first_line(error)}; expected a cluster that this machine is "
            "a node of"
        ) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

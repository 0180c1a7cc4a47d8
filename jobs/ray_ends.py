"""Why a call to a worker on Ray ended without a value: by its process, its node, or its start.

Ray 2.60 raises an `ActorDiedError` whose text alone has the reason, and, where a process cannot be
reached before the cluster's head knows why, an `ActorUnavailableError`. Measured: the head knows of
a process that died within milliseconds, and of a node that was killed after 11 s.
"""

from enum import Enum, auto
from typing import Any

import ray
from ray.core.generated import common_pb2
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    ActorUnschedulableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    RayError,
    RpcError,
    RuntimeEnvSetupError,
)

from batch_ser import __version__
from batch_ser.errors import UsageError

NODE_DIED = "because its node has died"
TERMINATED = "The process receives a SIGTERM"

OF_THE_SYSTEM = (
    LocalRayletDiedError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    RpcError,
)


class End(Enum):
    """What ended a call."""

    PROCESS = auto()  # the worker's process: by its file, for lack of memory, or killed
    NODE = auto()  # its node is gone
    SIGTERM = auto()  # by who shuts the machine down, or an administrator: no file does that
    SYSTEM = auto()  # no room on its node's disk, or no way to the worker or to its result
    START = auto()  # the worker cannot be made there, as where this package is missing
    UNKNOWN = auto()  # it cannot be reached: the head of the cluster will know why


LOSSES = {  # what is reported of ends that no file is blamed for, with the name of the node
    End.NODE: "{} was lost",
    End.SIGTERM: "a worker on {} was ended by SIGTERM",
    End.SYSTEM: "a worker on {} cannot be reached, or there was no room for what it returned",
}


def end_of(error: RayError) -> End:
    """What an error of Ray, which is not one of the worker's own, states."""
    is_unmade = isinstance(error, RuntimeEnvSetupError | ActorUnschedulableError)
    if is_unmade or getattr(error, "actor_init_failed", False):
        return End.START
    if isinstance(error, ActorUnavailableError):
        return End.UNKNOWN
    if isinstance(error, ActorDiedError):
        text = str(error)
        return _end_by(text, node_died=error.preempted or NODE_DIED in text)
    if isinstance(error, NodeDiedError):
        return End.NODE
    if isinstance(error, OF_THE_SYSTEM):
        return End.SYSTEM
    return End.PROCESS  # out of memory among them


def recorded_end(worker: Any) -> End | None:
    """What the head recorded of a worker that cannot be reached; None as long as it is nothing."""
    record = _record(worker)
    if record.get("State") != "DEAD":
        return None
    cause = record["DeathCause"]
    if not cause.HasField("actor_died_error_context"):
        return End.PROCESS
    context = cause.actor_died_error_context
    generated: Any = common_pb2
    node_died = context.reason == generated.ActorDiedErrorContext.NODE_DIED
    return _end_by(context.error_message, node_died=node_died)


def _end_by(text: str, *, node_died: bool) -> End:
    if node_died:
        return End.NODE
    return End.SIGTERM if TERMINATED in text else End.PROCESS


def node_of(worker: Any) -> str:
    """The id of the node that a worker is or was on; empty if it has been nowhere."""
    node: str = _record(worker).get("Address", {}).get("NodeID", "")
    return node if node.strip("f") else ""  # all bits set: none


def start_problem(what: str, error: RayError) -> UsageError:
    """Why a worker or a scorer cannot be made on a node: most likely another version."""
    return UsageError(
        f"{what} cannot be made there ({last_line(error)}); expected batch-ser {__version__} and "
        "its libraries as the command has them: install the same on all nodes"
    )


def last_line(error: Exception) -> str:
    """The last line of Ray's message: the error itself, below its traceback."""
    return str(error).strip().splitlines()[-1]


def _record(worker: Any) -> dict[str, Any]:
    record: dict[str, Any] = ray._private.state.actors(worker._actor_id.hex())
    return record

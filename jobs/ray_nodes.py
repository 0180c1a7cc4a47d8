"""The nodes of a cluster, as its head reports them, and whether it answers.

Ray ends a driver's process after 60 s without the head, with a message of its own. A head that was
restarted answers with another cluster's id: nothing of the job's workers is known there.
"""

import threading
import time
from collections.abc import Collection, Container
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import AuthenticationError, RayError

from batch_ser.errors import BatchSerError, Incomplete, UsageError

EVERY_S = 3.0
ANSWER_S = 3.0
HEAD_S = 45.0  # without an answer, which leaves time to commit before Ray ends the process
ALIVE = 0  # as Ray numbers the states of nodes
NODE_ID = "ray.io/node-id"  # the label that Ray gives every node


@dataclass(frozen=True)
class Node:
    """One machine of a cluster, or what there is of it for Ray."""

    address: str
    cpus: float
    gpus: float

    def room(self, cpus: float, gpus: float) -> int:
        """How many workers fit that need so many CPUs and GPUs each, when nothing else runs."""
        fits = int(self.cpus / cpus + 1e-6)
        return min(fits, int(self.gpus / gpus + 1e-6)) if gpus else fits


class Nodes:
    """Asks the head of a cluster every 3 s, in a thread; `close` ends it."""

    def __init__(self) -> None:
        """Of the cluster that this process is connected to."""
        self.address: str = ray.get_runtime_context().gcs_address
        self.alive: dict[str, Node] = {}  # by id
        self._names: dict[str, str] = {}  # of all that there were, by id
        self._answered_s = time.monotonic()
        self._is_another = False
        self._ended = threading.Event()
        raylet: Any = ray._raylet
        self._client = raylet.GcsClient(address=self.address)
        self._ask()
        self._thread = threading.Thread(target=self._ask_until_ended, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(2 * ANSWER_S)

    def name(self, node: str) -> str:
        """A node as messages name it, by its id."""
        return self._names.get(node, "a node")

    def room(self, cpus: float, gpus: float, without: Container[str] = ()) -> int:
        """How many workers fit that need so many CPUs and GPUs each."""
        alive = self.alive.items()
        return sum(node.room(cpus, gpus) for each, node in alive if each not in without)

    def has_place(self, gpus: float, without: Container[str]) -> bool:
        """Whether there is a node with so many GPUs, when nothing else runs."""
        alive = self.alive.items()
        return any(each not in without and node.gpus + 1e-6 >= gpus for each, node in alive)

    @property
    def answers(self) -> bool:
        """Whether the head answered when it was last asked."""
        return time.monotonic() - self._answered_s < EVERY_S + ANSWER_S

    def check(self) -> None:
        """Check that the head of the cluster is there.

        Raises:
            Incomplete: it does not answer, or does not know of this job.
        """
        silent_s = time.monotonic() - self._answered_s
        if self._is_another:
            found = "was restarted, and knows nothing of this job"
        elif silent_s > HEAD_S:
            found = f"has not answered for {silent_s:.0f} s"
        else:
            return
        raise Incomplete(
            f"the cluster's head ({self.address}) {found}; what is done is committed, and the "
            "same command goes on when the cluster is back"
        )

    def _ask_until_ended(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._ask()

    def _ask(self) -> None:
        try:
            found = self._client.get_all_node_info(timeout=ANSWER_S)
        except AuthenticationError:  # of another cluster
            self._is_another = True
            return
        except RayError:  # no answer, which `check` reports
            return
        self._names |= {each.hex(): _name(info) for each, info in found.items()}
        self.alive = {
            each.hex(): Node(
                address=info.node_manager_address,
                cpus=info.resources_total.get("CPU", 0.0),
                gpus=info.resources_total.get("GPU", 0.0),
            )
            for each, info in found.items()
            if info.state == ALIVE
        }
        self._answered_s = time.monotonic()


def elsewhere(left_out: Collection[str]) -> dict[str, Any]:
    """The options of an actor of Ray that must not start on some nodes, given by their ids."""
    if not left_out:
        return {}
    return {"label_selector": {NODE_ID: f"!in({', '.join(sorted(left_out))})"}}


def found_at(nodes: Nodes, node: str, cause: Exception) -> str:
    """Which node cannot do the job, and why."""
    text = str(cause) if isinstance(cause, BatchSerError) else f"{type(cause).__name__}: {cause}"
    return f"{nodes.name(node)} is left out: {text}"


def refusal(nodes: Nodes, node: str, cause: Exception) -> BatchSerError:
    """The error of a job for which there is no node, by the one that was left out last."""
    kind = UsageError if isinstance(cause, UsageError) else Incomplete
    return kind(f"no node of the cluster can do this job; {found_at(nodes, node, cause)}")


def _name(info: Any) -> str:
    return f"node {info.node_manager_address} ({info.node_manager_hostname})"

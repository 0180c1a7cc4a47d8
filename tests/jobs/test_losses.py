"""How long a job on a cluster goes on after losses without a result."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray.exceptions
from ray.core.generated import common_pb2

from batch_ser.errors import Incomplete
from jobs import ray_workers
from jobs.losses import WITHOUT_RESULT_S, Losses
from jobs.ray_ends import End, end_of
from jobs.worker_process import Worker


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def losses(clock: list[float]) -> Losses:
    return Losses(lambda: clock[0])


def test_without_a_loss_a_file_may_take_long(losses: Losses, clock: list[float]) -> None:
    losses.check()
    clock[0] = 100 * WITHOUT_RESULT_S
    losses.check()


def test_losses_go_on_without_limit_while_there_are_results(
    losses: Losses, clock: list[float]
) -> None:
    for _ in range(1_000):
        losses.lost("node 192.0.2.7")
        clock[0] += WITHOUT_RESULT_S - 1
        losses.check()
        losses.result()


def test_ten_minutes_without_a_result_end_the_job(losses: Losses, clock: list[float]) -> None:
    """Counted from the first loss; later ones do not put it off."""
    for number in range(11):
        losses.lost(f"node 192.0.2.{number}")
        losses.check()
        clock[0] += 60.0
    with pytest.raises(Incomplete, match=r"were lost 11 times .* 192\.0\.2\.10.*same command"):
        losses.check()


def died(reason: str) -> ray.exceptions.ActorDiedError:
    """The error of a call to a worker that is gone."""
    generated: Any = common_pb2
    context = generated.ActorDiedErrorContext(error_message=reason, actor_id=b"0" * 16)
    return ray.exceptions.ActorDiedError(context)


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (died("The actor is dead because its node has died."), End.NODE),
        (ray.exceptions.NodeDiedError(""), End.NODE),
        (died("Worker exits unexpectedly. The process receives a SIGTERM."), End.SIGTERM),
        (died("Worker unexpectedly exits with a connection error code 2."), End.PROCESS),
        (ray.exceptions.OutOfDiskError("no room"), End.SYSTEM),
        (ray.exceptions.ObjectStoreFullError("no room"), End.SYSTEM),
        (ray.exceptions.OutOfMemoryError("too much"), End.PROCESS),
        (ray.exceptions.WorkerCrashedError(), End.PROCESS),
        (ray.exceptions.ActorUnavailableError("away", None), End.UNKNOWN),
    ],
)
def test_what_an_error_of_ray_states(error: ray.exceptions.RayError, end: End) -> None:
    """A full disk of a node is no fault of a file, nor is SIGTERM; lack of memory may be."""
    assert end_of(error) is end


def test_a_cluster_without_room_is_reported_once_and_ends_the_job(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    """After half a minute, so that who waits knows; after ten with status 1."""
    monkeypatch.setattr(ray_workers, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    workers: Any = SimpleNamespace(count=1, scorers=0, cpus_per_worker=1.0, gpus_per_worker=0.0)
    nodes: Any = SimpleNamespace(check=lambda: None)
    notices: list[str] = []
    pool = ray_workers.RayWorkers(Worker, workers, nodes, notices.append)
    for clock[0] in (0.0, 29.0):
        pool.check()
    assert notices == []
    for clock[0] in (31.0, 60.0):
        pool.check()
    [notice] = notices
    assert "other jobs may have the cluster's CPUs" in notice
    clock[0] = 601.0
    with pytest.raises(Incomplete, match="no worker has started within 600 s"):
        pool.check()

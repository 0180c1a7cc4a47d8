"""Options of jobs on clusters: refused before anything is connected; and what workers must have."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from batch_ser.errors import CheckpointError, UsageError
from jobs import RunConfig, ray_cluster, worker_process
from jobs.stop import OrderlyStop
from jobs.worker_process import Program, Workers


def config(**options: Any) -> RunConfig:
    return RunConfig(("calls",), "out.parquet", **options)


@pytest.mark.parametrize("gpus", [-1.0, 1.5, 0.33333, float("inf"), float("nan")])
def test_shares_of_gpus_that_ray_does_not_have(gpus: float) -> None:
    with pytest.raises(UsageError, match=r"--gpus-per-worker .*expected 0, a share of a GPU"):
        config(gpus_per_worker=gpus)


@pytest.mark.parametrize("gpus", [0.0, 0.25, 1.0, 2.0])
def test_shares_of_gpus(gpus: float) -> None:
    assert config(gpus_per_worker=gpus).gpus_per_worker == gpus


def test_cpus_finer_than_ray_counts() -> None:
    with pytest.raises(UsageError, match=r"--cpus-per-worker .*at most four decimal places"):
        config(cpus_per_worker=0.00001)


@pytest.mark.parametrize("address", ["ray://192.0.2.1:10001", "http://192.0.2.1:8265", "local", ""])
def test_addresses_that_are_not_of_a_cluster_of_this_machine(address: str) -> None:
    with pytest.raises(UsageError, match=r"expected auto or HOST:PORT.*ray job submit"):
        config(address=address)


@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.1:port", "192.0.2.1:65536"])
def test_addresses_without_a_port(address: str) -> None:
    workers = cast("Workers", SimpleNamespace(address=address))
    with (
        pytest.raises(UsageError, match=r"expected auto or HOST:PORT"),
        ray_cluster.cluster(workers, OrderlyStop()),
    ):
        pass


def test_auto_that_means_such_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://192.0.2.1:8265")
    with pytest.raises(UsageError, match=r"RAY_ADDRESS=http://192\.0\.2\.1:8265: expected auto"):
        config(address="auto")


def test_as_many_workers_as_fit_unless_given() -> None:
    assert config(address="192.0.2.1:6379").fixed_worker_count is None
    assert config(address="192.0.2.1:6379", workers=7).fixed_worker_count == 7
    assert config().fixed_worker_count == config().worker_count


def test_another_program_or_checkpoint_on_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its version nor that of its scores nor its checkpoint may differ."""
    program = Program("0123456789abcdef")
    program.check()
    program.check_checkpoint("fast", "0123456789abcdef")
    with pytest.raises(CheckpointError, match=r"--model fast: found .* fedcba987654.*expected"):
        program.check_checkpoint("fast", "fedcba9876543210")
    for name in ("__version__", "SCORES_VERSION"):
        with monkeypatch.context() as changed:
            changed.setattr(worker_process, name, 0)
            with pytest.raises(UsageError, match="install the same on all nodes"):
                program.check()

"""Scorers: the same rows as of workers that score by themselves, also when a scorer ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import ray
from conftest import PROGRAM, cuts
from ray import cloudpickle
from ray.exceptions import (
    ActorDiedError,
    GetTimeoutError,
    ObjectLostError,
    ObjectStoreFullError,
    RayError,
)
from ray_clusters import ray_cluster
from results import assert_holds, assert_same_tables, score

from batch_ser.audio.samples import Samples
from batch_ser.errors import CheckpointError, UsageError
from jobs import RunConfig, ray_scorers
from jobs.ray_scoring import ANSWER_S, NoScorer, RemoteScorer, ScorerLost
from jobs.scorer import Scorer
from jobs.worker_process import Program
from models import load_checkpoint
from models.batching import Outputs

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
OLD = "import batch_ser\nbatch_ser.__version__ = '0.0.1'\n"


def workers(model: object, program: Program | None = None) -> Any:
    """What a scorer reads of the configuration of workers."""
    return SimpleNamespace(model=str(model), device="cpu", program=program)


def test_segments_that_are_sent_have_the_scores_of_the_checkpoint(
    checkpoint_path: Path, speech: Samples
) -> None:
    segments = [each for each in cuts(speech) if len(each)]
    sent = np.concatenate(segments)
    sent.flags.writeable = False  # as Ray hands it over
    scorer = Scorer(workers(checkpoint_path))
    scorer.ready()
    probabilities, _ = scorer.score(sent, [len(each) for each in segments], embed=False)
    expected = load_checkpoint(checkpoint_path).score_all(segments)
    assert np.abs(probabilities - expected).max() < 1e-4


def test_a_scorer_with_another_checkpoint_fails_no_file(checkpoint_path: Path) -> None:
    scorer = Scorer(workers(checkpoint_path, Program("0123456789abcdef")))
    with pytest.raises(CheckpointError, match="copy it to all nodes"):
        scorer.ready()
    with pytest.raises(NoScorer) as found:
        scorer.score(np.zeros(16_000, np.float32), [16_000], embed=False)
    assert not found.value.ended


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        (ActorDiedError(), True),
        (ObjectLostError("0" * 56, "", ""), False),
        (ObjectStoreFullError("16 MB"), False),
    ],
)
def test_faults_of_the_way_to_a_scorer_are_not_those_of_segments(
    error: RayError, ended: bool
) -> None:
    """They are no `Exception`, by which the files of a batch would fail."""

    def remote(*_: object, **__: object) -> None:
        raise error

    actor = SimpleNamespace(score=SimpleNamespace(remote=remote))
    scorer = RemoteScorer(actor, embed=False, file_timeout_s=3600.0)
    with pytest.raises(ScorerLost) as found:
        scorer([np.zeros(16_000, np.float32)])
    assert found.value.reason.ended == ended


def test_a_wait_for_a_scorer_ends_before_a_file_took_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else files would fail with `timeout` while no scorer answers."""
    waited_s = []

    def get(_: object, timeout: float) -> None:
        waited_s.append(timeout)
        raise GetTimeoutError

    monkeypatch.setattr(ray, "get", get)
    for limit_s in (60.0, 3600.0):
        scorer = RemoteScorer(MagicMock(), embed=False, file_timeout_s=limit_s)
        with pytest.raises(ScorerLost, match="no answer"):
            scorer([np.zeros(16_000, np.float32)])
    assert waited_s == [30.0, ANSWER_S]


def test_scorers_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="--scorers -1: expected 0 or more"):
        RunConfig(("calls",), "out.parquet", scorers=-1)
    with pytest.raises(UsageError, match="found --engine inline, expected ray"):
        RunConfig(("calls",), "out.parquet", scorers=1, engine="inline")


def dying_scorer(marker: Path) -> type[Scorer]:
    """A scorer that is killed at its first batch; it is sent to its process by value."""

    class Dying(Scorer):
        def score(self, samples: Samples, lengths: Sequence[int], *, embed: bool) -> Outputs:
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return super().score(samples, lengths, embed=embed)

    return Dying


@pytest.mark.ray
def test_a_scorer_that_is_killed_while_it_has_a_batch(
    archive: Path,
    checkpoint_path: Path,
    calm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another takes its place, and no file is blamed."""
    monkeypatch.setattr(ray_scorers, "Scorer", dying_scorer(tmp_path / "killed"))
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path, engine="ray", workers=2, scorers=1)
    assert (tmp_path / "killed").exists()
    assert_same_tables(out, calm)
    assert_holds(out)


@pytest.mark.ray
@pytest.mark.exhaustive
def test_a_worker_that_waits_for_room_does_not_take_that_of_a_scorer(
    archive: Path, checkpoint_path: Path, calm: Path, tmp_path: Path
) -> None:
    """Else nothing would score what it decodes."""
    out = tmp_path / "out.parquet"
    with ray_cluster() as cluster:
        cluster.add("a")
        command = (PROGRAM, "run", "--input", archive, "--out", out, "--model", checkpoint_path)
        options = ("--address", cluster.address, "--workers", 2, "--scorers", 1)
        done = subprocess.run(
            [*map(str, command + options)],
            env=cluster.environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert_same_tables(out, calm)
    assert_holds(out)


@pytest.mark.ray
@pytest.mark.exhaustive
def test_a_scorer_on_a_node_with_another_version_is_given_up(
    archive: Path, checkpoint_path: Path, calm: Path, tmp_path: Path
) -> None:
    """Its node is named, and the job goes on with the other scorer, once there is a worker."""
    (tmp_path / "sitecustomize.py").write_text(OLD)
    out, messages = tmp_path / "out.parquet", tmp_path / "messages"
    command = (PROGRAM, "run", "--input", archive, "--out", out, "--model", checkpoint_path)
    options = ("--workers", 1, "--scorers", 2, "--gpus-per-worker", 1, "--device", "cpu")
    with ray_cluster() as cluster, messages.open("w") as opened:
        path = f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"
        cluster.add("old", cpus=0, gpus=1, PYTHONPATH=path)
        cluster.add("good", cpus=0, gpus=1)
        job = subprocess.Popen(
            [*map(str, command + options), "--address", cluster.address],
            env=cluster.environment,
            stderr=opened,
        )
        while "is left out: found batch-ser 0.0.1" not in messages.read_text():
            assert job.poll() is None, messages.read_text()
            time.sleep(0.1)
        cluster.add("worker")
        assert job.wait() == 0, messages.read_text()
    assert_same_tables(out, calm)
    assert_holds(out)

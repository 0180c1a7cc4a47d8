"""Jobs on a Ray cluster whose nodes are killed, join, or cannot do the job."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PROGRAM, MakeOnce, Runner
from object_stores import fetched, put
from ray_clusters import RayCluster, ray_cluster
from results import assert_holds, assert_same_tables, score

from batch_ser.results.layout import Output
from batch_ser.results.parts import read_parts
from jobs import RunConfig, run

pytestmark = pytest.mark.ray
COPIES = 6  # of the archive: a few shards for each of three nodes
STARTED_S = 30.0  # from a node's start to its first shard: what is promised
HOOK = "sitecustomize.py"  # what Python imports first
OLD = "import batch_ser\nbatch_ser.__version__ = '0.0.1'\n"
OLDER = "import jobs.worker_process\ndel jobs.worker_process.Program\n"
BLIND = """
import builtins, os
real = builtins.open
def blind(file, *args, **options):
    if isinstance(file, str) and os.environ["BLIND"] in file:
        raise FileNotFoundError(2, "No such file or directory", file)
    return real(file, *args, **options)
builtins.open = blind
"""


@pytest.fixture(scope="module")
def copies(make_once: MakeOnce, archive: Path) -> Path:
    """The archive several times over."""

    def make(root: Path) -> None:
        for number in range(COPIES):
            for path in archive.glob("day*/call*"):
                os.link(path, root / f"{number}-{path.name}")

    return make_once("copies", make)


@pytest.fixture(scope="module")
def calm_copies(make_once: MakeOnce, copies: Path) -> Path:
    """The tables of a run over them in one process, with the `fast` checkpoint."""
    return make_once("calm copies", lambda folder: calm_run(copies, folder)) / "out.parquet"


def calm_run(copies: Path, folder: Path) -> None:
    score(copies, folder / "out.parquet", Path("fast"))


@pytest.fixture
def ray_nodes() -> Iterator[RayCluster]:
    with ray_cluster() as found:
        yield found


def started(
    ray_nodes: RayCluster, *words: object, cwd: Path | None = None
) -> "subprocess.Popen[str]":
    """A job on a cluster."""
    command = [PROGRAM, "run", "--model", "fast", "--address", ray_nodes.address, *words]
    return subprocess.Popen(
        [*map(str, command)],
        env=ray_nodes.environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], job: "subprocess.Popen[str]") -> None:
    """Wait until something has happened while a job runs."""
    while not condition():
        assert job.poll() is None, job.communicate()
        time.sleep(0.02)


def test_nodes_that_are_killed_and_join(
    ray_nodes: RayCluster, copies: Path, calm_copies: Path, tmp_path: Path
) -> None:
    """One of three is killed, another joins, then all but that are killed; rows are those of a
    calm run, and no file fails.
    """
    for name in "abc":
        ray_nodes.add(name)
    out = tmp_path / "out.parquet"
    job = started(ray_nodes, "--input", copies, "--out", out, "--workers", 5)
    wait_for(lambda: all(ray_nodes.workers(name, ".score") for name in "abc"), job)
    for name in "bc":  # the job cannot end without these
        for process in ray_nodes.workers(name):
            os.kill(process, signal.SIGSTOP)
    ray_nodes.kill("a")
    ray_nodes.add("d")
    joined = time.monotonic()
    wait_for(lambda: ray_nodes.workers("d", ".score"), job)
    assert time.monotonic() - joined < STARTED_S
    ray_nodes.kill("b")
    ray_nodes.kill("c")
    printed, messages = job.communicate()
    assert job.returncode == 0, messages
    assert "raylet" not in printed
    assert messages.count("was lost; what its workers were at is done again") == 3
    assert_same_tables(out, calm_copies)
    assert_holds(out)


def hook(folder: Path, source: str) -> dict[str, str]:
    """The variables of a node whose Python begins with a source."""
    folder.mkdir()
    (folder / HOOK).write_text(source)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}"}


@pytest.mark.exhaustive
def test_nodes_that_cannot_do_the_job_are_left_out(
    ray_nodes: RayCluster, archive: Path, checkpoint_path: Path, calm: Path, tmp_path: Path
) -> None:
    """Other versions, and one that does not see the recordings; without others it is refused."""
    words = ("--input", archive, "--model", checkpoint_path)
    ray_nodes.add("old", **hook(tmp_path / "old", OLD))
    ray_nodes.add("older", **hook(tmp_path / "older", OLDER))
    ray_nodes.add("blind", **hook(tmp_path / "blind", BLIND), BLIND=str(archive))
    job = started(ray_nodes, *words, "--out", tmp_path / "refused.parquet")
    _, messages = job.communicate()
    assert job.returncode == 2, messages
    assert "no node of the cluster can do this job" in messages
    assert "found batch-ser 0.0.1" in messages
    assert re.search(r"Can't get attribute 'Program'.*install the same on all nodes", messages)
    assert "cannot read" in messages
    assert "expected a file system that all nodes share" in messages
    out = tmp_path / "out.parquet"
    ray_nodes.add("good")
    job = started(ray_nodes, *words, "--out", out)
    _, messages = job.communicate()
    assert job.returncode == 0, messages
    assert "is left out: found batch-ser 0.0.1" in messages
    assert_same_tables(out, calm)
    assert_holds(out)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("place", "end"),
    [("folder", "was restarted"), ("folder", "has not answered"), ("store", "was restarted")],
)
def test_a_head_that_is_gone(
    place: str,
    end: str,
    copies: Path,
    calm_copies: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Status 1 with a message that names the head; the same command goes on, on other nodes.

    In an object store also from another folder.
    """
    source, out = str(copies), str(tmp_path / "out.parquet")
    if place == "store":
        bucket = request.getfixturevalue("bucket")
        source, out = f"{bucket}/calls", f"{bucket}/out.parquet"
        put(copies, source)
    words = ("--input", source, "--out", out)
    with ray_cluster() as ray_nodes:
        ray_nodes.add("a")
        job = started(ray_nodes, *words)
        wait_for(lambda: read_parts(Output(out)), job)
        for process in ray_nodes.workers("a"):
            os.kill(process, signal.SIGSTOP)
        ray_nodes.kill("head")
        if end == "was restarted":
            ray_nodes.start_head()
        _, messages = job.communicate()
        assert job.returncode == 1, messages
        assert f"the cluster's head ({ray_nodes.address}) {end}" in messages
        if end != "was restarted":
            ray_nodes.start_head()
        ray_nodes.kill("a")
        ray_nodes.add("b")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        job = started(ray_nodes, *words, cwd=elsewhere)
        _, messages = job.communicate()
    assert job.returncode == 0, messages
    if place == "store":
        calm_out = f"{out.removesuffix('out.parquet')}calm.parquet"
        run(RunConfig((source,), calm_out, "fast", engine="inline"))
        calm_copies = fetched(calm_out, tmp_path)
        out = str(fetched(out, tmp_path))
    assert_same_tables(Path(out), calm_copies)
    assert_holds(Path(out))


def test_a_head_that_is_not_there(batch_ser: Runner, archive: Path) -> None:
    """At once, and not after the minutes that Ray tries; the same command goes on later."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ("run", "--input", archive, "--out", "out.parquet", "--model", "fast")
    done = batch_ser(*words, "--address", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "the same command goes on" in done.stderr

"""Commands after one that was killed, on disks that fail, and with files that change meanwhile."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import LABELS, MakeOnce, Runner
from interruptions import Interruption, assert_no_mixture, assert_tidy, at_operation, interrupted
from networks import small_checkpoint
from results import assert_holds, assert_same_tables, score

from batch_ser.errors import Stopped
from batch_ser.results.layout import Output
from batch_ser.results.publication import is_interrupted
from jobs import RunConfig, driver, run
from jobs.adapt import adapt_again
from jobs.processes import started
from jobs.worker import ShardResult

WHOLE: dict[str, Any] = {"segment": {"method": "whole"}}
EARLY, LATE = 3, 5  # files of the archive, in two steps
MODULES = ("jobs.driver", "numpy", "pyarrow.parquet")
FUNCTIONS = ("jobs.driver.prepare", "jobs.job.Walk", "jobs.driver.Heartbeat")


@pytest.fixture(scope="module")
def adapting_path(make_once: MakeOnce) -> Path:
    """A small checkpoint with an offset head."""
    folder = make_once(
        "adapting", lambda folder: small_checkpoint(folder / "x", "whisper, offset", LABELS)
    )
    return folder / "x"


@pytest.fixture(scope="module")
def early(make_once: MakeOnce, archive: Path, adapting_path: Path) -> Path:
    """A complete output of the first files."""

    def make(folder: Path) -> None:
        score(archive, folder / "results.parquet", adapting_path, limit=EARLY, **WHOLE)

    return make_once("early", make) / "results.parquet"


@pytest.fixture(scope="module")
def late(make_once: MakeOnce, archive: Path, adapting_path: Path) -> Path:
    """What a run over more files ends as."""

    def make(folder: Path) -> None:
        score(archive, folder / "results.parquet", adapting_path, limit=LATE, **WHOLE)

    return make_once("late", make) / "results.parquet"


def copied(out: Path, folder: Path) -> Path:
    shutil.copytree(out.parent, folder, dirs_exist_ok=True)
    return folder / out.name


def at_replacement_of(path: Path, act: Callable[[], None]) -> pytest.MonkeyPatch:
    """Call `act` when a file is about to be replaced."""
    patch, replace = pytest.MonkeyPatch(), os.replace

    def replacing(source: Any, target: Any) -> None:
        if Path(target) == path:
            act()
        replace(source, target)

    patch.setattr(os, "replace", replacing)
    return patch


@pytest.mark.parametrize("command", ["run", "adapt", "verify", "predict", "run --adapt-from"])
def test_every_command_recovers(
    command: str,
    early: Path,
    archive: Path,
    adapting_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
) -> None:
    """An adaptation was killed between two tables: the next command of any kind goes on with it."""
    out = copied(early, tmp_path / "out")
    patch = at_replacement_of(out.with_suffix(".files.parquet"), interrupted)
    with pytest.raises(Interruption):
        adapt_again(str(out), "recording")
    patch.undo()
    assert_no_mixture(out)
    assert is_interrupted(Output(str(out)))
    run = ["run", "--input", archive, "--model", adapting_path, "--segment", "whole"]
    run += ["--engine", "inline", "--limit", EARLY]
    recording = archive / "day0" / "call00.wav"
    commands: dict[str, list[Any]] = {
        "run": [*run, "--out", out, "--adapt", "recording"],
        "adapt": ["adapt", out],
        "verify": ["verify", out],
        "predict": ["predict", recording, "--model", adapting_path, "--adapt-from", out],
        "run --adapt-from": [*run, "--out", tmp_path / "other.parquet", "--adapt-from", out],
    }
    done = batch_ser(*commands[command])
    assert done.returncode == 0, done.stderr
    assert_tidy(out)
    assert_holds(out)
    record = Output(str(out)).run_record()
    assert record
    assert record.fingerprint["adapt"] == "recording"


def test_verify_of_an_output_that_is_being_replaced(
    early: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """By a driver that is alive: verify says so."""
    out = copied(early, tmp_path / "out")
    found: list[Any] = []

    def verify() -> None:
        path = out.with_suffix(".work") / "driver.json"
        mine = path.read_text()
        other = {"pid": os.getppid(), "started": started(os.getppid())}
        path.write_text(json.dumps(json.loads(mine) | other))
        found.append(batch_ser("verify", out))
        path.write_text(mine)

    patch = at_replacement_of(out.with_suffix(".files.parquet"), verify)
    adapt_again(str(out), "recording")
    patch.undo()
    assert found[0].returncode == 1
    assert "already running since" in found[0].stderr


@pytest.mark.parametrize("at", [6, 9, 14])
def test_a_restart_that_was_killed(
    at: int, early: Path, late: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """While it removed the earlier output: the job that follows ends as a calm one."""
    out = copied(early, tmp_path / "out")
    with pytest.raises(Interruption), at_operation(at, interrupted):
        score(archive, out, adapting_path, limit=LATE, restart=True, **WHOLE)
    assert_no_mixture(out)
    score(archive, out, adapting_path, limit=LATE, **WHOLE)
    assert_same_tables(out, late)
    assert_tidy(out)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space is left; make room"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied; allow this user"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 8, 14, 20])
def test_a_disk_that_fails_ends_the_job_with_a_sentence(
    number: int,
    message: str,
    at: int,
    early: Path,
    late: Path,
    archive: Path,
    adapting_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
) -> None:
    """Status 1, one line, and the same command goes on when it works again."""
    out = copied(early, tmp_path / "out")

    def fail() -> None:
        raise OSError(number, os.strerror(number), str(out))

    command = ["run", "--input", archive, "--out", out, "--model", adapting_path]
    command += ["--segment", "whole", "--engine", "inline", "--limit", LATE]
    with at_operation(at, fail):
        done = batch_ser(*command)
    assert done.returncode == 1, done.stderr
    assert message in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1].endswith(f"; then the same command goes on ({out})")
    assert "Traceback" not in done.stderr
    assert_no_mixture(out)
    assert batch_ser(*command).returncode == 0
    assert_same_tables(out, late)
    assert_tidy(out)


def test_a_file_that_may_not_grow_ends_the_job_with_a_sentence(
    archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """In a process of its own that may write 4 kB to a file."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"sys.argv = ['batch-ser', 'run', '--input', {str(archive)!r}, '--out', 'out.parquet',\n"
        f"    '--model', {str(adapting_path)!r}, '--engine', 'inline', '--segment', 'whole',\n"
        "    '--embeddings']\n"
        "from jobs.cli import app\n"
        "app()\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "a file would be larger than allowed" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def during_the_run(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Call `act` once, when the first shard has been scored and not yet committed."""
    score_shard, acts = driver.score_shard, [act]

    def scoring(*arguments: Any) -> Iterator[ShardResult]:
        for result in score_shard(*arguments):
            if acts:
                acts.pop()()
            yield result

    monkeypatch.setattr(driver, "score_shard", scoring)


def test_an_output_that_is_deleted_while_it_runs(
    archive: Path,
    adapting_path: Path,
    late: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "folder" / "out.parquet"
    command = ["run", "--input", archive, "--out", out, "--model", adapting_path]
    command += ["--segment", "whole", "--engine", "inline", "--limit", LATE]
    during_the_run(monkeypatch, lambda: shutil.rmtree(tmp_path / "folder"))
    done = batch_ser(*command)
    assert done.returncode == 1
    assert "was deleted or damaged while the job ran" in done.stderr.splitlines()[-1]
    assert batch_ser(*command).returncode == 0
    assert_same_tables(out, late)


def test_tables_that_are_deleted_while_it_runs(
    archive: Path,
    adapting_path: Path,
    early: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = copied(early, tmp_path / "out")
    command = ["run", "--input", archive, "--out", out, "--model", adapting_path]
    command += ["--segment", "whole", "--engine", "inline", "--limit", LATE]
    during_the_run(monkeypatch, out.with_suffix(".embeddings.parquet").unlink)
    done = batch_ser(*command)
    assert done.returncode == 1
    assert "a file or folder was deleted or moved meanwhile" in done.stderr.splitlines()[-1]
    done = batch_ser(*command)
    assert done.returncode == 2
    assert "is missing or not the table" in done.stderr


def test_an_input_that_changes_while_it_runs(
    archive: Path, adapting_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command scores it again; the tables are those of a run over what is there now."""
    folder, out = tmp_path / "in", tmp_path / "out.parquet"
    shutil.copytree(archive / "day0", folder)
    first, second = sorted(folder.iterdir())[:2]

    def change() -> None:
        shutil.copy(archive / "day1" / "call19.flac", first)
        second.unlink()

    during_the_run(monkeypatch, change)
    score(folder, out, adapting_path, **WHOLE)
    score(folder, out, adapting_path, **WHOLE)
    score(folder, tmp_path / "calm.parquet", adapting_path, **WHOLE)
    found, expected = (pd.read_parquet(each) for each in (out, tmp_path / "calm.parquet"))
    mine = found[found["file"] == first.name]
    theirs = expected[expected["file"] == first.name]
    pd.testing.assert_frame_equal(mine[["end_s"]], theirs[["end_s"]], check_like=True)
    assert_holds(out)


@pytest.mark.parametrize(
    "module",
    ["torch", *(pytest.param(each, marks=pytest.mark.exhaustive) for each in MODULES)],
)
def test_sigterm_while_modules_are_imported(
    module: str, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    assert_terminated(archive, adapting_path, tmp_path, "importing", module)


@pytest.mark.parametrize(
    "function",
    [
        "jobs.job.load_checkpoint",
        *(pytest.param(each, marks=pytest.mark.exhaustive) for each in FUNCTIONS),
    ],
)
def test_sigterm_while_the_job_is_prepared(
    function: str, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    assert_terminated(archive, adapting_path, tmp_path, "calling", function)


def test_a_signal_in_a_destructor_stops_the_job(
    calm: Path,
    archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python drops what a destructor raises, and so the stop that a signal asked for there."""

    class Signalling:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def dropping(*arguments: Any) -> Iterator[ShardResult]:
        for result in score_shard(*arguments):
            Signalling()
            yield result

    score_shard = driver.score_shard
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    monkeypatch.setattr(driver, "score_shard", dropping)
    out = tmp_path / "out.parquet"
    config = RunConfig((str(archive),), str(out), str(checkpoint_path), engine="inline")
    with pytest.raises(Stopped):
        run(config)
    assert not (tmp_path / "out.run.json").exists()
    monkeypatch.undo()
    run(config)
    assert_same_tables(out, calm)


def assert_terminated(archive: Path, checkpoint: Path, folder: Path, when: str, what: str) -> None:
    """A job that gets SIGTERM at a certain moment ends with 143 and a sentence."""
    code = (
        "import builtins, importlib, os, signal, sys\n"
        "when, what = sys.argv[1:3]\n"
        "stop = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == what:\n"
        "            stop()\n"
        "if when == 'importing':\n"
        "    sys.meta_path.insert(0, Finder())\n"
        "else:\n"
        "    module, _, name = what.rpartition('.')\n"
        "    module = importlib.import_module(module)\n"
        "    function = getattr(module, name)\n"
        "    setattr(module, name, lambda *args, **rest: [stop(), function(*args, **rest)][1])\n"
        "sys.argv = ['batch-ser', *sys.argv[3:]]\n"
        "from jobs.cli import app\n"
        "app()\n"
    )
    command = [sys.executable, "-c", code, when, what, "run", "--input", str(archive)]
    command += ["--out", "out.parquet", "--model", str(checkpoint), "--engine", "inline"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert done.stderr.splitlines()[-1].endswith("the same command goes on from here")
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("out*"))


def test_a_restart_that_was_killed_before_its_record(
    archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Its tables are in their places in a folder, and no `run.json` names them: it goes on."""
    out = tmp_path / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("batch_ser.results.publication._write_record", lambda *_: interrupted())
        with pytest.raises(Interruption):
            score(archive, out, adapting_path, limit=EARLY, **WHOLE)
    assert list(out.glob("embeddings/*.parquet"))
    assert not (out / "run.json").exists()
    score(archive, out, adapting_path, limit=EARLY, restart=True, **WHOLE)
    assert_holds(out)
    assert_tidy(out)

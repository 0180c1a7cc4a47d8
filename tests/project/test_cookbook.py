"""The cookbook's commands and snippets run, on the example calls."""

import contextlib
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import REPOSITORY
from documents import Block, blocks
from typer.testing import CliRunner

from jobs.cli import app

COOKBOOK = blocks(REPOSITORY / "docs" / "cookbook.md")
SNIPPETS = [block for block in COOKBOOK if block.language == "python"]
QUERIES = [block for block in COOKBOOK if block.language == "sql"]


def write_stereo(folder: Path, calls: Path) -> None:
    """Parts of a real call of two channels, of two agents, queues and days."""
    samples, rate_hz = soundfile.read(calls / "support-ulaw.wav")
    names = "2026-11-02/ann_sales_0001", "2026-11-02/ben_sales_0002", "2026-11-03/ann_support_0003"
    for number, part in enumerate(np.array_split(samples, len(names))):
        path = folder / f"{names[number]}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, part, rate_hz)


def annotate(sample: Path) -> None:
    """What Label Studio exports once somebody has labelled all tasks, each second one otherwise."""
    tasks = json.loads((sample / "tasks.json").read_text())
    for number, task in enumerate(tasks):
        result = dict(task["predictions"][0]["result"][0])
        if number % 2:
            result["value"] = {"choices": ["happy"]}
        task |= {"id": number, "annotations": [{"completed_by": 1, "result": [result]}]}
    (sample / "export.json").write_text(json.dumps(tasks))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, calls: Path) -> Path:
    """A folder with recordings, one of which cannot be read, and what the commands make of them."""
    folder = tmp_path_factory.mktemp("cookbook")
    shutil.copytree(calls, folder / "calls")
    (folder / "calls" / "broken.wav").write_text("no audio")
    (folder / "today").mkdir()
    shutil.copy(calls / "queue.mp3", folder / "today")
    lines = ["file,agent", "calls/queue.mp3,Ann", "calls/support-ulaw.wav,Ben"]
    (folder / "calls.csv").write_text("\n".join(lines))
    write_stereo(folder / "stereo", calls)
    with contextlib.chdir(folder):
        for block in COOKBOOK:
            for command, *arguments in block.commands():
                engine = ["--engine", "inline"] if command == "run" else []
                done = CliRunner().invoke(app, [command, *arguments, *engine])
                assert done.exit_code in (0, 3), f"{arguments}: {done.output} {done.exception}"
                if command == "sample":
                    annotate(folder / "sample")
    return folder


def test_every_block_is_run() -> None:
    calling = [block for block in COOKBOOK if list(block.commands())]
    assert len(calling) + len(SNIPPETS) + len(QUERIES) == len(COOKBOOK)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(snippet: Block, results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(snippet.text, snippet.page, "exec")
    if "pyspark" in snippet.text and not (
        importlib.util.find_spec("pyspark") and shutil.which("java")
    ):
        pytest.skip("no pyspark or no java: only its syntax was checked")
    with contextlib.chdir(results):
        exec(code, {})
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_runs(query: Block, results: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with contextlib.chdir(results):
        assert duckdb.sql(query.text).fetchall()


def test_two_checkpoints_are_compared_on_the_same_segments(results: Path) -> None:
    keys = ["file", "channel", "start_s", "end_s"]
    accurate, fast = (
        pd.read_parquet(results / f"{name}.parquet")[keys] for name in ("results", "fast")
    )
    assert len(accurate) > 10
    pd.testing.assert_frame_equal(accurate, fast)

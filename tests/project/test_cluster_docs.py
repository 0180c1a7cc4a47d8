"""The page about clusters: its commands, on a Ray head of this machine with its dashboard."""

import os
import re
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import REPOSITORY
from documents import read
from ray_head import RAY, ray_head

from jobs.ray_metrics import METRICS

PAGE = read("docs/cluster.md")
ANSWERS_WITHIN_S = 60


def test_the_page_names_every_metric_with_its_labels() -> None:
    rows = re.findall(r"^\| `(ray_batch_ser_\w+)` \| (.*?) ?\|", PAGE, re.MULTILINE)
    labels = {name: tuple(re.findall(r"`(\w+)`", cell)) for name, cell in rows}
    assert labels == {f"ray_{each.name}_total": each.labels for each in METRICS}


def submission(dashboard: str, out: Path, calls: Path) -> list[str]:
    """The page's command, with addresses of this machine and one worker."""
    [line] = re.findall(r"^ray (job submit .*)$", PAGE, re.MULTILINE)
    line = line.replace("http://127.0.0.1:8265", dashboard).replace("--workers 512", "--workers 1")
    line = line.replace("s3://BUCKET/calls", str(calls)).replace("s3://BUCKET/results", str(out))
    assert "BUCKET" not in line
    return [*RAY, *shlex.split(line)]


def wait_for(dashboard: str) -> None:
    """Wait until it answers, be it that it wants a token."""
    for _ in range(10 * ANSWERS_WITHIN_S):
        try:
            with urllib.request.urlopen(dashboard):
                return
        except urllib.error.HTTPError:
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("no dashboard")


@pytest.mark.ray
@pytest.mark.exhaustive
def test_a_submitted_job_does_its_work_and_reports_its_status(tmp_path: Path, calls: Path) -> None:
    out = tmp_path / "results"
    with ray_head(dashboard=True) as head:
        wait_for(head.dashboard)
        options = {"env": os.environ | head.environment, "cwd": tmp_path, "text": True}
        command = submission(head.dashboard, out, calls)
        for words in (command, [*command[:-1], str(REPOSITORY / "README.md")]):
            done = subprocess.run(words, **options, capture_output=True, check=False)  # type: ignore[call-overload]
            if words is command:
                assert done.returncode == 0, done.stdout
                assert "closed: files        4 in = 4 ok" in done.stdout
                assert (out / "run.json").exists()
            else:  # an output that is none of ours
                assert done.returncode == 1, done.stdout
                assert "README.md" in done.stdout

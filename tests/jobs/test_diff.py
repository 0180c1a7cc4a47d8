"""`batch-ser diff`: two outputs of the same recordings."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import LABELS, Runner
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint
from results import SCORES, score, tables
from sklearn.metrics import cohen_kappa_score

from batch_ser.inputs import Selection
from jobs.agreement import Agreement
from jobs.diff import diff

KEYS = ["file", "channel", "start_s", "end_s"]
PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1)


def counted(pairs: Iterable[tuple[str, str]]) -> Agreement:
    found = Agreement()
    for left, right in pairs:
        found.add(left, right, 0.5)
    return found


@given(PAIRS)
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    found = counted(pairs)
    one_label = len({label for pair in pairs for label in pair}) == 1
    if one_label:
        assert found.kappa is None
        return
    assert found.kappa == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


@pytest.fixture(scope="module")
def outputs(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same recordings as scored by two networks; the second lacks two of the recordings."""
    folder = tmp_path_factory.mktemp("diff")
    found = []
    for number, exclude in enumerate(((), ("call18.wav", "call19.flac"))):
        path = folder / f"{number}.safetensors"
        checkpoint = small_checkpoint(path, "whisper", LABELS, seed=4 * number)
        found.append(folder / f"{number}.parquet")
        options: dict[str, Any] = {
            "selection": Selection(exclude=exclude),
            "name_pattern": "{day}/{call}",
        }
        score(archive, found[-1], checkpoint, **options)
    return found[0], found[1]


def test_figures_are_those_of_pandas(outputs: tuple[Path, Path]) -> None:
    left, right = (tables(each)[0] for each in outputs)
    found = diff(*map(str, outputs), by="day", most=5)
    both = left.merge(right, on=KEYS, suffixes=("_l", "_r"))
    assert found.files == {"both": 18, "left": 2, "status": 0}
    assert found.segments["both"] == len(both) == len(right)
    assert found.segments["left"] == len(left) - len(right) > 0
    same = both["emotion_l"].astype(str) == both["emotion_r"].astype(str)
    assert 0 < same.mean() < 1, "networks with other weights"
    assert found.whole.agreement == pytest.approx(same.mean())
    distance = sum((both[f"{s}_l"] - both[f"{s}_r"]).abs() for s in SCORES) / 2
    assert found.whole.mean_distance == pytest.approx(distance.mean(), abs=1e-6)
    largest = distance.nlargest(5)
    assert [each.distance for each in found.most] == pytest.approx(largest.tolist(), abs=1e-6)
    assert [each.file for each in found.most] == both["file"][largest.index].tolist()
    by_day = same.groupby(both["day_l"]).mean()
    assert {name: each.agreement for name, each in found.groups.items()} == pytest.approx(
        by_day.to_dict()
    )


def test_an_output_and_itself(outputs: tuple[Path, Path]) -> None:
    found = diff(str(outputs[0]), str(outputs[0]), most=0)
    assert found.whole.agreement == 1
    assert found.whole.mean_distance == 0
    assert found.segments.keys() == {"both"}
    assert not found.most


def test_other_segments_are_counted(outputs: tuple[Path, Path], archive: Path) -> None:
    windows = outputs[0].with_name("windows.parquet")
    checkpoint = outputs[0].with_suffix(".safetensors")
    score(archive, windows, checkpoint, segment={"method": "window", "window_s": 0.4})
    found = diff(str(outputs[0]), str(windows))
    left, right = tables(outputs[0])[0], tables(windows)[0]
    both = pd.merge(left[KEYS].round(3), right[KEYS].round(3), on=KEYS)
    assert found.segments["both"] == len(both)
    assert found.segments["left"] == len(left) - len(both)
    assert found.segments["right"] == len(right) - len(both)


def test_the_command(outputs: tuple[Path, Path], batch_ser: Runner) -> None:
    done = batch_ser("diff", *outputs, "--by", "day", "--most", 3, "--json")
    assert done.returncode == 0
    content = json.loads(done.stdout)
    confusion = pd.DataFrame(content["confusion"])
    assert int(confusion.to_numpy().sum()) == content["segments"]["both"]
    assert content["agreement"] == pytest.approx(
        np.trace(confusion.to_numpy()) / content["segments"]["both"]
    )
    assert len(content["most"]) == 3
    text = batch_ser("diff", *outputs, "--by", "day").stdout
    assert f"same emotion      {content['agreement']:.1%}" in text
    assert "day0 " in text
    assert "moved most" in text


@pytest.mark.parametrize(
    ("right", "options", "message"),
    [
        ("missing.parquet", [], "missing.parquet: no complete output"),
        ("other", [], "not one file is in both"),
        ("", ["--by", "agent"], r"--by agent: expected a column .*\(day, call\)"),
    ],
)
def test_outputs_that_cannot_be_compared(
    right: str,
    options: list[str],
    message: str,
    outputs: tuple[Path, Path],
    archive: Path,
    tmp_path: Path,
    batch_ser: Runner,
) -> None:
    other = tmp_path / right if right else outputs[1]
    if right == "other":
        score(archive / "day0", other, outputs[0].with_suffix(".safetensors"))
    done = batch_ser("diff", outputs[0], other, *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert pd.Series([done.stderr]).str.contains(message).all(), done.stderr

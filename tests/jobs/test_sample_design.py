"""How `batch-ser sample` draws: sizes, strata, and probabilities that weights state."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from call_tables import LABELS, files_row, segment_rows, write_output
from hypothesis import assume, given
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from jobs.sample import Shares
from jobs.sample.design import expected_counts, whole_counts
from jobs.sample.drawing import Drawn, draw
from jobs.sample.strata import Cell, ScoreReader

SEGMENTS = 400
KEY = ["file", "channel", "segment"]
P = [f"p_{label}" for label in LABELS]
CELLS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.integers(0, 3), st.integers(0, 2), st.booleans()
    ),
    min_size=1,
    unique=True,
)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segments whose labels are of very different frequency; one in ten is crosstalk."""
    random = np.random.default_rng(1)
    files, segments = [], []
    for number in range(20):
        file, regions = f"call{number:02}.wav", []
        for at in range(SEGMENTS // 20):
            p = random.dirichlet([5, 2, 1, 0.4]).tolist()
            crosstalk = at % 10 == 9 or (None if number % 2 else False)
            regions.append((at % 2, float(at), at + 0.9, crosstalk, p))
        segments += segment_rows(regions, file, queue=("sales", "support", None)[number % 7 % 3])
        files.append(files_row(None, file))
    out = tmp_path_factory.mktemp("design") / "out.parquet"
    write_output(out, files, segments, None, ("queue",))
    pq.write_table(pq.read_table(out), out)  # in one row group, which is read in no time
    return out


def scored(table: Path) -> pd.DataFrame:
    """The segments that may be drawn; where no speech is detected, crosstalk is null."""
    frame = pd.read_parquet(table)
    return frame[[each is not True for each in frame["crosstalk"]]]


def drawn(table: Path, seed: int, by: str | None = None, **options: Any) -> Drawn:
    shares: dict[str, Any] = {"tasks": 60, "uniform": 0.2} | options
    return draw(ScoreReader([table], LABELS, by), Shares(**shares), seed)


@given(CELLS, st.data(), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.booleans())
def test_expected_numbers_add_up_and_leave_no_cell_out(
    cells: list[Any], data: st.DataObject, uniform: float, uncertain: float, per_label: bool
) -> None:
    assume(uniform > 0.01 or uncertain < 0.99)
    sizes = np.array([data.draw(st.integers(1, 10_000)) for _ in cells])
    tasks = data.draw(st.integers(1, 2 * int(sizes.sum())))
    if not any(cell[3] for cell in cells):
        uncertain = 0.0
    shares = Shares(tasks, uniform, uncertain, per_label)
    found = expected_counts([Cell(*cell) for cell in cells], sizes, shares)
    assert found.sum() == pytest.approx(min(tasks, sizes.sum()))
    assert (found > 0).all()
    assert (found <= sizes * (1 + 1e-9)).all()
    for start in (0.0, 0.5, 0.999):
        whole = whole_counts(found, start)
        assert whole.sum() == min(tasks, sizes.sum())
        assert (np.abs(whole - found) < 1 + 1e-5).all()
        assert (whole <= sizes).all()


def test_whole_numbers_have_the_expected_ones_as_mean() -> None:
    expected = np.array([0.3, 0.3, 2.5, 0.05, 1.85])
    starts = (np.arange(1_000) + 0.5) / 1_000
    mean = np.mean([whole_counts(expected, start) for start in starts], axis=0)
    assert mean == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"per_label": True, "uniform": 0.1},
        {"uncertain": 0.5, "by": "queue", "per_label": True},
    ],
    ids=str,
)
def test_weights_are_those_of_the_draw(table: Path, options: dict[str, Any]) -> None:
    """Over many seeds a segment is drawn as often as its weight states; sums are unbiased."""
    frame = scored(table)
    chances = {tuple(row): 0.0 for row in frame[KEY].itertuples(index=False)}
    counts: Counter[tuple[Any, ...]] = Counter()
    truth = dict(frame["emotion"].value_counts()) | {"angry seconds": 0.9 * frame["p_angry"].sum()}
    angry = dict(zip(chances, frame["p_angry"], strict=True))
    seeds, sums = 200, []
    for seed in range(seeds):
        estimate: Counter[str] = Counter()
        for task in drawn(table, seed, **options).tasks:
            key = task.file, task.channel, task.segment
            assert key in chances, "crosstalk, or no segment"
            chances[key] = 1 / task.weight
            counts[key] += 1
            estimate[task.label] += task.weight
            estimate["angry seconds"] += task.weight * task.length_s * angry[key]
        sums.append([estimate[name] for name in truth])
    errors = np.std(sums, axis=0) / np.sqrt(seeds)
    assert (np.abs(np.mean(sums, axis=0) - [*truth.values()]) <= 4 * errors + 1e-6).all()
    p = np.array([*chances.values()])
    assert p.min() > 0, "of each segment the chance is known, as each was drawn at least once"
    shares = np.array([counts[key] for key in chances]) / seeds
    assert (np.abs(shares - p) <= 5 * np.sqrt(p * (1 - p) / seeds) + 1e-9).all()
    assert p.sum() == pytest.approx(60, rel=1e-3)


def test_per_label_draws_as_many_of_each(table: Path) -> None:
    found = Counter(task.label for task in drawn(table, 0, uniform=0.0, per_label=True).tasks)
    sizes = scored(table)["emotion"].value_counts()
    rare = [label for label in LABELS if sizes.get(label, 0) <= 15]
    assert rare, "a label of which there are not enough is drawn whole"
    assert all(found[label] == sizes.get(label, 0) for label in rare)
    others = [found[label] for label in LABELS if label not in rare]
    assert max(others) - min(others) <= 1 + len(LABELS)
    assert found["neutral"] < sizes["neutral"] / sizes.sum() * 60


def test_groups_are_balanced(table: Path) -> None:
    queues = {task.stratum.split("/")[0] for task in drawn(table, 0, "queue").tasks}
    assert queues == {"sales", "support", "(none)"}
    found = Counter(
        task.stratum.split("/")[0] for task in drawn(table, 0, "queue", uniform=0.0).tasks
    )
    assert max(found.values()) - min(found.values()) <= 1


def test_uncertain_segments_have_the_lowest_margins(table: Path) -> None:
    frame = scored(table)
    ordered = np.sort(frame[P].to_numpy(), axis=1)
    margins = dict(
        zip(
            frame[KEY].itertuples(index=False, name=None),
            ordered[:, -1] - ordered[:, -2],
            strict=True,
        )
    )
    found = drawn(table, 0, uncertain=1.0).tasks
    own = [task for task in found if task.stratum.endswith("uncertain")]
    assert len(own) >= 0.8 * 60
    limit = sorted(margins.values())[96]  # twice as many as are drawn for it
    bin_width = 1 / 4096
    assert all(margins[t.file, t.channel, t.segment] <= limit + bin_width for t in own)
    assert len(drawn(table, 0, tasks=10, uncertain=0.001).tasks) == 10
    assert "uncertain" not in " ".join(task.stratum for task in drawn(table, 0).tasks)


def test_thirds_have_as_many_segments_each(table: Path) -> None:
    everything = drawn(table, 0, tasks=10_000).tasks
    assert len(everything) == SEGMENTS * 9 // 10
    assert {task.weight for task in everything} == {1.0}
    neutral = Counter(task.stratum for task in everything if task.label == "neutral")
    assert set(neutral) == {"neutral/low", "neutral/middle", "neutral/high"}
    assert max(neutral.values()) - min(neutral.values()) <= 3, "but for ties within a bin"
    highest = {s: max(t.confidence for t in everything if t.stratum == s) for s in neutral}
    assert highest["neutral/low"] < highest["neutral/middle"] < highest["neutral/high"]


def test_a_tenth_is_for_a_second_annotator(table: Path) -> None:
    assert sum(task.second for task in drawn(table, 0).tasks) == 6
    assert sum(task.second for task in drawn(table, 0, tasks=3).tasks) == 1
    order = [task.stratum for task in drawn(table, 0).tasks]
    assert order != sorted(order), "whoever stops early has seen all strata"


def test_the_seed_decides(table: Path) -> None:
    assert drawn(table, 3) == drawn(table, 3)
    assert {*drawn(table, 3).tasks} != {*drawn(table, 4).tasks}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": 0}, "--n 0"),
        ({"uniform": 1.5}, "--uniform 1.5"),
        ({"uncertain": float("nan")}, "--uncertain nan"),
        ({"uncertain": 1.0, "uniform": 0.0}, "could not be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    table: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        drawn(table, 0, **options)

"""What stays of an earlier adaptation: in a resumed job, in `adapt`, and with `--adapt-from`."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import LABELS
from networks import small_checkpoint
from results import SCORES, assert_holds, assert_same_tables, score

from batch_ser.errors import CheckpointError, UsageError
from jobs.adapt import adapt_again
from jobs.predict import PredictConfig, predict

WINDOWS: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}}
KEYS = ["file", "channel", "segment"]


@pytest.fixture(scope="module")
def adapting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("adapting") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Path:
    """A few of the archive's recordings."""
    folder = tmp_path_factory.mktemp("calls")
    for number, path in enumerate(sorted(archive.rglob("call*"))[:5]):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, few: Path, adapting_path: Path) -> Path:
    """An output with adaptation and an expectation of its own."""
    out = tmp_path_factory.mktemp("base") / "base.parquet"
    score(few, out, adapting_path, expect="neutral=0.5, angry=0.30", **WINDOWS)
    return out


def record_of(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(out.with_suffix(".run.json").read_text())
    return found


def copied(out: Path, folder: Path) -> Path:
    """An output of its own, to be changed."""
    for path in out.parent.glob(f"{out.stem}.*"):
        shutil.copy(path, folder / path.name)
    return folder / out.name


def changed(out: Path, offset: dict[str, Any]) -> Path:
    """The same output with other entries of its offset."""
    record = record_of(out)
    record["offset"] |= offset
    out.with_suffix(".run.json").write_text(json.dumps(record))
    return out


@pytest.mark.parametrize("options", [{}, {"embeddings": True}])
@pytest.mark.parametrize("expect", ["balanced", "natural", "angry=0.6"])
def test_a_resumed_job_has_one_prior(
    expect: str, options: dict[str, bool], few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """After `adapt --adapt none` with another expectation, files are added."""
    folder, out = tmp_path / "calls", tmp_path / "out.parquet"
    shutil.copytree(few, folder)
    score(folder, out, adapting_path, expect="sad=0.7", **WINDOWS, **options)
    adapt_again(str(out), "none", expect)
    new = next(folder.glob("0.*"))
    shutil.copy(new, folder / f"new{new.suffix}")
    score(folder, out, adapting_path, adapt="none", expect=expect, **WINDOWS, **options)
    assert_holds(out)
    once = tmp_path / "once.parquet"
    score(folder, once, adapting_path, adapt="none", expect=expect, **WINDOWS, **options)
    assert_same_tables(out, once)
    assert record_of(out)["offset"] is None
    assert "offset" in record_of(once)


def test_the_table_of_embeddings_has_no_scores_that_go_stale(base: Path, tmp_path: Path) -> None:
    out = copied(base, tmp_path)
    before = pq.read_table(out.with_suffix(".embeddings.parquet"))
    assert not set(before.schema.names) & {"emotion", "confidence", *SCORES}
    adapt_again(str(out), expect="angry=0.9")
    after = pq.read_table(out.with_suffix(".embeddings.parquet"))
    assert after.equals(before)
    assert after.schema.metadata == pq.read_schema(out).metadata
    assert_holds(out)


def test_adapt_with_another_grouping_keeps_the_offset_that_was_taken_over(
    base: Path, few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """What is not given stays: `--adapt recording` does not drop `--adapt-from`."""
    out, once = tmp_path / "out.parquet", tmp_path / "once.parquet"
    some: dict[str, Any] = {"limit": 2} | WINDOWS
    score(few, out, adapting_path, adapt_from=str(base), **some)
    adapt_again(str(out), "recording")
    score(few, once, adapting_path, adapt_from=str(base), adapt="recording", **some)
    assert record_of(out)["offset"] == record_of(base)["offset"]
    assert record_of(out)["configuration"]["adapt_from"] == str(base)
    assert_same_tables(out, once)
    adapt_again(str(out), "none")  # gives it up
    assert record_of(out)["offset"] is None
    adapt_again(str(out), "archive")
    assert record_of(out)["offset"]["segments"] == record_of(out)["counts"]["segments"]


def test_run_and_predict_take_the_expectation_over_too(
    base: Path, few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """So that a recording has the score that it had there."""
    out = tmp_path / "out.parquet"
    score(few, out, adapting_path, adapt_from=str(base), limit=2, **WINDOWS)
    assert record_of(out)["fingerprint"]["expect"] == "neutral=0.5,angry=0.3"
    left, right = (pd.read_parquet(each).set_index(KEYS)[SCORES] for each in (out, base))
    pd.testing.assert_frame_equal(left, right.loc[left.index], atol=1e-5)
    files = pd.read_parquet(base.with_suffix(".files.parquet")).set_index("file")
    config = PredictConfig(
        str(adapting_path),
        segment=WINDOWS["segment"],
        channels="split",
        adapt_from=str(base),
    )
    path = next(few.glob("1.*"))
    found = next(predict([str(path)], config))["all_emotions"]
    for label in LABELS:
        assert abs(found[label] - files.loc[path.name, f"p_{label}"]) < 1e-4
    other = tmp_path / "other.parquet"
    score(few, other, adapting_path, adapt_from=str(base), expect="natural", limit=2, **WINDOWS)
    assert record_of(other)["fingerprint"]["expect"] == "natural"


def test_equal_expectations_are_one_setting(
    base: Path, few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = copied(base, tmp_path)
    score(few, out, adapting_path, expect="angry=0.3,neutral=0.50", **WINDOWS)
    adapt_again(str(out), expect=" angry = .3 , neutral=0.5")
    assert record_of(out)["fingerprint"] == record_of(base)["fingerprint"]


def test_spaces_around_a_value_are_no_part_of_it(
    few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """`Ben ` and `Ben` are one speaker, and a cell of spaces is empty."""
    names = sorted(path.name for path in few.iterdir())
    found = []
    for ben, nobody in ((" Ben ", " "), ("Ben", "")):
        speakers = ["Ben", ben, "Anna", nobody, ben]
        rows = "".join(f"{n},{s}\n" for n, s in zip(names, speakers, strict=True))
        listed = few / "calls.csv"
        listed.write_text("file,speaker\n" + rows)
        out = tmp_path / f"out{len(found)}.parquet"
        score(listed, out, adapting_path, adapt="speaker", **WINDOWS)
        listed.unlink()
        found.append(pd.read_parquet(out)[SCORES])
    pd.testing.assert_frame_equal(*found)


@pytest.mark.parametrize("options", [{"adapt": ""}, {"expect": ""}, {"adapt_from": " "}])
def test_empty_options_are_refused_alike(
    options: dict[str, str], base: Path, few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    name = next(iter(options)).replace("_", "-")
    with pytest.raises(UsageError, match=f"--{name} .*expected"):
        score(few, tmp_path / "out.parquet", adapting_path, **options)
    out = copied(base, tmp_path)
    again = {"by": options["adapt"]} if "adapt" in options else options
    with pytest.raises(UsageError, match=f"--{name} .*expected"):
        adapt_again(str(out), **again)
    if "adapt" not in options:
        path = next(few.glob("1.*"))
        config = PredictConfig(str(adapting_path), **options)
        with pytest.raises(UsageError, match=f"--{name} .*expected"):
            next(predict([str(path)], config))


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        ({"covariance": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}, "positive semi-definite"),
        ({"covariance": [[1, 2, 0], [0, 1, 0], [0, 0, 1]]}, "positive semi-definite"),
        ({"channels": [1, 2]}, "channels are damaged"),
        ({"channels": {"left": {}}}, "channels are damaged"),
        ({"channels": {"1": []}}, "an offset that is damaged"),
        ({"values": "many"}, "an offset that is damaged"),
        ({"segments": "many"}, "an offset that is damaged"),
        ({"checkpoint_sha256": None}, "names no checkpoint"),
    ],
)
def test_damaged_offsets_are_named_in_words(
    offset: dict[str, Any],
    message: str,
    base: Path,
    few: Path,
    adapting_path: Path,
    tmp_path: Path,
) -> None:
    damaged = changed(copied(base, tmp_path), offset)
    with pytest.raises(UsageError, match=f"--adapt-from .*{message}.*--restart") as raised:
        score(few, tmp_path / "out.parquet", adapting_path, adapt_from=str(damaged))
    assert not any(word in str(raised.value) for word in ("literal", "object", "None", "could not"))


def test_an_earlier_output_that_cannot_be_read_is_named(
    base: Path, few: Path, adapting_path: Path, tmp_path: Path
) -> None:
    cut = copied(base, tmp_path)
    run_json = cut.with_suffix(".run.json")
    run_json.write_text(run_json.read_text()[:300])
    out = tmp_path / "out.parquet"
    with pytest.raises(UsageError, match=r"--adapt-from .*base.run.json damaged") as raised:
        score(few, out, adapting_path, adapt_from=str(cut))
    assert "begins again" not in str(raised.value)
    with pytest.raises(UsageError, match=r"--adapt-from .*expected what --out of its run was"):
        score(few, out, adapting_path, adapt_from=str(run_json))
    assert not out.exists()


def test_an_output_without_adaptation_takes_no_offset_over(
    base: Path, few: Path, adapting_path: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "none.parquet"
    score(few, out, adapting_path, adapt="none", embeddings=True, limit=2, **WINDOWS)
    with pytest.raises(UsageError, match=r"an output without adaptation.*--adapt archive"):
        adapt_again(str(out), adapt_from=str(base))
    report = adapt_again(str(out), "archive", adapt_from=str(base))
    assert f"archive, expecting natural, with the offset of {base}" in report.as_text()
    plain = tmp_path / "plain.parquet"
    score(few, plain, checkpoint_path, limit=2, **WINDOWS)
    with pytest.raises(CheckpointError, match="no offset head") as raised:
        adapt_again(str(plain), "archive")
    assert "--adapt none" not in str(raised.value)

"""`--name-pattern`: columns from the names of files, for `run` and `adapt`."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import LABELS, Runner
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint
from results import assert_equal, assert_holds, score, tables

from batch_ser.errors import MismatchError, UsageError
from batch_ser.results import NamePattern
from jobs import RunReport
from jobs.adapt import adapt_again

CALLS = "{day}/{agent}_{queue}_{call_id}"
WORDS = st.text("ab1-äß %.", min_size=1, max_size=4)
NAMES = ("anna_sales_01", "anna_sales_02", "bob_sales_03", "bob_help_04_again", "holiday")


def values(pattern: str, name: str) -> tuple[str | None, ...] | None:
    return NamePattern(pattern).values(name)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        (CALLS, "2026-11-01/anna_sales_77.wav", ("2026-11-01", "anna", "sales", "77")),
        (CALLS, "2026-11-01/anna_sales_77", ("2026-11-01", "anna", "sales", "77")),
        (CALLS, "archive/2026-11-01/anna_sales_77.wav", ("2026-11-01", "anna", "sales", "77")),
        (CALLS, "anna_sales_77.wav", None),
        (CALLS, "2026-11-01/anna_77.wav", None),
        ("{agent}_{rest}", "anna_sales_77.wav", ("anna", "sales_77")),
        ("{agent}_{id}.wav", "anna_77.wav", ("anna", "77")),
        ("{agent}_{id}.wav", "anna_77.mp3", None),
        ("{id}", "a.tar!/calls/77.final.wav", ("77.final",)),
        ("re:(?P<year>20\\d\\d)", "calls/x2026y.wav", ("2026",)),
        ("re:^(?P<a>x)?(?P<b>.)", "yes.wav", (None, "y")),
    ],
)
def test_values(pattern: str, name: str, expected: tuple[str | None, ...] | None) -> None:
    assert values(pattern, name) == expected


@given(st.lists(WORDS, min_size=3, max_size=3), st.sampled_from(["", ".wav", ".tar.gz"]))
def test_parts_of_a_name_are_found_again(words: list[str], ending: str) -> None:
    """Whatever is in them, but for the separators."""
    day, agent, call = words
    found = values("{day}/{agent}_{call}", f"root/{day}/{agent}_{call}{ending}")
    assert found is not None
    assert found[:2] == (day, agent)
    assert f"{call}{ending}".startswith(found[2])
    assert re.fullmatch(r"(\.[^.]*)?", f"{call}{ending}".removeprefix(found[2]))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("calls", "found no {name}"),
        ("re:calls", r"found no \(\?P<name>...\)"),
        ("{agent}_{agent}", "found {agent} twice"),
        ("{agent}{queue}", "found two names with nothing between them"),
        ("{agent", "found a brace that does not belong to a {name}"),
        ("{the agent}", "found {the agent}, expected a name of letters"),
        ("{}", "found {}, expected a name"),
        ("re:(?P<a>", "not a pattern: missing "),
        ("{file}", "the tables have a column file already"),
        ("{p_happy}", "the tables have a column p_happy already"),
        ("{embedding}", "the tables have a column embedding already"),
    ],
)
def test_patterns_that_cannot_be_used(
    pattern: str, message: str, named: Path, adapting: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    run = ["run", "--input", named, "--out", tmp_path / "out", "--model", adapting]
    done = batch_ser(*run, "--engine", "inline", "--name-pattern", pattern)
    assert done.returncode == 2
    assert re.search(f"--name-pattern .*{message}", done.stderr), done.stderr


@pytest.fixture(scope="module")
def adapting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("adapting") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


@pytest.fixture
def named(archive: Path, tmp_path: Path) -> Path:
    """Recordings named by agent, queue and number, but for one; in the folders of two days."""
    root = tmp_path / "calls"
    recordings = sorted(archive.glob("day*/*.wav"))
    for number, (name, recording) in enumerate(zip(NAMES, recordings, strict=False)):
        folder = root / f"2026-11-0{1 + number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(recording, folder / f"{name}.wav")
    (root / "2026-11-01" / "carl_help_09.wav").write_bytes(b"no audio")
    return root


def run(inputs: Path, out: Path, checkpoint: Path, pattern: str | None = CALLS) -> RunReport:
    return score(inputs, out, checkpoint, name_pattern=pattern, max_failed="1")


def test_run_adds_columns(named: Path, adapting: Path, tmp_path: Path) -> None:
    """Everything else is as without a pattern; a name that does not fit is counted."""
    plain, out = tmp_path / "plain.parquet", tmp_path / "named.parquet"
    run(named, plain, adapting, None)
    report = run(named, out, adapting)
    assert report.record.listing.name_unmatched == 1
    assert re.search(r"name_unmatched +1 ", report.as_text())
    assert_holds(out)
    segments, files = tables(out)
    columns = ["day", "agent", "queue", "call_id"]
    pd.testing.assert_frame_equal(segments.drop(columns=columns), tables(plain)[0])
    pd.testing.assert_frame_equal(files, tables(plain)[1])
    by_file = segments.groupby("file")[columns].first()
    assert by_file.loc["2026-11-02/bob_help_04_again.wav"].tolist() == [
        *("2026-11-02", "bob", "help", "04_again")
    ]
    assert segments[segments["file"] == "2026-11-01/holiday.wav"][columns].isna().all(axis=None)


def test_agents_adapt_without_a_manifest(named: Path, adapting: Path, tmp_path: Path) -> None:
    """By a pattern, at once or later, as by the column of a manifest."""
    by_manifest, at_once = tmp_path / "manifest.parquet", tmp_path / "once.parquet"
    later = tmp_path / "later.parquet"
    lines = [f"{file.relative_to(named)},{file.name.split('_')[0]}" for file in wavs(named)]
    manifest = named / "calls.csv"
    manifest.write_text("\n".join(["file,agent", *lines]).replace(",holiday.wav", ","))
    score(manifest, by_manifest, adapting, adapt="agent", max_failed="1")
    manifest.unlink()
    pattern = "{agent}_{rest}"
    score(named, at_once, adapting, adapt="agent", name_pattern=pattern, max_failed="1")
    score(named, later, adapting, max_failed="1")
    adapt_again(str(later), "agent", name_pattern=pattern)
    assert_holds(later)
    assert_equal(at_once, later)
    scores = [name for name in tables(later)[0] if name.startswith("p_")]
    pd.testing.assert_frame_equal(
        tables(later)[0][scores], tables(by_manifest)[0][scores], atol=1e-4, rtol=0
    )


def wavs(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.wav"))


def test_another_pattern_takes_the_place_of_the_first(
    named: Path, adapting: Path, tmp_path: Path
) -> None:
    """And `run` goes on with that one alone, for new files, too."""
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    new = "re:/(?P<who>[a-z]+)_"
    run(named, out, adapting)
    report = adapt_again(str(out), name_pattern=new)
    assert report.record.listing.name_unmatched == 1
    assert list(tables(out)[0].columns)[-1] == "who"
    assert "agent" not in tables(out)[0]
    shutil.copy(wavs(named)[0], named / "2026-11-01" / "dora_help_10.wav")
    with pytest.raises(MismatchError, match="name_pattern was "):
        run(named, out, adapting)
    run(named, out, adapting, new)
    run(named, whole, adapting, new)
    assert_holds(out)
    assert_equal(out, whole)
    record = json.loads(out.with_suffix(".run.json").read_text())
    assert record["configuration"]["name_pattern"] == record["fingerprint"]["name_pattern"] == new


def test_a_column_of_the_manifest_is_not_hidden(
    named: Path, adapting: Path, tmp_path: Path
) -> None:
    manifest = named / "calls.csv"
    manifest.write_text(f"file,agent\n{wavs(named)[0].relative_to(named)},x\n")
    with pytest.raises(UsageError, match="a column agent already"):
        run(manifest, tmp_path / "out.parquet", adapting)


def test_a_thousand_names() -> None:
    names = [f"2026-11-{n % 30:02}/agent{n % 7}_q{n % 3}_{n}.wav" for n in range(1_000)]
    pattern = NamePattern(CALLS)
    assert pattern.unmatched(names) == 0
    assert pattern.unmatched([*names, "2026-11-01/announcement.wav"]) == 1
    assert {(pattern.values(name) or "")[1] for name in names} == {f"agent{n}" for n in range(7)}

"""`batch-ser calls`: the tables of an output to those of calls and groups, on disk and in S3."""

import contextlib
import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from call_tables import (
    CALLS,
    ROLE_SETTING,
    drawn_calls,
    write_output,
)
from conftest import Runner
from interruptions import Interruption, at_operation, interrupted
from results import assert_holds, score
from telephone_call import AGENT, CUSTOMER, RATE_HZ, composed

from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import Selection, Walk
from batch_ser.results import Output, remove, stale_tables
from batch_ser.results.json_files import write_json
from batch_ser.storage import describe_files
from jobs import RunConfig, run
from jobs.calls import make_calls

TALK = """
    SELECT file, role, sum(end_s - start_s) AS talk_s
    FROM 'out.speech.parquet' WHERE NOT crosstalk GROUP BY ALL
"""
TOTALS = """
    WITH own AS (SELECT * FROM 'out.speech.parquet' WHERE NOT crosstalk),
    before AS (
        SELECT file, start_s, end_s, coalesce(max(end_s) OVER earlier, 0) AS until_s FROM own
        WINDOW earlier AS (
            PARTITION BY file ORDER BY start_s, end_s
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
    )
    SELECT file,
        max(end_s) AS duration_s,
        sum(greatest(0, end_s - greatest(start_s, until_s))) AS talk_s,
        coalesce(sum(start_s - until_s) FILTER (start_s - until_s > 3), 0) AS non_talk_s,
        count(*) FILTER (start_s - until_s > 3) AS non_talks
    FROM before GROUP BY file
"""
OVERLAP = """
    SELECT a.file, sum(least(a.end_s, c.end_s) - greatest(a.start_s, c.start_s)) AS overlap_s
    FROM 'out.speech.parquet' AS a JOIN 'out.speech.parquet' AS c
    ON a.file = c.file AND a.role = 'agent' AND c.role = 'customer'
        AND a.start_s < c.end_s AND c.start_s < a.end_s AND NOT a.crosstalk AND NOT c.crosstalk
    GROUP BY a.file
"""
SCORES = """
    SELECT file, role, sum(d) AS scored_s, sum(d * (p_angry + p_sad)) AS negative_s,
        5 * sum(d * (p_happy - p_angry - p_sad)) / sum(d) AS score,
        sum(d * p_neutral) / sum(d) AS p_neutral,
        max(p_angry) FILTER (d >= 1.5) AS peak
    FROM (SELECT *, end_s - start_s AS d FROM 'out.parquet' WHERE NOT crosstalk)
    GROUP BY ALL
"""
QUARTERS = """
    WITH last AS (
        SELECT file, role, max(end_s) AS word_s FROM 'out.speech.parquet'
        WHERE NOT crosstalk GROUP BY ALL
    ),
    inside AS (
        SELECT file, role, q, p_happy - p_angry - p_sad AS v,
            greatest(0, least(end_s, word_s * q / 4) - greatest(start_s, word_s * (q - 1) / 4)) AS d
        FROM 'out.parquet' JOIN last USING (file, role), (VALUES (1), (2), (3), (4)) AS quarters(q)
        WHERE NOT crosstalk
    )
    SELECT file, role, q, 5 * sum(d * v) / sum(d) AS score
    FROM inside GROUP BY ALL HAVING sum(d) >= 3
"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output of composed calls."""
    out = tmp_path / "out.parquet"
    write_output(out, *drawn_calls(), columns=("queue",), roles=ROLE_SETTING)
    return out


def test_figures_are_those_of_sql(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    monkeypatch.chdir(out.parent)
    make_calls("out.parquet")
    calls = pd.read_parquet("out.calls.parquet").set_index("file")
    assert len(calls) == CALLS + 1, "a row for each row of the files table"

    def by_role(query: str, names: dict[str, str]) -> None:
        found = duckdb.sql(query).df()
        assert len(found) > CALLS
        for row in found.to_dict("records"):
            for name, column in names.items():
                value = calls.loc[row["file"], column.format(**row)]
                assert value == pytest.approx(row[name], abs=1e-5, nan_ok=True), (row, column)

    by_role(TALK, {"talk_s": "talk_time_{role}_s"})
    names = {"score": "emotion_overall_score_{role}", "negative_s": "negative_time_{role}_s"}
    names |= {"p_neutral": "p_neutral_{role}", "scored_s": "scored_{role}_s"}
    by_role(SCORES, names | {"peak": "anger_peak_{role}"})
    by_role(QUARTERS, {"score": "emotion_q{q}_score_{role}"})
    assert calls.filter(like="_q").notna().sum().sum() == len(duckdb.sql(QUARTERS).df())
    totals = duckdb.sql(TOTALS).df().set_index("file")
    names = {"duration_s": "total_conversation_duration_s", "talk_s": "talk_time_total_s"}
    names |= {"non_talk_s": "non_talk_time_total_s", "non_talks": "non_talk_count"}
    found = calls.loc[totals.index, [*names.values()]].to_numpy()
    np.testing.assert_allclose(found, totals[[*names]].to_numpy(), atol=1e-6)
    overlap = duckdb.sql(OVERLAP).df().set_index("file")["overlap_s"]
    pd.testing.assert_series_equal(
        calls["overlap_s"].drop("failed.wav"),
        overlap.reindex(calls.index.drop("failed.wav")).fillna(0),
        check_index=False,
    )


def test_groups_are_those_of_the_calls(out: Path) -> None:
    report = make_calls(str(out), ["queue"])
    calls = pd.read_parquet(out.with_suffix(".calls.parquet"))
    groups = pd.read_parquet(out.with_suffix(".groups.parquet"))
    assert report.groups == len(groups) == 3
    assert groups["calls"].sum() == CALLS
    assert groups["few_calls"].all()
    good = calls[calls["status"] == "ok"]
    for row in groups.to_dict("records"):
        known = isinstance(row["queue"], str)
        mine = good[good["queue"] == row["queue"] if known else good["queue"].isna()]
        score = mine["emotion_overall_score_agent"]
        assert row["emotion_overall_score_agent"] == pytest.approx(score.mean())
        assert row["share_below_0_agent"] == pytest.approx((score.dropna() < 0).mean())
        assert row["hours"] == pytest.approx(len(mine) * 200 / 3_600)
    make_calls(str(out))
    assert pd.read_parquet(out.with_suffix(".groups.parquet"))["calls"].tolist() == [CALLS]


def is_number(cell: str) -> bool:
    with contextlib.suppress(ValueError):
        return np.isfinite(float(cell))
    return False


def test_the_spreadsheet_has_the_same_and_computes_nothing(out: Path) -> None:
    make_calls(str(out))
    calls = pd.read_parquet(out.with_suffix(".calls.parquet"))
    with out.with_suffix(".calls.csv").open(encoding="utf-8-sig", newline="") as file:
        found = list(csv.DictReader(file))
    assert [*found[0]] == calls.columns.tolist()
    assert {row["queue"] for row in found} == {"'=1+1", "sales", ""}
    scores = [row["emotion_overall_score_agent"] for row in found]
    assert "-" in {score[:1] for score in scores}, "negative numbers stay numbers"
    numbers = [float(score) if score else None for score in scores]
    np.testing.assert_allclose(
        np.array(numbers, float), calls["emotion_overall_score_agent"], rtol=0, atol=1e-6
    )
    text = out.with_suffix(".calls.csv").read_text(encoding="utf-8-sig")
    assert not [cell for cell in re.findall(r'(?:^|,)([^",\n]+)', text) if not is_number(cell)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--by", "agent"], r"--by agent: expected columns of the output \(queue\)"),
        (["--positive", "joy"], "--positive joy: found joy"),
    ],
)
def test_what_cannot_be_done(
    out: Path, options: list[str], message: str, batch_ser: Runner
) -> None:
    done = batch_ser("calls", out, *options)
    assert done.returncode == 2
    assert pd.Series([done.stderr]).str.contains(message).all(), done.stderr
    assert not list(out.parent.glob("out.calls*"))


def test_groups_whose_means_were_subtracted_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    write_output(out, *drawn_calls(), columns=("queue",), adapt="queue")
    with pytest.raises(UsageError, match="--by queue: found an output of --adapt queue"):
        make_calls(str(out), ["queue"])


def test_without_a_speech_table_the_report_says_so(tmp_path: Path, batch_ser: Runner) -> None:
    files, segments, _ = drawn_calls()
    files = [each | {"speech_s": None} for each in files]
    segments = [each | {"crosstalk": None} for each in segments]
    write_output(tmp_path / "out.parquet", files, segments, None, columns=("queue",))
    done = batch_ser("calls", "out.parquet")
    assert done.returncode == 0
    assert f"calls: {CALLS + 1}, groups: 1" in done.stdout
    assert "talk times are null" in done.stdout
    calls = pd.read_parquet(tmp_path / "out.calls.parquet")
    assert calls["talk_time_agent_s"].isna().all()
    assert calls["emotion_overall_score_agent"].notna().sum() > CALLS / 2


def test_files_of_others_are_not_overwritten(out: Path, batch_ser: Runner) -> None:
    """Such as the segments table of an output with that name."""
    other = out.with_suffix(".calls.parquet")
    shutil.copy(out, other)
    done = batch_ser("calls", out)
    assert done.returncode == 2
    assert "out.calls.parquet exists and is not a table of this output" in done.stderr
    assert other.read_bytes() == out.read_bytes()
    other.rename(out.with_suffix(".calls.csv"))
    assert batch_ser("calls", out).returncode == 2


def test_tables_of_an_earlier_version_are_refused(out: Path) -> None:
    """They lack a column, which cannot be made up."""
    segments = pq.read_table(out).drop_columns("role")
    pq.write_table(segments, out)
    output = Output(str(out))
    record = output.complete_record()
    assert record
    record["tables"] |= describe_files([out], out.parent)
    write_json(output.folder, output.run_json, record)
    with pytest.raises(MismatchError, match=r"without the column role; give its run again"):
        make_calls(str(out))


def test_its_files_are_no_inputs(out: Path) -> None:
    """Of a later run over the folder that they are in."""
    make_calls(str(out))
    shutil.copy(out, out.with_name("other.parquet"))
    never = Output(str(out)).own_paths
    found = Walk((str(out.parent),), Selection(include=("*",), never=never))
    assert [each.file for each in found] == ["other.parquet"]


def test_a_missing_or_unfinished_output(tmp_path: Path, batch_ser: Runner) -> None:
    done = batch_ser("calls", "missing.parquet")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "missing.parquet: no output of batch-ser" in done.stderr


def test_killed_at_every_operation(tmp_path: Path) -> None:
    """The output stays complete, nothing is left by the next call, and it is made whole."""
    out = tmp_path / "out.parquet"
    write_output(out, *drawn_calls(3), columns=("queue",), roles=ROLE_SETTING)
    make_calls(str(out))
    files = {path.name: path.read_bytes() for path in out.parent.iterdir()}
    for number in range(60):
        try:
            with at_operation(number, interrupted):
                make_calls(str(out), ["queue"])
            break
        except Interruption:
            make_calls(str(out))
        assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == files
    assert 5 < number < 59


def test_in_an_object_store(out: Path, bucket: str) -> None:
    """The same tables as on disk, and nothing else is left there."""
    make_calls(str(out), ["queue"])
    there = Output(f"{bucket}/out.parquet")
    local = Output(str(out))
    own = [*local.complete_record()["tables"], local.run_json]
    for name in own:
        there.folder.write(name, (out.parent / name).read_bytes())
    make_calls(there.out, ["queue"])
    found = {each.name for each in there.folder.entries()}
    assert found == {*own, *local.derived_files}
    for name in local.derived_files:
        assert there.folder.read(name) == (out.parent / name).read_bytes()
    assert not stale_tables(there)
    remove(there)
    assert not list(there.folder.entries())


@pytest.fixture(scope="module")
def recordings(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls of two agents with a voice on each channel, one that is mono, one that is no audio."""
    folder = tmp_path_factory.mktemp("recordings")
    agent, customer = (composed(calls, parts)[0] for parts in (AGENT, CUSTOMER))
    for name, channels in (("ann_1", [agent, customer]), ("ben_2", [customer, agent])):
        soundfile.write(folder / f"{name}.wav", np.stack(channels, 1), RATE_HZ)
    soundfile.write(folder / "ben_3.wav", (agent + customer) / 2, RATE_HZ)
    (folder / "ann_4.wav").write_text("no audio")
    return folder


OPTIONS: dict[str, Any] = {"name_pattern": "{agent}_{call}", "max_failed": "1"}


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_real_recordings(
    name: str, recordings: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """From the recordings to the calls; later runs report stale ones, and `--restart` removes."""
    out = tmp_path / name
    score(recordings, out, checkpoint_path, roles=ROLE_SETTING, **OPTIONS)
    done = batch_ser("calls", out, "--by", "agent")
    assert done.returncode == 0, done.stderr
    output = Output(str(out))
    paths = [tmp_path / Path(output.folder.place(each)) for each in output.derived_files]
    calls = pd.read_parquet(paths[0]).set_index("file")
    assert calls["status"].tolist() == ["ok", "failed", "ok", "ok"]
    assert calls["agent"].tolist() == ["ann", "ann", "ben", "ben"], "also of the one that failed"
    speech = {"agent": AGENT, "customer": CUSTOMER}
    for role, parts in speech.items():
        assert calls.loc["ann_1.wav", f"talk_time_{role}_s"] == pytest.approx(
            sum(end - start for _, start, end, _ in parts), abs=3
        )
    for one, other in (("agent", "customer"), ("customer", "agent")):
        names = ["talk_time_{}_s", "interruptions_{}_count", "longest_turn_{}_s"]
        mine = calls.loc["ann_1.wav", [each.format(one) for each in names]]
        theirs = calls.loc["ben_2.wav", [each.format(other) for each in names]]
        assert mine.tolist() == theirs.tolist(), "the same call with its channels exchanged"
    assert calls.loc["ben_3.wav", "talk_time_ch0_s"] > 15
    assert np.isnan(calls.loc["ben_3.wav", "talk_time_agent_s"])
    assert calls.loc["ann_1.wav", "coverage_customer"] > 0.9
    assert pd.read_parquet(paths[2])["calls"].tolist() == [1, 2]
    metadata = pq.read_schema(paths[0]).metadata
    assert metadata[b"licence"] == b"none: random weights"
    assert json.loads(metadata[b"negative"]) == ["angry", "sad"]
    assert_holds(out)
    assert "stale" not in batch_ser("verify", out).stdout

    soundfile.write(recordings / "zoe_5.wav", np.zeros((RATE_HZ, 2)), RATE_HZ)
    config = RunConfig((str(recordings),), str(out), str(checkpoint_path), engine="inline")
    options = {"roles": ROLE_SETTING} | OPTIONS
    try:
        report = run(RunConfig(**(vars(config) | options)))
    finally:
        (recordings / "zoe_5.wav").unlink()
    assert f"stale: {paths[0]} was made of earlier tables" in report.as_text()
    assert "stale: " in batch_ser("verify", out).stdout
    assert_holds(out)
    make_calls(str(out))
    assert "stale" not in batch_ser("verify", out).stdout
    assert len(pd.read_parquet(paths[0])) == 5
    run(RunConfig(**(vars(config) | options | {"restart": True})))
    assert not any(path.exists() for path in paths)

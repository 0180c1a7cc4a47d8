"""Whose voice is scored, where the other side leaks into a channel; and the speech table."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import LABELS
from networks import small_checkpoint
from results import assert_equal, assert_holds, rows, score, tables
from telephone_call import LENGTH_S, RATE_HZ, composed

from batch_ser.audio import sndfile
from batch_ser.errors import MismatchError
from batch_ser.inputs import InputFile
from batch_ser.inputs.given_segments import GivenSegment, pack
from batch_ser.results import TABLES, Output, TableSchemas, times_and_scores, verify
from batch_ser.segments import SegmentSettings
from batch_ser.storage.local import LocalFolder
from jobs import RunConfig, commit, job, run
from jobs.adapt import adapt_again
from jobs.worker import ShardSettings, score_shard, shard
from jobs.worker.pool import FilePiece, Pool
from models import load_checkpoint

ROLES = "0=agent,1=customer"
AGENT = (("announcement.opus", 3.9, 9.8, 1.0), ("announcement.opus", 16.6, 21.8, 24.5))
CUSTOMER = (("support-ulaw.wav", 0.55, 7.65, 7.8), ("support-ulaw.wav", 43.4, 48.1, 17.5))
LEAKS_S = [(1.0, 6.9), (24.5, 29.7)]  # of the agent in the customer's channel
ACCOUNT = ["scored_s", "not_speech_s", "too_short_s", "not_asked_s"]
METHODS: dict[str, dict[str, Any]] = {
    "speech": {"method": "speech"},
    "window": {"method": "window", "window_s": 2.0},
    "whole": {"method": "whole"},
}


def written(path: Path, calls: Path, *, gain_db: float | None) -> Path:
    """A call whose agent leaks into the customer's channel, 100 ms later."""
    agent, customer = (composed(calls, parts)[0] for parts in (AGENT, CUSTOMER))
    if gain_db is not None:
        delay = RATE_HZ // 10
        customer[delay:] += np.float32(10 ** (gain_db / 20)) * agent[:-delay]
    soundfile.write(path, np.stack([agent, customer], 1), RATE_HZ, subtype="ULAW")
    return path


@pytest.fixture(scope="module")
def call(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("call") / "call.wav", calls, gain_db=-15.0)


@pytest.fixture(scope="module")
def offset_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with an offset head: jobs keep embeddings and sums of groups."""
    path = tmp_path_factory.mktemp("checkpoint") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


def speech_of(out: Path) -> pd.DataFrame:
    return rows(out, "speech")


def in_leaks(frame: pd.DataFrame) -> pd.Series:
    """Which rows are for the most part in a leak."""
    middle = (frame["start_s"] + frame["end_s"]) / 2
    return pd.concat([middle.between(s, e + 0.05) for s, e in LEAKS_S], axis=1).any(axis=1)


def test_talk_time_of_both_stands(call: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    """Whoever is scored: speech is detected on all channels, and a leak is nobody's talk time."""
    outs = {name: tmp_path / f"{name}.parquet" for name in ("all", "customer", "window")}
    score(call, outs["all"], checkpoint_path, roles=ROLES)
    score(call, outs["customer"], checkpoint_path, roles=ROLES, score="customer")
    window = METHODS["window"]
    score(call, outs["window"], checkpoint_path, roles=ROLES, segment=window)
    for out in outs.values():
        assert_holds(out)
        pd.testing.assert_frame_equal(speech_of(out), speech_of(outs["all"]))
        talk = tables(out)[1].iloc[0]
        assert talk["note"] == "crosstalk"
        assert list(talk["speech_s"]) == list(tables(outs["all"])[1].iloc[0]["speech_s"])
        assert talk["speech_s"][0] == pytest.approx(11.1, rel=0.15)
        assert talk["speech_s"][1] == pytest.approx(11.8, rel=0.15)
        assert talk["overlap_s"] < 1
    speech = speech_of(outs["all"])
    assert speech.columns.tolist() == ["file", "channel", "role", "start_s", "end_s", "crosstalk"]
    assert (speech["role"] == speech["channel"].map({0: "agent", 1: "customer"})).all()
    assert (speech["end_s"] - speech["start_s"] >= 0.25).all()
    leaks = (speech["channel"] == 1) & in_leaks(speech)
    assert leaks.sum() > 1
    assert speech["crosstalk"].equals(leaks)


def test_a_segment_of_crosstalk_says_so(call: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(call, out, checkpoint_path)
    assert_holds(out)
    segments = tables(out)[0]
    leaks = (segments["channel"] == 1) & in_leaks(segments)
    assert leaks.sum() > 1
    assert segments["crosstalk"].equals(leaks)
    assert segments["role"].isna().all()


def test_without_detection_there_is_no_speech_table(
    call: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    score(call, out, checkpoint_path, segment=METHODS["window"])
    assert_holds(out)
    assert not out.with_suffix(".speech.parquet").exists()
    assert tables(out)[0]["crosstalk"].isna().all()


@pytest.mark.parametrize("method", METHODS)
def test_a_leak_has_no_row_under_score(
    call: Path, calls: Path, checkpoint_path: Path, tmp_path: Path, method: str
) -> None:
    """And what the customer says has the scores that it has without any leak, if apart from it."""
    out, alone = tmp_path / "out.parquet", tmp_path / "alone.parquet"
    options: dict[str, Any] = {"roles": ROLES, "score": "customer", "segment": METHODS[method]}
    score(call, out, checkpoint_path, **options)
    score(written(tmp_path / "call.wav", calls, gain_db=None), alone, checkpoint_path, **options)
    assert_holds(out)
    segments, files = tables(out)
    assert set(segments["role"]) == {"customer"}
    assert not segments["crosstalk"].any()
    row = files.iloc[0]
    assert row["decoded_s"] == pytest.approx(row[ACCOUNT].sum())
    if method == "whole":
        assert len(segments) == 1
        return
    assert not in_leaks(segments).any()
    speech = speech_of(out)
    leaks = speech[speech["crosstalk"]]
    leaks_s = (leaks["end_s"] - leaks["start_s"]).sum()
    assert row["not_asked_s"] == pytest.approx(LENGTH_S + leaks_s, abs=2.5)
    assert row["not_asked_s"] > LENGTH_S + 5
    clean = tables(alone)[0]
    scores = [f"p_{label}" for label in LABELS]
    same = segments.merge(clean, on=["start_s", "end_s"], suffixes=("", "_clean"))
    assert len(same) >= 2
    for name in scores:
        assert np.allclose(same[name], same[f"{name}_clean"], atol=0.05)


def test_given_segments_pass_the_same_gate(
    call: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """One of a leak alone has no row; one of the agent's channel neither; both are not asked."""
    shutil.copy2(call, tmp_path)
    lines = ["1.0,6.0,1", "8.0,14.0,1", "18.0,29.0,1", "1.0,6.0,0", "25.0,25.005,1"]
    listed = tmp_path / "given.csv"
    listed.write_text("file,start_s,end_s,channel\n" + "".join(f"call.wav,{x}\n" for x in lines))
    out = tmp_path / "out.parquet"
    score(listed, out, checkpoint_path, roles=ROLES, score="customer")
    assert_holds(out)
    segments, files = tables(out)
    assert list(zip(segments["channel"], segments["start_s"], segments["end_s"], strict=True)) == [
        (1, 8.0, 14.0),
        (1, 18.0, 29.0),
    ]
    assert len(files["speech_s"][0]) == 2
    row = files.iloc[0]
    assert row[ACCOUNT].sum() == pytest.approx(2 * LENGTH_S)
    assert row["scored_s"] == pytest.approx(17.0)
    assert row["note"] == "too_short, crosstalk"


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[Any]]]:
    """All that a job writes, all that workers return, and all that they score."""
    seen: dict[str, list[Any]] = {"files": [], "results": [], "pieces": []}
    write, add, piece = LocalFolder.write, commit.Committer.add, Pool.add

    def writes(self: LocalFolder, name: str, data: bytes, *more: Any) -> None:
        seen["files"].append((name, data))
        write(self, name, data, *more)

    def adds(self: commit.Committer, result: shard.ShardResult) -> None:
        seen["results"].append(result)
        add(self, result)

    def pieces(self: Pool, each: FilePiece) -> None:
        seen["pieces"].append(each.samples)
        piece(self, each)

    monkeypatch.setattr(LocalFolder, "write", writes)
    monkeypatch.setattr(commit.Committer, "add", adds)
    monkeypatch.setattr(Pool, "add", pieces)
    return seen


def test_nothing_of_the_agent_is_computed_anywhere(
    call: Path,
    offset_checkpoint: Path,
    tmp_path: Path,
    everything: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No row, embedding or sum of the agent's, nor of what leaks, in any file or result."""
    monkeypatch.setattr(job, "PARTIAL_S", 4.0)
    monkeypatch.setattr(commit, "COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr(sndfile, "BLOCK_VALUES", 2 * RATE_HZ)
    out = tmp_path / "out.parquet"
    options = {"roles": ROLES, "score": "customer", "embeddings": True, "batch_s": 1.0}
    score(call, out, offset_checkpoint, **options)
    assert_holds(out)
    published = [pq.read_table(tmp_path / name) for name in out.parent.glob("*.parquet")]
    parts = [pq.read_table(pa.BufferReader(d)) for n, d in everything["files"] if "parquet" in n]
    returned = [each.segments for each in everything["results"]]
    assert len(returned) > 3
    scored = [each for each in (*published, *parts, *returned) if "embedding" in each.column_names]
    assert len(scored) > 6
    for table in scored:
        frame = table.to_pandas()
        assert set(frame["channel"]) <= {1}
        assert not in_leaks(frame).any()
    segments, files = tables(out)
    record = Output(str(out)).complete_record()
    assert record
    assert record["offset"]["segments"] == len(segments)
    assert set(record["offset"]["channels"]) <= {"1"}
    assert record["configuration"]["score"] == record["fingerprint"]["score"] == "customer"
    assert record["configuration"]["roles"] == ROLES
    # what the network received is what has a row, and as much
    assert sum(map(len, everything["pieces"])) / 16_000 == pytest.approx(
        files["scored_s"][0], abs=0.01
    )


def test_what_the_agent_says_changes_nothing(
    call: Path, offset_checkpoint: Path, tmp_path: Path
) -> None:
    """Not a number of the customer's rows, embeddings and offset depends on it."""
    line, _ = soundfile.read(call, dtype="float32")
    clean = tmp_path / "clean"
    for name, agent in (("one", line[:, 0]), ("other", np.roll(line[:, 0], -5 * RATE_HZ))):
        (clean / name).mkdir(parents=True)
        both = np.stack([agent, np.where(np.arange(len(line)) < 7 * RATE_HZ, 0, line[:, 1])], 1)
        both[23 * RATE_HZ :, 1] = 0
        soundfile.write(clean / name / "call.wav", both, RATE_HZ)
        out = tmp_path / f"{name}.parquet"
        score(clean / name, out, offset_checkpoint, roles=ROLES, score="customer")
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    for table in ("segments", "embeddings"):
        left, right = rows(one, table), rows(other, table)
        if table == "embeddings":
            assert np.array_equal(*(np.stack(each.pop("embedding")) for each in (left, right)))
        pd.testing.assert_frame_equal(left, right)
    records = [Output(str(out)).complete_record() or {} for out in (one, other)]
    assert records[0]["offset"] == records[1]["offset"]
    assert not speech_of(one).equals(speech_of(other))


@pytest.mark.parametrize("method", ["speech", "window", "given"])
def test_a_call_that_is_begun_again_gives_the_same_rows(
    call: Path, checkpoint_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of its segments was committed: regions are found again."""
    monkeypatch.setattr(sndfile, "BLOCK_VALUES", 2 * RATE_HZ)
    lines = [GivenSegment(s, s + 3.0, c, ()) for s in (1.0, 2.0, 9.0, 20.0, 26.0) for c in (0, 1)]
    file = InputFile("a.wav", str(call), given_segments=pack(lines) if method == "given" else b"")
    checkpoint = load_checkpoint(str(checkpoint_path))
    settings = ShardSettings(
        SegmentSettings(method, window_s=2.0, hop_s=1.0, max_s=4.0, piece_s=3.0),
        TableSchemas(LABELS, detects=True),
        roles={0: "agent", 1: "customer"},
        score="customer",
        batch_s=1.0,
        partial_s=4.0,
    )
    *partial, calm = score_shard([file], checkpoint, settings)
    assert not any(len(each.speech) for each in partial)
    stored = [each.segments for each in partial if len(each.segments)]
    assert stored
    rows_before = {file.file: pa.concat_tables(map(times_and_scores, stored))}
    *_, again = score_shard([file], checkpoint, settings, rows_before)
    for name in ("segments", "files", "speech"):
        one, other = (getattr(each, name).to_pandas() for each in (calm, again))
        pd.testing.assert_frame_equal(one, other, atol=1e-5)
    assert calm.files["reason"].to_pylist() == [None]
    assert set(calm.segments["channel"].to_pylist()) == {1}
    assert len(calm.speech)
    whole = replace(settings, partial_s=None, batch_s=64.0)
    [at_once] = score_shard([file], checkpoint, whole)
    assert at_once.speech.equals(calm.speech)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_adaptation_leaves_the_speech_table_as_it_is(
    call: Path, offset_checkpoint: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    run(RunConfig((str(call),), str(out), str(offset_checkpoint), engine="inline", roles=ROLES))
    before = {table: rows(out, table) for table in TABLES}
    adapt_again(str(out), "recording")
    assert_holds(out)
    pd.testing.assert_frame_equal(rows(out, "speech"), before["speech"])
    for table in ("segments", "embeddings"):
        kept = ["file", "channel", "segment", "role", "crosstalk"]
        pd.testing.assert_frame_equal(rows(out, table)[kept], before[table][kept])
    assert (before["segments"]["p_neutral"] != rows(out, "segments")["p_neutral"]).any()
    adapt_again(str(out), "archive")

    again = tmp_path / f"again-{name}"
    run(RunConfig((str(call),), str(again), str(offset_checkpoint), engine="inline", roles=ROLES))
    assert_equal(out, again)


def test_tables_of_an_earlier_version_are_refused(
    call: Path, offset_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no speech table, and other columns."""
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as earlier:
        earlier.setattr("jobs.fingerprint.SCORES_VERSION", 5)
        score(call, out, offset_checkpoint)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    with pytest.raises(MismatchError, match="scores_version was 5"):
        score(call, out, offset_checkpoint)
    with pytest.raises(MismatchError, match=r"another version .*scores_version 5.* --restart"):
        adapt_again(str(out), "recording")
    assert hashlib.sha256(out.read_bytes()).hexdigest() == digest


def test_a_speech_table_of_others_is_not_overwritten(
    call: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "out.speech.parquet"
    theirs.write_text("theirs")
    for restart in (False, True):
        with pytest.raises(MismatchError, match=r"out.speech.parquet exists and is not an output"):
            score(call, tmp_path / "out.parquet", checkpoint_path, restart=restart)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.slice(1), "talk time of"),
        (lambda t: pa.concat_tables([t.slice(1), t.slice(0, 1)]), "are not in order"),
        (lambda t: with_column(t, "crosstalk", [False] * len(t)), "its note is crosstalk"),
        (lambda t: with_column(t, "file", ["b.wav"] * len(t)), "has speech, but no row"),
    ],
)
def test_verify_recounts_talk_time(
    call: Path, checkpoint_path: Path, tmp_path: Path, change: Any, fault: str
) -> None:
    out = tmp_path / "out.parquet"
    score(call, out, checkpoint_path, roles=ROLES)
    path = out.with_suffix(".speech.parquet")
    pq.write_table(change(pq.read_table(path)), path)
    faults = verify(Output(str(out))).faults
    assert any(fault in each for each in faults), faults


def with_column(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), pa.array(values))


def test_verify_finds_a_row_of_another_role(
    call: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    score(call, out, checkpoint_path, roles=ROLES, score="customer")
    table = pq.read_table(out)
    roles = (
        pa.array(["agent"] * len(table)).dictionary_encode().cast(table.schema.field("role").type)
    )
    at = table.schema.get_field_index("role")
    pq.write_table(table.set_column(at, table.schema.field(at), roles), out)
    faults = verify(Output(str(out))).faults
    assert any("segments of the role agent; scored was customer alone" in each for each in faults)

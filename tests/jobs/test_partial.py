"""Long recordings: rows that are committed before the end, and what becomes of them."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
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
from hypothesis import given, settings
from hypothesis import strategies as st
from interruptions import Interruption, assert_tidy
from networks import small_checkpoint
from ray import cloudpickle
from results import assert_holds, assert_same_tables, score, tables

from batch_ser.audio import sndfile
from batch_ser.audio.samples import Samples
from batch_ser.errors import MismatchError
from batch_ser.features import Features
from batch_ser.inputs import InputFile
from batch_ser.inputs.given_segments import GivenSegment, pack
from batch_ser.results import CommittedParts, Output, TableSchemas, times_and_scores
from batch_ser.segments import SegmentSettings
from jobs import commit, driver, job, on_ray, tasks
from jobs.adapt import adapt_again
from jobs.sharding import Shard
from jobs.worker import Fetching, ShardResult, ShardSettings, score_shard
from jobs.worker_process import Worker
from models import Checkpoint, load_checkpoint

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
RATE_HZ = 16_000
PARTIAL_S = 4.0  # of audio, between partial results
BATCH_S = 2.0  # so that not all of a short recording waits for a full batch
BLOCK = 2 * 16_000  # values: one second on two channels
GIVEN = [(0.0, 2.5), (1.0, 2.0), (1.0, 9.0), (1.0, 50.0), (12.0, 12.02), (14.5, 21.0), (56.0, 59.0)]
SETTINGS = {
    "speech": SegmentSettings("speech", max_s=4.0, piece_s=3.0),
    "overlapping windows": SegmentSettings("window", window_s=4.0, hop_s=1.5),
    "given": SegmentSettings("given", min_s=0.01, piece_s=3.0),
    "whole": SegmentSettings("whole", piece_s=3.0),
}
HEADS = {  # the network, and whether embeddings are kept
    "linear": ("whisper", False),
    "linear, embeddings": ("whisper, hidden", True),
    "offset": ("whisper, offset", False),
    "offset, embeddings": ("whisper, offset", True),
}


class Counted(Checkpoint):
    """A checkpoint that counts the seconds of audio of which it computes features."""

    scored_s = 0.0

    def features(self, segments: "list[Samples]") -> Features:  # type: ignore[override]
        self.scored_s += sum(map(len, segments)) / self.info.rate_hz
        return super().features(segments)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sndfile, "BLOCK_VALUES", BLOCK)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> InputFile:
    """A minute of real speech on two channels, with given segments of both and of one."""
    path = tmp_path_factory.mktemp("stereo") / "call.wav"
    left = np.tile(speech, 3)[: 60 * RATE_HZ]
    soundfile.write(path, np.stack([left, np.roll(left, 123_456)], 1), RATE_HZ)
    lines = [GivenSegment(*times, channel, ()) for times in GIVEN for channel in (None, 1)]
    return InputFile("call.wav", str(path), given_segments=pack(lines))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    folder = tmp_path_factory.mktemp("checkpoints")
    found = {}
    for number, name in enumerate({network for network, _ in HEADS.values()}):
        found[name] = load_checkpoint(str(small_checkpoint(folder / f"{number}", name, LABELS)))
        found[name].__class__ = Counted
    return found


Case = tuple[InputFile, Counted, ShardSettings]


@pytest.fixture(scope="module")
def case_of(stereo: InputFile, checkpoints: dict[str, Checkpoint]) -> Callable[[str, str], Case]:
    def case_of(segments: str, head: str) -> Case:
        network, embed = HEADS[head]
        checkpoint = checkpoints[network]
        assert isinstance(checkpoint, Counted)
        width = checkpoint.embedding_width if embed else 0
        schemas = TableSchemas(LABELS, embedding_width=width, given=segments == "given")
        options = ShardSettings(SETTINGS[segments], schemas, batch_s=BATCH_S, partial_s=PARTIAL_S)
        given_segments = stereo.given_segments if segments == "given" else b""
        file = InputFile(stereo.file, stereo.path, given_segments=given_segments)
        return file, checkpoint, options

    return case_of


def attempt(case: Case, stored: list[pa.Table]) -> tuple[list[ShardResult], float]:
    """All results of one attempt, and the seconds of audio that it scored."""
    file, checkpoint, options = case
    rows = {file.file: pa.concat_tables(map(times_and_scores, stored))} if stored else {}
    checkpoint.scored_s = 0.0
    return list(score_shard([file], checkpoint, options, rows)), checkpoint.scored_s


def assert_same(one: ShardResult, other: ShardResult) -> None:
    for left, right in ((one.segments, other.segments), (one.files, other.files)):
        frames = [table.to_pandas() for table in (left, right)]
        if "embedding" in left.column_names:
            found = [np.stack(frame.pop("embedding")) for frame in frames]
            np.testing.assert_allclose(*found, atol=1e-4, rtol=0)
        exact = [name for name in frames[0].columns if not name.startswith(("p_", "confidence"))]
        pd.testing.assert_frame_equal(frames[0][exact], frames[1][exact])
        pd.testing.assert_frame_equal(*frames, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("segments", "head"),
    [*((segments, "offset, embeddings") for segments in SETTINGS), *(("speech", h) for h in HEADS)],
)
def test_what_has_a_row_is_not_scored_again(
    case_of: Callable[[str, str], Case], segments: str, head: str
) -> None:
    """And what comes of it is what an attempt gives that nothing interrupted."""
    case = case_of(segments, head)
    (*partial, calm), calm_s = attempt(case, [])
    assert len(partial) == 15
    statuses = {row["status"] for each in partial for row in each.files.to_pylist()}
    assert statuses == {"partial"}
    assert [each.files["duration_s"].to_pylist()[0] for each in partial[:2]] == [4.0, 8.0]
    stored = [each.segments for each in partial[:9]]
    (*_, last), scored_s = attempt(case, stored)
    assert_same(last, calm)
    rows = pa.concat_tables(stored).to_pandas()
    saved_s = (rows["end_s"] - rows["start_s"]).sum()
    assert (saved_s > 20) == (segments != "whole")
    assert scored_s <= calm_s - saved_s + 0.01
    (*more, again), scored_s = attempt(case, [calm_rows(case, calm)])
    assert scored_s == 0.0
    assert not any(len(each.segments) for each in more)
    assert_same(again, calm)


def calm_rows(case: Case, calm: ShardResult) -> pa.Table:
    """All rows of a result, numbered as those of partial results are."""
    rows = calm.segments
    if case[2].segment.method == "given":  # none of them is too short to have a row
        return rows
    column = pa.array([0] * len(rows), pa.int32())
    return rows.set_column(rows.schema.get_field_index("segment"), "segment", column)


@pytest.mark.parametrize("segments", ["speech", "overlapping windows", "given"])
def test_each_segment_is_in_one_partial_result_at_most(
    case_of: Callable[[str, str], Case], segments: str
) -> None:
    (*partial, calm), _ = attempt(case_of(segments, "offset, embeddings"), [])
    found = pa.concat_tables(each.segments for each in partial).to_pandas()
    keys = ["channel", "start_s", "end_s"]
    assert not found.duplicated([*keys, "segment"]).any()
    whole = calm.segments.to_pandas()[keys].value_counts()
    times = found[keys].value_counts()
    assert (times <= whole.reindex(times.index)).all()
    assert len(found) > len(calm.segments) / 2


@given(data=st.data())
@settings(max_examples=6)
def test_interruptions_change_nothing(
    case_of: Callable[[str, str], Case], data: st.DataObject
) -> None:
    """Whenever attempts end, and whichever of their rows were committed."""
    segments = data.draw(st.sampled_from(["speech", "overlapping windows", "given"]))
    case = case_of(segments, data.draw(st.sampled_from(list(HEADS))))
    (*_, calm), calm_s = attempt(case, [])
    stored: list[pa.Table] = []
    for end in data.draw(st.lists(st.integers(0, 12), max_size=3)):
        results, _ = attempt(case, stored)
        yielded = [each.segments for each in results[:-1]][:end]
        stored += [rows for rows in yielded if data.draw(st.integers(0, 3))]
    (*_, last), scored_s = attempt(case, stored)
    assert_same(last, calm)
    rows = pa.concat_tables([calm.segments.slice(0, 0), *stored]).to_pandas()
    assert not rows.duplicated(["channel", "segment", "start_s"]).any()
    assert scored_s <= calm_s - (rows["end_s"] - rows["start_s"]).sum() + 0.01


@pytest.mark.parametrize("column", ["start_s", "end_s"])
def test_rows_of_other_segments_are_not_used(
    case_of: Callable[[str, str], Case], column: str
) -> None:
    """They would be another recording's, whatever the names and times of the files are."""
    case = case_of("speech", "offset, embeddings")
    (*partial, calm), calm_s = attempt(case, [])
    rows = pa.concat_tables(each.segments for each in partial)
    moved = rows[column].to_numpy().copy()
    moved[len(rows) // 2] += 0.01
    at = rows.schema.get_field_index(column)
    (*_, last), scored_s = attempt(case, [rows.set_column(at, column, pa.array(moved))])
    assert_same(last, calm)
    assert scored_s >= calm_s


def test_rows_of_the_version_that_was_listed_are_not_used_for_another_that_is_fetched(
    case_of: Callable[[str, str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an object that is replaced between the listing and the fetch."""
    file, checkpoint, options = case_of("overlapping windows", "linear")
    (*partial, _), calm_s = attempt((file, checkpoint, options), [])
    newer = replace(file, modified_us=file.modified_us + 1)
    monkeypatch.setattr(Fetching, "local", lambda *_: nullcontext(newer))
    (*again, _), scored_s = attempt(
        (file, checkpoint, options), [each.segments for each in partial]
    )
    assert scored_s == calm_s
    assert {each.version for each in partial} == {file.version}
    assert {each.version for each in again} == {newer.version}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs commit at once, and get partial results early."""
    monkeypatch.setattr(job, "PARTIAL_S", PARTIAL_S)
    monkeypatch.setattr(commit, "COMMIT_EVERY_S", 0.0)


@pytest.fixture
def inputs(tmp_path: Path, stereo: InputFile, archive: Path) -> Path:
    """The long call among two short files."""
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy2(stereo.path, folder)
    for name in ("call00.wav", "call03.flac"):
        shutil.copy2(next(archive.glob(f"*/{name}")), folder)
    return folder


def interrupted_run(
    inputs: Path, out: Path, checkpoint: Path, partial_results: int, **options: Any
) -> None:
    """A job that ends after so many partial results with segments, which are committed."""
    left = partial_results

    def scoring(*arguments: Any) -> Iterator[ShardResult]:
        nonlocal left
        for result in score_shard(*arguments):
            yield result
            left -= result.is_partial and len(result.segments) > 0
            if not left:
                raise Interruption

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "score_shard", scoring)
        with pytest.raises(Interruption):
            score(inputs, out, checkpoint, batch_s=BATCH_S, **options)


def features_counted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of audio of which features are computed from now on, batch by batch."""
    found: list[float] = []
    features = Checkpoint.features

    def counting(self: Checkpoint, segments: list[Samples]) -> Features:
        found.append(sum(map(len, segments)) / self.info.rate_hz)
        return features(self, segments)

    monkeypatch.setattr(Checkpoint, "features", counting)
    return found


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("options", [{}, {"embeddings": True}, {"channels": "mix"}])
@pytest.mark.parametrize("name", ["whisper", "whisper, offset"])
def test_a_stopped_job_goes_on_in_the_middle_of_a_recording(
    inputs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: dict[str, Any],
) -> None:
    """No reader finds a row of it before it is done, and nothing is left when it is."""
    if "embeddings" in options and name == "whisper":
        name = "whisper, hidden"
    checkpoint = small_checkpoint(tmp_path / "small.safetensors", name, LABELS)
    counted = features_counted(monkeypatch)
    score(inputs, tmp_path / "calm.parquet", checkpoint, batch_s=BATCH_S, **options)
    calm_s, out = sum(counted), tmp_path / "out.parquet"
    for _ in range(2):
        interrupted_run(inputs, out, checkpoint, 1, **options)
        assert not out.exists()
        committed = CommittedParts.of(Output(str(out)))
        assert "call.wav" not in committed.files
        assert not [rows for rows in committed.rows("files") if "partial" in rows["status"]]
        with pytest.raises(MismatchError, match="not complete"):
            adapt_again(str(out))
    statuses = [status for each in files_parts(out) for status in each["status"].to_pylist()]
    assert statuses.count("partial") == 2
    stored = pd.concat(each.to_pandas() for each in segments_parts(out, "call.wav"))
    assert not stored.duplicated(["channel", "start_s"]).any()
    counted.clear()
    score(inputs, out, checkpoint, batch_s=BATCH_S, **options)
    assert_same_tables(out, tmp_path / "calm.parquet")
    assert_holds(out)
    assert_tidy(out)
    assert set(tables(out)[1]["status"]) == {"ok", "empty"}
    saved_s = (stored["end_s"] - stored["start_s"]).sum()
    assert saved_s > 5
    assert sum(counted) <= calm_s - saved_s + 1.0  # the trial of a checkpoint that is loaded


def files_parts(out: Path) -> list[pa.Table]:
    paths = out.with_suffix(".work").glob("parts*/*.files.parquet")
    return [pq.read_table(path) for path in paths]


def segments_parts(out: Path, file: str) -> list[pa.Table]:
    paths = out.with_suffix(".work").glob("parts*/*.segments.parquet")
    return [pq.read_table(path, filters=[("file", "=", file)]) for path in paths]


@pytest.mark.usefixtures("hasty")
def test_a_changed_recording_does_not_use_the_rows_of_another_version(
    inputs: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """Also where its segments are the same, as windows are."""
    options = {"segment": {"method": "window", "window_s": 2.0}}
    out, call = tmp_path / "out.parquet", inputs / "call.wav"
    interrupted_run(inputs, out, checkpoint_path, 3, **options)
    samples, _ = soundfile.read(call)
    before = call.stat()
    soundfile.write(call, np.roll(samples, 77_777, axis=0), RATE_HZ)
    assert call.stat().st_size == before.st_size
    os.utime(call, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    score(inputs, out, checkpoint_path, batch_s=BATCH_S, **options)
    score(inputs, tmp_path / "calm.parquet", checkpoint_path, batch_s=BATCH_S, **options)
    assert_same_tables(out, tmp_path / "calm.parquet")


@pytest.mark.usefixtures("hasty")
def test_a_recording_that_is_gone_leaves_nothing(
    inputs: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """Of a complete output, to which a long recording was to be added."""
    out, call = tmp_path / "out.parquet", inputs / "call.wav"
    call.rename(tmp_path / "call.wav")
    score(inputs, out, checkpoint_path)
    shutil.copy(out, tmp_path / "calm.parquet")
    shutil.copy(out.with_suffix(".files.parquet"), tmp_path / "calm.files.parquet")
    shutil.copy2(tmp_path / "call.wav", call)
    interrupted_run(inputs, out, checkpoint_path, 2)
    assert files_parts(out)
    assert_holds(out)
    call.unlink()
    score(inputs, out, checkpoint_path)
    assert_same_tables(out, tmp_path / "calm.parquet")
    assert_holds(out)
    assert_tidy(out)


def mortal_worker(folder: Path, deaths: int) -> type[Worker]:
    """A worker that is killed after its second new partial result, so many times."""

    class Mortal(Worker):
        def load(self) -> None:
            sndfile.BLOCK_VALUES = BLOCK
            super().load()
            features, counted = self._checkpoint.features, folder / "scored"

            def counting(segments: list[Samples]) -> Features:
                with counted.open("a") as file:
                    file.write(f"{sum(map(len, segments)) / RATE_HZ}\n")
                return features(segments)

            self._checkpoint.features = counting  # type: ignore[method-assign, assignment]

        def score(self, shard: Shard, stored: Mapping[str, pa.Table]) -> Iterator[ShardResult]:
            new = 0
            for result in super().score(shard, stored):
                yield result
                new += result.is_partial and len(result.segments) > 0
                died = len(list(folder.glob("death-*")))
                if new == 2 and died < deaths:
                    (folder / f"death-{died}").touch()
                    os.kill(os.getpid(), signal.SIGKILL)

    return Mortal


@pytest.mark.exhaustive
@pytest.mark.ray
def test_an_error_after_partial_results_fails_its_file_alone(
    inputs: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the worker does not expect."""

    class Raising(Worker):
        def score(self, shard: Shard, stored: Mapping[str, pa.Table]) -> Iterator[ShardResult]:
            for result in super().score(shard, stored):
                yield result
                if result.is_partial:
                    raise ZeroDivisionError("a bug")

    monkeypatch.setattr(job, "PARTIAL_S", PARTIAL_S)
    monkeypatch.setattr(on_ray, "Worker", Raising)
    out = tmp_path / "out.parquet"
    report = score(inputs, out, checkpoint_path, engine="ray", workers=1)
    assert report.record.counts.reasons == {"internal_error": 1}
    assert report.record.counts.files["failed"] == 1
    files = tables(out)[1].set_index("file")
    assert files["reason"]["call.wav"] == "internal_error"
    assert_holds(out)
    assert_tidy(out)


@pytest.mark.ray
def test_a_recording_is_done_however_often_its_workers_are_killed(
    inputs: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than a file that makes no progress may end its workers."""
    deaths = 4
    monkeypatch.setattr(tasks, "MAX_DEATHS", 3)
    monkeypatch.setattr(job, "PARTIAL_S", PARTIAL_S)
    monkeypatch.setattr(on_ray, "Worker", mortal_worker(tmp_path, deaths))
    options = {"batch_s": BATCH_S, "workers": 1, "segment": {"method": "window", "window_s": 2.0}}
    out = tmp_path / "out.parquet"
    score(inputs, out, checkpoint_path, engine="ray", **options)
    assert len(list(tmp_path.glob("death-*"))) == deaths
    score(inputs, tmp_path / "calm.parquet", checkpoint_path, **options)
    assert_same_tables(out, tmp_path / "calm.parquet")
    assert_holds(out)
    scored_s = sum(map(float, (tmp_path / "scored").read_text().split()))
    once_s = tables(out)[1]["scored_s"].sum()
    # 8 s wait for full batches, and the result after the second one may be lost
    assert scored_s < once_s + deaths * (8 + 2 * 2 * PARTIAL_S + 2)

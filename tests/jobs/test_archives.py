"""Jobs over archives: the same rows as of files, and each archive fails by itself."""

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from archive_files import KINDS, content_of, pack
from conftest import INLINE_FIRST, LABELS, MakeOnce, Runner
from networks import small_checkpoint
from object_stores import put
from results import assert_holds, score, tables

from batch_ser.audio.samples import Samples
from batch_ser.inputs import Walk
from jobs import RunConfig, driver, run
from jobs.adapt import adapt_again
from jobs.retry import Retried, RetryOptions, retry
from jobs.sharding import plan
from jobs.status import Watch

WHOLE: dict[str, Any] = {"segment": {"method": "whole"}}
BESIDE = {"call0.json": {"agent": "Anna"}, "day1/call3.json": {"agent": "Ben", "queue": 7}}


@pytest.fixture(scope="module")
def folder(make_once: MakeOnce, speech: Samples, calls: Path) -> Path:
    """Six short recordings in two folders, one of them in stereo, one that is none, and a text."""

    def make(root: Path) -> None:
        (root / "day1").mkdir()
        for number, name in enumerate(
            ("call0.wav", "call1.flac", "day1/call2.mp3", "day1/call3.wav")
        ):
            start = 30_000 + number * 48_000
            soundfile.write(root / name, speech[start : start + 20_000 + 7_000 * number], 16_000)
        two = np.stack([speech[30_000:60_000], speech[100_000:130_000]], axis=1)
        soundfile.write(root / "day1" / "call4.wav", two, 16_000)
        data = (calls / "voicemail-gsm.wav").read_bytes()
        (root / "call5.wav").write_bytes(data)
        (root / "empty.wav").write_bytes(b"")
        (root / "notes.txt").write_text("no audio")

    return make_once("folder for archives", make)


@pytest.fixture(scope="module")
def expected(make_once: MakeOnce, folder: Path, checkpoint_path: Path) -> Path:
    """The tables of the folder itself."""
    made = make_once(
        "tables for archives",
        lambda path: score(folder, path / "out.parquet", checkpoint_path) and None,
    )
    return made / "out.parquet"


def recordings(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content_of(folder).items() if name != "notes.txt"}


def assert_same_rows(out: Path, expected: Path, prefix: str) -> None:
    """The same rows but for the archive: in `file`, and its version."""
    for one, other in zip(tables(out), tables(expected), strict=True):
        inside = one[one["file"].str.startswith(prefix)].reset_index(drop=True)
        inside["file"] = inside["file"].str.removeprefix(prefix)
        version = ["size_bytes", "modified"]
        found = inside[[name for name in other.columns if name not in version]]
        wanted = other.drop(columns=version, errors="ignore")
        exact = [name for name in wanted.columns if wanted[name].dtype != np.float32]
        pd.testing.assert_frame_equal(found[exact], wanted[exact])
        pd.testing.assert_frame_equal(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_as_of_files(
    kind: str, folder: Path, expected: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    path, out = pack(recordings(folder), tmp_path / kind), tmp_path / "out.parquet"
    report = score(path, out, checkpoint_path)
    assert report.exit_code == 3
    assert_same_rows(out, expected, f"{kind}!/")
    assert_holds(out)
    files = tables(out)[1]
    assert set(files["size_bytes"]) == {path.stat().st_size}
    before = out.stat().st_mtime_ns
    score(path, out, checkpoint_path)
    assert out.stat().st_mtime_ns == before, "nothing to do"


@pytest.mark.parametrize("engine", INLINE_FIRST)
def test_archives_in_a_folder(
    engine: str, folder: Path, expected: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """Of each kind, and the files themselves, by two workers."""
    content = recordings(folder)
    (tmp_path / "in").mkdir()
    for kind in KINDS[:-1]:
        pack(content, tmp_path / "in" / kind)
    for name, data in content.items():
        (tmp_path / "in" / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "files" / name).write_bytes(data)
    out = tmp_path / "out.parquet"
    score(tmp_path / "in", out, checkpoint_path, engine=engine, workers=2)
    for kind in KINDS[:-1]:
        assert_same_rows(out, expected, f"{kind}!/")
    assert_same_rows(out, expected, "files/")
    assert_holds(out)


@pytest.mark.parametrize("kind", ["a.tar", "a.tgz", "a.zip", "a.parquet"])
def test_archives_in_an_object_store(
    kind: str, folder: Path, expected: Path, checkpoint_path: Path, bucket: str, tmp_path: Path
) -> None:
    pack(recordings(folder), tmp_path / kind)
    put(tmp_path, bucket)
    out = tmp_path / "out.parquet"
    run(RunConfig((f"{bucket}/{kind}",), str(out), str(checkpoint_path), engine="inline"))
    assert_same_rows(out, expected, f"{kind}!/")


def test_values_of_a_sample_are_columns(
    folder: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    texts = {name: json.dumps(values).encode() for name, values in BESIDE.items()}
    path = pack(recordings(folder) | texts, tmp_path / "a.tar")
    out = tmp_path / "out.parquet"
    score(path, out, checkpoint_path, **WHOLE)
    rows = tables(out)[0].drop(columns="role").set_index("file").fillna("")
    assert rows.loc["a.tar!/call0.wav", ["agent", "queue"]].tolist() == ["Anna", ""]
    assert rows.loc["a.tar!/day1/call3.wav", ["agent", "queue"]].tolist() == ["Ben", "7"]
    assert rows.loc["a.tar!/call1.flac", ["agent", "queue"]].tolist() == ["", ""]


def test_a_job_that_goes_on(
    folder: Path, expected: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """What is new is done; another archive is another version of all of its members."""
    content = recordings(folder)
    inputs, out = tmp_path / "in", tmp_path / "out.parquet"
    inputs.mkdir()
    pack(content, inputs / "a.tar")
    score(inputs, out, checkpoint_path, limit=3)
    assert len(tables(out)[1]) == 3
    done = counted(inputs, out, checkpoint_path)
    assert len(done) == len(content) - 3
    pack(content, inputs / "b.zip")
    assert counted(inputs, out, checkpoint_path) == {f"b.zip!/{name}" for name in content}
    os.utime(inputs / "a.tar", (1, 1))
    assert counted(inputs, out, checkpoint_path) == {f"a.tar!/{name}" for name in content}
    assert counted(inputs, out, checkpoint_path) == set()
    for kind in ("a.tar", "b.zip"):
        assert_same_rows(out, expected, f"{kind}!/")
    assert_holds(out)


def counted(inputs: Path, out: Path, checkpoint: Path) -> set[str]:
    """The files that a run scores."""
    scored: set[str] = set()
    score_shard = driver.score_shard

    def scoring(files: Any, *rest: Any) -> Any:
        scored.update(each.file for each in files)
        return score_shard(files, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "score_shard", scoring)
        score(inputs, out, checkpoint)
    return scored


def test_a_damaged_archive_and_its_repair(
    folder: Path, expected: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """The row of the archive itself goes when all of it can be listed."""
    content = recordings(folder)
    inputs, out = tmp_path / "in", tmp_path / "out.parquet"
    inputs.mkdir()
    whole = pack(content, inputs / "a.tar").read_bytes()
    (inputs / "a.tar").write_bytes(whole[: len(whole) // 2])
    report = score(inputs, out, checkpoint_path)
    assert report.exit_code == 3
    files = tables(out)[1].set_index("file")
    assert files.loc["a.tar", "reason"] == "corrupt"
    assert 1 < len(files) < len(content)
    assert Watch(str(out)).look().is_complete
    (inputs / "a.tar").write_bytes(whole)
    score(inputs, out, checkpoint_path)
    assert_same_rows(out, expected, "a.tar!/")
    assert len(tables(out)[1]) == len(content)
    assert_holds(out)


def test_an_archive_that_could_not_be_read_is_tried_again(
    folder: Path, expected: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """By retry, with all that is in it."""
    content = recordings(folder)
    inputs, out = tmp_path / "in", tmp_path / "out.parquet"
    inputs.mkdir()
    path, other = pack(content, inputs / "a.zip"), pack({"x.wav": b""}, inputs / "b.tar")
    data = path.read_bytes()
    path.write_bytes(data[:-50])
    score(inputs, out, checkpoint_path)
    assert set(tables(out)[1]["reason"]) == {"corrupt", "no_audio"}
    path.write_bytes(data)
    done = retry(str(out), ["no_audio"], RetryOptions(engine="inline"))
    assert done.retried == Retried(files_retried=1, files_failed_again=1)
    assert set(tables(out)[1]["reason"]) == {"corrupt", "no_audio"}
    done = retry(str(out), ["corrupt"], RetryOptions(engine="inline"))
    assert done.retried == Retried(len(content), len(content) - 1, 1)
    assert "a.zip" not in set(tables(out)[1]["file"])
    assert_same_rows(out, expected, "a.zip!/")
    assert other.exists()
    assert_holds(out)


def test_mutated_archives_fail_by_themselves(
    folder: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """A hundred of them, seeded: rows of other inputs do not change, and every archive has rows."""
    inputs, source = tmp_path / "in", random.Random(20)
    content = {name: recordings(folder)[name] for name in ("call0.wav", "empty.wav")}
    (inputs / "bad").mkdir(parents=True)
    (inputs / "call0.wav").write_bytes(content["call0.wav"])
    pack(content, inputs / "good.tar")
    score(inputs, tmp_path / "calm.parquet", checkpoint_path, **WHOLE)
    whole = {kind: pack(content, tmp_path / kind).read_bytes() for kind in KINDS[:-1]}
    for number in range(100):
        kind = source.choice(KINDS[:-1])
        data = bytearray(whole[kind])
        for _ in range(source.choice([1, 3, 20])):
            # where headers and directories are, more often than in the samples
            end = source.choice([1_500, len(data)])
            at = source.choice([source.randrange(end), -1 - source.randrange(end)])
            data[at] = source.choice([0, 0xFF, data[at] ^ 1 << source.randrange(8)])
        if source.random() < 0.2:
            del data[source.randrange(len(data)) :]
        (inputs / "bad" / f"{number:02}.{kind.partition('.')[2]}").write_bytes(data)
    out = tmp_path / "out.parquet"
    score(inputs, out, checkpoint_path, **WHOLE)
    assert_holds(out)
    files = tables(out)[1]
    archives = files["file"].str.extract(r"^bad/(\d\d)")[0].dropna()
    assert len(set(archives)) > 95, "but for archives that are empty, or of other names, now"
    for one, other in zip(tables(out), tables(tmp_path / "calm.parquet"), strict=True):
        rest = one[~one["file"].str.startswith("bad/")].reset_index(drop=True)
        pd.testing.assert_frame_equal(rest, other, atol=1e-4, rtol=0)


def test_commands_with_members(
    folder: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    pack(recordings(folder), tmp_path / "a.tar")
    options = ("--model", checkpoint_path, "--segment", "whole")
    one = batch_ser("predict", folder / "call0.wav", *options)
    done = batch_ser("predict", "a.tar!/call0.wav", "a.tar", "no.tar", "a.tar!/no.wav", *options)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert [each["filename"] for each in lines] == [
        "a.tar!/call0.wav",
        *(f"a.tar!/{name}" for name in recordings(folder)),
        "no.tar",
        "a.tar!/no.wav",
    ]
    expected = json.loads(one.stdout)["all_emotions"]
    assert lines[0]["all_emotions"] == pytest.approx(expected, abs=1e-4)
    assert [each["error"]["reason"] for each in lines[-2:]] == ["not_found", "not_found"]
    run = ("run", "--input", "a.tar", "--model", checkpoint_path, "--engine", "inline")
    assert batch_ser(*run, "--out", "o.parquet", "--include", "*day1/call?.wav").returncode == 0
    assert set(tables(tmp_path / "o.parquet")[1]["file"]) == {
        "a.tar!/day1/call3.wav",
        "a.tar!/day1/call4.wav",
    }
    assert batch_ser("verify", "o.parquet").returncode == 0
    assert "files done" in batch_ser("status", "o.parquet").stdout
    pack({}, tmp_path / "empty.tar")
    assert batch_ser("run", "--input", "empty.tar", "--out", "e.parquet").returncode == 2


def test_adapt_by_a_column_of_an_archive(folder: Path, tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path / "x.safetensors", "whisper, offset", LABELS)
    texts = {name: json.dumps(values).encode() for name, values in BESIDE.items()}
    path = pack(recordings(folder) | texts, tmp_path / "a.tgz")
    out = tmp_path / "out.parquet"
    score(path, out, checkpoint, **WHOLE)
    adapt_again(str(out), "agent")
    once = tmp_path / "once.parquet"
    score(path, once, checkpoint, adapt="agent", **WHOLE)
    for one, other in zip(tables(out), tables(once), strict=True):
        pd.testing.assert_frame_equal(one, other, atol=1e-4, rtol=0)


def test_members_of_a_stream_stay_in_their_order(tmp_path: Path) -> None:
    """In shards, so that each worker reads it forward; of others the longest come first."""
    content = {f"{n}.wav": bytes(n % 7 * 100_000) for n in range(40)}
    pack(content, tmp_path / "a.tgz")
    pack(content, tmp_path / "b.tar")
    shards = [*plan(Walk((str(tmp_path),)), workers=1)]
    assert len(shards) >= 3
    files = [file for shard in shards for file in shard]
    inside = [file.member.place for file in files if file.member and file.path.endswith("tgz")]
    assert inside == sorted(inside)
    others = [file.content_bytes for file in files if file.path.endswith("tar")]
    assert others == sorted(others, reverse=True)

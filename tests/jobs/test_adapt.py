"""`--adapt`: every segment scored given its offset, for any shards, order and day."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import LABELS, Runner
from networks import small_checkpoint
from results import SCORES, assert_holds, assert_same_tables, score, tables

from batch_ser.audio.samples import Samples
from batch_ser.errors import AlreadyRunning, CheckpointError, MismatchError, UsageError
from batch_ser.inputs import Selection
from batch_ser.results.layout import Output
from batch_ser.results.publication import new_tables
from batch_ser.results.verification import verify
from jobs.adapt import adapt_again
from jobs.heartbeat import Heartbeat
from jobs.processes import started
from train.evaluate import EvaluateConfig, evaluate

WIDTH = 16  # of the embedding
Speakers = dict[str, str]  # of each file its speaker
KEYS = ["file", "channel", "segment", "start_s", "end_s"]
WINDOWS: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}, "expect": "balanced"}


@pytest.fixture(scope="module")
def adapting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("adapting") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


def adapted(inputs: Path, out: Path, checkpoint: Path, by: str = "archive", **rest: Any) -> Path:
    """The tables of an adapted run of short windows, which hold what they should."""
    report = score(inputs, out, checkpoint, adapt=by, **(WINDOWS | rest))
    assert report.exit_code == 0
    assert_holds(out)
    return out


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, archive: Path, adapting_path: Path) -> Path:
    return adapted(archive, tmp_path_factory.mktemp("calm") / "results.parquet", adapting_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, archive: Path, adapting_path: Path) -> Path:
    """The same without adaptation, with embeddings."""
    out = tmp_path_factory.mktemp("plain") / "results.parquet"
    score(archive, out, adapting_path, embeddings=True, adapt="none", **WINDOWS)
    return out


def embeddings_of(out: Path) -> Path:
    return out.with_suffix(".embeddings.parquet")


def listed(folder: Path, speakers: Speakers) -> Path:
    """A manifest of files and their speakers."""
    path = folder / "calls.csv"
    rows = "".join(f"{file},{speaker}\n" for file, speaker in speakers.items())
    path.write_text("file,speaker\n" + rows)
    return path


@pytest.fixture
def spoken(tmp_path: Path, archive: Path) -> tuple[Path, Speakers]:
    """A copy of the archive with two speakers, and one file whose speaker is not known."""
    root = tmp_path / "calls"
    shutil.copytree(archive, root)
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("call*"))
    return root, {file: "" if n == 7 else "ab"[n % 2] for n, file in enumerate(files)}


def test_adaptation_changes_probabilities_and_nothing_else(calm: Path, plain: Path) -> None:
    left, right = pd.read_parquet(calm), pd.read_parquet(plain)
    pd.testing.assert_frame_equal(left[KEYS], right[KEYS])
    assert list(left.columns) == [name for name in right.columns if name != "embedding"]
    assert (left[SCORES] - right[SCORES]).abs().to_numpy().max() > 0.05
    assert np.allclose(left[SCORES].sum(axis=1), 1, atol=1e-5)


def test_embeddings_are_kept_without_scores(calm: Path, plain: Path) -> None:
    """Scores there would be of an offset and a prior that `adapt` replaces."""
    kept, expected = pq.read_table(embeddings_of(calm)), pq.read_table(plain)
    assert kept.schema.names == [*KEYS, "role", "crosstalk", "embedding"]
    assert kept.equals(expected.select(kept.schema.names))
    record = json.loads(calm.with_suffix(".run.json").read_text())
    assert record["fingerprint"]["adapt"] == "archive"
    assert record["fingerprint"]["expect"] == "balanced"
    assert embeddings_of(calm).name in record["tables"]


def test_files_have_the_means_of_their_adapted_segments(calm: Path) -> None:
    segments, files = tables(calm)
    one = files["file"][3]
    mine = segments[segments["file"] == one]
    weights = mine["end_s"] - mine["start_s"]
    expected = np.average(mine[SCORES], axis=0, weights=weights)
    assert np.allclose(files.loc[3, SCORES].astype(float), expected, atol=1e-5)


MIXTURES = [
    ("archive", "natural"),
    pytest.param("archive", "balanced", marks=pytest.mark.exhaustive),
    pytest.param("recording", "angry=0.5", marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize(("by", "expect"), MIXTURES)
def test_shards_and_restarts_change_nothing(
    by: str, expect: str, archive: Path, adapting_path: Path, plain: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"by": by, "expect": expect}
    calm = adapted(archive, tmp_path / "calm.parquet", adapting_path, **options)
    moved = np.abs(pd.read_parquet(calm)[SCORES] - pd.read_parquet(plain)[SCORES])
    assert moved.to_numpy().max() > 1e-3
    stopped = tmp_path / "stopped.parquet"
    adapted(archive, stopped, adapting_path, **options, limit=4)
    adapted(archive, stopped, adapting_path, **options, limit=11, batch_s=4.0)
    adapted(archive, stopped, adapting_path, **options)
    assert_same_tables(calm, stopped)


@pytest.mark.ray
@pytest.mark.exhaustive
@pytest.mark.parametrize(("by", "expect"), MIXTURES)
def test_workers_change_nothing(
    by: str, expect: str, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"by": by, "expect": expect}
    calm = adapted(archive, tmp_path / "calm.parquet", adapting_path, **options)
    ray = adapted(
        archive, tmp_path / "ray.parquet", adapting_path, **options, engine="ray", workers=2
    )
    assert_same_tables(calm, ray)


def test_a_folder_of_tables_has_the_same_rows(
    calm: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    adapted(archive, out, adapting_path)
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "segments"), pd.read_parquet(calm), atol=1e-4, rtol=0
    )
    assert pq.read_table(out / "embeddings")["embedding"].type.list_size == WIDTH


def test_files_that_come_later_move_the_offset_of_all(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    """Half of the recordings come a day later: all rows are made again, as in one run."""
    root, speakers = spoken
    late = list(speakers)[::2]
    early = {file: speaker for file, speaker in speakers.items() if file not in late}
    out = tmp_path / "out.parquet"
    adapted(listed(root, early), out, adapting_path, "speaker")
    before = pd.read_parquet(out).set_index(KEYS)
    adapted(listed(root, speakers), out, adapting_path, "speaker")
    after = pd.read_parquet(out).set_index(KEYS).loc[before.index]
    assert (before[SCORES] - after[SCORES]).abs().to_numpy().max() > 1e-3
    once = adapted(listed(root, speakers), tmp_path / "once.parquet", adapting_path, "speaker")
    assert_same_tables(out, once)


def test_yesterday_s_scores_need_not_change(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    """With yesterday's offset taken over, a file has the scores that it had."""
    root, speakers = spoken
    early = dict(list(speakers.items())[:8])
    first = adapted(listed(root, early), tmp_path / "first.parquet", adapting_path)
    second = adapted(
        listed(root, speakers), tmp_path / "second.parquet", adapting_path, adapt_from=str(first)
    )
    before = pd.read_parquet(first).set_index(KEYS)
    after = pd.read_parquet(second).set_index(KEYS)
    pd.testing.assert_frame_equal(before[SCORES], after.loc[before.index][SCORES], atol=1e-6)
    records = [json.loads(each.with_suffix(".run.json").read_text()) for each in (first, second)]
    assert records[0]["offset"] == records[1]["offset"]
    with pytest.raises(MismatchError, match="adapt_from was"):
        score(listed(root, speakers), second, adapting_path, **WINDOWS)
    adapt_again(str(second), adapt_from=str(first))
    pd.testing.assert_frame_equal(pd.read_parquet(second).set_index(KEYS), after)


def test_options_that_are_not_given_stay_also_an_offset_that_was_taken_over(
    calm: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    first = adapted(archive, tmp_path / "first.parquet", adapting_path, limit=6)
    out = copied(calm, tmp_path)
    adapt_again(str(out), adapt_from=str(first))
    taken = pd.read_parquet(out)
    adapt_again(str(out), expect="angry=0.7")
    record = json.loads(out.with_suffix(".run.json").read_text())
    assert record["offset"] == json.loads(first.with_suffix(".run.json").read_text())["offset"]
    adapt_again(str(out), expect="balanced")
    pd.testing.assert_frame_equal(pd.read_parquet(out), taken)
    adapt_again(str(out), "none")  # and then its own offset again
    adapt_again(str(out), "archive")
    assert_same_tables(out, calm)


def test_predict_with_an_archive_s_offset_gives_the_archive_s_scores(
    batch_ser: Runner, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Of a mono file, and of a stereo file of which one side alone is speech."""
    calls = tmp_path / "calls"
    shutil.copytree(archive, calls)
    samples, rate_hz = soundfile.read(archive / "day0" / "call18.wav")
    silent = np.zeros_like(samples)
    soundfile.write(calls / "right.wav", np.stack([silent, samples], axis=1), rate_hz)
    soundfile.write(calls / "left.wav", np.stack([samples, silent], axis=1), rate_hz)
    out = tmp_path / "out.parquet"
    score(calls, out, adapting_path)
    files = pd.read_parquet(out.with_suffix(".files.parquet")).set_index("file")
    names = ["day0/call18.wav", "left.wav", "right.wav"]
    done = batch_ser(
        *("predict", *(calls / name for name in names), "--model", adapting_path),
        *("--channels", "split", "--adapt-from", out),
    )
    assert done.returncode == 0, done.stderr
    for name, line in zip(names, done.stdout.splitlines(), strict=True):
        found = json.loads(line)["all_emotions"]
        for label in LABELS:
            assert abs(found[label] - files.loc[name, f"p_{label}"]) < 1e-4, name


def test_large_tables_are_scored_by_whole_files(
    archive: Path, adapting_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = adapted(archive, tmp_path / "whole.parquet", adapting_path, "recording")
    monkeypatch.setattr("jobs.second_pass.ROWS_AT_ONCE", 5)
    sliced = adapted(archive, tmp_path / "sliced.parquet", adapting_path, "recording")
    assert_same_tables(whole, sliced)


def test_a_value_named_like_an_option_is_a_value(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    root, speakers = spoken
    words = {"a": "condition", "b": "archive", "": ""}
    tables_of = [
        pd.read_parquet(
            adapted(listed(root, each), tmp_path / f"{n}.parquet", adapting_path, "speaker")
        )
        for n, each in enumerate((speakers, {f: words[s] for f, s in speakers.items()}))
    ]
    pd.testing.assert_frame_equal(*(each[SCORES] for each in tables_of))


def test_run_json_has_the_offset_and_the_tables_the_prior(calm: Path) -> None:
    record = json.loads(calm.with_suffix(".run.json").read_text())
    offset = record["offset"]
    assert offset["segments"] == record["counts"]["segments"]
    assert offset["checkpoint_sha256"] == record["checkpoint"]["sha256"]
    assert np.isfinite(offset["values"]).all()
    expect = json.loads(pq.read_schema(calm).metadata[b"expect"])
    assert expect == offset["expect"]
    assert expect["prior"] == dict.fromkeys(LABELS, 0.25)


@pytest.mark.parametrize("fault", ["another checkpoint", "not finite", "width", "none"])
def test_an_offset_that_cannot_be_taken_over(
    fault: str, calm: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = copied(calm, tmp_path)
    record = json.loads(out.with_suffix(".run.json").read_text())
    if fault == "another checkpoint":
        record["offset"]["checkpoint_sha256"] = "0" * 64
    elif fault == "not finite":
        record["offset"]["values"][0] = float("nan")
    elif fault == "width":
        record["offset"]["values"].append(0.0)
    else:
        record["offset"] = None
    out.with_suffix(".run.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="--adapt-from"):
        score(archive, tmp_path / "other.parquet", adapting_path, adapt_from=str(out))
    assert not (tmp_path / "other.parquet").exists()


def test_each_channel_of_a_split_recording_has_an_offset(
    speech: Samples, adapting_path: Path, tmp_path: Path
) -> None:
    """A customer's line that filters everything changes the offset of its channel alone."""
    for number in range(6):
        left = speech[number * 32_000 :][:64_000]
        right = np.convolve(speech[200_000 - number * 16_000 :][:64_000], [1, -0.97], "same")
        (tmp_path / "calls").mkdir(exist_ok=True)
        stereo = np.stack([left, 4 * right], axis=1)
        soundfile.write(tmp_path / "calls" / f"{number}.wav", stereo, 16_000)
    out = adapted(tmp_path / "calls", tmp_path / "out.parquet", adapting_path)
    offset = json.loads(out.with_suffix(".run.json").read_text())["offset"]
    assert set(offset["channels"]) == {"0", "1"}
    apart = np.subtract(*(offset["channels"][key]["values"] for key in "01"))
    assert np.abs(apart).max() > 0.01


def test_segments_of_no_group_have_the_archive_s_offset(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    root, speakers = spoken
    out = adapted(listed(root, speakers), tmp_path / "out.parquet", adapting_path, "speaker")
    whole = adapted(listed(root, speakers), tmp_path / "whole.parquet", adapting_path)
    mine, archives = pd.read_parquet(out), pd.read_parquet(whole)
    alone = mine["speaker"] == ""
    assert alone.any()
    assert (mine[alone][SCORES] == archives[alone][SCORES]).all(axis=None)
    assert (mine[~alone][SCORES] != archives[~alone][SCORES]).any(axis=None)


def test_adapted_again_as_if_it_had_run_so(
    calm: Path, plain: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """From archive to recording, to none and back, without audio."""
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".embeddings.parquet", ".run.json"):
        shutil.copy(calm.with_suffix(ending), out.with_suffix(ending))
    recording = adapted(archive, tmp_path / "r.parquet", adapting_path, "recording")
    adapt_again(str(out), "recording")
    assert_holds(out)
    assert_same_tables(out, recording)
    adapt_again(str(out), "none")
    assert_holds(out)
    again, once = (pd.read_parquet(each).astype({"emotion": str}) for each in (out, plain))
    pd.testing.assert_frame_equal(again, once.drop(columns="embedding"), atol=1e-4, rtol=0)
    adapt_again(str(out), "archive")
    assert_holds(out)
    assert_same_tables(out, calm)
    settings = json.loads(pq.read_schema(out).metadata[b"settings"])
    assert settings["adapt"] == "archive"
    run_json = json.loads(out.with_suffix(".run.json").read_text())
    assert run_json["fingerprint"] == settings
    adapted(archive, out, adapting_path)  # nothing is left to do


def test_embeddings_in_the_table_are_enough_to_adapt(
    calm: Path, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".run.json"):
        shutil.copy(plain.with_suffix(ending), out.with_suffix(ending))
    adapt_again(str(out), "archive")
    assert_holds(out)
    found = pd.read_parquet(out)
    pd.testing.assert_frame_equal(
        found.drop(columns="embedding"), pd.read_parquet(calm), atol=1e-4, rtol=0
    )


def copied(out: Path, folder: Path) -> Path:
    """An output of its own, to be changed."""
    for path in out.parent.glob(f"{out.stem}.*"):
        shutil.copy(path, folder / path.name)
    return folder / out.name


def moved(out: Path, inputs: Path) -> None:
    """Let an output be of other inputs."""
    record = json.loads(out.with_suffix(".run.json").read_text())
    record["fingerprint"]["input"] = [str(inputs)]
    out.with_suffix(".run.json").write_text(json.dumps(record))


def test_embeddings_stay_and_grow_without_adaptation(
    calm: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Adaptation ends, files are added: all of them can be adapted again."""
    out = copied(calm, tmp_path)
    adapt_again(str(out), "none")
    more = tmp_path / "more"
    shutil.copytree(archive, more)
    moved(out, more)
    (more / "new.wav").write_bytes((archive / "day0" / "call00.wav").read_bytes())
    score(more, out, adapting_path, adapt="none", **WINDOWS)
    assert_holds(out)
    assert len(pq.read_table(embeddings_of(out))) == len(pq.read_table(out))
    adapt_again(str(out), "archive")
    assert_holds(out)
    once = adapted(more, tmp_path / "once.parquet", adapting_path)
    assert_same_tables(out, once)


def test_a_killed_adaptation_can_be_made_again(calm: Path, tmp_path: Path) -> None:
    out = copied(calm, tmp_path)
    (new_tables(Output(str(out))) / out.name).write_bytes(b"half")
    adapt_again(str(out), "recording")
    assert_holds(out)
    assert not out.with_suffix(".work").exists()


def test_a_run_after_a_killed_adaptation_publishes_its_tables(
    calm: Path,
    archive: Path,
    adapting_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed while its tables were published: the rest is, and they count as the new settings."""
    out = copied(calm, tmp_path)
    move = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == out:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        adapt_again(str(out), "recording")
    monkeypatch.setattr(Path, "replace", move)
    with pytest.raises(MismatchError, match="adapt was recording, is archive"):
        adapted(archive, out, adapting_path)
    assert_holds(out)
    adapt_again(str(out), "archive")
    assert_same_tables(out, calm)


def test_a_driver_at_work_is_not_disturbed(calm: Path, tmp_path: Path) -> None:
    out = copied(calm, tmp_path)
    path = out.with_suffix(".work") / "driver.json"
    with Heartbeat(Output(str(out))):
        other = {"pid": os.getppid(), "started": started(os.getppid())}
        path.write_text(json.dumps(json.loads(path.read_text()) | other))
        with pytest.raises(AlreadyRunning):
            adapt_again(str(out), "recording")


def test_a_table_of_another_program_is_neither_read_nor_replaced(
    plain: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Another output whose name is that of our table of embeddings."""
    out = copied(plain, tmp_path)
    other = embeddings_of(out)
    other.write_bytes(b"another program's")
    assert_holds(out)
    with pytest.raises(MismatchError, match="is not an output of batch-ser"):
        adapt_again(str(out), "archive")
    with pytest.raises(MismatchError, match="is not an output of batch-ser"):
        score(archive, tmp_path / "results.parquet", adapting_path, adapt="archive", restart=True)
    score(archive, out, adapting_path, adapt="none", embeddings=True, limit=3, restart=True)
    assert other.read_bytes() == b"another program's"


def test_a_manifest_may_have_a_column_embedding(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    root, speakers = spoken
    manifest = listed(root, speakers)
    manifest.write_text(manifest.read_text().replace("file,speaker", "file,embedding"))
    out = adapted(manifest, tmp_path / "out.parquet", adapting_path, "in_embedding")
    adapt_again(str(out), "none")
    (root / "new.wav").write_bytes((root / "day0" / "call00.wav").read_bytes())
    manifest.write_text(manifest.read_text() + "new.wav,a\n")
    score(manifest, out, adapting_path, adapt="none", **WINDOWS)
    assert_holds(out)


def test_another_adaptation_is_another_setting(
    calm: Path, archive: Path, adapting_path: Path
) -> None:
    message = r"adapt was archive, is recording.*`batch-ser adapt` first"
    with pytest.raises(MismatchError, match=message):
        score(archive, calm, adapting_path, adapt="recording", **WINDOWS)


def test_what_cannot_be_adapted_is_refused(
    archive: Path, adapting_path: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(UsageError, match="--adapt speaker: expected none, archive, recording"):
        score(archive, out, adapting_path, adapt="speaker")
    with pytest.raises(UsageError, match="the checkpoint has no label 'calm'"):
        score(archive, out, adapting_path, expect="calm=0.5")
    with pytest.raises(UsageError, match=r"--adapt-from .*found no complete output"):
        score(archive, out, adapting_path, adapt_from=str(tmp_path / "none.parquet"))
    with pytest.raises(UsageError, match="found --adapt none"):
        score(archive, out, adapting_path, adapt="none", adapt_from="x.parquet")
    for options in ({"adapt": "archive"}, {"expect": "natural"}):
        with pytest.raises(CheckpointError, match="has no offset head"):
            score(archive, out, checkpoint_path, **options)
    assert not list(tmp_path.iterdir())
    score(archive, out, adapting_path, adapt="none", limit=2)
    with pytest.raises(UsageError, match="has no embeddings"):
        adapt_again(str(out), "archive")
    with pytest.raises(MismatchError, match="no output of batch-ser"):
        adapt_again(str(tmp_path / "nothing.parquet"), "archive")
    score(archive, tmp_path / "with.parquet", adapting_path, limit=2)
    with pytest.raises(MismatchError, match="expected that checkpoint as --model"):
        adapt_again(str(tmp_path / "with.parquet"), "archive", model=str(checkpoint_path))
    with pytest.raises(UsageError, match="--adapt agent: expected none, archive, recording"):
        adapt_again(str(tmp_path / "with.parquet"), "agent")


def test_verify_sees_a_table_of_embeddings_that_does_not_fit(calm: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".embeddings.parquet", ".run.json"):
        shutil.copy(calm.with_suffix(ending), out.with_suffix(ending))
    table = pq.read_table(embeddings_of(out))
    pq.write_table(table.slice(1), embeddings_of(out))
    faults = verify(Output(str(out))).faults
    assert any("its segments are not those" in fault for fault in faults)
    broken = table["embedding"].to_pylist()
    broken[3] = [np.nan] * WIDTH
    column = pa.array(broken, table.schema.field("embedding").type)
    at = table.schema.get_field_index("embedding")
    pq.write_table(table.set_column(at, "embedding", column), embeddings_of(out))
    assert any("not finite" in fault for fault in verify(Output(str(out))).faults)


def test_the_command_line(
    batch_ser: Runner, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    done = batch_ser(
        *("run", "--input", archive, "--out", out, "--model", adapting_path, "--engine", "inline"),
        *("--segment", "whole"),
    )
    assert done.returncode == 0, done.stderr
    assert "archive, expecting natural" in done.stdout
    assert embeddings_of(out).exists()
    predicted = batch_ser(
        *("predict", archive / "day0" / "call00.wav", "--model", adapting_path),
        *("--segment", "whole", "--adapt-from", out, "--expect", "angry=0.9"),
    )
    assert json.loads(predicted.stdout)["all_emotions"].keys() == set(LABELS)
    again = batch_ser("adapt", out, "--adapt", "none")
    assert again.returncode == 0, again.stderr
    assert "20" in again.stdout
    wrong = batch_ser("adapt", out, "--adapt", "agent")
    assert wrong.returncode == 2
    assert "column of a manifest or of --name-pattern" in wrong.stderr


def test_an_evaluation_adapts_as_a_job_does(
    tree: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """By speaker: the probabilities of both are the same."""
    text = evaluate(
        EvaluateConfig(
            (f"ravdess:{tree}",),
            str(adapting_path),
            str(tmp_path / "figures"),
            device="cpu",
            adapt="speaker",
        )
    )
    assert "adapted: speaker, expecting balanced" in text
    assert "--adapt none --expect balanced" in text
    assert "--adapt speaker --expect balanced" in text
    figures = pd.read_parquet(tmp_path / "figures" / "predictions.parquet")
    files = {each.removeprefix("ravdess:"): each.split("-")[-1][:2] for each in figures["file"]}
    manifest = listed(tmp_path, {f"{tree}/{file}": speaker for file, speaker in files.items()})
    out = adapted(
        manifest,
        tmp_path / "out.parquet",
        adapting_path,
        "speaker",
        segment={"method": "whole"},
        selection=Selection(root=str(tree)),
    )
    mine = pd.read_parquet(out).set_index("file")[SCORES]
    theirs = figures.set_index(figures["file"].str.removeprefix("ravdess:"))[SCORES]
    pd.testing.assert_frame_equal(
        mine.sort_index(), theirs.sort_index(), atol=1e-4, rtol=0, check_names=False
    )
    plain = evaluate(
        EvaluateConfig(
            (f"ravdess:{tree}",), str(adapting_path), str(tmp_path / "plain"), device="cpu"
        )
    )
    assert "adapted: none, expecting balanced" in plain
    by_adaptation = json.loads((tmp_path / "plain" / "metrics.json").read_text())["by_adaptation"]
    named = [f"--adapt {way} --expect balanced" for way in ("none", "archive")]
    assert list(by_adaptation) == named
    assert by_adaptation["--adapt none --expect balanced"]["UAR"] == pytest.approx(
        json.loads((tmp_path / "plain" / "metrics.json").read_text())["headline"]["uar"]["value"]
    )


@pytest.mark.parametrize(
    ("adapt", "expect", "message"),
    [
        ("agent", None, "expected none, archive, corpus, speaker"),
        ("none", "bored=0.5", "no label 'bored'"),
        ("none", "", "expected natural, balanced or LABEL=SHARE"),
        ("", None, "expected none, archive, corpus, speaker"),
    ],
)
def test_evaluations_that_cannot_be(
    adapt: str, expect: str | None, message: str, tree: Path, adapting_path: Path, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        (f"ravdess:{tree}",),
        str(adapting_path),
        str(tmp_path / "figures"),
        adapt=adapt,
        expect=expect,
    )
    with pytest.raises(UsageError, match=message):
        evaluate(config)

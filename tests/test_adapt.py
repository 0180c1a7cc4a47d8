"""`--adapt`: every segment heard in its group, whatever the shards, the order and the day."""

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
from conftest import LABELS, Runner
from networks import small_checkpoint
from results import SCORES, assert_holds, assert_same_tables, score, tables

from batch_ser.errors import AlreadyRunning, CheckpointError, MismatchError, UsageError
from batch_ser.inputs import Selection
from batch_ser.output import Output
from batch_ser.verify import verify
from jobs.adapt import adapt_again
from jobs.heartbeat import Heartbeat
from models import adapting
from train.evaluate import EvaluateConfig, evaluate

WIDTH = 16 + 2 * len(LABELS)  # what the heads hear
Speakers = dict[str, str]  # of each file, who speaks
KEYS = ["file", "channel", "segment", "start_s", "end_s"]


@pytest.fixture(scope="module")
def adapting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with a second head."""
    path = tmp_path_factory.mktemp("adapting") / "two-heads.safetensors"
    return small_checkpoint(path, "whisper, adapted", LABELS)


def adapted(inputs: Path, out: Path, checkpoint: Path, by: str = "archive", **rest: Any) -> Path:
    """The tables of an adapted run of short windows, which hold what they should."""
    settings: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}} | rest
    balanced = settings.pop("adapt_balanced", True)
    report = score(inputs, out, checkpoint, adapt=by, adapt_balanced=balanced, **settings)
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
    score(archive, out, adapting_path, embeddings=True,
          segment={"method": "window", "window_s": 0.5})  # fmt: skip
    return out


def as_scored(out: Path) -> Path:
    return out.with_suffix(".embeddings.parquet")


def listed(folder: Path, speakers: Speakers) -> Path:
    """A manifest of files and who speaks in them."""
    path = folder / "calls.csv"
    rows = "".join(f"{file},{speaker}\n" for file, speaker in speakers.items())
    path.write_text("file,speaker\n" + rows)
    return path


@pytest.fixture
def spoken(tmp_path: Path, archive: Path) -> tuple[Path, Speakers]:
    """A copy of the archive in which two people speak, and one file is of nobody known."""
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


def test_what_was_scored_is_kept_beside(calm: Path, plain: Path) -> None:
    kept, told = pq.read_table(as_scored(calm)), pq.read_table(plain)
    assert kept.schema.names == told.schema.names
    assert kept.select(KEYS).equals(told.select(KEYS))
    for name in SCORES:
        assert np.allclose(kept[name], told[name], atol=1e-4)
    record = json.loads(calm.with_suffix(".run.json").read_text())
    assert record["fingerprint"]["adapt"] == "archive, balanced"
    assert as_scored(calm).name in record["tables"]


def test_files_have_the_means_of_their_adapted_segments(calm: Path) -> None:
    segments, files = tables(calm)
    one = files["file"][3]
    mine = segments[segments["file"] == one]
    weights = mine["end_s"] - mine["start_s"]
    expected = np.average(mine[SCORES], axis=0, weights=weights)
    assert np.allclose(files.loc[3, SCORES].astype(float), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("by", "balanced"), [("archive", True), ("archive", False), ("recording", True)]
)
def test_workers_shards_and_restarts_change_nothing(
    by: str, balanced: bool, archive: Path, adapting_path: Path, plain: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in {"EVEN": 0.9, "UNEVEN": 1.0, "ALIKE": 0.0, "VARIED": 9.0}.items():
        monkeypatch.setattr(adapting, name, value)  # made for networks that have learned
    given: dict[str, Any] = {"by": by, "adapt_balanced": balanced}
    calm = adapted(archive, tmp_path / "calm.parquet", adapting_path, **given)
    moved = np.abs(pd.read_parquet(calm)[SCORES] - pd.read_parquet(plain)[SCORES])
    assert moved.to_numpy().max() > 1e-3
    halted = tmp_path / "halted.parquet"
    adapted(archive, halted, adapting_path, **given, limit=4)
    adapted(archive, halted, adapting_path, **given, limit=11, batch_s=4.0)
    adapted(archive, halted, adapting_path, **given)
    assert_same_tables(calm, halted)
    ray = adapted(
        archive, tmp_path / "ray.parquet", adapting_path, **given, engine="ray", workers=2
    )
    assert_same_tables(calm, ray)


def test_a_folder_of_tables_holds_the_same(
    calm: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results"
    adapted(archive, out, adapting_path)
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "segments"), pd.read_parquet(calm), atol=1e-4, rtol=0
    )
    assert pq.read_table(out / "embeddings")["embedding"].type.list_size == WIDTH


def test_new_files_change_their_own_groups_alone(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    """Half of b's recordings come a day later: only b's rows change, to those of one run."""
    root, speakers = spoken
    late = [file for file, speaker in speakers.items() if speaker == "b"][::2]
    early = {file: speaker for file, speaker in speakers.items() if file not in late}
    out = tmp_path / "out.parquet"
    adapted(listed(root, early), out, adapting_path, "speaker")
    before = pd.read_parquet(out).set_index(KEYS)
    adapted(listed(root, speakers), out, adapting_path, "speaker")
    after = pd.read_parquet(out).set_index(KEYS).loc[before.index]
    apart = (before[SCORES] - after[SCORES]).abs().max(axis=1)
    assert apart[before["speaker"] != "b"].max() < 1e-6
    assert apart[before["speaker"] == "b"].max() > 1e-3
    once = adapted(listed(root, speakers), tmp_path / "once.parquet", adapting_path, "speaker")
    assert_same_tables(out, once)


def test_who_is_of_no_group_stays_as_scored(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    root, speakers = spoken
    out = adapted(listed(root, speakers), tmp_path / "out.parquet", adapting_path, "speaker")
    after, before = pd.read_parquet(out), pd.read_parquet(as_scored(out))
    alone = after["speaker"] == ""
    assert alone.any()
    assert (after[alone][SCORES] == before[alone][SCORES]).all(axis=None)


def test_a_group_of_one_segment_is_as_scored(
    archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = adapted(
        archive, tmp_path / "out.parquet", adapting_path, "recording", segment={"method": "whole"}
    )
    after, before = pd.read_parquet(out), pd.read_parquet(as_scored(out))
    assert (after[SCORES] == before[SCORES]).all(axis=None)


def test_adapted_again_as_if_it_had_run_so(
    calm: Path, plain: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """From archive to recording, to none and back, without audio."""
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".embeddings.parquet", ".run.json"):
        shutil.copy(calm.with_suffix(ending), out.with_suffix(ending))
    recording = adapted(archive, tmp_path / "r.parquet", adapting_path, "recording")
    adapt_again(str(out), "recording", True)
    assert_holds(out)
    assert_same_tables(out, recording)
    adapt_again(str(out), "none", False)
    assert_holds(out)
    pd.testing.assert_frame_equal(
        pd.read_parquet(out), pd.read_parquet(plain).drop(columns="embedding"), atol=1e-4, rtol=0
    )
    adapt_again(str(out), "archive", True)
    assert_holds(out)
    assert_same_tables(out, calm)
    settings = json.loads(pq.read_schema(out).metadata[b"settings"])
    assert settings["adapt"] == "archive, balanced"
    run_json = json.loads(out.with_suffix(".run.json").read_text())
    assert run_json["fingerprint"] == settings
    adapted(archive, out, adapting_path)  # and the job knows it: nothing to do


def test_embeddings_in_the_table_are_enough_to_adapt(
    calm: Path, plain: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".run.json"):
        shutil.copy(plain.with_suffix(ending), out.with_suffix(ending))
    adapt_again(str(out), "archive", True)
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
    """Adapted no more, then more files: what came can be adapted again, all of it."""
    out = copied(calm, tmp_path)
    adapt_again(str(out), "none", False)
    more = tmp_path / "more"
    shutil.copytree(archive, more)
    moved(out, more)
    (more / "new.wav").write_bytes((archive / "day0" / "call00.wav").read_bytes())
    score(more, out, adapting_path, segment={"method": "window", "window_s": 0.5})
    assert_holds(out)
    assert len(pq.read_table(as_scored(out))) == len(pq.read_table(out))
    adapt_again(str(out), "archive", True)
    assert_holds(out)
    once = adapted(more, tmp_path / "once.parquet", adapting_path)
    assert_same_tables(out, once)


@pytest.mark.parametrize("folder", [False, True])
def test_killed_at_any_step_of_publishing(
    folder: bool, archive: Path, adapting_path: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whichever file was the last to take its place, the next call ends as a calm run."""
    ending = "" if folder else ".parquet"
    calm = adapted(archive, tmp_path / f"calm{ending}", adapting_path, "recording", limit=6)
    replace = Path.replace

    def parts(out: Path, table: str) -> pd.DataFrame:
        return pd.concat(map(pd.read_parquet, Output(out).table_files(table)))

    for last in range(5):
        out = tmp_path / f"out{last}{ending}"
        moves = 0

        def dying(self: Path, target: Path, most: int = last) -> Path:
            nonlocal moves
            if "final" in self.parts and not self.name.endswith(".partial"):
                moves += 1
                if moves > most:
                    raise KeyboardInterrupt
            return replace(self, target)

        monkeypatch.setattr(Path, "replace", dying)
        settings: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}}
        if last < 4:
            with pytest.raises(KeyboardInterrupt):
                score(archive, out, adapting_path, adapt="recording", adapt_balanced=True,
                      limit=6, **settings)  # fmt: skip
        monkeypatch.setattr(Path, "replace", replace)
        adapted(archive, out, adapting_path, "recording", limit=6)
        for table in ("segments", "files", "embeddings"):
            pd.testing.assert_frame_equal(parts(out, table), parts(calm, table))
        adapt_again(str(out), "archive", True)  # and everything is there to go on with
        assert_holds(out)


def test_a_killed_adaptation_can_be_made_again(calm: Path, tmp_path: Path) -> None:
    out = copied(calm, tmp_path)
    Output(out).final.mkdir(parents=True)
    (Output(out).final / "segments.parquet").write_bytes(b"half")
    adapt_again(str(out), "recording", True)
    assert_holds(out)
    assert not Output(out).work.exists()


def test_a_run_after_a_killed_adaptation_sees_what_that_one_left(
    calm: Path, archive: Path, adapting_path: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Killed while its tables took their places: they do, and are not taken for the old ones."""
    out = copied(calm, tmp_path)
    move = Path.replace

    def dying(self: Path, target: Path) -> Path:
        if target == Output(out).run_json:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        adapt_again(str(out), "recording", True)
    monkeypatch.setattr(Path, "replace", move)
    with pytest.raises(MismatchError, match="adapt was recording, balanced, is archive, balanced"):
        adapted(archive, out, adapting_path)
    assert_holds(out)
    adapt_again(str(out), "archive", True)
    assert_same_tables(out, calm)


def test_a_driver_at_work_is_left_alone(calm: Path, tmp_path: Path) -> None:
    out = copied(calm, tmp_path)
    with Heartbeat(Output(out).work) as heartbeat:
        other = json.loads(heartbeat.path.read_text()) | {"pid": os.getppid()}
        heartbeat.path.write_text(json.dumps(other))
        with pytest.raises(AlreadyRunning):
            adapt_again(str(out), "recording", True)


def test_a_table_of_somebody_else_is_neither_read_nor_replaced(
    plain: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Another output whose name is that of our table of embeddings."""
    out = copied(plain, tmp_path)
    other = as_scored(out)
    other.write_bytes(b"somebody's")
    assert_holds(out)
    with pytest.raises(MismatchError, match="is not an output of batch-ser"):
        adapt_again(str(out), "archive", True)
    with pytest.raises(MismatchError, match="is not an output of batch-ser"):
        score(archive, tmp_path / "results.parquet", adapting_path, adapt="archive", restart=True)
    score(archive, out, adapting_path, embeddings=True, limit=3, restart=True)
    assert other.read_bytes() == b"somebody's"


def test_a_manifest_may_have_a_column_embedding(
    spoken: tuple[Path, Speakers], adapting_path: Path, tmp_path: Path
) -> None:
    root, speakers = spoken
    manifest = listed(root, speakers)
    manifest.write_text(manifest.read_text().replace("file,speaker", "file,embedding"))
    out = adapted(manifest, tmp_path / "out.parquet", adapting_path, "in_embedding")
    adapt_again(str(out), "none", False)
    (root / "new.wav").write_bytes((root / "day0" / "call00.wav").read_bytes())
    manifest.write_text(manifest.read_text() + "new.wav,a\n")
    score(manifest, out, adapting_path, segment={"method": "window", "window_s": 0.5})
    assert_holds(out)


def test_another_adaptation_is_another_setting(
    calm: Path, archive: Path, adapting_path: Path
) -> None:
    told = r"adapt was archive, balanced, is recording.*`batch-ser adapt` first"
    with pytest.raises(MismatchError, match=told):
        score(archive, calm, adapting_path, adapt="recording",
              segment={"method": "window", "window_s": 0.5})  # fmt: skip


def test_what_cannot_be_adapted_is_refused(
    archive: Path, adapting_path: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(UsageError, match="--adapt speaker: expected none, archive, recording"):
        score(archive, out, adapting_path, adapt="speaker")
    with pytest.raises(UsageError, match="--adapt-balanced: found --adapt none"):
        score(archive, out, adapting_path, adapt_balanced=True)
    with pytest.raises(CheckpointError, match="has no head for adaptation"):
        score(archive, out, checkpoint_path, adapt="archive")
    assert not list(tmp_path.iterdir())
    score(archive, out, adapting_path, limit=2)
    with pytest.raises(UsageError, match="has no embeddings"):
        adapt_again(str(out), "archive", False)
    with pytest.raises(MismatchError, match="no output of batch-ser"):
        adapt_again(str(tmp_path / "nothing.parquet"), "archive", False)
    score(archive, tmp_path / "with.parquet", adapting_path, limit=2, embeddings=True)
    with pytest.raises(MismatchError, match="expected that checkpoint as --model"):
        adapt_again(str(tmp_path / "with.parquet"), "archive", False, str(checkpoint_path))
    with pytest.raises(UsageError, match="--adapt agent: expected none, archive, recording"):
        adapt_again(str(tmp_path / "with.parquet"), "agent", False)


def test_verify_sees_a_table_of_embeddings_that_does_not_fit(calm: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    for ending in (".parquet", ".files.parquet", ".embeddings.parquet", ".run.json"):
        shutil.copy(calm.with_suffix(ending), out.with_suffix(ending))
    table = pq.read_table(as_scored(out))
    pq.write_table(table.slice(1), as_scored(out))
    faults = verify(Output(out)).faults
    assert any("its segments are not those" in fault for fault in faults)
    broken = table["embedding"].to_pylist()
    broken[3] = [np.nan] * WIDTH
    column = pa.array(broken, table.schema.field("embedding").type)
    at = table.schema.get_field_index("embedding")
    pq.write_table(table.set_column(at, "embedding", column), as_scored(out))
    assert any("not finite" in fault for fault in verify(Output(out)).faults)


def test_the_command_line(
    batch_ser: Runner, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    done = batch_ser(
        *("run", "--input", archive, "--out", out, "--model", adapting_path, "--engine", "inline"),
        *("--segment", "whole", "--adapt", "archive"),
    )
    assert done.returncode == 0, done.stderr
    again = batch_ser("adapt", out, "--adapt", "none")
    assert again.returncode == 0, again.stderr
    assert "20" in again.stdout
    wrong = batch_ser("adapt", out, "--adapt", "agent")
    assert wrong.returncode == 2
    assert "column of the manifest" in wrong.stderr


def test_an_evaluation_adapts_as_a_job_does(
    tree: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """By speaker: the probabilities of both are the same."""
    told = evaluate(
        EvaluateConfig(
            (f"ravdess:{tree}",), str(adapting_path), str(tmp_path / "figures"), device="cpu",
            adapt="speaker", adapt_balanced=True,
        )
    )  # fmt: skip
    assert "adapted: speaker, balanced" in told
    figures = pd.read_parquet(tmp_path / "figures" / "predictions.parquet")
    files = {each.removeprefix("ravdess:"): each.split("-")[-1][:2] for each in figures["file"]}
    manifest = listed(tmp_path, {f"{tree}/{file}": speaker for file, speaker in files.items()})
    out = adapted(
        manifest, tmp_path / "out.parquet", adapting_path, "speaker",
        segment={"method": "whole"}, selection=Selection(root=str(tree)),
    )  # fmt: skip
    mine = pd.read_parquet(out).set_index("file")[SCORES]
    theirs = figures.set_index(figures["file"].str.removeprefix("ravdess:"))[SCORES]
    pd.testing.assert_frame_equal(
        mine.sort_index(), theirs.sort_index(), atol=2e-3, rtol=0, check_names=False
    )  # a job's embeddings have float16's precision
    plain = evaluate(
        EvaluateConfig(
            (f"ravdess:{tree}",), str(adapting_path), str(tmp_path / "plain"), device="cpu"
        )
    )
    assert "adapted:" not in plain


@pytest.mark.parametrize(
    ("adapt", "balanced", "told"),
    [("agent", False, "expected none, archive, corpus, speaker"), ("none", True, "--adapt none")],
)
def test_evaluations_that_cannot_be(
    adapt: str, balanced: bool, told: str, tree: Path, adapting_path: Path, tmp_path: Path
) -> None:
    config = EvaluateConfig(
        (f"ravdess:{tree}",), str(adapting_path), str(tmp_path / "figures"), adapt=adapt,
        adapt_balanced=balanced,
    )  # fmt: skip
    with pytest.raises(UsageError, match=told):
        evaluate(config)

"""`batch-ser plan`: what it says of a run is what the run takes, and it leaves nothing behind."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from archive_files import content_of, pack
from conftest import Runner
from telephone_call import AGENT, CUSTOMER, RATE_HZ, composed

import jobs.plan.planning
import jobs.plan.sample_costs
from batch_ser.audio.samples import Samples
from batch_ser.inputs import InputFile
from jobs import RunConfig, RunReport, run
from jobs.cli import app
from jobs.plan import Plan, PlanConfig, plan
from jobs.plan.estimates import Estimate, Units, ratios, total
from jobs.plan.sampling import KEPT, Drawn, draw

Planned = Callable[..., Plan]
# of a run alone: where it runs, where its results go, and what it reports
ALONE = {"input", "out", "workers", "cpus_per_worker", "gpus_per_worker", "address", "engine"}
ALONE |= {"scorers", "file_timeout", "max_failed", "allow_empty", "restart"}


@pytest.fixture(autouse=True)
def no_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that loads the checkpoint takes seconds; the last test has one."""
    monkeypatch.setattr(jobs.plan.planning, "process_s", lambda *_: 3.0)


@pytest.fixture
def planned(checkpoint_path: Path) -> Planned:
    def planned(*inputs: Path, cores: int = 2, price: float | None = None, **options: Any) -> Plan:
        names = tuple(map(str, inputs))
        return plan(
            PlanConfig(RunConfig(names, "out", str(checkpoint_path), **options), cores, price)
        )

    return planned


@pytest.fixture
def done(checkpoint_path: Path, tmp_path: Path) -> Callable[..., RunReport]:
    def done(*inputs: Path, **options: Any) -> RunReport:
        out, names = str(tmp_path / "out" / "results.parquet"), tuple(map(str, inputs))
        return run(RunConfig(names, out, str(checkpoint_path), engine="inline", **options))

    return done


@pytest.fixture
def many(tmp_path: Path, speech: Samples) -> Callable[[int], Path]:
    """A folder of so many recordings of 4 to 6 s."""

    def many(count: int) -> Path:
        folder = tmp_path / f"many{count}"
        folder.mkdir()
        for number in range(count):
            if number < 10:
                start, length_s = number * 16_000, 4 + (number % 5) / 2
                samples = speech[start : start + round(length_s * 16_000)]
                soundfile.write(folder / f"{number:03}.wav", samples, 16_000)
            else:
                os.link(folder / f"{number % 10:03}.wav", folder / f"{number:03}.wav")
        return folder

    return many


@pytest.fixture
def two_sided(tmp_path: Path, calls: Path) -> Path:
    folder = tmp_path / "calls"
    folder.mkdir()
    samples = np.stack([composed(calls, each)[0] for each in (AGENT, CUSTOMER)], axis=1)
    soundfile.write(folder / "call.wav", samples, RATE_HZ)
    return folder


def is_about(estimate: Estimate, truth: float) -> bool:
    return abs(estimate.value - truth) <= 0.25 * truth


def test_a_sample_of_everything_is_the_truth(
    planned: Planned, done: Callable[..., RunReport], archive: Path
) -> None:
    found, record = planned(archive), done(archive).record
    seconds = record.counts.seconds
    assert found.files == found.sampled == record.counts.files_in
    assert found.audio_s.value == pytest.approx(seconds["duration_s"])
    assert found.scored_s.value == pytest.approx(seconds["scored_s"])
    assert found.segments.value == pytest.approx(record.counts.segments)
    assert found.audio_s.low == pytest.approx(found.audio_s.high)
    out = Path(record.configuration["out"])
    written = sum(each.stat().st_size for each in out.parent.glob("results.*"))
    assert found.results_bytes.value == pytest.approx(written, rel=0.02)
    assert found.bytes_read == sum(each.stat().st_size for each in archive.glob("day*/*"))


def test_few_files_stand_for_many(
    planned: Planned,
    done: Callable[..., RunReport],
    many: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs.plan.sample_costs, "MOST", 12)
    folder = many(60)
    found, counts = planned(folder), done(folder).record.counts
    assert found.sampled == 12
    assert found.audio_s.low <= counts.seconds["duration_s"] <= found.audio_s.high
    assert is_about(found.audio_s, counts.seconds["duration_s"])
    assert is_about(found.scored_s, counts.seconds["scored_s"])
    assert is_about(found.segments, counts.segments)


def test_twice_the_files_take_twice_as_much(
    planned: Planned, many: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs.plan.sample_costs, "MOST", 20)
    once, twice = planned(many(40)), planned(many(80))
    for name in ("audio_s", "scored_s", "segments"):
        ratio = getattr(twice, name).value / getattr(once, name).value
        assert ratio == pytest.approx(2, rel=0.2), name


def test_of_a_long_recording_the_beginning_is_scored(
    planned: Planned,
    done: Callable[..., RunReport],
    long_archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs.plan.planning, "FIRST_S", 20.0)
    files = sorted(long_archive.iterdir())[:4]
    found, counts = planned(*files), done(*files).record.counts
    assert found.audio_s.value == pytest.approx(counts.seconds["duration_s"]) == 200
    assert found.sample_audio_s < 160  # blocks are of 16 s
    assert found.segments.value == pytest.approx(counts.segments, rel=0.35)


def test_failed_files_are_counted(
    batch_ser: Runner, checkpoint_path: Path, many: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = many(8)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "letter.wav").write_text("a letter, and no audio at all")
    lines = [f"many8/{each.name}" for each in sorted(folder.iterdir())] + ["missing.wav"]
    (tmp_path / "list.csv").write_text("\n".join(["file", *lines]))
    line = ("plan", "list.csv", "--model", checkpoint_path)
    text, content = batch_ser(*line).stdout, json.loads(batch_ser(*line, "--json").stdout)
    assert "2 of 10 sampled recordings failed: no_audio 1, unsupported 1" in text
    assert "cannot be read" in text
    assert content["files"] == 11
    assert content["listing_failed"] == {"not_found": 1}
    assert content["sample_failed"] == {"no_audio": 1, "unsupported": 1}
    assert content["failed"]["value"] == pytest.approx(3)


def test_inputs_that_all_fail_are_an_answer(
    batch_ser: Runner, checkpoint_path: Path, tmp_path: Path
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.wav").write_text("a letter")
    done = batch_ser("plan", ".", "--model", checkpoint_path)
    assert done.returncode == 0, done.stderr
    assert "all sampled recordings failed: unsupported 3" in done.stdout
    assert "nothing could be scored" in done.stdout
    (tmp_path / "list.csv").write_text("file\nmissing.flac\n")
    done = batch_ser("plan", "list.csv", "--model", checkpoint_path)
    assert done.returncode == 0, done.stderr
    assert "not_found 1" in done.stdout
    assert "nothing could be scored" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in",), "no recordings found in in, 1 files were passed over by their names"),
        (("empty.csv",), "empty.csv has a header and no lines"),
        (("missing",), "missing"),
        (("in", "--cores", 0), "--cores 0: expected 1 or more"),
        (("in", "--price-per-core-hour", -1), "expected 0 or more"),
        (("in", "--sample-s", 0), "expected more than 0"),
        (("in", "--score", "customer"), "--score customer: expected --roles"),
        (("in", "--channels", "left"), "--channels left"),
    ],
)
def test_what_cannot_be_planned_is_status_2(
    batch_ser: Runner,
    checkpoint_path: Path,
    tmp_path: Path,
    arguments: tuple[object, ...],
    message: str,
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    (tmp_path / "empty.csv").write_text("file,agent\n")
    done = batch_ser("plan", *arguments, "--model", checkpoint_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "--allow-empty" not in done.stderr  # an option of run
    assert not done.stdout


def test_of_given_segments_only_these_count(
    planned: Planned, many: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = many(6)
    lines = [f"many6/{n:03}.wav,{start},{start + 1}" for n in range(6) for start in (0, 2)]
    manifest = tmp_path / "list.csv"
    manifest.write_text("\n".join(["file,start_s,end_s", *lines]))
    found = planned(manifest)
    assert found.segments.value == pytest.approx(len(lines))
    assert found.scored_s.value == pytest.approx(len(lines))
    assert found.audio_s.value == pytest.approx(planned(folder).audio_s.value)


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["a.tar.gz", "a.zip"])
def test_recordings_in_archives_are_those_of_the_folder(
    planned: Planned, many: Callable[[int], Path], tmp_path: Path, kind: str
) -> None:
    folder = many(8)
    inside, outside = planned(pack(content_of(folder), tmp_path / kind)), planned(folder)
    assert inside.files == 8
    for name in ("audio_s", "scored_s", "segments"):
        assert getattr(inside, name).value == pytest.approx(getattr(outside, name).value)
    copies = outside.bytes_read  # are written to a scratch folder
    assert inside.bytes_written.value - outside.bytes_written.value == pytest.approx(
        copies, rel=0.05
    )


def test_one_role_is_less_to_score(planned: Planned, two_sided: Path) -> None:
    roles = {"roles": "0=agent,1=customer"}
    both, one = planned(two_sided, **roles), planned(two_sided, **roles, score="customer")
    assert one.audio_s.value == pytest.approx(both.audio_s.value)
    assert 0 < one.scored_s.value < 0.8 * both.scored_s.value
    mixed = planned(two_sided, channels="mix")
    assert 0 < mixed.segments.value < both.segments.value


@pytest.mark.exhaustive
def test_embeddings_make_larger_results(planned: Planned, archive: Path) -> None:
    with_them, without = planned(archive, embeddings=True), planned(archive)
    assert with_them.results_bytes.value > without.results_bytes.value


def test_more_cores_take_less_time_and_cost_what_they_cost(planned: Planned, archive: Path) -> None:
    one, eight = planned(archive, cores=1, price=2.0), planned(archive, cores=8, price=2.0)
    assert one.core_s.value - one.start_core_s < eight.wall_s.value * 8
    for each in (one, eight):
        assert each.wall_s.value > each.start_s
        assert each.money
        assert each.money.value == pytest.approx(each.wall_s.value / 3600 * each.cores * 2)
    assert planned(archive).money is None


def test_nothing_is_left(
    planned: Planned, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, temporary = tmp_path / "here", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.chdir(here)
    before = content_of(archive)
    planned(archive)
    planned(pack(before, tmp_path / "a.zip"))
    assert not list(here.iterdir())
    assert [each.name for each in temporary.rglob("*")] == [f"batch-ser-scratch-{os.getuid()}"]
    assert content_of(archive) == before


def files(count: int, taken: list[int]) -> Iterator[InputFile]:
    for number in range(count):
        taken.append(number)
        size = 1_000 if number % 3 else 900_000
        yield InputFile(f"{number}.wav", f"/{number}.wav", size)


def test_a_stream_of_files_is_sampled_as_it_comes() -> None:
    taken: list[int] = []
    stream = draw(files(30_000, taken))
    assert next(stream).files == len(taken) == 1
    drawn = Drawn()
    for drawn in stream:
        assert drawn.files == len(taken)
    assert drawn.files == 30_000
    assert sorted(each.files for each in drawn.strata.values()) == [10_000, 20_000]
    for stratum in drawn.strata.values():
        assert len(stratum.kept) == KEPT
        numbers = [int(each.file.removesuffix(".wav")) for each in stratum.kept]
        assert len(set(numbers)) == KEPT
        assert 11_000 < np.mean(numbers) < 19_000  # six standard errors


def test_names_with_any_endings_are_few_strata() -> None:
    odd = (replace(each, path=f"{each.path}.{n}") for n, each in enumerate(files(5_000, [])))
    *_, drawn = draw(odd)
    assert len(drawn.strata) == 2


def test_intervals_hold_the_truth() -> None:
    """Of samples of a population whose files differ, about 95 in 100."""
    draws = np.random.default_rng(0)
    sizes = draws.lognormal(3, 1, 2_000)
    durations = sizes * draws.uniform(0.5, 1.5, len(sizes))
    held = 0
    for _ in range(200):
        some = draws.choice(len(sizes), 40, replace=False)
        each = ratios({"all": Units(sizes[some], durations[some])}, {"all": 1 - 40 / len(sizes)})
        found = total({"all": Estimate(sizes.sum())}, each)
        held += found.low <= durations.sum() <= found.high
    assert 176 <= held <= 199
    whole = ratios({"all": Units(sizes, durations)}, {"all": 0.0})["all"]
    assert (whole.value, whole.error) == (durations.sum() / sizes.sum(), 0.0)


def test_a_stratum_without_a_sample_is_as_the_others_with_a_wide_interval() -> None:
    known = Units([1.0, 1.0, 2.0], [3.0, 3.1, 5.9])
    found = ratios({"known": known, "unknown": Units()}, {"known": 0.9, "unknown": 1.0})
    assert found["unknown"].value == pytest.approx(found["known"].value)
    assert found["unknown"].error > 3 * found["known"].error


def test_every_option_of_run_that_matters_is_one_of_plan() -> None:
    import typer

    commands: Any = typer.main.get_command(app)
    options = {
        name: {each.name: each.default for each in commands.commands[name].params}
        for name in ("run", "plan")
    }
    shared = options["run"].keys() & options["plan"].keys()
    assert options["run"].keys() - shared == ALONE
    assert {name: options["run"][name] for name in shared} == {
        name: options["plan"][name] for name in shared
    }


def test_the_command(batch_ser: Runner, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of it, with a shipped checkpoint and a process that is started and measured."""
    monkeypatch.undo()
    done = batch_ser("plan", calls, "--model", "fast", "--cores", 4, "--price-per-core-hour", 0.5)
    assert done.returncode == 0, done.stderr
    lines = dict(line.strip().split("  ", 1) for line in done.stdout.splitlines())
    assert lines["recordings"].strip() == "4"
    assert lines["hours of audio"].strip() == "0.035"
    assert lines["wall time"].strip().endswith("on 4 cores")
    assert float(lines["money"].split(":")[0]) > 0
    assert "not measured" in lines["GPU-hours"] or "of one GPU" in lines["GPU-hours"]

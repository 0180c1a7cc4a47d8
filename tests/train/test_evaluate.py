"""Evaluation: the figures are scikit-learn's, and the predictions are those of a job."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import Runner
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from trainings import SETS, training

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from jobs import RunConfig, run
from models import load_checkpoint
from models.architectures import build
from models.checkpoint import save_checkpoint
from train.evaluate import EvaluateConfig, evaluate
from train.evaluation.model_card import card
from train.run import train

LABELS = ("neutral", "happy", "angry")
COLUMNS = [f"p_{label}" for label in LABELS]
WRITTEN = {"metrics.json", "report.txt", "confusion.png", "reliability.png", "predictions.parquet"}
HEARD = "the checkpoint was trained on recordings of {}: those among these are not held out"
SOME = (
    "accurate",
    "whisper",
    "mfcc-cnn",
    "hf:wav2vec",
)  # models that are always tested, one of each kind
Finished = Callable[[str], Path]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Twelve recordings of 0.6 to 7 s, two rates, mono and stereo; four speakers, by a manifest."""
    root = tmp_path_factory.mktemp("labelled")
    rows = []
    for number, length_s in enumerate(np.linspace(0.6, 7.0, 12)):
        samples = speech[number * 32_000 :][: round(float(length_s) * 16_000)]
        rate_hz = (16_000, 22_050)[number % 2]
        if number % 3 == 0:
            samples = np.stack([samples, 0.5 * samples], axis=1)
        soundfile.write(root / f"{number:02}.wav", samples, rate_hz)
        rows.append(
            {
                "file": f"{number:02}.wav",
                "label": LABELS[number % 3],
                "speaker": f"s{number // 3}",
                "sex": "fm"[number // 3 % 2],
            }
        )
    with (root / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def judged(
    model: str, data: Path, out: Path, **options: Any
) -> tuple[dict[str, Any], pd.DataFrame]:
    config = EvaluateConfig(
        (f"manifest:{data / 'labels.csv'}",), model, str(out), device="cpu", **options
    )
    evaluate(config)
    return json.loads((out / "metrics.json").read_text()), pd.read_parquet(
        out / "predictions.parquet"
    )


def sharp(path: Path, data: Path, to: Path) -> Path:
    """A checkpoint whose scores differ by a tenth: those of a short training hardly differ."""
    checkpoint = load_checkpoint(path)
    rate_hz = checkpoint.info.rate_hz
    samples = [load(str(each), rate_hz) for each in sorted(data.glob("*.wav"))]
    spread = float(np.ptp(np.log(checkpoint.score_all(samples)), axis=0).max())
    info = replace(checkpoint.info, temperature=checkpoint.info.temperature * spread / 0.1)
    save_checkpoint(to, info, checkpoint._network)
    return to


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(each, marks=() if each in SOME else pytest.mark.exhaustive)
        for each in (*SETS, "hf:ast", "hf:wav2vec")
    ],
)
def test_a_job_gives_the_probabilities_of_an_evaluation(
    model: str,
    labelled: Path,
    finished: Finished,
    ast_directory: Path,
    wav2vec_directory: Path,
    tmp_path: Path,
) -> None:
    """For every architecture, on recordings that are shorter and longer than it takes at once."""
    directories = {"hf:ast": ast_directory, "hf:wav2vec": wav2vec_directory}
    if model in directories:
        where = f"hf:{directories[model]}"
    else:
        trained = finished(model) / "checkpoint.safetensors"
        where = str(sharp(trained, labelled, tmp_path / "sharp.safetensors"))
    _, predictions = judged(where, labelled, tmp_path / "evaluation")
    out = tmp_path / "results.parquet"
    offset = load_checkpoint(where).has_offset  # labelled corpora are expected to be balanced
    asked = {"adapt": "none", "expect": "balanced"} if offset else {}
    assert offset == (model in ("accurate", "student", "fast"))
    run(
        RunConfig(
            (str(labelled),),
            str(out),
            where,
            device="cpu",
            engine="inline",
            segment={"method": "whole"},
            channels="mix",
            **asked,
        )
    )
    rows = pd.read_parquet(out).set_index("file").sort_index()
    predictions.index = predictions.file.str.removeprefix("manifest:labels:")
    predictions = predictions.sort_index()
    assert list(rows.index) == list(predictions.index)
    names = [name for name in rows.columns if name.startswith("p_")]
    assert len(names) == len(LABELS)
    shared = COLUMNS if "hf:" in model else names  # a directory's own labels: neu, hap, ang
    assert np.abs(rows[names].to_numpy() - predictions[shared].to_numpy()).max() < 1e-4
    assert np.allclose(predictions[shared].sum(axis=1), 1, atol=1e-5)
    assert np.ptp(np.log(predictions[shared].to_numpy()), axis=0).max() > 1e-3  # they differ


@pytest.mark.slow
def test_evaluate_as_the_command_line_does_it(
    labelled: Path, finished: Finished, tmp_path: Path, batch_ser: Runner
) -> None:
    out = tmp_path / "evaluation"
    data = f"manifest:{labelled / 'labels.csv'}"
    model = finished("mfcc-cnn") / "checkpoint.safetensors"
    done = batch_ser("evaluate", "--model", model, "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == WRITTEN
    assert (out / "report.txt").read_text().strip() in done.stdout
    assert "12 recordings, 4 speakers" in done.stdout
    assert "bootstrap, 95 %, over speakers" in done.stdout
    rows = pd.read_parquet(out / "predictions.parquet")
    assert [*rows.label[:3]] == [*LABELS]
    assert (rows.predicted == rows[COLUMNS].idxmax(axis=1).str.removeprefix("p_")).all()
    assert np.allclose(rows.confidence, rows[COLUMNS].max(axis=1))
    assert {"speaker", "sex", "language", "corpus", "start_s", "end_s", "fold"} <= set(rows)
    wrong = batch_ser("evaluate", "--model", "gone.safetensors", "--data", data, "--out", out)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("batch-ser: --model gone.safetensors")


@pytest.mark.slow
def test_figures_are_those_of_scikit_learn(
    labelled: Path, finished: Finished, tmp_path: Path
) -> None:
    found, rows = judged(str(finished("gap-cnn") / "checkpoint.safetensors"), labelled, tmp_path)
    truth, predicted = list(rows.label), list(rows.predicted)
    head = {name: each["value"] for name, each in found["headline"].items()}
    macro = {"average": "macro", "labels": LABELS, "zero_division": 0.0}
    assert head["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    assert head["uar"] == pytest.approx(recall_score(truth, predicted, **macro))
    assert head["macro_f1"] == pytest.approx(f1_score(truth, predicted, **macro))
    right = (rows.label == rows.predicted).to_numpy()
    bins = np.minimum((rows.confidence.to_numpy() * 15).astype(int), 14)
    error = sum(abs((right[bins == b] - rows.confidence[bins == b]).sum()) for b in set(bins))
    assert head["calibration_error"] == pytest.approx(error / len(rows), abs=1e-5)
    for score, name in ((precision_score, "precision"), (recall_score, "recall"), (f1_score, "f1")):
        each = score(truth, predicted, average=None, labels=LABELS, zero_division=0.0)
        assert [found["by_label"][label][name] for label in LABELS] == pytest.approx(list(each))
    assert [found["by_label"][label]["support"] for label in LABELS] == [4, 4, 4]
    by_speaker = {
        speaker: recall_score(own.label, own.predicted, **macro)
        for speaker, own in rows.groupby("speaker")
    }
    assert found["uar_by_speaker"] == pytest.approx(by_speaker)
    spread = found["uar_over_speakers"]
    assert spread["lowest"] == pytest.approx(min(by_speaker.values()))
    assert spread["deviation"] == pytest.approx(np.std(list(by_speaker.values())))
    assert found["macro_f1_by_sex"] == pytest.approx(
        {sex: f1_score(own.label, own.predicted, **macro) for sex, own in rows.groupby("sex")}
    )


@pytest.mark.slow
def test_only_labels_on_both_sides_are_judged(
    labelled: Path, finished: Finished, tmp_path: Path
) -> None:
    """The data knows sad and no happy; the checkpoint happy and no sad."""
    for path in labelled.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (labelled / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(text.replace("happy", "sad"))
    model = str(finished("gap-cnn") / "checkpoint.safetensors")
    found, rows = judged(model, tmp_path, tmp_path / "out")
    assert found["labels"] == ["neutral", "angry"]
    assert found["recordings"] == 8
    assert found["left_out"] == {
        "recordings": 4,
        "labels_of_the_data": ["sad"],
        "labels_of_the_checkpoint": ["happy"],
    }
    known = rows[rows.label != "sad"]
    best = np.where(known.p_angry > known.p_neutral, "angry", "neutral")
    expected = recall_score(known.label, best, average="macro")
    assert found["headline"]["uar"]["value"] == pytest.approx(expected)
    assert len(rows) == 12  # the table keeps all, with the whole vector
    report = (tmp_path / "out" / "report.txt").read_text()
    assert "4 recordings with labels that the checkpoint does not know (sad)" in report
    (tmp_path / "labels.csv").write_text(text.replace("happy", "sad").replace("angry", "bored"))
    with pytest.raises(UsageError, match="fewer than two labels are shared"):
        judged(model, tmp_path, tmp_path / "none")


def test_labels_of_a_foreign_network_go_by_the_shared_names(
    labelled: Path, wav2vec_directory: Path, tmp_path: Path
) -> None:
    found, rows = judged(f"hf:{wav2vec_directory}", labelled, tmp_path)
    assert found["labels"] == list(LABELS)
    assert {"p_neutral", "p_happy", "p_angry"} <= set(rows)


@pytest.mark.slow
def test_the_test_side_of_a_saved_split(tree: Path, finished: Finished, tmp_path: Path) -> None:
    """The note of a training on its held-out side is repeated."""
    out = finished("gap-cnn")
    config = EvaluateConfig(
        (f"ravdess:{tree}",),
        str(out / "checkpoint.safetensors"),
        str(tmp_path / "a"),
        split=f"saved:{out / 'split.json'}",
        device="cpu",
    )
    evaluate(config)
    now, then = (json.loads((each / "metrics.json").read_text()) for each in (tmp_path / "a", out))
    assert now["headline"] == then["headline"]
    assert "the test speakers were also in training" in now["note"]
    folds = {"split": "speakers:2", "seed": 0, "device": "cpu"}
    for fold, message in (
        ("", "has 2 folds: give --fold, one of fold 1, fold 2"),
        ("fold 3", "--fold fold 3: expected one of fold 1, fold 2"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate(EvaluateConfig(config.data, config.model, "x", fold=fold, **folds))
    evaluate(EvaluateConfig(config.data, config.model, str(tmp_path / "b"), fold="fold 2", **folds))
    rows = pd.read_parquet(tmp_path / "b" / "predictions.parquet")
    assert rows.speaker.nunique() == 2
    note = json.loads((tmp_path / "b" / "metrics.json").read_text())["note"]
    assert note == HEARD.format("RAVDESS")
    assert note in (tmp_path / "b" / "report.txt").read_text()


@pytest.mark.slow
def test_recordings_that_may_have_been_trained_on_have_a_note(
    tree: Path, labelled: Path, tmp_path: Path
) -> None:
    """Without a split, and by a checkpoint trained on every fold's test side."""
    out = tmp_path / "run"
    manifest = f"manifest:{labelled / 'labels.csv'}"
    config = replace(training(tree, out, split="speakers:2"), data=(f"ravdess:{tree}", manifest))
    train(replace(config, overrides=(*config.overrides, "epochs=1")))

    def note(model: Path, data: tuple[str, ...], **rest: Any) -> str:
        to = tmp_path / "evaluation"
        evaluate(EvaluateConfig(data, str(model), str(to), device="cpu", **rest))
        return str(json.loads((to / "metrics.json").read_text())["note"])

    both = HEARD.format("RAVDESS, manifest:labels")
    whole, second = out / "checkpoint.safetensors", out / "fold-2" / "checkpoint.safetensors"
    saved = {"split": f"saved:{out / 'split.json'}"}
    assert note(whole, config.data) == note(whole, config.data, **saved, fold="fold 2") == both
    assert note(second, config.data, **saved, fold="fold 2") == ""
    assert note(second, config.data, **saved, fold="fold 1") == both
    checkpoint = load_checkpoint(whole)
    shipped = replace(checkpoint.info, corpora=({"name": "RAVDESS, speech"},))
    save_checkpoint(tmp_path / "shipped.safetensors", shipped, checkpoint._network)
    assert note(tmp_path / "shipped.safetensors", config.data) == HEARD.format("RAVDESS")
    assert note(whole, (manifest,)) == HEARD.format("manifest:labels")
    (tmp_path / "other.csv").write_text((labelled / "labels.csv").read_text())
    for path in labelled.glob("*.wav"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert note(whole, (f"manifest:{tmp_path / 'other.csv'}",)) == ""


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scoring fails: what is refused is refused before it."""

    def scored(*_: object) -> None:
        raise AssertionError("scored before it was refused")

    monkeypatch.setattr("train.evaluate.predict", scored)


@pytest.mark.slow
@pytest.mark.usefixtures("unscored")
def test_folders_that_are_no_evaluations_are_left_alone(
    labelled: Path, checkpoint_path: Path, finished: Finished, tmp_path: Path
) -> None:
    out = finished("gap-cnn")
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "checkpoint.safetensors").write_bytes(b"")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    (tmp_path / "file").write_text("no folder")
    before = (out / "metrics.json").read_bytes()
    for place, message in (
        (out, r"the folder of a training \(config.json\)"),
        (tmp_path / "only", r"the folder of a training \(checkpoint.safetensors\)"),
        (tmp_path / "photos", "found cat.png"),
        (tmp_path / "file", "found a file"),
        (tmp_path / "file" / "below", "cannot be written"),
        (Path("/proc/x"), "cannot be written"),
    ):
        with pytest.raises(UsageError, match=rf"--out {place}: .*{message}.* give another --out"):
            judged(str(checkpoint_path), labelled, place)
    assert (out / "metrics.json").read_bytes() == before


@pytest.mark.usefixtures("unscored")
def test_labels_without_a_common_one_are_refused_before_scoring(
    tree: Path, labelled: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(checkpoint_path)
    for labels, message in (
        (("negative", "neutral", "positive"), "give --labels three"),
        (("low", "neutral", "high"), "give --labels with its names"),
    ):
        network = build("whisper", 3, checkpoint.info.settings)
        info = replace(checkpoint.info, labels=labels)
        save_checkpoint(tmp_path / "other.safetensors", info, network)
        with pytest.raises(UsageError, match=f"fewer than two labels are shared; {message}"):
            judged(str(tmp_path / "other.safetensors"), labelled, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="--split none: it has no test side"):
        evaluate(EvaluateConfig((f"ravdess:{tree}",), str(checkpoint_path), "x", split="none"))


def test_options_that_would_do_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="--fold fold 1: found no --split"):
        EvaluateConfig((), "accurate", "x", fold="fold 1")
    with pytest.raises(UsageError, match="--seed -1: expected 0 or more"):
        EvaluateConfig((), "accurate", "x", split="random:80/10/10", seed=-1)


def test_a_single_speaker_has_no_interval(
    labelled: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    for path in labelled.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (labelled / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(re.sub(r",s\d,[fm]", ",s0,f", text))
    found, _ = judged(str(checkpoint_path), tmp_path, tmp_path / "out")
    assert found["headline"]["uar"]["low"] is None
    report = (tmp_path / "out" / "report.txt").read_text()
    assert "no intervals: the bootstrap draws speakers, and there is a single one" in report
    assert "95 %" not in report


def test_a_card_of_several_corpora_has_their_means(checkpoint_path: Path) -> None:
    figures = {"UAR": 0.5, "WA": 0.25}
    metrics = {
        f"{what} {corpus}": figures
        for corpus in ("ravdess", "ased")
        for what in ("fold 1", "fold 2", "mean")
    }
    info = replace(load_checkpoint(checkpoint_path).info, metrics=metrics)
    text = card(replace(info, note="seen speakers", report="| more | figures |"), all_seen=True)
    assert "| mean ravdess | 50.0 % | 25.0 % |" in text
    assert "| mean ased |" in text
    assert "fold 1" not in text
    assert "Note: seen speakers." in text
    assert "| more | figures |" in text


def test_a_card_explains_calm_where_ravdess_was_in_training(checkpoint_path: Path) -> None:
    info = replace(load_checkpoint(checkpoint_path).info, labels=("calm", "happy"))
    about = {"recordings": 1, "speakers": 1, "licence": "", "source": ""}

    def text(*names: str) -> str:
        corpora = tuple({"name": name, **about} for name in names)
        return card(replace(info, corpora=corpora), all_seen=True)

    assert "that of RAVDESS is close to neutral" in text("RAVDESS")
    assert "that of RAVDESS is close to neutral" in text("RAVDESS", "TurEV-DB")
    assert "that of RAVDESS is close to neutral" in text("RAVDESS, speech")  # the shipped one
    assert '"calm" is' not in text("TurEV-DB")


def test_a_card_of_an_offset_head_states_its_shares_and_calibration(checkpoint_path: Path) -> None:
    about = {"recordings": 1, "speakers": 0, "licence": "", "source": ""}
    corpora = tuple({"name": name, **about} for name in ("RAVDESS", "speechocean762", "ordinary a"))
    info = replace(load_checkpoint(checkpoint_path).info, corpora=corpora, recipe={"fit": "lda"})
    text = " ".join(card(replace(info, natural={"prior": 0.6}), all_seen=True).split())
    assert "a share of 0.4 for its offset, of 0.6 for the prior" in text
    assert "that a fit left out, with estimated offsets" in text
    assert "Not labelled are speechocean762, ordinary a" in text
    assert "trained on all the recordings below" in text  # no valid side
    assert "the mean over the labels." in text  # of one labelled corpus
    assert "1 recordings of unknown speakers" in text
    other = card(replace(info, corpora=corpora[:1], recipe={"fit": "gradient"}), all_seen=True)
    assert "--expect" not in other
    assert "held out of the training data" in other
    assert "Not labelled" not in other


def test_a_card_states_what_was_acted_and_where_confidence_is_not_calibrated(
    checkpoint_path: Path,
) -> None:
    about = {"recordings": 1, "speakers": 0, "licence": "", "source": "its authors"}
    info = replace(load_checkpoint(checkpoint_path).info, recipe={"fit": "lda"})

    def text(*names: str, **changes: Any) -> str:
        corpora = tuple({"name": name, **about} for name in names)
        found = card(replace(info, corpora=corpora, **changes), all_seen=True)
        return " ".join(found.split())

    emospeech = "Indian EmoSpeech Command 0.1"
    assert "acted speech in a studio" not in text(emospeech)
    assert "acted speech in a studio." in text("RAVDESS, speech", "speechocean762")
    mixed = text("RAVDESS", emospeech)
    assert f"acted speech in a studio, and on other recordings ({emospeech})." in mixed
    for temperature in (99.9999, 0.1):
        found = text("RAVDESS", temperature=temperature)
        assert "Confidence is not calibrated" in found
        assert "Confidence is calibrated" not in found


def test_a_card_states_which_figures_are_by_archive(checkpoint_path: Path) -> None:
    figures = {"UAR": 0.5}
    both = {"random": figures, "random, by archive": figures}
    about = {"recordings": 1, "speakers": 0, "licence": "", "source": ""}
    corpora = tuple({"name": name, **about} for name in ("RAVDESS", "speechocean762"))
    info = replace(load_checkpoint(checkpoint_path).info, metrics=both, corpora=corpora)
    text = " ".join(card(info, all_seen=True).split())
    assert "the others with the usual offset (`--adapt none`), that of ordinary speech" in text
    alone = card(replace(info, metrics={"mean, by archive": figures}), all_seen=True)
    assert "--adapt none" not in alone

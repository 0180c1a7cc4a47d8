"""Training as the command line does it: every recipe, the run's folder, folds, wrong usage."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from conftest import Runner
from safetensors.torch import load_file, save_file
from trainings import SETS, training

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from models import load_checkpoint
from models.checkpoint import read_info
from models.whisper import WhisperClassifier
from train import metrics
from train.data.corpora import read_data
from train.evaluation.figures import NOT_INDEPENDENT
from train.recipes.presets import RECIPES
from train.run import train

PICTURES = {"confusion.png", "curves.png", "examples.png", "reliability.png"}
TABLES = {
    "history.csv",
    "split.json",
    "config.json",
    "metrics.json",
    "report.txt",
    "figures.json",
    "predictions.parquet",
}
CHECKPOINT = {"checkpoint.safetensors", "checkpoint.md"}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", SETS)
def test_every_recipe_trains_and_writes_its_folder(
    recipe: str, finished: Callable[[str], Path]
) -> None:
    out = finished(recipe)
    gradient = RECIPES[recipe].fit == "gradient"
    expected = PICTURES | TABLES | CHECKPOINT
    assert {path.name for path in out.iterdir()} == (
        expected if gradient else expected - {"history.csv", "curves.png"}
    )
    assert all(
        (out / name).read_bytes()[1:4] == b"PNG" for name in PICTURES if (out / name).exists()
    )
    if gradient:
        history = pd.read_csv(out / "history.csv")
        assert history.train_loss.min() < history.train_loss[0]  # it learns
    info = read_info(out / "checkpoint.safetensors")
    assert (info.name, info.architecture) == (recipe, RECIPES[recipe].architecture)
    assert info.labels == ("neutral", "happy", "angry")
    assert info.recipe["name"] == recipe
    assert "CC BY-NC-SA" in info.licence
    config = json.loads((out / "config.json").read_text())
    assert config["recipe"] == json.loads(json.dumps(info.recipe))
    assert config["training"]["split"] == "random:60/20/20"
    assert config["versions"]["torch"]
    card = (out / "checkpoint.md").read_text()
    assert "without the test side" in card
    assert NOT_INDEPENDENT in card


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["vgg", "mfcc-cnn", "acnt", "gap-cnn"])
def test_statistics_of_the_training_set_travel_in_the_checkpoint(
    recipe: str, finished: Callable[[str], Path]
) -> None:
    tensors = load_file(finished(recipe) / "checkpoint.safetensors")
    assert tensors["scaling.mean"].abs().max() > 1
    assert tensors["scaling.deviation"].min() > 0
    assert not (tensors["scaling.deviation"] == 1).all()


@pytest.mark.slow
def test_figures_are_those_of_the_held_out_side(
    tree: Path, finished: Callable[[str], Path]
) -> None:
    out = finished("gap-cnn")
    split = json.loads((out / "split.json").read_text())["folds"][0]
    rows = pd.read_parquet(out / "predictions.parquet")
    assert set(rows.file) == set(split["test"])
    assert not set(rows.file) & set(split["train"] + split["valid"])
    checkpoint = load_checkpoint(out / "checkpoint.safetensors")
    paths = [str(tree / name.removeprefix("ravdess:")) for name in rows.file]
    scores = np.stack([checkpoint.score(load(path, 22_050), 22_050) for path in paths])
    assert np.allclose(scores, rows[["p_neutral", "p_happy", "p_angry"]], atol=1e-4)
    figures = json.loads((out / "figures.json").read_text())["random"]
    assert figures == metrics.scores(list(rows.label), list(rows.predicted))
    assert checkpoint.info.metrics == {"random": figures}


@pytest.mark.slow
def test_a_training_from_folder_to_scores(
    tree: Path, encoder: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """The command as the README gives it: two folds, and a checkpoint on everything."""
    entries = [{"test_actors": [1, 2]}, {"test_actors": [3, 4]}]
    (tmp_path / "folds.json").write_text(json.dumps({"ravdess": {"folds": entries}}))
    out = tmp_path / "mine.safetensors"
    command = (
        *("train", "--recipe", "whisper-frozen", "--data", f"ravdess:{tree}", "--init", encoder),
        *("--split", f"emobox:{tmp_path / 'folds.json'}", "--out", out),
        *(part for each in SETS["whisper-frozen"] for part in ("--set", each)),
    )
    done = batch_ser(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("UAR") == 3  # two folds and their mean
    assert all(word in done.stdout for word in ("WA", "macro F1", "fold 2", "mean"))
    assert NOT_INDEPENDENT not in done.stdout
    checkpoint = load_checkpoint(out)
    assert checkpoint.info.labels == ("neutral", "happy", "angry")
    assert checkpoint.info.temperature > 0
    assert set(checkpoint.info.metrics) == {"fold 1", "fold 2", "mean"}
    card = out.with_suffix(".md").read_text()
    assert "trained on all the recordings" in card
    run = out.with_suffix(".run")
    assert {path.name for path in run.iterdir() if path.is_dir()} == {"fold-1", "fold-2"}
    utterances = read_data([f"ravdess:{tree}"])
    scores = [checkpoint.score(load(str(each.path), 16_000), 16_000) for each in utterances]
    best = [checkpoint.info.labels[int(score.argmax())] for score in scores]
    assert metrics.scores([each.label for each in utterances], best)["UAR"] > 0.8
    again = batch_ser(*command)
    assert again.stdout == done.stdout
    assert "features" not in again.stderr  # nothing is left to train
    assert (run / "checkpoint.safetensors").read_bytes() == out.read_bytes()


@pytest.mark.slow
def test_several_folds_for_their_figures_only(tree: Path, tmp_path: Path) -> None:
    config = training(
        tree, tmp_path / "run", "gap-cnn", "epochs=1", split="speakers:2", figures_only=True
    )
    train(config)
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
    for fold in ("fold-1", "fold-2"):
        folder = tmp_path / "run" / fold
        assert PICTURES - {path.name for path in folder.iterdir()} == {
            "confusion.png",
            "reliability.png",
        }
    rows = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert len(rows) == rows.file.nunique() == 24  # each is held out once
    assert rows.groupby("fold").speaker.nunique().tolist() == [2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": ("ravdess:nowhere",)}, "there is no folder"),
        ({"data": ()}, "expected KIND:PATH with KIND one of ravdess"),
        ({"recipe": "magic"}, "expected one of ast, vgg"),
        ({"recipe": ""}, "expected one of ast, vgg"),
        ({"out": None}, "expected a folder for the run"),
        ({"split": "emobox:none.json"}, r"none\.json cannot be read"),
        ({"recipe": "whisper", "init": "none.safetensors"}, "there are no weights"),
        ({"init": "none.safetensors"}, "starts from random weights"),
        ({"recipe": "hf"}, "expected --init DIR"),
        ({"recipe": "hf", "init": "nowhere"}, "there is no such folder"),
        ({"device": "tpu"}, "expected auto, cpu or cuda"),
        ({"overrides": ("fit=linear",)}, "need the architecture whisper"),
        ({"overrides": ("settings.wings=2",)}, "settings do not fit gap_cnn: .*wings"),
        ({"labels": "happy,bored"}, "found 8 recordings with the labels happy"),
        ({"overrides": ("front_end.rate_hz=16000",)}, "gap_cnn takes 22050 Hz"),
        ({"overrides": ("front_end.bands=x",)}, "does not fit gap_cnn with"),
        ({"overrides": ("front_end.bands=64",)}, "does not fit gap_cnn with"),
        ({"overrides": ("front_end.length_s=5",)}, "length_s: expected at most 3"),
        ({"cache": __file__}, "found a file, expected a folder"),
    ],
)
def test_trainings_that_cannot_start(
    tree: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config = replace(training(tree, tmp_path / "run"), overrides=())
    with pytest.raises(UsageError, match=message):
        train(replace(config, **change))
    assert not (tmp_path / "run").exists()  # the corrected command is not refused


def test_show_prints_the_corpus(tree: Path, batch_ser: Runner) -> None:
    done = batch_ser("train", "--recipe", "whisper-frozen", "--data", f"ravdess:{tree}", "--show")
    assert done.returncode == 0
    assert "24 recordings" in done.stdout
    assert "label: angry 8, happy 8, neutral 8" in done.stdout


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Eight recordings of ordinary speech, of two speakers."""
    root = tmp_path_factory.mktemp("talks") / "talks"
    for number in range(8):
        path = root / f"speaker{number % 2}" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[(number + 4) * 12_000 :][:12_000], 16_000)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["accurate", "student"])
def test_ordinary_speech_trains_an_offset_head_and_is_tested_nowhere(
    recipe: str, tree: Path, ordinary: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    config = training(tree, tmp_path / "run", recipe, init=inits[recipe])
    train(replace(config, data=(*config.data, f"ordinary:{ordinary}")))
    split = json.loads((tmp_path / "run" / "split.json").read_text())["folds"][0]
    names = {
        side: {each for each in split[side] if each.startswith("ordinary talks:")}
        for side in ("train", "valid", "test")
    }
    assert {side: len(each) for side, each in names.items()} == {"train": 8, "valid": 0, "test": 0}
    info = read_info(tmp_path / "run" / "checkpoint.safetensors")
    assert info.labels == ("neutral", "happy", "angry")
    assert {each["name"]: each.get("recordings") for each in info.corpora}["ordinary talks"] == 8
    weights = load_file(tmp_path / "run" / "checkpoint.safetensors")
    assert weights["head.usual"].abs().max() > 0


@pytest.mark.parametrize("recipe", ["gap-cnn", "whisper-frozen"])
def test_ordinary_speech_is_no_label_of_other_fits(
    recipe: str, tree: Path, ordinary: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    config = training(tree, tmp_path / "run", recipe, init=inits.get(recipe))
    with pytest.raises(UsageError, match=r"8 recordings of ordinary speech .*serve fit=lda alone"):
        train(replace(config, data=(*config.data, f"ordinary:{ordinary}")))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("labels", ["happy,angry", "negative=neutral+angry,happy"])
def test_ordinary_speech_without_a_neutral_label_is_refused(
    labels: str, tree: Path, ordinary: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    """It would have no effect, since its offset is its distance from neutral."""
    config = training(tree, tmp_path / "run", "accurate", init=inits["accurate"], labels=labels)
    with pytest.raises(UsageError, match=r"--data ordinary:.*no recording with the label neutral"):
        train(replace(config, data=(*config.data, f"ordinary:{ordinary}")))
    assert not (tmp_path / "run").exists()


def test_weights_are_looked_for_before_the_data_are_read(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.run.read", lambda *_: pytest.fail("the data were read"))
    for recipe, init in (("hf", None), ("whisper", "none.safetensors"), ("fast", "none")):
        with pytest.raises(UsageError, match="--init"):
            train(replace(training(tree, tmp_path / "run", recipe), init=init))


@pytest.mark.slow
def test_the_first_blocks_of_a_larger_encoder_are_taken(
    tree: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    """Without the norm after its last one, which is learned for that."""
    torch.manual_seed(6)
    larger = WhisperClassifier(2, taps=(1,), layers=3, d_model=32, heads=2).encoder.state_dict()
    save_file(larger, tmp_path / "larger.safetensors")
    train(training(tree, tmp_path / "run", "accurate", init=str(tmp_path / "larger.safetensors")))
    for out in (tmp_path / "run", finished("accurate")):
        names = {name for name in load_file(out / "checkpoint.safetensors") if "encoder." in name}
        assert "encoder.layers.1.fc1.weight" in names
        assert not [name for name in names if "layers.2" in name or "encoder.layer_norm" in name]
    found = load_file(tmp_path / "run" / "checkpoint.safetensors")
    assert torch.equal(found["encoder.layers.1.fc1.weight"], larger["layers.1.fc1.weight"])
    for recipe in ("whisper-mlp", "whisper-frozen"):
        config = training(tree, tmp_path / "no", recipe, init=str(tmp_path / "larger.safetensors"))
        with pytest.raises(UsageError, match=r"3 layers with .*layers=2; .* settings.final_norm=f"):
            train(config)
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_an_offset_head_on_a_single_corpus_has_figures(finished: Callable[[str], Path]) -> None:
    """Those of a network that classifies, and a temperature that was fitted."""
    for recipe in ("accurate", "student", "fast"):
        info = read_info(finished(recipe) / "checkpoint.safetensors")
        assert info.settings["head"] == "offset"
        assert set(info.metrics) == {"random", "random, by archive"}
        card = (finished(recipe) / "checkpoint.md").read_text()
        assert 'Figures "by archive" are with the offset of the test recordings' in card
        report = (finished(recipe) / "report.txt").read_text()
        for adapt in ("none", "archive"):
            assert f"--adapt {adapt} --expect balanced" in report
        assert 0 < info.temperature != 1.0

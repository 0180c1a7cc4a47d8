"""Distillation: a student meets its teacher, who never heard what the student is judged by."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import cuts
from trainings import training

from batch_ser.errors import UsageError
from batch_ser.features import pad, whisper_log_mel
from batch_ser.samples import Samples
from models import load_checkpoint
from models.architectures import build
from models.checkpoint import read_info, read_weights
from train.data import read
from train.imitation import freeze
from train.loss import Batch, loss_of
from train.recipes import RECIPES
from train.run import TrainConfig, train
from train.splits import make_split
from train.store import Store, load_utterance
from train.teacher import Teacher, find_teacher

Finished = Callable[[str], Path]
CPU = torch.device("cpu")


def student(tree: Path, out: Path, teacher: Path | None, *sets: str, **rest: Any) -> TrainConfig:
    told = str(teacher) if teacher else None
    return training(tree, out, "fast", *sets, teacher=told, **rest)


def test_a_student_comes_to_say_what_it_is_told(speech: Samples) -> None:
    """Both its probabilities and its embeddings, on a batch of real speech."""
    torch.manual_seed(0)
    network = build("tdnn", 3, {"channels": 16, "hidden": 8, "hidden_dropout": 0.0, "dropout": 0.0})
    freeze(network, half=False)
    heard = whisper_log_mel([each for each in cuts(speech) if len(each) > 8_000], CPU)
    with torch.no_grad():
        features = network.lower(heard)
    network.fit_statistics([features])
    count = len(features.frames)
    probabilities = torch.randn(count, 3).mul(2).softmax(1)
    said = torch.rand(count, 8)
    recipe = replace(RECIPES["fast"], distil=1.0, mimic=10.0, adapt=0.0, label_smoothing=0.0)
    batch = Batch(features, probabilities, probabilities >= 0, said)
    optimiser = torch.optim.Adam(network.parameters(), 0.005)
    for _ in range(1000):
        loss, _ = loss_of(network, recipe, batch, None, mixed=False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.inference_mode():
        embeddings = network.represent(features)
        apart = (network.classify(embeddings).softmax(1) - probabilities).abs().mean()
        assert apart < 0.05
        assert (embeddings - said).abs().median() < 0.05  # they are spread over 0 to 1


def test_a_teacher_says_what_its_checkpoint_scores(
    tree: Path, tmp_path: Path, finished: Finished
) -> None:
    """On the recordings as they are; without labels that a corpus does not have."""
    path = finished("accurate") / "checkpoint.safetensors"
    info, checkpoint = read_info(path), load_checkpoint(path)
    network = build(info.architecture, 3, info.settings)
    network.load_state_dict(read_weights(path))
    data = read((f"ravdess:{tree}",), None)
    recipe = replace(RECIPES["fast"], front_end=dict(info.front_end_settings))
    store = Store(network, recipe, data.utterances, data.contents, tmp_path)
    possible = np.ones((len(data.utterances), 3), np.bool_)
    possible[0, 1] = False
    labels = ("angry", "neutral", "happy")  # in another order than the teacher has them
    teacher = Teacher(info, network, store, labels, possible)
    said = torch.stack([teacher.says(0, row) for row in range(len(possible))])
    student = build("tdnn", 3, {"channels": 4, "imitated": 4, "hidden": 32, "experts": 1})
    teacher.hand_over(student)
    mine, its = network.head, student.head
    for label, row, bias in zip(labels, its.weight, its.bias, strict=True):
        assert torch.equal(row, mine.weight[info.labels.index(label)])
        assert bias == mine.bias[info.labels.index(label)]
    recordings = [load_utterance(each, 16_000) for each in data.utterances]
    expected = checkpoint.score_all(recordings)[:, [info.labels.index(each) for each in labels]]
    expected[0, 1] = 0
    expected /= expected.sum(1, keepdims=True)
    assert np.abs(said[:, :3].numpy() - expected).max() < 0.03  # views are in bfloat16
    embeddings = checkpoint.classify_and_embed(checkpoint.features(recordings))[1][:, :32]
    assert np.abs(said[:, 3:].numpy() - embeddings).max() < 0.1 * np.abs(embeddings).max()


def test_a_teacher_that_heard_the_test_side_is_refused(
    tree: Path, tmp_path: Path, finished: Finished
) -> None:
    teacher = finished("accurate")
    with pytest.raises(UsageError, match="held out what"):
        train(student(tree, tmp_path / "run", teacher, seed=1))
    assert not (tmp_path / "run").exists()
    train(student(tree, tmp_path / "run", teacher, seed=1, allow_leak=True))
    assert "the test side may have been heard" in (tmp_path / "run" / "checkpoint.md").read_text()
    shutil.copytree(tree, tmp_path / "parent" / "ravdess")
    above = replace(
        student(tree, tmp_path / "above", teacher, seed=1), data=(f"ravdess:{tmp_path / 'parent'}",)
    )
    with pytest.raises(UsageError, match="held out what"):  # the same sounds under other names
        train(above)
    lone = tmp_path / "lone" / "checkpoint.safetensors"  # of whose training nothing is known
    lone.parent.mkdir()
    shutil.copy(teacher / "checkpoint.safetensors", lone)
    for given in (lone, lone.parent):
        with pytest.raises(UsageError, match="held out what"):
            train(student(tree, tmp_path / "other", given))
    train(student(tree, tmp_path / "all", lone, split="none"))  # nothing is held out


def test_each_fold_has_the_teacher_of_its_own_fold(
    tree: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    folds = training(tree, tmp_path / "teacher", "accurate", "epochs=1", init=inits["accurate"],
                     split="speakers:2")  # fmt: skip
    train(folds)
    data = read(folds.data, None)
    split = make_split("speakers:2", data.utterances, data.contents, 0, 0.1)
    found = [find_teacher(str(folds.folder), fold, data, False) for fold in split.folds]
    assert [path.parent.name for path in found] == ["fold-1", "fold-2"]
    train(student(tree, tmp_path / "student", folds.folder, "epochs=1", split="speakers:2"))
    assert (tmp_path / "student" / "checkpoint.safetensors").exists()
    shutil.copy(found[1], found[0])  # one of those that taught
    with pytest.raises(UsageError, match="other settings"):
        train(student(tree, tmp_path / "student", folds.folder, "epochs=1", split="speakers:2"))


def test_a_teacher_s_steering_side_and_speakers_count_as_heard(
    tree: Path, tmp_path: Path, finished: Finished
) -> None:
    """A test recording on the teacher's valid side, and a test speaker among what it heard."""
    teacher = tmp_path / "teacher"
    shutil.copytree(finished("accurate"), teacher)
    config = student(tree, tmp_path / "run", teacher)
    data = read(config.data, None)
    fold = make_split(config.split, data.utterances, data.contents, 0, 0.1).folds[0]
    assert find_teacher(str(teacher), fold, data, False).parent == teacher
    with pytest.raises(UsageError, match="held out what"):
        find_teacher(str(teacher), replace(fold, independent=True), data, False)
    split = json.loads((teacher / "split.json").read_text())
    entry = split["folds"][0]
    entry["valid"].append(entry["test"][0])
    (teacher / "split.json").write_text(json.dumps(split))
    with pytest.raises(UsageError, match="held out what"):
        find_teacher(str(teacher), fold, data, False)


def test_a_teacher_of_folds_alone_cannot_teach_a_checkpoint_on_everything(
    tree: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    """Refused before anything is trained; its folds can teach folds."""
    folds = training(tree, tmp_path / "teacher", "accurate", "epochs=1", init=inits["accurate"],
                     split="speakers:2", figures_only=True)  # fmt: skip
    train(folds)
    config = student(tree, tmp_path / "run", folds.folder, "epochs=1", split="speakers:2")
    with pytest.raises(UsageError, match="there is no"):
        train(config)
    assert not (tmp_path / "run").exists()
    train(replace(config, figures_only=True))


def test_what_taught_is_told(
    tree: Path, tmp_path: Path, finished: Finished, speech: Samples
) -> None:
    """Its corpora and licences are the student's, too."""
    for number in range(12):
        path = tmp_path / "mine" / ("neutral", "angry")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[(number + 8) * 9_000 :][:9_000], 16_000)
    config = student(tree, tmp_path / "run", finished("accurate"), "epochs=1", split="none")
    train(replace(config, data=(f"folder:{tmp_path / 'mine'}",)))
    info = read_info(tmp_path / "run" / "checkpoint.safetensors")
    assert "RAVDESS" in str(info.corpora)
    assert "CC BY-NC-SA" in info.licence
    card = (tmp_path / "run" / "checkpoint.md").read_text()
    assert "taught by: accurate (whisper)" in card
    assert "--recipe fast --teacher CHECKPOINT" in card


def test_the_teacher_hears_the_view_that_the_student_hears(
    tree: Path, tmp_path: Path, finished: Finished
) -> None:
    path = finished("accurate") / "checkpoint.safetensors"
    info = read_info(path)
    network = build(info.architecture, 3, info.settings)
    network.load_state_dict(read_weights(path))
    data = read((f"ravdess:{tree}",), None)
    recipe = replace(RECIPES["fast"], front_end=dict(info.front_end_settings))
    store = Store(network, recipe, data.utterances, data.contents, tmp_path)
    teacher = Teacher(info, network, store, info.labels, np.ones((24, 3), np.bool_))
    with torch.inference_mode():
        for view in (0, 1):
            heard = pad([store.view(view).piece(3)], CPU)
            assert torch.allclose(
                teacher.says(view, 3)[3:], network.represent(heard)[0, :32], atol=1e-5
            )
    assert not torch.allclose(teacher.says(0, 3), teacher.says(1, 3))


@pytest.mark.parametrize(
    ("sets", "recipe", "told"),
    [
        ((), "fast", "found no --teacher"),
        (("distil=0", "mimic=0"), "gap-cnn", None),
        (("settings.hidden=16",), "fast", "its head hears 32 numbers, the student's 16"),
        (("half=true",), "whisper-frozen", "fit=linear has no teacher, half or refit"),
    ],
)
def test_a_teacher_where_one_is_needed_and_one_that_fits(
    sets: tuple[str, ...], recipe: str, told: str | None, tree: Path, tmp_path: Path,
    finished: Finished,
) -> None:  # fmt: skip
    teacher = None if told and "no --teacher" in told else str(finished("accurate"))
    config = training(tree, tmp_path / "run", recipe, *sets, teacher=teacher)
    with pytest.raises(UsageError, match=told or "found --teacher"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_lacks_a_label_is_refused(
    tree: Path, tmp_path: Path, inits: dict[str, str]
) -> None:
    two = training(tree, tmp_path / "two", "accurate", "epochs=1", init=inits["accurate"],
                   labels="happy,angry")  # fmt: skip
    train(two)
    with pytest.raises(UsageError, match="it knows happy, angry, and not neutral"):
        train(student(tree, tmp_path / "run", two.folder, split="none"))
    gone = student(tree, tmp_path / "run", tmp_path / "gone.safetensors")
    with pytest.raises(UsageError, match="there is no"):
        train(gone)

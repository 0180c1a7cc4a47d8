"""A student's encoder learns its teacher's states, up to the end of each segment."""

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from conftest import cuts
from hypothesis import given
from hypothesis import strategies as st
from labelled import write_csv
from networks import small_network
from safetensors.torch import load_file, save_file
from trainings import training

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.features import Features, pad, whisper_log_mel
from models.architectures import build
from models.checkpoint import read_info
from models.whisper import WhisperClassifier
from train import fold
from train.data.dataset import read
from train.features.encoded import EncodedFeatures, freeze
from train.features.store import Store
from train.fitting import distillation, initialisation
from train.fitting.distillation import frame_error
from train.fitting.initialisation import new_network, pretrained_teacher
from train.fitting.task import Task
from train.fitting.teacher import TeacherOutputs, principal_axes, teacher_outputs
from train.recipes.presets import RECIPES
from train.run import TrainConfig, train
from train.run_folder import CHECKPOINT

CPU = torch.device("cpu")
AXES = 8


def axes_of(width: int = 64) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return principal_axes(
        lambda row: draw.standard_normal((40, width)).astype(np.float32) * (1 + row),
        np.arange(3),
        AXES,
    )


@given(st.integers(0, 1000), st.integers(1, 6))
def test_axes_are_uncorrelated_and_the_first_vary_most(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    mixture = draw.standard_normal((6, 6)) * np.array([5, 3, 2, 1, 0.5, 0.2])[:, None]
    states = [(draw.standard_normal((80, 6)) @ mixture + 7).astype(np.float32) for _ in range(4)]
    found = principal_axes(lambda row: states[row], np.arange(4), count)
    every = (np.concatenate(states) - found["mean"]) / found["deviation"] @ found["axes"]
    covariance = every.T @ every / len(every)
    variances = np.diag(covariance)
    assert (np.diff(variances) < 1e-3).all()
    assert variances.mean() == pytest.approx(1.0, rel=0.01)
    assert np.abs(covariance - np.diag(variances)).max() < 0.02 * variances.max()


def teacher_of_random_weights() -> WhisperClassifier:
    network = small_network("whisper, active")
    assert isinstance(network, WhisperClassifier)
    return network


def test_states_are_means_over_a_student_s_frames(speech: Samples) -> None:
    """And a recording's own, whatever its length."""
    teacher = teacher_of_random_weights()
    outputs = TeacherOutputs(teacher, 2, axes_of())
    for length in (200, 700, 16_000, 33_333):
        features = whisper_log_mel([speech[60_000 : 60_000 + length]], CPU)
        with torch.inference_mode():
            states, mask = teacher.encoder(features)
            found = outputs.forward_frozen(features)
        together = torch.cat(states, 2)[0].numpy()
        frames = max(1, int(mask.sum()) // 2)
        assert found.values.shape == (1, AXES, frames) == (1, AXES, int(found.frames[0]))
        first = (together[:2].mean(0) - outputs.mean.numpy()) / outputs.deviation.numpy()
        assert np.allclose(found.values[0, :, 0], first @ outputs.axes.numpy(), atol=1e-3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 99))
def test_what_lies_past_an_end_is_no_error(lengths: list[int], more: int, seed: int) -> None:
    torch.manual_seed(seed)
    longest = max(lengths)
    states = Features(torch.randn(len(lengths), AXES, longest), torch.tensor(lengths))
    same = states.values.transpose(1, 2).clone()
    for row, length in enumerate(lengths):
        same[row, length:] = 99.0
    predicted = torch.nn.functional.pad(same, (0, 0, 0, more), value=99.0)
    assert frame_error(predicted, states) == 0
    predicted[0, 0, 0] += 3.0
    assert frame_error(predicted, states) == pytest.approx(9 / AXES / sum(lengths))


def test_a_student_learns_its_teacher_s_states(speech: Samples) -> None:
    outputs = TeacherOutputs(teacher_of_random_weights(), 2, axes_of())
    torch.manual_seed(0)
    student = build("tdnn", 3, {"channels": 32, "hidden": 16, "predicted": AXES})
    features = whisper_log_mel([each for each in cuts(speech) if len(each) > 8_000], CPU)
    with torch.no_grad():
        states = outputs.forward_frozen(features)
    optimiser = torch.optim.Adam(student.encoder.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = frame_error(student.predict_states(features), states)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


def weights_of(width: int, layers: int, path: Path) -> Path:
    """A file with an encoder of random weights."""
    torch.manual_seed(9)
    network = WhisperClassifier(
        2, d_model=width, heads=max(1, width // 64), layers=layers, taps=(1,)
    )
    save_file(network.encoder.state_dict(), path)
    return path


@pytest.mark.parametrize("width", [32, 128])
def test_the_teacher_is_the_first_layers_of_an_encoder_of_any_width(
    width: int, tmp_path: Path, speech: Samples
) -> None:
    """Its states are those of the whole encoder after these layers, without the final norm."""
    path = weights_of(width, 3, tmp_path / "encoder.safetensors")
    whole = WhisperClassifier(2, d_model=width, heads=max(1, width // 64), layers=3, taps=(1, 2))
    whole.encoder.load_state_dict(load_file(path))
    teacher = pretrained_teacher(RECIPES["student"], str(path), AXES)
    assert not any(each.requires_grad for each in teacher.parameters() if each.ndim > 2)
    features = whisper_log_mel([speech[60_000:90_000]], CPU)
    with torch.inference_mode():
        (found, _), (expected, _) = teacher.encoder(features), whole.encoder(features)
    assert len(found) == len(expected) == 2
    assert all(torch.allclose(*each, atol=1e-5) for each in zip(found, expected, strict=True))


def test_a_frozen_student_scores_the_same(speech: Samples) -> None:
    """Training on cached statistics equals what the checkpoint computes from samples."""
    student = small_network("tdnn")
    features = whisper_log_mel(list(cuts(speech)), CPU)
    with torch.inference_mode():
        whole = student(features)
        freeze(student, float16=False)
        pooled = student.forward_frozen(features)
        assert pooled.values.shape == (len(features.frames), 2 * (16 + 8), 1)
        assert torch.allclose(student.forward_trainable(pooled), whole, atol=1e-5)
        assert torch.allclose(student(features), whole, atol=1e-5)


def test_encoded_features_are_those_of_the_store_through_the_encoder(
    tree: Path, tmp_path: Path
) -> None:
    student, data = small_network("tdnn"), read((f"ravdess:{tree}",), None)
    store = Store(student, RECIPES["student"], data.utterances, data.contents, tmp_path)
    encoder = deepcopy(student)
    freeze(encoder, float16=True)
    encoded = EncodedFeatures(store, encoder)
    for stored, found in ((store.view(1), encoded.view(1)), (store.pieces(), encoded.pieces())):
        assert np.array_equal(stored.recordings, found.recordings)
        assert np.array_equal(stored.weights, found.weights)
        assert np.array_equal(stored.durations_s, found.durations_s)
        for number in range(len(stored.ends)):
            with torch.inference_mode():
                expected = encoder.forward_frozen(pad([stored.piece(number)], CPU)).values[0]
            assert torch.allclose(found.piece(number), expected, atol=1e-4)
    assert encoded.view(1) is encoded.view(1)


def test_encoded_features_do_not_depend_on_a_fit_that_has_begun(tree: Path, tmp_path: Path) -> None:
    """A network in training has batch norms that would take a batch's own statistics."""
    student, data = small_network("tdnn"), read((f"ravdess:{tree}",), None)
    store = Store(deepcopy(student), RECIPES["student"], data.utterances, data.contents, tmp_path)
    freeze(student, float16=False)
    early, late = EncodedFeatures(store, student), EncodedFeatures(store, student)
    before_training = early.view(1)
    before = {name: each.clone() for name, each in student.state_dict().items()}
    student.train()
    assert np.array_equal(late.view(1).frames, before_training.frames)
    assert all(torch.equal(each, before[name]) for name, each in student.state_dict().items())


def test_axes_are_cached_by_the_teacher_and_its_recordings(tree: Path, tmp_path: Path) -> None:
    student, data = small_network("tdnn"), read((f"ravdess:{tree}",), None)
    store = Store(student, RECIPES["student"], data.utterances, data.contents, tmp_path)
    other = weights_of(32, 2, tmp_path / "other.safetensors")

    def axes(teacher: WhisperClassifier, rows: int) -> torch.Tensor:
        cache = tmp_path / "cache"
        return teacher_outputs(teacher, student, store, np.arange(rows), data, cache).axes

    def files() -> int:
        return len(list((tmp_path / "cache").iterdir()))

    first = axes(teacher_of_random_weights(), 6)
    assert first.shape == (64, AXES)
    assert torch.equal(axes(teacher_of_random_weights(), 6), first)
    assert files() == 1
    others = (
        axes(teacher_of_random_weights(), 7),
        axes(pretrained_teacher(RECIPES["student"], str(other), AXES), 6),
    )
    assert not any(torch.allclose(each, first) for each in others)
    assert files() == 3


def student(tree: Path, out: Path, init: Path, *sets: str, **rest: Any) -> TrainConfig:
    return training(tree, out, "student", *sets, init=str(init), **rest)


def encoder_weights(run: Path) -> dict[str, torch.Tensor]:
    weights = load_file(run / "checkpoint.safetensors")
    return {name: each for name, each in weights.items() if name.startswith("encoder.")}


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C when the states of so many epochs have been saved."""
    real, calls = distillation.save_state, [0]

    def stop(*arguments: Any) -> None:
        real(*arguments)
        calls[0] += 1
        if calls[0] == count:
            raise KeyboardInterrupt

    monkeypatch.setattr(distillation, "save_state", stop)


@pytest.mark.slow
@pytest.mark.parametrize("stopped_after", [1, pytest.param(3, marks=pytest.mark.exhaustive)])
def test_a_distillation_goes_on_where_it_was_stopped(
    tree: Path, tmp_path: Path, encoder: Path, stopped_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, and nothing of it stays beside the checkpoint."""
    train(student(tree, tmp_path / "unstopped", encoder))
    with monkeypatch.context() as patch:
        stop_after(stopped_after, patch)
        with pytest.raises(KeyboardInterrupt):
            train(student(tree, tmp_path / "stopped", encoder))
    assert (tmp_path / "stopped" / "distilled.safetensors").exists()
    train(student(tree, tmp_path / "stopped", encoder))
    unstopped, found = (
        load_file(tmp_path / name / "checkpoint.safetensors") for name in ("unstopped", "stopped")
    )
    assert all(torch.equal(found[name], unstopped[name]) for name in unstopped)
    assert not list((tmp_path / "stopped").rglob("distilled*"))
    train(student(tree, tmp_path / "another", encoder, seed=1))
    another = encoder_weights(tmp_path / "another")
    assert not all(torch.equal(another[name], unstopped[name]) for name in another)


@pytest.mark.slow
def test_the_error_falls_on_the_training_side_and_nothing_else_is_used(
    tree: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of train and valid, without their labels; the axes, too, are found there."""
    errors: list[float] = []
    used: set[int] = set()
    found_on: set[int] = set()
    error, outputs = distillation._error, fold.teacher_outputs

    def record_error(network: Any, task: Task, targets: Any, epoch: int, rows: Any) -> torch.Tensor:
        found = error(network, task, targets, epoch, rows)
        errors.append(found.item())
        used.update(rows.tolist())
        assert not {*rows.tolist()} - {*task.train.tolist()}
        return found

    def record_rows(teacher: Any, network: Any, store: Any, rows: Any, *rest: Any) -> Any:
        found_on.update(rows.tolist())
        return outputs(teacher, network, store, rows, *rest)

    monkeypatch.setattr(distillation, "_error", record_error)
    monkeypatch.setattr(fold, "teacher_outputs", record_rows)
    config = student(tree, tmp_path / "run", encoder, "distillation.epochs=12")
    train(config)
    split = json.loads((tmp_path / "run" / "split.json").read_text())["folds"][0]
    names = [each.name for each in read(config.data, None).utterances]
    side = {names.index(name) for name in [*split["train"], *split["valid"]]}
    assert split["test"]
    assert used == found_on == side
    steps = len(errors) // 12
    assert np.mean(errors[-steps:]) < 0.8 * np.mean(errors[:steps])


@pytest.mark.slow
def test_labels_do_not_matter_to_an_encoder(tree: Path, tmp_path: Path, encoder: Path) -> None:
    """The same recordings under other labels leave the same encoder, and another head."""
    shutil.copytree(tree, tmp_path / "tree")
    files = sorted((tmp_path / "tree").rglob("*.wav"))
    for name, every in (("one", 1), ("other", 2)):
        entries = [
            {
                "file": str(path),
                "speaker": path.parent.name,
                "label": ("sad", "angry")[number // every % 2],
            }
            for number, path in enumerate(files)
        ]
        manifest = write_csv(tmp_path / "labels.csv", entries)
        config = student(tree, tmp_path / name, encoder, split="none")
        train(replace(config, data=(f"manifest:{manifest}",)))
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("one", "other"))
    same = {name for name in one if torch.equal(one[name], other[name])}
    assert same >= {name for name in one if name.startswith("encoder.")}
    assert not same & {"hidden.1.weight", "head.means"}


@pytest.mark.slow
def test_an_encoder_is_of_weights_that_float16_holds(finished: Callable[[str], Path]) -> None:
    weights = encoder_weights(finished("student"))
    assert {each.dtype for name, each in weights.items() if "weight" in name} == {torch.float16}


def test_a_distillation_that_diverges_names_the_rate_to_lower(
    tree: Path, tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = distillation.frame_error
    monkeypatch.setattr(distillation, "frame_error", lambda *given: real(*given) * torch.nan)
    with pytest.raises(UsageError, match=r"epoch 1: .* --set distillation.learning_rate"):
        train(student(tree, tmp_path / "a", encoder))


@pytest.mark.slow
def test_a_distilled_encoder_serves_a_fit_by_gradient_too(
    tree: Path, tmp_path: Path, encoder: Path
) -> None:
    """Which trains the head alone, also when it begins again with the valid side."""
    sets = ("fit=gradient", "settings.head=linear", "epochs=2", "monitor=last", "refit=true")
    train(student(tree, tmp_path / "run", encoder, *sets))
    train(student(tree, tmp_path / "lda", encoder))
    gradient, lda = encoder_weights(tmp_path / "run"), encoder_weights(tmp_path / "lda")
    assert [name for name in lda if not torch.equal(gradient[name], lda[name])] == []


@pytest.mark.slow
def test_teachers_that_cannot_be_are_refused(
    tree: Path, tmp_path: Path, encoder: Path, finished: Callable[[str], Path]
) -> None:
    """Before anything is written."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_text("no weights")
    checkpoint = finished("gap-cnn") / "checkpoint.safetensors"
    for init, sets, message in (
        (tmp_path / "none.safetensors", (), "there are no weights at"),
        (tmp_path, (), "found a folder, expected a safetensors file"),
        (damaged, (), "not a safetensors file"),
        (checkpoint, (), "architecture gap_cnn, expected one of whisper"),
        (
            encoder,
            ("distillation.layers=3",),
            "found 2 layers, and the recipe student with distillation.layers=3",
        ),
        (encoder, ("settings.predicted=65",), "found 2 layers of 32 numbers, and 65 axes"),
    ):
        with pytest.raises(UsageError, match=message):
            train(student(tree, tmp_path / "run", init, *sets))
        assert not (tmp_path / "run").exists()


def fast(tree: Path, out: Path, init: Path | str, *sets: str, **rest: Any) -> TrainConfig:
    return training(tree, out, "fast", *sets, init=str(init), **rest)


@pytest.mark.slow
def test_an_encoder_of_a_checkpoint_stays_as_it_is(finished: Callable[[str], Path]) -> None:
    distilled, taken = encoder_weights(finished("student")), encoder_weights(finished("fast"))
    assert distilled.keys() == taken.keys()
    assert all(torch.equal(distilled[name], taken[name]) for name in taken)
    network = new_network(
        replace(RECIPES["fast"], settings=read_info(finished("fast") / CHECKPOINT).settings),
        3,
        str(finished("student") / CHECKPOINT),
        0,
    )
    assert not any(each.requires_grad for each in network.encoder.parameters())


@pytest.mark.slow
def test_a_checkpoint_states_what_its_encoder_was_distilled_on(
    tree: Path, tmp_path: Path, speech: Samples, finished: Callable[[str], Path]
) -> None:
    """Its corpora and licences hold for a head on that encoder, and so do notes on figures."""
    for number in range(12):
        path = tmp_path / "mine" / ("neutral", "angry")[number % 2] / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, speech[(number + 8) * 9_000 :][:9_000], 16_000)
    config = fast(tree, tmp_path / "run", finished("student") / CHECKPOINT, split="none")
    train(replace(config, data=(f"folder:{tmp_path / 'mine'}",)))
    info = read_info(tmp_path / "run" / CHECKPOINT)
    own = "encoder in encoder.safetensors"  # of the teacher
    assert [each["name"] for each in info.corpora] == ["folder:mine", "RAVDESS", own]
    assert "CC BY-NC-SA" in info.licence
    assert "in another training" not in info.note
    same = read_info(finished("fast") / CHECKPOINT)
    assert [each["name"] for each in same.corpora] == ["RAVDESS", own]
    assert "trained in another training on RAVDESS" in same.note
    assert "another training" not in read_info(finished("student") / CHECKPOINT).note


@pytest.mark.slow
def test_encoders_that_do_not_fit_are_refused(
    tree: Path, tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    """Of another architecture, other sizes or another front end; or no checkpoint at all."""
    own = finished("student") / CHECKPOINT
    other = finished("gap-cnn") / CHECKPOINT
    for init, sets, message in (
        (other, (), "found a checkpoint of the architecture gap_cnn, expected one of tdnn"),
        (own, ("settings.channels=24",), "does not fit the recipe's settings.*same sizes"),
        (own, ("settings.dilations=[1,2,3,4,5]",), r"it has the dilations \(1, 2, 3, 4, 2\)"),
        (own, ("front_end.level=-3",), r"front_end \{.*-4.3.*\}, found \{.*-3"),
        ("slow", (), "there is no such checkpoint; expected one of .*fast"),
        (tmp_path, (), "there is no such checkpoint"),
    ):
        with pytest.raises(UsageError, match=message):
            train(fast(tree, tmp_path / "run", init, *sets))
        assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_shipped_encoder_is_taken_by_its_name_or_by_none(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Callable[[str], Path]
) -> None:
    """`--init fast`, and no `--init`; another one is another training."""
    for name in ("fast", "other"):
        shutil.copy(finished("student") / CHECKPOINT, tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(initialisation, "SHIPPED", tmp_path)
    monkeypatch.setattr(initialisation, "shipped_checkpoints", lambda: ["fast", "other"])
    for out, init in (("named", "fast"), ("unnamed", None)):
        train(training(tree, tmp_path / out, "fast", init=init))
    named, unnamed = (encoder_weights(tmp_path / out) for out in ("named", "unnamed"))
    assert all(torch.equal(named[name], unnamed[name]) for name in named)
    shutil.copy(finished("fast") / CHECKPOINT, tmp_path / "fast.safetensors")
    with pytest.raises(UsageError, match=r"other settings \(init\)"):
        train(training(tree, tmp_path / "unnamed", "fast"))

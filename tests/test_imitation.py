"""A student imitates its teacher's states, frame by frame, and nothing past a segment's end."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import cuts
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint, small_network
from safetensors.torch import load_file
from trainings import training

from batch_ser.errors import UsageError
from batch_ser.features import Features, pad, whisper_log_mel
from batch_ser.samples import Samples
from models.architectures import build
from train import imitation
from train.data import read
from train.imitation import Shown, frame_distance, freeze, principal_axes
from train.lifted import Lifted
from train.recipes import RECIPES
from train.run import train
from train.store import Store

CPU = torch.device("cpu")
AXES = 8
LABELS = ("neutral", "happy", "angry")


def axes_of(width: int = 64) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return principal_axes(
        lambda row: draw.standard_normal((40, width)).astype(np.float32) * (1 + row), np.arange(3),
        AXES,
    )  # fmt: skip


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


def test_states_are_means_over_a_student_s_frames(speech: Samples) -> None:
    """And a recording's own, whatever its length."""
    teacher = small_network("whisper, active")
    shown = Shown(teacher, 2, 2, axes_of())
    for length in (200, 700, 16_000, 33_333):
        features = whisper_log_mel([speech[60_000 : 60_000 + length]], CPU)
        with torch.inference_mode():
            states, mask = teacher.encoder(features)  # type: ignore[operator, union-attr]
            found = shown.lower(features)
        together = torch.cat(states, 2)[0].numpy()
        frames = max(1, int(mask.sum()) // 2)
        assert found.values.shape == (1, AXES, frames) == (1, AXES, int(found.frames[0]))
        first = (together[:2].mean(0) - shown.mean.numpy()) / shown.deviation.numpy()
        assert np.allclose(found.values[0, :, 0], first @ shown.axes.numpy(), atol=1e-3)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 99))
def test_what_lies_past_an_end_is_not_imitated(lengths: list[int], more: int, seed: int) -> None:
    torch.manual_seed(seed)
    longest = max(lengths)
    states = Features(torch.randn(len(lengths), AXES, longest), torch.tensor(lengths))
    same = states.values.transpose(1, 2).clone()
    for row, length in enumerate(lengths):
        same[row, length:] = 99.0
    imitated = torch.nn.functional.pad(same, (0, 0, 0, more), value=99.0)
    assert frame_distance(imitated, states) == 0
    imitated[0, 0, 0] += 3.0
    assert frame_distance(imitated, states) == pytest.approx(9 / AXES / sum(lengths))


def test_a_student_comes_to_hear_what_it_is_shown(speech: Samples) -> None:
    shown = Shown(small_network("whisper, active"), 2, 2, axes_of())
    torch.manual_seed(0)
    student = build("tdnn", 3, {"channels": 32, "hidden": 16, "imitated": AXES})
    features = whisper_log_mel([each for each in cuts(speech) if len(each) > 8_000], CPU)
    with torch.no_grad():
        states = shown.lower(features)
    optimiser = torch.optim.Adam(student.encoder.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss = frame_distance(student.imitate(features), states)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]


def test_only_the_lowest_layers_are_shown(speech: Samples) -> None:
    teacher = small_network("whisper, active")
    features = whisper_log_mel([speech[60_000:90_000]], CPU)
    with torch.inference_mode():
        every, _ = teacher.encoder(features)
        lowest, _ = teacher.listener(1)(features)  # type: ignore[misc]
    assert (len(every), len(lowest)) == (2, 1)
    assert torch.equal(lowest[0], every[0])


def test_a_frozen_student_hears_the_same(speech: Samples) -> None:
    """What training keeps of a frozen encoder is what the checkpoint computes from samples."""
    student = small_network("tdnn")
    features = whisper_log_mel(list(cuts(speech)), CPU)
    with torch.inference_mode():
        whole = student(features)
        freeze(student, half=False)
        kept = student.lower(features)
        assert kept.values.shape == (len(features.frames), 4 * (16 + 8), 1)
        assert torch.allclose(student.upper(kept), whole, atol=1e-5)
        assert torch.allclose(student(features), whole, atol=1e-5)


def test_a_lifted_store_is_the_store_through_the_encoder(tree: Path, tmp_path: Path) -> None:
    student, data = small_network("tdnn"), read((f"ravdess:{tree}",), None)
    below = Store(student, RECIPES["fast"], data.utterances, data.contents, tmp_path)
    encoder = deepcopy(student)
    freeze(encoder, half=True)
    lifted = Lifted(below, encoder)
    for kept, through in ((below.view(1), lifted.view(1)), (below.pieces(), lifted.pieces())):
        assert np.array_equal(kept.owners, through.owners)
        assert np.array_equal(kept.weights, through.weights)
        for number in range(len(kept.ends)):
            with torch.inference_mode():
                expected = encoder.lower(pad([kept.piece(number)], CPU)).values[0]
            assert torch.allclose(through.piece(number), expected, atol=1e-4)
    assert lifted.view(1) is lifted.view(1)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_an_imitation_goes_on_where_it_was_stopped(
    tree: Path, tmp_path: Path, stopped_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = small_checkpoint(tmp_path / "teacher.safetensors", "whisper, active", LABELS)
    sets = ("epochs=1", "mimic=0", "adapt=0")

    def fast(name: str) -> Path:
        given = training(
            tree, tmp_path / name, "fast", *sets, teacher=str(teacher), allow_leak=True
        )
        train(given)
        return tmp_path / name / "checkpoint.safetensors"

    calm = load_file(fast("calm"))
    real, calls = imitation.save_state, [0]

    def stop(*arguments: Any) -> None:
        real(*arguments)
        calls[0] += 1
        if calls[0] == stopped_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(imitation, "save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        fast("stopped")
    monkeypatch.setattr(imitation, "save_state", real)
    found = load_file(fast("stopped"))
    assert all(torch.equal(found[name], calm[name]) for name in calm)
    assert not list((tmp_path / "stopped").rglob("imitated*"))


def test_an_imitation_that_diverges_says_which_rate_to_lower(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = small_checkpoint(tmp_path / "teacher.safetensors", "whisper, active", LABELS)
    real = imitation.frame_distance
    monkeypatch.setattr(imitation, "frame_distance", lambda *given: real(*given) * torch.nan)
    sets = ("mimic=0", "adapt=0")
    with pytest.raises(UsageError, match=r"epoch 1: .* --set imitate.learning_rate"):
        train(training(tree, tmp_path / "a", "fast", *sets, teacher=str(teacher), allow_leak=True))


def test_what_cannot_be_imitated_is_refused(tree: Path, tmp_path: Path) -> None:
    """A teacher without a frozen encoder; a student that imitates nothing; nonsense."""
    teacher = small_checkpoint(tmp_path / "teacher.safetensors", "whisper, free", LABELS)
    with pytest.raises(UsageError, match="needs a teacher with a frozen encoder"):
        train(training(tree, tmp_path / "a", "fast", teacher=str(teacher), allow_leak=True))
    fit = small_checkpoint(tmp_path / "fit.safetensors", "whisper, active", LABELS)
    with pytest.raises(UsageError, match="a student that imitates"):
        train(training(tree, tmp_path / "b", "gap-cnn", "imitate.epochs=1", teacher=str(fit),
                       allow_leak=True))  # fmt: skip
    with pytest.raises(UsageError, match="expected --teacher CHECKPOINT"):
        train(training(tree, tmp_path / "c", "gap-cnn", "imitate.epochs=1"))
    with pytest.raises(UsageError, match=r"imitate: expected .* layers of 1 or more"):
        train(training(tree, tmp_path / "d", "fast", "imitate.layers=0", teacher=str(fit)))

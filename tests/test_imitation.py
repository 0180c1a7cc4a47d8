"""A student imitates its teacher's states, frame by frame, and nothing past a segment's end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import cuts
from hypothesis import given
from hypothesis import strategies as st
from networks import small_checkpoint, small_network
from trainings import training

from batch_ser.errors import UsageError
from batch_ser.features import Features, whisper_log_mel
from batch_ser.samples import Samples
from models.architectures import build
from train.imitation import Shown, principal_axes
from train.loss import Batch, frame_distance, loss_of
from train.recipes import RECIPES
from train.run import train

CPU = torch.device("cpu")
AXES = 8


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
    shown = Shown(teacher, 2, axes_of())
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
    shown = Shown(small_network("whisper, active"), 2, axes_of())
    torch.manual_seed(0)
    settings = {"channels": 32, "hidden": 16, "imitated": AXES}
    student = build("tdnn", 3, settings)
    features = whisper_log_mel([each for each in cuts(speech) if len(each) > 8_000], CPU)
    with torch.no_grad():
        states = shown.lower(features)
    count = len(features.frames)
    recipe = replace(RECIPES["fast"], distil=0.0, mimic=0.0)
    targets, possible = torch.eye(3)[:1].repeat(count, 1), torch.ones(count, 3, dtype=torch.bool)
    batch = Batch(features, targets, possible, states=states)
    optimiser = torch.optim.Adam(student.parameters(), 0.01)
    losses = []
    for _ in range(60):
        loss, _ = loss_of(student, recipe, batch, None, mixed=False, frames_alone=True)
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
    both, _ = loss_of(student, recipe, batch, None, mixed=False)
    with torch.no_grad():
        student_says = student.upper(features)
    told = torch.nn.functional.cross_entropy(student_says, targets)
    assert both > told * 0.5  # the labels count again, beside the states


def test_what_cannot_be_imitated_is_refused(tree: Path, tmp_path: Path) -> None:
    """A teacher without a frozen encoder; a student without axes; mixed recordings."""
    labels = ("neutral", "happy", "angry")
    teacher = small_checkpoint(tmp_path / "teacher.safetensors", "whisper, free", labels)
    with pytest.raises(UsageError, match="needs a teacher with a frozen encoder"):
        train(training(tree, tmp_path / "a", "fast", "mimic=0", "settings.adapted=false",
                       teacher=str(teacher), allow_leak=True))  # fmt: skip
    with pytest.raises(UsageError, match=r"imitate: found augment\.mixup"):
        train(training(tree, tmp_path / "b", "fast", "augment.mixup=0.2", teacher=str(teacher)))
    with pytest.raises(UsageError, match="expected --teacher CHECKPOINT"):
        train(training(tree, tmp_path / "c", "gap-cnn", "imitate=1"))

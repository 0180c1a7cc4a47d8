"""The targets of feature distillation: a teacher's states along their principal axes.

The states of Whisper's first layers are averaged to the student's frames, standardised, and
projected to the axes along which they vary most. The axes are found on recordings that no fold
tests, where there are any, so that all folds share what is computed with them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from batch_ser.features import Features
from models.network import Network
from models.whisper import WhisperClassifier
from train.data import Data, load_utterance
from train.features import Store

RECORDINGS = 400  # that the axes are found on
TEACHER_FRAME_S = 0.02  # of Whisper's encoder
Arrays = dict[str, NDArray[np.float32]]
Rows = NDArray[np.int64]


class TeacherOutputs(Network):
    """The states of a frozen Whisper encoder as a student's targets: (batch, axes, time)."""

    embedding_width = 0
    mean: Tensor
    deviation: Tensor
    axes: Tensor

    def __init__(self, teacher: WhisperClassifier, step: int, axes: Arrays | None = None) -> None:
        """`step` frames of the teacher make one of the student; `axes` are those that
        `principal_axes` finds.
        """
        super().__init__()
        self.encoder = teacher.encoder
        self.front_end, self.rate_hz = teacher.front_end, teacher.rate_hz  # type: ignore[misc]
        self.front_end_settings, self.max_input_s = teacher.front_end_settings, teacher.max_input_s
        self.settings = ("states", teacher.settings, step)
        self.step = step
        for name, values in (axes or {}).items():
            setattr(self, name, nn.Parameter(torch.from_numpy(values)))
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def averaged(self, features: Features) -> Tensor:
        """States of all layers side by side, the mean of every `step`: (batch, time, width)."""
        states, _ = self.encoder(features)
        frames: Tensor = torch.cat(states, dim=2).float()
        length = frames.shape[1] // self.step * self.step
        if not length:  # shorter than one frame of the student
            return frames.mean(1, keepdim=True)
        return frames[:, :length].reshape(len(frames), -1, self.step, frames.shape[2]).mean(2)

    def forward_frozen(self, features: Features) -> Features:
        found = (self.averaged(features) - self.mean) / self.deviation @ self.axes
        return Features(found.transpose(1, 2), torch.full((len(found),), found.shape[1]))


def teacher_outputs(
    teacher: WhisperClassifier, student: Network, store: Store, rows: Rows, data: Data, cache: Path
) -> TeacherOutputs:
    """A teacher's states for a student, on axes found in the recordings of `rows`.

    The axes are cached in the folder `cache`. `store` has the student's front end, which is the
    teacher's too.
    """
    count = student.settings.predicted
    states = TeacherOutputs(teacher, round(student.predicted_step_s / TEACHER_FRAME_S))
    chosen = np.random.default_rng(0).permutation(rows)[:RECORDINGS]
    key = store.with_network(states).key
    what = repr((key, count, [data.contents[row] for row in chosen]))
    path = cache / f"axes-{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz"
    if not path.exists():

        def states_of(row: int) -> NDArray[np.float32]:
            samples = load_utterance(data.utterances[row], teacher.rate_hz)
            with torch.inference_mode():
                return states.averaged(store.front_end_features(samples))[0].numpy()

        cache.mkdir(parents=True, exist_ok=True)
        found = principal_axes(states_of, chosen, count)
        np.savez(path.with_suffix(".partial.npz"), **found)  # type: ignore[arg-type]
        path.with_suffix(".partial.npz").replace(path)
    return TeacherOutputs(teacher, states.step, dict(np.load(path)))


def principal_axes(states: Callable[[int], NDArray[np.float32]], rows: Rows, count: int) -> Arrays:
    """Mean and deviation (width,) of the states (time, width) of recordings, and their first
    principal axes (width, count).

    The first projections vary most, and their mean variance is 1: by their variance they count in
    the error that the student minimises.
    """
    every = np.concatenate([states(int(row)) for row in rows]).astype(np.float64)
    mean, deviation = every.mean(0), every.std(0) + 1e-4
    every = (every - mean) / deviation
    values, vectors = np.linalg.eigh(every.T @ every / len(every))
    values, vectors = values[::-1][:count].clip(min=1e-9), vectors[:, ::-1][:, :count]
    scale = values**0.25  # between their own variances and equal ones
    axes = vectors / np.sqrt(values) * scale / np.sqrt((scale**2).mean())
    found = {"mean": mean, "deviation": deviation, "axes": axes}
    return {name: each.astype(np.float32) for name, each in found.items()}

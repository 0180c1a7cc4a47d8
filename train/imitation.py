"""What a student imitates frame by frame: its teacher's states, on their principal axes.

An encoder that heard thousands of hours knows more of speech than its labels on a few thousand
recordings can tell a student. Its states are averaged to the student's frames, standardised, and
taken to the axes along which they vary most. The axes are found on recordings that no fold
tests, where there are any, so that all folds share what is computed with them.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from batch_ser.features import Features
from models.network import Network
from train.store import Store, load_utterance
from train.utterances import Utterance

RECORDINGS = 400  # that the axes are found on
Arrays = dict[str, NDArray[np.float32]]
Rows = NDArray[np.int64]


class Shown(Network):
    """A teacher's frozen part, its states as a student should see them: (batch, axes, time)."""

    embedding_width = 0
    mean: Tensor
    deviation: Tensor
    axes: Tensor

    def __init__(self, teacher: Network, step: int, found: Arrays | None = None) -> None:
        super().__init__()
        listener = teacher.listener()
        assert listener is not None  # `check_teacher` saw to it
        self.encoder = listener
        self.front_end, self.rate_hz = teacher.front_end, teacher.rate_hz  # type: ignore[misc]
        self.front_end_settings, self.max_input_s = teacher.front_end_settings, teacher.max_input_s
        self.settings = ("states", step)
        self.step = step
        for name, values in (found or {}).items():
            setattr(self, name, nn.Parameter(torch.from_numpy(values)))
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def averaged(self, features: Features) -> Tensor:
        """States one over the other, the mean of every `step`: (batch, time, width)."""
        states, _ = self.encoder(features)
        together: Tensor = torch.cat(states, dim=2).float()
        whole = together.shape[1] // self.step * self.step
        if not whole:  # shorter than one frame of the student
            return together.mean(1, keepdim=True)
        each = together[:, :whole].reshape(len(together), -1, self.step, together.shape[2])
        return each.mean(2)

    def lower(self, features: Features) -> Features:
        found = (self.averaged(features) - self.mean) / self.deviation @ self.axes
        return Features(found.transpose(1, 2), torch.full((len(found),), found.shape[1]))


def shown_by(
    teacher: Network,
    student: Network,
    store: Store,
    rows: Rows,
    utterances: Sequence[Utterance],
    contents: Sequence[str],
    folder: Path,
) -> Shown:
    """A teacher's states for a student, on axes found in the recordings of `rows`; kept.

    `store` is of what the teacher hears.
    """
    axes = student.settings.imitated
    step = round(student.imitation_s / teacher.state_s)
    chosen = np.random.default_rng(0).permutation(np.array(rows))[:RECORDINGS]
    what = repr((store.key, axes, step, [contents[row] for row in chosen]))
    kept = folder / f"axes-{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz"
    if not kept.exists():
        bare = Shown(teacher, step)

        def states(row: int) -> NDArray[np.float32]:
            samples = load_utterance(utterances[row], teacher.rate_hz)
            with torch.inference_mode():
                return bare.averaged(store.hear(samples))[0].numpy()

        kept.parent.mkdir(parents=True, exist_ok=True)
        found = principal_axes(states, chosen, axes)
        np.savez(kept.with_suffix(".partial.npz"), **found)  # type: ignore[arg-type]
        kept.with_suffix(".partial.npz").replace(kept)
    return Shown(teacher, step, dict(np.load(kept)))


def principal_axes(states: Callable[[int], NDArray[np.float32]], rows: Rows, count: int) -> Arrays:
    """Mean and deviation (width,) of the states (time, width) of recordings, and their first
    principal axes (width, count), scaled so that the first ones vary most, all of them by 1 on
    average: what is learned weighs them so.
    """
    every = np.concatenate([states(int(row)) for row in rows]).astype(np.float64)
    mean, deviation = every.mean(0), every.std(0) + 1e-4
    every = (every - mean) / deviation
    values, vectors = np.linalg.eigh(every.T @ every / len(every))
    values, vectors = values[::-1][:count].clip(min=1e-9), vectors[:, ::-1][:, :count]
    scale = values**0.25  # half way between as they are and all alike
    axes = vectors / np.sqrt(values) * scale / np.sqrt((scale**2).mean())
    found = {"mean": mean, "deviation": deviation, "axes": axes}
    return {name: each.astype(np.float32) for name, each in found.items()}

"""Feature distillation: a student's encoder learns the states of Whisper's, frame by frame.

Whisper was trained on thousands of hours: its states hold more of speech than the labels of a few
thousand recordings can teach a student. Those of its first layers are averaged to the student's
frames, standardised, and projected to the axes along which they vary most; the student is trained
to predict these, on the recordings of its training and views of them, without their labels. Then
its encoder is frozen, and a head is fitted on it as on the teacher's own: measured, that carries
over to unseen speakers far better than training both together. The axes are found on recordings
that no fold tests, where there are any, so that all folds share what is computed with them.

Source: Romero et al. 2015, FitNets; Chang et al. 2022, DistilHuBERT.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from batch_ser.features import Features, pad
from models.device import has_bfloat16
from models.network import Network
from models.whisper import WhisperClassifier
from train.data import Data
from train.features import Store, load_utterance
from train.fitting.loss import finite
from train.fitting.optimiser import Schedule, make_optimiser
from train.fitting.state import State, load_state, save_state
from train.fitting.task import Task
from train.progress import every_s
from train.recipes import Recipe

RECORDINGS = 400  # that the axes are found on
TEACHER_FRAME_S = 0.02  # of Whisper's encoder
BATCH, ALIKE, WEIGHT_DECAY = 32, 8, 0.02
Arrays = dict[str, NDArray[np.float32]]
Rows = NDArray[np.int64]
Bar = Any  # tqdm is generic in its stubs, plain at run time


class TeacherOutputs(Network):
    """The states of a frozen Whisper encoder as a student's targets: (batch, axes, time)."""

    embedding_width = 0
    mean: Tensor
    deviation: Tensor
    axes: Tensor

    def __init__(self, teacher: WhisperClassifier, step: int, found: Arrays | None = None) -> None:
        """`step`: so many frames of the teacher make one of the student; `found`: the axes."""
        super().__init__()
        self.encoder = teacher.encoder
        self.front_end, self.rate_hz = teacher.front_end, teacher.rate_hz  # type: ignore[misc]
        self.front_end_settings, self.max_input_s = teacher.front_end_settings, teacher.max_input_s
        self.settings = ("states", teacher.settings, step)
        self.step = step
        for name, values in (found or {}).items():
            setattr(self, name, nn.Parameter(torch.from_numpy(values)))
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def averaged(self, features: Features) -> Tensor:
        """States of all layers side by side, the mean of every `step`: (batch, time, width)."""
        states, _ = self.encoder(features)
        together: Tensor = torch.cat(states, dim=2).float()
        whole = together.shape[1] // self.step * self.step
        if not whole:  # shorter than one frame of the student
            return together.mean(1, keepdim=True)
        each = together[:, :whole].reshape(len(together), -1, self.step, together.shape[2])
        return each.mean(2)

    def forward_frozen(self, features: Features) -> Features:
        found = (self.averaged(features) - self.mean) / self.deviation @ self.axes
        return Features(found.transpose(1, 2), torch.full((len(found),), found.shape[1]))


def teacher_outputs(
    teacher: WhisperClassifier, student: Network, store: Store, rows: Rows, data: Data, cache: Path
) -> TeacherOutputs:
    """A teacher's states for a student, on axes found in the recordings of `rows`.

    The axes are kept in the folder `cache`. `store` is of the student's front end, which is the
    teacher's.
    """
    count = student.settings.predicted
    plain = TeacherOutputs(teacher, round(student.predicted_step_s / TEACHER_FRAME_S))
    chosen = np.random.default_rng(0).permutation(rows)[:RECORDINGS]
    key = store.of(plain).key
    what = repr((key, count, [data.contents[row] for row in chosen]))
    kept = cache / f"axes-{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz"
    if not kept.exists():

        def states(row: int) -> NDArray[np.float32]:
            samples = load_utterance(data.utterances[row], teacher.rate_hz)
            with torch.inference_mode():
                return plain.averaged(store.hear(samples))[0].numpy()

        cache.mkdir(parents=True, exist_ok=True)
        found = principal_axes(states, chosen, count)
        np.savez(kept.with_suffix(".partial.npz"), **found)  # type: ignore[arg-type]
        kept.with_suffix(".partial.npz").replace(kept)
    return TeacherOutputs(teacher, plain.step, dict(np.load(kept)))


def principal_axes(states: Callable[[int], NDArray[np.float32]], rows: Rows, count: int) -> Arrays:
    """Mean and deviation (width,) of the states (time, width) of recordings, and their first
    principal axes (width, count).

    Along these the first projections vary most, all of them by 1 on average: the error that the
    student minimises weighs them so.
    """
    every = np.concatenate([states(int(row)) for row in rows]).astype(np.float64)
    mean, deviation = every.mean(0), every.std(0) + 1e-4
    every = (every - mean) / deviation
    values, vectors = np.linalg.eigh(every.T @ every / len(every))
    values, vectors = values[::-1][:count].clip(min=1e-9), vectors[:, ::-1][:, :count]
    scale = values**0.25  # half way between their own variances and equal ones
    axes = vectors / np.sqrt(values) * scale / np.sqrt((scale**2).mean())
    found = {"mean": mean, "deviation": deviation, "axes": axes}
    return {name: each.astype(np.float32) for name, each in found.items()}


def recipe_of(recipe: Recipe) -> Recipe:
    """The settings by which the encoder is trained, before the recipe's own fit."""
    distil = recipe.distil
    return replace(
        recipe, epochs=distil.epochs, learning_rate=distil.learning_rate, views=distil.views,
        augment=distil.augment, batch_size=BATCH, alike=ALIKE, weight_decay=WEIGHT_DECAY,
        schedule="cosine",
    )  # fmt: skip


def train_encoder(network: Network, task: Task, targets: Store, state_path: Path) -> None:
    """Train a student's encoder to predict `targets`, on the training side of a task whose recipe
    is that of `recipe_of`.

    A training that was stopped goes on after its last epoch, kept at `state_path`.
    """
    recipe = task.recipe
    network.to(task.device)
    learns = nn.ModuleDict({"encoder": network.encoder})
    optimiser = make_optimiser(learns, recipe)
    steps = len(task.order(1, np.random.default_rng(0)))
    schedule = Schedule(optimiser, recipe, steps)
    state = load_state(state_path, learns, optimiser, schedule) or State()
    with tqdm(
        total=recipe.epochs * steps, initial=state.epochs * steps, desc="distilling",
        mininterval=every_s(),
    ) as bar:  # fmt: skip
        while state.epochs < recipe.epochs:
            state.epochs += 1
            left = _epoch(network, task, targets, state.epochs, optimiser, schedule, bar)
            bar.set_postfix_str(f"{left:.2f} of the states' variance left")
            save_state(state_path, state, learns, optimiser, schedule)


def _epoch(
    network: Network,
    task: Task,
    targets: Store,
    number: int,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    bar: Bar,
) -> float:
    """One pass over the training side: the mean error of its batches, as it was on the way."""
    rate, errors = task.recipe.learning_rate, []
    network.train()
    for rows in task.order(number, np.random.default_rng((task.seed, number))):
        error = _error(network, task, targets, number, rows)
        errors.append(finite(error.item(), number, rate, "distil.learning_rate"))
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.encoder.parameters(), 1.0)
        optimiser.step()
        schedule.step_done()
        bar.update()
    return float(np.mean(errors))


def _error(network: Network, task: Task, targets: Store, epoch: int, rows: Rows) -> Tensor:
    """The error of a batch, each recording in the view that an epoch has of it."""
    inputs, wanted = [], []
    for row in map(int, rows):
        inputs.append(task.heard(epoch, row))
        wanted.append(targets.view(task.number(epoch, row)).piece(row))
    features, states = pad(inputs, task.device), pad(wanted, task.device)
    mixed = task.recipe.precision == "mixed" and has_bfloat16(task.device)
    with torch.autocast(task.device.type, torch.bfloat16, enabled=mixed):
        predicted = network.predict_states(features)
    return frame_error(predicted, states)


def frame_error(predicted: Tensor, states: Features) -> Tensor:
    """Mean squared error of a student's frames (batch, time, axes), up to each segment's end."""
    length = min(predicted.shape[1], states.values.shape[2])
    mask = torch.arange(length, device=predicted.device) < states.frames[:, None]
    apart = predicted[:, :length].float() - states.values.transpose(1, 2)[:, :length]
    return (apart.square().mean(2) * mask).sum() / mask.sum().clamp(min=1)

"""How a student's encoder learns to hear: it imitates its teacher's states, frame by frame.

An encoder that heard thousands of hours knows more of speech than its labels on a few thousand
recordings can tell a student. Its lower layers' states are averaged to the student's frames,
standardised, and taken to the axes along which they vary most; the student is trained to give
these, on the recordings of its training and views of them, without their labels. Then its encoder
is frozen, and heads are trained on it as on the teacher's own: measured, that carries over to new
voices far better than training both together. The axes are found on recordings that no fold tests,
where there are any, so that all folds share what is computed with them.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from batch_ser.features import Features, pad
from models.device import has_bfloat16
from models.network import Network
from train.loss import finite
from train.optimiser import Schedule, make_optimiser
from train.progress import every_s
from train.recipes import Recipe
from train.state import State, load_state, save_state
from train.store import Store, load_utterance
from train.task import Task
from train.utterances import Utterance

RECORDINGS = 400  # that the axes are found on
BATCH, ALIKE, WEIGHT_DECAY = 32, 8, 0.02
Arrays = dict[str, NDArray[np.float32]]
Rows = NDArray[np.int64]


class Shown(Network):
    """A teacher's frozen part, its states as a student should see them: (batch, axes, time)."""

    embedding_width = 0
    mean: Tensor
    deviation: Tensor
    axes: Tensor

    def __init__(
        self, teacher: Network, layers: int, step: int, found: Arrays | None = None
    ) -> None:
        super().__init__()
        listener = teacher.listener(layers)
        assert listener is not None  # `check_teacher` saw to it
        self.encoder = listener
        self.front_end, self.rate_hz = teacher.front_end, teacher.rate_hz  # type: ignore[misc]
        self.front_end_settings, self.max_input_s = teacher.front_end_settings, teacher.max_input_s
        self.settings = ("states", layers, step)
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
    layers: int,
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
    what = repr((store.key, layers, axes, step, [contents[row] for row in chosen]))
    kept = folder / f"axes-{hashlib.sha256(what.encode()).hexdigest()[:32]}.npz"
    if not kept.exists():
        bare = Shown(teacher, layers, step)

        def states(row: int) -> NDArray[np.float32]:
            samples = load_utterance(utterances[row], teacher.rate_hz)
            with torch.inference_mode():
                return bare.averaged(store.hear(samples))[0].numpy()

        kept.parent.mkdir(parents=True, exist_ok=True)
        found = principal_axes(states, chosen, axes)
        np.savez(kept.with_suffix(".partial.npz"), **found)  # type: ignore[arg-type]
        kept.with_suffix(".partial.npz").replace(kept)
    return Shown(teacher, layers, step, dict(np.load(kept)))


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


def imitate(network: Network, task: Task, shown: Store, epochs: int, state_path: Path) -> None:
    """Train a student's encoder on what its teacher is shown to hear, of the training side.

    A training that was stopped goes on after its last epoch, kept at `state_path`.
    """
    task = replace(task, recipe=_first(task.recipe, epochs), views={})
    recipe = task.recipe
    network.to(task.device)
    learns = nn.ModuleDict({"encoder": network.encoder})
    optimiser = make_optimiser(learns, recipe)
    steps = len(task.order(1, np.random.default_rng(0)))
    schedule = Schedule(optimiser, recipe, steps)
    state = load_state(state_path, learns, optimiser, schedule) or State()
    with tqdm(
        total=recipe.epochs * steps, initial=state.epochs * steps, desc="imitating",
        mininterval=every_s(),
    ) as bar:  # fmt: skip
        while state.epochs < recipe.epochs:
            state.epochs += 1
            network.train()
            for rows in task.order(state.epochs, np.random.default_rng((task.seed, state.epochs))):
                apart = _apart(network, task, shown, state.epochs, rows)
                left = finite(
                    apart.item(), state.epochs, recipe.learning_rate, "imitate.learning_rate"
                )
                optimiser.zero_grad()
                apart.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learns.parameters(), 1.0)
                optimiser.step()
                schedule.step_done()
                bar.update()
            bar.set_postfix_str(f"{left:.2f} of the states' variance left")
            save_state(state_path, state, learns, optimiser, schedule)


def _first(recipe: Recipe, epochs: int) -> Recipe:
    """The settings of the imitation, which comes first."""
    return replace(
        recipe, epochs=epochs, learning_rate=recipe.imitate.learning_rate,
        views=recipe.imitate.views, batch_size=BATCH, alike=ALIKE, weight_decay=WEIGHT_DECAY,
        schedule="cosine",
    )  # fmt: skip


def imitate_shared(
    network: Network, task: Task, shown: Store, heard: Store, contents: Sequence[str], folder: Path
) -> None:
    """The first epochs, on recordings that no fold tests: the training side of `task`. All folds
    and the last training, on everything, share them: the encoder is kept below `folder`.
    """
    recipe, epochs = task.recipe, task.recipe.imitate.shared
    what = (
        shown.key, heard.key, epochs, repr(recipe.imitate), repr(recipe.augment.of_samples()),
        repr(network.settings), recipe.precision, task.seed, [contents[row] for row in task.train],
    )  # fmt: skip
    name = hashlib.sha256(repr(what).encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    imitate(network, task, shown, epochs, folder / f"encoder-{name}.safetensors")


def _apart(network: Network, task: Task, shown: Store, epoch: int, rows: Rows) -> Tensor:
    """How far the student is from its teacher in a batch, as an epoch hears it."""
    wanted, heard = [], []
    for row in map(int, rows):
        heard.append(task.heard(epoch, row))
        wanted.append(shown.view(task.number(epoch, row)).piece(row))
    features, states = pad(heard, task.device), pad(wanted, task.device)
    mixed = task.recipe.precision == "mixed" and has_bfloat16(task.device)
    with torch.autocast(task.device.type, torch.bfloat16, enabled=mixed):
        imitated = network.imitate(features)
    return frame_distance(imitated, states)


def frame_distance(imitated: Tensor, states: Features) -> Tensor:
    """Mean squared distance of a student's frames (batch, time, axes) from a teacher's."""
    length = min(imitated.shape[1], states.values.shape[2])
    mask = torch.arange(length, device=imitated.device) < states.frames[:, None]
    apart = imitated[:, :length].float() - states.values.transpose(1, 2)[:, :length]
    return (apart.square().mean(2) * mask).sum() / mask.sum().clamp(min=1)


@torch.no_grad()
def freeze(network: Network, half: bool) -> None:
    """An encoder that learns no more; with `half`, of weights that float16 holds."""
    network.eval()
    for parameter in network.encoder.parameters():
        parameter.requires_grad_(False)
        if half:
            parameter.copy_(parameter.half().float())

"""Feature distillation: a student's encoder learns to predict the states of Whisper's.

Whisper was trained on thousands of hours: its states hold more of speech than the labels of a few
thousand recordings can teach a student. The student is trained to predict them frame by frame, on
the recordings of its training and views of them, without their labels. Then its encoder is frozen,
and a head is fitted on it as on the teacher's: that is measurably more accurate on unseen speakers
than training both together.

Source: Romero et al. 2015, FitNets; Chang et al. 2022, DistilHuBERT.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from batch_ser.features import Features, pad
from models.device import has_bfloat16
from models.network import Network
from train.features import Store
from train.fitting.loss import finite
from train.fitting.optimiser import Schedule, make_optimiser
from train.fitting.state import State, load_state, save_state
from train.fitting.task import Rows, Task
from train.progress import every_s
from train.recipes import Recipe

BATCH, BUCKET_BATCHES, WEIGHT_DECAY = 32, 8, 0.02
LARGEST_GRADIENT = 1.0  # norm
Bar = Any  # tqdm is generic in its stubs, plain at run time


def distillation_recipe(recipe: Recipe) -> Recipe:
    """The recipe by which the encoder is trained, before the recipe's own fit."""
    chosen = recipe.distillation
    optimisation = replace(
        recipe.optimisation,
        epochs=chosen.epochs,
        learning_rate=chosen.learning_rate,
        batch_size=BATCH,
        bucket_batches=BUCKET_BATCHES,
        weight_decay=WEIGHT_DECAY,
        schedule="cosine",
    )
    return replace(
        recipe, optimisation=optimisation, views=chosen.views, augmentation=chosen.augmentation
    )


@dataclass
class Descent:
    """What the epochs of one distillation share."""

    network: Network
    task: Task
    targets: Store
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    bar: Bar


def train_encoder(network: Network, task: Task, targets: Store, state_path: Path) -> None:
    """Train a student's encoder to predict `targets` on the training side of a task.

    The task's recipe is that of `distillation_recipe`. The state after each epoch is kept at
    `state_path`; with one there, the training goes on.
    """
    settings = task.recipe.optimisation
    network.to(task.device)
    learning = nn.ModuleDict({"encoder": network.encoder})
    optimiser = make_optimiser(learning, settings)
    steps = len(task.order(1, np.random.default_rng(0)))
    schedule = Schedule(optimiser, settings, steps)
    state = load_state(state_path, learning, optimiser, schedule) or State()
    done, total = state.epochs * steps, settings.epochs * steps
    with tqdm(total=total, initial=done, desc="distilling", mininterval=every_s()) as bar:
        descent = Descent(network, task, targets, optimiser, schedule, bar)
        while state.epochs < settings.epochs:
            state.epochs += 1
            error = _epoch(descent, state.epochs)
            bar.set_postfix_str(f"{error:.2f} of the states' variance left")
            save_state(state_path, state, learning, optimiser, schedule)


def _epoch(descent: Descent, number: int) -> float:
    """One pass over the training side: the mean error of its steps."""
    network, task = descent.network, descent.task
    rate, errors = task.recipe.optimisation.learning_rate, []
    network.train()
    for rows in task.order(number, np.random.default_rng((task.seed, number))):
        error = _error(network, task, descent.targets, number, rows)
        errors.append(finite(error.item(), number, rate, "distillation"))
        descent.optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.encoder.parameters(), LARGEST_GRADIENT)
        descent.optimiser.step()
        descent.schedule.step_done()
        descent.bar.update()
    return float(np.mean(errors))


def _error(network: Network, task: Task, targets: Store, epoch: int, rows: Rows) -> Tensor:
    """The error of a batch, each recording in its view of an epoch."""
    inputs, outputs = [], []
    for row in map(int, rows):
        inputs.append(task.features(epoch, row))
        outputs.append(targets.view(task.view_number(epoch, row)).piece(row))
    features, states = pad(inputs, task.device), pad(outputs, task.device)
    mixed = task.recipe.optimisation.precision == "mixed" and has_bfloat16(task.device)
    with torch.autocast(task.device.type, torch.bfloat16, enabled=mixed):
        predicted = network.predict_states(features)
    return frame_error(predicted, states)


def frame_error(predicted: Tensor, states: Features) -> Tensor:
    """Mean squared error of a student's frames (batch, time, axes), up to each segment's end."""
    length = min(predicted.shape[1], states.values.shape[2])
    mask = torch.arange(length, device=predicted.device) < states.frames[:, None]
    apart = predicted[:, :length].float() - states.values.transpose(1, 2)[:, :length]
    return (apart.square().mean(2) * mask).sum() / mask.sum().clamp(min=1)

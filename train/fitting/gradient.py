"""The fitting loop: gradient descent on a network, epoch by epoch, resumable after each.

All random numbers come from the seed and the epoch's number, so that a training that was
interrupted ends, bit for bit on a CPU, as one that was not.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.batching import SegmentMeans
from models.device import has_bfloat16
from models.network import Network
from train.fitting.history import Epoch, better
from train.fitting.loss import finite, loss_of
from train.fitting.optimiser import Schedule, make_optimiser
from train.fitting.state import State, load_state, save_state
from train.fitting.task import Task, batches
from train.metrics import scores
from train.progress import every_s
from train.recipes import Optimisation

Bar = Any  # tqdm is generic in its stubs, plain at run time


@dataclass
class Descent:
    """What the epochs of one training share."""

    network: Network
    task: Task
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    bar: Bar

    @property
    def settings(self) -> Optimisation:
        return self.task.recipe.optimisation


def fit(network: Network, task: Task, state_path: Path) -> list[Epoch]:
    """Train a network, leave it with its best epoch's weights, and return all epochs' figures.

    The state after each epoch is kept at `state_path`; with one there, the training goes on.
    """
    settings = task.recipe.optimisation
    # convolutions are a quarter faster in this layout on a CPU, and on a GPU in mixed precision
    network.to(task.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = make_optimiser(network, settings)
    steps = -(-len(task.train) // settings.batch_size)
    schedule = Schedule(optimiser, settings, steps)
    state = load_state(state_path, network, optimiser, schedule) or State()
    if not state.history:
        state.best = _copy(network)
    done, total = len(state.history) * steps, settings.epochs * steps
    with tqdm(total=total, initial=done, desc="training", mininterval=every_s()) as bar:
        descent = Descent(network, task, optimiser, schedule, bar)
        while not _finished(state.history, settings):
            epoch = _epoch(descent, len(state.history) + 1)
            if schedule.per_epoch:
                schedule.epoch_ended(epoch.monitored(settings.monitor))
            state.history.append(epoch)
            if better(state.history, settings.monitor):
                state.best = _copy(network)
            save_state(state_path, state, network, optimiser, schedule)
            bar.set_postfix_str(f"valid UAR {100 * epoch.valid_uar:.1f} %")
    network.load_state_dict(state.best)
    return state.history


def _copy(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _finished(history: Sequence[Epoch], settings: Optimisation) -> bool:
    """All epochs are done, or the valid side has not improved for too long."""
    if len(history) >= settings.epochs:
        return True
    figures = [epoch.monitored(settings.monitor) for epoch in history]
    best = max(range(len(history)), key=figures.__getitem__, default=0)
    return len(history) - 1 - best >= settings.patience


def _epoch(descent: Descent, number: int) -> Epoch:
    """Train for one epoch, then validate."""
    started, task = time.monotonic(), descent.task
    rate = descent.optimiser.param_groups[0]["lr"]
    loss, accuracy = _train(descent, number)
    log_p, truth = log_probabilities(descent.network, task, task.valid), task.targets[task.valid]
    names = np.array(task.labels)
    figures = scores(list(names[truth]), list(names[log_p.argmax(1)]))
    valid_loss = float(-log_p[np.arange(len(truth)), truth].mean())
    return Epoch(
        epoch=number,
        learning_rate=rate,
        train_loss=loss,
        train_accuracy=accuracy,
        valid_loss=finite(valid_loss, number, descent.settings.learning_rate),
        valid_accuracy=figures["WA"],
        valid_uar=figures["UAR"],
        valid_macro_f1=figures["macro F1"],
        seconds=time.monotonic() - started,
    )


def _train(descent: Descent, number: int) -> tuple[float, float]:
    """One pass over the training side: mean loss and accuracy of its steps."""
    network, task, settings = descent.network, descent.task, descent.settings
    network.train()
    torch.manual_seed(task.seed * 100_003 + number)  # for dropout
    weights = _class_weights(task).to(task.device) if settings.class_weights else None
    losses, correct, seen = 0.0, 0.0, 0
    mixed = settings.precision == "mixed" and has_bfloat16(task.device)
    for batch in batches(task, number):
        loss, logits = loss_of(network, batch, settings.label_smoothing, weights, mixed=mixed)
        descent.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        descent.optimiser.step()
        descent.schedule.step_done()
        losses += finite(loss.item(), number, settings.learning_rate) * len(logits)
        correct += float((logits.argmax(1) == batch.targets.argmax(1)).sum())
        seen += len(logits)
        descent.bar.update()
    return losses / seen, correct / seen


def _class_weights(task: Task) -> torch.Tensor:
    """Inverse to a label's share of the weights, 1 on average over them."""
    own = task.targets[task.train]
    counts = np.bincount(own, task.training_weights(), minlength=len(task.labels))
    each = np.where(counts > 0, counts, 1)
    return torch.tensor(counts.sum() / (len(counts) * each), dtype=torch.float32)


@torch.inference_mode()
def log_probabilities(network: Network, task: Task, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-probabilities (rows, labels), each recording's the mean over its pieces.

    A label that a recording's corpus does not have gets no probability.
    """
    network.eval()
    pieces = task.source.pieces()
    chosen = np.flatnonzero(np.isin(pieces.recordings, rows))
    means: defaultdict[int, SegmentMeans] = defaultdict(SegmentMeans)
    for numbers, features in pieces.batches(chosen, task.device):
        logits = network.forward_trainable(features).double()
        batch = torch.softmax(logits, dim=1).cpu().numpy()
        for number, probabilities in zip(numbers, batch, strict=True):
            mean = means[int(pieces.recordings[number])]
            mean.add(probabilities, np.zeros(0), int(pieces.weights[number]))
    nothing = np.zeros(len(task.labels))  # an empty recording has no piece
    found = [means[row].probabilities if row in means else nothing for row in map(int, rows)]
    possible = np.array(found) * task.possible[rows]
    sums = np.maximum(possible.sum(1, keepdims=True), np.finfo(np.float64).tiny)  # all impossible
    return np.asarray(np.log(possible / sums + 1e-12))

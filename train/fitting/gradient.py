"""The fitting loop: a network by gradient descent, epoch by epoch, resumable after each.

Everything random comes from the seed and the epoch's number alone, so that a training that was
interrupted repeats, bit for bit on a CPU, the one that was not.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
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
from train.recipes import Recipe

Bar = Any  # tqdm is generic in its stubs, plain at run time


def fit(network: Network, task: Task, state_path: Path) -> list[Epoch]:
    """Train a network, leave it with its best epoch's weights, and tell every epoch.

    The state after each epoch is kept at `state_path`; with one there, the training goes on.
    """
    recipe = task.recipe
    # convolutions are a quarter faster in this layout on a CPU, and on a GPU in mixed precision
    network.to(task.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = make_optimiser(network, recipe)
    steps = -(-len(task.train) // recipe.batch_size)
    schedule = Schedule(optimiser, recipe, steps)
    state = load_state(state_path, network, optimiser, schedule) or State()
    if not state.history:
        state.best = _copy(network)
    total = recipe.epochs * steps
    with tqdm(
        total=total, initial=len(state.history) * steps, desc="training", mininterval=every_s()
    ) as bar:
        while not _finished(state.history, recipe):
            started = time.monotonic()
            number = len(state.history) + 1
            rate = optimiser.param_groups[0]["lr"]
            loss, accuracy = _epoch(network, task, number, optimiser, schedule, bar)
            judged = judge(network, task, task.valid)
            epoch = _told(number, rate, loss, accuracy, judged, task, time.monotonic() - started)
            if schedule.per_epoch:
                schedule.epoch_ended(epoch.monitored(recipe.monitor))
            state.history.append(epoch)
            if better(state.history, recipe.monitor):
                state.best = _copy(network)
            save_state(state_path, state, network, optimiser, schedule)
            bar.set_postfix_str(f"valid UAR {100 * epoch.valid_uar:.1f} %")
    network.load_state_dict(state.best)
    return state.history


def _copy(network: Network) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


def _finished(history: Sequence[Epoch], recipe: Recipe) -> bool:
    """All epochs are done, or the valid side has not improved for too long."""
    if len(history) >= recipe.epochs:
        return True
    best = max(range(len(history)), key=lambda i: history[i].monitored(recipe.monitor), default=0)
    return len(history) - 1 - best >= recipe.patience


def _epoch(
    network: Network,
    task: Task,
    number: int,
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    bar: Bar,
) -> tuple[float, float]:
    """One pass over the training side: mean loss and accuracy, as they were on the way."""
    recipe = task.recipe
    network.train()
    torch.manual_seed(task.seed * 100_003 + number)  # for dropout
    weights = _class_weights(task).to(task.device) if recipe.class_weights else None
    losses, right, seen = 0.0, 0.0, 0
    mixed = recipe.precision == "mixed" and has_bfloat16(task.device)
    for batch in batches(task, number):
        loss, logits = loss_of(network, recipe, batch, weights, mixed)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimiser.step()
        schedule.step_done()
        losses += finite(loss.item(), number, recipe.learning_rate) * len(logits)
        right += float((logits.argmax(1) == batch.targets.argmax(1)).sum())
        seen += len(logits)
        bar.update()
    return losses / seen, right / seen


def _class_weights(task: Task) -> torch.Tensor:
    """Inverse to a label's share, 1 on average over the recordings."""
    counts = np.bincount(task.targets[task.train], minlength=len(task.labels))
    return torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)


@torch.inference_mode()
def judge(network: Network, task: Task, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-probabilities (rows, labels), each recording's the mean over its pieces.

    A label that a recording's corpus does not have gets none.
    """
    network.eval()
    kept = task.store.pieces()
    wanted = np.flatnonzero(np.isin(kept.owners, rows))
    means: defaultdict[int, SegmentMeans] = defaultdict(SegmentMeans)
    for numbers, features in kept.batches(wanted, task.device):
        logits = network.forward_trainable(features).double()
        batch = torch.softmax(logits, dim=1).cpu().numpy()
        for number, probabilities in zip(numbers, batch, strict=True):
            mean = means[int(kept.owners[number])]
            mean.add(probabilities, np.zeros(0), int(kept.weights[number]))
    nothing = np.zeros(len(task.labels))  # an empty recording has no piece
    found = [means[row].probabilities if row in means else nothing for row in map(int, rows)]
    chosen = np.array(found) * task.possible[rows]
    sums = np.maximum(chosen.sum(1, keepdims=True), np.finfo(np.float64).tiny)  # all impossible
    return np.asarray(np.log(chosen / sums + 1e-12))


def _told(
    number: int, rate: float, loss: float, accuracy: float, judged: NDArray[np.float64],
    task: Task, seconds: float,
) -> Epoch:  # fmt: skip
    """What an epoch is remembered by."""
    truth = task.targets[task.valid]
    names = np.array(task.labels)
    figures = scores(list(names[truth]), list(names[judged.argmax(1)]))
    valid_loss = float(-judged[np.arange(len(truth)), truth].mean())
    return Epoch(
        number, rate, loss, accuracy,
        valid_loss=finite(valid_loss, number, task.recipe.learning_rate),
        valid_accuracy=figures["WA"], valid_uar=figures["UAR"],
        valid_macro_f1=figures["macro F1"], seconds=seconds,
    )  # fmt: skip

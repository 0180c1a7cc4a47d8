"""One fold: a network fitted on its training side, calibrated, and saved with its pictures."""

import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import save_checkpoint
from models.network import Network
from models.whisper import WhisperClassifier
from train.augmentation import change_features
from train.data import Data, possible_labels
from train.evaluation import checkpoint_info, plots
from train.features import EncodedFeatures, Store, embed, freeze
from train.fitting import (
    Epoch,
    Task,
    best_epoch,
    best_temperature,
    distillation_recipe,
    encoder_corpora,
    fit,
    fit_lda,
    fit_linear,
    held_out_logits,
    log_probabilities,
    new_network,
    pretrained_teacher,
    set_linear_head,
    teacher_outputs,
    train_encoder,
    training_features,
    weights_of,
    write_history,
)
from train.recipes import Recipe
from train.run_folder import CHECKPOINT, DISTILLED, HISTORY, REFIT_STATE, STATE
from train.splits import Fold


@dataclass(frozen=True)
class TrainingContext:
    """What all folds of a training share."""

    data: Data
    recipe: Recipe
    init: str | None
    seed: int
    device: torch.device
    cache: Path  # of features
    scratch: Path  # deleted after the training
    never_tested: NDArray[np.bool_] | None = None  # (recordings,): those that no fold tests

    def new_network(self, labels: int) -> Network:
        """A network as the training starts with it."""
        return new_network(self.recipe, labels, self.init, self.seed)

    def store(self, network: Network) -> Store:
        """Features of all recordings for a network."""
        return Store(
            network,
            self.recipe,
            self.data.utterances,
            self.data.contents,
            self.cache,
            self.scratch,
            self.never_tested,
        )


def train_fold(context: TrainingContext, fold: Fold, folder: Path, name: str) -> None:
    """Fit a fold's network, and write its checkpoint and pictures into `folder`.

    An interrupted training goes on at its last epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = fold.labels(context.data.utterances)
    network = context.new_network(len(labels))
    store = context.store(deepcopy(network))  # whose encoder a distillation does not freeze
    task = _task(context, fold, store, labels)
    if context.recipe.distillation.epochs:
        _distil(context, fold, network, task, folder)
        task = replace(task, source=EncodedFeatures(store, network))
    network, temperature = _fit(context, network, task, folder)
    _draw_examples(folder / "examples.png", task)
    info = checkpoint_info(
        context.data,
        context.recipe,
        fold,
        network,
        labels,
        temperature,
        name,
        encoder_corpora(context.recipe, context.init),
    )
    save_checkpoint(folder / CHECKPOINT, info, network.cpu())
    for state in (DISTILLED, STATE, REFIT_STATE):  # of no use beside the checkpoint
        (folder / state).unlink(missing_ok=True)


def _task(context: TrainingContext, fold: Fold, store: Store, labels: tuple[str, ...]) -> Task:
    numbers = {label: number for number, label in enumerate(labels)}
    targets = np.array([numbers.get(each.label, -1) for each in context.data.utterances])
    return Task(
        recipe=context.recipe,
        source=store,
        targets=targets,
        possible=possible_labels(context.data, labels),
        labels=labels,
        train=np.flatnonzero(fold.train),
        valid=np.flatnonzero(fold.valid & (targets >= 0)),  # labels that the network has
        seed=context.seed,
        device=context.device,
        weights=weights_of(context.data.utterances),
    )


def _distil(
    context: TrainingContext, fold: Fold, network: Network, task: Task, folder: Path
) -> None:
    """Train a network's encoder by feature distillation, and freeze it."""
    recipe = distillation_recipe(context.recipe)
    teacher = pretrained_teacher(context.recipe, context.init, network.settings.predicted)
    rows = np.flatnonzero(fold.train | fold.valid)  # no label is used
    shared = context.never_tested
    axes_rows = rows if shared is None or not shared.any() else np.flatnonzero(shared)
    store = replace(context, recipe=recipe).store(deepcopy(network))
    outputs = teacher_outputs(teacher, network, store, axes_rows, context.data, context.cache)
    distilling = replace(task, recipe=recipe, source=store, train=rows, views={})
    train_encoder(network, distilling, store.with_network(outputs), folder / DISTILLED)
    freeze(network, float16=context.recipe.float16)


def _fit(
    context: TrainingContext, network: Network, task: Task, folder: Path
) -> tuple[Network, float]:
    """The fitted network, and the temperature of its probabilities."""
    recipe = context.recipe
    if recipe.fit == "linear":
        return network, _fit_linear(context, network, task)
    if recipe.fit == "lda":
        return network, fit_lda(network.to(context.device), task, context.data.utterances)
    temperature = _fit_gradient(network, task, folder)
    if recipe.optimisation.refit:
        network = _refit(context, network, task, folder)
    return network, temperature


def _fit_linear(context: TrainingContext, network: Network, task: Task) -> float:
    """A logistic regression on embeddings of train and valid; it needs no valid side."""
    assert isinstance(network, WhisperClassifier)  # `check_together` refuses others
    data, recipe = context.data, context.recipe
    settings = recipe.linear
    every = embed(
        network, data.utterances, data.contents, settings.speeds, recipe.front_end, context.cache
    )
    rows = np.concatenate([task.train, task.valid])
    rows.sort()
    truth, weights = task.targets[rows], weights_of(data.utterances)[rows]
    set_linear_head(network, fit_linear(every[:, rows], truth, settings, weights=weights))
    speakers = [data.utterances[row].speaker or data.utterances[row].name for row in rows]
    logits = held_out_logits(every[:, rows], truth, speakers, settings, weights)
    return best_temperature(logits, truth)


def _fit_gradient(network: Network, task: Task, folder: Path) -> float:
    """Gradient descent; the temperature is that of the valid side."""
    settings = task.recipe.optimisation
    if not (folder / STATE).exists():
        _prepare(network, task)
    history = fit(network, task, folder / STATE)
    _round_weights(network, task.recipe)
    write_history(folder / HISTORY, history)
    plots.curves(folder / "curves.png", history, settings.monitor)
    _report(history, settings.monitor)
    return best_temperature(log_probabilities(network, task, task.valid), task.targets[task.valid])


def _refit(context: TrainingContext, network: Network, task: Task, folder: Path) -> Network:
    """The same training on train and valid, once the temperature has been found on valid.

    It starts anew, but for an encoder that was distilled.
    """
    again = context.new_network(len(task.labels))
    if context.recipe.distillation.epochs:
        again.encoder.load_state_dict(network.encoder.state_dict())
        freeze(again, float16=context.recipe.float16)
    whole = replace(task, train=np.union1d(task.train, task.valid))
    if not (folder / REFIT_STATE).exists():
        _prepare(again, whole)
    fit(again, whole, folder / REFIT_STATE)
    _round_weights(again, context.recipe)
    return again


@torch.no_grad()
def _round_weights(network: Network, recipe: Recipe) -> None:
    """With `float16`, to weights that it holds, before calibration and figures."""
    for parameter in network.parameters() if recipe.float16 else ():
        parameter.copy_(parameter.half().float())


@torch.no_grad()
def _prepare(network: Network, task: Task) -> None:
    """Set a network's statistics to the training side's, and initialise its head by the recipe."""
    network.eval()
    network.fit_statistics(training_features(task))
    if task.recipe.optimisation.linear_probe_initialisation:
        assert isinstance(network, WhisperClassifier)  # `check_together` refuses others
        rows = torch.cat([network.pool(each) for each in training_features(task)]).numpy()
        truth, weights = task.targets[task.train], task.training_weights()
        head = fit_linear(rows[None], truth, task.recipe.linear, weights=weights)
        set_linear_head(network, head)


def _report(history: list[Epoch], monitor: str) -> None:
    best = best_epoch(history, monitor)
    print(
        f"{len(history)} epochs in {sum(each.seconds for each in history):.0f} s; kept epoch "
        f"{best.epoch}: valid UAR {100 * best.valid_uar:.1f} %",
        file=sys.stderr,
    )


def _draw_examples(path: Path, task: Task) -> None:
    """The front end's features of one recording per label, as it is and augmented."""
    draw = np.random.default_rng(task.seed)
    pictures = {}
    for number, label in enumerate(task.labels):
        row = int(task.train[np.flatnonzero(task.targets[task.train] == number)[0]])
        plain, changed = (task.source.front_end_view(row, view) for view in (0, 1))
        augmented = change_features(changed, task.recipe.augmentation, draw)
        pictures[label] = [("as it is", plain.numpy()), ("augmented", augmented.numpy())]
    plots.examples(path, pictures)

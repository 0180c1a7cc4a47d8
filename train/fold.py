"""One fold: a network fitted on its training side, calibrated, and saved with its pictures."""

import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import CheckpointInfo, save_checkpoint
from models.network import Network
from models.whisper import WhisperClassifier
from train.augmentation import change_features
from train.data import Data, possible_labels
from train.evaluation import about, plots
from train.features import EncodedFeatures, Store, embed, freeze
from train.fitting import (
    Epoch,
    Task,
    best_epoch,
    best_temperature,
    encoder_corpora,
    fit,
    fit_lda,
    fit_linear,
    held_out_logits,
    judge,
    new_network,
    pretrained_teacher,
    recipe_of,
    set_linear_head,
    teacher_outputs,
    train_encoder,
    training_features,
    write_history,
)
from train.recipes import Recipe
from train.run_folder import AGAIN, CHECKPOINT, DISTILLED, HISTORY, STATE
from train.splits import Fold


@dataclass(frozen=True)
class Study:
    """What all folds of a training share."""

    data: Data
    recipe: Recipe
    init: str | None
    seed: int
    device: torch.device
    cache: Path  # of features
    scratch: Path  # goes with the training
    heard_always: NDArray[np.bool_] | None = None  # recordings that no fold tests


def train_fold(study: Study, fold: Fold, folder: Path, name: str) -> CheckpointInfo:
    """Fit a fold's network and write its checkpoint and pictures into `folder`.

    An interrupted training goes on at its last epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe, labels = study.recipe, fold.labels(study.data.utterances)
    network = new_network(recipe, len(labels), study.init, study.seed)
    store = _store(study, deepcopy(network))  # whose encoder a distillation does not freeze
    task = _task(study, fold, store, labels)
    if recipe.distil.epochs:
        task = replace(task, store=_distilled(study, fold, network, task, store, folder))
    if recipe.fit == "linear":
        temperature = _fit_linear(network, study, task)
    elif recipe.fit == "lda":
        temperature = fit_lda(network.to(study.device), task, study.data.utterances)
    else:
        temperature = _fit_gradient(network, task, folder)
        if recipe.refit:
            network = _begun_again(network, study, task)
            _refit(network, task, folder)
    _draw_examples(folder / "examples.png", task)
    earlier = encoder_corpora(recipe, study.init)
    info = about(study.data, recipe, fold, network, labels, temperature, name, earlier)
    save_checkpoint(folder / CHECKPOINT, info, network.cpu())
    for state in (DISTILLED, STATE, AGAIN):  # the checkpoint is what stays
        (folder / state).unlink(missing_ok=True)
    return info


def _store(study: Study, network: Network) -> Store:
    data = study.data
    return Store(
        network, study.recipe, data.utterances, data.contents, study.cache, study.scratch,
        study.heard_always,
    )  # fmt: skip


def _task(study: Study, fold: Fold, store: Store, labels: tuple[str, ...]) -> Task:
    numbers = {label: number for number, label in enumerate(labels)}
    data, recipe = study.data, study.recipe
    targets = np.array([numbers.get(each.label, -1) for each in data.utterances])
    return Task(
        recipe=recipe,
        store=store,
        targets=targets,
        possible=possible_labels(data, labels),
        labels=labels,
        train=np.flatnonzero(fold.train),
        valid=np.flatnonzero(fold.valid & (targets >= 0)),  # what no one trains on steers nothing
        seed=study.seed,
        device=study.device,
    )


def _distilled(
    study: Study, fold: Fold, network: Network, task: Task, store: Store, folder: Path
) -> EncodedFeatures:
    """Train a network's encoder by distillation and freeze it; all recordings, encoded by it."""
    recipe, data, always = recipe_of(study.recipe), study.data, study.heard_always
    teacher = pretrained_teacher(study.recipe, study.init, network.settings.predicted)
    rows = np.flatnonzero(fold.train | fold.valid)  # no label is used
    shared = np.flatnonzero(always if always is not None else [])
    inputs = store.of(deepcopy(network), recipe)
    outputs = teacher_outputs(
        teacher, network, inputs, shared if len(shared) else rows, data, study.cache
    )
    distilling = replace(task, recipe=recipe, store=inputs, train=rows, views={})
    train_encoder(network, distilling, inputs.of(outputs), folder / DISTILLED)
    freeze(network, study.recipe.half)
    return EncodedFeatures(store, network)


def _begun_again(network: Network, study: Study, task: Task) -> Network:
    """A network as it was before its fit, with the encoder that was distilled."""
    again = new_network(study.recipe, len(task.labels), study.init, study.seed)
    if study.recipe.distil.epochs:
        again.encoder.load_state_dict(network.encoder.state_dict())
        freeze(again, study.recipe.half)
    return again


def _fit_linear(network: Network, study: Study, task: Task) -> float:
    """A logistic regression on embeddings; it needs no valid side and learns from that too."""
    assert isinstance(network, WhisperClassifier)  # checked when the recipe was chosen
    data, recipe = study.data, task.recipe
    every = embed(
        network, data.utterances, data.contents, recipe.speeds, recipe.front_end, study.cache
    )
    rows = np.concatenate([task.train, task.valid])
    rows.sort()
    truth = task.targets[rows]
    set_linear_head(network, fit_linear(every[:, rows], truth, recipe))
    speakers = [data.utterances[row].speaker or data.utterances[row].name for row in rows]
    return best_temperature(held_out_logits(every[:, rows], truth, speakers, recipe), truth)


def _fit_gradient(network: Network, task: Task, folder: Path) -> float:
    """The fitting loop; its temperature is that of the valid side."""
    if not (folder / STATE).exists():
        _prepare(network, task)
    history = fit(network, task, folder / STATE)
    _round(network, task.recipe)
    write_history(folder / HISTORY, history)
    plots.curves(folder / "curves.png", history, task.recipe.monitor)
    _tell(history, task.recipe)
    return best_temperature(judge(network, task, task.valid), task.targets[task.valid])


def _refit(network: Network, task: Task, folder: Path) -> None:
    """The same training on the valid side, too, when the temperature has been found on that."""
    whole = replace(task, train=np.union1d(task.train, task.valid))
    if not (folder / AGAIN).exists():
        _prepare(network, whole)
    fit(network, whole, folder / AGAIN)
    _round(network, whole.recipe)


@torch.no_grad()
def _round(network: Network, recipe: Recipe) -> None:
    """With `half`, every weight to one that float16 holds, before calibration and figures."""
    for parameter in network.parameters() if recipe.half else ():
        parameter.copy_(parameter.half().float())


@torch.no_grad()
def _prepare(network: Network, task: Task) -> None:
    """Statistics of the training set, and with `probe` a head that is already good."""
    network.eval()
    network.fit_statistics(training_features(task))
    if task.recipe.probe:
        assert isinstance(network, WhisperClassifier)
        rows = torch.cat([network.pool(each) for each in training_features(task)]).numpy()
        set_linear_head(network, fit_linear(rows[None], task.targets[task.train], task.recipe))


def _tell(history: list[Epoch], recipe: Recipe) -> None:
    best = best_epoch(history, recipe.monitor)
    print(
        f"{len(history)} epochs in {sum(each.seconds for each in history):.0f} s; kept epoch "
        f"{best.epoch}: valid UAR {100 * best.valid_uar:.1f} %",
        file=sys.stderr,
    )


def _draw_examples(path: Path, task: Task) -> None:
    """One recording per label as the front end gives it, as it is and augmented."""
    draw = np.random.default_rng(task.seed)
    pictures = {}
    for number, label in enumerate(task.labels):
        row = int(task.train[np.flatnonzero(task.targets[task.train] == number)[0]])
        augmented = change_features(task.store.picture(row, 1), task.recipe.augment, draw)
        shown = [("as it is", task.store.picture(row, 0).numpy()), ("augmented", augmented.numpy())]
        pictures[label] = shown
    plots.examples(path, pictures)

"""One fold: a network fitted on its training side, calibrated, and saved with its pictures."""

import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import CheckpointInfo, save_checkpoint
from models.loading import load_network
from models.network import Network
from models.whisper import WhisperClassifier
from train import plots
from train.about import about
from train.augment import change_features
from train.calibration import best_temperature
from train.data import Data, possible_labels
from train.embed import embed
from train.experts import fit_experts, fit_gate, judge_adapted
from train.fit import fit, judge
from train.folder import AGAIN, CHECKPOINT, HISTORY, IMITATED, STATE
from train.folds import Fold
from train.groups import groups_of, one_hot
from train.history import Epoch, best_epoch, write_history
from train.imitation import freeze, imitate, imitate_shared, shown_by
from train.lifted import Lifted
from train.linear import fit_head, held_out_logits, set_head
from train.recipes import Recipe
from train.start import new_network
from train.store import Store
from train.task import Heard, Task, training_features
from train.teacher import Teacher, find_teacher, store_of


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
    teacher: str | None = None
    allow_leak: bool = False
    heard_always: NDArray[np.bool_] | None = None  # recordings that no fold tests


def train_fold(study: Study, fold: Fold, folder: Path, name: str) -> CheckpointInfo:
    """Fit a fold's network and write its checkpoint and pictures into `folder`.

    An interrupted training goes on at its last epoch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = fold.labels(study.data.utterances)
    corpora = _corpora(study, fold)
    network = new_network(study.recipe, len(labels), study.init, study.seed, corpora.shape[1])
    store = _store(study, deepcopy(network))  # which an imitation does not freeze
    task = _task(study, fold, store, labels, corpora)
    teacher = _teacher(study, fold, task, store) if study.teacher else None
    task = replace(task, teacher=teacher)
    if study.recipe.imitate.epochs:
        task = _imitated(study, fold, network, task, store, folder)
    if study.recipe.fit == "linear":
        temperatures = _fit_linear(network, study, task), 0.0
    else:
        temperatures = _fit_gradient(network, task, folder)
        if study.recipe.refit:
            network = _begun_again(network, study, task)
            _refit(network, task, folder)
    _draw_examples(folder / "examples.png", task)
    told = teacher.info if teacher else None
    info = about(study.data, study.recipe, fold, network, labels, temperatures, name, told)
    save_checkpoint(folder / CHECKPOINT, info, network.cpu())
    for state in (IMITATED, STATE, AGAIN):  # the checkpoint is what stays
        (folder / state).unlink(missing_ok=True)
    return info


def _store(study: Study, network: Network) -> Store:
    data = study.data
    return Store(
        network, study.recipe, data.utterances, data.contents, study.cache, study.scratch,
        study.heard_always,
    )  # fmt: skip


def _corpora(study: Study, fold: Fold) -> NDArray[np.float32]:
    """Of each recording (recordings, corpora), which corpus of the fold's training it is from."""
    groups = groups_of(study.data.utterances)
    return one_hot(groups[1], np.flatnonzero(fold.train | fold.valid))


def _task(
    study: Study, fold: Fold, store: Heard, labels: tuple[str, ...], corpora: NDArray[np.float32]
) -> Task:
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
        groups=groups_of(data.utterances),
        corpora=corpora,
    )


def _teacher(study: Study, fold: Fold, task: Task, store: Store) -> Teacher:
    """A fold's teacher, with what it says of the same views."""
    assert study.teacher
    path = find_teacher(study.teacher, fold, study.data, study.allow_leak)
    info, network = load_network(path)
    return Teacher(
        info, network, store_of(info, network, study.recipe, store), task.labels, task.possible
    )


def _imitated(
    study: Study, fold: Fold, network: Network, task: Task, store: Store, folder: Path
) -> Task:
    """The task on an encoder that has learned to hear as the teacher's does."""
    assert isinstance(task.teacher, Teacher)
    teacher, recipe, always = task.teacher, study.recipe, study.heard_always
    utterances, contents = study.data.utterances, study.data.contents
    shared = np.flatnonzero(always if always is not None else [])
    shown = shown_by(
        teacher.network, network, recipe.imitate.layers, teacher.store,
        shared if len(shared) else np.flatnonzero(fold.train), utterances, contents, study.cache,
    )  # fmt: skip
    states = store_of(teacher.info, shown, recipe, store)
    if len(shared) and recipe.imitate.shared:
        first = replace(task, train=shared)
        imitate_shared(network, first, states, store, contents, study.cache)
    rows = np.union1d(task.train, task.valid) if recipe.refit else task.train  # no label is heard
    imitate(network, replace(task, train=rows), states, recipe.imitate.epochs, folder / IMITATED)
    freeze(network, recipe.half)
    return replace(task, store=Lifted(store, network), views={})


def _begun_again(network: Network, study: Study, task: Task) -> Network:
    """A network as it was before its fit, with what its encoder has learned by imitation."""
    recipe, corpora = study.recipe, task.corpora.shape[1]
    again = new_network(recipe, len(task.labels), study.init, study.seed, corpora)
    if study.recipe.imitate.epochs:
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
    set_head(network, fit_head(every[:, rows], truth, recipe))
    speakers = [data.utterances[row].speaker or data.utterances[row].name for row in rows]
    return best_temperature(held_out_logits(every[:, rows], truth, speakers, recipe), truth)


def _fit_gradient(network: Network, task: Task, folder: Path) -> tuple[float, float]:
    """The fitting loop; its temperatures, of both heads, are those of the valid side."""
    if not (folder / STATE).exists():
        _prepare(network, task)
    history = fit(network, task, folder / STATE)
    _finish(network, task)
    write_history(folder / HISTORY, history)
    plots.curves(folder / "curves.png", history, task.recipe.monitor)
    _tell(history, task.recipe)
    truth = task.targets[task.valid]
    adapted = best_temperature(judge_adapted(network, task), truth) if network.adapts else 0.0
    return best_temperature(judge(network, task, task.valid), truth), adapted


def _refit(network: Network, task: Task, folder: Path) -> None:
    """The same training on the valid side, too, when that has told the temperature."""
    whole = replace(task, train=np.union1d(task.train, task.valid))
    if not (folder / AGAIN).exists():
        _prepare(network, whole)
    fit(network, whole, folder / AGAIN)
    _finish(network, whole)


def _finish(network: Network, task: Task) -> None:
    """What follows when a network has learned: its second head, and smaller weights."""
    if network.adapts:
        fit_experts(network, task)
    if task.recipe.half:
        _round(network)
    if network.adapts:
        fit_gate(network, task)


@torch.no_grad()
def _round(network: Network) -> None:
    """Every weight to one that float16 holds, before anything is calibrated or judged."""
    for parameter in network.parameters():
        parameter.copy_(parameter.half().float())


@torch.no_grad()
def _prepare(network: Network, task: Task) -> None:
    """Statistics of the training set, and with `probe` a head that is already good."""
    network.eval()
    network.fit_statistics(training_features(task))
    if task.teacher and task.recipe.mimic:  # else its head hears other numbers
        task.teacher.hand_over(network)
    if task.recipe.probe:
        assert isinstance(network, WhisperClassifier)
        rows = torch.cat([network.pool(each) for each in training_features(task)]).numpy()
        set_head(network, fit_head(rows[None], task.targets[task.train], task.recipe))


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

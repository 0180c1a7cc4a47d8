"""One fold: a network fitted on its training side, calibrated, and saved with its pictures."""

import platform
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray

from batch_ser import __version__
from models.checkpoint import CheckpointInfo, save_checkpoint
from models.loading import load_network
from models.network import Network
from models.whisper import WhisperClassifier
from train import plots
from train.augment import change_features
from train.calibration import best_temperature
from train.data import Data, about_corpora, licence_of, possible_labels
from train.embed import embed
from train.fit import fit, judge, judge_adapted
from train.folder import AGAIN, CHECKPOINT, HISTORY, STATE
from train.folds import Fold
from train.groups import groups_of
from train.history import Epoch, best_epoch, write_history
from train.imitation import shown_by
from train.linear import fit_head, held_out_logits, set_head
from train.recipes import Recipe
from train.start import new_network
from train.store import Store
from train.task import Task, training_features
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
    network = new_network(study.recipe, len(labels), study.init, study.seed)
    task = _task(study, fold, network, labels)
    teacher = _teacher(study, fold, task, network) if study.teacher else None
    task = replace(task, teacher=teacher)
    if study.recipe.fit == "linear":
        temperatures = _fit_linear(network, study, task), 0.0
    else:
        temperatures = _fit_gradient(network, task, folder)
        if study.recipe.refit:
            network = new_network(study.recipe, len(labels), study.init, study.seed)
            _refit(network, task, folder)
    _draw_examples(folder / "examples.png", task)
    told = teacher.info if teacher else None
    info = _info(study, fold, network, labels, temperatures, name, told)
    save_checkpoint(folder / CHECKPOINT, info, network.cpu())
    for state in (STATE, AGAIN):  # the checkpoint is what stays
        (folder / state).unlink(missing_ok=True)
    return info


def _task(study: Study, fold: Fold, network: Network, labels: tuple[str, ...]) -> Task:
    numbers = {label: number for number, label in enumerate(labels)}
    data, recipe = study.data, study.recipe
    targets = np.array([numbers.get(each.label, -1) for each in data.utterances])
    return Task(
        recipe=recipe,
        store=Store(
            network, recipe, data.utterances, data.contents, study.cache, study.scratch,
            study.heard_always,
        ),
        targets=targets,
        possible=possible_labels(data, labels),
        labels=labels,
        train=np.flatnonzero(fold.train),
        valid=np.flatnonzero(fold.valid & (targets >= 0)),  # what no one trains on steers nothing
        seed=study.seed,
        device=study.device,
        groups=groups_of(data.utterances),
    )  # fmt: skip


def _teacher(study: Study, fold: Fold, task: Task, student: Network) -> Teacher:
    """A fold's teacher, with what it says of the same views."""
    assert study.teacher
    path = find_teacher(study.teacher, fold, study.data, study.allow_leak)
    info, network = load_network(path)
    store = store_of(info, network, study.recipe, task.store)
    frames = None
    if study.recipe.imitate:
        always = study.heard_always
        rows = np.flatnonzero(fold.train if always is None or not always.any() else always)
        shown = shown_by(
            network, student, store, rows, study.data.utterances, study.data.contents, study.cache
        )
        frames = store.of(shown, replace(study.recipe, front_end=dict(info.front_end_settings)))
    return Teacher(info, network, store, task.labels, task.possible, frames)


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
    if task.recipe.half:
        _round(network)
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
    if task.recipe.half:
        _round(network)


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
    if task.teacher:
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


def _info(
    study: Study,
    fold: Fold,
    network: Network,
    labels: tuple[str, ...],
    temperatures: tuple[float, float],
    name: str,
    teacher: CheckpointInfo | None,
) -> CheckpointInfo:
    heard = study.data.chosen(list(np.flatnonzero(fold.train | fold.valid)))
    corpora = about_corpora(heard)
    known = {each["name"] for each in corpora}
    corpora += tuple(e for e in teacher.corpora if e["name"] not in known) if teacher else ()
    return CheckpointInfo(
        name=name,
        architecture=study.recipe.architecture,
        settings=network.stored_settings(),
        labels=labels,
        front_end=network.front_end,
        front_end_settings=dict(network.front_end_settings) | study.recipe.front_end,
        rate_hz=network.rate_hz,
        max_input_s=network.max_input_s,
        licence=licence_of(corpora),
        temperature=temperatures[0],
        adapted_temperature=temperatures[1],
        segment={
            "method": "speech",
            "min_s": 0.5,
            "max_s": max(1.0, min(8.0, network.max_input_s)),
        },
        corpora=corpora,
        recipe=study.recipe.stored(),
        made_with=versions(),
        teacher=f"{teacher.name} ({teacher.architecture})" if teacher else "",
    )


def versions() -> dict[str, Any]:
    """What a checkpoint was made with."""
    return {
        "batch-ser": __version__,
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "machine": platform.machine(),
    }

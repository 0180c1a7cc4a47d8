"""Distillation: a network that learns what a teacher says of the same views.

A fold's teacher must not have heard that fold's test side: of a training with several folds, the
one is taken that held the same recordings out.

Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.features import pad
from models.checkpoint import CheckpointInfo, read_info
from models.network import Network
from train.data import Data
from train.folder import CHECKPOINT, SPLIT, SUFFIX, fold_folders
from train.folds import Fold
from train.recipes import Recipe
from train.store import Store

TAUGHT_AT_ONCE = 64


class Teacher:
    """What a teacher says of every recording of a view: probabilities, then its embedding."""

    def __init__(
        self,
        info: CheckpointInfo,
        network: Network,
        store: Store,
        labels: tuple[str, ...],
        possible: NDArray[np.bool_],
    ) -> None:
        self._network = network.eval()
        self._temperature = info.temperature
        self._columns = [info.labels.index(label) for label in labels]
        self._store = store
        self._possible = torch.from_numpy(possible)
        self._said: dict[int, torch.Tensor] = {}

    def says(self, view: int, row: int) -> torch.Tensor:
        """Of one recording in a view: (labels + embedding_width,).

        Labels that the recording's corpus does not have get no probability.
        """
        if view not in self._said:
            self._said[view] = self._of_view(view)
        return self._said[view][row]

    @torch.inference_mode()
    def _of_view(self, view: int) -> torch.Tensor:
        kept = self._store.view(view)
        found = []
        for first in range(0, len(kept.ends), TAUGHT_AT_ONCE):
            rows = range(first, min(first + TAUGHT_AT_ONCE, len(kept.ends)))
            heard = pad([kept.piece(row) for row in rows], torch.device("cpu"))
            embeddings = self._network.represent(heard)
            logits = self._network.classify(embeddings)[:, self._columns] / self._temperature
            found.append(torch.cat([logits.softmax(1), embeddings], dim=1))
        said = torch.cat(found).clone()
        chosen = said[:, : len(self._columns)] * self._possible
        said[:, : len(self._columns)] = chosen / chosen.sum(1, keepdim=True).clamp(min=1e-12)
        return said


def store_of(info: CheckpointInfo, network: Network, recipe: Recipe, store: Store) -> Store:
    """The same views as a student's `store` has, as the teacher hears them."""
    heard = replace(recipe, front_end=dict(info.front_end_settings))
    return store.of(network, heard)


def find_teacher(teacher: str, fold: Fold, data: Data, allow_leak: bool) -> Path:
    """The checkpoint that may teach a fold: one that has not heard its test side.

    `teacher` is a checkpoint or the folder of a training.

    Raises:
        UsageError: there is none.
    """
    given = Path(teacher)
    is_file = given.suffix == SUFFIX
    whole = given if is_file else given / CHECKPOINT
    if allow_leak or not fold.test.any():
        return _existing(whole, teacher)
    run = given.with_suffix(".run") if is_file else given
    names = np.array([each.name for each in data.utterances])
    held_out = _without_knowing(fold, data)
    try:
        entries = json.loads((run / SPLIT).read_text())["folds"]
    except (OSError, ValueError, KeyError, TypeError):
        entries = []
    for entry, folder in zip(entries, fold_folders(run, [e["name"] for e in entries]), strict=True):
        heard = np.isin(names, [*entry["train"], *entry["valid"]])
        if not (heard & held_out).any() and (folder / CHECKPOINT).is_file():
            return folder / CHECKPOINT
    _existing(whole, teacher)
    raise UsageError(
        f"--teacher {teacher}: found no training of it that held out what {fold.name} tests, so "
        "that the figures would be too good; expected a checkpoint that was trained on the same "
        "data with the same --split and --seed, with its run's folder, or --allow-leak"
    )


def _without_knowing(fold: Fold, data: Data) -> NDArray[np.bool_]:
    """Recordings that a fold's teacher must not have heard: of the test side or its speakers."""
    if not fold.independent:
        return np.asarray(fold.test)
    speakers = np.array([each.speaker for each in data.utterances])
    return np.asarray(fold.test | np.isin(speakers, speakers[fold.test]) & (speakers != ""))


def _existing(path: Path, teacher: str) -> Path:
    if not path.is_file():
        raise UsageError(
            f"--teacher {teacher}: there is no {path}; expected a checkpoint that `batch-ser "
            "train` wrote, or the folder of its training"
        )
    return path


def check_teacher(path: Path, labels: tuple[str, ...], student: Network, recipe: Recipe) -> None:
    """Refuse a teacher that cannot teach this.

    Raises:
        UsageError: it lacks a label, hears at another rate, or its embedding is of another width.
    """
    from models.architectures import build

    info = read_info(path)
    if lacking := [label for label in labels if label not in info.labels]:
        raise UsageError(
            f"--teacher {path}: it knows {', '.join(info.labels)}, and not {', '.join(lacking)}"
        )
    teacher = build(info.architecture, len(info.labels), info.settings)
    for what, its, ours in (
        ("an embedding of so many numbers", teacher.embedding_width, student.embedding_width),
        ("so many samples a second", teacher.rate_hz, student.rate_hz),
        ("so many seconds at once", teacher.max_input_s, student.max_input_s),
    ):
        if its != ours and (recipe.mimic or "embedding" not in what):
            raise UsageError(f"--teacher {path}: it has {what}: {its:g}, expected {ours:g}")

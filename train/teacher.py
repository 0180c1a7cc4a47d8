"""Distillation: a network that learns what a teacher says of the same views.

A fold's teacher must not have heard that fold's test side: of a training with several folds, the
one is taken that held the same recordings out.

Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from batch_ser.errors import UsageError
from batch_ser.features import pad
from models.architectures import build
from models.checkpoint import CheckpointInfo, read_info
from models.loading import SHIPPED, shipped_checkpoints
from models.network import Network
from train.data import Data
from train.folder import CHECKPOINT, SPLIT, SUFFIX, fold_folders, fold_number
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
        self.info = info
        self.network = network.eval()
        self._temperature = info.temperature
        self._columns = [info.labels.index(label) for label in labels]
        self.store = store
        self._possible = torch.from_numpy(possible)
        self._said: dict[int, torch.Tensor] = {}

    @torch.no_grad()
    def hand_over(self, student: Network) -> None:
        """Start a student's head as the teacher's, where both hear as many numbers."""
        mine, its = getattr(self.network, "head", None), getattr(student, "head", None)
        if not (isinstance(mine, nn.Linear) and isinstance(its, nn.Linear)):
            return
        if mine.in_features != its.in_features:
            return
        its.weight.copy_(mine.weight[self._columns])
        its.bias.copy_(mine.bias[self._columns])

    def says(self, view: int, row: int) -> torch.Tensor:
        """Of one recording in a view: (labels + heard_width,).

        Labels that the recording's corpus does not have get no probability.
        """
        if view not in self._said:
            self._said[view] = self._of_view(view)
        return self._said[view][row]

    @torch.inference_mode()
    def _of_view(self, view: int) -> torch.Tensor:
        kept = self.store.view(view)
        found = []
        for first in range(0, len(kept.ends), TAUGHT_AT_ONCE):
            rows = range(first, min(first + TAUGHT_AT_ONCE, len(kept.ends)))
            heard = pad([kept.piece(row) for row in rows], torch.device("cpu"))
            embeddings = torch.zeros(len(rows), 0)
            if self.network.embedding_width:
                embeddings = self.network.represent(heard)[:, : self.network.heard_width]
                logits = self.network.classify(embeddings)
            else:
                logits = self.network.upper(heard)
            logits = logits[:, self._columns] / self._temperature
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

    `teacher` is a checkpoint, a shipped one's name, or the folder of a training.

    Raises:
        UsageError: there is none.
    """
    whole, run = _placed(teacher)
    anything = allow_leak or not fold.test.any()
    if not whole.is_file() and (anything or not (run / SPLIT).is_file()):
        raise UsageError(
            f"--teacher {teacher}: there is no {whole}; expected a checkpoint that `batch-ser "
            "train` wrote, or the folder of its training"
        )
    if anything:
        return whole
    contents = np.array(data.contents)[_not_to_know(fold, data)]
    for heard, path in _trained_on(run):
        another = whole.parent.parent == run and path != whole  # one fold's was given
        if not another and path.is_file() and not np.isin(contents, heard).any():
            return path
    raise UsageError(
        f"--teacher {teacher}: found no checkpoint of its training that held out what {fold.name} "
        "tests, so that the figures would be too good; expected the folder of a training on the "
        "same data with the same --split and --seed, or --allow-leak"
    )


def _placed(teacher: str) -> tuple[Path, Path]:
    """The checkpoint that is meant as a whole, and the folder of its training."""
    if teacher in shipped_checkpoints():
        path = SHIPPED / f"{teacher}{SUFFIX}"
        return path, path.with_suffix(".run")
    given = Path(teacher)
    if given.suffix != SUFFIX:
        return given / CHECKPOINT, given
    if given.name != CHECKPOINT:
        return given, given.with_suffix(".run")
    return given, given.parent.parent if fold_number(given.parent) else given.parent


def _trained_on(run: Path) -> Iterator[tuple[list[str], Path]]:
    """Of each fold of a training, the contents that it heard, and its checkpoint."""
    try:
        kept = json.loads((run / SPLIT).read_text())
        entries, contents = kept["folds"], kept["contents"]
    except (OSError, ValueError, KeyError, TypeError):  # none, or of an earlier version
        return
    for entry, folder in zip(entries, fold_folders(run, [e["name"] for e in entries]), strict=True):
        names = [*entry["train"], *entry["valid"]]
        yield [contents[name] for name in names], folder / CHECKPOINT


def _not_to_know(fold: Fold, data: Data) -> NDArray[np.bool_]:
    """Recordings that a fold's teacher must not have heard: of the test side or its speakers."""
    if not fold.independent:
        return np.asarray(fold.test)
    speakers = np.array([each.speaker for each in data.utterances])
    return np.asarray(fold.test | np.isin(speakers, speakers[fold.test]) & (speakers != ""))


def check_teacher(path: Path, labels: tuple[str, ...], student: Network, recipe: Recipe) -> None:
    """Refuse a teacher that cannot teach this.

    Raises:
        UsageError: it lacks a label, hears at another rate, or its embedding is of another width.
    """
    info = read_info(path)
    if lacking := [label for label in labels if label not in info.labels]:
        raise UsageError(
            f"--teacher {path}: it knows {', '.join(info.labels)}, and not {', '.join(lacking)}"
        )
    teacher = build(info.architecture, len(info.labels), info.settings)
    imitated = recipe.imitate.epochs
    if imitated and (teacher.listener(recipe.imitate.layers) is None or not student.imitation_s):
        raise UsageError(
            f"--teacher {path}: imitate.epochs={imitated} needs a teacher with a frozen encoder, "
            "such as the recipe accurate makes, and a student that imitates, such as tdnn; or "
            "imitate.epochs=0"
        )
    widths = [each.embedding_width and each.heard_width for each in (teacher, student)]
    if recipe.mimic and (0 in widths or widths[0] != widths[1]):
        raise UsageError(
            f"--teacher {path}: its head hears {widths[0]} numbers, the student's {widths[1]}; "
            "expected as many, or mimic=0"
        )
    for what, its, ours in (
        ("{:g} Hz", teacher.rate_hz, student.rate_hz),
        ("at most {:g} s at once", teacher.max_input_s, student.max_input_s),
    ):
        if its != ours:
            raise UsageError(
                f"--teacher {path}: it hears {what.format(its)}, the student {what.format(ours)}"
            )

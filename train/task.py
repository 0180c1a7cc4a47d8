"""What one training hears, and what it should say: views of its recordings, batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.features import Features, pad
from models.network import Network
from train.augment import change_features, mix
from train.groups import Groups
from train.loss import Batch
from train.recipes import Recipe
from train.store import Kept


class Teaching(Protocol):
    """A teacher, as `train.teacher` has it."""

    def says(self, view: int, row: int, /) -> torch.Tensor:
        """What it says of a recording in a view: (labels + heard_width,)."""

    def hand_over(self, student: Network) -> None:
        """Start a student with what it can use of the teacher's own."""


class Heard(Protocol):
    """What is heard of every recording, as `train.store` has it."""

    def view(self, number: int, passing: bool = False) -> Kept:
        """One version of every recording."""

    def pieces(self) -> Kept:
        """Every recording in pieces that the network takes."""

    def picture(self, recording: int, number: int) -> torch.Tensor:
        """What the front end makes of a view of one recording (bands, frames)."""


@dataclass(frozen=True)
class Task:
    """One training: rows of the store to train on and to judge by, and their labels' numbers."""

    recipe: Recipe
    store: Heard
    targets: NDArray[np.int64]  # (recordings,), -1 where a recording is not of this fold
    possible: NDArray[np.bool_]  # (recordings, labels): what a recording's corpus can say at all
    labels: tuple[str, ...]
    train: NDArray[np.int64]
    valid: NDArray[np.int64]
    seed: int
    device: torch.device
    groups: Groups  # voices and corpora
    corpora: NDArray[np.float32]  # (recordings, corpora): 1 for one's own, of those trained on
    teacher: "Teaching | None" = None  # whom `distil` and `mimic` of the recipe mean
    views: dict[int, Kept] = field(default_factory=dict)  # those that are open

    def view(self, number: int) -> Kept:
        if number not in self.views:
            passing = self.recipe.views == 0  # a new one each epoch: the last one goes
            if passing:
                for old in self.views.values():
                    old.remove()
                self.views.clear()
            self.views[number] = self.store.view(number, passing)
        return self.views[number]

    def number(self, epoch: int, row: int) -> int:
        """Which view an epoch hears of a recording."""
        return epoch if self.recipe.views == 0 else (epoch + row) % self.recipe.views

    def heard(self, epoch: int, row: int) -> torch.Tensor:
        """The features of a recording as an epoch hears it (bands, frames)."""
        return self.view(self.number(epoch, row)).piece(row)

    def order(self, epoch: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
        """The training side in random order, in batches; with `alike`, of similar lengths each."""
        order, size = draw.permutation(self.train), self.recipe.batch_size
        if self.recipe.alike > 1:
            chunk = size * self.recipe.alike
            chunks = [order[at : at + chunk] for at in range(0, len(order), chunk)]
            order = np.concatenate([self._by_length(epoch, each) for each in chunks])
        batches = [order[at : at + size] for at in range(0, len(order), size)]
        if len(batches[-1]) == 1 and len(order) > 1:  # batch norm needs two
            batches[-1] = np.append(batches[-1], order[0])
        if self.recipe.alike > 1:
            batches = [batches[number] for number in draw.permutation(len(batches))]
        return batches

    def _by_length(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        views = [self.view(self.number(epoch, int(row))) for row in rows]
        lengths = [view.length(int(row)) for view, row in zip(views, rows, strict=True)]
        return rows[np.argsort(lengths, kind="stable")]


def batches(task: Task, epoch: int) -> Iterator[Batch]:
    """The training side in random order, each recording in one of its views.

    With a teacher, its probabilities are mixed into the targets.
    """
    recipe, labels = task.recipe, len(task.labels)
    draw = np.random.default_rng((task.seed, epoch))
    one_hot = torch.eye(labels)
    for rows in task.order(epoch, draw):
        each, taught = [], []
        for row in map(int, rows):
            each.append(change_features(task.heard(epoch, row), recipe.augment, draw))
            view = task.number(epoch, row)
            taught.append(task.teacher.says(view, row) if task.teacher else torch.zeros(0))
        said = torch.stack(taught)
        targets = one_hot[torch.from_numpy(task.targets[rows])]
        if task.teacher:
            targets = (1 - recipe.distil) * targets + recipe.distil * said[:, :labels]
        together = torch.cat([targets, said[:, labels:]], dim=1)  # they mix alike
        possible = torch.from_numpy(task.possible[rows])
        heard = pad(each, torch.device("cpu"))
        features, together, possible = mix(heard, together, possible, recipe.augment, draw)
        targets, embeddings = together[:, :labels], together[:, labels:]
        yield Batch(
            features, targets, possible, embeddings if embeddings.shape[1] else None
        ).to(task.device)  # fmt: skip


def training_features(task: Task, batch: int = 32) -> Iterator[Features]:
    """The training side's first views, for statistics: as they are, in order."""
    view = task.view(0)
    for first in range(0, len(task.train), batch):
        rows = task.train[first : first + batch]
        yield pad([view.piece(int(row)) for row in rows], torch.device("cpu"))

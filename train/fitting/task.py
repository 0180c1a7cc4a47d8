"""One training: the recordings of its sides, their targets, and views of them batch by batch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.features import Features, pad
from models.batching import consecutive
from train.augmentation import change_features, mix
from train.features import Kept
from train.fitting.loss import Batch
from train.recipes import Recipe


class Heard(Protocol):
    """Features of every recording: a `Store` or `EncodedFeatures` of `train.features`."""

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
        """Which view of a recording an epoch uses."""
        return epoch if self.recipe.views == 0 else (epoch + row) % self.recipe.views

    def heard(self, epoch: int, row: int) -> torch.Tensor:
        """The features of a recording in an epoch (bands, frames)."""
        return self.view(self.number(epoch, row)).piece(row)

    def order(self, epoch: int, draw: np.random.Generator) -> list[NDArray[np.int64]]:
        """The training side in random order, in batches; with `alike`, of similar lengths each."""
        order, size = draw.permutation(self.train), self.recipe.batch_size
        if self.recipe.alike > 1:
            chunk = size * self.recipe.alike
            chunks = [order[part] for part in consecutive(len(order), chunk)]
            order = np.concatenate([self._by_length(epoch, each) for each in chunks])
        batches = [order[part] for part in consecutive(len(order), size)]
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
    """The training side in random order, each recording in one of its views."""
    augment = task.recipe.augment
    draw = np.random.default_rng((task.seed, epoch))
    one_hot = torch.eye(len(task.labels))
    for rows in task.order(epoch, draw):
        each = [change_features(task.heard(epoch, int(row)), augment, draw) for row in rows]
        targets = one_hot[torch.from_numpy(task.targets[rows])]
        possible = torch.from_numpy(task.possible[rows])
        features = pad(each, torch.device("cpu"))
        yield Batch(*mix(features, targets, possible, augment, draw)).to(task.device)


def training_features(task: Task, batch: int = 32) -> Iterator[Features]:
    """The training side's first views, for statistics: as they are, in order."""
    view = task.view(0)
    for part in consecutive(len(task.train), batch):
        yield pad([view.piece(int(row)) for row in task.train[part]], torch.device("cpu"))

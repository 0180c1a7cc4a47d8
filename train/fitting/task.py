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
from train.features import CachedFeatures
from train.fitting.loss import Batch
from train.recipes import Recipe

Rows = NDArray[np.int64]


class FeatureSource(Protocol):
    """Features of every recording: a `Store` or `EncodedFeatures` of `train.features`."""

    def view(self, number: int, *, temporary: bool = False) -> CachedFeatures:
        """One version of every recording."""

    def pieces(self) -> CachedFeatures:
        """Every recording in pieces that the network takes."""

    def front_end_view(self, recording: int, number: int) -> torch.Tensor:
        """The front end's features of a view of one recording (bands, frames)."""


@dataclass(frozen=True)
class Task:
    """One training: recordings to train on and to validate by, and their labels' numbers."""

    recipe: Recipe
    source: FeatureSource
    targets: NDArray[np.int64]  # (recordings,), -1 where a recording is not of this fold
    possible: NDArray[np.bool_]  # (recordings, labels): which labels a recording's corpus has
    labels: tuple[str, ...]
    train: Rows
    valid: Rows
    seed: int
    device: torch.device
    weights: NDArray[np.float64] | None = None  # (recordings,): how much each counts in the loss
    views: dict[int, CachedFeatures] = field(default_factory=dict)  # those that are open

    def training_weights(self) -> NDArray[np.float64]:
        """The weight of each recording of the training side (train,), 1 on average."""
        if self.weights is None:
            return np.ones(len(self.train))
        return np.asarray(self.weights[self.train] / self.weights[self.train].mean())

    def view(self, number: int) -> CachedFeatures:
        """A view of every recording; where each epoch has a new one, the last one is deleted."""
        if number not in self.views:
            always_new = self.recipe.views == 0
            if always_new:
                for old in self.views.values():
                    old.remove()
                self.views.clear()
            self.views[number] = self.source.view(number, temporary=always_new)
        return self.views[number]

    def view_number(self, epoch: int, row: int) -> int:
        """Which view of a recording an epoch uses."""
        return epoch if self.recipe.views == 0 else (epoch + row) % self.recipe.views

    def features(self, epoch: int, row: int) -> torch.Tensor:
        """The features of a recording in an epoch (bands, frames)."""
        return self.view(self.view_number(epoch, row)).piece(row)

    def order(self, epoch: int, draw: np.random.Generator) -> list[Rows]:
        """The training side in random order, in batches.

        With length bucketing each batch has recordings of similar length.
        """
        order, size = draw.permutation(self.train), self.recipe.optimisation.batch_size
        bucket = size * self.recipe.optimisation.bucket_batches
        if bucket > size:
            buckets = [order[part] for part in consecutive(len(order), bucket)]
            order = np.concatenate([self._by_length(epoch, each) for each in buckets])
        batches = [order[part] for part in consecutive(len(order), size)]
        if len(batches[-1]) == 1 and len(order) > 1:  # batch norm needs two
            batches[-1] = np.append(batches[-1], order[0])
        if bucket > size:
            batches = [batches[number] for number in draw.permutation(len(batches))]
        return batches

    def _by_length(self, epoch: int, rows: Rows) -> Rows:
        lengths = [self.view(self.view_number(epoch, row)).length(row) for row in map(int, rows)]
        return rows[np.argsort(lengths, kind="stable")]


def batches(task: Task, epoch: int) -> Iterator[Batch]:
    """The training side in random order, each recording in one of its views.

    Targets are one-hot vectors times the recording's weight.
    """
    augmentation = task.recipe.augmentation
    draw = np.random.default_rng((task.seed, epoch))
    one_hot = torch.eye(len(task.labels))
    weights = torch.ones(len(task.targets))
    weights[torch.from_numpy(task.train)] = torch.from_numpy(task.training_weights()).float()
    for rows in task.order(epoch, draw):
        each = [change_features(task.features(epoch, int(row)), augmentation, draw) for row in rows]
        # the loss is linear in its targets: times a weight they are those of a weighted loss
        targets = one_hot[torch.from_numpy(task.targets[rows])]
        targets = targets * weights[torch.from_numpy(rows), None]
        possible = torch.from_numpy(task.possible[rows])
        features = pad(each, torch.device("cpu"))
        yield Batch(*mix(features, targets, possible, augmentation, draw)).to(task.device)


def training_features(task: Task, batch: int = 32) -> Iterator[Features]:
    """The training side's first views, for statistics: unchanged, in order."""
    view = task.view(0)
    for part in consecutive(len(task.train), batch):
        yield pad([view.piece(int(row)) for row in task.train[part]], torch.device("cpu"))

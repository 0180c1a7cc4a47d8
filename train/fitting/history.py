"""The figures of every epoch of a training, and which of them is the best."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """One epoch: the training side's figures during it, the valid side's after it."""

    epoch: int  # from 1
    learning_rate: float
    train_loss: float
    train_accuracy: float
    valid_loss: float
    valid_accuracy: float
    valid_uar: float
    valid_macro_f1: float
    seconds: float

    def monitored(self, name: str) -> float:
        """The figure by which epochs are compared, larger is better: a valid one, or its number."""
        if name == "last":
            return float(self.epoch)
        return -self.valid_loss if name == "loss" else float(getattr(self, f"valid_{name}"))


def best_epoch(history: Sequence[Epoch], monitor: str) -> Epoch:
    """The first of the best epochs."""
    return max(history, key=lambda epoch: epoch.monitored(monitor))


def better(history: Sequence[Epoch], monitor: str) -> bool:
    """Whether the last epoch is better than all before it."""
    return best_epoch(history, monitor) is history[-1]


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """`history.csv`: a line per epoch."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [each.name for each in fields(Epoch)])
        writer.writeheader()
        writer.writerows(asdict(epoch) for epoch in history)

"""How far two results agree about the same segments: their emotions and probabilities."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Agreement:
    """Pairs of emotions, counted, and how far the probabilities are apart."""

    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)  # left, right
    distance: float = 0.0  # sum of total variation distances, each from 0 to 1

    def add(self, left: str, right: str, distance: float) -> None:
        """Count a segment."""
        self.pairs[left, right] += 1
        self.distance += distance

    @property
    def segments(self) -> int:
        return self.pairs.total()

    @property
    def agreement(self) -> float | None:
        """The share of segments with the same emotion; None of no segments."""
        same = sum(count for (left, right), count in self.pairs.items() if left == right)
        return same / self.segments if self.segments else None

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond chance; None where chance alone agrees fully.

        Cohen, 1960: A coefficient of agreement for nominal scales.
        """
        observed = self.agreement
        if observed is None:
            return None
        left, right = Counter[str](), Counter[str]()
        for (one, other), count in self.pairs.items():
            left[one] += count
            right[other] += count
        expected = sum(left[label] * right[label] for label in left) / self.segments**2
        return None if expected == 1 else (observed - expected) / (1 - expected)

    @property
    def mean_distance(self) -> float | None:
        """The mean total variation distance; None of no segments."""
        return self.distance / self.segments if self.segments else None

    @property
    def labels(self) -> list[str]:
        """Every label that either side has."""
        return sorted({label for pair in self.pairs for label in pair})

    def as_json(self) -> dict[str, Any]:
        """Figures, and the confusion: of each emotion on the left those on the right, counted."""
        labels = self.labels
        return {
            "agreement": self.agreement,
            "kappa": self.kappa,
            "mean_distance": self.mean_distance,
            "confusion": {
                left: {right: self.pairs[left, right] for right in labels} for left in labels
            },
        }

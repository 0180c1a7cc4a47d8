"""Shares of the emotions in an archive: mean probabilities, weighted by seconds, and coverage."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class EmotionShares:
    """Sums over rows of the table of calls, which are added one by one."""

    parties: Sequence[str]
    labels: Sequence[str]
    _sums: Counter[str] = field(default_factory=Counter)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a call."""
        for party in self.parties:
            scored_s = row[f"scored_{party}_s"]
            if scored_s:
                self._sums[f"scored {party}"] += scored_s
                for label in self.labels:
                    share = row[f"p_{label}_{party}"] or 0.0
                    self._sums[f"{label} {party}"] += share * scored_s
            if (coverage := row[f"coverage_{party}"]) is not None:
                talk_s = row[f"talk_time_{party}_s"]
                self._sums[f"talk {party}"] += talk_s
                self._sums[f"covered {party}"] += talk_s * coverage

    def content(self) -> Iterator[dict[str, Any]]:
        """Of each party that was scored: seconds, share of each label, and coverage or None."""
        for party in self.parties:
            scored_s, talk_s = self._sums[f"scored {party}"], self._sums[f"talk {party}"]
            if scored_s:
                yield {
                    "party": party,
                    "scored_s": round(scored_s),
                    "coverage": talk_s and round(self._sums[f"covered {party}"] / talk_s, 3),
                    "shares": [
                        round(self._sums[f"{label} {party}"] / scored_s, 4) for label in self.labels
                    ],
                }

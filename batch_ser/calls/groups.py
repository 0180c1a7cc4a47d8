"""Groups of calls, by columns: how many, how long, and the means of their emotion scores.

Calls are added one by one. An interval is that of a bootstrap over calls: 500 times, each call
counts as often as a Poisson draw with mean 1 (as drawing calls with replacement does, of many),
so that only sums are kept: about 25 kB for two parties.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.calls.emotion import DECLINING, NOT_CALCULATED
from batch_ser.errors import UsageError

REPLICATES = 500
INTERVAL = (2.5, 97.5)  # percentiles
FEW = 30  # a group with fewer calls is marked
MOST_GROUPS = 10_000
SEED = 0
MEANS = ("emotion_overall_score", "emotion_end_score", "emotion_trend")
SHARES = ("share_below_0", "share_declining")
Floats = NDArray[np.float64]


@dataclass
class _Mean:
    """Of one score: the sum and number over calls, and the same in every replicate."""

    total: float = 0.0
    count: int = 0
    totals: Floats = field(default_factory=lambda: np.zeros(REPLICATES))
    counts: Floats = field(default_factory=lambda: np.zeros(REPLICATES))

    def add(self, value: float, weights: Floats) -> None:
        self.total += value
        self.count += 1
        self.totals += weights * value
        self.counts += weights

    def columns(self, name: str) -> Iterator[tuple[str, float | None]]:
        """The mean and its interval; no interval of fewer than two calls."""
        yield name, self.total / self.count if self.count else None
        drawn = self.counts > 0
        known = self.count > 1 and bool(drawn.any())
        edges = np.percentile(self.totals[drawn] / self.counts[drawn], INTERVAL) if known else None
        for number, edge in enumerate(("low", "high")):
            yield f"{name}_{edge}", None if edges is None else float(edges[number])


@dataclass
class _Group:
    """The sums of one group, by party."""

    parties: tuple[str, ...]
    calls: int = 0
    seconds: float = 0.0
    sums: Counter[str] = field(default_factory=Counter)
    means: dict[str, _Mean] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], duration_s: float, weights: Floats) -> None:
        self.calls += 1
        self.seconds += duration_s
        for party in self.parties:
            for name in MEANS:
                if (value := row[f"{name}_{party}"]) is not None:
                    self.means.setdefault(f"{name}_{party}", _Mean()).add(value, weights)
            overall = row[f"emotion_overall_score_{party}"]
            self._share(f"share_below_0_{party}", overall is not None, (overall or 0.0) < 0)
            trend = row[f"emotion_trend_class_{party}"]
            known = trend not in (None, NOT_CALCULATED)
            self._share(f"share_declining_{party}", known, trend in DECLINING)
            if (coverage := row[f"coverage_{party}"]) is not None:
                talk_s = row[f"talk_time_{party}_s"]
                self.sums[f"talk_{party}"] += talk_s
                self.sums[f"covered_{party}"] += talk_s * coverage

    def _share(self, name: str, known: bool, counts: bool) -> None:
        self.sums[f"known {name}"] += known
        self.sums[name] += known and counts

    def columns(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "calls": self.calls,
            "hours": self.seconds / 3600,
            "few_calls": self.calls < FEW,
        }
        for party in self.parties:
            for name in MEANS:
                found |= self.means.get(f"{name}_{party}", _Mean()).columns(f"{name}_{party}")
            for share in SHARES:
                name = f"{share}_{party}"
                found[name] = _ratio(self.sums[name], self.sums[f"known {name}"])
            found[f"coverage_{party}"] = _ratio(
                self.sums[f"covered_{party}"], self.sums[f"talk_{party}"]
            )
        return found


class CallGroups:
    """Calls by the values of some columns; all of them together where there is none."""

    def __init__(self, by: tuple[str, ...], parties: tuple[str, ...]) -> None:
        self._by, self._parties = by, parties
        self._groups: dict[tuple[str | None, ...], _Group] = {}
        self._draw = np.random.default_rng(SEED)
        computed = _Group(parties).columns()
        self._names = [f"in_{name}" if name in computed else name for name in by]

    def add(self, row: Mapping[str, Any], duration_s: float) -> None:
        """Add the row of a call, and the length of its recording.

        Raises:
            UsageError: there are more than 10,000 groups.
        """
        key = tuple((row[name] or "").strip() or None for name in self._by)
        if key not in self._groups and len(self._groups) == MOST_GROUPS:
            raise UsageError(
                f"--by {','.join(self._by)}: found more than {MOST_GROUPS:,} groups; expected "
                "columns with fewer values, such as a queue"
            )
        weights = self._draw.poisson(1.0, REPLICATES).astype(np.float64)
        self._groups.setdefault(key, _Group(self._parties)).add(row, duration_s, weights)

    def __len__(self) -> int:
        return len(self._groups)

    @property
    def schema(self) -> pa.Schema:
        """The columns with their types, without metadata."""
        types = {"calls": pa.int64(), "few_calls": pa.bool_()}
        names = _Group(self._parties).columns()
        computed = [(name, types.get(name, pa.float64())) for name in names]
        return pa.schema([*((name, pa.string()) for name in self._names), *computed])

    def table(self) -> pa.Table:
        """A row for each group, in order of their values, with null at the end."""

        def order(key: tuple[str | None, ...]) -> list[tuple[bool, str]]:
            return [(value is None, value or "") for value in key]

        rows = [
            dict(zip(self._names, key, strict=True)) | self._groups[key].columns()
            for key in sorted(self._groups, key=order)
        ]
        return pa.Table.from_pylist(rows, schema=self.schema)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None

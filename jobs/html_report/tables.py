"""What a report shows of the tables of calls and groups: calls, groups, days and shares."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from batch_ser.calls import CallGroups
from batch_ser.report import (
    CallColumns,
    ChosenCalls,
    EmotionShares,
    day_of,
    find_day_column,
    rounded,
)
from batch_ser.results import CALLS, FAILED, GROUPS, RECORDING
from jobs.calls import ROWS_AT_ONCE
from jobs.html_report.fresh_calls import FreshCalls
from train.progress import counted

MOST_CALLS = 10_000
MOST_GROUPS = 500
CUSTOMER = "customer"
DAY = "day"  # of groups of calls by day, whatever the column is named
SCORE = "emotion_overall_score"
IN_GROUPS = (
    *("emotion_overall_score_{r}", "emotion_end_score_{r}", "emotion_trend_{r}"),
    *("share_declining_{r}", "coverage_{r}"),
)
NO_DAYS = (
    "No column states the day of each call, so no trend is shown. A manifest with a column such as "
    "day, or --name-pattern, gives one: batch-ser adapt OUT --name-pattern '{day}/{call}' takes it "
    "from the names of files, without audio."
)
NO_DIFFERENCE = (
    "The mean of each {what} was subtracted (--adapt {what}), so {what}s cannot be compared."
)


@dataclass
class ReportTables:
    """The calls that a report shows, in order, and sums over all calls."""

    fresh: FreshCalls
    columns: CallColumns
    focus: tuple[str, ...]  # parties by which calls are ordered
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    samples: dict[str, list[str]] = field(default_factory=dict)  # names of files, by kind
    calls: int = 0  # in all
    shares: list[dict[str, Any]] = field(default_factory=list)
    days: dict[str, Any] | None = None
    no_days: str = NO_DAYS  # why there is no trend

    @classmethod
    def read(cls, fresh: FreshCalls, samples: int) -> "ReportTables":
        """Go through the table of calls once, after a look for a column of days."""
        table = fresh.source.table
        carried = list(table.carried_as.values())
        by = [table.carried_as[each] for each in fresh.by]
        day = find_day_column(_rows(fresh, carried), carried, by) if carried else None
        first = [*by, *([day] if day and day not in by else [])]
        columns = CallColumns(table.parties, table.scale.labels, carried, first)
        found = cls(fresh, columns, _focus(table.parties, table.score))
        found._add_all(samples, day)
        return found

    def _add_all(self, samples: int, day: str | None) -> None:
        parties = self.columns.parties
        chosen = ChosenCalls(self.focus, MOST_CALLS, samples)
        shares = EmotionShares(parties, self.columns.labels)
        days = CallGroups((DAY,), tuple(parties))
        count = pq.read_metadata(self.fresh.path(CALLS)).num_rows
        for row in counted(_rows(self.fresh, self.columns.names), "calls", count):
            chosen.add(row)
            shares.add(row)
            if day and row["status"] != FAILED and (at := day_of(row[day])):
                days.add(row | {DAY: at.isoformat()}, 0.0)
        self.rows, self.samples, self.calls = chosen.rows, chosen.samples, chosen.count
        self.shares = list(shares.content())
        if day and self.fresh.source.table.carried_as.get(self._adapted_by or "") == day:
            self.no_days = f"{NO_DIFFERENCE.format(what=self._adapted_by)} So no trend is shown."
        elif day:
            self.days = self._days(day, days.table().to_pydict())

    @property
    def _adapted_by(self) -> str | None:
        """The column whose means, or the word of the recordings, whose means were subtracted."""
        by = self.fresh.source.record.fingerprint.get("adapt")
        return by if by == RECORDING or by in self.fresh.source.table.carried else None

    def _days(self, day: str, table: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        parties = [self._trend(table, party) for party in self._scored]
        own = {name: table[name] for name in ("calls", "few_calls")}
        return {"column": day, "days": table[DAY], "parties": parties} | own

    @staticmethod
    def _trend(table: Mapping[str, Sequence[Any]], party: str) -> dict[str, Any]:
        name = f"{SCORE}_{party}"
        found: dict[str, Any] = {"party": party, "mean": _decimals(table[name])}
        return found | {end: _decimals(table[f"{name}_{end}"]) for end in ("low", "high")}

    @property
    def _scored(self) -> list[str]:
        return [each["party"] for each in self.shares]

    def content(self) -> dict[str, Any]:
        """What the page gets of them."""
        table, adapted = self.fresh.source.table, self._adapted_by
        notes = [NO_DIFFERENCE.format(what=adapted)] if adapted else []
        return {
            "parties": list(table.parties),
            "focus": list(self.focus),
            "labels": list(table.scale.labels),
            "positive": list(table.scale.positive),
            "negative": list(table.scale.negative),
            "shares": self.shares,
            "days": self.days,
            "no_days": None if self.days else self.no_days,
            "groups": self._groups(),
            "cautions": notes,
            "calls": self.columns.content(self.rows),
            "calls_in_all": self.calls,
            "carried": self.columns.shown,
            "carried_left_out": self.columns.left_out,
            "by": [table.carried_as[each] for each in self.fresh.by],
        }

    def _groups(self) -> dict[str, Any]:
        """Groups with the most calls, if there are many, in the order of the table."""
        table = pq.read_table(self.fresh.path(GROUPS))
        count, by = len(table), table.schema.names[: len(self.fresh.by)]
        if count > MOST_GROUPS:
            order = sorted(range(count), key=lambda at: (-table["calls"][at].as_py(), at))
            table = table.take(sorted(order[:MOST_GROUPS]))
        columns = {name: _decimals(table[name].to_pylist()) for name in table.schema.names}
        keys = [[*each] for each in zip(*(columns[name] for name in by), strict=True)] or [[]]
        parties = [self._group_scores(columns, party) for party in self._scored]
        own = {name: columns[name] for name in ("calls", "hours", "few_calls")}
        return {"by": by, "count": count, "keys": keys, "parties": parties} | own

    @staticmethod
    def _group_scores(columns: Mapping[str, Sequence[Any]], party: str) -> dict[str, Any]:
        """The columns of a party, without its name."""
        of_party = [*IN_GROUPS, f"{SCORE}_{{r}}_low", f"{SCORE}_{{r}}_high"]
        found = {name.replace("_{r}", ""): columns[name.format(r=party)] for name in of_party}
        return {"party": party} | found


def _focus(parties: Sequence[str], score: str | None) -> tuple[str, ...]:
    """The parties by which calls are ordered: the one that was scored, or customers, or all."""
    for each in (score, CUSTOMER):
        if each in parties:
            return (str(each),)
    return tuple(parties)


def _rows(fresh: FreshCalls, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of the table of calls, of some columns."""
    file = pq.ParquetFile(fresh.path(CALLS))
    for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(names)):
        yield from batch.to_pylist()


def _decimals(values: Sequence[Any]) -> list[Any]:
    return [rounded(each, 3) for each in values]

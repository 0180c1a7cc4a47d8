"""Time lines of the calls that a report shows first, and the segments that it has clips of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from batch_ser.calls import ANGRY, CallTable, PartySegments, rows_of
from batch_ser.report import Sample, Window, time_line, worst_party
from jobs.html_report.tables import ReportTables
from train.progress import counted

MOST_LINES = 2_000  # calls of which time lines are made
LINE_BYTES = 7_000_000  # of all that are kept
SEED = 0


@dataclass(frozen=True)
class SampleSegment:
    """A segment that is singled out, to be listened to."""

    file: str
    kind: str  # of `Sample`
    party: str
    window: Window
    place: int  # among the segments of the party, by start
    label: str
    percent: int  # the label's probability
    negative: int
    angry: int | None
    size_bytes: int  # of the version of the file that was scored


@dataclass
class CallDetails:
    """Time lines as JSON, by the names of files, and segments, the strongest first."""

    rows: list[Mapping[str, Any]]
    lines: dict[str, str] = field(default_factory=dict)
    segments: list[SampleSegment] = field(default_factory=list)

    @classmethod
    def read(cls, tables: ReportTables) -> "CallDetails":
        """Go through the segments and the speech of all recordings once."""
        source, found = tables.fresh.source, cls(tables.rows)
        named = {name for names in tables.samples.values() for name in names}
        by_name = {row["file"]: row for row in tables.rows}
        wanted = named.union(row["file"] for row in tables.rows[:MOST_LINES])
        lines: dict[str, str] = {}
        chooser = _Chooser(tables, np.random.default_rng(SEED))
        for file, segments, speech in counted(source.recordings(), "time lines", tables.calls):
            if (name := file["file"]) in wanted and file["status"] == "ok":
                line = time_line(file, segments, speech, source.table)
                lines[name] = json.dumps(line, separators=(",", ":"))
                if name in named and segments is not None:
                    found.segments += chooser.choose(file, by_name[name], segments)
        order = [(kind, name) for kind, names in tables.samples.items() for name in names]
        places = {each: place for place, each in enumerate(order)}
        found.segments.sort(key=lambda each: places[each.kind, each.file])
        found._keep(lines, named)
        return found

    def _keep(self, lines: Mapping[str, str], named: set[str]) -> None:
        """Keep time lines of samples, then of the first calls, as long as there is room."""
        left = LINE_BYTES
        names = [row["file"] for row in self.rows if row["file"] in lines]
        for name in sorted(names, key=lambda name: name not in named):
            if (left := left - len(lines[name])) < 0:
                return
            self.lines[name] = lines[name]

    def content(self) -> dict[str, Any]:
        """Time lines by the numbers of the calls on the page."""
        numbers = {row["file"]: number for number, row in enumerate(self.rows)}
        return {"lines": {str(numbers[name]): line for name, line in self.lines.items()}}


@dataclass
class _Chooser:
    """Chooses the segment of a call for each sample that it is in."""

    tables: ReportTables
    draw: np.random.Generator

    def choose(
        self, file: Mapping[str, Any], row: Mapping[str, Any], segments: pa.Table
    ) -> list[SampleSegment]:
        table, found = self.tables.fresh.source.table, []
        parties = table.channels.parties(file, segments)
        for kind, names in self.tables.samples.items():
            for party in self._parties(kind, row) if file["file"] in names else ():
                if (mine := rows_of(party, parties, segments)) is None:
                    continue
                scored = PartySegments.of(mine, table.scale.labels)
                if (at := self._at(kind, scored, table)) is not None:
                    found.append(_segment(file, kind, party, scored, at, table))
                    break
        return found

    def _parties(self, kind: str, row: Mapping[str, Any]) -> list[str]:
        """The parties to take a segment from: of the first that has a long one.

        One that is drawn must not depend on the scores, nor on how much each party speaks.
        """
        focus = self.tables.focus
        if kind == Sample.CONTROL:
            scored = [each for each in focus if row[f"negative_time_{each}_s"] is not None]
            return [scored[at] for at in self.draw.permutation(len(scored))]
        worst = worst_party(row, focus)
        return [] if worst is None else [worst]

    def _at(self, kind: str, scored: PartySegments, table: CallTable) -> int | None:
        """The loudest anger, or without such a label the most negative segment; or a random one."""
        scale = table.scale
        if kind == Sample.STRONGEST:
            labels = (ANGRY,) if ANGRY in scale.labels else scale.negative
            return scored.strongest(scale.share(scored.probabilities, labels))
        among = scored.long_enough
        return int(self.draw.choice(among)) if len(among) else None


def _segment(
    file: Mapping[str, Any],
    kind: str,
    party: str,
    scored: PartySegments,
    at: int,
    table: CallTable,
) -> SampleSegment:
    scale, p = table.scale, scored.probabilities[at : at + 1]
    best = int(p[0].argmax())
    angry = round(100 * p[0, scale.labels.index(ANGRY)]) if ANGRY in scale.labels else None
    return SampleSegment(
        file["file"],
        kind,
        party,
        Window(int(scored.channels[at]), float(scored.starts_s[at]), float(scored.ends_s[at])),
        at,
        scale.labels[best],
        round(100 * p[0, best]),
        round(100 * float(scale.share(p, scale.negative)[0])),
        angry,
        file["size_bytes"],
    )
